#include "detect/signup_clusters.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr double kLearnAfter = 2 * kDay;
constexpr double kSeedSurprise = 9;
constexpr double kSeedCount = 2.5;
constexpr double kClassMature = 40, kMature = 400;
constexpr double kSeeds = 10;  // members that a cluster takes in before it must predict them
constexpr size_t kCandidates = 12;
constexpr double kUnseen = 1;      // log-odds by which a campaign is larger than what its cluster has of it
constexpr double kUnproved = 2;    // log-odds of a view beyond what it was worth on average
constexpr double kSecondView = 1;  // log-odds of the second view that are enough
constexpr double kOneView = 2;     // log-odds that a signup loses with which one view alone agrees
constexpr double kNobodys = 7e-4;  // chance that a signup of which nothing is known is bad
constexpr double kNobodysOdds = -7.2637;

float worth_key(const KeyEntry& e) { return e.slow + static_cast<float>(e.seen_s) * 1e-9f; }

std::pair<double, double> strongest(const std::array<double, kViews>& views) {
  double first = 0, second = 0;
  for (double v : views) {
    second = std::max(second, std::min(first, v));
    first = std::max(first, v);
  }
  return {first, second};
}

double surprise(double k, double e) { return k <= e ? 0 : k * fast_log(k / e) - (k - e); }

}  // namespace

std::string_view signup_feature_name(SignupFeature feature) {
  constexpr std::string_view kNames[] = {
      "log_odds",      "prior",          "name",         "device",       "network",     "locale",       "recovery",
      "behaviour",     "reuse",          "cluster_size", "mean_name",    "mean_device", "mean_network", "mean_locale",
      "mean_recovery", "mean_behaviour", "mean_reuse",   "key_surprise", "rare_fill",   "rare_form",    "rare_device",
      "rare_locale",   "rare_name",      "aftermath",    "two_views",    "unexplained"};
  return kNames[feature];
}

std::string_view signup_part_name(SignupPart part) {
  constexpr std::string_view kNames[] = {"base", "membership", "evidence", "aftermath", "surprise",
                                         "head", "earlier",    "deeds",    "together",  "truth"};
  return kNames[part];
}

SignupClusterOptions SignupClusterOptions::for_accounts(uint64_t accounts) {
  SignupClusterOptions o;
  o.accounts_max = std::max<uint64_t>(accounts, 1000);
  o.keys_max = 2 * o.accounts_max;
  o.single_slots_log2 = std::clamp<uint32_t>(static_cast<uint32_t>(std::bit_width(o.accounts_max * 8)), 12, 32);
  o.values_max = 2 * o.accounts_max;
  o.shared_max = o.accounts_max / 2 + 1000;
  return o;
}

std::unique_ptr<SignupClusters> SignupClusters::make(const SignupClusterOptions& options) {
  return std::make_unique<SignupClustersImpl>(options);
}

