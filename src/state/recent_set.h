// RecentSet: the aggregator of set: the values of a key with the times when they were last seen. It remembers the k
// values seen last; a window with more shows these. A reading lists them in the order in which they were last seen,
// oldest first; before the newest event it misses values that were seen in the window and later again.
//
// Record: 6 bytes newest time, byte: number of values; per value 5 bytes age, then the scalar; oldest first.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "state/feature_table.h"
#include "state/scalar.h"

namespace tamis::state {

class RecentSet {
 public:
  explicit RecentSet(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  bool add_in_place(uint8_t*, size_t, const Sample&) const { return false; }
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const { return kHeadBytes + k_ * (5 + kScalarBytesMax); }

 private:
  static constexpr uint32_t kValuesMax = 128;
  static constexpr size_t kHeadBytes = 7;

  struct Entry {
    int64_t t_ms;
    std::string_view value;
  };

  void unpack(const uint8_t* record) const;

  uint32_t k_;
  std::vector<int64_t> windows_ms_;
  int64_t horizon_ms_;
  mutable std::vector<Entry> entries_;  // of the record at hand
};

}  // namespace tamis::state
