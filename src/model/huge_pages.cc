#include "model/huge_pages.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace tamis::model {

void* allocate_pages(size_t bytes) {
  constexpr size_t kPage = size_t{2} << 20;
  void* begin = nullptr;
  if (posix_memalign(&begin, kPage, (bytes + kPage - 1) / kPage * kPage) != 0) throw std::bad_alloc();
  (void)madvise(begin, (bytes + kPage - 1) / kPage * kPage, MADV_HUGEPAGE);  // a wish; without it all is as before
  return begin;
}

void release_pages(void* begin) { std::free(begin); }

}  // namespace tamis::model
