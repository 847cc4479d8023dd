#include "detect/cluster_model.h"

#include <algorithm>
#include <cmath>

namespace tamis::detect {
namespace {

constexpr float kViewMin = -6, kViewMax = 7;
// Prior of the spread of times within a cluster: three observations of a standard deviation of 0.4.
constexpr double kSpreadObservations = 3, kSpreadPrior = 0.4;
// Times that agree better than this (relative) agree no better: the background is not known any finer.
constexpr double kVarianceMin = 0.0144;

double log_mix(double w, double log_ratio) { return std::log((1 - w) + w * std::exp(std::min(log_ratio, 14.0))); }

float clamp_view(double x) { return std::clamp(static_cast<float>(x), kViewMin, kViewMax); }

// Attributes of one view tell of the same thing: their average likelihood counts, not the product.
double average(std::initializer_list<double> logs) {
  double sum = 0;
  for (double l : logs) sum += std::exp(std::min(l, 14.0));
  return std::log(sum / double(logs.size()));
}

}  // namespace

Expected expected_of(const Background& background, const SignupFacts& facts) {
  Expected e;
  for (int a = 0; a < kAttributes; ++a) e.log_p[size_t(a)] = background.log_p(Attribute(a), facts);
  for (int m = 0; m < kMeasures; ++m) e.log_density[size_t(m)] = background.log_density(Measure(m), facts);
  const double usual = background.usual_rtt(facts);
  if (usual >= 0 && facts.measure[kRtt] >= 0) {
    e.slower = static_cast<double>(facts.measure[kRtt]) - usual;
    e.has_slower = true;
  }
  return e;
}

double ClusterModel::spread(Measure m) const {
  const Gauss& g = gauss_[m];
  return std::sqrt((g.squares + kSpreadObservations * kSpreadPrior * kSpreadPrior) / (g.weight + kSpreadObservations));
}

double ClusterModel::log_t(const Gauss& g, double x) const {
  // Predictive of a normal with unknown mean and spread; the mean's prior is so wide that the data decides.
  const double n = g.weight + 0.01, degrees = kSpreadObservations + g.weight;
  const double spread = (g.squares + kSpreadObservations * kSpreadPrior * kSpreadPrior) / degrees;
  const double variance = std::max(spread, kVarianceMin) * (1 + 1 / std::max(n, 0.5));
  const double z2 = (x - g.mean) * (x - g.mean) / variance;
  // Gamma((d+1)/2)/Gamma(d/2)/sqrt(d pi), to a thousandth: sqrt(1/(2 pi)) * (1 - 1/(4d)).
  return std::log(0.39894228 * (1 - 0.25 / degrees) / std::sqrt(variance)) -
         0.5 * (degrees + 1) * std::log1p(z2 / degrees);
}

Likelihood ClusterModel::likelihood(const SignupFacts& facts, const Expected& expected) const {
  Likelihood out;
  for (int i = 0; i < kAttributes; ++i) {
    const auto a = size_t(i);
    const uint32_t value = facts.value[a];
    if (value == 0 || seen_[a] < 0.5f) continue;
    const Pool& pool = pools_[a];
    float count = 0;
    for (const Entry& entry : pool.entries)
      if (entry.value == value) count = entry.count;
    const double log_ratio = count > 0 ? std::log(count / pool.sum) - expected.log_p[a] : -30;
    out.attribute[a] = static_cast<float>(log_mix(sharing(Attribute(i)), log_ratio));
  }
  for (int i = 0; i < kMeasures; ++i) {
    const auto m = size_t(i);
    const Gauss& g = gauss_[time_of(Measure(i), facts)];
    double x, log_p;
    if (!time_value(Measure(i), facts, expected, &x, &log_p) || g.n < 0.5f) continue;
    const double w = (g.drawn + 0.5) / (g.n + 1.0);
    out.measure[m] = static_cast<float>(log_mix(w, log_t(g, x) - log_p));
  }
  const auto& a = out.attribute;
  out.view[kLexical] = clamp_view(average({a[kShape], a[kFine]}) + static_cast<double>(a[kStem]));
  out.view[kDeviceView] = clamp_view(average({a[kDevice], a[kHardware], a[kAgent]}));
  out.view[kNetworkView] = clamp_view(average({a[kNetwork], a[kAsn]}) + static_cast<double>(out.measure[kRtt]));
  out.view[kLocaleView] = clamp_view(a[kLocale]);
  out.view[kRecoveryView] = clamp_view(a[kRecovery]);
  out.view[kBehaviour] = clamp_view(a[kForm] + a[kTries] + out.measure[kFill] + out.measure[kCaptcha]);
  out.view[kReuse] = clamp_view(average({a[kMailbox], a[kCookie]}));
  for (float v : out.view) out.total += v;
  return out;
}

void ClusterModel::add(const SignupFacts& facts, const Expected& expected, const Likelihood& likelihood,
                       double weight) {
  const auto w = static_cast<float>(weight);
  for (int i = 0; i < kAttributes; ++i) {
    const auto a = size_t(i);
    const uint32_t value = facts.value[a];
    if (value == 0) continue;
    Pool& pool = pools_[a];
    if (seen_[a] > 0) {
      // How much of this draw was the pool's: 1 - (1 - w) / mixture.
      const double mixture = std::exp(static_cast<double>(likelihood.attribute[a]));
      drawn_[a] += w * static_cast<float>(std::clamp(1 - (1 - sharing(Attribute(i))) / mixture, 0.0, 1.0));
    }
    seen_[a] += w;
    Entry* at = nullptr;
    Entry* least = &pool.entries[0];
    for (Entry& entry : pool.entries) {
      if (entry.value == value) at = &entry;
      if (entry.count < least->count) least = &entry;
    }
    if (at == nullptr) {
      at = least;
      pool.sum -= least->count;
      *least = {value, 0};
    }
    at->count += w;
    pool.sum += w;
  }
  for (int i = 0; i < kMeasures; ++i) {
    const auto m = size_t(i);
    double x, log_p;
    if (!time_value(Measure(i), facts, expected, &x, &log_p)) continue;
    Gauss& g = gauss_[time_of(Measure(i), facts)];
    double part = 1;
    if (g.n >= 0.5f) {
      const double mixture = std::exp(static_cast<double>(likelihood.measure[m]));
      const double share = (g.drawn + 0.5) / (g.n + 1.0);
      part = std::clamp(1 - (1 - share) / mixture, 0.0, 1.0);
      g.drawn += w * static_cast<float>(part);
    }
    // Once the model knows where its times lie, a draw from the background does not move them.
    const float taken = g.n < 3 ? w : w * static_cast<float>(part);
    g.n += w;
    g.weight += taken;
    const float step = static_cast<float>(x) - g.mean;
    g.mean += step * taken / std::max(g.weight, 0.01f);
    g.squares += taken * step * (static_cast<float>(x) - g.mean);
  }
  members_ += weight;
}

void ClusterModel::merge(const ClusterModel& other) {
  for (size_t a = 0; a < kAttributes; ++a) {
    Pool& pool = pools_[a];
    for (const Entry& from : other.pools_[a].entries) {
      if (from.count <= 0) continue;
      Entry* at = &pool.entries[0];
      for (Entry& entry : pool.entries) {
        if (entry.value == from.value) {
          at = &entry;
          break;
        }
        if (entry.count < at->count) at = &entry;
      }
      if (at->value != from.value) {
        if (at->count >= from.count) continue;
        pool.sum -= at->count;
        *at = {from.value, 0};
      }
      at->count += from.count;
      pool.sum += from.count;
    }
    drawn_[a] += other.drawn_[a];
    seen_[a] += other.seen_[a];
  }
  for (size_t m = 0; m < kTimes; ++m) {
    Gauss& g = gauss_[m];
    const Gauss& o = other.gauss_[m];
    const float weight = g.weight + o.weight;
    if (weight <= 0) continue;
    const float apart = o.mean - g.mean;
    g.squares += o.squares + apart * apart * g.weight * o.weight / weight;
    g.mean += apart * o.weight / weight;
    g.weight = weight;
    g.n += o.n;
    g.drawn += o.drawn;
  }
  members_ += other.members_;
}

ClusterModel::Top ClusterModel::top(Attribute a) const {
  Top best;
  float count = 0;
  for (const Entry& entry : pools_[a].entries)
    if (entry.count > count) count = entry.count, best.value = entry.value;
  best.share = seen_[a] > 0 ? static_cast<double>(count / seen_[a]) : 0;
  return best;
}

int ClusterModel::distinct_in_pool(Attribute a) const {
  int n = 0;
  for (const Entry& entry : pools_[a].entries) n += entry.count > 0;
  return n;
}

}  // namespace tamis::detect
