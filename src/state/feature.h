// Features: what is remembered of past events, keyed by entities, over windows of time.
//
// The contract. For an event at time t (milliseconds), a window of width w covers the events earlier in order whose
// time lies in (t-w, t]; the event itself is excluded unless `include_self`. Events may come out of order by up to the
// allowed lateness and then count at their own time. count, sum, mean, min, max, ratio and first-seen are exact while a
// window has at most 16 events; beyond that the events lie in buckets, 12 to 24 to a window, and a reading errs by at
// most the events of the one bucket that the far edge of the window cuts (counter.h). distinct is exact to 64 values,
// beyond that a HyperLogLog of 4096 registers (standard error about 1.6 %; Flajolet et al. 2007, with the estimator of
// Ertl 2017), whose buckets are as long as the window (distinct.h); quantile and top-k are exact in time to 32 events,
// then as distinct (tally.h). All this holds as well for a reading at an earlier time, for an event that came late but
// within the lateness, with these bounds: beyond 16 events a bucket is cut at its near edge, too; distinct is exact
// while no more than 64 values were seen in the window and since; last, set and rate are exact while no more than 16
// events came since the oldest time that a late event may have (sightings.h, rate.h). Numbers that are not finite do
// not count, nor do values of kinds that an aggregate cannot take. Everything is deterministic: the same calls in the
// same order give the same answers, on every machine.
//
// One FeatureTable holds one feature with all its windows for all keys. One thread. Keys are 64-bit hashes made by the
// caller (base/hash.h) over the values of `by`.
//
// Memory: at most 128 bytes (aim: 64) per live (key, window) of count or sum, table overhead included; at most 4.2 KiB
// of a distinct. A key is dead, and is freed by advance(), when its newest event has left the widest window of every
// event that may still come: when it is older than that window and the allowed lateness together. Tables grow step by
// step: no call takes longer than a fraction of a millisecond, whatever the size.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"
#include "state/pieces.h"

namespace tamis::state {

using event::Value;

enum class Aggregate : uint8_t {
  kCount,  // int
  kSum,    // int or double, as the type of `of`; an int sum that leaves its range saturates
  kMean,   // double; absent while the window is empty
  kMin,
  kMax,        // int, double, timestamp or duration, as `of`; absent while empty
  kDistinct,   // int
  kLast,       // value of `of` of the newest event; absent while empty (scalars; text is copied, 256 bytes at most)
  kFirstSeen,  // timestamp of the first event of the key within the window; absent while empty
  kRate,       // double: events (or sum of `of`) a second, exponentially decayed with the window as time constant; 0
               // while the window is empty
  kQuantile,   // double: a quantile of `of` with a relative error of 1 % (DDSketch, Masson et al. 2019)
  kTopK,       // list of the most frequent values, most frequent first (space-saving, Metwally et al. 2005)
  kRatio,      // double: share of the events for which `where` holds, among all; absent while empty
  kSet,        // list of the distinct values while they are few (`k` at most, 32 by default), oldest first
};

enum class AtCap : uint8_t {
  kEvictOldest,  // forget the key that has been silent for longest
  kIgnoreNew,    // do not remember keys beyond the cap
};

inline constexpr size_t kWindowsMax = 16;
inline constexpr int64_t kLatenessMaxMs = int64_t{90} * 86'400'000;  // a larger one is taken as this

struct FeatureSpec {
  std::string name;
  Aggregate aggregate = Aggregate::kCount;
  std::vector<int64_t> windows_ms;  // ascending, 1 s to 90 d, one to kWindowsMax of them
  int64_t lateness_ms = 3'600'000;
  uint64_t keys_max = 10'000'000;
  AtCap at_cap = AtCap::kEvictOldest;
  double quantile = 0.5;
  uint32_t k = 10;                             // kTopK, kSet
  event::Kind value_kind = event::Kind::kInt;  // type of `of`: kSum, kMin, kMax, kLast, kTopK, kSet
};

struct TableStats {
  uint64_t keys = 0;
  uint64_t bytes = 0;    // all memory of the table
  uint64_t evicted = 0;  // by the cap
  uint64_t ignored = 0;  // by the cap
  uint64_t late = 0;     // updates dropped for lateness
};

// Where a key lives, so that reading and then updating one key finds it once. Valid until the next update or advance
// of the same table that touches another key; a stale one is detected and looked up again.
struct Cursor {
  uint64_t key = 0;
  uint32_t place = 0;
  uint32_t version = 0;
};

class FeatureTable : public SnapshotPart {
 public:
  static std::unique_ptr<FeatureTable> make(const FeatureSpec& spec);

  virtual const FeatureSpec& spec() const = 0;
  virtual void prefetch(uint64_t key) const = 0;  // a hint: the key will be used within microseconds
  virtual Cursor find(uint64_t key) const = 0;
  // The value over window number `window` as of time t. Lists live in the arena.
  virtual Value read(const Cursor& cursor, int64_t t_ms, size_t window, base::Arena& arena) const = 0;
  // As read(), as if the event with `of` and `hit` at t_ms had been added: for include_self.
  virtual Value read_with(const Cursor& cursor, int64_t t_ms, size_t window, Value of, bool hit,
                          base::Arena& arena) const = 0;
  // Adds an event. `of` is the value aggregated (ignored by kCount, kFirstSeen); for kRatio `hit` tells if the event
  // counts in the numerator. `now_ms` is the engine's time; t_ms <= now_ms.
  virtual void update(const Cursor& cursor, int64_t t_ms, int64_t now_ms, Value of, bool hit) = 0;
  // Moves time on and does a bounded piece of housekeeping (expiry, growth). Call it once per event or more rarely.
  virtual void advance(int64_t now_ms) = 0;
  // Erases all that is known of a key; false: nothing was.
  virtual bool forget(uint64_t key) = 0;
  // Whether what is known of a key has this value in it: text by its bytes, which may also stand there by chance; of a
  // number the key alone tells, since its bytes stand in everything.
  virtual bool holds(uint64_t key, Value value) const = 0;
  // Erases what is known from before a time, of the keys of one part of all (0 to parts - 1, by their hashes): whole
  // keys whose newest event is older or that are dead already, and of the others what is so old. Where an aggregator
  // cannot tell its values apart by time, a key goes as soon as it may hold one that is so old. Says how many records
  // were erased or changed.
  virtual uint64_t forget_before(int64_t before_ms, uint32_t part, uint32_t parts) = 0;

  virtual TableStats stats() const = 0;
  // A digest of all live state, independent of table layout and insertion order.
  virtual uint64_t digest() const = 0;
  // The whole state as bytes at once, and back. load() refuses bytes of another spec or damaged ones, and then leaves
  // everything as it was.
  virtual void save(std::string& out) const = 0;
  virtual base::Status load(std::string_view bytes) = 0;
};

}  // namespace tamis::state
