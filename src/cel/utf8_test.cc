#include "cel/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

namespace tamis::cel {
namespace {

TEST(Utf8, EveryCodePointGoesBothWays) {
  for (uint32_t c = 0; c <= 0x10ffff; ++c) {
    char bytes[4];
    std::string_view text(bytes, encode_code_point(c, bytes));
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    ASSERT_EQ(is_valid_utf8(text), !surrogate) << c;
    if (surrogate) continue;
    size_t at = 0;
    ASSERT_EQ(decode_code_point(text, at), c);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(count_code_points(text), 1u);
  }
}

TEST(Utf8, RefusesMalformedBytes) {
  for (std::string_view bytes : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80",
                                 "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "abcdefgh\xff"}) {
    EXPECT_FALSE(is_valid_utf8(bytes));
  }
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("abcdefghijk\u00e9\u20ac\U0001f600"));
}

TEST(Utf8, WalksAnyBytes) {
  EXPECT_TRUE(rc::check([](const std::string& bytes) {
    size_t steps = 0;
    for (size_t at = 0; at < bytes.size(); ++steps) decode_code_point(bytes, at);
    RC_ASSERT(steps >= count_code_points(bytes));
    size_t at = 0;
    while (at < bytes.size()) at += code_point_bytes(bytes, at);
    RC_ASSERT(at == bytes.size());
    RC_ASSERT(code_point_offset(bytes, bytes.size() + 1) == bytes.size());
  }));
}

TEST(Utf8, WhiteSpace) {
  for (uint32_t c :
       {0x09u, 0x0du, 0x20u, 0x85u, 0xa0u, 0x1680u, 0x2000u, 0x200au, 0x2028u, 0x202fu, 0x205fu, 0x3000u}) {
    EXPECT_TRUE(is_white_space(c)) << c;
  }
  for (uint32_t c : {0x00u, 0x08u, 0x0eu, 0x41u, 0x180eu, 0x200bu, 0x2060u, 0xfeffu})
    EXPECT_FALSE(is_white_space(c)) << c;
}

}  // namespace
}  // namespace tamis::cel
