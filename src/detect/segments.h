// Segments: how the tables of the detectors are written into a snapshot while they go on changing. A table consists of
// numbered segments of some kilobytes; each is written once, as of the begin of the snapshot: in its turn, or right
// before its first change. What an event changes costs at most one copy of each segment that it touches.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "state/bytes.h"
#include "state/pieces.h"

namespace tamis::detect {

// Which segments of one table a snapshot still needs.
class SegmentCopy {
 public:
  void begin(state::PieceWriter& out, uint32_t part, uint32_t kind, size_t segments) {
    out_ = &out, part_ = part, kind_ = kind, count_ = segments, next_ = 0;
    taken_.assign((segments + 63) / 64, 0);
  }
  void end() {
    out_ = nullptr;
    taken_.clear();
  }
  // Before a change. `save(segment, body)` appends the bytes of the segment.
  template <class Save>
  void touch(size_t segment, const Save& save) {
    if (out_ != nullptr && segment < count_ && !is_taken(segment)) [[unlikely]]
      write(segment, save);
  }
  // The next that was not written yet; false: none is left.
  template <class Save>
  bool next(const Save& save) {
    if (out_ == nullptr) return false;
    while (next_ < count_ && is_taken(next_)) ++next_;
    if (next_ == count_) return false;
    write(next_, save);
    return true;
  }

 private:
  bool is_taken(size_t segment) const { return (taken_[segment / 64] >> (segment % 64) & 1) != 0; }
  template <class Save>
  void write(size_t segment, const Save& save) {
    taken_[segment / 64] |= uint64_t{1} << (segment % 64);
    std::string& body = out_->begin(kind_, part_);
    state::put_number(body, static_cast<uint32_t>(segment));
    save(segment, body);
    out_->end();
  }

  state::PieceWriter* out_ = nullptr;
  uint32_t part_ = 0, kind_ = 0;
  size_t count_ = 0, next_ = 0;
  std::vector<uint64_t> taken_;
};

// Memory in blocks of two megabytes that are zero at first, never move and lie in large pages if the system has them:
// random reads over gigabytes otherwise wait for the page tables as long as for the memory.
class Blocks {
 public:
  static constexpr size_t kBlockBytes = size_t{2} << 20;

  Blocks() = default;
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks() {
    for (char* block : blocks_) ::munmap(block, kBlockBytes);
  }
  char* operator[](size_t number) const { return blocks_[number]; }
  size_t size() const { return blocks_.size(); }
  // Throws std::bad_alloc if there is no memory, as any container.
  void add() {
    void* at =
        ::mmap(nullptr, 2 * kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    auto* from = static_cast<char*>(at);
    const size_t skip = (kBlockBytes - reinterpret_cast<uintptr_t>(from) % kBlockBytes) % kBlockBytes;
    if (skip > 0) ::munmap(from, skip);
    ::munmap(from + skip + kBlockBytes, kBlockBytes - skip);
    // The first block of a table stays in small pages: most tables of a small service need no more than a part of it.
    if (!blocks_.empty()) ::madvise(from + skip, kBlockBytes, MADV_HUGEPAGE);
    blocks_.push_back(from + skip);
  }

 private:
  std::vector<char*> blocks_;
};

// A vector of plain records that grows without moving any, in segments.
template <class T>
class SegmentedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr size_t kInSegment = std::bit_floor(std::max<size_t>(16384 / sizeof(T), 1));
  static constexpr size_t kInBlock = Blocks::kBlockBytes / sizeof(T) / kInSegment * kInSegment;  // whole segments

  size_t size() const { return size_; }
  uint64_t bytes() const { return blocks_.size() * Blocks::kBlockBytes; }
  const T& operator[](size_t i) const { return reinterpret_cast<const T*>(blocks_[i / kInBlock])[i % kInBlock]; }
  // For writing.
  T& change(size_t i) {
    copy_.touch(i / kInSegment, [this](size_t s, std::string& to) { save(s, to); });
    return const_cast<T&>((*this)[i]);
  }
  void prefetch(size_t i) const {
    const char* at = reinterpret_cast<const char*>(&(*this)[i]);
    for (size_t b = 0; b < std::min<size_t>(sizeof(T), 128); b += 64) __builtin_prefetch(at + b);
  }
  void push_back(const T& value) {
    if (size_ % kInSegment != 0) copy_.touch(size_ / kInSegment, [this](size_t s, std::string& to) { save(s, to); });
    grow(size_ + 1);
    const_cast<T&>((*this)[size_ - 1]) = value;
  }
  // New records are zero bytes.
  void grow(size_t size) {
    while (blocks_.size() * kInBlock < size) blocks_.add();
    size_ = std::max(size_, size);
  }

  size_t segments() const { return (size_ + kInSegment - 1) / kInSegment; }
  void begin_copy(state::PieceWriter& out, uint32_t part, uint32_t kind) { copy_.begin(out, part, kind, segments()); }
  bool copy_next() {
    return copy_.next([this](size_t s, std::string& to) { save(s, to); });
  }
  void end_copy() { copy_.end(); }
  // Of a segment that holds nothing but zeros: no bytes.
  void save(size_t segment, std::string& out) const {
    const size_t from = segment * kInSegment, count = std::min(kInSegment, size_ - from);
    const char* bytes = reinterpret_cast<const char*>(&(*this)[from]);
    const size_t length = count * sizeof(T);
    bool is_zero = bytes[0] == 0 && std::memcmp(bytes, bytes + 1, length - 1) == 0;
    if (!is_zero) out.append(bytes, length);
  }
  // Into an array that was grown to its size.
  [[nodiscard]] bool load(size_t segment, state::ByteReader& in) {
    const size_t from = segment * kInSegment;
    if (from >= size_) return false;
    const size_t length = std::min(kInSegment, size_ - from) * sizeof(T);
    if (in.left() == 0) return true;
    if (in.left() != length) return false;
    std::memcpy(static_cast<void*>(const_cast<T*>(&(*this)[from])), in.bytes(length).data(), length);
    return true;
  }

 private:
  Blocks blocks_;
  size_t size_ = 0;
  SegmentCopy copy_;
};

}  // namespace tamis::detect
