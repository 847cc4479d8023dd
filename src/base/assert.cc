#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace tamis::base {

void assert_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "tamis: broken invariant `%s` at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace tamis::base
