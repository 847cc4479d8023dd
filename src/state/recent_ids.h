// RecentIds: which events came lately, by (type, id), with the numbers of their records: so that a repeated delivery is
// known for one. A KeyTable of 16 bytes a slot. One thread.
//
// An id is known by a 64-bit hash that the caller makes; two ids of the same hash are taken for one (with 64 million
// ids, one new id in 290 billion meets this). Of the record's number the table keeps what tells it from its 2^32
// neighbours, and of the time the second. Beyond ids_max the id that expires first among a fair sample of all (a
// segment) is forgotten.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "state/bytes.h"
#include "state/key_table.h"
#include "state/pieces.h"

namespace tamis::state {

class RecentIds final : public SnapshotPart {
 public:
  explicit RecentIds(uint64_t ids_max = 64'000'000);

  // A hint: this id is looked up soon.
  void prefetch(uint64_t id) const { keys_.prefetch(id); }
  // The record in which the id came, 0 if it is new or has expired at now_ms. `newest_record` is the highest number
  // given to add() by anyone.
  uint64_t find(uint64_t id, int64_t now_ms, uint64_t newest_record) const;
  // Remembers the id, in place of what was known of it, until expires_ms.
  void add(uint64_t id, uint64_t record, int64_t expires_ms, int64_t now_ms);
  bool forget(uint64_t id);
  void advance(int64_t now_ms);  // frees what has expired, a bounded piece at a time

  uint64_t size() const { return keys_.size(); }
  uint64_t bytes() const { return keys_.bytes(); }
  uint64_t evicted() const { return evicted_; }  // by the cap
  uint64_t digest() const;                       // independent of order and layout

  void begin_snapshot(PieceWriter& out, uint32_t part) override;
  bool snapshot_piece() override;
  void end_snapshot() override { snapshot_ = nullptr; }
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  base::Status finish_restore() override;

 private:
  static constexpr uint32_t kSweepSlots = 32;
  static constexpr uint64_t kModulus = 0xffffffffu;  // of record numbers; stored + 1, as 0 marks an empty slot

  // Times in units of 1.024 s, rounded up, modulo 2^32.
  static uint32_t seconds_of(int64_t t_ms) { return static_cast<uint32_t>((t_ms + 1023) >> 10); }
  static bool is_expired(const KeyTable::Slot& slot, int64_t now_ms) {
    return static_cast<int32_t>(slot.seen - static_cast<uint32_t>(now_ms >> 10)) <= 0;
  }
  void before_change(KeyTable::Segment& segment) {
    if (snapshot_ != nullptr && !keys_.is_marked(segment)) [[unlikely]]
      write_piece(segment);
  }
  void write_piece(KeyTable::Segment& segment);
  void evict_from(KeyTable::Segment& segment);
  void make_room(uint64_t id, int64_t now_ms);
  base::Status restore_segment(ByteReader& in);

  uint64_t ids_max_;
  KeyTable keys_;
  uint64_t evicted_ = 0;
  uint64_t sweep_hash_ = 0;
  uint32_t sweep_slot_ = 0;

  PieceWriter* snapshot_ = nullptr;
  uint32_t snapshot_part_ = 0;
  uint64_t snapshot_hash_ = 0;
  bool snapshot_ended_ = false;
  bool has_head_ = false;
  uint32_t depth_ = 0, segment_count_ = 0;  // of the table being restored
  std::vector<std::unique_ptr<KeyTable::Segment>> segments_;
};

}  // namespace tamis::state
