// Aggregators that need little more than the newest event: last and rate.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "state/feature_table.h"

namespace tamis::state {

// The value of the newest event; of several at the same time the one that came last. Record: 6 bytes time, the scalar.
// A reading at a time before the newest event is absent: what was there then is forgotten.
class Last {
 public:
  explicit Last(const FeatureSpec& spec) : windows_ms_(spec.windows_ms) {}

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const;

 private:
  static constexpr size_t kHeadBytes = 6;
  std::vector<int64_t> windows_ms_;
};

// Events, or the sum of `of`, a second: every event weighs exp(-age / window). A window without events has rate 0, so
// the rate of a key that has been silent for a whole window ends there, and begins anew with its next event. Record: 6 bytes time of the newest event, per
// window 8 bytes: the sum of weights at that time. A reading before the newest event is that at the newest event.
class Rate {
 public:
  explicit Rate(const FeatureSpec& spec) : windows_ms_(spec.windows_ms) {}

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t*) const { return kHeadBytes + windows_ms_.size() * 8; }
  int64_t newest_ms(const uint8_t* record) const { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const { return bytes(nullptr); }

 private:
  static constexpr size_t kHeadBytes = 6;
  std::vector<int64_t> windows_ms_;
};

}  // namespace tamis::state
