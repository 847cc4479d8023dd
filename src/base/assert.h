// Invariants that hold in every build. A broken one is a programming error: the process stops with the place and the
// condition, because a wrong decision is worse than a restart from the journal.
// Errors that a caller can expect are values (see base/result.h), never assertions.
#pragma once

namespace tamis::base {
[[noreturn]] void assert_failed(const char* condition, const char* file, int line);
}  // namespace tamis::base

#define TAMIS_ASSERT(condition) \
  (__builtin_expect(!!(condition), 1) ? void(0) : ::tamis::base::assert_failed(#condition, __FILE__, __LINE__))
