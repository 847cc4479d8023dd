// What accounts do after their signup, and hindsight: sends, feedback, first use after a long sleep, payments.
//
// Young accounts that share a link's domain, a part of a text or a range of declined cards, more of them within a day
// than the past of that key explains, form a cluster by what they do; those that look like its members by their signups
// are drawn in, too.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/hash.h"
#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr double kMonth = 30 * kDay;
constexpr double kSleep = 3 * kDay;  // of an account that did nothing since its signup
constexpr double kSharedSurprise = 10;
constexpr double kKnown = 20;  // of whom people know what it is

template <class Count>
void add_one(Count& n) {
  n = static_cast<Count>(n + (n < std::numeric_limits<Count>::max()));
}

constexpr double kEstablished = 7 * kDay;
constexpr double kHeld = 7 * kDay;        // how long what came is held back from the past, on average
constexpr double kPastLeast = 14 * kDay;  // a younger key had no sharers before it was first seen
constexpr uint32_t kOthersS = 4 * 86'400;
constexpr double kUsualWeight = 2;  // of the past and of others: so much more is nothing special

float worth_shared(const SharedEntry& e) {
  return e.day + 0.1f * (e.past + e.held) + static_cast<float>(e.seen_s) * 1e-9f;
}

// Linear counting (Whang et al., 1990): how many distinct hashes have set so many of 32 bits.
double others_of(const SharedEntry& e) {
  const int set = std::popcount(e.others[0] | e.others[1]);
  return 32 * (fast_log(32.0) - fast_log(std::max(1.0, 32.0 - set)));
}

uint64_t key_of_link(std::string_view domain) { return base::combine64(1, base::hash64(domain)) | 1u; }
uint64_t key_of_text(uint64_t simhash, uint64_t band) {
  return base::combine64(2 + band, (simhash >> (16 * band)) & 0xffff) | 1u;
}

}  // namespace

// What speaks against the account by itself: complaints, bounces, mass mail to strangers, declined cards; or what
// somebody has found out.
double SignupClustersImpl::later_odds(const Account& a) const {
  if (a.truth == static_cast<uint8_t>(Truth::kBad)) return kKnown;
  if (a.truth == static_cast<uint8_t>(Truth::kGood)) return -kKnown;
  double odds = 0;
  odds += std::min(4.0, 1.5 * a.complaints);
  if (a.bounces >= 4 && a.bounces > a.sends) odds += 2;
  odds += std::min(1.5, 0.3 * a.hot);
  if (a.declines >= 3) odds += std::min(3.0, 0.5 * a.declines);
  return odds;
}

uint64_t SignupClustersImpl::number_of(std::string_view account) const {
  const uint64_t key = key_of(account);
  const uint32_t* number = by_account_.find(key);
  if (number == nullptr || !is_live(*number - 1) || at(*number - 1).facts.account != key) return UINT64_MAX;
  return *number - 1;
}

void SignupClustersImpl::age(SharedEntry& e) {
  const auto now_s = static_cast<uint32_t>(now_ms_ / 1000);
  if (e.first_s == 0) e.first_s = e.seen_s = now_s;
  const double idle_ms = double(now_s - e.seen_s) * 1e3;
  const auto still_held = static_cast<float>(half_life(idle_ms, kHeld * M_LN2));
  e.day *= static_cast<float>(half_life(idle_ms, kDay));
  e.past = e.past * static_cast<float>(half_life(idle_ms, kMonth)) + e.held * (1 - still_held);
  e.held *= still_held;
  const uint32_t periods = now_s / kOthersS - e.seen_s / kOthersS;
  if (periods > 0) e.others = {0, periods == 1 ? e.others[0] : 0};
  e.seen_s = now_s;
}

