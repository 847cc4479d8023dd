#include "state/key_table.h"

#include <algorithm>

#include "base/assert.h"

namespace tamis::state {
namespace {

// Doubling while small, then by a quarter: what is free is then small in comparison with what is used.
constexpr std::array<uint32_t, 14> kCapacities = {8, 16, 32, 64, 96, 128, 192, 256, 320, 400, 512, 640, 800, 1024};
static_assert(kCapacities.back() == KeyTable::kSegmentSlots);

uint32_t next_capacity(uint32_t capacity) {
  return *std::upper_bound(kCapacities.begin(), kCapacities.end() - 1, capacity);
}

}  // namespace

// The smallest capacity that holds `count` slots with some room left.
uint32_t KeyTable::capacity_for(uint32_t count) const {
  for (uint32_t capacity : kCapacities) {
    if (count * 4 <= capacity * 3 || capacity == slots_max_) return capacity;
  }
  return slots_max_;
}

bool KeyTable::is_capacity(uint32_t capacity) const {
  return capacity <= slots_max_ && std::find(kCapacities.begin(), kCapacities.end(), capacity) != kCapacities.end();
}

KeyTable::KeyTable(uint32_t slots_max)
    : slots_max_(*(std::upper_bound(kCapacities.begin() + 1, kCapacities.end(), slots_max) - 1)) {
  std::vector<std::unique_ptr<Segment>> segments;
  segments.push_back(make_segment(0, 0, kCapacities.front()));
  bool whole = adopt(0, std::move(segments));
  TAMIS_ASSERT(whole);
}

std::unique_ptr<KeyTable::Segment> KeyTable::make_segment(uint64_t prefix, uint32_t depth, uint32_t capacity) {
  auto segment = std::make_unique<Segment>();
  segment->prefix = prefix;
  segment->depth = depth;
  segment->capacity = capacity;
  segment->slots = std::make_unique<Slot[]>(capacity);
  return segment;
}

bool KeyTable::adopt(uint32_t depth, std::vector<std::unique_ptr<Segment>> segments) {
  if (depth > kDepthMax || segments.empty()) return false;
  uint64_t expected = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = *segments[i];
    if (segment.depth > depth || segment.prefix != expected) return false;
    if (segment.depth > 0 && (segment.prefix & ((uint64_t{1} << (64 - segment.depth)) - 1)) != 0) return false;
    expected = behind(segment);
    if (expected == 0 && i + 1 != segments.size()) return false;
  }
  if (expected != 0) return false;
  depth_ = depth;
  segments_ = std::move(segments);
  directory_ = std::vector<Entry>(size_t{1} << depth);
  segments_of_depth_.fill(0);
  size_ = bytes_ = 0;
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = *segments_[i];
    segment.number = i;
    ++segments_of_depth_[segment.depth];
    size_ += segment.count;
    bytes_ += sizeof(Segment) + segment.capacity * sizeof(Slot);
    point(segment);
  }
  return true;
}

void KeyTable::point(Segment& segment) {
  size_t first = (segment.prefix >> 1) >> (63 - depth_);
  size_t count = size_t{1} << (depth_ - segment.depth);
  for (size_t i = 0; i < count; ++i) directory_[first + i] = {segment.slots.get(), &segment, segment.capacity};
}

KeyTable::Slot* KeyTable::put(Segment& segment, const Slot& slot) {
  uint32_t i = home(hash_of(slot.key), segment.capacity);
  while (segment.slots[i].ref != 0) {
    if (++i == segment.capacity) i = 0;
  }
  segment.slots[i] = slot;
  ++segment.count;
  return &segment.slots[i];
}

bool KeyTable::is_reachable(const Segment& segment, uint32_t slot) {
  uint64_t key = segment.slots[slot].key;
  for (uint32_t i = home(hash_of(key), segment.capacity); i != slot;) {
    if (segment.slots[i].ref == 0 || segment.slots[i].key == key) return false;
    if (++i == segment.capacity) i = 0;
  }
  return true;
}

KeyTable::Slot* KeyTable::insert(uint64_t key, uint32_t ref, uint32_t seen) {
  TAMIS_ASSERT(ref != 0);
  Segment* segment = &segment_of(key);
  while (is_full(*segment)) {
    if (segment->capacity < slots_max_) {
      resize(*segment, next_capacity(segment->capacity));
    } else if (!split(*segment)) {
      return nullptr;
    }
    segment = &segment_of(key);
  }
  ++size_;
  return put(*segment, {key, ref, seen});
}

void KeyTable::resize(Segment& segment, uint32_t capacity) {
  auto old = std::move(segment.slots);
  uint32_t old_capacity = segment.capacity;
  segment.slots = std::make_unique<Slot[]>(capacity);
  segment.capacity = capacity;
  segment.count = 0;
  for (uint32_t i = 0; i < old_capacity; ++i) {
    if (old[i].ref != 0) put(segment, old[i]);
  }
  bytes_ += capacity * sizeof(Slot);
  bytes_ -= old_capacity * sizeof(Slot);
  point(segment);
}

