// Settlement: from the rules that act on an event to its points and verdict. One place for it, so that the engine and
// a backtest cannot differ. Pure; the caller adds the rules in the order of EventType::rules, because sums of doubles
// depend on their order.
#pragma once

#include <algorithm>

#include "policy/policy.h"

namespace tamis::engine {

// A number of an expression as double; `fallback` for everything else, NaN among it.
inline double number_or(event::Value v, double fallback) {
  if (v.is(event::Kind::kDouble)) return v.d == v.d ? v.d : fallback;
  if (v.is(event::Kind::kInt)) return static_cast<double>(v.i);
  if (v.is(event::Kind::kUint)) return static_cast<double>(v.u);
  return fallback;
}

struct Settlement {
  double points = 0;
  int32_t harshest = 0;  // place in EventType::ladder
  bool overridden = false;

  // A rule that acts, with its verdict (-1: it gives none) and points.
  void add(const policy::EventType& type, int32_t verdict, double rule_points) {
    points += rule_points;
    harshest = std::max(harshest, verdict);
    overridden |= verdict >= 0 && verdict == type.override_verdict;
  }
  // The verdict, once all have been added.
  int32_t verdict(const policy::EventType& type) const {
    if (overridden) return type.override_verdict;
    int32_t verdict = harshest;
    for (const auto& [least, threshold_verdict] : type.thresholds) {
      if (points >= least) verdict = std::max(verdict, threshold_verdict);
    }
    return verdict;
  }
};

}  // namespace tamis::engine
