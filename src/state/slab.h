// Slab: memory for the records of one feature table. A record is a byte string of up to kRecordBytesMax bytes that is
// named by a 32-bit reference. Records of one size class share chunks; a chunk that holds none any more is given back,
// and nothing is moved behind the owner's back. Zero is no reference.
//
// Records that come and go leave holes. While more than a 32nd of the memory is holes, worth_moving() tells of a
// record whether it lies in a thin chunk and could be moved to a fuller one of its class; its owner, who comes by all
// of them now and then, may do so.
//
// Chunks of a class grow with the class from 512 bytes to 32 KiB, so that a small table stays small. Behind each record
// kBitSlackBytes can be read and (if written back unchanged) written: either the next record's or the chunk's tail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "state/bits.h"

namespace tamis::state {

class Slab {
 public:
  static constexpr size_t kRecordBytesMax = 64 * 1024;

  explicit Slab(size_t record_bytes_max);
  // Bytes in the class that serves a record of `bytes`, of 1 to kRecordBytesMax.
  static size_t capacity_for(size_t bytes) { return bytes_of(class_of(bytes)); }

  uint32_t allocate(size_t bytes);
  void free(uint32_t ref);

  bool has_holes() const { return (bytes_ - used_bytes_) * 32 > bytes_; }
  bool worth_moving(uint32_t ref) const;
  // The same record at another place.
  uint32_t move(uint32_t ref);

  uint8_t* at(uint32_t ref) { return const_cast<uint8_t*>(static_cast<const Slab*>(this)->at(ref)); }
  const uint8_t* at(uint32_t ref) const { return chunk(ref).memory.get() + size_t{ref & kUnitMask} * kUnitBytes; }
  size_t capacity(uint32_t ref) const { return bytes_of(chunk(ref).size_class); }
  // Memory in use from the system.
  size_t bytes() const { return bytes_; }

 private:
  static constexpr uint32_t kUnitBytes = 4;
  static constexpr uint32_t kUnitBits = 13;
  static constexpr uint32_t kUnitMask = (1u << kUnitBits) - 1;
  static constexpr uint32_t kChunkBytesMax = kUnitBytes << kUnitBits;
  static constexpr uint32_t kPageChunks = 32;
  static constexpr uint32_t kNone = ~0u;
  static constexpr uint32_t kFineClasses = 64;  // up to 256 bytes in steps of 4
  static constexpr uint32_t kStepBits = 6;      // then 64 steps to each doubling

  struct Chunk {
    std::unique_ptr<uint8_t[]> memory;
    uint32_t units = 0;                       // whole chunk
    uint32_t used = 0;                        // records
    uint32_t fresh = 0;                       // first unit never handed out
    uint32_t free = kNone;                    // first of the freed records, a list through their bytes
    uint32_t previous = kNone, next = kNone;  // list of the chunks of a class that have room
    uint32_t size_class = 0;
  };
  struct Class {
    uint32_t open = kNone, last = kNone;  // chunks with room, thin ones towards the end
    uint64_t bytes = 0;                   // of all its chunks
  };
  struct Page {
    Chunk chunks[kPageChunks];
  };

  static uint32_t class_of(size_t bytes);
  static size_t bytes_of(uint32_t size_class);
  Chunk& chunk_at(uint32_t number) { return pages_[number / kPageChunks]->chunks[number % kPageChunks]; }
  const Chunk& chunk(uint32_t ref) const {
    uint32_t number = ref >> kUnitBits;
    return pages_[number / kPageChunks]->chunks[number % kPageChunks];
  }
  uint32_t open_chunk(uint32_t size_class);
  void link(uint32_t number);
  void link_last(uint32_t number);
  static bool is_thin(const Chunk& chunk);
  void unlink(uint32_t number);
  static bool has_room(const Chunk& chunk);

  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<uint32_t> vacant_;  // numbers of chunks given back
  uint32_t chunks_ = 0;           // numbers handed out so far
  std::vector<Class> classes_;
  size_t bytes_ = 0;
  size_t used_bytes_ = 0;  // of live records, in whole classes
};

}  // namespace tamis::state
