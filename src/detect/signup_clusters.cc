#include "detect/signup_clusters.h"

#include <algorithm>
#include <cmath>

#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr double kLearnAfter = 2 * kDay;
constexpr double kSeedSurprise = 9;
constexpr double kSeedCount = 2.5;
constexpr double kClassMature = 40;
constexpr size_t kCandidates = 12;

float worth_key(const KeyEntry& e) { return e.slow + static_cast<float>(e.seen_s) * 1e-9f; }

double surprise(double k, double e) { return k <= e ? 0 : k * std::log(k / e) - (k - e); }

}  // namespace

std::string_view signup_feature_name(SignupFeature feature) {
  constexpr std::string_view kNames[] = {
      "log_odds",     "prior",       "name",          "device",         "network",    "locale",
      "recovery",     "behaviour",   "reuse",         "cluster_size",   "mean_name",  "mean_device",
      "mean_network", "mean_locale", "mean_recovery", "mean_behaviour", "mean_reuse", "key_surprise",
      "rare_fill",    "rare_form",   "rare_device",   "rare_locale",    "rare_name",  "aftermath"};
  return kNames[feature];
}

std::unique_ptr<SignupClusters> SignupClusters::make(const SignupClusterOptions& options) {
  return std::make_unique<SignupClustersImpl>(options);
}

SignupClustersImpl::SignupClustersImpl(const SignupClusterOptions& options)
    : options_(options),
      by_account_(options.accounts_max * 2),
      background_(options.values_max),
      keys_(options.keys_max),
      shared_(options.shared_max),
      singles_(size_t{1} << options.single_slots_log2) {}

uint64_t SignupClustersImpl::bytes() const {
  return accounts_.capacity() * sizeof(Account) + by_account_.bytes() + background_.bytes() + keys_.bytes() +
         shared_.bytes() + singles_.size() * 8 + clusters_.capacity() * sizeof(Cluster);
}

void SignupClustersImpl::decay(int64_t t_ms) {
  if (begun_ms_ == 0) begun_ms_ = now_ms_ = t_ms;
  if (t_ms <= now_ms_) return;
  const double factor = std::exp2(-double(t_ms - now_ms_) / kSlowHalf);
  for (double& a : arrivals_) a *= factor;
  all_arrivals_ *= factor;
  sends_day_ *= std::exp2(-double(t_ms - now_ms_) / kDay);
  now_ms_ = t_ms;
}

// The share of all arrivals that the cluster makes up now: the larger of its pace in hours and in days.
double SignupClustersImpl::prior_of(const Cluster& c, int64_t t_ms, bool in_hindsight) const {
  const double since_ms = std::max(0.0, double(t_ms - c.last_ms));
  const double age_ms = std::max(0.0, double(now_ms_ - begun_ms_));
  const double window_ms = kSlowHalf / M_LN2 * (1 - std::exp2(-age_ms / kSlowHalf)) + kHour;
  const double all = (all_arrivals_ + 1) / window_ms;
  double pace;
  if (in_hindsight) {
    const double slack = kDay + 0.25 * double(c.last_ms - c.first_ms);
    if (double(c.first_ms - t_ms) > slack || since_ms > slack) return -30;
    pace = c.model.members() / (double(c.last_ms - c.first_ms) + 2 * kHour);
  } else {
    const double life_ms = double(t_ms - c.first_ms) + kHour;
    const double fast = c.fast * std::exp2(-since_ms / kFastHalf) / std::min(life_ms, kFastHalf / M_LN2);
    const double slow = c.slow * std::exp2(-since_ms / kSlowHalf) / std::min(life_ms, kSlowHalf / M_LN2);
    // What has been silent for a time T can hardly go on faster than 1/T.
    pace = std::min(std::max(fast, slow), 1 / (since_ms + 1));
  }
  return std::clamp(std::log(pace / all + 1e-9), -12.0, 2.0);
}

SignupClustersImpl::Match SignupClustersImpl::match(const SignupFacts& facts, const Expected& expected,
                                                    const SignupKeys& keys, bool in_hindsight) const {
  std::array<uint32_t, kCandidates> seen;
  size_t count = 0;
  Match best;
  for (size_t k = kKeys; k-- > 0 && count < kCandidates;) {
    if (keys.key[k] == 0) continue;
    const KeyEntry* entry = keys_.find(keys.key[k]);
    if (entry == nullptr || entry->cluster == 0) continue;
    const uint32_t place = entry->cluster;
    if (std::find(seen.begin(), seen.begin() + count, place) != seen.begin() + count) continue;
    seen[count++] = place;
    const Cluster& c = clusters_[place - 1];
    const Likelihood likelihood = c.model.likelihood(facts, expected);
    const double prior = prior_of(c, facts.t_ms, in_hindsight);
    const double log_odds = static_cast<double>(likelihood.total) + prior;
    if (log_odds > best.log_odds) best = {place, log_odds, prior, likelihood};
  }
  return best;
}

