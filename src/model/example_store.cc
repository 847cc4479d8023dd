#include "model/example_store.h"

namespace tamis::model {

uint64_t ExampleStore::append(uint64_t id, FeatureSpan features, bool spam) {
  Example& example = at(next_);
  if (example.alive && example.id != 0) {
    const auto known = by_id_.find(example.id);
    if (known != by_id_.end() && known->second + ring_.size() == next_) by_id_.erase(known);
  }
  living_[example.spam] -= example.alive;
  ++living_[spam];
  example.id = id;
  example.spam = spam;
  example.alive = true;
  example.doubt = 1;
  example.taught = Taught{};
  example.features.assign(features.begin(), features.end());
  if (id != 0) by_id_[id] = next_;
  return next_++;
}

Example* ExampleStore::find(uint64_t id) {
  if (id == 0) return nullptr;
  const auto known = by_id_.find(id);
  return known == by_id_.end() ? nullptr : &at(known->second);
}

void ExampleStore::kill(Example& example) {
  by_id_.erase(example.id);
  living_[example.spam] -= example.alive;
  example = Example{};
}

void ExampleStore::relabel(Example& example, bool spam) {
  living_[example.spam] -= example.alive;
  living_[spam] += example.alive;
  example.spam = spam;
}

size_t ExampleStore::memory_bytes() const {
  size_t bytes = ring_.capacity() * sizeof(Example) + by_id_.size() * 48;
  for (const Example& example : ring_) bytes += example.features.capacity() * sizeof(FeatureId);
  return bytes;
}

}  // namespace tamis::model
