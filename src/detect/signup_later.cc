// What accounts do after their signup, and hindsight: sends, feedback, first use after a long sleep, payments.
//
// Young accounts that share a link's domain, a part of a text or a range of declined cards, more of them within a day
// than the past of that key explains, form a cluster by what they do; those that look like its members by their signups
// are drawn in, too.
#include <algorithm>
#include <bit>
#include <cmath>

#include "base/hash.h"
#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr double kMonth = 30 * kDay;
constexpr double kSleep = 3 * kDay;  // of an account that did nothing since its signup
constexpr double kSharedSurprise = 10;
constexpr double kGathered = 9;  // log-odds of who is in a cluster by what it did
constexpr uint16_t kMany = 60'000;

void add_one(uint16_t& n) { n = static_cast<uint16_t>(n + (n < kMany)); }

float worth_shared(const SharedEntry& e) { return e.day + 0.1f * e.month + static_cast<float>(e.seen_s) * 1e-9f; }

}  // namespace

// What speaks against the account by itself: complaints, bounces, mass mail to strangers, declined cards.
double SignupClustersImpl::later_odds(const Account& a) const {
  double odds = 0;
  odds += std::min(4.0, 1.5 * a.complaints);
  if (a.bounces >= 4 && a.bounces > a.sends) odds += 2;
  odds += std::min(1.5, 0.3 * a.hot);
  if (a.declines >= 3) odds += std::min(3.0, 0.5 * a.declines);
  return odds;
}

Account* SignupClustersImpl::find_account(std::string_view account) {
  const uint32_t* number = by_account_.find(account_key(account));
  if (number == nullptr) return nullptr;
  Account& a = at(*number - 1);
  return a.facts.account == account_key(account) ? &a : nullptr;
}

double SignupClustersImpl::share(uint64_t key, Account& a, uint32_t number, double by_chance) {
  SharedEntry& e = shared_.at(key, worth_shared);
  const auto now_s = static_cast<uint32_t>(now_ms_ / 1000);
  if (e.first_s == 0) e.first_s = e.seen_s = now_s;
  const double idle_ms = double(now_s - e.seen_s) * 1e3;
  e.day *= static_cast<float>(std::exp2(-idle_ms / kDay));
  e.month *= static_cast<float>(std::exp2(-idle_ms / kMonth));
  e.seen_s = now_s;
  if (std::find(e.recent.begin(), e.recent.end(), number + 1) == e.recent.end()) {
    e.day += 1;
    e.month += 1;
    for (size_t i = e.recent.size(); --i > 0;) e.recent[i] = e.recent[i - 1];
    e.recent[0] = number + 1;
  }
  e.last_account = number + 1;
  if (e.cluster != 0 && a.later == 0) gather(e, number);
  // Its own past: what came before the last day, spread over the time since it was first seen.
  const double age_ms = std::max(double(now_s - e.first_s) * 1e3, kDay);
  const double past = std::max(0.0, static_cast<double>(e.month - e.day)) / std::min(age_ms, kMonth) * kDay * 1.44;
  const double expected = 2 * past + by_chance + 0.05;
  const double k = static_cast<double>(e.day);
  return k < 2.5 || k <= expected ? 0 : k * std::log(k / expected) - (k - expected);
}

// Takes the account into the cluster of what it did; begins one if there is none.
void SignupClustersImpl::gather(SharedEntry& entry, uint32_t number) {
  if (entry.cluster == 0) {
    entry.cluster = free_place();
    Cluster& c = clusters_[entry.cluster - 1];
    c.id = ++clusters_born_;
    c.born_ms = c.last_ms = c.acted_ms = now_ms_;
    c.first_ms = at(number).facts.t_ms;
    c.aftermath = 2;
    for (uint32_t member : entry.recent) {
      if (member != 0 && member != number + 1 && next_ - (member - 1) <= accounts_.size()) gather(entry, member - 1);
    }
  }
  Account& a = at(number);
  if (a.later != 0) return;
  a.later = entry.cluster;
  const float before = a.score;
  Cluster& c = clusters_[entry.cluster - 1];
  const Expected expected = expected_of(background_, a.facts);
  Match m;
  m.likelihood = c.model.likelihood(a.facts, expected);
  c.first_ms = std::min(c.first_ms, a.facts.t_ms);
  c.model.add(a.facts, expected, m.likelihood, 1);
  reconsider(a, before);
}

// The account's score after something that it did, and what that says of its cluster.
void SignupClustersImpl::reconsider(Account& a, float before) {
  const bool was_ill = a.after >= 2;
  a.after = static_cast<float>(later_odds(a) + (a.later != 0 ? kGathered : 0.0));
  if (a.cluster != 0 && !was_ill && a.after >= 2) {
    Cluster& c = clusters_[a.cluster - 1];
    ++c.ill;
    const double share_ill = c.ill / std::max(1.0, c.model.members());
    if (c.ill >= 3 && share_ill > 0.02)
      c.aftermath = std::max(
          c.aftermath, static_cast<float>(std::min(2.5, std::log(1.0 + 100 * share_ill * share_ill) + 0.3 * c.ill)));
    if (c.acted_ms == 0 && c.aftermath > 1.5f && evidence_of(c) > 2.5) c.acted_ms = now_ms_;
  }
  const double prior = std::clamp(static_cast<double>(before), 1e-4, 1 - 1e-6);
  const double z = std::log(prior / (1 - prior)) + static_cast<double>(a.after);
  const auto now = static_cast<float>(1 / (1 + std::exp(-z)));
  if (a.acted_ms == 0 && now >= kActable) a.acted_ms = now_ms_;
}