float SignupClustersImpl::surprise_of(const SignupKeys& keys, const SignupFacts& facts, int* best) const {
  const double age_ms = std::max(double(now_ms_ - begun_ms_), 2 * kHour);
  const double slow_ms = kSlowHalf / M_LN2 * (1 - std::exp2(-age_ms / kSlowHalf));
  const double fast_ms = kFastHalf / M_LN2 * (1 - std::exp2(-age_ms / kFastHalf));
  const double slow_arrivals = arrivals_[size_t(net_group(facts.net))] + 1;
  const double fast_arrivals = slow_arrivals * fast_ms / slow_ms;
  double most = 0;
  *best = -1;
  for (int k = 0; k < kPairKeys; ++k) {
    const uint64_t key = keys.key[size_t(k)];
    if (key == 0) continue;
    const KeyEntry* e = keys_.find(key);
    if (e == nullptr) continue;
    const double p = std::exp(static_cast<double>(keys.log_p[size_t(k)]));
    const double idle_ms = std::max(0.0, double(facts.t_ms) - double(e->seen_s) * 1e3);
    const double slow = static_cast<double>(e->slow) * std::exp2(-idle_ms / kSlowHalf) + 1;
    const double fast = static_cast<double>(e->fast) * std::exp2(-idle_ms / kFastHalf) + 1;
    const double s = std::max(slow < kSeedCount ? 0 : surprise(slow, slow_arrivals * p * 1.5 + 0.05),
                              fast < kSeedCount ? 0 : surprise(fast, fast_arrivals * p * 1.5 + 0.05));
    if (s > most) most = s, *best = k;
  }
  return static_cast<float>(most);
}

void SignupClustersImpl::touch_keys(const SignupKeys& keys, uint32_t number, uint32_t cluster) {
  const int64_t t_ms = now_ms_;
  const auto now_s = static_cast<uint32_t>(t_ms / 1000);
  const size_t mask = singles_.size() - 1;
  for (uint64_t key : keys.key) {
    if (key == 0) continue;
    KeyEntry* e = keys_.find(key);
    if (e == nullptr) {
      const size_t base = (key >> 20) & mask & ~size_t{3};
      const uint64_t print = key & 0xffffffff00000000u;
      uint64_t* oldest = &singles_[base];
      bool found = false;
      for (size_t i = base; i < base + 4 && !found; ++i) {
        if (singles_[i] != 0 && (singles_[i] & 0xffffffff00000000u) == print) {
          oldest = &singles_[i];
          found = true;
        } else if ((singles_[i] & 0xffffffffu) < (*oldest & 0xffffffffu)) {
          oldest = &singles_[i];
        }
      }
      const uint64_t first = *oldest & 0xffffffffu;
      *oldest = found ? 0 : print | (number + 1);
      if (!found) continue;
      e = &keys_.at(key, worth_key);
      const Account& other = at(first - 1);
      e->seen_s = static_cast<uint32_t>(other.facts.t_ms / 1000);
      e->fast = e->slow = 1;
      e->recent[0] = static_cast<uint32_t>(first);
      e->cluster = other.cluster;
    }
    const double idle_ms = std::max(0.0, double(now_s - e->seen_s) * 1e3);
    e->fast = e->fast * static_cast<float>(std::exp2(-idle_ms / kFastHalf)) + 1;
    e->slow = e->slow * static_cast<float>(std::exp2(-idle_ms / kSlowHalf)) + 1;
    e->seen_s = now_s;
    for (size_t i = e->recent.size(); --i > 0;) e->recent[i] = e->recent[i - 1];
    e->recent[0] = number + 1;
    if (cluster != 0) e->cluster = cluster;
  }
}

