// Vectors of the tables that are read all over at once: on pages of 2 MiB where the system grants them. Of a table of
// 32 MiB on pages of 4 KiB nearly every read would wait for a page's address as well.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace tamis::model {

// Memory of whole large pages (std::bad_alloc as operator new); release_pages() takes it back.
void* allocate_pages(size_t bytes);
void release_pages(void* begin);

template <class T>
struct HugePages {
  using value_type = T;
  static constexpr size_t kFrom = size_t{1} << 20;  // smaller ones are not worth a page

  HugePages() = default;
  template <class Other>
  HugePages(const HugePages<Other>&) {}
  T* allocate(size_t count) {
    if (count * sizeof(T) < kFrom) return std::allocator<T>().allocate(count);
    return static_cast<T*>(allocate_pages(count * sizeof(T)));
  }
  void deallocate(T* begin, size_t count) {
    if (count * sizeof(T) < kFrom) return std::allocator<T>().deallocate(begin, count);
    release_pages(begin);
  }
  bool operator==(const HugePages&) const = default;
};

template <class T>
using TableOf = std::vector<T, HugePages<T>>;

}  // namespace tamis::model
