// FeatureTableOf<Aggregator>: the one table behind all features. It finds keys, keeps their records in a slab, expires
// them, holds the cap, and saves and loads; what a record contains is the aggregator's business.
//
// An aggregator is a class with:
//   explicit Aggregator(const FeatureSpec&);
//   bool sample(Value of, bool hit, Sample&) const          fills in the payload; false: such a value does not count
//   size_t bytes(const uint8_t* record) const                length of a record
//   int64_t newest_ms(const uint8_t* record) const           time of its newest event
//   bool add_in_place(uint8_t* record, size_t capacity, const Sample&) const   false: did not fit, nothing changed
//   size_t add(const uint8_t* record, const Sample&, uint8_t* out) const       record may be null; new length
//   Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const
//   bool valid(const uint8_t* record, size_t bytes) const    whether foreign bytes are a record; reads inside only
//   size_t bytes_max() const                                 of any record
// and may have
//   size_t forget_before(const uint8_t* record, int64_t before_ms, uint8_t* out) const
// the record without what came before that time: its length, 0 if nothing is left (its newest event came since).
// A record is a pure function of the events added, so that equal histories have equal bytes.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/hash.h"
#include "state/bytes.h"
#include "state/feature.h"
#include "state/key_table.h"
#include "state/slab.h"

namespace tamis::state {

// Times are clamped to this range (140 000 years), so that no difference of two overflows.
inline constexpr int64_t kTimeMaxMs = int64_t{1} << 46;
inline int64_t clamp_time(int64_t t_ms) { return std::clamp(t_ms, -kTimeMaxMs, kTimeMaxMs); }

// One event as an aggregator sees it.
struct Sample {
  int64_t t_ms = 0;
  int64_t i = 0;  // whole-number payload
  double d = 0;   // double payload
  Value of;
};

// The parts of a table that do not depend on the aggregator.
class FeatureTableBase : public FeatureTable {
 public:
  FeatureTableBase(const FeatureSpec& spec, size_t record_bytes_max);

  const FeatureSpec& spec() const final { return spec_; }
  void prefetch(uint64_t key) const final { keys_.prefetch(key); }
  Cursor find(uint64_t key) const final;
  void advance(int64_t now_ms) final;
  TableStats stats() const final;
  uint64_t digest() const final;
  bool forget(uint64_t key) final;
  bool holds(uint64_t key, Value value) const final;
  uint64_t forget_before(int64_t before_ms, uint32_t part, uint32_t parts) final;
  void save(std::string& out) const final;
  base::Status load(std::string_view bytes) final;
  void begin_snapshot(PieceWriter& out, uint32_t part) final;
  bool snapshot_piece() final;
  void end_snapshot() final { snapshot_ = nullptr; }
  base::Status restore_piece(uint32_t kind, std::string_view body) final;
  base::Status finish_restore() final;

 protected:
  static constexpr uint32_t kSweepSlots = 32;
  static constexpr uint32_t kMovesMax = 8;  // records that one advance() moves to close holes
  static constexpr uint32_t kNowhere = ~0u;

  virtual size_t record_bytes(const uint8_t* record) const = 0;
  virtual int64_t record_newest_ms(const uint8_t* record) const = 0;
  virtual bool record_valid(const uint8_t* record, size_t bytes) const = 0;
  // What is left of a record, in `out`: its length, 0 if nothing is.
  virtual size_t record_since(const uint8_t* record, int64_t before_ms, uint8_t* out) const = 0;

  KeyTable::Slot* locate(const Cursor& cursor) const { return keys_.find_at(cursor.key, cursor.place); }
  // Seen is kept in units of 1.024 s and compared modulo 2^32 (139 years).
  static uint32_t seen_of(int64_t t_ms) { return static_cast<uint32_t>(t_ms >> 10); }
  // Whether the slot alone shows that its key is dead; implies is_dead() of its record's newest time.
  bool is_dead_slot(const KeyTable::Slot& slot) const {
    auto age = static_cast<int32_t>(seen_of(now_ms_) - slot.seen);
    return age > (horizon_ms_ >> 10) + 1;
  }
  bool is_dead(int64_t newest_ms) const { return newest_ms + horizon_ms_ <= now_ms_; }
  // Before a segment or a record of it changes: writes it for the snapshot under way if it has not been yet.
  void before_change(KeyTable::Segment& segment) {
    if (snapshot_ != nullptr && !keys_.is_marked(segment)) [[unlikely]]
      write_piece(segment);
  }
  void before_change(uint64_t key) {
    if (snapshot_ != nullptr) [[unlikely]]
      before_change(keys_.segment_of(key));
  }
  // Makes room under the cap. False: the key is not to be remembered.
  bool make_room(uint64_t key);
  void insert(uint64_t key, int64_t newest_ms, const uint8_t* record, size_t bytes);
  // Puts a record of another length in the place of the slot's.
  void replace(KeyTable::Slot& slot, const uint8_t* record, size_t bytes);

  FeatureSpec spec_;
  int64_t horizon_ms_;  // a key silent for so long cannot be seen by any reading any more
  int64_t now_ms_ = -kTimeMaxMs;
  uint64_t evicted_ = 0, ignored_ = 0, late_ = 0;
  KeyTable keys_;
  Slab slab_;
  size_t record_bytes_max_;
  mutable std::vector<uint8_t> scratch_;  // for one record

 private:
  uint64_t spec_digest() const;
  void erase(KeyTable::Segment& segment, uint32_t slot);
  // Whether the slot has another key, or none, afterwards.
  bool forget_before(KeyTable::Segment& segment, uint32_t slot, int64_t before_ms, uint64_t& changed);
  void purge(KeyTable::Segment& segment);
  void evict_from(KeyTable::Segment& segment);