double SignupClustersImpl::share(uint64_t key, Account& a, uint32_t number, double by_chance) {
  SharedEntry& e = shared_.at(key, worth_shared);
  age(e);
  if (std::find(e.recent.begin(), e.recent.end(), number + 1) == e.recent.end()) {
    e.day += 1;
    e.held += 1;
    for (size_t i = e.recent.size(); --i > 0;) e.recent[i] = e.recent[i - 1];
    e.recent[0] = number + 1;
  }
  const double k = static_cast<double>(e.day), others = others_of(e);
  if (cluster_of(e.cluster) != nullptr && cluster_of(a.later) == nullptr && others < k) gather(e, number);
  // Its own past, spread over the time since it was first seen, or over two weeks: that nobody shared it before is
  // known as well. A burst is not held against itself, whether it takes hours or a week.
  const double age_ms = std::clamp(double(e.seen_s - e.first_s) * 1e3, kPastLeast, kMonth);
  const double past = static_cast<double>(e.past) / age_ms * kDay * 1.44;
  const double expected = kUsualWeight * (past + others) + by_chance + 0.05;
  return k < 2.5 || k <= expected ? 0 : k * fast_log(k / expected) - (k - expected);
}

void SignupClustersImpl::share_as_other(uint64_t key, uint64_t account) {
  SharedEntry* e = shared_.change(key);
  if (e == nullptr) return;
  age(*e);
  e->others[0] |= uint32_t{1} << (base::mix64(account) >> 59);
}

// Only what young accounts share with strangers is remembered, so what others share meets no key, mostly.
void SignupClustersImpl::send_as_other(const Send& send) {
  const uint64_t account = key_of(send.account);
  for (std::string_view domain : send.link_domains) share_as_other(key_of_link(domain), account);
  if (send.body_simhash == 0) return;
  for (uint64_t band = 0; band < 4; ++band) share_as_other(key_of_text(send.body_simhash, band), account);
}

// It has been in use for a while, mostly to write to people it knows.
bool SignupClustersImpl::is_established(const Account& a) const {
  return a.first_use != 0 && double(now_ms_ - a.time_of(a.first_use)) > kEstablished && a.sends >= 5 &&
         a.hot * 2 <= a.sends && cluster_of(a.later) == nullptr;
}

// Takes the account into the cluster of what it did; begins one if there is none.
void SignupClustersImpl::gather(SharedEntry& entry, uint32_t number) {
  // What an account of a cluster by deeds shares besides leads there, too: one campaign is one cluster.
  if (cluster_of(entry.cluster) == nullptr) {
    const ClusterRef already = at(number).later;
    if (cluster_of(already) != nullptr) {
      entry.cluster = already;
      for (uint32_t member : entry.recent) {
        if (member != 0 && member != number + 1 && is_live(member - 1)) gather(entry, member - 1);
      }
      return;
    }
    entry.cluster = free_place();
    Cluster& c = *change_cluster(entry.cluster);
    c.born_ms = c.last_ms = c.acted_ms = now_ms_;
    c.first_ms = at(number).facts.t_ms;
    c.aftermath = kGathered;
    for (uint32_t member : entry.recent) {
      if (member != 0 && member != number + 1 && is_live(member - 1)) gather(entry, member - 1);
    }
  }
  if (cluster_of(at(number).later) != nullptr) return;
  Account& a = change(number);
  a.later = entry.cluster;
  if (reached_ms(a) == 0) a.reached = a.moment(now_ms_);
  Cluster& c = *change_cluster(entry.cluster);
  const Expected expected = expected_of(background_, a.facts, background_keys(a.facts));
  Match m;
  m.likelihood = c.model.likelihood(a.facts, expected);
  c.first_ms = std::min(c.first_ms, a.facts.t_ms);
  c.model.add(a.facts, expected, m.likelihood, 1);
  c.by_class[size_t(a.facts.net)] += 1;
  auto* free_first = std::find(c.first.begin(), c.first.end(), 0u);
  if (free_first != c.first.end()) *free_first = number + 1;
  reconsider(a);
}

// The account's score after something that it did, and what that says of its cluster.
void SignupClustersImpl::reconsider(Account& a) {
  const bool was_ill = a.after >= 2;
  const bool is_known = a.truth != static_cast<uint8_t>(Truth::kNone);
  a.after = static_cast<float>(later_odds(a) + (!is_known && cluster_of(a.later) != nullptr ? double{kGathered} : 0.0));
  Cluster* cluster = !was_ill && a.after >= 2 ? change_cluster(a.cluster) : nullptr;
  if (cluster != nullptr) {
    Cluster& c = *cluster;
    ++c.ill;
    const double share_ill = c.ill / std::max(1.0, c.model.members());
    if (c.ill >= 3 && share_ill > 0.02)
      c.aftermath = std::max(c.aftermath,
                             static_cast<float>(std::min(2.5, fast_log1p(100 * share_ill * share_ill) + 0.3 * c.ill)));
    if (c.acted_ms == 0 && guilt_of(c) >= kActableGuilt) c.acted_ms = now_ms_;
  }
}

