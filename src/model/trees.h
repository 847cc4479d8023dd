// Trees: a sum of decision trees over a row of numbers, as gradient boosting trains them, and nothing that could train.
//
// Nodes lie flat in one array. A row is scored the way XGBoost does it: a value below the threshold goes left, one that
// is not given (NaN) where the node says, and the leaves are added up in single precision in the order of the trees, so
// that scores are the same bits as those of the library that trained them.
//
// A model is a text, for people and for version control:
//   tamis-trees 1
//   features NAME NAME ...
//   base LOG_ODDS
//   scale FACTOR SHIFT           (optional: scaled() is FACTOR * score() + SHIFT)
//   tree                         (one per tree, its nodes by number)
//   NODE FEATURE THRESHOLD LEFT RIGHT MISSING      (MISSING: LEFT or RIGHT)
//   NODE leaf VALUE
// Numbers are decimal, with enough digits to be exact. A node's children come after it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::model {

class Trees {
 public:
  static constexpr size_t kTextBytesMax = size_t{64} << 20;
  static constexpr size_t kFeaturesMax = 4096, kNodesMax = 4'000'000;

  // Errors name the line.
  static base::Result<Trees> parse(std::string_view text);

  // The log-odds; the row has as many numbers as the model has features.
  float score(std::span<const float> row) const;

  // The log-odds brought to the scale of what they are combined with.
  double scaled(std::span<const float> row) const { return factor_ * static_cast<double>(score(row)) + shift_; }

  const std::vector<std::string>& features() const { return features_; }
  size_t trees() const { return roots_.size(); }
  size_t nodes() const { return nodes_.size(); }
  float base() const { return base_; }

 private:
  struct Node {
    float value;      // threshold, or the leaf's
    int32_t feature;  // below zero: a leaf
    uint32_t left, right;
    uint32_t missing;
  };

  std::vector<std::string> features_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> roots_;
  float base_ = 0;
  double factor_ = 1, shift_ = 0;
};

}  // namespace tamis::model
