#include "model/mixer.h"

#include <cmath>

#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr float kStep = 0.02f;
// The bias, which is the threshold, follows the newest corrections faster than the trust in any learner.
constexpr float kBiasFaster = 8;
constexpr float kOwnShare = 0.5f;  // the weights of a context move by this share of what the common ones move

void move(Mixer::Weights& weights, std::span<const float> inputs, float step) {
  for (size_t i = 0; i < inputs.size(); ++i) weights.weights[i] += step * inputs[i];
  weights.bias += kBiasFaster * step;
}

}  // namespace

Mixer::Mixer(size_t inputs, float weight) : inputs_(inputs) {
  for (size_t i = 0; i < inputs; ++i) state_.common.weights[i] = weight;
}

float Mixer::mix(std::span<const float> inputs, uint32_t context) const {
  float logit = bias(context);
  for (size_t i = 0; i < inputs_; ++i) logit += weight(i, context) * inputs[i];
  return logit;
}

float Mixer::learn(std::span<const float> inputs, bool spam, uint32_t context, float reach) {
  const float wrong = (spam ? 1.0f : 0.0f) - static_cast<float>(logistic(mix(inputs, context)));
  inputs = inputs.first(inputs_);
  float squares = kBiasFaster;
  for (const float input : inputs) squares += input * input;
  const float moved = std::fabs(kStep * wrong) * (1 + kOwnShare) * squares;
  const float step = moved > reach ? kStep * wrong * (reach / moved) : kStep * wrong;
  unlearn(inputs, -step, context);
  return step;
}

void Mixer::unlearn(std::span<const float> inputs, float step, uint32_t context) {
  inputs = inputs.first(inputs_);
  move(state_.common, inputs, -step);
  move(state_.own[context], inputs, -step * kOwnShare);
}

}  // namespace tamis::model
