// Arithmetic and accessors of timestamps and durations (cel-spec, "Date/Time Functions", "Timezones").
// Zones are IANA names, looked up in the system's database, or fixed offsets "+01:30".
#include <absl/time/time.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/hash.h"
#include "cel/lib.h"
#include "event/time_text.h"

namespace tamis::cel::lib {

namespace {

using event::error_overflow;

constexpr int64_t kNanosPerSecond = 1'000'000'000;

Value make_timestamp(int64_t seconds, int64_t nanos) {
  if (seconds < event::kTimestampSecondsMin || seconds > event::kTimestampSecondsMax) return error_overflow();
  return Value::timestamp(seconds, static_cast<uint32_t>(nanos));
}

// `sign` is 1 or -1. No step leaves 64 bits: seconds of a timestamp and of a duration are both far smaller.
Value shift_timestamp(Value timestamp, int64_t duration, int64_t sign) {
  int64_t seconds = timestamp.i + sign * (duration / kNanosPerSecond);
  int64_t nanos = timestamp.size + sign * (duration % kNanosPerSecond);
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  } else if (nanos >= kNanosPerSecond) {
    nanos -= kNanosPerSecond;
    ++seconds;
  }
  return make_timestamp(seconds, nanos);
}

Value add_timestamp_duration(Call&, const Value* v) { return shift_timestamp(v[0], v[1].i, 1); }
Value add_duration_timestamp(Call&, const Value* v) { return shift_timestamp(v[1], v[0].i, 1); }
Value subtract_timestamp_duration(Call&, const Value* v) { return shift_timestamp(v[0], v[1].i, -1); }
Value subtract_timestamp_timestamp(Call&, const Value* v) {
  int64_t nanos;
  if (__builtin_mul_overflow(v[0].i - v[1].i, kNanosPerSecond, &nanos)) return error_overflow();
  if (__builtin_add_overflow(nanos, int64_t{v[0].size} - int64_t{v[1].size}, &nanos)) return error_overflow();
  return Value::duration(nanos);
}
Value add_duration_duration(Call&, const Value* v) {
  int64_t nanos;
  return __builtin_add_overflow(v[0].i, v[1].i, &nanos) ? error_overflow() : Value::duration(nanos);
}
Value subtract_duration_duration(Call&, const Value* v) {
  int64_t nanos;
  return __builtin_sub_overflow(v[0].i, v[1].i, &nanos) ? error_overflow() : Value::duration(nanos);
}

// "+hh:mm", "-hh:mm" or "hh:mm", less than a day; seconds east of UTC.
std::optional<int64_t> parse_offset(std::string_view text) {
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) return std::nullopt;
  int64_t hours = (text[0] - '0') * 10 + (text[1] - '0');
  int64_t minutes = (text[3] - '0') * 10 + (text[4] - '0');
  if (hours > 23 || minutes > 59) return std::nullopt;
  int64_t seconds = hours * 3600 + minutes * 60;
  return negative ? -seconds : seconds;
}

// A name can come from an event, so it must neither reach other files than the zones nor make the library remember
// unbounded many unknown names: only names of existing zone files are given to it.
bool is_zone_file(std::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '/') return false;
  for (char c : name) {
    bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '+' || c == '/';
    if (!ok) return false;
  }
  const char* folder = std::getenv("TZDIR");
  std::error_code error;
  std::filesystem::path path(folder != nullptr ? folder : "/usr/share/zoneinfo");
  return std::filesystem::is_regular_file(path / name, error);
}

struct KnownZone {
  std::string name;
  absl::TimeZone zone;
};

// The zones last used by this thread; a miss costs a look at the file system and a lock in the library.
const absl::TimeZone* find_zone(std::string_view name) {
  if (name.empty()) return nullptr;
  static thread_local KnownZone known[16];
  KnownZone& place = known[base::hash64(name) % 16];
  if (place.name == name) return &place.zone;
  absl::TimeZone zone;
  if (!is_zone_file(name) || !absl::LoadTimeZone(std::string(name), &zone)) return nullptr;
  place.name = name;
  place.zone = zone;
  return &place.zone;
}

// A timestamp as the clock and the calendar of a zone show it.
struct Local {
  event::CivilDate date;
  int64_t days;
  int64_t second_of_day;
};

Local to_local(int64_t seconds) {
  Local local;
  local.days = seconds / 86400;
  local.second_of_day = seconds % 86400;
  if (local.second_of_day < 0) {
    local.second_of_day += 86400;
    --local.days;
  }
  local.date = event::civil_from_days(local.days);
  return local;
}

using Part = int64_t (*)(const Local&, uint32_t nanos);

