// Naive Bayes with confidence over the counts of the table (Robinson 2003): each feature is a sign with the logit of
// spam that its counts prove; their sum, divided by the root of their number, is what the message looks like.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/features.h"
#include "model/weights.h"

namespace tamis::model {

struct Sign {
  float logit = 0;
  uint32_t at = 0;  // which of the message's features it is
};

// A sum of signs and the logit that it stands for.
struct SignSum {
  static constexpr float kScale = 0.4f;  // brings the logits to the size of those of the regressions
  float sum = 0;
  uint32_t count = 0;
  void add(float sign) {
    sum += sign;
    ++count;
  }
  // What each sign in the sum counts.
  float factor() const { return count == 0 ? 0.0f : kScale / std::sqrt(static_cast<float>(count)); }
  float logit() const { return sum * factor(); }
};

struct BayesSums {
  SignSum all;
  SignSum text;
  SignSum strongest;
  // How much of the message was never met before, headers and text apart, three levels each: the mixer's context.
  uint32_t novelty = 0;
  // Features of headers that three messages or more had.
  uint32_t known_headers = 0;
};

struct BayesScratch {
  std::vector<Sign> signs;      // those that prove something, in the order of the features
  std::vector<Sign> strongest;  // the strongest of them that are neither pairs nor grams
  // Features that were seen before: which, and the messages of either label that had them.
  std::vector<uint32_t> seen_at;
  std::vector<float> ham, spam;
};

bool is_text_place(size_t place);

// Reads the counts in `weights` of messages with these features; `hams` and `spams` were learned in all. Leaves in
// `scratch` the signs that it summed.
BayesSums sum_signs(const Weights& weights, FeatureSpan features, float hams, float spams, BayesScratch& scratch);

}  // namespace tamis::model
