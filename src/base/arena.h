// Arena: memory for one decision. Allocation is a pointer bump, nothing is freed singly, reset() keeps the blocks, so a
// warmed-up arena costs no system call and no malloc. Not thread-safe: one per thread, or one per event in flight.
// Only trivially destructible things live in it. What it hands out is valid until reset() or its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tamis::base {

class Arena {
 public:
  explicit Arena(size_t block_bytes = 16 * 1024) : block_bytes_(block_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `align` is a power of two, at most 16.
  void* allocate(size_t bytes, size_t align = 16) {
    uintptr_t at = (cursor_ + align - 1) & ~(uintptr_t{align} - 1);
    if (at + bytes > end_) [[unlikely]]
      return allocate_slow(bytes, align);
    cursor_ = at + bytes;
    return reinterpret_cast<void*>(at);
  }

  template <class T>
  T* allocate_array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(count * sizeof(T), alignof(T)));
  }

  template <class T>
  T* make(const T& value) {
    return new (allocate(sizeof(T), alignof(T))) T(value);
  }

  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* to = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }

  // Forgets everything handed out; keeps the memory, except blocks that a single large request forced.
  void reset();

  // Bytes obtained from the system, for limits and metrics.
  size_t reserved_bytes() const { return reserved_bytes_; }
  // Bytes handed out since the last reset(), alignment losses included.
  size_t used_bytes() const { return used_before_ + (cursor_ - begin_); }

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    size_t bytes;
  };
  void* allocate_slow(size_t bytes, size_t align);
  void use(size_t block);

  size_t block_bytes_;
  std::vector<Block> blocks_;
  size_t current_ = 0;  // index behind the block in use
  uintptr_t begin_ = 0, cursor_ = 0, end_ = 0;
  size_t used_before_ = 0;
  size_t reserved_bytes_ = 0;
};

}  // namespace tamis::base