void SignupClustersImpl::send(const Send& send) {
  decay(send.t_ms);
  sends_day_ += 1;
  Account* a = find_account(send.account);
  if (a == nullptr) return;
  const uint32_t number = *by_account_.find(a->facts.account) - 1;
  const bool wakes = a->first_use_ms == 0;
  if (wakes) a->first_use_ms = now_ms_;
  const double slept_ms = double(a->first_use_ms - a->facts.t_ms);
  add_one(a->sends);
  // Mail to strangers. Without it a shared link is what friends do.
  const bool hot = send.new_recipients * 2 > send.recipients;
  if (hot && send.new_recipients >= 5) add_one(a->hot);
  if (hot || (slept_ms > kSleep && double(now_ms_ - a->first_use_ms) < kDay)) {
    double linked = 0, said = 0;
    SharedEntry* via = nullptr;
    uint64_t via_key = 0;
    for (std::string_view domain : send.link_domains) {
      const uint64_t key = base::combine64(1, base::hash64(domain)) | 1u;
      const double s = share(key, *a, number, 0);
      if (s > linked) linked = s, via_key = key;
    }
    if (send.body_simhash != 0) {
      const double by_chance = sends_day_ * 1.44 / 65536;
      for (uint64_t band = 0; band < 4; ++band) {
        const uint64_t part = (send.body_simhash >> (16 * band)) & 0xffff;
        const uint64_t key = base::combine64(2 + band, part) | 1u;
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
      via = shared_.find(via_key);
      if (via != nullptr) gather(*via, number);
    }
  }
  reconsider(*a, a->score);
}

void SignupClustersImpl::feedback(const Feedback& feedback) {
  decay(feedback.t_ms);
  Account* a = find_account(feedback.account);
  if (a == nullptr) return;
  add_one(feedback.is_complaint ? a->complaints : a->bounces);
  reconsider(*a, a->score);
}

void SignupClustersImpl::login(const Login& login) {
  decay(login.t_ms);
  if (!login.ok) return;
  Account* a = find_account(login.account);
  if (a == nullptr || a->first_use_ms != 0) return;
  a->first_use_ms = now_ms_;
  if (a->cluster != 0) ++clusters_[a->cluster - 1].active;
}

void SignupClustersImpl::payment(const Payment& payment) {
  decay(payment.t_ms);
  Account* a = find_account(payment.account);
  if (a == nullptr) return;
  if (a->first_use_ms == 0) a->first_use_ms = now_ms_;
  if (!payment.ok) add_one(a->declines);
  reconsider(*a, a->score);
}

AccountScore SignupClustersImpl::account(std::string_view account) const {
  const uint32_t* number = by_account_.find(account_key(account));
  if (number == nullptr) return {};
  const Account& a = at(*number - 1);
  if (a.facts.account != account_key(account)) return {};
  const Expected expected = expected_of(background_, a.facts);
  const SignupKeys keys = signup_keys(a.facts, expected);
  const Match m = match(a.facts, expected, keys, true);
  const SignupScore s = score_of(expected, m, 0);
  const double base = std::clamp(std::max(s.score, static_cast<double>(a.score)), 1e-9, 1 - 1e-9);
  const double z = std::log(base / (1 - base)) + static_cast<double>(a.after);
  AccountScore out;
  out.score = 1 / (1 + std::exp(-z));
  out.cluster = m.log_odds > 0 ? s.cluster : 0;
  if (out.cluster == 0 && a.later != 0) out.cluster = clusters_[a.later - 1].id;
  out.at_ms = a.acted_ms;
  if (out.at_ms == 0 && m.log_odds > 0) out.at_ms = std::max(a.facts.t_ms, clusters_[m.cluster - 1].acted_ms);
  if (out.at_ms == 0) out.at_ms = a.facts.t_ms;
  return out;
}

ClusterFacts SignupClustersImpl::facts_of(const Cluster& c) const {
  ClusterFacts out;
  out.id = c.id;
  out.members = c.model.members();
  out.first_ms = c.first_ms, out.last_ms = c.last_ms, out.acted_ms = c.acted_ms;
  for (size_t v = 0; v < kViews; ++v) out.view[v] = c.view[v] / static_cast<float>(c.joined + 2);
  out.aftermath = c.aftermath;
  out.active = c.active, out.ill = c.ill;
  out.spread_fill = c.model.spread(kFill);
  const double z = evidence_of(c) + static_cast<double>(c.aftermath) + std::log1p(c.joined) - 6;
  out.score = 1 / (1 + std::exp(-z));
  return out;
}

bool SignupClustersImpl::cluster(uint64_t id, ClusterFacts& out) const {
  uint32_t& place = found_at_[id % found_at_.size()];
  if (place >= clusters_.size() || clusters_[place].id != id) {
    place = 0;
    while (place < clusters_.size() && clusters_[place].id != id) ++place;
    if (place == clusters_.size()) return false;
  }
  out = facts_of(clusters_[place]);
  return true;
}

void SignupClustersImpl::visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const {
  for (const Cluster& c : clusters_) visit(facts_of(c));
}

}  // namespace tamis::detect
