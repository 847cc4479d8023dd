#include "base/arena.h"

#include "base/assert.h"

namespace tamis::base {

void Arena::use(size_t block) {
  begin_ = cursor_ = reinterpret_cast<uintptr_t>(blocks_[block].memory.get());
  end_ = begin_ + blocks_[block].bytes;
  current_ = block + 1;
}

void* Arena::allocate_slow(size_t bytes, size_t align) {
  TAMIS_ASSERT(align <= 16);
  used_before_ += cursor_ - begin_;
  while (current_ < blocks_.size()) {
    use(current_);
    if (bytes <= blocks_[current_ - 1].bytes) {
      cursor_ = begin_ + bytes;
      return reinterpret_cast<void*>(begin_);
    }
  }
  size_t size = bytes > block_bytes_ ? bytes : block_bytes_;
  blocks_.push_back({std::unique_ptr<std::byte[]>(new std::byte[size]), size});
  reserved_bytes_ += size;
  use(blocks_.size() - 1);
  cursor_ = begin_ + bytes;
  return reinterpret_cast<void*>(begin_);
}

void Arena::reset() {
  for (size_t i = blocks_.size(); i-- > 0;) {
    if (blocks_[i].bytes > block_bytes_) {
      reserved_bytes_ -= blocks_[i].bytes;
      blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  used_before_ = 0;
  if (blocks_.empty()) {
    begin_ = cursor_ = end_ = 0;
    current_ = 0;
  } else {
    use(0);
  }
}

}  // namespace tamis::base
