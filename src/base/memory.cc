#include "base/memory.h"

#include <cstdlib>  // defines __GLIBC__

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace tamis::base {

void give_back_large_memory() {
#if defined(__GLIBC__)
  // Fixed limits: what is larger than one is mapped alone, and so much may lie free at the end of a heap.
  constexpr int kFreeAtEndBytes = 4 << 20;
  (void)::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kMappedBytes));
  (void)::mallopt(M_TRIM_THRESHOLD, kFreeAtEndBytes);
#endif
}

}  // namespace tamis::base
