#include "detect/background.h"

namespace tamis::detect {
namespace {

constexpr double kDiscount = 0.6;
constexpr double kClassPrior = 8;  // signups whose weight the back-off has
constexpr double kCountryPrior = 1.5;
// How many values an attribute is thought to have before any was seen.
constexpr double kValuesPrior[kAttributes] = {60,   300, 60,   20000, 8000, 4000, 300, 20000,
                                              2000, 100, 2000, 8,     4,    1e6,  1e6};
constexpr double kLogRange = 12;  // nats of time for a measure about which nothing is known

float worth(const float& count) { return count; }

// The keys of one value in all classes differ in the last byte only: they lie side by side.
uint64_t base_key(uint64_t what, uint64_t value) { return base::combine64(what, value) & ~uint64_t{0xff}; }
uint64_t of_class(uint64_t key, int net) { return key | (static_cast<uint64_t>(net) << 1) | 1u; }
constexpr int kRttCount = 16, kRttSum = 32, kCountry = 48;  // what is kept of a country; plus the class

// Cookies and mailboxes are people's own, whatever network they come through.
bool is_personal(int attribute) { return attribute == kMailbox || attribute == kCookie; }

}  // namespace

BackgroundKeys background_keys(const SignupFacts& facts) {
  BackgroundKeys keys;
  for (size_t a = 0; a < kAttributes; ++a)
    if (facts.value[a] != 0) keys.value[a] = base_key(a + 1, facts.value[a]);
  const uint64_t locale = facts.value[kLocale];
  if (locale != 0 && facts.country != 0) keys.in_country = base_key(100, uint64_t{facts.country} << 32 | locale);
  if (locale != 0 && facts.value[kDevice] != 0)
    keys.with_device = base_key(101, uint64_t{facts.value[kDevice]} << 32 | locale);
  if (facts.country != 0) keys.country = base_key(102, facts.country);
  return keys;
}

void Background::prefetch(const BackgroundKeys& keys) const {
  for (uint64_t key : keys.value)
    if (key != 0) counts_.prefetch(key);
  for (uint64_t key : {keys.in_country, keys.with_device, keys.country})
    if (key != 0) counts_.prefetch(key);
}

void Background::count(int attribute, int net, uint64_t key, float weight) {
  float& counted = counts_.at(of_class(key, net), worth);
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

void Background::learn(const SignupFacts& facts, const BackgroundKeys& keys, double weight) {
  if (weight < 0.05) return;
  const auto w = static_cast<float>(weight);
  const int net = static_cast<int>(facts.net);
  for (int a = 0; a < kAttributes; ++a) {
    const uint64_t key = keys.value[size_t(a)];
    if (key == 0) continue;
    count(a, kBackOff, key, w);
    if (is_personal(a)) continue;
    count(a, net, key, w);
    if (facts.net == NetClass::kHosting || facts.net == NetClass::kVpn) count(a, kHosted, key, w);
  }
  if (keys.in_country != 0) {
    counts_.at(of_class(keys.in_country, net), worth) += w;
    counts_.at(of_class(keys.country, kCountry + net), worth) += w;
  }
  if (keys.with_device != 0) counts_.at(of_class(keys.with_device, 0), worth) += w;
  const double usual = usual_rtt(facts, keys);
  if (facts.measure[kRtt] >= 0 && keys.country != 0) {
    counts_.at(of_class(keys.country, kRttCount + net), worth) += w;
    counts_.at(of_class(keys.country, kRttSum + net), worth) += w * facts.measure[kRtt];
  }
  for (int m = 0; m < kMeasures; ++m) {
    float x = facts.measure[size_t(m)];
    if (x < 0 || (m == kRtt && usual < 0)) continue;
    if (m == kRtt) x += kSlower - static_cast<float>(usual);
    histograms_[histogram(Measure(m), facts)][size_t(bin(x))] += w;
    histogram_sums_[histogram(Measure(m), facts)] += w;
    pooled_[pooled(Measure(m), facts)][size_t(bin(x))] += w;
    pooled_sums_[pooled(Measure(m), facts)] += w;
  }
  classes_[size_t(net)] += weight;
}

double Background::p_of(Attribute attribute, uint64_t key, NetClass net) const {
  const auto& totals = totals_[attribute];
  const Total& all = totals[kBackOff];
  const auto [in_all, in_class] = counts_.find_two(of_class(key, kBackOff), of_class(key, int(net)));
  const auto discounted = [](const float* count) {
    return count == nullptr ? 0.0 : std::max(0.0, static_cast<double>(*count) - kDiscount);
  };
  // Chao's lower bound of the unseen, and the prior as long as little is known.
  const double unseen = all.once * all.once / (2 * (all.twice + 1)) + kValuesPrior[attribute] * 50 / (50 + all.sum);
  const double prior = 20;
  double p = discounted(in_all) + (kDiscount * all.distinct + prior) / (all.distinct + unseen + 1);
  p /= all.sum + prior;
  if (is_personal(attribute)) return std::min(p, 1.0);
  if (net == NetClass::kHosting || net == NetClass::kVpn) {
    const Total& hosted = totals[kHosted];
    const float* in_hosted = in_all == nullptr ? nullptr : counts_.find(of_class(key, kHosted));
    p = discounted(in_hosted) + (kDiscount * hosted.distinct + kClassPrior) * p;
    p /= hosted.sum + kClassPrior;
  }
  const Total& own = totals[size_t(net)];
  const float* in_own = in_all == nullptr ? nullptr : in_class;
  p = discounted(in_own) + (kDiscount * own.distinct + kClassPrior) * p;
  p /= own.sum + kClassPrior;
  return std::min(p, 1.0);
}

double Background::p(Attribute attribute, const SignupFacts& facts, const BackgroundKeys& keys) const {
  if (keys.value[attribute] == 0) return 1;
  const double p = p_of(attribute, keys.value[attribute], facts.net);
  if (attribute != kLocale || keys.in_country == 0) return p;
  const float* pair = counts_.find(of_class(keys.in_country, int(facts.net)));
  const float* country = counts_.find(of_class(keys.country, kCountry + int(facts.net)));
  const double n = country ? static_cast<double>(*country) : 0;
  const double by_country = ((pair ? static_cast<double>(*pair) : 0) + kCountryPrior * p) / (n + kCountryPrior);
  // A device that many share may bring its locale with it (a browser that hides both): the better honest explanation
  // counts.
  const float* both = keys.with_device == 0 ? nullptr : counts_.find(of_class(keys.with_device, 0));
  double by_device = 0;
  if (both != nullptr && *both > 2) {
    const float* device = counts_.find(of_class(keys.value[kDevice], kBackOff));
    if (device != nullptr) by_device = static_cast<double>(*both - 1) / static_cast<double>(*device + 2);
  }
  return std::min(1.0, std::max(by_country, by_device));
}

double Background::density(Measure measure, const SignupFacts& facts) const {
  const float x = facts.measure[measure];
  return x < 0 ? 1 : density_at(measure, facts, x);
}

double Background::density_of_rtt(const SignupFacts& facts, double slower) const {
  return density_at(kRtt, facts, kSlower + static_cast<float>(slower));
}

double Background::density_at(Measure measure, const SignupFacts& facts, float x) const {
  const auto& own = histograms_[histogram(measure, facts)];
  const auto& all = pooled_[pooled(measure, facts)];
  const int at = bin(x);
  // Triangular kernel over three eighths of a nat either side.
  constexpr float kKernel[4] = {4, 3, 2, 1};
  float near_own = 0, near_all = 0;
  for (int d = -3; d <= 3; ++d) {
    const int b = at + d;
    if (b < 0 || b >= kBins) continue;
    near_own += kKernel[d < 0 ? -d : d] * own[size_t(b)];
    near_all += kKernel[d < 0 ? -d : d] * all[size_t(b)];
  }
  const auto sum_own = static_cast<double>(histogram_sums_[histogram(measure, facts)]);
  const auto sum_all = static_cast<double>(pooled_sums_[pooled(measure, facts)]);
  const double flat = 1 / kLogRange;
  const double of_all = (static_cast<double>(near_all) / 2 + 5 * flat) / (sum_all + 5);
  return (static_cast<double>(near_own) / 2 + 10 * of_all) / (sum_own + 10);
}

double Background::usual_rtt(const SignupFacts& facts, const BackgroundKeys& keys) const {
  if (keys.country == 0) return -1;
  const float* n = counts_.find(of_class(keys.country, kRttCount + int(facts.net)));
  const float* sum = counts_.find(of_class(keys.country, kRttSum + int(facts.net)));
  if (n == nullptr || sum == nullptr || *n < 3) return -1;
  return static_cast<double>(*sum / *n);
}

void Background::save_head(std::string& out) const {
  state::put_number(out, totals_);
  state::put_number(out, histograms_);
  state::put_number(out, pooled_);
  state::put_number(out, histogram_sums_);
  state::put_number(out, pooled_sums_);
  state::put_number(out, classes_);
}

bool Background::load_head(state::ByteReader& in) {
  totals_ = in.number<decltype(totals_)>();
  histograms_ = in.number<decltype(histograms_)>();
  pooled_ = in.number<decltype(pooled_)>();
  histogram_sums_ = in.number<decltype(histogram_sums_)>();
  pooled_sums_ = in.number<decltype(pooled_sums_)>();
  classes_ = in.number<decltype(classes_)>();
  return in.ok();
}

}  // namespace tamis::detect
