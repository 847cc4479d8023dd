// ListEntries: the entries of one list, by number. Numbers of removed entries are used again, the last one first.
// Private to this room.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "state/block_marks.h"
#include "state/bytes.h"
#include "state/entry_slots.h"
#include "state/list.h"

namespace tamis::state {

class ListEntries {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // `text` stands for entry.value.
  uint32_t add(std::string_view text, const ListEntry& entry) {
    uint32_t number = free_;
    if (number == kNone) {
      number = static_cast<uint32_t>(slots_.size());
      slots_.add();
    } else {
      before_change(number);
      free_ = static_cast<uint32_t>(slots_[number].expires_ms);
    }
    put(slots_[number], text, entry.expires_ms, true);
    ++size_;
    expiring_ += entry.expires_ms != kNeverExpires;
    set_origin(number, entry);
    return number;
  }

  void update(uint32_t number, const ListEntry& entry) {
    before_change(number);
    expiring_ -= slots_[number].expires_ms != kNeverExpires;
    slots_[number].expires_ms = entry.expires_ms;
    expiring_ += entry.expires_ms != kNeverExpires;
    origins_.erase(number);
    set_origin(number, entry);
  }

  void remove(uint32_t number) {
    before_change(number);
    expiring_ -= slots_[number].expires_ms != kNeverExpires;
    put(slots_[number], {}, free_, false);
    origins_.erase(number);
    free_ = number;
    --size_;
  }

  size_t size() const { return size_; }
  uint32_t slots() const { return static_cast<uint32_t>(slots_.size()); }
  size_t expiring() const { return expiring_; }
  bool used(uint32_t number) const { return slots_[number].used; }
  bool live(uint32_t number, int64_t now_ms) const { return slots_[number].expires_ms > now_ms; }
  std::string_view text(uint32_t number) const { return slots_[number].text.view(); }
  int64_t expires_ms(uint32_t number) const { return slots_[number].expires_ms; }
  ListEntry get(uint32_t number) const {
    const EntrySlot& slot = slots_[number];
    auto found = origins_.find(number);
    if (found == origins_.end()) return {std::string(slot.text.view()), slot.expires_ms, {}, {}, 0};
    const Origin& origin = found->second;
    return {std::string(slot.text.view()), slot.expires_ms, origin.note, origin.author, origin.since_ms};
  }

  void begin_snapshot(PieceWriter& out, uint32_t part) {
    snapshot_ = &out;
    snapshot_part_ = part;
    marks_.begin(slots_.size());
  }
  bool snapshot_piece() {
    size_t block = marks_.is_active() ? marks_.next() : BlockMarks::kNone;
    if (block == BlockMarks::kNone) return false;
    write_block(block);
    return true;
  }
  void end_snapshot() { marks_.end(); }

  uint32_t first_free() const { return free_; }
  // Blocks come in any order; finish_restore() puts them together.
  bool restore_block(ByteReader& in) {
    Block block;
    block.first = in.varint();
    uint64_t count = in.varint();
    if (count > BlockMarks::kBlockSlots || count > in.left()) return false;
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      bool used = in.number<uint8_t>() != 0;
      std::string_view text = in.text();
      auto number = in.number<int64_t>();
      ListEntry entry{std::string(text), number, {}, {}, 0};
      if (used && in.number<uint8_t>() != 0) {
        entry.note = in.text();
        entry.author = in.text();
        entry.since_ms = in.number<int64_t>();
      }
      block.entries.emplace_back(used, std::move(entry));
    }
    if (in.ok()) blocks_.push_back(std::move(block));
    return in.ok();
  }
  bool finish_restore(uint64_t slots, uint32_t first_free) {
    auto by_place = [](const Block& a, const Block& b) { return a.first < b.first; };
    std::sort(blocks_.begin(), blocks_.end(), by_place);
    for (Block& block : blocks_) {
      if (block.first != slots_.size()) return false;
      for (auto& [used, entry] : block.entries) {
        put(slots_.add(), entry.value, entry.expires_ms, used);
        if (!used) continue;
        ++size_;
        expiring_ += entry.expires_ms != kNeverExpires;
        set_origin(static_cast<uint32_t>(slots_.size() - 1), entry);
      }
    }
    blocks_ = {};
    if (slots_.size() != slots) return false;
    free_ = first_free;
    size_t free = 0;
    for (uint32_t at = free_; at != kNone; at = static_cast<uint32_t>(slots_[at].expires_ms), ++free) {
      if (at >= slots_.size() || slots_[at].used || free > slots_.size()) return false;
    }
    return free == slots_.size() - size_;
  }

 private:
  // Where an entry comes from, for those that say so.
  struct Origin {
    std::string note, author;
    int64_t since_ms;
  };
  struct Block {
    uint64_t first = 0;
    std::vector<std::pair<bool, ListEntry>> entries;
  };

  static void put(EntrySlot& slot, std::string_view text, int64_t expires_ms, bool used) {
    slot.text = EntryText(text);
    slot.expires_ms = expires_ms;
    slot.used = used;
  }

  void set_origin(uint32_t number, const ListEntry& entry) {
    if (entry.note.empty() && entry.author.empty() && entry.since_ms == 0) return;
    origins_[number] = {entry.note, entry.author, entry.since_ms};
  }

  void before_change(uint32_t number) {
    if (!marks_.is_active()) return;
    size_t block = marks_.due_before_change(number);
    if (block != BlockMarks::kNone) write_block(block);
  }

  void write_block(size_t block) {
    std::string& out = snapshot_->begin(kBodyPiece, snapshot_part_);
    size_t first = marks_.first_slot(block), behind = marks_.behind_slot(block);
    put_varint(out, first);
    put_varint(out, behind - first);
    for (size_t i = first; i < behind; ++i) {
      const EntrySlot& slot = slots_[i];
      put_number(out, static_cast<uint8_t>(slot.used));
      put_text(out, slot.text.view());
      put_number(out, slot.expires_ms);
      if (!slot.used) continue;
      auto origin = origins_.find(static_cast<uint32_t>(i));
      put_number(out, static_cast<uint8_t>(origin != origins_.end()));
      if (origin == origins_.end()) continue;
      put_text(out, origin->second.note);
      put_text(out, origin->second.author);
      put_number(out, origin->second.since_ms);
    }
    snapshot_->end();
  }

  EntrySlots slots_;
  uint32_t free_ = kNone;  // the first of the free slots, a list through them
  size_t size_ = 0;
  std::unordered_map<uint32_t, Origin> origins_;
  size_t expiring_ = 0;

  BlockMarks marks_;
  PieceWriter* snapshot_ = nullptr;
  uint32_t snapshot_part_ = 0;
  std::vector<Block> blocks_;  // restored, and not yet put together
};

}  // namespace tamis::state
