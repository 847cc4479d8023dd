// Tally: the aggregator of quantile and top-k.
//
// A record keeps the newest 32 events of its key exactly, in milliseconds: windows with fewer are exact in time. An
// older event is counted, for every window that still covers it, in a table of (item, events in the current generation,
// events in the previous one); generations are as long as the window. A reading adds the exact events of the window,
// and of each generation the share of its time that lies in the window: beyond 32 events it errs by at most the events
// of the generation that the far edge cuts.
//
// quantile: an item is a bucket of DDSketch (Masson et al. 2019). Buckets split each power of two into 64 equal parts,
// so that the middle of one is within 0.8 % of all its values; the bucket of a double is read off its bits. A table
// holds at most 512 buckets (fewer with many windows), of a full one the two lowest are joined, as in the paper. The
// answer is the bucket of the event of rank q (n - 1), rounded down.
//
// top-k: an item is an entry of the record's dictionary of at most 128 values. When it is full, a new value takes over
// the entry, and the counts, of the one counted least in the widest window (space-saving, Metwally et al. 2005): counts
// are at most too high by the number of events over the number of entries.
//
// Record: 6 bytes newest time, byte: events, byte: values; per event 5 bytes age, 4 bytes item, oldest first; per
// window 2 bytes: items, and if there are any 6 bytes: current generation, per item 4 bytes item, 4 and 4 bytes counts,
// by item; then the values as scalars.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "state/feature_table.h"
#include "state/scalar.h"

namespace tamis::state {

class Tally {
 public:
  explicit Tally(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  bool add_in_place(uint8_t*, size_t, const Sample&) const { return false; }
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const;
  size_t forget_before(const uint8_t* record, int64_t before_ms, uint8_t* out) const;

  // The bucket of a finite double, ascending with it, and the middle of a bucket.
  static int32_t bucket_of(double v);
  static double middle_of(int32_t bucket);

 private:
  static constexpr uint32_t kRecent = 32;
  static constexpr uint32_t kValuesMax = 128;
  static constexpr size_t kHeadBytes = 8, kRecentBytes = 9, kItemBytes = 12;

  struct Recent {
    int64_t t_ms;
    int32_t item;
  };
  struct Item {
    int32_t item;
    uint32_t current;
    uint32_t previous;
  };
  struct Table {
    int64_t generation = 0;
    std::vector<Item> items;
  };
  struct State {
    std::vector<Recent> recent;
    std::vector<Table> tables;
    std::vector<std::string_view> values;
  };
  struct Weight {
    int32_t item;
    double weight;
  };

  // False where the bytes are no record. The scalars of our own records are not checked again.
  enum class Trust { kOwn, kForeign };
  bool unpack(const uint8_t* record, size_t bytes, State& state, Trust trust) const;
  size_t pack(const State& state, uint8_t* out) const;
  int64_t generation_of(int64_t t_ms, size_t window) const;
  int32_t value_item(State& state, std::string_view value) const;
  void count(Table& table, int64_t generation, int32_t item) const;
  void clean(State& state, int64_t newest_ms) const;
  void weigh(const State& state, int64_t t_ms, size_t window) const;
  Value quantile() const;
  Value top(const State& state, base::Arena& arena) const;

  bool is_top_;
  double quantile_;
  uint32_t k_;
  uint32_t values_max_, items_max_;
  std::vector<int64_t> windows_ms_;
  int64_t horizon_ms_;
  // Memory of one call, kept so that a warm table allocates nothing.
  mutable State state_;
  mutable std::vector<Weight> weights_;
};

}  // namespace tamis::state
