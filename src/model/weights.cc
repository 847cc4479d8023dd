#include "model/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tamis::model {
namespace {

// The processor fetches this many slots ahead: they lie anywhere in a table larger than its caches.
constexpr size_t kAhead = 16;

}  // namespace

void Weights::sums(FeatureSpan features, LinearSums& out) const {
  // Eight lanes, the slot's two counts among them, as that is two additions of four; nobody looks at these sums.
  using Lanes = std::array<float, sizeof(Slot) / sizeof(float)>;
  std::array<Lanes, kPlaces> sum{};
  std::array<uint32_t, kPlaces> count{};
  for (size_t i = 0; i < features.size();) {
    const size_t place = place_of(features[i]);
    Lanes to = sum[place];
    const size_t begin = i;
    for (; i < features.size() && place_of(features[i]) == place; ++i) {
      if (i + kAhead < features.size()) __builtin_prefetch(&slots_[index(features[i + kAhead])]);
      const auto from = std::bit_cast<Lanes>(slots_[index(features[i])]);
      for (size_t l = 0; l < from.size(); ++l) to[l] += from[l];
    }
    sum[place] = to;
    count[place] += static_cast<uint32_t>(i - begin);
  }
  for (size_t l = 0; l < kLinears; ++l) {
    float squares = 1;
    for (size_t p = 0; p < kPlaces; ++p) squares += static_cast<float>(count[p]) * kSight[l][p] * kSight[l][p];
    const float unit = 1.0f / std::sqrt(squares);
    float logit = bias_[l];
    for (size_t p = 0; p < kPlaces; ++p) {
      out.factor[l][p] = kSight[l][p] * unit;
      out.by_place[l][p] = sum[p][l] * out.factor[l][p];
      logit += out.by_place[l][p];
    }
    out.logit[l] = logit;
  }
}

void Weights::move(FeatureSpan features, const LinearSums& sums, const std::array<float, kLinears>& step) {
  std::array<std::array<float, kLinears>, kPlaces> by{};
  for (size_t p = 0; p < kPlaces; ++p) {
    for (size_t l = 0; l < kLinears; ++l) by[p][l] = step[l] * sums.factor[l][p];
  }
  for (const FeatureId id : features) {
    Slot& slot = slots_[index(id)];
    const auto& add = by[place_of(id)];
    for (size_t l = 0; l < kLinears; ++l) slot.weight[l] += add[l];
  }
  for (size_t l = 0; l < kLinears; ++l) bias_[l] += step[l] * 0.01f;
}

void Weights::count(FeatureSpan features, bool spam, float by) {
  for (const FeatureId id : features) {
    Slot& slot = slots_[index(id)];
    float& n = spam ? slot.spam : slot.ham;
    n = std::max(0.0f, n + by);
  }
}

}  // namespace tamis::model
