// The newest feature sets that were learned, with their labels, in a ring: what the model learns from again, and what
// its neighbours are found among. Bounded by the number of examples; each takes at most 4 KiB and what is kept to take
// it back.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "model/features.h"
#include "model/mixer.h"
#include "model/weights.h"

namespace tamis::model {

// What one message taught, so that it can be taken back: the sum of its steps in each regression, and the mixer's step
// with what the learners had said.
struct Taught {
  std::array<float, kLinears> linear{};
  std::array<float, Mixer::kInputsMax> opinions{};
  float mixer = 0;
  uint8_t context = 0;
};

struct Example {
  uint64_t id = 0;  // 0: none
  bool spam = false;
  bool alive = false;  // false: forgotten
  float doubt = 1;     // how wrong the worst regression was when it was last learned
  Taught taught;
  std::vector<FeatureId> features;
};

class ExampleStore {
 public:
  explicit ExampleStore(uint32_t examples_max) : ring_(examples_max) {}

  // Appends; the oldest makes room. Returns its sequence number: 0 for the first ever, then counting up.
  uint64_t append(uint64_t id, FeatureSpan features, bool spam);

  uint64_t begin() const { return next_ > ring_.size() ? next_ - ring_.size() : 0; }
  uint64_t end() const { return next_; }
  bool holds(uint64_t sequence) const { return sequence < next_ && sequence >= begin(); }
  Example& at(uint64_t sequence) { return ring_[sequence % ring_.size()]; }
  const Example& at(uint64_t sequence) const { return ring_[sequence % ring_.size()]; }
  // The example learned under this id, or nullptr.
  Example* find(uint64_t id);
  // Forgets an example: it stays in its place, dead and empty.
  void kill(Example& example);
  // Changes the label of an example.
  void relabel(Example& example, bool spam);
  // How many living ones there are of the label that has fewer.
  uint32_t of_rarer_label() const { return std::min(living_[0], living_[1]); }
  // For a store that is loaded: the next append gets this number.
  void start_at(uint64_t sequence) { next_ = sequence; }
  size_t memory_bytes() const;

 private:
  std::vector<Example> ring_;
  std::unordered_map<uint64_t, uint64_t> by_id_;  // id -> sequence
  uint64_t next_ = 0;
  std::array<uint32_t, 2> living_{};  // ham, spam
};

}  // namespace tamis::model
