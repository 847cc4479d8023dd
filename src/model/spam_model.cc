#include "model/spam_model.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr float kEasy = 0.02f;        // a past message predicted nearer than this to its label teaches nothing more
constexpr uint64_t kRecent = 500;     // every second past message is one of the newest
constexpr size_t kStrongestMax = 60;  // signs that the third Bayes looks at
constexpr float kBayesScale = 0.4f;   // brings its logits to the size of those of the regressions
constexpr float kWeakest = 0.2f;      // a sign with a smaller logit is left out

constexpr bool is_text(size_t place) {
  return place == static_cast<size_t>(Place::kSubject) || place == static_cast<size_t>(Place::kBody) ||
         place == static_cast<size_t>(Place::kLink);
}

float start_weight(const SpamOptions& options) {
  size_t taking_part = 0;
  for (size_t i = 0; i < kLearners; ++i) taking_part += options.learners >> i & 1;
  return 1.5f / static_cast<float>(std::max<size_t>(taking_part, 1));
}

// The logit of a feature by how often either label had it. The rates are drawn to their common value by one message of
// each label, so that one label alone proves little while the other is hardly known; the logit is drawn to 0 while the
// feature was seen seldom (Robinson 2003).
float sign_of(float ham, float spam, float hams, float spams) {
  const float seen = ham + spam;
  const float pool = seen / (hams + spams);
  const float in_ham = (ham + pool) / (hams + 1);
  const float in_spam = (spam + pool) / (spams + 1);
  const float share = in_spam / (in_ham + in_spam);
  const float p = (0.25f + seen * share) / (0.5f + seen);
  return plain_log(p / (1.0f - p));
}

struct Signs {
  float sum = 0;
  uint32_t count = 0;
  void add(float sign) {
    sum += sign;
    ++count;
  }
  float logit() const { return count == 0 ? 0.0f : kBayesScale * sum / std::sqrt(static_cast<float>(count)); }
};

}  // namespace

std::string_view learner_name(Learner learner) {
  static constexpr std::array<std::string_view, kLearners> kNames = {
      "linear_all", "linear_words", "linear_text",     "linear_pairs", "linear_header",  "linear_grams",
      "bayes_all",  "bayes_text",   "bayes_strongest", "neighbours",   "neighbours_text"};
  const auto index = static_cast<size_t>(learner);
  return index < kLearners ? kNames[index] : "unknown";
}

SpamModel::SpamModel(const SpamOptions& options)
    : options_(options),
      weights_(options.slots_log2),
      examples_(options.examples_max),
      neighbours_(options.examples_max),
      mixer_(kLearners, start_weight(options)) {}

void SpamModel::opinions(FeatureSpan features, Scratch& scratch, SpamScore& score, LinearSums& sums) const {
  weights_.sums(features, sums);
  auto& said = score.opinions;
  for (size_t l = 0; l < kLinears; ++l) said[l] = sums.logit[l];

  const auto hams = static_cast<float>(learned_[0]);
  const auto spams = static_cast<float>(learned_[1]);
  Signs all;
  Signs text;
  scratch.signs.clear();
  if (learned_[0] > 0 && learned_[1] > 0) {
    for (const FeatureId id : features) {
      const Slot& slot = weights_.slot(id);
      if (slot.ham + slot.spam < 1) continue;
      const float sign = sign_of(slot.ham, slot.spam, hams, spams);
      if (std::fabs(sign) < kWeakest) continue;
      const size_t place = place_of(id);
      all.add(sign);
      if (is_text(place)) text.add(sign);
      if (place != static_cast<size_t>(Place::kBodyPair) && place != static_cast<size_t>(Place::kGram)) {
        scratch.signs.push_back(sign);
      }
    }
  }
  auto& signs = scratch.signs;
  if (signs.size() > kStrongestMax) {
    std::nth_element(signs.begin(), signs.begin() + kStrongestMax, signs.end(), [](float a, float b) {
      return std::fabs(a) != std::fabs(b) ? std::fabs(a) > std::fabs(b) : a > b;
    });
    signs.resize(kStrongestMax);
    std::sort(signs.begin(), signs.end());
  }
  Signs strongest;
  for (const float sign : signs) strongest.add(sign);
  said[static_cast<size_t>(Learner::kBayesAll)] = all.logit();
  said[static_cast<size_t>(Learner::kBayesText)] = text.logit();
  said[static_cast<size_t>(Learner::kBayesStrongest)] = strongest.logit();

  const NeighbourLogits near = neighbours_.find(features, examples_, scratch.neighbours);
  said[static_cast<size_t>(Learner::kNeighbours)] = near.all;
  said[static_cast<size_t>(Learner::kNeighboursText)] = near.text;
  for (size_t i = 0; i < kLearners; ++i) said[i] = options_.learners >> i & 1 ? Mixer::cut(said[i]) : 0.0f;
}

