// Rate: the aggregator of events, or the sum of `of`, a second: every event weighs exp(-age / window). A window without
// events has rate 0, so the rate of a key that has been silent for a whole window ends there, and begins anew with its
// next event.
//
// For events that come late, a record keeps the events within the lateness one by one, 16 at most, and the sums as they
// were just before these (at the base): so a reading at an earlier time is exact to 16 events, and beyond that it is
// the rate at the base.
//
// Record: 6 bytes time of the newest event, a byte for the number of events kept and a bit whether their weights are
// not all 1; per window 8 bytes: the sum of weights at the newest event. If events are kept: 6 bytes time of the base,
// per window 8 bytes: the sum there; per event, in order of time, 6 bytes time and, unless all are 1, 8 bytes weight.
#pragma once

#include <cstdint>
#include <vector>

#include "base/arena.h"
#include "state/feature_table.h"

namespace tamis::state {

class Rate {
 public:
  explicit Rate(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const { return bytes_with(count_of(record), has_weights(record)); }
  int64_t newest_ms(const uint8_t* record) const { return time_at(record); }
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const { return bytes_with(kKeptMax, true); }

 private:
  static constexpr uint32_t kKeptMax = 16;
  static constexpr size_t kHeadBytes = 7;
  static constexpr uint8_t kWeights = 0x80;

  struct Event {
    int64_t t_ms;
    double weight;
  };
  // A record taken apart: the newest event, the base, and the events kept.
  struct Parts {
    int64_t newest_ms = 0, base_ms = 0;
    double sums[kWindowsMax], base_sums[kWindowsMax];
    uint32_t count = 0;
    Event kept[kKeptMax + 1];
  };

  static int64_t time_at(const uint8_t* at) { return static_cast<int64_t>(load_u64(at) << 16) >> 16; }
  static double double_at(const uint8_t* at) {
    double v;
    std::memcpy(&v, at, 8);
    return v;
  }
  static uint32_t count_of(const uint8_t* record) { return record[6] & 0x7fu; }
  static bool has_weights(const uint8_t* record) { return (record[6] & kWeights) != 0; }
  size_t bytes_with(uint32_t count, bool weights) const {
    return kHeadBytes + windows_ms_.size() * 8 +
           (count == 0 ? 0 : 6 + windows_ms_.size() * 8 + count * (weights ? size_t{14} : 6));
  }
  const uint8_t* base_at(const uint8_t* record) const { return record + kHeadBytes + windows_ms_.size() * 8; }
  Event kept_at(const uint8_t* record, uint32_t i) const;
  double advance(double sum, int64_t from_ms, const Event& event, size_t window) const;
  void unpack(const uint8_t* record, Parts& parts) const;
  size_t pack(const Parts& parts, uint8_t* out) const;
  void add_in_order(Parts& parts, const Event& event) const;
  void add_late(Parts& parts, const Event& event) const;
  void fold_first(Parts& parts) const;

  std::vector<int64_t> windows_ms_;
  int64_t lateness_ms_;
};

}  // namespace tamis::state
