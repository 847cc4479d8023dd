#include "state/slab.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace tamis::state {

Slab::Slab(size_t record_bytes_max) : classes_(class_of(record_bytes_max) + 1) {
  TAMIS_ASSERT(record_bytes_max <= kRecordBytesMax);
  bytes_ = classes_.size() * sizeof(Class);
}

uint32_t Slab::class_of(size_t bytes) {
  size_t units = (bytes + kUnitBytes - 1) / kUnitBytes;
  if (units <= kFineClasses) return static_cast<uint32_t>(units == 0 ? 0 : units - 1);
  // The leading one and the six bits behind it, rounded up, are the class.
  auto shift = static_cast<unsigned>(std::bit_width(units - 1)) - 1 - kStepBits;
  auto steps = static_cast<uint32_t>((units - 1) >> shift) - (1u << kStepBits);
  return kFineClasses + (shift << kStepBits) + steps;
}

size_t Slab::bytes_of(uint32_t size_class) {
  if (size_class < kFineClasses) return size_t{size_class + 1} * kUnitBytes;
  uint32_t coarse = size_class - kFineClasses;
  uint32_t steps = (coarse & ((1u << kStepBits) - 1)) + (1u << kStepBits) + 1;
  return (size_t{steps} << (coarse >> kStepBits)) * kUnitBytes;
}

bool Slab::has_room(const Chunk& chunk) {
  return chunk.free != kNone || (chunk.fresh + bytes_of(chunk.size_class) / kUnitBytes) <= chunk.units;
}

// Less than seven eighths of it are used.
bool Slab::is_thin(const Chunk& chunk) {
  return chunk.used * (bytes_of(chunk.size_class) / kUnitBytes) * 8 < chunk.units * 7;
}

void Slab::link(uint32_t number) {
  Chunk& chunk = chunk_at(number);
  Class& owner = classes_[chunk.size_class];
  chunk.previous = kNone;
  chunk.next = owner.open;
  (owner.open != kNone ? chunk_at(owner.open).previous : owner.last) = number;
  owner.open = number;
}

void Slab::link_last(uint32_t number) {
  Chunk& chunk = chunk_at(number);
  Class& owner = classes_[chunk.size_class];
  chunk.next = kNone;
  chunk.previous = owner.last;
  (owner.last != kNone ? chunk_at(owner.last).next : owner.open) = number;
  owner.last = number;
}

void Slab::unlink(uint32_t number) {
  Chunk& chunk = chunk_at(number);
  Class& owner = classes_[chunk.size_class];
  (chunk.previous != kNone ? chunk_at(chunk.previous).next : owner.open) = chunk.next;
  (chunk.next != kNone ? chunk_at(chunk.next).previous : owner.last) = chunk.previous;
  chunk.previous = chunk.next = kNone;
}

bool Slab::worth_moving(uint32_t ref) const {
  const Chunk& from = chunk(ref);
  if (!is_thin(from)) return false;
  uint32_t open = classes_[from.size_class].open;
  return open != kNone && open != ref >> kUnitBits && chunk(open << kUnitBits).used >= from.used;
}

uint32_t Slab::move(uint32_t ref) {
  size_t bytes = capacity(ref);
  uint32_t moved = allocate(bytes);
  std::memcpy(at(moved), at(ref), bytes);
  free(ref);
  return moved;
}

uint32_t Slab::open_chunk(uint32_t size_class) {
  uint32_t number;
  if (!vacant_.empty()) {
    number = vacant_.back();
    vacant_.pop_back();
  } else {
    number = chunks_++;
    TAMIS_ASSERT(number < (1u << (32 - kUnitBits)));
    if (number % kPageChunks == 0) {
      pages_.push_back(std::make_unique<Page>());
      bytes_ += sizeof(Page);
    }
  }
  Class& owner = classes_[size_class];
  size_t record = bytes_of(size_class);
  size_t wanted = std::clamp<size_t>(std::bit_ceil(owner.bytes / 8 + 1), 512, kChunkBytesMax);
  size_t bytes = std::max<size_t>(wanted / record, 1) * record;
  // Unit 0 of chunk 0 would be reference 0, so every chunk leaves its first unit out when it is the first one.
  Chunk& chunk = chunk_at(number);
  uint32_t skipped = number == 0 ? 1 : 0;
  if (skipped != 0 && bytes > record && bytes + kUnitBytes > kChunkBytesMax) bytes -= record;
  chunk.units = static_cast<uint32_t>(bytes / kUnitBytes) + skipped;
  size_t allocated = size_t{chunk.units} * kUnitBytes + 16;
  chunk.memory = std::make_unique<uint8_t[]>(allocated);
  chunk.used = 0;
  chunk.fresh = skipped;
  chunk.free = kNone;
  chunk.size_class = size_class;
  owner.bytes += size_t{chunk.units} * kUnitBytes;
  bytes_ += allocated;
  link(number);
  return number;
}

uint32_t Slab::allocate(size_t bytes) {
  uint32_t size_class = class_of(bytes);
  TAMIS_ASSERT(size_class < classes_.size());
  uint32_t number = classes_[size_class].open;
  if (number == kNone) number = open_chunk(size_class);
  Chunk& chunk = chunk_at(number);
  uint32_t unit;
  if (chunk.free != kNone) {
    unit = chunk.free;
    std::memcpy(&chunk.free, chunk.memory.get() + size_t{unit} * kUnitBytes, sizeof(uint32_t));
  } else {
    unit = chunk.fresh;
    chunk.fresh += static_cast<uint32_t>(bytes_of(size_class) / kUnitBytes);
  }
  ++chunk.used;
  used_bytes_ += bytes_of(size_class);
  if (!has_room(chunk)) unlink(number);
  return number << kUnitBits | unit;
}

void Slab::free(uint32_t ref) {
  uint32_t number = ref >> kUnitBits;
  uint32_t unit = ref & kUnitMask;
  Chunk& chunk = chunk_at(number);
  TAMIS_ASSERT(ref != 0 && chunk.used > 0);
  bool was_open = has_room(chunk), was_thin = is_thin(chunk);
  used_bytes_ -= bytes_of(chunk.size_class);
  if (--chunk.used == 0) {
    if (was_open) unlink(number);
    size_t bytes = size_t{chunk.units} * kUnitBytes;
    classes_[chunk.size_class].bytes -= bytes;
    bytes_ -= bytes + 16;
    chunk = Chunk{};
    vacant_.push_back(number);
    return;
  }
  std::memcpy(chunk.memory.get() + size_t{unit} * kUnitBytes, &chunk.free, sizeof(uint32_t));
  chunk.free = unit;
  if (!was_open) {
    link(number);
  } else if (!was_thin && is_thin(chunk)) {
    unlink(number);
    link_last(number);
  }
}

}  // namespace tamis::state