int64_t full_year(const Local& t, uint32_t) { return t.date.year; }
int64_t month(const Local& t, uint32_t) { return t.date.month - 1; }
int64_t day_of_year(const Local& t, uint32_t) { return t.days - event::days_from_civil({t.date.year, 1, 1}); }
int64_t day_of_month(const Local& t, uint32_t) { return t.date.day - 1; }
int64_t date(const Local& t, uint32_t) { return t.date.day; }
int64_t day_of_week(const Local& t, uint32_t) { return ((t.days + 4) % 7 + 7) % 7; }  // the epoch was a Thursday
int64_t hours(const Local& t, uint32_t) { return t.second_of_day / 3600; }
int64_t minutes(const Local& t, uint32_t) { return t.second_of_day / 60 % 60; }
int64_t seconds(const Local& t, uint32_t) { return t.second_of_day % 60; }
int64_t milliseconds(const Local&, uint32_t nanos) { return nanos / 1'000'000; }

template <Part kPart>
Value part_utc(Call&, const Value* v) {
  return Value::integer(kPart(to_local(v[0].i), v[0].size));
}

template <Part kPart>
Value part_zone(Call& call, const Value* v) {
  std::string_view name = v[1].str();
  int64_t east = 0;
  if (name.find(':') != name.npos) {
    std::optional<int64_t> offset = parse_offset(name);
    if (!offset) return invalid(call, {shown(name), " is not a time offset like \"+01:30\""});
    east = *offset;
  } else if (name != "UTC") {
    const absl::TimeZone* zone = find_zone(name);
    if (zone == nullptr) return invalid(call, {"unknown time zone ", shown(name)});
    east = zone->At(absl::FromUnixSeconds(v[0].i)).offset;
  }
  return Value::integer(kPart(to_local(v[0].i + east), v[0].size));
}

template <int64_t kNanos, int64_t kModulus>
Value part_duration(Call&, const Value* v) {
  int64_t whole = v[0].i / kNanos;
  return Value::integer(kModulus == 0 ? whole : whole % (kModulus == 0 ? 1 : kModulus));
}

template <Part kPart>
void add_part(Table& table, const std::string& function, const std::string& id, const std::string& zone_id) {
  const Type i = Type::integer(), ts = Type::timestamp();
  table.member(id, function, {ts}, i, part_utc<kPart>);
  table.member(zone_id, function, {ts, Type::string()}, i, part_zone<kPart>).cost = 4;
}

}  // namespace

void add_time(Table& table) {
  const Type i = Type::integer(), ts = Type::timestamp(), du = Type::duration();
  table.global("add_timestamp_duration", "_+_", {ts, du}, ts, add_timestamp_duration);
  table.global("add_duration_timestamp", "_+_", {du, ts}, ts, add_duration_timestamp);
  table.global("add_duration_duration", "_+_", {du, du}, du, add_duration_duration);
  table.global("subtract_timestamp_timestamp", "_-_", {ts, ts}, du, subtract_timestamp_timestamp);
  table.global("subtract_timestamp_duration", "_-_", {ts, du}, ts, subtract_timestamp_duration);
  table.global("subtract_duration_duration", "_-_", {du, du}, du, subtract_duration_duration);
  add_part<full_year>(table, "getFullYear", "timestamp_to_year", "timestamp_to_year_with_tz");
  add_part<month>(table, "getMonth", "timestamp_to_month", "timestamp_to_month_with_tz");
  add_part<day_of_year>(table, "getDayOfYear", "timestamp_to_day_of_year", "timestamp_to_day_of_year_with_tz");
  add_part<day_of_month>(table, "getDayOfMonth", "timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz");
  add_part<date>(table, "getDate", "timestamp_to_day_of_month_1_based", "timestamp_to_day_of_month_1_based_with_tz");
  add_part<day_of_week>(table, "getDayOfWeek", "timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz");
  add_part<hours>(table, "getHours", "timestamp_to_hours", "timestamp_to_hours_with_tz");
  add_part<minutes>(table, "getMinutes", "timestamp_to_minutes", "timestamp_to_minutes_with_tz");
  add_part<seconds>(table, "getSeconds", "timestamp_to_seconds", "timestamp_to_seconds_tz");
  add_part<milliseconds>(table, "getMilliseconds", "timestamp_to_milliseconds", "timestamp_to_milliseconds_with_tz");
  // The first three are conversions of the whole duration, the last is the part below a second.
  table.member("duration_to_hours", "getHours", {du}, i, part_duration<3600 * kNanosPerSecond, 0>);
  table.member("duration_to_minutes", "getMinutes", {du}, i, part_duration<60 * kNanosPerSecond, 0>);
  table.member("duration_to_seconds", "getSeconds", {du}, i, part_duration<kNanosPerSecond, 0>);
  table.member("duration_to_milliseconds", "getMilliseconds", {du}, i, part_duration<1'000'000, 1000>);
}

}  // namespace tamis::cel::lib
