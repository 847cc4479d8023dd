// exp(-x) that gives the same bits on every machine: only additions and multiplications of doubles, no library.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace tamis::state {

// For x >= 0; relative error below 1e-13, for x < 1 below 1e-15. Zero from about x = 700 on.
inline double exp_minus(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;
  double y = x * kLog2E;
  if (!(y < 1000)) return 0;
  auto whole = static_cast<int64_t>(std::llround(y));
  double rest = static_cast<double>(whole) - y;  // in [-0.5, 0.5]
  double z = rest * kLn2;
  // The Taylor series of exp(z), |z| < 0.35: the first term left out is below 2e-17.
  double sum = 1;
  for (int n = 13; n > 0; --n) {
    double term = z / n;
    term *= sum;
    sum = 1 + term;
  }
  double scale = std::bit_cast<double>(static_cast<uint64_t>(1023 - whole) << 52);
  return sum * scale;
}

}  // namespace tamis::state
