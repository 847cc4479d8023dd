#include "detect/background.h"

#include <cmath>

namespace tamis::detect {
namespace {

constexpr double kDiscount = 0.6;
constexpr double kClassPrior = 8;  // signups whose weight the back-off has
constexpr double kCountryPrior = 1.5;
// How many values an attribute is thought to have before any was seen.
constexpr double kValuesPrior[kAttributes] = {60, 300, 20000, 8000, 4000, 300, 20000, 2000, 100, 2000, 8, 4, 1e6, 1e6};
constexpr double kLogRange = 12;  // nats of time for a measure about which nothing is known

float worth(const float& count) { return count; }

}  // namespace

void Background::count(int attribute, int net, uint32_t value, float weight) {
  float& counted = counts_.at(key(attribute, net, value), worth);
  Total& total = totals_[size_t(attribute)][size_t(net)];
  const float before = counted;
  counted += weight;
  const auto band = [](float c) { return c <= 0 ? 0 : c < 1.5f ? 1 : c < 2.5f ? 2 : 3; };
  const int from = band(before), to = band(counted);
  if (from == 0) total.distinct += 1;
  if (from != to) {
    if (from == 1) total.once -= 1;
    if (from == 2) total.twice -= 1;
    if (to == 1) total.once += 1;
    if (to == 2) total.twice += 1;
  }
  total.sum += weight;
}

void Background::learn(const SignupFacts& facts, double weight) {
  if (weight < 0.05) return;
  const auto w = static_cast<float>(weight);
  const int net = static_cast<int>(facts.net);
  for (int a = 0; a < kAttributes; ++a) {
    const uint32_t value = facts.value[size_t(a)];
    if (value == 0) continue;
    count(a, net, value, w);
    count(a, kBackOff, value, w);
    if (facts.net == NetClass::kHosting || facts.net == NetClass::kVpn) count(a, kHosted, value, w);
  }
  if (facts.value[kLocale] != 0 && facts.country != 0) {
    counts_.at(key(kAttributes, net, base::combine64(facts.country, facts.value[kLocale])), worth) += w;
    counts_.at(key(kAttributes + 1, net, facts.country), worth) += w;
  }
  if (facts.value[kLocale] != 0 && facts.value[kDevice] != 0) {
    counts_.at(key(kAttributes + 2, 0, base::combine64(facts.value[kDevice], facts.value[kLocale])), worth) += w;
  }
  if (facts.measure[kRtt] >= 0 && facts.country != 0) {
    const float x = facts.measure[kRtt];
    counts_.at(key(kAttributes + 3, net, facts.country), worth) += w;
    counts_.at(key(kAttributes + 4, net, facts.country), worth) += w * x;
  }
  for (int m = 0; m < kMeasures; ++m) {
    const float x = facts.measure[size_t(m)];
    if (x < 0) continue;
    histograms_[histogram(Measure(m), facts)][size_t(bin(x))] += w;
    histogram_sums_[histogram(Measure(m), facts)] += w;
    pooled_[pooled(Measure(m), facts)][size_t(bin(x))] += w;
    pooled_sums_[pooled(Measure(m), facts)] += w;
  }
  classes_[size_t(net)] += weight;
  all_ += weight;
}

double Background::log_p_of(Attribute attribute, uint32_t value, NetClass net) const {
  const auto& totals = totals_[attribute];
  const Total& all = totals[kBackOff];
  const Total& own = totals[size_t(net)];
  const float* in_all = counts_.find(key(attribute, kBackOff, value));
  const float* in_own = in_all == nullptr ? nullptr : counts_.find(key(attribute, int(net), value));
  // Chao's lower bound of the unseen, and the prior as long as little is known.
  const double unseen = all.once * all.once / (2 * (all.twice + 1)) + kValuesPrior[attribute] * 50 / (50 + all.sum);
  const double each = 1 / (all.distinct + unseen + 1);
  const double prior = 20;
  double p = (in_all ? std::max(0.0, *in_all - kDiscount) : 0) + (kDiscount * all.distinct + prior) * each;
  p /= all.sum + prior;
  if (net == NetClass::kHosting || net == NetClass::kVpn) {
    const Total& hosted = totals[kHosted];
    const float* in_hosted = in_all == nullptr ? nullptr : counts_.find(key(attribute, kHosted, value));
    p = (in_hosted ? std::max(0.0, *in_hosted - kDiscount) : 0) + (kDiscount * hosted.distinct + kClassPrior) * p;
    p /= hosted.sum + kClassPrior;
  }
  p = (in_own ? std::max(0.0, *in_own - kDiscount) : 0) + (kDiscount * own.distinct + kClassPrior) * p;
  p /= own.sum + kClassPrior;
  return std::log(std::min(p, 1.0));
}

double Background::log_p(Attribute attribute, const SignupFacts& facts) const {
  const uint32_t value = facts.value[attribute];
  if (value == 0) return 0;
  const double p = log_p_of(attribute, value, facts.net);
  if (attribute != kLocale || facts.country == 0) return p;
  const float* pair = counts_.find(key(kAttributes, int(facts.net), base::combine64(facts.country, value)));
  const float* country = counts_.find(key(kAttributes + 1, int(facts.net), facts.country));
  const double n = country ? *country : 0;
  const double by_country = ((pair ? *pair : 0) + kCountryPrior * std::exp(p)) / (n + kCountryPrior);
  // A device that many share may bring its locale with it (a browser that hides both): the better honest explanation
  // counts.
  const float* both = counts_.find(key(kAttributes + 2, 0, base::combine64(facts.value[kDevice], value)));
  double by_device = 0;
  if (both != nullptr && *both > 2) {
    const float* device = counts_.find(key(kDevice, kBackOff, facts.value[kDevice]));
    if (device != nullptr) by_device = (*both - 1) / (*device + 2);
  }
  return std::log(std::min(1.0, std::max(by_country, by_device)));
}

double Background::log_density(Measure measure, const SignupFacts& facts) const {
  const float x = facts.measure[measure];
  if (x < 0) return 0;
  const auto& own = histograms_[histogram(measure, facts)];
  const auto& all = pooled_[pooled(measure, facts)];
  const int at = bin(x);
  // Triangular kernel over three eighths of a nat either side.
  constexpr double kKernel[4] = {4, 3, 2, 1};
  double near_own = 0, near_all = 0;
  for (int d = -3; d <= 3; ++d) {
    const int b = at + d;
    if (b < 0 || b >= kBins) continue;
    near_own += kKernel[d < 0 ? -d : d] * own[size_t(b)];
    near_all += kKernel[d < 0 ? -d : d] * all[size_t(b)];
  }
  const double sum_own = histogram_sums_[histogram(measure, facts)], sum_all = pooled_sums_[pooled(measure, facts)];
  const double flat = 1 / kLogRange;
  const double of_all = (near_all / 16 * 8 + 5 * flat) / (sum_all + 5);
  return std::log((near_own / 16 * 8 + 10 * of_all) / (sum_own + 10));
}

double Background::usual_rtt(const SignupFacts& facts) const {
  const float* n = counts_.find(key(kAttributes + 3, int(facts.net), facts.country));
  const float* sum = counts_.find(key(kAttributes + 4, int(facts.net), facts.country));
  if (n == nullptr || sum == nullptr || *n < 3) return -1;
  return static_cast<double>(*sum / *n);
}

double Background::class_share(NetClass net) const { return (classes_[size_t(net)] + 1) / (all_ + kNetClasses); }

void Background::save(uint32_t piece, std::string& out) const {
  if (piece + 1 < kPieces) return counts_.save_shard(piece, out);
  state::put_number(out, totals_);
  state::put_number(out, histograms_);
  state::put_number(out, pooled_);
  state::put_number(out, histogram_sums_);
  state::put_number(out, pooled_sums_);
  state::put_number(out, classes_);
  state::put_number(out, all_);
}

bool Background::load(uint32_t piece, state::ByteReader& in) {
  if (piece + 1 < kPieces) return counts_.load_shard(piece, in);
  totals_ = in.number<decltype(totals_)>();
  histograms_ = in.number<decltype(histograms_)>();
  pooled_ = in.number<decltype(pooled_)>();
  histogram_sums_ = in.number<decltype(histogram_sums_)>();
  pooled_sums_ = in.number<decltype(pooled_sums_)>();
  classes_ = in.number<decltype(classes_)>();
  all_ = in.number<double>();
  return in.ok();
}

}  // namespace tamis::detect
