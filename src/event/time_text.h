// Text of instants and spans of time. Instants: RFC 3339 section 5.6 (lower-case t and z allowed), years 0001 to 9999.
// Spans: a sum of decimal numbers with units, "1h30m", "-1.5s", "250ms" (units h, m, s, ms, us, µs, ns), or "0".
// No allocation, no locale, no time zone table; a few tens of nanoseconds each.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::event {

inline constexpr int64_t kTimestampSecondsMin = -62135596800;  // 0001-01-01T00:00:00Z
inline constexpr int64_t kTimestampSecondsMax = 253402300799;  // 9999-12-31T23:59:59Z

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back.
struct CivilDate {
  int32_t year;
  int32_t month;  // 1..12
  int32_t day;    // 1..31
};
int64_t days_from_civil(CivilDate date);
CivilDate civil_from_days(int64_t days);

// Digits of a fraction beyond nanoseconds are dropped. False: not RFC 3339, no such day, or out of range.
bool parse_timestamp(std::string_view text, int64_t& seconds, uint32_t& nanos);
// False: malformed, or more than 64 bits of nanoseconds.
bool parse_duration(std::string_view text, int64_t& nanos);

// Both write into `out` and return what they wrote. Trailing zeros of fractions are dropped.
inline constexpr int kTimeTextBytesMax = 40;
std::string_view format_timestamp(int64_t seconds, uint32_t nanos, char (&out)[kTimeTextBytesMax]);  // UTC, "...Z"
std::string_view format_duration(int64_t nanos, char (&out)[kTimeTextBytesMax]);                     // "-1.5s"

}  // namespace tamis::event
