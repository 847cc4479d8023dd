// Distinct: the aggregator of the number of distinct values.
//
// A record keeps the 65 values seen last, each by 40 bits of its hash with the time when it was last seen in
// milliseconds. If a window has 64 values or fewer, all of them are among these, and the reading is exact (40 bits tell
// 64 values apart but for one case in 500 million). A value that is pushed out goes, with its time, into the
// HyperLogLog of every window that still covers it: a pair of generations as long as the window. A reading then unites
// what lies in the window: the exact values, the current generation, and of the previous one, which the far edge of the
// window cuts, the share that time gives it. So beyond 64 values the error is that of a HyperLogLog, 1.6 %, and at
// most the values seen last in the previous generation, where these did not come evenly.
//
// For events that come late, a record knows since when a value has been seen again and again: a *run* is a stretch in
// which it was never silent for longer than the shortest window, so that at each time of the run all windows hold it.
// A value's last run ends when it was last seen; a bit tells whether it began earlier. Where it began, and earlier
// runs, are *marks*, kept while an event within the lateness may read a time before them. So a reading at an earlier
// time is exact, too, while no more than 64 values were seen in its window and since, with 130 marks among them. A
// record with a HyperLogLog has neither runs nor marks: there a value that was seen since does not count as seen
// before.
//
// Record: 6 bytes base time, 1 byte number of values, 5 bytes newest time above the base, 2 bytes a bit for each window
// that has a HyperLogLog; then the lower 32 bits of hashes, the lower 32 bits of times above the base, the upper 8 bits
// of hashes, the upper 2 bits of times. Then either the HyperLogLogs, or 1 byte number of marks, the bits of runs, and
// the marks, 6 bytes each, in order of time: 34 bits time above the base, 2 bits kind, 7 bits place of the value. A
// value takes 9.4 bytes.
#pragma once

#include <bitset>
#include <cstdint>

#include "base/arena.h"
#include "state/feature_table.h"
#include "state/hll.h"

namespace tamis::state {

class Distinct {
 public:
  explicit Distinct(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const;
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const;

 private:
  static constexpr uint32_t kExact = 65;
  static constexpr uint32_t kMarksMax = 2 * kExact;
  static constexpr size_t kHeadBytes = 14, kMarkBytes = 6;
  static constexpr int64_t kOffsetMax = (int64_t{1} << 34) - 1;

  struct Entry {
    uint64_t hash;
    int64_t offset;
    bool is_run;
    uint32_t place;  // in the record it was read from; kExact: new
  };
  enum class Turn : uint8_t { kBegin, kEnd, kPoint };  // of a run; a point is a run of one sighting
  struct Mark {
    int64_t offset;
    Turn turn;
    uint32_t value;
  };
  struct Marks {
    uint32_t count = 0;
    Mark at[kMarksMax + 3];  // a sighting adds three at most, then they are pruned
  };

  static size_t list_bytes(uint32_t count) { return kHeadBytes + count * 9 + (count + 3) / 4; }
  static size_t runs_bytes(uint32_t count) { return 1 + (count + 7) / 8; }
  static uint32_t marks_of(const uint8_t* record) {
    return pairs_of(record) != 0 ? 0 : record[list_bytes(count_of(record))];
  }
  static uint32_t count_of(const uint8_t* record) { return record[6]; }
  static uint32_t pairs_of(const uint8_t* record) { return record[12] | uint32_t{record[13]} << 8; }
  static int64_t base_of(const uint8_t* record) { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  static int64_t offset_at(const uint8_t* record, uint32_t count, uint32_t i);
  static uint64_t hash_at(const uint8_t* record, uint32_t count, uint32_t i);
  static uint32_t find(const uint8_t* record, uint32_t count, uint64_t hash);
  static void set_offset(uint8_t* record, uint32_t count, uint32_t i, int64_t offset);
  static void set_hash(uint8_t* record, uint32_t count, uint32_t i, uint64_t hash);
  static void set_newest(uint8_t* record, int64_t offset);
  static bool is_run(const uint8_t* record, uint32_t count, uint32_t i);
  static void set_run(uint8_t* record, uint32_t count, uint32_t i, bool is_run);
  static Mark mark_at(const uint8_t* record, uint32_t count, uint32_t i);
  static void unpack_marks(const uint8_t* record, Marks& marks);
  static void set_marks(uint8_t* record, const Marks& marks);
  static void add_mark(Marks& marks, Mark mark);
  static void remove_marks_of(Marks& marks, uint32_t value);
  // `begins`: per value where its last run begins, or kLongAgo.
  void prune(Marks& marks, int64_t* begins, int64_t newest) const;
  void see_again(Marks& marks, Entry& entry, uint32_t value, int64_t offset) const;
  bool see_again_in_place(uint8_t* record, size_t capacity, uint32_t at, int64_t offset) const;
  void keep_marks_of(const Entry* entries, uint32_t count, int64_t last_ms, bool has_pairs, Marks& marks) const;
  static void put_list(const Entry* entries, uint32_t count, int64_t last_ms, uint32_t pairs, Marks& marks,
                       uint8_t* out);
  static void seen_at(const uint8_t* record, int64_t from, int64_t to, std::bitset<kExact>& inside);
  static bool marks_valid(const uint8_t* record, int64_t newest);
  static const HllPair* pair_at(const uint8_t* record, size_t window);
  int64_t generation_of(int64_t t_ms, size_t window) const;
  // Hands a value that is pushed out to the HyperLogLogs of the record. False: one is missing.
  bool push_out(uint8_t* record, uint64_t hash, int64_t t_ms, int64_t newest_ms) const;
  bool needs_pair(int64_t t_ms, int64_t newest_ms, size_t window) const {
    return newest_ms - t_ms < windows_ms_[window];
  }

  size_t window_count_;
  int64_t windows_ms_[kWindowsMax];
  int64_t lateness_ms_;
  int64_t horizon_ms_;
};

}  // namespace tamis::state
