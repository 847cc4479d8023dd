// KeyTable: from 64-bit keys to (record reference, time last seen). Extendible hashing (Fagin et al. 1979) over
// segments of at most kSegmentSlots slots with linear probing inside: a full segment grows by a quarter, and when it is
// as large as it may be it is split in two, so no call moves more than some hundred slots, and slots stay between 65
// and 85 % full while the table grows. A deletion shifts slots back, there are no tombstones. Segments that have become
// empty are shrunk and joined by trim().
//
// The directory doubles only while it stays small in comparison with the keys, so that keys chosen to collide cannot
// blow it up; insert() then says that there is no room.
//
// Snapshots go by segments: a segment that does not carry the mark of the snapshot under way is as it was when that
// began. The owner writes and marks it before its first change; whatever comes of a marked segment is marked.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace tamis::state {

class KeyTable {
 public:
  static constexpr uint32_t kSegmentSlots = 1024;
  static constexpr uint32_t kDepthMax = 26;

  struct Slot {
    uint64_t key;
    uint32_t ref;   // 0: the slot is empty
    uint32_t seen;  // when the key was last seen, in a unit of the owner
  };
  struct Segment {
    uint64_t prefix = 0;  // the first of the hashes that belong here
    uint32_t count = 0;
    uint32_t capacity = 0;
    uint32_t depth = 0;  // leading bits that its hashes share
    uint32_t number = 0;
    uint32_t mark = 0;  // the snapshot that has it already
    std::unique_ptr<Slot[]> slots;
  };
  struct Place {
    Segment* segment = nullptr;
    uint32_t slot = 0;
  };

  // `slots_max`: of a segment; the largest capacity that is not above it.
  explicit KeyTable(uint32_t slots_max = kSegmentSlots);

  static uint64_t hash_of(uint64_t key) { return base::mix64(key); }

  void prefetch(uint64_t key) const {
    uint64_t h = hash_of(key);
    const Entry& entry = entry_of(h);
    __builtin_prefetch(entry.slots + home(h, entry.capacity));
  }

  // The slot of the key in its segment, or null.
  Slot* find(uint64_t key) const {
    uint64_t h = hash_of(key);
    const Entry& entry = entry_of(h);
    uint32_t i = home(h, entry.capacity);
    for (;;) {
      Slot& slot = entry.slots[i];
      if (slot.ref == 0) return nullptr;
      if (slot.key == key) return &slot;
      if (++i == entry.capacity) i = 0;
    }
  }
  // As find(), trying first the place where the key was found before.
  Slot* find_at(uint64_t key, uint32_t place) const {
    const Entry& entry = entry_of(hash_of(key));
    if (place < entry.capacity && entry.slots[place].key == key && entry.slots[place].ref != 0)
      return &entry.slots[place];
    return find(key);
  }
  uint32_t place_of(const Slot* slot) const { return static_cast<uint32_t>(slot - entry_of(hash_of(slot->key)).slots); }

  // Adds a key that is not there. Null if the keys collide too much; the owner then erases one of the segment first.
  Slot* insert(uint64_t key, uint32_t ref, uint32_t seen);
  // True if insert() of a key of this segment would first have to make room.
  static bool is_full(const Segment& segment) { return (segment.count + 1) * 20 > segment.capacity * 17; }
  // Slots behind the erased one may move into its place.
  void erase(Segment& segment, uint32_t slot);

  Segment& segment_of(uint64_t key) const { return *entry_of(hash_of(key)).segment; }
  Segment& segment_at(uint64_t hash) const { return *entry_of(hash).segment; }
  // The first hash behind the segment; 0 behind the last.
  static uint64_t behind(const Segment& segment) {
    return segment.depth == 0 ? 0 : segment.prefix + (uint64_t{1} << (64 - segment.depth));
  }
  // Shrinks a thin segment, or joins it with its buddy, and halves the directory where that has become possible.
  void trim(uint64_t hash);
  // The segments that trim() would change, null for none. The second only if they would be joined.
  std::pair<Segment*, Segment*> trimmed_by(uint64_t hash) const;

  // Snapshots: all segments are unmarked again.
  void begin_snapshot() { ++mark_; }
  bool is_marked(const Segment& segment) const { return segment.mark == mark_; }
  void set_mark(Segment& segment) const { segment.mark = mark_; }

  uint64_t size() const { return size_; }
  size_t bytes() const { return bytes_ + directory_.capacity() * sizeof(Entry); }
  uint32_t depth() const { return depth_; }
  size_t segment_count() const { return segments_.size(); }
  uint32_t slots_max() const { return slots_max_; }

  // For loading: takes the place of everything. Segments must come in order and cover all hashes without gap.
  bool adopt(uint32_t depth, std::vector<std::unique_ptr<Segment>> segments);
  static std::unique_ptr<Segment> make_segment(uint64_t prefix, uint32_t depth, uint32_t capacity);
  // For loading: whether find() would find the key in this slot.
  static bool is_reachable(const Segment& segment, uint32_t slot);
  bool is_capacity(uint32_t capacity) const;

 private:
  struct Entry {
    Slot* slots;
    Segment* segment;
    uint32_t capacity;
  };

  // The upper half of the hash's lower half decides the home, independent of the leading bits of the directory.
  static uint32_t home(uint64_t h, uint32_t capacity) {
    return static_cast<uint32_t>(((h & 0xffffffffu) * capacity) >> 32);
  }
  const Entry& entry_of(uint64_t h) const { return directory_[(h >> 1) >> (63 - depth_)]; }
  Entry& entry_of(uint64_t h) { return directory_[(h >> 1) >> (63 - depth_)]; }
  static Slot* put(Segment& segment, const Slot& slot);
  void point(Segment& segment);
  void resize(Segment& segment, uint32_t capacity);
  bool split(Segment& segment);
  void join(Segment& low, Segment& high);
  void halve();
  uint32_t capacity_for(uint32_t count) const;

  uint32_t slots_max_;
  uint32_t mark_ = 0;
  uint32_t depth_ = 0;  // of the directory
  std::vector<Entry> directory_;
  std::vector<std::unique_ptr<Segment>> segments_;
  std::array<uint32_t, kDepthMax + 1> segments_of_depth_{};
  uint64_t size_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tamis::state
