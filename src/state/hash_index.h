// HashIndex: from a 64-bit hash to the numbers of entries that have it, for containers that keep their entries in a
// vector. Open addressing in 256 shards that grow one at a time, so that no insertion moves more than a 256th of all.
// Eight bytes a slot. Not thread-safe. The caller compares the entries themselves: equal hashes are only candidates.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tamis::state {

class HashIndex {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // The first entry with this hash for which `same(number)` holds, or kNone.
  template <class Same>
  uint32_t find(uint64_t hash, Same&& same) const {
    const Shard& shard = shards_[hash >> 56];
    if (shard.slots.empty()) return kNone;
    const uint32_t tag = tag_of(hash);
    const size_t mask = shard.slots.size() - 1;
    for (size_t at = tag & mask;; at = (at + 1) & mask) {
      const Slot& slot = shard.slots[at];
      if (slot.number == kNone) return kNone;
      if (slot.tag == tag && same(slot.number)) return slot.number;
    }
  }

  // A hint: this hash is looked up soon.
  void prefetch(uint64_t hash) const {
    const Shard& shard = shards_[hash >> 56];
    if (!shard.slots.empty()) __builtin_prefetch(&shard.slots[tag_of(hash) & (shard.slots.size() - 1)]);
  }

  void insert(uint64_t hash, uint32_t number) {
    Shard& shard = shards_[hash >> 56];
    if ((shard.used + 1) * 4 > shard.slots.size() * 3) grow(shard);
    place(shard.slots, {tag_of(hash), number});
    ++shard.used;
  }

  // Removes the slot of this entry, if it is there. Later slots of its run move up, so there are no tombstones.
  void erase(uint64_t hash, uint32_t number) {
    Shard& shard = shards_[hash >> 56];
    if (shard.slots.empty()) return;
    const size_t mask = shard.slots.size() - 1;
    size_t at = tag_of(hash) & mask;
    while (shard.slots[at].number != number) {
      if (shard.slots[at].number == kNone) return;
      at = (at + 1) & mask;
    }
    for (size_t next = (at + 1) & mask; shard.slots[next].number != kNone; next = (next + 1) & mask) {
      size_t home = shard.slots[next].tag & mask;
      if (((next - home) & mask) >= ((next - at) & mask)) {
        shard.slots[at] = shard.slots[next];
        at = next;
      }
    }
    shard.slots[at].number = kNone;
    --shard.used;
  }

  size_t bytes() const {
    size_t bytes = sizeof(*this);
    for (const Shard& shard : shards_) bytes += shard.slots.capacity() * sizeof(Slot);
    return bytes;
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t number = kNone;
  };
  struct Shard {
    std::vector<Slot> slots;  // a power of two, or empty
    size_t used = 0;
  };

  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash); }

  static void place(std::vector<Slot>& slots, Slot slot) {
    const size_t mask = slots.size() - 1;
    size_t at = slot.tag & mask;
    while (slots[at].number != kNone) at = (at + 1) & mask;
    slots[at] = slot;
  }

  static void grow(Shard& shard) {
    std::vector<Slot> bigger(shard.slots.empty() ? 4 : shard.slots.size() * 2);
    for (const Slot& slot : shard.slots) {
      if (slot.number != kNone) place(bigger, slot);
    }
    shard.slots = std::move(bigger);
  }

  std::array<Shard, 256> shards_;
};

}  // namespace tamis::state