void SignupClustersImpl::send(const Send& send) {
  decay(send.t_ms);
  sends_day_ += 1;
  const uint64_t found = number_of(send.account);
  if (found == UINT64_MAX) {
    send_as_other(send);
    return;
  }
  const auto number = static_cast<uint32_t>(found);
  Account* a = &change(number);
  if (a->first_use == 0) a->first_use = a->moment(now_ms_);
  const double slept_ms = double(a->time_of(a->first_use) - a->facts.t_ms);
  add_one(a->sends);
  // Mail to strangers. Without it a shared link is what friends do.
  const bool hot = send.new_recipients * 2 > send.recipients;
  if (hot && send.new_recipients >= 5) add_one(a->hot);
  const bool woke = slept_ms > kSleep && double(now_ms_ - a->time_of(a->first_use)) < kDay;
  if ((!hot && !woke) || is_established(*a)) {
    send_as_other(send);
  } else {
    double linked = 0, said = 0;
    SharedEntry* via = nullptr;
    uint64_t via_key = 0;
    for (std::string_view domain : send.link_domains) {
      const uint64_t key = key_of_link(domain);
      const double s = share(key, *a, number, 0);
      if (s > linked) linked = s, via_key = key;
    }
    if (send.body_simhash != 0) {
      const double by_chance = sends_day_ * 1.44 / 65536;
      for (uint64_t band = 0; band < 4; ++band) {
        const uint64_t key = key_of_text(send.body_simhash, band);
        const double s = share(key, *a, number, by_chance);
        if (s > said) {
          said = s;
          if (linked < kSharedSurprise) via_key = key;
        }
      }
    }
    // Two views before anything is gathered: the link and the text; or, of mail to strangers, one of them and a long
    // sleep.
    const bool slept = slept_ms > kSleep;
    const bool two = linked > 3 && said > 3 && linked + said + (slept ? 4 : 0) > 1.5 * kSharedSurprise;
    if ((two || (hot && slept && std::max(linked, said) > 1.2 * kSharedSurprise)) && via_key != 0) {
      via = shared_.change(via_key);
      if (via != nullptr) gather(*via, number);
    }
  }
  reconsider(*a);
}

void SignupClustersImpl::feedback(const Feedback& feedback) {
  decay(feedback.t_ms);
  const uint64_t number = number_of(feedback.account);
  if (number == UINT64_MAX) return;
  Account& a = change(number);
  if (feedback.is_complaint)
    add_one(a.complaints);
  else
    add_one(a.bounces);
  reconsider(a);
}

void SignupClustersImpl::login(const Login& login) {
  decay(login.t_ms);
  if (!login.ok) return;
  const uint64_t number = number_of(login.account);
  if (number == UINT64_MAX || at(number).first_use != 0) return;
  Account& a = change(number);
  a.first_use = a.moment(now_ms_);
  if (Cluster* c = change_cluster(a.cluster)) ++c->active;
}

void SignupClustersImpl::payment(const Payment& payment) {
  decay(payment.t_ms);
  const uint64_t number = number_of(payment.account);
  if (number == UINT64_MAX) return;
  Account& a = change(number);
  if (a.first_use == 0) a.first_use = a.moment(now_ms_);
  if (!payment.ok) add_one(a.declines);
  reconsider(a);
}

void SignupClustersImpl::truth(std::string_view account, Truth truth, int64_t t_ms) {
  decay(t_ms);
  const uint64_t number = number_of(account);
  if (number == UINT64_MAX || at(number).truth == static_cast<uint8_t>(truth)) return;
  Account& a = change(number);
  const auto before = static_cast<Truth>(a.truth);
  const bool was_ill = a.after >= 2;
  a.truth = static_cast<uint8_t>(truth);
  if (Cluster* c = change_cluster(a.cluster)) {
    if (before == Truth::kBad) --c->bad;
    if (before == Truth::kGood) --c->good;
    c->bad += truth == Truth::kBad;
    c->good += truth == Truth::kGood;
  }
  reconsider(a);
  Cluster* c = was_ill && a.after < 2 ? change_cluster(a.cluster) : nullptr;
  if (c != nullptr && c->ill > 0) --c->ill;
  if (truth == Truth::kGood) a.reached = 0;
}

