#include "event/time_text.h"

#include <cstring>
#include <limits>

namespace tamis::event {

namespace {

__extension__ using int128 = __int128;

constexpr int64_t kNanosPerSecond = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads exactly `digits` digits.
bool take_number(std::string_view& text, int digits, int32_t& out) {
  if (text.size() < static_cast<size_t>(digits)) return false;
  int32_t number = 0;
  for (int i = 0; i < digits; ++i) {
    if (!is_digit(text[i])) return false;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  out = number;
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

int32_t days_in_month(int32_t year, int32_t month) {
  constexpr int8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

bool take_fraction(std::string_view& text, uint32_t& nanos) {
  nanos = 0;
  if (!take(text, '.')) return true;
  if (text.empty() || !is_digit(text[0])) return false;
  uint32_t scale = 100'000'000;
  while (!text.empty() && is_digit(text[0])) {
    nanos += scale * static_cast<uint32_t>(text[0] - '0');
    scale /= 10;
    text.remove_prefix(1);
  }
  return true;
}

// Z, z, or ±HH:MM; what remains of the text must be exactly that.
bool parse_zone(std::string_view text, int64_t& offset_seconds) {
  offset_seconds = 0;
  if (text == "Z" || text == "z") return true;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
  int64_t sign = text[0] == '-' ? -1 : 1;
  int32_t hours = 0, minutes = 0;
  text.remove_prefix(1);
  if (!take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  offset_seconds = sign * (hours * 3600 + minutes * 60);
  return true;
}

char* put_number(char* at, uint64_t number, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + number % 10);
    number /= 10;
  }
  return at + digits;
}

char* put_fraction(char* at, uint32_t nanos) {
  if (nanos == 0) return at;
  *at++ = '.';
  at = put_number(at, nanos, 9);
  while (at[-1] == '0') --at;
  return at;
}

// Nanoseconds of a unit at the start of the text, which is consumed; 0 if there is none.
int64_t take_unit(std::string_view& text) {
  struct Unit {
    std::string_view name;
    int64_t nanos;
  };
  // Longer names first, since "m" begins "ms".
  constexpr Unit kUnits[] = {
      {"ns", 1},          {"us", 1'000},          {"\u00b5s", 1'000},  // micro sign
      {"\u03bcs", 1'000},                                              // Greek mu
      {"ms", 1'000'000},  {"s", kNanosPerSecond}, {"m", 60 * kNanosPerSecond}, {"h", 3600 * kNanosPerSecond}};
  for (const Unit& unit : kUnits) {
    if (text.substr(0, unit.name.size()) == unit.name) {
      text.remove_prefix(unit.name.size());
      return unit.nanos;
    }
  }
  return 0;
}

// One "12.5h" of a duration, as nanoseconds. The fraction is cut below a nanosecond.
bool take_span(std::string_view& text, int128& out) {
  int128 whole = 0, fraction = 0, scale = 1;
  size_t digits = 0;
  while (!text.empty() && is_digit(text[0])) {
    if (whole > std::numeric_limits<int64_t>::max()) return false;
    whole = whole * 10 + (text[0] - '0');
    text.remove_prefix(1);
    ++digits;
  }
  if (take(text, '.')) {
    while (!text.empty() && is_digit(text[0])) {
      if (scale < 1'000'000'000'000'000) {
        fraction = fraction * 10 + (text[0] - '0');
        scale *= 10;
      }
      text.remove_prefix(1);
      ++digits;
    }
  }
  int64_t unit = digits > 0 ? take_unit(text) : 0;
  if (unit == 0) return false;
  out = whole * unit + fraction * unit / scale;
  return true;
}

}  // namespace

// Both conversions count from 0000-03-01, so that the leap day is the last day of a year, in eras of 400 years.
int64_t days_from_civil(CivilDate date) {
  int64_t year = date.month <= 2 ? date.year - 1 : date.year;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t month_from_march = (date.month + 9) % 12;
  int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

CivilDate civil_from_days(int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t day_of_era = days - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month_from_march = (5 * day_of_year + 2) / 153;
  CivilDate date;
  date.day = static_cast<int32_t>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  date.month = static_cast<int32_t>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  date.year = static_cast<int32_t>(year_of_era + era * 400 + (date.month <= 2 ? 1 : 0));
  return date;
}

bool parse_timestamp(std::string_view text, int64_t& seconds, uint32_t& nanos) {
  CivilDate date{};
  int32_t hour = 0, minute = 0, second = 0;
  uint32_t fraction = 0;
  int64_t offset = 0;
  if (!take_number(text, 4, date.year) || !take(text, '-')) return false;
  if (!take_number(text, 2, date.month) || !take(text, '-') || !take_number(text, 2, date.day)) return false;
  if (!take(text, 'T') && !take(text, 't')) return false;
  if (!take_number(text, 2, hour) || !take(text, ':') || !take_number(text, 2, minute)) return false;
  if (!take(text, ':') || !take_number(text, 2, second)) return false;
  if (!take_fraction(text, fraction) || !parse_zone(text, offset)) return false;
  if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > days_in_month(date.year, date.month))
    return false;
  if (hour > 23 || minute > 59 || second > 59) return false;
  int64_t at = days_from_civil(date) * 86400 + hour * 3600 + minute * 60 + second - offset;
  if (at < kTimestampSecondsMin || at > kTimestampSecondsMax) return false;
  seconds = at;
  nanos = fraction;
  return true;
}

bool parse_duration(std::string_view text, int64_t& nanos) {
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text == "0") {
    nanos = 0;
    return true;
  }
  if (text.empty()) return false;
  int128 total = 0;
  const int128 max = std::numeric_limits<int64_t>::max();
  while (!text.empty()) {
    int128 span = 0;
    if (!take_span(text, span)) return false;
    total += span;
    if (total > max + 1) return false;
  }
  if (negative) total = -total;
  if (total > max) return false;
  nanos = static_cast<int64_t>(total);
  return true;
}

std::string_view format_timestamp(int64_t seconds, uint32_t nanos, char (&out)[kTimeTextBytesMax]) {
  if (seconds < kTimestampSecondsMin) seconds = kTimestampSecondsMin;
  if (seconds > kTimestampSecondsMax) seconds = kTimestampSecondsMax;
  int64_t days = seconds / 86400;
  int64_t second_of_day = seconds % 86400;
  if (second_of_day < 0) {
    second_of_day += 86400;
    --days;
  }
  CivilDate date = civil_from_days(days);
  char* at = put_number(out, date.year, 4);
  *at++ = '-';
  at = put_number(at, date.month, 2);
  *at++ = '-';
  at = put_number(at, date.day, 2);
  *at++ = 'T';
  at = put_number(at, second_of_day / 3600, 2);
  *at++ = ':';
  at = put_number(at, second_of_day / 60 % 60, 2);
  *at++ = ':';
  at = put_number(at, second_of_day % 60, 2);
  at = put_fraction(at, nanos < kNanosPerSecond ? nanos : kNanosPerSecond - 1);
  *at++ = 'Z';
  return {out, static_cast<size_t>(at - out)};
}

std::string_view format_duration(int64_t nanos, char (&out)[kTimeTextBytesMax]) {
  char* at = out;
  uint64_t magnitude = static_cast<uint64_t>(nanos);
  if (nanos < 0) {
    *at++ = '-';
    magnitude = ~magnitude + 1;
  }
  uint64_t whole = magnitude / kNanosPerSecond;
  int digits = 1;
  for (uint64_t rest = whole; rest >= 10; rest /= 10) ++digits;
  at = put_number(at, whole, digits);
  at = put_fraction(at, static_cast<uint32_t>(magnitude % kNanosPerSecond));
  *at++ = 's';
  return {out, static_cast<size_t>(at - out)};
}

}  // namespace tamis::event
