#include "detect/cluster_model.h"

#include <algorithm>
#include <cmath>

#include "detect/fast_math.h"

namespace tamis::detect {
namespace {

constexpr float kViewMin = -6, kViewMax = 7;
// Prior of the spread of times within a cluster: three observations of a standard deviation of 0.4.
constexpr double kSpreadObservations = 3, kSpreadPrior = 0.4;
// Times that agree better than this (relative) agree no better: the background is not known any finer.
constexpr double kVarianceMin = 0.0144;

// e^14: what one attribute is worth at most.
constexpr double kRatioMax = 1202604.2842;

float view_of(double ratio) { return std::clamp(static_cast<float>(fast_log(ratio)), kViewMin, kViewMax); }
double mixed(double w, double ratio) { return (1 - w) + w * std::min(ratio, kRatioMax); }

}  // namespace

Expected expected_of(const Background& background, const SignupFacts& facts, const BackgroundKeys& keys) {
  Expected e;
  for (int a = 0; a < kAttributes; ++a) e.p[size_t(a)] = background.p(Attribute(a), facts, keys);
  for (Measure m : {kFill, kCaptcha}) {
    e.given[m] = facts.measure[m] >= 0;
    e.x[m] = static_cast<double>(facts.measure[m]);
    e.density[m] = background.density(m, facts);
  }
  // The round trip counts against the usual one from there: a relay adds to it wherever it stands.
  const double usual = background.usual_rtt(facts, keys);
  e.density[kRtt] = 1;
  if (usual >= 0 && facts.measure[kRtt] >= 0) {
    const double slower = static_cast<double>(facts.measure[kRtt]) - usual;
    e.given[kRtt] = true;
    e.x[kRtt] = slower;
    e.density[kRtt] = background.density_of_rtt(facts, slower);
  }
  return e;
}

double ClusterModel::spread(Measure m) const {
  const Gauss& g = gauss_[m];
  return std::sqrt((static_cast<double>(g.squares) + kSpreadObservations * kSpreadPrior * kSpreadPrior) /
                   (static_cast<double>(g.weight) + kSpreadObservations));
}

double ClusterModel::typical_ms(Measure m) const { return fast_exp(static_cast<double>(gauss_[m].mean)); }

double ClusterModel::t_density(const Gauss& g, double x) {
  // Predictive of a normal with unknown mean and spread; the mean's prior is so wide that the data decides.
  const auto weight = static_cast<double>(g.weight), away = x - static_cast<double>(g.mean);
  const double degrees = kSpreadObservations + weight;
  const double spread = (static_cast<double>(g.squares) + kSpreadObservations * kSpreadPrior * kSpreadPrior) / degrees;
  const double variance = std::max(spread, kVarianceMin) * (1 + 1 / std::max(weight + 0.01, 0.5));
  const double z2 = away * away / variance;
  // Gamma((d+1)/2)/Gamma(d/2)/sqrt(d pi), to a thousandth: sqrt(1/(2 pi)) * (1 - 1/(4d)).
  return 0.39894228 * (1 - 0.25 / degrees) / std::sqrt(variance) *
         fast_exp(-0.5 * (degrees + 1) * fast_log1p(z2 / degrees));
}

ClusterModel::Gauss ClusterModel::without(const Gauss& g, double x) {
  const auto weight = static_cast<double>(g.weight), mean = static_cast<double>(g.mean);
  const double left = weight - 1;
  if (left < 1) return g;
  const double before = (weight * mean - x) / left;
  const double squares = static_cast<double>(g.squares) - (x - mean) * (x - before);
  if (squares < 0) return g;  // it lies where the model did not learn from it
  Gauss out = g;
  out.weight = static_cast<float>(left);
  out.mean = static_cast<float>(before);
  out.squares = static_cast<float>(squares);
  return out;
}

Likelihood ClusterModel::likelihood(const SignupFacts& facts, const Expected& expected, bool is_member) const {
  const float itself = is_member ? 1 : 0;
  Likelihood out;
  std::array<double, kAttributes> a;
  std::array<double, kMeasures> t;
  for (int i = 0; i < kAttributes; ++i) {
    const auto at = size_t(i);
    a[at] = 1;
    const uint32_t value = facts.value[at];
    if (value == 0 || seen_[at] < 0.5f) continue;
    const Pool& pool = pools_[at];
    const size_t place = pool.find(value);
    double ratio = 0;
    if (place < kPool && pool.count[place] > itself)
      ratio = static_cast<double>(pool.count[place] - itself) /
              (static_cast<double>(std::max(pool.sum - itself, 0.5f)) * expected.p[at]);
    a[at] = mixed(sharing(Attribute(i)), ratio);
  }
  for (int i = 0; i < kMeasures; ++i) {
    const auto m = size_t(i);
    t[m] = 1;
    const Gauss& g = gauss_[time_of(Measure(i), facts)];
    if (!expected.given[m] || g.n < 0.5f) continue;
    const double w = (static_cast<double>(g.drawn) + 0.5) / (static_cast<double>(g.n) + 1.0);
    const double density = t_density(is_member ? without(g, expected.x[m]) : g, expected.x[m]);
    t[m] = mixed(w, density / expected.density[m]);
  }
  for (size_t i = 0; i < kAttributes; ++i) out.attribute[i] = static_cast<float>(a[i]);
  for (size_t i = 0; i < kMeasures; ++i) out.measure[i] = static_cast<float>(t[i]);
  // Attributes of one view tell of the same thing: their average likelihood counts, not the product.
  out.view[kLexical] = view_of((a[kShape] + a[kFine] + a[kStyle]) / 3 * a[kStem]);
  out.view[kDeviceView] = view_of((a[kDevice] + a[kHardware] + a[kAgent]) / 3 * a[kCarried]);
  out.view[kNetworkView] = view_of((a[kNetwork] + a[kAsn]) / 2 * t[kRtt]);
  out.view[kLocaleView] = view_of(a[kLocale]);
  out.view[kRecoveryView] = view_of(a[kRecovery]);
  out.view[kBehaviour] = view_of(a[kForm] * a[kTries] * t[kFill] * t[kCaptcha]);
  out.view[kReuse] = view_of((a[kMailbox] + a[kCookie]) / 2);
  for (float v : out.view) out.total += v;
  return out;
}

void ClusterModel::add(const SignupFacts& facts, const Expected& expected, const Likelihood& likelihood,
                       double weight) {
  const auto w = static_cast<float>(weight);
  // How much of a draw was the cluster's own: 1 - (1 - w) / mixture.
  const auto own = [](double share, float mixture) {
    return static_cast<float>(std::clamp(1 - (1 - share) / static_cast<double>(mixture), 0.0, 1.0));
  };
  for (int i = 0; i < kAttributes; ++i) {
    const auto a = size_t(i);
    const uint32_t value = facts.value[a];
    if (value == 0) continue;
    Pool& pool = pools_[a];
    if (seen_[a] > 0) drawn_[a] += w * own(sharing(Attribute(i)), likelihood.attribute[a]);
    seen_[a] += w;
    size_t at = pool.find(value);
    if (at == kPool) {
      at = 0;
      for (size_t k = 1; k < kPool; ++k)
        if (pool.count[k] < pool.count[at]) at = k;
      pool.sum -= pool.count[at];
      pool.value[at] = value;
      pool.count[at] = 0;
    }
    pool.count[at] += w;
    pool.sum += w;
  }
  for (int i = 0; i < kMeasures; ++i) {
    const auto m = size_t(i);
    if (!expected.given[m]) continue;
    Gauss& g = gauss_[time_of(Measure(i), facts)];
    float part = 1;
    if (g.n >= 0.5f) {
      const double share = (static_cast<double>(g.drawn) + 0.5) / (static_cast<double>(g.n) + 1.0);
      part = own(share, likelihood.measure[m]);
      g.drawn += w * part;
    }
    // Once the model knows where its times lie, a draw from the background does not move them.
    const float taken = g.n < 3 ? w : w * part;
    g.n += w;
    g.weight += taken;
    const auto x = static_cast<float>(expected.x[m]);
    const float step = x - g.mean;
    g.mean += step * taken / std::max(g.weight, 0.01f);
    g.squares += taken * step * (x - g.mean);
  }
  members_ += weight;
}

ClusterModel::Top ClusterModel::top(Attribute a) const {
  Top best;
  float count = 0;
  const Pool& pool = pools_[a];
  for (size_t i = 0; i < kPool; ++i)
    if (pool.count[i] > count) count = pool.count[i], best.value = pool.value[i];
  best.share = seen_[a] > 0 ? static_cast<double>(count / seen_[a]) : 0;
  return best;
}

int ClusterModel::distinct_in_pool(Attribute a) const {
  int n = 0;
  for (float count : pools_[a].count) n += count > 0;
  return n;
}

}  // namespace tamis::detect