SpamScore SpamModel::score(FeatureSpan features, Scratch& scratch) const {
  SpamScore score;
  LinearSums sums;
  opinions(features, scratch, score, sums);
  score.logit = mixer_.mix(score.opinions);
  score.probability = static_cast<float>(logistic(score.logit));
  score.spam = score.probability > options_.threshold;

  score.bias = mixer_.bias();
  for (size_t i = 0; i < kLearners; ++i) {
    const float part = mixer_.weight(i) * score.opinions[i];
    if (i >= static_cast<size_t>(Learner::kNeighbours)) {
      score.neighbours += part;
    } else if (i >= kLinears) {
      score.bayes += part;
    } else if (std::fabs(sums.logit[i]) > 1e-6f) {
      // A logit that was cut is shared out in proportion; its own bias goes to the bias.
      const float share = part / sums.logit[i];
      for (size_t p = 0; p < kPlaces; ++p) score.linear_by_place[p] += share * sums.by_place[i][p];
      score.bias += share * weights_.bias()[i];
    }
  }
  return score;
}

base::Status SpamModel::learn(uint64_t id, FeatureSpan features, bool spam) {
  if (!is_feature_set(features)) {
    return base::invalid("these features are no set: expected at most 1024, sorted, without duplicates");
  }
  if (Example* known = examples_.find(id)) {
    if (known->spam != spam) {
      weights_.count(known->features, known->spam, -1);
      weights_.count(known->features, spam, 1);
      --learned_[known->spam];
      ++learned_[spam];
      known->spam = spam;
    }
    const std::vector<FeatureId> copy = known->features;
    learn_linear(copy, spam, 0);
    replay();
    return {};
  }
  // The mixer learns from what was said before this message taught anything.
  SpamScore before;
  LinearSums sums;
  opinions(features, scratch_, before, sums);
  mixer_.learn(before.opinions, spam);

  learn_linear(features, spam, 0);
  weights_.count(features, spam, 1);
  ++learned_[spam];
  neighbours_.insert(examples_.append(id, features, spam), features);
  replay();
  return {};
}

base::Status SpamModel::forget(uint64_t id) {
  Example* known = examples_.find(id);
  if (known == nullptr) return base::fail(base::Code::kNotFound, "no message with this id is in the model's store");
  weights_.count(known->features, known->spam, -1);
  --learned_[known->spam];
  examples_.kill(*known);
  return {};
}

void SpamModel::learn_linear(FeatureSpan features, bool spam, float margin) {
  LinearSums sums;
  weights_.sums(features, sums);
  std::array<float, kLinears> step{};
  bool any = false;
  for (size_t l = 0; l < kLinears; ++l) {
    const float wrong = (spam ? 1.0f : 0.0f) - static_cast<float>(logistic(sums.logit[l]));
    if (std::fabs(wrong) < margin) continue;
    step[l] = options_.rate * wrong;
    any = true;
  }
  if (any) weights_.move(features, sums, step);
}

void SpamModel::replay() {
  const uint64_t held = examples_.end() - examples_.begin();
  for (uint32_t i = 0; i < options_.replays; ++i) {
    const uint64_t reach = i % 2 == 1 ? std::min(held, kRecent) : held;
    const uint64_t chance = base::mix64(steps_++);
    const Example& example = examples_.at(examples_.end() - 1 - chance % reach);
    if (example.alive) learn_linear(example.features, example.spam, kEasy);
  }
}

size_t SpamModel::memory_bytes() const {
  return weights_.slots().capacity() * sizeof(Slot) + examples_.memory_bytes() + neighbours_.memory_bytes();
}

}  // namespace tamis::model
