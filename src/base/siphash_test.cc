#include "base/siphash.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace tamis::base {
namespace {

std::string hex(const std::array<uint64_t, 2>& words) {
  std::string text;
  for (uint64_t word : words)
    for (int i = 0; i < 8; ++i) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>((word >> (8 * i)) & 0xff));
      text += digits;
    }
  return text;
}

TEST(SipHash, ReferenceVectors) {
  // The first outputs of the authors' test program: key 00..0f, messages 00, 01, ... of growing length.
  std::array<uint64_t, 2> key{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
  EXPECT_EQ(hex(siphash128(key, "")), "a3817f04ba25a8e66df67214c7550293");
  EXPECT_EQ(hex(siphash128(key, std::string_view("\0", 1))), "da87c1d86b99af44347659119b22fc45");
  EXPECT_NE(siphash128(key, "12345678"), siphash128(key, std::string_view("12345678\0", 9)));
}

}  // namespace
}  // namespace tamis::base
