// Gradient boosting of decision trees, by the XGBoost library (Apache-2.0) if it is installed; it is loaded when it is
// first needed, and nothing that serves decisions comes here. What comes out is a model for model/trees.h, checked to
// score every training row to the same bits as the library that trained it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace tamis::learn {

struct BoostOptions {
  int rounds = 120;
  int depth = 4;
  double rate = 0.1;
  double row_share = 0.8, feature_share = 0.7;
  double weight_min = 8;  // hessian of a leaf at least: about four times the rows of an undecided leaf
  double shrink_l2 = 5;
  double weight_of_bad = 1;
  uint64_t seed = 1;
};

// `rows`: one after the other, as many numbers each as there are names; `truth`: 0 or 1 for each.
base::Result<std::string> boost(const std::vector<std::string>& names, std::span<const float> rows,
                                std::span<const float> truth, const BoostOptions& options = {});

// Whether the library is there; if not, what to install.
base::Status boost_available();

}  // namespace tamis::learn
