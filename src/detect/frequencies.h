// Frequencies: how likely a value of an attribute is in a group, with a back-off to all groups and an estimate for what
// has never been seen (absolute discounting; the number of unseen values after Chao, 1984). Learned from weights.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "detect/keyed_table.h"

namespace tamis::detect {

class Frequencies {
 public:
  // `unseen_prior`: of each attribute, how many values it is thought to have before any was seen.
  Frequencies(std::vector<double> unseen_prior, int groups, uint64_t values_max)
      : unseen_prior_(std::move(unseen_prior)),
        groups_(groups),
        counts_(values_max),
        totals_(unseen_prior_.size() * size_t(groups + 1)) {}

  void learn(int attribute, int group, uint64_t value, float weight) {
    const uint64_t in_own = key(attribute, group, value), in_all = key(attribute, groups_, value);
    const auto [own, all] = counts_.change_two(in_own, in_all);
    if (own != nullptr && all != nullptr) {
      count(*own, total(attribute, group), weight);
      count(*all, total(attribute, groups_), weight);
      return;
    }
    const auto worth = [](float c) { return c; };
    count(counts_.at(in_own, worth), total(attribute, group), weight);
    count(counts_.at(in_all, worth), total(attribute, groups_), weight);
  }
  double p(int attribute, int group, uint64_t value) const {
    const Total& own = total(attribute, group);
    const auto [in_all, in_own] = counts_.find_two(key(attribute, groups_, value), key(attribute, group, value));
    double p = p_back_off(attribute, in_all);
    p = (in_own && in_all ? std::max(0.0, *in_own - kDiscount) : 0) + (kDiscount * own.distinct + kOwnPrior) * p;
    return std::min(p / (own.sum + kOwnPrior), 1.0);
  }
  // In all groups together.
  double p_all(int attribute, uint64_t value) const {
    const float* in_all = counts_.find(key(attribute, groups_, value));
    return p_back_off(attribute, in_all);
  }
  double learned(int attribute, int group) const { return total(attribute, group).sum; }
  uint64_t bytes() const { return counts_.bytes(); }

  void prefetch(int attribute, uint64_t value) const { counts_.prefetch(key(attribute, 0, value)); }

  // For snapshots: the table of counts goes in segments, all else with the head.
  KeyedTable<float>& counts() { return counts_; }
  const KeyedTable<float>& counts() const { return counts_; }
  void save_head(std::string& out) const {
    for (const Total& t : totals_) state::put_number(out, t);
  }
  [[nodiscard]] bool load_head(state::ByteReader& in) {
    for (Total& t : totals_) t = in.number<Total>();
    return in.ok();
  }

 private:
  static constexpr double kDiscount = 0.6, kPrior = 20, kOwnPrior = 8;
  struct Total {
    double sum = 0, distinct = 0, once = 0, twice = 0;
  };

  double p_back_off(int attribute, const float* counted) const {
    const Total& all = total(attribute, groups_);
    const double unseen =
        all.once * all.once / (2 * (all.twice + 1)) + unseen_prior_[size_t(attribute)] * 50 / (50 + all.sum);
    const double each = 1 / (all.distinct + unseen + 1);
    const double p = (counted ? std::max(0.0, *counted - kDiscount) : 0) + (kDiscount * all.distinct + kPrior) * each;
    return p / (all.sum + kPrior);
  }
  static uint64_t key(int attribute, int group, uint64_t value) {
    // The groups' keys of one value differ in the last byte only: they lie side by side.
    return (base::combine64(uint64_t(attribute) + 1, value) & ~uint64_t{0xff}) | uint64_t(group) << 1 | 1u;
  }
  const Total& total(int attribute, int group) const {
    return totals_[size_t(attribute) * size_t(groups_ + 1) + size_t(group)];
  }
  Total& total(int attribute, int group) { return totals_[size_t(attribute) * size_t(groups_ + 1) + size_t(group)]; }
  static void count(float& counted, Total& t, float weight) {
    const auto band = [](float c) { return c <= 0 ? 0 : c < 1.5f ? 1 : c < 2.5f ? 2 : 3; };
    const int from = band(counted);
    counted += weight;
    const int to = band(counted);
    if (from == 0) t.distinct += 1;
    if (from != to) {
      if (from == 1) t.once -= 1;
      if (from == 2) t.twice -= 1;
      if (to == 1) t.once += 1;
      if (to == 2) t.twice += 1;
    }
    t.sum += weight;
  }

  std::vector<double> unseen_prior_;
  int groups_;
  KeyedTable<float> counts_;
  std::vector<Total> totals_;
};

}  // namespace tamis::detect
