#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tamis::model {
namespace {

// The processor fetches this many slots ahead, into its second cache, which has more fetches under way than the first:
// they lie anywhere in a table larger than its caches.
constexpr size_t kAhead = 48;

typedef float Four __attribute__((vector_size(16)));
static_assert(sizeof(Slot) == 2 * sizeof(Four));

}  // namespace

void Weights::sums(FeatureSpan features, LinearSums& out) const {
  // Two additions of four lanes a slot: its two counts are among them, whose sums nobody looks at.
  std::array<std::array<Four, 2>, kPlaces> sum{};
  std::array<uint32_t, kPlaces> count{};
  const auto fetch = [&](FeatureId id) { __builtin_prefetch(&slots_[index(id)], 0, 2); };
  for (const FeatureId id : features.first(std::min(kAhead, features.size()))) fetch(id);
  for (size_t i = 0; i < features.size();) {
    const size_t place = place_of(features[i]);
    Four low = sum[place][0], high = sum[place][1];
    const size_t begin = i;
    for (; i < features.size() && place_of(features[i]) == place; ++i) {
      if (i + kAhead < features.size()) fetch(features[i + kAhead]);
      std::array<Four, 2> from;
      std::memcpy(&from, &slots_[index(features[i])], sizeof from);
      low += from[0];
      high += from[1];
    }
    sum[place] = {low, high};
    count[place] += static_cast<uint32_t>(i - begin);
  }
  for (size_t l = 0; l < kLinears; ++l) {
    float squares = 1;
    for (size_t p = 0; p < kPlaces; ++p) squares += static_cast<float>(count[p]) * kSight[l][p] * kSight[l][p];
    const float unit = 1.0f / std::sqrt(squares);
    float logit = bias_[l];
    for (size_t p = 0; p < kPlaces; ++p) {
      out.factor[l][p] = kSight[l][p] * unit;
      out.by_place[l][p] = sum[p][l / 4][l % 4] * out.factor[l][p];
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
