// Exponential and logarithm by plain arithmetic. The C library's differ in their last bits between processors and
// versions; a score must be the same bits wherever a journal is replayed. Errors stay below 2e-5 (logarithm) and below
// a millionth of the value (exponential).
#pragma once

#include <bit>
#include <cstdint>

namespace tamis::model {

// Natural logarithm of a normal number above zero.
inline float plain_log(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t shifted = bits - 0x3f3504f3u;  // so that the mantissa lies in [sqrt(1/2), sqrt(2))
  const float exponent = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  const float mantissa = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u);
  const float z = (mantissa - 1.0f) / (mantissa + 1.0f);
  const float y = z * z;
  const float series = 2.0f + y * (0.666666667f + y * (0.4f + y * (0.285714286f + y * 0.222222222f)));
  return exponent * 0.693147181f + z * series;
}

// e to the x; x is held within [-40, 40].
inline double plain_exp(double x) {
  x = x < -40.0 ? -40.0 : x > 40.0 ? 40.0 : x;
  const double scaled = x * 1.4426950408889634;
  const auto whole = static_cast<int64_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
  const double r = x - static_cast<double>(whole) * 0.69314718055994531;
  const double series =
      1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720 + r / 5040))))));
  return series * std::bit_cast<double>(static_cast<uint64_t>(whole + 1023) << 52);
}

inline double logistic(double x) { return 1.0 / (1.0 + plain_exp(-x)); }

}  // namespace tamis::model