bool KeyTable::split(Segment& segment) {
  if (segment.depth == depth_) {
    if (depth_ == kDepthMax || (uint64_t{1} << depth_) > size_ / 16) return false;
    std::vector<Entry> doubled(directory_.size() * 2);
    for (size_t i = 0; i < doubled.size(); ++i) doubled[i] = directory_[i / 2];
    directory_ = std::move(doubled);
    ++depth_;
  }
  uint32_t depth = segment.depth + 1;
  uint64_t bit = uint64_t{1} << (64 - depth);
  uint32_t high_count = 0;
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    const Slot& slot = segment.slots[i];
    if (slot.ref != 0 && (hash_of(slot.key) & bit) != 0) ++high_count;
  }
  uint32_t low_count = segment.count - high_count;
  auto high = make_segment(segment.prefix | bit, depth, capacity_for(high_count));
  high->mark = segment.mark;
  auto low_slots = make_segment(segment.prefix, depth, capacity_for(low_count));
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    const Slot& slot = segment.slots[i];
    if (slot.ref != 0) put((hash_of(slot.key) & bit) != 0 ? *high : *low_slots, slot);
  }
  bytes_ += sizeof(Segment) + (high->capacity + low_slots->capacity) * sizeof(Slot);
  bytes_ -= segment.capacity * sizeof(Slot);
  --segments_of_depth_[segment.depth];
  segments_of_depth_[depth] += 2;
  segment.slots = std::move(low_slots->slots);
  segment.capacity = low_slots->capacity;
  segment.count = low_slots->count;
  segment.depth = depth;
  high->number = static_cast<uint32_t>(segments_.size());
  point(segment);
  point(*high);
  segments_.push_back(std::move(high));
  return true;
}

void KeyTable::erase(Segment& segment, uint32_t slot) {
  TAMIS_ASSERT(segment.slots[slot].ref != 0);
  // Knuth's algorithm R: a later slot of the cluster moves into the hole unless its home lies behind the hole.
  uint32_t hole = slot;
  for (uint32_t i = slot;;) {
    if (++i == segment.capacity) i = 0;
    const Slot& next = segment.slots[i];
    if (next.ref == 0) break;
    uint32_t want = home(hash_of(next.key), segment.capacity);
    bool stays = hole <= i ? (hole < want && want <= i) : (hole < want || want <= i);
    if (stays) continue;
    segment.slots[hole] = next;
    hole = i;
  }
  segment.slots[hole] = Slot{};
  --segment.count;
  --size_;
}

std::pair<KeyTable::Segment*, KeyTable::Segment*> KeyTable::trimmed_by(uint64_t hash) const {
  Segment& segment = segment_at(hash);
  if (segment.depth > 0) {
    uint64_t bit = uint64_t{1} << (64 - segment.depth);
    Segment& buddy = segment_at(segment.prefix ^ bit);
    if (buddy.depth == segment.depth && segment.count + buddy.count <= slots_max_ / 3) return {&segment, &buddy};
  }
  bool is_thin = segment.count * 3 < segment.capacity && capacity_for(segment.count) < segment.capacity;
  return {is_thin ? &segment : nullptr, nullptr};
}

void KeyTable::trim(uint64_t hash) {
  auto [segment, buddy] = trimmed_by(hash);
  if (buddy != nullptr) {
    join(segment->prefix < buddy->prefix ? *segment : *buddy, segment->prefix < buddy->prefix ? *buddy : *segment);
  } else if (segment != nullptr) {
    resize(*segment, capacity_for(segment->count));
  }
}

void KeyTable::join(Segment& low, Segment& high) {
  auto joined = make_segment(low.prefix, low.depth - 1, capacity_for(low.count + high.count));
  for (const Segment* from : {&low, &high}) {
    for (uint32_t i = 0; i < from->capacity; ++i) {
      if (from->slots[i].ref != 0) put(*joined, from->slots[i]);
    }
  }
  segments_of_depth_[low.depth] -= 2;
  ++segments_of_depth_[joined->depth];
  bytes_ += joined->capacity * sizeof(Slot);
  bytes_ -= sizeof(Segment) + (low.capacity + high.capacity) * sizeof(Slot);
  low.slots = std::move(joined->slots);
  low.capacity = joined->capacity;
  low.count = joined->count;
  low.depth = joined->depth;
  point(low);
  uint32_t number = high.number;
  if (number + 1 != segments_.size()) {
    segments_[number] = std::move(segments_.back());
    segments_[number]->number = number;
  }
  segments_.pop_back();
  if (depth_ > 0 && segments_of_depth_[depth_] == 0) halve();
}

void KeyTable::halve() {
  std::vector<Entry> half(directory_.size() / 2);
  for (size_t i = 0; i < half.size(); ++i) half[i] = directory_[i * 2];
  directory_ = std::move(half);
  --depth_;
}

}  // namespace tamis::state