void SignupClustersImpl::join(uint32_t place, const SignupFacts& facts, const Expected& expected, const Match& m,
                              double weight, bool is_predicted) {
  Cluster& c = clusters_[place - 1];
  const double since_ms = std::max(0.0, double(facts.t_ms - c.last_ms));
  c.fast = c.fast * std::exp2(-since_ms / kFastHalf) + weight;
  c.slow = c.slow * std::exp2(-since_ms / kSlowHalf) + weight;
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
    c.excess += static_cast<float>(weight * std::min(m.log_odds, 12.0));
  }
  c.model.add(facts, expected, m.likelihood, weight);
  if (c.acted_ms == 0 && c.joined >= 3 && evidence_of(c) >= kActableEvidence) c.acted_ms = now_ms_;
}

// A place for a new cluster; if all are taken, the one that has proved least and been quiet longest makes room.
uint32_t SignupClustersImpl::free_place() {
  if (clusters_.size() < options_.clusters_max) {
    clusters_.emplace_back();
    return static_cast<uint32_t>(clusters_.size());
  }
  size_t place = 0;
  double least = 1e300;
  // Among a few, others each time: a look at all would cost more than all the rest.
  for (size_t k = 0; k < std::min<size_t>(64, clusters_.size()); ++k) {
    const size_t i = (clusters_born_ * 64 + k) % clusters_.size();
    const double worth = clusters_[i].joined - double(now_ms_ - clusters_[i].last_ms) / kDay;
    if (worth < least) least = worth, place = i;
  }
  clusters_[place] = Cluster{};
  return static_cast<uint32_t>(place + 1);
}

uint32_t SignupClustersImpl::begin_cluster(const SignupKeys& keys, int best, uint32_t number) {
  const KeyEntry* entry = keys_.find(keys.key[size_t(best)]);
  if (entry == nullptr) return 0;
  const KeyEntry from = *entry;
  const uint32_t place = free_place();
  Cluster& c = clusters_[place - 1];
  c.id = ++clusters_born_;
  c.born_ms = c.first_ms = c.last_ms = at(number).facts.t_ms;
  for (size_t i = from.recent.size(); i-- > 0;) {
    if (from.recent[i] == 0 || next_ - (from.recent[i] - 1) >= accounts_.size()) continue;
    Account& member = at(from.recent[i] - 1);
    if (member.cluster != 0 && clusters_[member.cluster - 1].joined > 3 && member.log_odds > 2) continue;
    const Expected expected = expected_of(background_, member.facts);
    Match m;
    m.likelihood = c.model.likelihood(member.facts, expected);
    c.first_ms = std::min(c.first_ms, member.facts.t_ms);
    c.last_ms = member.facts.t_ms;
    join(place, member.facts, expected, m, 1, false);
    member.cluster = place;
    member.log_odds = 0;
    touch_keys(signup_keys(member.facts, expected), from.recent[i] - 1, place);
  }
  return place;
}

// Honest signups teach the background after two days, by what is known of them then; in the first days sooner.
void SignupClustersImpl::learn_until(int64_t t_ms) {
  const double delay_ms = std::min(kLearnAfter, 0.5 * double(t_ms - begun_ms_));
  if (next_ - learned_ > accounts_.size()) learned_ = next_ - accounts_.size();
  for (int i = 0; i < 8 && learned_ < next_; ++i) {
    Account& a = at(learned_);
    if (double(a.facts.t_ms) + delay_ms > double(t_ms) && next_ - learned_ < options_.accounts_max / 2) return;
    const Expected expected = expected_of(background_, a.facts);
    const SignupKeys keys = signup_keys(a.facts, expected);
    const Match m = match(a.facts, expected, keys, true);
    if (m.cluster != 0 && m.log_odds > 0 && (a.cluster == 0 || m.log_odds > static_cast<double>(a.log_odds))) {
      a.cluster = m.cluster;
      a.log_odds = static_cast<float>(m.log_odds);
    }
    background_.learn(a.facts, m.log_odds <= 0 ? 1 : 1 / (1 + std::exp(m.log_odds)));
    ++learned_;
  }
}

// What members have in common beyond what an organisation shares that registers its people: a network, a language, a
// way of making names. Those count, too, but not more than the rest.
// One view alone, however strong, is not enough.
double SignupClustersImpl::evidence_of(const Cluster& c) const {
  std::array<double, kViews> mean{};
  double first = 0, second = 0;
  for (size_t v = 0; v < kViews; ++v) {
    mean[v] = std::clamp(static_cast<double>(c.view[v]) / (c.joined + 2), 0.0, 5.0);
    if (mean[v] > first) {
      second = first;
      first = mean[v];
    } else {
      second = std::max(second, mean[v]);
    }
  }
  const double personal = mean[kDeviceView] + mean[kBehaviour] + mean[kRecoveryView] + mean[kReuse];
  const double common = mean[kLexical] + mean[kNetworkView] + mean[kLocaleView];
  return (personal + std::min(common, 0.5 + personal) - 0.3 * first) * std::clamp(second / 1.5, 0.2, 1.0);
}

