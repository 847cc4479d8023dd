// The table of learned numbers: one slot of 32 bytes per bucket of feature hashes holds the weight of the feature in
// each logistic regression and how many messages of either label had it, so that one cache line serves all learners.
// Features that share a bucket share what is learned (the hashing trick: Weinberger et al., ICML 2009).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/features.h"
#include "model/huge_pages.h"

namespace tamis::model {

inline constexpr size_t kLinears = 6;

struct alignas(32) Slot {
  std::array<float, kLinears> weight{};
  float ham = 0;
  float spam = 0;
  bool operator==(const Slot&) const = default;
};
static_assert(sizeof(Slot) == 32);

// How much a feature of each place counts in each regression; 0: the regression does not see it.
inline constexpr std::array<std::array<float, kPlaces>, kLinears> kSight = {{
    // header structure subject body pair link gram other
    {1, 0.7f, 1, 1, 0.7f, 1, 0.7f, 1},
    {1, 0.7f, 1, 1, 0, 1, 0, 1},
    {0, 0, 1, 1, 0, 1, 0, 0},
    {0, 0.5f, 1, 1, 1, 1, 0, 0},
    {1, 1, 1, 0, 0, 0, 0, 1},
    {0, 0, 0, 0, 0, 0, 1, 0},
}};

// What the regressions say of one message: its factors (how much one feature of a place moves the logit, with the
// vector at unit length) and the logits by place.
struct LinearSums {
  std::array<std::array<float, kPlaces>, kLinears> factor{};
  std::array<std::array<float, kPlaces>, kLinears> by_place{};
  std::array<float, kLinears> logit{};
};

class Weights {
 public:
  explicit Weights(uint32_t slots_log2) : slots_(size_t{1} << slots_log2), shift_(32 - slots_log2) {}

  const Slot& slot(FeatureId id) const { return slots_[index(id)]; }
  void sums(FeatureSpan features, LinearSums& out) const;
  // Moves each regression by its step[l] times the message's factors.
  void move(FeatureSpan features, const LinearSums& sums, const std::array<float, kLinears>& step);
  // Adds to the counts of messages with these features (by may be negative; counts stay at zero or above).
  void count(FeatureSpan features, bool spam, float by);

  std::array<float, kLinears>& bias() { return bias_; }
  const std::array<float, kLinears>& bias() const { return bias_; }
  TableOf<Slot>& slots() { return slots_; }
  const TableOf<Slot>& slots() const { return slots_; }

 private:
  size_t index(FeatureId id) const { return (id * 0x9e3779b1u) >> shift_; }

  TableOf<Slot> slots_;
  std::array<float, kLinears> bias_{};
  uint32_t shift_;
};

}  // namespace tamis::model
