#include "event/time_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>
#include <string>

namespace tamis::event {
namespace {

std::string timestamp_text(std::string_view text) {
  int64_t seconds;
  uint32_t nanos;
  char out[kTimeTextBytesMax];
  return parse_timestamp(text, seconds, nanos) ? std::string(format_timestamp(seconds, nanos, out)) : "invalid";
}

std::string duration_text(std::string_view text) {
  int64_t nanos;
  char out[kTimeTextBytesMax];
  return parse_duration(text, nanos) ? std::string(format_duration(nanos, out)) : "invalid";
}

TEST(TimeText, Timestamps) {
  for (auto [text, expected] : std::initializer_list<std::pair<const char*, const char*>>{
           {"2009-02-13T23:31:30Z", "2009-02-13T23:31:30Z"},
           {"2009-02-13t23:31:30z", "2009-02-13T23:31:30Z"},
           {"2009-02-13T23:31:30.120Z", "2009-02-13T23:31:30.12Z"},
           {"2009-02-13T23:31:30.1234567899Z", "2009-02-13T23:31:30.123456789Z"},
           {"2009-02-13T23:31:30+01:30", "2009-02-13T22:01:30Z"},
           {"2009-02-13T23:31:30-01:30", "2009-02-14T01:01:30Z"},
           {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
           {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"},
           {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
           {"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"},
           {"1900-02-29T00:00:00Z", "invalid"},
           {"2009-02-30T00:00:00Z", "invalid"},
           {"2009-13-01T00:00:00Z", "invalid"},
           {"2009-00-01T00:00:00Z", "invalid"},
           {"2009-01-00T00:00:00Z", "invalid"},
           {"2009-01-01T24:00:00Z", "invalid"},
           {"2009-01-01T00:60:00Z", "invalid"},
           {"2009-01-01T00:00:60Z", "invalid"},
           {"2009-01-01T00:00:00", "invalid"},
           {"2009-01-01T00:00:00.Z", "invalid"},
           {"2009-01-01 00:00:00Z", "invalid"},
           {"2009-01-01T00:00:00+24:00", "invalid"},
           {"2009-01-01T00:00:00+0100", "invalid"},
           {"0000-01-01T00:00:00Z", "invalid"},
           {"0001-01-01T00:00:00+00:01", "invalid"},
           {"9999-12-31T23:59:59-00:01", "invalid"},
           {"10000-01-01T00:00:00Z", "invalid"},
           {"", "invalid"}}) {
    EXPECT_EQ(timestamp_text(text), expected) << text;
  }
}

TEST(TimeText, Durations) {
  for (auto [text, expected] : std::initializer_list<std::pair<const char*, const char*>>{
           {"0", "0s"},
           {"1h30m", "5400s"},
           {"-1.5s", "-1.5s"},
           {"+1.5s", "1.5s"},
           {".5s", "0.5s"},
           {"1.s", "1s"},
           {"250ms", "0.25s"},
           {"1us", "0.000001s"},
           {"1\u00b5s1\u03bcs", "0.000002s"},
           {"1ns", "0.000000001s"},
           {"0.3ns", "0s"},
           {"1m1ms", "60.001s"},
           {"2562047h47m16.854775807s", "9223372036.854775807s"},
           {"-2562047h47m16.854775808s", "-9223372036.854775808s"},
           {"2562047h47m16.854775808s", "invalid"},
           {"99999999999999999999h", "invalid"},
           {"1", "invalid"},
           {"", "invalid"},
           {"-", "invalid"},
           {".s", "invalid"},
           {"s", "invalid"},
           {"1d", "invalid"},
           {"1h ", "invalid"},
           {"1.2.3s", "invalid"},
           {"1h-1m", "invalid"}}) {
    EXPECT_EQ(duration_text(text), expected) << text;
  }
}

TEST(TimeText, TimestampsReadBack) {
  EXPECT_TRUE(rc::check([] {
    int64_t seconds = *rc::gen::inRange<int64_t>(kTimestampSecondsMin, kTimestampSecondsMax + 1);
    uint32_t nanos = *rc::gen::inRange<uint32_t>(0, 1'000'000'000);
    char out[kTimeTextBytesMax];
    int64_t seconds2;
    uint32_t nanos2;
    RC_ASSERT(parse_timestamp(format_timestamp(seconds, nanos, out), seconds2, nanos2));
    RC_ASSERT(seconds2 == seconds && nanos2 == nanos);
  }));
}

TEST(TimeText, DurationsReadBack) {
  EXPECT_TRUE(rc::check([](int64_t nanos) {
    for (int64_t span : {nanos, std::numeric_limits<int64_t>::max() - (nanos & 0xffff),
                         static_cast<int64_t>(static_cast<uint64_t>(nanos) * 1'000'003)}) {
      char out[kTimeTextBytesMax];
      int64_t again;
      RC_ASSERT(parse_duration(format_duration(span, out), again));
      RC_ASSERT(again == span);
    }
  }));
}

TEST(TimeText, CivilDatesWalkTheCalendar) {
  CivilDate date{-400, 3, 1};
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int64_t day = days_from_civil(date); day < 3'000'000; ++day) {
    CivilDate found = civil_from_days(day);
    ASSERT_TRUE(found.year == date.year && found.month == date.month && found.day == date.day) << day;
    ASSERT_EQ(days_from_civil(found), day);
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    int last = kDays[date.month - 1] + (date.month == 2 && leap ? 1 : 0);
    if (++date.day > last) {
      date.day = 1;
      if (++date.month > 12) {
        date.month = 1;
        ++date.year;
      }
    }
  }
  EXPECT_EQ(days_from_civil({1970, 1, 1}), 0);
}

}  // namespace
}  // namespace tamis::event
