// A logistic mixer: joins the logits of several learners into one, by weights that are learned online from how well
// each did (stacking; the mixing of context-mixing compressors, Mahoney 2005). What it returns is calibrated as far as
// the newest corrections tell, because it learns from predictions that were made before their label was known.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace tamis::model {

class Mixer {
 public:
  static constexpr size_t kInputsMax = 16;
  static constexpr float kInputMax = 6;  // logits beyond it are cut: no learner alone decides everything

  Mixer(size_t inputs, float weight);

  static float cut(float logit) { return logit > kInputMax ? kInputMax : logit < -kInputMax ? -kInputMax : logit; }
  // Inputs are cut already.
  float mix(std::span<const float> inputs) const;
  void learn(std::span<const float> inputs, bool spam);

  float weight(size_t input) const { return weights_[input]; }
  float bias() const { return bias_; }
  struct State {
    std::array<float, kInputsMax> weights{};
    float bias = 0;
    float learned = 0;
  };
  State state() const { return {weights_, bias_, learned_}; }
  void set_state(const State& state);

 private:
  size_t inputs_;
  std::array<float, kInputsMax> weights_{};
  float bias_ = 0;
  float learned_ = 0;
};

}  // namespace tamis::model
