#include "model/mixer.h"

#include "model/numeric.h"

namespace tamis::model {

Mixer::Mixer(size_t inputs, float weight) : inputs_(inputs) {
  for (size_t i = 0; i < inputs; ++i) weights_[i] = weight;
}

float Mixer::mix(std::span<const float> inputs) const {
  float logit = bias_;
  for (size_t i = 0; i < inputs_; ++i) logit += weights_[i] * inputs[i];
  return logit;
}

void Mixer::learn(std::span<const float> inputs, bool spam) {
  const float wrong = (spam ? 1.0f : 0.0f) - static_cast<float>(logistic(mix(inputs)));
  const float step = 0.02f * wrong;
  // The bias, which is the threshold, follows the newest corrections faster than the trust in any learner.
  for (size_t i = 0; i < inputs_; ++i) weights_[i] += step * inputs[i];
  bias_ += 8 * step;
  learned_ += 1;
}

void Mixer::set_state(const State& state) {
  weights_ = state.weights;
  bias_ = state.bias;
  learned_ = state.learned;
}

}  // namespace tamis::model
