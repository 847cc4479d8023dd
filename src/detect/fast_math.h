// Logarithm and exponential from additions, multiplications and one division: a few nanoseconds, relative errors below
// 1e-9, and the same bits on every machine (those of the C library depend on the processor).
#pragma once

#include <bit>
#include <cstdint>

namespace tamis::detect {

// Of what is not above zero: -700.
inline double fast_log(double x) {
  if (!(x > 1e-300)) return -700;
  auto bits = std::bit_cast<uint64_t>(x);
  // Splits into 2^e * m with m in [sqrt(1/2), sqrt(2)).
  const auto e = static_cast<int64_t>(bits - 0x3fe6a09e667f3bcdu) >> 52;
  const auto m = std::bit_cast<double>(bits - (static_cast<uint64_t>(e) << 52));
  const double s = (m - 1) / (m + 1), s2 = s * s;
  const double series = 1 + s2 * (1.0 / 3 + s2 * (1.0 / 5 + s2 * (1.0 / 7 + s2 * (1.0 / 9 + s2 * (1.0 / 11)))));
  return static_cast<double>(e) * 0.69314718055994530942 + 2 * s * series;
}

// Arguments are held between -700 and 700.
inline double fast_exp(double x) {
  if (!(x > -700)) return 0;
  if (x > 700) x = 700;
  const double n = static_cast<double>(static_cast<int64_t>(x * 1.44269504088896340736 + (x < 0 ? -0.5 : 0.5)));
  const double r = x - n * 0.69314718055994530942;
  const double p =
      1 + r * (1 + r * (1.0 / 2 +
                        r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 +
                                                            r * (1.0 / 720 + r * (1.0 / 5040 + r * (1.0 / 40320))))))));
  return p * std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

inline double fast_log1p(double x) { return fast_log(1 + x); }
inline double half_life(double idle, double half) { return fast_exp(-0.69314718055994530942 * idle / half); }
inline double logistic(double z) { return 1 / (1 + fast_exp(-z)); }

}  // namespace tamis::detect
