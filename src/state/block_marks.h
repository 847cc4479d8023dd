// BlockMarks: which blocks of a container of numbered slots a snapshot has written already. Private to this room.
#pragma once

#include <cstddef>
#include <vector>

namespace tamis::state {

class BlockMarks {
 public:
  static constexpr size_t kBlockSlots = 64;
  static constexpr size_t kNone = ~size_t{0};

  // Slots behind the first `slots` are not part of the snapshot.
  void begin(size_t slots) {
    is_active_ = true;
    next_ = 0;
    slots_ = slots;
    written_.assign((slots + kBlockSlots - 1) / kBlockSlots, false);
  }
  void end() {
    is_active_ = false;
    written_ = {};
  }
  bool is_active() const { return is_active_; }

  // The block of a slot that is about to change if it must be written first, or kNone. It counts as written then.
  size_t due_before_change(size_t slot) {
    if (!is_active_ || slot >= slots_ || written_[slot / kBlockSlots]) return kNone;
    written_[slot / kBlockSlots] = true;
    return slot / kBlockSlots;
  }
  // The next block in order, or kNone behind the last.
  size_t next() {
    while (next_ < written_.size() && written_[next_]) ++next_;
    if (next_ == written_.size()) return kNone;
    written_[next_] = true;
    return next_++;
  }
  size_t first_slot(size_t block) const { return block * kBlockSlots; }
  size_t behind_slot(size_t block) const {
    return block * kBlockSlots + kBlockSlots < slots_ ? (block + 1) * kBlockSlots : slots_;
  }

 private:
  bool is_active_ = false;
  size_t next_ = 0, slots_ = 0;
  std::vector<bool> written_;
};

}  // namespace tamis::state
