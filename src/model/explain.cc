// A score taken apart. Every learner of it is a sum over features, so every feature has its part; only the vote of
// similar messages stays whole.
#include <algorithm>
#include <cmath>

#include "model/spam_model.h"

namespace tamis::model {
namespace {

// What one unit of a learner's own sum adds to the logit; a logit that was cut is shared out in proportion.
float share_of(float weight, float said, float whole) { return std::fabs(whole) > 1e-6f ? weight * said / whole : 0; }

}  // namespace

SpamExplanation SpamModel::explain(FeatureSpan features, Scratch& scratch, size_t strongest_max) const {
  SpamScore score;
  Sums sums;
  opinions(features, scratch, score, sums);
  SpamExplanation why;
  const uint32_t context = sums.bayes.novelty;
  // What the score is drawn to belongs to no feature.
  const float kept = trust(sums.bayes.known_headers);
  const float drawn = (1 - kept) * options_.evidence_prior;
  why.logit = kept * mixer_.mix(score.opinions, context) + drawn;
  why.bias = kept * mixer_.bias(context) + drawn;
  const auto share = [&](size_t learner, float whole) {
    return share_of(kept * mixer_.weight(learner, context), score.opinions[learner], whole);
  };

  std::vector<SpamExplanation::Part> parts;
  parts.reserve(features.size());
  std::array<float, kLinears> linear{};
  for (size_t l = 0; l < kLinears; ++l) {
    linear[l] = share(l, sums.linear.logit[l]);
    why.bias += linear[l] * weights_.bias()[l];
  }
  for (const FeatureId id : features) {
    const Slot& slot = weights_.slot(id);
    float part = 0;
    for (size_t l = 0; l < kLinears; ++l) part += linear[l] * slot.weight[l] * sums.linear.factor[l][place_of(id)];
    parts.push_back({id, part});
  }

  const auto bayes = [&](Learner learner, const SignSum& sum) {
    return share(static_cast<size_t>(learner), sum.logit()) * sum.factor();
  };
  const float of_all = bayes(Learner::kBayesAll, sums.bayes.all);
  const float of_text = bayes(Learner::kBayesText, sums.bayes.text);
  const float of_strongest = bayes(Learner::kBayesStrongest, sums.bayes.strongest);
  for (const Sign& sign : scratch.bayes.signs) {
    const bool text = is_text_place(place_of(features[sign.at]));
    parts[sign.at].logit += sign.logit * (of_all + (text ? of_text : 0));
  }
  for (const Sign& sign : scratch.bayes.strongest) parts[sign.at].logit += sign.logit * of_strongest;

  for (size_t i = static_cast<size_t>(Learner::kNeighbours); i < kLearners; ++i) {
    why.neighbours += kept * mixer_.weight(i, context) * score.opinions[i];
  }
  for (const auto& part : parts) why.by_place[place_of(part.feature)] += part.logit;
  const size_t wanted = std::min(strongest_max, parts.size());
  std::partial_sort(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(wanted), parts.end(),
                    [](const auto& a, const auto& b) {
                      const float of_a = std::fabs(a.logit);
                      const float of_b = std::fabs(b.logit);
                      return of_a != of_b ? of_a > of_b : a.feature < b.feature;
                    });
  parts.resize(wanted);
  why.strongest = std::move(parts);
  return why;
}

}  // namespace tamis::model