bool SignupClustersImpl::erase(std::string_view account) {
  const uint64_t number = number_of(account);
  if (number == UINT64_MAX) return false;
  by_account_.remove(key_of(account));
  forget_look(number);
  Account& a = change(number);
  const int64_t t_ms = a.facts.t_ms;
  a = {};
  a.facts.t_ms = t_ms;  // the order by age stays
  return true;
}

// What members did later, less what people have found good among them: where that is most of those that were looked at,
// the cluster is something that honest people share.
double SignupClustersImpl::aftermath_of(const Cluster& c) const {
  return static_cast<double>(c.aftermath) - doubt_of(c);
}

double SignupClustersImpl::doubt_of(const Cluster& c) const {
  return std::clamp(1.5 * fast_log((1.0 + c.good) / (1.0 + 2.0 * c.bad)), 0.0, 6.0);
}

// The parts of an account's score: what it looks like now, what it looked like at its signup beyond that, what it did
// (`deeds` of the log-odds `after`); or what people have found out, and nothing else.
void SignupClustersImpl::explain(const SignupScore& seen, double before, double after, double deeds, bool is_told,
                                 AccountScore& out) {
  out.is_known = true;
  out.likeness = seen.likeness;
  for (size_t v = 0; v < kViews; ++v) out.view[v] = seen.feature[kViewName + v];
  if (is_told) {
    out.part[kPartTruth] = out.log_odds = static_cast<float>(deeds);
    return;
  }
  out.part = seen.part;
  double now = 0;
  for (float part : seen.part) now += static_cast<double>(part);
  out.part[kPartEarlier] = static_cast<float>(before - now);
  out.part[kPartDeeds] = static_cast<float>(deeds);
  out.part[kPartTogether] = static_cast<float>(after - deeds);
  out.log_odds = static_cast<float>(before + after);
}

AccountScore SignupClustersImpl::account(std::string_view account) const {
  const uint64_t number = number_of(account);
  if (number == UINT64_MAX) return {};
  const Account& a = at(number);
  Sight sight;
  fetch(a.facts, sight);
  look_up(a.facts, sight);
  const Match m = match(a.facts, sight, true, a.learned_by);
  const SignupScore s = score_of(sight.expected, m, 0);
  // A suppressed cluster speaks against nobody, and did not.
  const double own = s.is_suppressed ? s.score : std::max(s.score, static_cast<double>(a.score));
  const double base = std::clamp(own, 1e-9, 1 - 1e-9);
  const Cluster* later = cluster_of(a.later);
  const double deeds = later_odds(a), before = fast_log(base / (1 - base));
  const double after = later != nullptr && is_suppressed(*later) ? deeds : static_cast<double>(a.after);
  const double z = before + after;
  AccountScore out;
  const bool is_told = a.truth != static_cast<uint8_t>(Truth::kNone);
  out.score = logistic(is_told ? deeds : z);
  out.is_good = a.truth == static_cast<uint8_t>(Truth::kGood);
  explain(s, is_told ? 0 : before, is_told ? 0 : after, deeds, is_told, out);
  out.cluster = m.log_odds > 0 ? s.cluster : 0;
  if (out.cluster == 0 && later != nullptr) out.cluster = later->id;
  out.at_ms = reached_ms(a);
  // A member that only hindsight has found is reached by whoever acts now.
  const Cluster* found = out.at_ms == 0 && m.log_odds > 0 ? cluster_of(m.cluster) : nullptr;
  const bool is_new = found != nullptr && found != cluster_of(a.cluster);
  if (is_new && found->acted_ms != 0 && !s.is_suppressed && a.truth != static_cast<uint8_t>(Truth::kGood))
    out.at_ms = now_ms_;
  return out;
}

int64_t SignupClustersImpl::reached_ms(const Account& a) const {
  if (a.reached != 0) return a.time_of(a.reached);
  const Cluster* c = cluster_of(a.cluster);
  if (c == nullptr || c->acted_ms == 0 || is_suppressed(*c) || a.truth == static_cast<uint8_t>(Truth::kGood)) return 0;
  return std::max(a.facts.t_ms, c->acted_ms);
}

}  // namespace tamis::detect
