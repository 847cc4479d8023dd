#include "base/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace tamis::base {
namespace {

TEST(EditDistance, CountsSteps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("signup", "singup"), 1u);
  EXPECT_EQ(edit_distance("ca", "abc"), 3u);
  EXPECT_EQ(edit_distance("aaaaaaaa", "bbbbbbbb", 2), 3u);
  EXPECT_EQ(edit_distance(std::string(300, 'a'), std::string(299, 'a'), 5), 6u);
}

RC_GTEST_PROP(EditDistance, IsSymmetricAndBounded, ()) {
  const auto letters = rc::gen::container<std::string>(rc::gen::inRange('a', 'd'));
  const std::string a = *letters, b = *letters;
  const size_t distance = edit_distance(a, b);
  RC_ASSERT(distance == edit_distance(b, a));
  RC_ASSERT(distance <= std::max(a.size(), b.size()));
  RC_ASSERT((distance == 0) == (a == b));
  const size_t limit = *rc::gen::inRange<size_t>(0, 10);
  RC_ASSERT(edit_distance(a, b, limit) == std::min(distance, limit + 1));
}

TEST(Nearest, FindsTheIntendedName) {
  const std::vector<std::string_view> names = {"verdict", "label", "reason", "ip", "IP", "Country"};
  EXPECT_EQ(nearest("verdcit", names), "verdict");
  EXPECT_EQ(nearest("lable", names), "label");
  EXPECT_EQ(nearest("country", names), "Country");
  EXPECT_EQ(nearest("VERDICT", names), "verdict");
  EXPECT_EQ(nearest("Ip", names), "ip");
  EXPECT_EQ(nearest("xyz", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest("zz", std::vector<std::string>{"ab"}), "");
}

TEST(Format, Numbers) {
  EXPECT_EQ(format_thousands(0), "0");
  EXPECT_EQ(format_thousands(999), "999");
  EXPECT_EQ(format_thousands(-1234567), "-1 234 567");
  EXPECT_EQ(format_thousands(INT64_MIN, ','), "-9,223,372,036,854,775,808");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(format_double(12.3456), "12.35");
  EXPECT_EQ(format_double(1200), "1200");
  EXPECT_EQ(format_double(0.5), "0.5");
}

TEST(Duration, ReadsAndWrites) {
  const auto parse = [](std::string_view text) {
    const auto ms = parse_duration_ms(text);
    return ms ? *ms : int64_t{-1};
  };
  EXPECT_EQ(parse("90d"), 7'776'000'000);
  EXPECT_EQ(parse("1h30m"), 5'400'000);
  EXPECT_EQ(parse("10s"), 10'000);
  EXPECT_EQ(parse("500ms"), 500);
  EXPECT_EQ(parse("1m500ms"), 60'500);
  EXPECT_EQ(parse("0"), 0);
  EXPECT_EQ(parse("0s"), 0);
  EXPECT_EQ(parse("90m"), 5'400'000);
  EXPECT_EQ(format_duration_ms(5'400'000), "1h30m");
  EXPECT_EQ(format_duration_ms(0), "0s");
  EXPECT_EQ(format_duration_ms(-1), "-1ms");
  EXPECT_EQ(format_duration_ms(90 * int64_t{86'400'000}), "90d");
}

TEST(Duration, SaysWhatIsWrong) {
  const auto why = [](std::string_view text) { return parse_duration_ms(text).error().message; };
  const std::string expected = "expected a duration like 90d, 1h30m, 10s or 500ms, found ";
  EXPECT_EQ(why("90"), expected + "\"90\" (a number without a unit)");
  EXPECT_EQ(why("2w"), expected + "\"2w\" (units are d, h, m, s, ms)");
  EXPECT_EQ(why("1m1h"), expected + "\"1m1h\" (larger units come first, each once)");
  EXPECT_EQ(why("1s1s"), expected + "\"1s1s\" (larger units come first, each once)");
  EXPECT_EQ(why("-1s"), expected + "\"-1s\" (it must not be negative)");
  EXPECT_EQ(why("400000d"), expected + "\"400000d\" (more than 1000 years)");
  EXPECT_EQ(why("99999999999999999999s"), expected + "\"99999999999999999999s\" (more than 1000 years)");
  EXPECT_EQ(why("s"), expected + "\"s\"");
  EXPECT_EQ(why(""), expected + "\"\"");
  EXPECT_EQ(why("1.5h"), expected + "\"1.5h\" (a number without a unit)");
}

TEST(Duration, WhatLastsIsLongerThanNothing) {
  EXPECT_EQ(*parse_lasting_ms("for", "1ms"), 1);
  for (std::string_view text : {"0", "0d", "0h0m", "0ms"}) {
    EXPECT_EQ(
        parse_lasting_ms("for", text).error().message,
        "\"for\": expected a duration longer than nothing, like 90d or 1h30m, found \"" + std::string(text) + "\"");
  }
  EXPECT_EQ(parse_lasting_ms("for", "2w").error().message, "\"for\": " + parse_duration_ms("2w").error().message);
  EXPECT_FALSE(parse_lasting_ms("for", "").has_value());
}

RC_GTEST_PROP(Duration, ReadsBackWhatItWrites, ()) {
  const int64_t ms = *rc::gen::inRange<int64_t>(0, int64_t{999} * 365 * 86'400'000);
  const auto back = parse_duration_ms(format_duration_ms(ms));
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == ms);
}

}  // namespace
}  // namespace tamis::base
