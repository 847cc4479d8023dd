// A logistic mixer: joins the logits of several learners into one, by weights that are learned online from how well
// each did (stacking; the mixing of context-mixing compressors, Mahoney 2005). What it returns is calibrated as far as
// the newest corrections tell, because it learns from predictions that were made before their label was known.
//
// Beside the weights for all messages, each context has weights of its own that are added to them: which learners to
// trust depends on how much of the message was ever seen before.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tamis::model {

class Mixer {
 public:
  static constexpr size_t kInputsMax = 11;
  static constexpr size_t kContexts = 9;
  static constexpr float kInputMax = 6;  // logits beyond it are cut: no learner alone decides everything

  struct Weights {
    std::array<float, kInputsMax> weights{};
    float bias = 0;
  };
  struct State {
    Weights common;
    std::array<Weights, kContexts> own;  // added to the common ones
  };

  Mixer(size_t inputs, float weight);

  static float cut(float logit) { return logit > kInputMax ? kInputMax : logit < -kInputMax ? -kInputMax : logit; }
  // Inputs are cut already; contexts are 0 to kContexts - 1.
  float mix(std::span<const float> inputs, uint32_t context) const;
  // Learns a label, and returns the step it made, for unlearn(). No message moves what is said of itself by more than
  // `reach`: learners that were all sure, and all contradicted, would turn the weights round for every other message.
  float learn(std::span<const float> inputs, bool spam, uint32_t context, float reach);
  // Takes back a step that was made with the same inputs in the same context.
  void unlearn(std::span<const float> inputs, float step, uint32_t context);

  float weight(size_t input, uint32_t context) const {
    return state_.common.weights[input] + state_.own[context].weights[input];
  }
  float bias(uint32_t context) const { return state_.common.bias + state_.own[context].bias; }
  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  size_t inputs_;
  State state_;
};

}  // namespace tamis::model