SignupScore SignupClustersImpl::score_of(const Expected& expected, const Match& m, float key_surprise) const {
  SignupScore out;
  auto& f = out.feature;
  f[kLogOdds] = static_cast<float>(std::clamp(m.log_odds, -12.0, 25.0));
  f[kPrior] = static_cast<float>(m.prior);
  double evidence = 0;
  if (m.cluster != 0) {
    const Cluster& c = clusters_[m.cluster - 1];
    out.cluster = c.id;
    for (size_t v = 0; v < kViews; ++v) {
      f[kViewName + v] = m.likelihood.view[v];
      f[kMeanName + v] = c.view[v] / static_cast<float>(c.joined + 2);
    }
    evidence = evidence_of(c);
    f[kClusterSize] = static_cast<float>(std::log1p(c.model.members()));
    f[kAftermath] = c.aftermath;
  }
  f[kKeySurprise] = static_cast<float>(std::log1p(static_cast<double>(key_surprise)));
  f[kRareFill] = -static_cast<float>(expected.log_density[kFill]);
  f[kRareForm] = -static_cast<float>(expected.log_p[kForm]);
  f[kRareDevice] = -static_cast<float>(expected.log_p[kDevice]);
  f[kRareLocale] = -static_cast<float>(expected.log_p[kLocale]);
  f[kRareName] = -static_cast<float>(expected.log_p[kShape]);
  const auto& v = m.likelihood.view;
  const auto personal = static_cast<double>(v[kDeviceView] + v[kBehaviour] + v[kRecoveryView] + v[kReuse]);
  const auto common = static_cast<double>(v[kLexical] + v[kNetworkView] + v[kLocaleView]);
  const double own = m.cluster == 0 ? -5 : personal + std::min(common, std::max(personal, 0.0) + 3) + m.prior;
  const double belongs = 1 / (1 + std::exp(2.5 - own));
  const double z = 0.25 * std::clamp(own, -5.0, 12.0) + belongs * 0.7 * evidence +
                   static_cast<double>(f[kAftermath]) / (1 + std::exp(4 - own)) +
                   0.05 * std::min(30.0, static_cast<double>(key_surprise)) - 6;
  out.score = 1 / (1 + std::exp(-z));
  return out;
}

SignupScore SignupClustersImpl::signup(const Signup& signup) {
  decay(signup.t_ms);
  Account a;
  a.facts = signup_facts(signup);
  a.facts.t_ms = now_ms_;
  learn_until(now_ms_);
  const Expected expected = expected_of(background_, a.facts);
  const SignupKeys keys = signup_keys(a.facts, expected);
  Match m = match(a.facts, expected, keys, false);
  int best = -1;
  const float key_surprise = surprise_of(keys, a.facts, &best);
  const SignupScore out = score_of(expected, m, key_surprise);

  const auto number = static_cast<uint32_t>(next_++);
  a.log_odds = static_cast<float>(m.log_odds);
  a.score = static_cast<float>(out.score);
  if (out.score >= kActable) a.acted_ms = now_ms_;
  const double posterior = 1 / (1 + std::exp(-m.log_odds));
  if (posterior > 0.5) a.cluster = m.cluster;
  if (accounts_.size() < options_.accounts_max)
    accounts_.push_back(a);
  else
    at(number) = a;
  by_account_.at(a.facts.account, [](uint32_t n) { return n; }) = number + 1;
  if (posterior > 0.5) {
    join(m.cluster, a.facts, expected, m, posterior, true);
    touch_keys(keys, number, m.cluster);
  } else {
    touch_keys(keys, number, 0);
    if (static_cast<double>(key_surprise) > kSeedSurprise && best >= 0) begin_cluster(keys, best, number);
  }
  // A class of which nearly nothing is known learns from all at once: there is nothing yet to be surprised by.
  // (All Tor users look alike by design, so there it takes longer.)
  if (background_.learned(a.facts.net) < (a.facts.net == NetClass::kTor ? kClassMature : kClassMature / 4))
    background_.learn(a.facts, 0.5);
  arrivals_[size_t(net_group(a.facts.net))] += 1 - posterior;
  all_arrivals_ += 1;
  return out;
}

}  // namespace tamis::detect
