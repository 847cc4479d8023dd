#include "model/spam_model.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "model/numeric.h"
#include "model/packed_slots.h"

namespace tamis::model {
namespace {

constexpr float kEasy = 0.02f;     // a past message predicted nearer than this to its label teaches nothing more
constexpr float kOwnLearned = 64;  // after so many messages of its own a shipped model is drawn to the prior by half
constexpr uint32_t kNewHere = 4;   // until a shipped model has learned so many messages of either label
constexpr float kFirstReach = 3;   // each takes a regression to these log-odds on the right side, and no further
constexpr float kHalfReach = 8;    // so many of either let the mixer follow half as fast as it may
constexpr uint64_t kRecent = 500;  // every second past message is one of the newest

float start_weight(const SpamOptions& options) {
  size_t taking_part = 0;
  for (size_t i = 0; i < kLearners; ++i) taking_part += options.learners >> i & 1;
  return 1.5f / static_cast<float>(std::max<size_t>(taking_part, 1));
}

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

void SpamModel::opinions(FeatureSpan features, Scratch& scratch, SpamScore& score, Sums& sums) const {
  weights_.sums(features, sums.linear);
  auto& said = score.opinions;
  for (size_t l = 0; l < kLinears; ++l) said[l] = sums.linear.logit[l];

  sums.bayes =
      sum_signs(weights_, features, static_cast<float>(learned_[0]), static_cast<float>(learned_[1]), scratch.bayes);
  said[static_cast<size_t>(Learner::kBayesAll)] = sums.bayes.all.logit();
  said[static_cast<size_t>(Learner::kBayesText)] = sums.bayes.text.logit();
  said[static_cast<size_t>(Learner::kBayesStrongest)] = sums.bayes.strongest.logit();

  const auto few = static_cast<float>(examples_.of_rarer_label());
  const float doubt = options_.evidence_half > 0 ? 0.01f + 1 / (1 + few) : 0;
  const NeighbourLogits near = neighbours_.find(features, examples_, doubt, scratch.neighbours);
  said[static_cast<size_t>(Learner::kNeighbours)] = near.all;
  said[static_cast<size_t>(Learner::kNeighboursText)] = near.text;
  for (size_t i = 0; i < kLearners; ++i) said[i] = options_.learners >> i & 1 ? Mixer::cut(said[i]) : 0.0f;
}

float SpamModel::trust(uint32_t known_headers) const {
  if (options_.evidence_half <= 0) return 1;
  const auto known = static_cast<float>(known_headers);
  const float drawn = options_.evidence_half / (known + options_.evidence_half);
  return 1 - drawn * kOwnLearned / (kOwnLearned + static_cast<float>(examples_.end()));
}

SpamScore SpamModel::score(FeatureSpan features, Scratch& scratch) const {
  SpamScore score;
  Sums sums;
  opinions(features, scratch, score, sums);
  score.logit = mixer_.mix(score.opinions, sums.bayes.novelty);
  if (options_.evidence_half > 0) {
    const float kept = trust(sums.bayes.known_headers);
    score.logit = kept * score.logit + (1 - kept) * options_.evidence_prior;
  }
  score.probability = static_cast<float>(logistic(score.logit));
  score.spam = score.probability > options_.threshold;

  return score;
}

bool SpamModel::is_new_here() const { return options_.evidence_half > 0 && examples_.of_rarer_label() < kNewHere; }

float SpamModel::mixer_reach() const {
  if (options_.evidence_half <= 0) return options_.mixer_reach;
  const auto few = static_cast<float>(examples_.of_rarer_label());
  return options_.mixer_reach * (few + 0.5f) / (few + kHalfReach);
}

base::Status SpamModel::learn(uint64_t id, FeatureSpan features, bool spam) {
  if (!is_feature_set(features)) {
    return base::invalid("these features are no set: expected at most 1024, sorted, without duplicates");
  }
  if (Example* known = examples_.find(id)) {
    if (known->spam != spam) {
      take_back(*known);
      weights_.count(known->features, known->spam, -1);
      weights_.count(known->features, spam, 1);
      --learned_[known->spam];
      ++learned_[spam];
      examples_.relabel(*known, spam);
      Taught& taught = known->taught;
      taught.mixer = mixer_.learn(taught.opinions, spam, taught.context, mixer_reach());
    }
    learn_linear(known->features, spam, 0, known->taught);
    replay();
    return {};
  }
  // The mixer learns from what was said before this message taught anything.
  SpamScore before;
  Sums sums;
  opinions(features, scratch_, before, sums);
  said_before_ = mixer_.mix(before.opinions, sums.bayes.novelty);
  Taught taught;
  taught.opinions = before.opinions;
  taught.context = static_cast<uint8_t>(sums.bayes.novelty);
  taught.mixer = mixer_.learn(before.opinions, spam, sums.bayes.novelty, mixer_reach());

  learn_linear(features, spam, 0, taught);
  weights_.count(features, spam, 1);
  ++learned_[spam];
  const uint64_t sequence = examples_.append(id, features, spam);
  examples_.at(sequence).taught = taught;
  neighbours_.insert(sequence, features);
  replay();
  return {};
}

base::Status SpamModel::forget(uint64_t id) {
  Example* known = examples_.find(id);
  if (known == nullptr) return base::fail(base::Code::kNotFound, "no message with this id is in the model's store");
  take_back(*known);
  weights_.count(known->features, known->spam, -1);
  --learned_[known->spam];
  examples_.kill(*known);
  return {};
}

// All that the message itself moved. What others learned meanwhile from a model that knew it stays.
void SpamModel::take_back(Example& example) {
  LinearSums sums;
  weights_.sums(example.features, sums);
  std::array<float, kLinears> back{};
  for (size_t l = 0; l < kLinears; ++l) back[l] = -example.taught.linear[l];
  weights_.move(example.features, sums, back);
  mixer_.unlearn(example.taught.opinions, example.taught.mixer, example.taught.context);
  example.taught.linear = {};
  example.taught.mixer = 0;
}

size_t SpamModel::drop_examples(const std::function<bool(uint64_t id)>& keep) {
  size_t dropped = 0;
  for (uint64_t sequence = examples_.begin(); sequence < examples_.end(); ++sequence) {
    Example& example = examples_.at(sequence);
    if (!example.alive || keep(example.id)) continue;
    examples_.kill(example);
    ++dropped;
  }
  return dropped;
}

float SpamModel::learn_linear(FeatureSpan features, bool spam, float margin, Taught& taught) {
  LinearSums sums;
  weights_.sums(features, sums);
  std::array<float, kLinears> step{};
  float worst = 0;
  for (size_t l = 0; l < kLinears; ++l) {
    const float wrong = (spam ? 1.0f : 0.0f) - static_cast<float>(logistic(sums.logit[l]));
    worst = std::max(worst, std::fabs(wrong));
    if (std::fabs(wrong) < margin) continue;
    step[l] = options_.rate * wrong;
    if (is_new_here()) {
      const float left = std::max(0.0f, kFirstReach + (spam ? -sums.logit[l] : sums.logit[l]));
      step[l] = std::clamp(step[l], -left, left);
    }
  }
  if (worst >= margin) {
    weights_.move(features, sums, step);
    for (size_t l = 0; l < kLinears; ++l) taught.linear[l] += step[l];
  }
  return worst;
}

void SpamModel::replay() {
  const uint64_t held = examples_.end() - examples_.begin();
  for (uint32_t i = 0; i < options_.replays; ++i) {
    const uint64_t reach = i % 2 == 1 ? std::min(held, kRecent) : held;
    // Of two, the one that was predicted worse.
    Example* chosen = nullptr;
    for (int candidate = 0; candidate < 2; ++candidate) {
      Example& example = examples_.at(examples_.end() - 1 - base::mix64(steps_++) % reach);
      if (example.alive && (chosen == nullptr || example.doubt > chosen->doubt)) chosen = &example;
    }
    if (chosen != nullptr) chosen->doubt = learn_linear(chosen->features, chosen->spam, kEasy, chosen->taught);
  }
}

void SpamModel::prune(float seen_min) {
  for (Slot& slot : weights_.slots()) {
    if (slot.ham + slot.spam < seen_min) {
      slot = Slot{};
    } else {
      round_for_packing(slot);
    }
  }
}

size_t SpamModel::memory_bytes() const {
  return weights_.slots().capacity() * sizeof(Slot) + examples_.memory_bytes() + neighbours_.memory_bytes();
}

}  // namespace tamis::model
