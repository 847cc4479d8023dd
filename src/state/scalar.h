// Scalars as bytes: how the values that last, top-k and set remember are stored. One byte of kind, then the value; text
// is cut to kScalarTextMax bytes at a code point. Equal values of a kind have equal bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "event/value.h"

namespace tamis::state {

inline constexpr size_t kScalarTextMax = 256;
inline constexpr size_t kScalarBytesMax = 1 + 2 + kScalarTextMax;

// The value of a number, of whatever kind; false: it is none.
inline bool to_double(event::Value v, double& out) {
  switch (v.kind) {
    case event::Kind::kDouble:
      out = v.d;
      return true;
    case event::Kind::kInt:
      out = static_cast<double>(v.i);
      return true;
    case event::Kind::kUint:
      out = static_cast<double>(v.u);
      return true;
    default:
      return false;
  }
}

// Writes `v` and returns the number of bytes; 0 if it is not a scalar (list, map, null, error, absent, NaN).
size_t put_scalar(event::Value v, uint8_t* out);
// The number of bytes of the scalar at the front of `bytes`, or 0 if there is no valid one.
size_t scalar_bytes(std::string_view bytes);
// The same of bytes that put_scalar() wrote.
size_t known_scalar_bytes(const uint8_t* bytes);
// The scalar at the front of bytes that put_scalar() wrote; text is copied to the arena.
event::Value get_scalar(const uint8_t* bytes, base::Arena& arena);

}  // namespace tamis::state
