// Sightings: the aggregator of last and set: which values a key was seen with, and when.
//
// set shows the k values seen last, in the order in which they were last seen, oldest first; last is the set of one. A
// record keeps the newest sighting of these values, and besides up to 16 sightings that only an event that comes late
// can still read: those that were the newest of their value, or among the last k, at a time within the lateness. So a
// reading at an earlier time is exact, too, unless more than 16 such sightings came within the lateness. Then those go
// first that tell least: of three sightings of one value in a row, within the shortest window, the middle one.
//
// Record: a byte each for the number of values and of sightings; 7 bytes a sighting, in order of time (of several at
// the same time the one that came last is last): 6 bytes time, a byte for the place of its value; then the values.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "state/feature_table.h"
#include "state/scalar.h"

namespace tamis::state {

class Sightings {
 public:
  explicit Sightings(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const { return time_at(record, record[1] - 1u); }
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  size_t forget_before(const uint8_t* record, int64_t before_ms, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const { return kHeadBytes + (k_ + kPastMax) * (kSightingBytes + kScalarBytesMax); }

 private:
  static constexpr uint32_t kValuesMax = 128;  // the largest k
  static constexpr uint32_t kPastMax = 16;     // sightings kept for late events alone
  static constexpr size_t kHeadBytes = 2, kSightingBytes = 7;

  using Values = std::bitset<kValuesMax + kPastMax + 1>;

  struct Sighting {
    int64_t t_ms;
    uint32_t value;  // its place in values_
  };

  static int64_t time_at(const uint8_t* record, uint32_t i) {
    return static_cast<int64_t>(load_u64(record + kHeadBytes + i * kSightingBytes) << 16) >> 16;
  }
  static uint32_t value_at(const uint8_t* record, uint32_t i) { return record[kHeadBytes + i * kSightingBytes + 6]; }
  static const uint8_t* values_of(const uint8_t* record) { return record + kHeadBytes + record[1] * kSightingBytes; }
  void unpack(const uint8_t* record) const;
  size_t pack(uint8_t* out) const;
  void drop_what_nobody_reads() const;
  void drop_beyond_the_bound() const;

  uint32_t k_;
  bool is_set_;
  std::vector<int64_t> windows_ms_;
  int64_t lateness_ms_;
  mutable std::vector<Sighting> sightings_;       // of the record at hand
  mutable std::vector<std::string_view> values_;  // of the record at hand
};

}  // namespace tamis::state