  // A table being loaded, piece by piece.
  struct Loading {
    explicit Loading(size_t record_bytes_max) : slab(record_bytes_max) {}
    int64_t now_ms = 0;
    uint64_t evicted = 0, ignored = 0, late = 0, sweep_hash = 0;
    uint32_t sweep_slot = 0, depth = 0, segment_count = 0;
    Slab slab;
    std::vector<std::unique_ptr<KeyTable::Segment>> segments;
  };
  void put_head(std::string& out) const;
  void put_segment(std::string& out, const KeyTable::Segment& segment) const;
  void write_piece(KeyTable::Segment& segment);
  base::Status damaged(const char* what) const;
  base::Status load_head(ByteReader& in, Loading& loading) const;
  const char* load_segment(ByteReader& in, Loading& loading) const;
  bool load_slots(ByteReader& in, KeyTable::Segment& segment, Loading& loading) const;
  base::Status adopt(Loading& loading);

  PieceWriter* snapshot_ = nullptr;  // the one under way
  uint32_t snapshot_part_ = 0;
  uint64_t snapshot_hash_ = 0;  // the segment whose turn it is
  bool snapshot_ended_ = false;
  std::unique_ptr<Loading> loading_;
  uint64_t sweep_hash_ = 0;  // where the sweep for dead keys is: a segment,
  uint32_t sweep_slot_ = 0;  // and a slot in it
};

template <class Aggregator>
class FeatureTableOf final : public FeatureTableBase {
 public:
  explicit FeatureTableOf(const FeatureSpec& spec)
      : FeatureTableBase(spec, Aggregator(spec).bytes_max()), aggregator_(spec) {}

  Value read(const Cursor& cursor, int64_t t_ms, size_t window, base::Arena& arena) const override {
    TAMIS_ASSERT(window < spec_.windows_ms.size());
    return aggregator_.read(record_of(locate(cursor)), clamp_time(t_ms), window, arena);
  }

  Value read_with(const Cursor& cursor, int64_t t_ms, size_t window, Value of, bool hit,
                  base::Arena& arena) const override {
    TAMIS_ASSERT(window < spec_.windows_ms.size());
    const uint8_t* record = record_of(locate(cursor));
    Sample sample;
    sample.t_ms = clamp_time(t_ms);
    if (!aggregator_.sample(of, hit, sample)) return aggregator_.read(record, sample.t_ms, window, arena);
    if (record != nullptr) {
      int64_t newest_ms = aggregator_.newest_ms(record);
      if (newest_ms - sample.t_ms >= horizon_ms_) return aggregator_.read(record, sample.t_ms, window, arena);
      if (newest_ms + horizon_ms_ <= std::max(now_ms_, sample.t_ms)) record = nullptr;
    }
    uint8_t* with = scratch_.data();
    if (record == nullptr) {
      aggregator_.add(nullptr, sample, with);
    } else {
      size_t bytes = aggregator_.bytes(record);
      std::memcpy(with, record, bytes);
      if (!aggregator_.add_in_place(with, aggregator_.bytes_max(), sample)) aggregator_.add(record, sample, with);
    }
    return aggregator_.read(with, sample.t_ms, window, arena);
  }

  void update(const Cursor& cursor, int64_t t_ms, int64_t now_ms, Value of, bool hit) override {
    now_ms_ = std::max(now_ms_, clamp_time(now_ms));
    Sample sample;
    sample.t_ms = std::min(clamp_time(t_ms), now_ms_);
    if (sample.t_ms < now_ms_ - spec_.lateness_ms) {
      ++late_;
      return;
    }
    if (!aggregator_.sample(of, hit, sample)) return;
    KeyTable::Slot* slot = locate(cursor);
    if (slot == nullptr) {
      if (!make_room(cursor.key)) return;
      insert(cursor.key, sample.t_ms, scratch_.data(), aggregator_.add(nullptr, sample, scratch_.data()));
      return;
    }
    before_change(cursor.key);
    uint8_t* record = slab_.at(slot->ref);
    int64_t newest_ms = aggregator_.newest_ms(record);
    if (is_dead(newest_ms)) {
      replace(*slot, scratch_.data(), aggregator_.add(nullptr, sample, scratch_.data()));
      newest_ms = sample.t_ms;
    } else if (!aggregator_.add_in_place(record, slab_.capacity(slot->ref), sample)) {
      replace(*slot, scratch_.data(), aggregator_.add(record, sample, scratch_.data()));
    }
    slot->seen = seen_of(std::max(newest_ms, sample.t_ms));
  }

 protected:
  size_t record_bytes(const uint8_t* record) const override { return aggregator_.bytes(record); }
  int64_t record_newest_ms(const uint8_t* record) const override { return aggregator_.newest_ms(record); }
  bool record_valid(const uint8_t* record, size_t bytes) const override { return aggregator_.valid(record, bytes); }
  size_t record_since(const uint8_t* record, int64_t before_ms, uint8_t* out) const override {
    if constexpr (requires { aggregator_.forget_before(record, before_ms, out); }) {
      return aggregator_.forget_before(record, before_ms, out);
    } else {
      if (aggregator_.newest_ms(record) - horizon_ms_ < before_ms) return 0;  // some of it may be so old
      const size_t bytes = aggregator_.bytes(record);
      std::memcpy(out, record, bytes);
      return bytes;
    }
  }

 private:
  const uint8_t* record_of(const KeyTable::Slot* slot) const { return slot == nullptr ? nullptr : slab_.at(slot->ref); }

  Aggregator aggregator_;
};

}  // namespace tamis::state