SignupClustersImpl::SignupClustersImpl(const SignupClusterOptions& options)
    : options_(options),
      by_account_(options.accounts_max * 5 / 4),
      background_(options.values_max),
      keys_(options.keys_max),
      shared_(options.shared_max) {
  options_.accounts_max = std::max<uint64_t>(options_.accounts_max, 1);
  options_.clusters_max = std::clamp<uint32_t>(options_.clusters_max, 1, 65'000);
  options_.single_slots_log2 = std::clamp<uint32_t>(options_.single_slots_log2, 4, 34);
  singles_.grow((size_t{1} << options_.single_slots_log2) / 4);
}

uint64_t SignupClustersImpl::bytes() const {
  return accounts_.bytes() + by_account_.bytes() + background_.bytes() + keys_.bytes() + shared_.bytes() +
         singles_.bytes() + clusters_.bytes();
}

void SignupClustersImpl::decay(int64_t t_ms) {
  if (begun_ms_ == 0) begun_ms_ = now_ms_ = t_ms;
  if (t_ms <= now_ms_) return;
  const double factor = half_life(double(t_ms - now_ms_), kSlowHalf);
  for (double& a : arrivals_) a *= factor;
  all_arrivals_ *= factor;
  sends_day_ *= half_life(double(t_ms - now_ms_), kDay);
  now_ms_ = t_ms;
}

// The share of all arrivals that the cluster makes up now: the larger of its pace in hours and in days.
double SignupClustersImpl::prior_of(const Cluster& c, int64_t t_ms, bool in_hindsight) const {
  const double since_ms = std::max(0.0, double(t_ms - c.last_ms));
  const double age_ms = std::max(0.0, double(now_ms_ - begun_ms_));
  const double window_ms = kSlowHalf / M_LN2 * (1 - half_life(age_ms, kSlowHalf)) + kHour;
  const double all = (all_arrivals_ + 1) / window_ms;
  double pace;
  if (in_hindsight) {
    const double slack = kDay + 0.25 * double(c.last_ms - c.first_ms);
    if (double(c.first_ms - t_ms) > slack || since_ms > slack) return -30;
    pace = c.model.members() / (double(c.last_ms - c.first_ms) + 2 * kHour);
  } else {
    const double life_ms = double(t_ms - c.first_ms) + kHour;
    const double fast = c.fast * half_life(since_ms, kFastHalf) / std::min(life_ms, kFastHalf / M_LN2);
    const double slow = c.slow * half_life(since_ms, kSlowHalf) / std::min(life_ms, kSlowHalf / M_LN2);
    // What has been silent for a time T can hardly go on faster than 1/T.
    pace = std::min(std::max(fast, slow), 1 / (since_ms + 1));
  }
  return std::clamp(fast_log(pace / all + 1e-9) + kUnseen, -12.0, 2.0);
}

// A cluster's members come through the networks that it has: what comes through others is the less likely one of them.
// Never above zero: that an honest signup comes through the same kind of network as a campaign speaks for nothing.
double SignupClustersImpl::class_odds(const Cluster& c, NetClass net) const {
  constexpr double kPrior = 3;  // members that are taken to come as everybody does
  double members = 0;
  for (float n : c.by_class) members += static_cast<double>(n);
  const double usual = (background_.learned(net) + 1) / (background_.learned() + kNetClasses);
  const double ratio = (static_cast<double>(c.by_class[size_t(net)]) / usual + kPrior) / (members + kPrior);
  return std::min(0.0, fast_log(ratio));
}

// Whether the cookie was here before, on this machine or another one. A browser's update changes its fingerprint, and
// a laptop its network, but hardly ever both at once.
uint32_t SignupClustersImpl::carried(const SignupFacts& facts) const {
  const uint64_t key = cookie_key(facts);
  if (key == 0) return 0;
  const auto is_other = [&](uint64_t number) {
    const auto& there = at(number).facts.value;
    for (Attribute a : {kDevice, kHardware, kNetwork})
      if (facts.value[a] != 0 && facts.value[a] == there[a]) return false;
    return true;
  };
  if (const KeyEntry* entry = keys_.find(key)) {
    bool is_known = false, is_here = false;
    for (uint32_t number : entry->recent) {
      if (number == 0 || !is_live(number - 1)) continue;
      is_known = true;
      is_here = is_here || !is_other(number - 1);
    }
    return is_known && !is_here ? kCarriedHere : kNotCarried;
  }
  for (uint64_t place : singles_[(key >> 20) & (singles_.size() - 1)]) {
    const uint64_t number = place & 0xffffffffu;
    if (place == 0 || (place >> 32) != (key >> 32) || !is_live(number - 1)) continue;
    return is_other(number - 1) ? kCarriedHere : kNotCarried;
  }
  return kNotCarried;
}

// Asks for all the memory that look_up() will read, so that it comes all at once.
void SignupClustersImpl::fetch(const SignupFacts& facts, Sight& sight) const {
  sight.background = background_keys(facts);
  sight.keys = signup_keys(facts);
  background_.prefetch(sight.background);
  for (uint64_t key : sight.keys.key)
    if (key != 0) keys_.prefetch(key);
}

void SignupClustersImpl::look_up(const SignupFacts& facts, Sight& sight) const {
  for (size_t k = 0; k < kKeys; ++k) {
    sight.entry[k] = sight.keys.key[k] == 0 ? nullptr : keys_.find(sight.keys.key[k]);
    if (sight.entry[k] != nullptr) __builtin_prefetch(sight.entry[k]);
  }
  sight.expected = expected_of(background_, facts, sight.background);
}

SignupClustersImpl::Match SignupClustersImpl::match(const SignupFacts& facts, const Sight& sight, bool in_hindsight,
                                                    ClusterRef learned_by) const {
  std::array<ClusterRef, kCandidates> seen;
  size_t count = 0;
  for (size_t k = kKeys; k-- > 0 && count < kCandidates;) {
    const KeyEntry* entry = sight.entry[k];
    if (entry == nullptr || entry->cluster == 0) continue;
    const ClusterRef ref = entry->cluster;
    if (std::find(seen.begin(), seen.begin() + count, ref) != seen.begin() + count) continue;
    seen[count++] = ref;
    if (const Cluster* c = cluster_of(ref)) c->model.prefetch();
  }
  Match best;
  for (size_t i = 0; i < count; ++i) {
    const Cluster* c = cluster_of(seen[i]);
    if (c == nullptr) continue;
    double prior = prior_of(*c, facts.t_ms, in_hindsight);
    if (prior <= -30) continue;
    prior += class_odds(*c, facts.net);
    const Likelihood likelihood = c->model.likelihood(facts, sight.expected, seen[i] == learned_by);
    const double log_odds = static_cast<double>(likelihood.total) + prior;
    if (log_odds > best.log_odds) best = {seen[i], log_odds, prior, likelihood};
  }
  return best;
}

float SignupClustersImpl::surprise_of(const Sight& sight, const SignupFacts& facts, int* best) const {
  const double age_ms = std::max(double(now_ms_ - begun_ms_), 2 * kHour);
  const double slow_ms = kSlowHalf / M_LN2 * (1 - half_life(age_ms, kSlowHalf));
  const double fast_ms = kFastHalf / M_LN2 * (1 - half_life(age_ms, kFastHalf));
  const double slow_arrivals = arrivals_[size_t(net_group(facts.net))] + 1;
  const double fast_arrivals = slow_arrivals * fast_ms / slow_ms;
  const auto chance = chance_of(facts, sight.expected);
  double most = 0;
  *best = -1;
  for (int k = 0; k < kPairKeys; ++k) {
    const KeyEntry* e = sight.entry[size_t(k)];
    if (e == nullptr) continue;
    const double p = chance[size_t(k)];
    const double idle_ms = std::max(0.0, double(facts.t_ms) - double(e->seen_s) * 1e3);
    const double slow = static_cast<double>(e->slow) * half_life(idle_ms, kSlowHalf) + 1;
    const double fast = static_cast<double>(e->fast) * half_life(idle_ms, kFastHalf) + 1;
    const double s = std::max(slow < kSeedCount ? 0 : surprise(slow, slow_arrivals * p * 1.5 + 0.05),
                              fast < kSeedCount ? 0 : surprise(fast, fast_arrivals * p * 1.5 + 0.05));
    if (s > most) most = s, *best = k;
  }
  return static_cast<float>(most);
}

// A key that is not in the table: seen for the first time, it leaves a print; for the second time, it gets an entry.
KeyEntry* SignupClustersImpl::second_sight(uint64_t key, uint32_t number) {
  auto& places = singles_.change((key >> 20) & (singles_.size() - 1));
  const uint64_t print = key & 0xffffffff00000000u;
  uint64_t* oldest = places.data();
  bool found = false;
  for (uint64_t& place : places) {
    if (place != 0 && (place & 0xffffffff00000000u) == print) {
      oldest = &place;
      found = true;
      break;
    }
    if ((place & 0xffffffffu) < (*oldest & 0xffffffffu)) oldest = &place;
  }
  const uint64_t first = *oldest & 0xffffffffu;
  *oldest = found ? 0 : print | (number + 1);
  if (!found || !is_live(first - 1)) return nullptr;
  KeyEntry& e = keys_.at(key, worth_key);
  const Account& other = at(first - 1);
  e.seen_s = static_cast<uint32_t>(other.facts.t_ms / 1000);
  e.fast = e.slow = 1;
  e.recent[0] = static_cast<uint32_t>(first);
  e.cluster = other.cluster;
  return &e;
}

void SignupClustersImpl::touch_keys(const SignupKeys& keys, uint32_t number, ClusterRef cluster) {
  const auto now_s = static_cast<uint32_t>(now_ms_ / 1000);
  for (uint64_t key : keys.key) {
    if (key == 0) continue;
    KeyEntry* e = keys_.change(key);
    if (e == nullptr) e = second_sight(key, number);
    if (e == nullptr) continue;
    const double idle_ms = std::max(0.0, double(now_s - e->seen_s) * 1e3);
    e->fast = e->fast * static_cast<float>(half_life(idle_ms, kFastHalf)) + 1;
    e->slow = e->slow * static_cast<float>(half_life(idle_ms, kSlowHalf)) + 1;
    e->seen_s = now_s;
    for (size_t i = e->recent.size(); --i > 0;) e->recent[i] = e->recent[i - 1];
    e->recent[0] = number + 1;
    if (cluster != 0) e->cluster = cluster;
  }
}

void SignupClustersImpl::join(Cluster& c, const SignupFacts& facts, uint32_t number, const Expected& expected,
                              const Match& m, double weight, bool is_predicted) {
  const double since_ms = std::max(0.0, double(facts.t_ms - c.last_ms));
  c.fast = c.fast * half_life(since_ms, kFastHalf) + weight;
  c.slow = c.slow * half_life(since_ms, kSlowHalf) + weight;
  c.last_ms = std::max(c.last_ms, facts.t_ms);
  c.first_ms = std::min(c.first_ms, facts.t_ms);
  if (is_predicted) {
    // The evidence is of the last hundred members or so, so that a cluster must go on proving itself.
    if (c.joined > 100) {
      for (float& v : c.view) v *= 0.99f;
      c.joined *= 0.99;
    }
    c.joined += weight;
    for (size_t v = 0; v < kViews; ++v) c.view[v] += static_cast<float>(weight) * m.likelihood.view[v];
  }
  c.model.add(facts, expected, m.likelihood, weight);
  change(number).learned_by = c.ref;
  c.by_class[size_t(facts.net)] += static_cast<float>(weight);
  auto* free_first = std::find(c.first.begin(), c.first.end(), 0u);
  if (free_first != c.first.end()) {
    *free_first = number + 1;
  } else {
    std::rotate(c.last.begin(), c.last.end() - 1, c.last.end());
    c.last[0] = number + 1;
  }
  c.latest[c.latest_next++ % kLatest] = number + 1;
  ++c.unlooked;
  if (c.acted_ms == 0 && c.joined >= 3 && guilt_of(c) >= kActableGuilt) c.acted_ms = now_ms_;
}

// A place for a new cluster; if all are taken, the one that has proved least and been quiet longest makes room.
ClusterRef SignupClustersImpl::free_place() {
  size_t place = clusters_.size();
  ClusterRef before = 0;
  if (clusters_.size() < options_.clusters_max) {
    clusters_.push_back(Cluster{});
  } else {
    double least = 1e300;
    // Among a few, others each time: a look at all would cost more than all the rest.
    for (size_t k = 0; k < std::min<size_t>(64, clusters_.size()); ++k) {
      const size_t i = (clusters_born_ * 64 + k) % clusters_.size();
      const Cluster& c = clusters_[i];
      const double worth = c.joined + 100 * c.is_confirmed - double(now_ms_ - c.last_ms) / kDay;
      if (worth < least) least = worth, place = i;
    }
    before = clusters_[place].ref;
  }
  Cluster& c = clusters_.change(place);
  c = Cluster{};
  c.id = ++clusters_born_;
  c.ref = ((before >> 16) + 1) << 16 | static_cast<ClusterRef>(place + 1);
  return c.ref;
}

// A key has come back too often: its cluster, if that is still being gathered, takes the signup in, or a new one
// begins.
void SignupClustersImpl::seed(const Sight& sight, int best, uint32_t number) {
  const KeyEntry* entry = keys_.find(sight.keys.key[size_t(best)]);
  if (entry == nullptr) return;
  const ClusterRef ref = entry->cluster;
  const Cluster* young = cluster_of(ref);
  if (young == nullptr || young->joined >= 3 || young->model.members() >= kSeeds ||
      double(now_ms_ - young->last_ms) > 2 * kDay) {
    begin_cluster(sight.keys, best, number);
    return;
  }
  Account& a = change(number);
  Match m;
  m.likelihood = young->model.likelihood(a.facts, sight.expected);
  join(*change_cluster(ref), a.facts, number, sight.expected, m, 1, false);
  a.cluster = ref;
  a.log_odds = 0;
  for (uint64_t key : sight.keys.key)
    if (KeyEntry* e = key == 0 ? nullptr : keys_.change(key)) e->cluster = ref;
}

ClusterRef SignupClustersImpl::begin_cluster(const SignupKeys& keys, int best, uint32_t number) {
  const KeyEntry* entry = keys_.find(keys.key[size_t(best)]);
  if (entry == nullptr) return 0;
  const KeyEntry from = *entry;
  const ClusterRef ref = free_place();
  Cluster& c = *change_cluster(ref);
  c.born_ms = c.first_ms = c.last_ms = at(number).facts.t_ms;
  for (size_t i = from.recent.size(); i-- > 0;) {
    if (from.recent[i] == 0 || !is_live(from.recent[i] - 1)) continue;
    Account& member = change(from.recent[i] - 1);
    const Cluster* already = cluster_of(member.cluster);
    if (already != nullptr && already->joined > 3 && member.log_odds > 2) continue;
    const SignupKeys member_keys = signup_keys(member.facts);
    const Expected expected = expected_of(background_, member.facts, background_keys(member.facts));
    Match m;
    m.likelihood = c.model.likelihood(member.facts, expected);
    c.first_ms = std::min(c.first_ms, member.facts.t_ms);
    c.last_ms = member.facts.t_ms;
    join(c, member.facts, from.recent[i] - 1, expected, m, 1, false);
    member.cluster = ref;
    member.log_odds = 0;
    touch_keys(member_keys, from.recent[i] - 1, ref);
  }
  return ref;
}

// Honest signups teach the background after two days, by what is known of them then; in the first days sooner. Members
// of a cluster that nothing is held against are honest: so it becomes what is expected, and dissolves.
void SignupClustersImpl::learn_until(int64_t t_ms) {
  const double delay_ms = std::min(kLearnAfter, 0.5 * double(t_ms - begun_ms_));
  if (next_ - learned_ > accounts_.size()) learned_ = next_ - accounts_.size();
  for (int i = 0; i < 8 && learned_ < next_; ++i) {
    const Account& a = at(learned_);
    if (double(a.facts.t_ms) + delay_ms > double(t_ms) && next_ - learned_ < options_.accounts_max / 2) break;
    if (a.facts.account == 0) {  // erased
      ++learned_;
      continue;
    }
    if (ahead_number_ != learned_) fetch(a.facts, ahead_);
    look_up(a.facts, ahead_);
    const Match m = match(a.facts, ahead_, true);
    if (m.cluster != 0 && m.log_odds > 0 && (a.cluster == 0 || m.log_odds > static_cast<double>(a.log_odds))) {
      Account& changed = change(learned_);
      // In the one that it leaves it was reached then; in this one it is only now.
      const Cluster* joined = cluster_of(m.cluster);
      const int64_t reached = reached_ms(changed);
      if (reached != 0)
        changed.reached = changed.moment(reached);
      else if (joined->acted_ms != 0 && !is_suppressed(*joined))
        changed.reached = changed.moment(now_ms_);
      changed.cluster = m.cluster;
      changed.log_odds = static_cast<float>(m.log_odds);
    }
    const double is_member = m.log_odds <= 0 ? 0 : logistic(m.log_odds);
    const double guilt = is_member == 0 ? 0 : logistic(guilt_of(*cluster_of(m.cluster)));
    background_.learn(a.facts, ahead_.background, 1 - is_member * guilt);
    ++learned_;
  }
}

namespace {

using Means = std::array<double, kViews>;  // of each view, log-odds that it adds for a member

Means means_of(const Cluster& c) {
  constexpr double kMost = 5;  // of any view: how rare it is beyond that is not known so well
  Means mean{};
  for (size_t v = 0; v < kViews; ++v) mean[v] = std::clamp(static_cast<double>(c.view[v]) / (c.joined + 2), 0.0, kMost);
  return mean;
}

// What members have in common beyond the best of three honest explanations.
struct Unexplained {
  double all = 0;  // log-odds a member
  double two = 0;  // of the two strongest views; little if there is but one
};

// - A place, an organisation that registers its people: network and locale; as far as all sit there, also machines of
//   one purchase and the cookies that they keep, ways of making names, and a mail domain of its own.
// - A thing that many have got: device and locale.
// - A mail domain whose people something brings here: that is half of a reason, for domains are cheap.
Unexplained unexplained_of(const ClusterModel& model, Means mean) {
  constexpr double kOfName = 4;      // log-odds of a name that a place explains
  constexpr double kTogether = 0.3;  // log-odds of the network beyond which it is a place
  constexpr double kOfDomain = 0.5;
  double total = 0;
  for (double m : mean) total += m;
  // Several places that came one after the other are still places: what counts is how often a network comes again.
  const double again = std::max(model.sharing(kNetwork), model.top(kNetwork).share);
  const double together =
      std::clamp((again - 0.3) / 0.3, 0.0, 1.0) * std::clamp(mean[kNetworkView] - kTogether, 0.0, 1.0);
  Means placed{};
  placed[kDeviceView] = together * mean[kDeviceView];
  placed[kLexical] = together * std::min(mean[kLexical], kOfName);
  // Who registers in one place may also give addresses of the place's own mail domain. Elsewhere that is a campaign's.
  const ClusterModel::Top domain = model.top(kRecovery);
  if (domain.value != kNoRecovery)
    placed[kRecoveryView] = together * std::clamp((domain.share - 0.4) / 0.3, 0.0, 1.0) * mean[kRecoveryView];
  if (model.sharing(kCookie) > 0.5) placed[kReuse] = together * std::min(1.0, mean[kReuse] / 2) * mean[kReuse];
  double place = mean[kNetworkView] + mean[kLocaleView];
  for (double p : placed) place += p;
  const double thing = mean[kDeviceView] + mean[kLocaleView];
  Unexplained out;
  out.all = total - std::max({place, thing, kOfDomain * mean[kRecoveryView] + mean[kLocaleView]});
  for (size_t v = 0; v < kViews; ++v) mean[v] -= placed[v];
  mean[kNetworkView] = std::min(2.0, mean[kNetworkView] * (1 - together));
  mean[kLocaleView] = 0;
  const auto [first, second] = strongest(mean);
  out.two = (first + second) * std::clamp(second / kSecondView, 0.2, 1.0);
  return out;
}

}  // namespace

// How likely what the cluster gathers is a campaign, in log-odds: what its members have in common that nothing honest
// explains, in two views at least.
double SignupClustersImpl::guilt_of(const Cluster& c, std::array<float, kClusterParts>* parts) const {
  constexpr double kEnough = 1.7, kSlope = 2;  // log-odds a member that make it as likely as not, how fast they tell
  constexpr double kFewMembers = 4, kFew = 2;  // doubt as long as it has predicted few
  constexpr double kConfirmedGuilt = 6;        // of what people have confirmed, at least
  const Unexplained unexplained = unexplained_of(c.model, means_of(c));
  const double few = kFew * fast_exp(-c.joined / kFewMembers);
  const double guilt = kSlope * (0.5 * unexplained.two + 0.5 * unexplained.all - kEnough) - few + aftermath_of(c);
  const double said = c.is_confirmed != 0 ? std::max(guilt, kConfirmedGuilt) : guilt;
  if (parts != nullptr) {
    const auto put = [parts](ClusterPart part, double log_odds) { (*parts)[part] = static_cast<float>(log_odds); };
    put(kClusterBase, -kSlope * kEnough);
    put(kClusterTwoViews, 0.5 * kSlope * unexplained.two);
    put(kClusterUnexplained, 0.5 * kSlope * unexplained.all);
    put(kClusterFew, -few);
    put(kClusterAftermath, static_cast<double>(c.aftermath));
    put(kClusterTruth, -doubt_of(c));
    put(kClusterConfirmed, said - guilt);
  }
  return said;
}

SignupScore SignupClustersImpl::score_of(const Expected& expected, const Match& m, float key_surprise) const {
  SignupScore out;
  auto& f = out.feature;
  f[kLogOdds] = static_cast<float>(std::clamp(m.log_odds, -12.0, 25.0));
  f[kPrior] = static_cast<float>(m.prior);
  if (m.cluster != 0) {
    const Cluster& c = *cluster_of(m.cluster);
    out.cluster = c.id;
    out.is_suppressed = is_suppressed(c);
    for (size_t v = 0; v < kViews; ++v) {
      f[kViewName + v] = m.likelihood.view[v];
      f[kMeanName + v] = c.view[v] / static_cast<float>(c.joined + 2);
    }
    f[kClusterSize] = static_cast<float>(fast_log1p(c.model.members()));
    f[kAftermath] = static_cast<float>(aftermath_of(c));
    const Unexplained unexplained = unexplained_of(c.model, means_of(c));
    f[kTwo] = static_cast<float>(unexplained.two);
    f[kUnexplained] = static_cast<float>(unexplained.all);
  }
  f[kKeySurprise] = static_cast<float>(fast_log1p(static_cast<double>(key_surprise)));
  f[kRareFill] = -static_cast<float>(fast_log(expected.density[kFill]));
  f[kRareForm] = -static_cast<float>(fast_log(expected.p[kForm]));
  f[kRareDevice] = -static_cast<float>(fast_log(expected.p[kDevice]));
  f[kRareLocale] = -static_cast<float>(fast_log(expected.p[kLocale]));
  f[kRareName] = -static_cast<float>(fast_log(expected.p[kShape]));
  std::array<double, kViews> views{};
  // What the cluster has not proved to share may agree by chance in one: that is worth a little only.
  for (size_t v = 0; v < kViews; ++v)
    views[v] = std::min(static_cast<double>(m.likelihood.view[v]),
                        std::max(0.0, static_cast<double>(f[kMeanName + v])) + kUnproved);
  const auto put = [&out](SignupPart part, double log_odds) { out.part[part] = static_cast<float>(log_odds); };
  put(kPartBase, kNobodysOdds);
  if (m.cluster != 0 && !out.is_suppressed) {
    // A member, and of something bad.
    double own = m.prior - kOneView * (1 - std::min(1.0, strongest(views).second / kSecondView));
    for (double v : views) own += v;
    own = std::clamp(own, -8.0, 12.0);
    const double agrees = static_cast<double>(m.likelihood.total);
    out.likeness = {true, static_cast<float>(own), static_cast<float>(m.prior),
                    static_cast<float>(own - m.prior - agrees)};
    const Cluster& c = *cluster_of(m.cluster);
    const auto odds = [&](double guilt) {
      guilt = std::clamp(guilt, -9.0, 9.0);
      const double p = kNobodys + (1 - kNobodys) * logistic(own) * logistic(guilt);
      return fast_log(p / std::max(1 - p, 1e-9));
    };
    const double guilt = guilt_of(c), before = guilt - aftermath_of(c);
    const double gain = odds(before) - kNobodysOdds;
    const double of_own = (own + 8) / (own + 8 + std::clamp(before, -9.0, 9.0) + 9 + 1e-9);
    put(kPartMembership, of_own * gain);
    put(kPartEvidence, (1 - of_own) * gain);
    put(kPartAftermath, odds(guilt) - odds(before));
  }
  if (!out.is_suppressed) put(kPartSurprise, 0.05 * std::min(30.0, static_cast<double>(key_surprise)));
  for (float part : out.part) out.log_odds += part;
  if (head_ != nullptr && !out.is_suppressed) {
    // Either knows something that the other does not: the noisy or of both.
    const auto own_odds = static_cast<double>(out.log_odds);
    const double honest = logistic(-own_odds) * logistic(-head_->scaled(out.feature));
    const double both = fast_log(std::max(1 - honest, 1e-12) / std::max(honest, 1e-12));
    put(kPartHead, std::max(0.0, both - own_odds));
    out.log_odds += out.part[kPartHead];
  }
  out.score = logistic(static_cast<double>(out.log_odds));
  return out;
}

SignupScore SignupClustersImpl::signup(const Signup& signup) {
  decay(signup.t_ms);
  Account a;
  a.facts = signup_facts(signup);
  a.facts.account = key_of(signup.account);
  a.facts.t_ms = now_ms_;
  a.facts.value[kCarried] = carried(a.facts);
  Sight sight;
  fetch(a.facts, sight);
  learn_until(now_ms_);
  look_up(a.facts, sight);
  for (size_t k = 0; k < kKeys; ++k)
    if (sight.entry[k] == nullptr) singles_.prefetch((sight.keys.key[k] >> 20) & (singles_.size() - 1));
  const Match m = match(a.facts, sight, false);
  int best = -1;
  const float key_surprise = surprise_of(sight, a.facts, &best);
  const SignupScore out = score_of(sight.expected, m, key_surprise);

  const auto number = static_cast<uint32_t>(next_++);
  a.log_odds = static_cast<float>(m.log_odds);
  a.score = static_cast<float>(out.score);
  const double posterior = logistic(m.log_odds);
  const bool joins = posterior > 0.5;
  if (joins) a.cluster = m.cluster;
  if (accounts_.size() < options_.accounts_max)
    accounts_.push_back(a);
  else
    change(number) = a;
  by_account_.at(a.facts.account, [](uint32_t n) { return n; }) = number + 1;
  if (joins) {
    join(*change_cluster(m.cluster), a.facts, number, sight.expected, m, posterior, true);
    touch_keys(sight.keys, number, m.cluster);
    look_if_due(m.cluster);
  } else {
    touch_keys(sight.keys, number, 0);
    if (static_cast<double>(key_surprise) > kSeedSurprise && best >= 0) seed(sight, best, number);
  }
  // At the very beginning there is nothing yet to be surprised by: all is learned at once. (All Tor users look alike by
  // design, so there it takes longer.) A class that is new later on is compared with all others.
  if (background_.learned(a.facts.net) < (a.facts.net == NetClass::kTor ? kClassMature : kClassMature / 4) &&
      (a.facts.net == NetClass::kTor || background_.learned() < kMature))
    background_.learn(a.facts, sight.background, 0.5);
  arrivals_[size_t(net_group(a.facts.net))] += 1 - posterior;
  all_arrivals_ += 1;
  look_on();
  ahead_number_ = learned_;
  if (learned_ < next_) fetch(at(learned_).facts, ahead_);
  if (learned_ + 2 < next_) accounts_.prefetch((learned_ + 2) % options_.accounts_max);
  return out;
}

}  // namespace tamis::detect
