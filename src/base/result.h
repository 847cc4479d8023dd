// Result<T>: a value, or an Error that says what was wrong and where. Every error that a caller can expect travels this
// way; exceptions of third-party libraries are caught at the one place that calls them.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace tamis::base {

enum class Code {
  kInvalid,      // the input is malformed or does not type-check
  kNotFound,     // a named thing does not exist
  kLimit,        // a declared limit was reached
  kUnavailable,  // a resource cannot be used now (disk full, peer down)
  kDenied,       // the caller may not do this
  kInternal,     // our fault
};

struct Error {
  Code code = Code::kInvalid;
  std::string message;  // what was wrong, where, what was expected: a sentence that can be shown
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
[[nodiscard]] inline tl::unexpected<Error> invalid(std::string message) {
  return fail(Code::kInvalid, std::move(message));
}

}  // namespace tamis::base

// TAMIS_TRY(name, expression): binds the value of a Result to `name`, or returns its error from the function.
#define TAMIS_TRY_CAT2(a, b) a##b
#define TAMIS_TRY_CAT(a, b) TAMIS_TRY_CAT2(a, b)
#define TAMIS_TRY(name, expression)                                                                        \
  auto TAMIS_TRY_CAT(tamis_try_, __LINE__) = (expression);                                                 \
  if (!TAMIS_TRY_CAT(tamis_try_, __LINE__))                                                                \
    return ::tl::unexpected<::tamis::base::Error>(std::move(TAMIS_TRY_CAT(tamis_try_, __LINE__)).error()); \
  auto name = std::move(*TAMIS_TRY_CAT(tamis_try_, __LINE__))
#define TAMIS_CHECK(expression)                        \
  if (auto tamis_status = (expression); !tamis_status) \
  return ::tl::unexpected<::tamis::base::Error>(std::move(tamis_status).error())
