#include <rapidcheck.h>

#include "cel/lib_test.h"
#include "event/time_text.h"

namespace tamis::cel::lib {
namespace {

__extension__ using int128 = __int128;

TEST(LibTime, PartsOfTimestamps) {
  Lab lab;
  Value t = lab.timestamp("2009-02-13T23:31:30.123456789Z");
  Value early = lab.timestamp("0001-01-01T00:00:00Z");
  check_all(lab, {
                     {"getFullYear", {t}, "2009"},
                     {"getMonth", {t}, "1"},
                     {"getDate", {t}, "13"},
                     {"getDayOfMonth", {t}, "12"},
                     {"getDayOfWeek", {t}, "5"},
                     {"getDayOfYear", {t}, "43"},
                     {"getHours", {t}, "23"},
                     {"getMinutes", {t}, "31"},
                     {"getSeconds", {t}, "30"},
                     {"getMilliseconds", {t}, "123"},
                     {"getDayOfMonth", {t, S("US/Central")}, "12"},
                     {"getDayOfMonth", {t, S("+11:00")}, "13"},
                     {"getDayOfMonth", {t, S("11:00")}, "13"},
                     {"getHours", {t, S("-09:30")}, "14"},
                     {"getMinutes", {t, S("-09:30")}, "1"},
                     {"getMinutes", {t, S("Asia/Kathmandu")}, "16"},
                     {"getHours", {t, S("Europe/Berlin")}, "0"},
                     {"getDate", {t, S("Europe/Berlin")}, "14"},
                     {"getDayOfYear", {t, S("America/New_York")}, "43"},
                     {"getSeconds", {t, S("-00:00")}, "30"},
                     {"getMilliseconds", {t, S("UTC")}, "123"},
                     {"getFullYear", {early, S("-01:00")}, "0"},
                     {"getDayOfWeek", {early}, "1"},
                     {"getDayOfWeek", {lab.timestamp("1969-12-31T00:00:00Z")}, "3"},
                     {"getHours", {lab.timestamp("1969-12-31T23:59:59.5Z")}, "23"},
                 });
  // Daylight saving time is a matter of the zone's rules at that moment.
  EXPECT_EQ(lab.run("getHours", {lab.timestamp("2024-07-01T12:00:00Z"), S("Europe/Berlin")}), "14");
  EXPECT_EQ(lab.run("getHours", {lab.timestamp("2024-01-01T12:00:00Z"), S("Europe/Berlin")}), "13");
}

TEST(LibTime, RefusesForeignZones) {
  Lab lab;
  Value t = lab.timestamp("2009-02-13T23:31:30Z");
  for (const char* zone :
       {"", "Nowhere/City", "+1:00", "+25:00", "+01:60", "1:00", "../../../etc/passwd", "/etc/localtime", "Europe",
        "libc:localtime", "Europe/../Europe/Berlin", "+01:00:00", "a\nb"}) {
    EXPECT_EQ(lab.run("getHours", {t, S(zone)}), "!invalid") << zone;
  }
}

TEST(LibTime, PartsOfDurations) {
  Lab lab;
  check_all(lab, {
                     {"getHours", {lab.duration("10000s")}, "2"},
                     {"getMinutes", {lab.duration("1h30m59s")}, "90"},
                     {"getSeconds", {lab.duration("-1.9s")}, "-1"},
                     {"getMilliseconds", {lab.duration("123.321456789s")}, "321"},
                     {"getMilliseconds", {lab.duration("-1.25s")}, "-250"},
                 });
}

TEST(LibTime, Arithmetic) {
  Lab lab;
  auto ts = [&](const char* text) { return lab.timestamp(text); };
  auto du = [&](const char* text) { return lab.duration(text); };
  check_all(lab, {
                     {"_+_",
                      {ts("0001-01-01T00:00:01.000000001Z"), du("-999999999ns")},
                      "timestamp(\"0001-01-01T00:00:00.000000002Z\")"},
                     {"_+_",
                      {du("999999999ns"), ts("0001-01-01T00:00:01.999999999Z")},
                      "timestamp(\"0001-01-01T00:00:02.999999998Z\")"},
                     {"_-_", {ts("2009-02-13T23:10:00Z"), du("600s")}, "timestamp(\"2009-02-13T23:00:00Z\")"},
                     {"_-_", {ts("2009-02-13T23:31:00Z"), ts("2009-02-13T23:29:00.5Z")}, "duration(\"119.5s\")"},
                     {"_-_", {ts("9999-12-31T23:59:59Z"), ts("0001-01-01T00:00:00Z")}, "!overflow"},
                     {"_+_", {ts("0001-01-01T00:00:00Z"), du("-1ns")}, "!overflow"},
                     {"_+_", {ts("9999-12-31T23:59:59.999999999Z"), du("1ns")}, "!overflow"},
                     {"_+_", {du("5000000000s"), du("5000000000s")}, "!overflow"},
                     {"_-_", {du("-5000000000s"), du("5000000000s")}, "!overflow"},
                     {"_-_", {du("900s"), du("42s")}, "duration(\"858s\")"},
                 });
}

TEST(LibTime, ShiftsAgreeWithWiderArithmetic) {
  Lab lab;
  EXPECT_TRUE(rc::check([&](int64_t seed, uint32_t nanos, int64_t shift) {
    int64_t seconds =
        event::kTimestampSecondsMin + static_cast<int64_t>(static_cast<uint64_t>(seed) % uint64_t{315537897600});
    nanos %= 1'000'000'000;
    shift = static_cast<int64_t>(static_cast<uint64_t>(shift) * 1'000'000'007);
    int128 exact = int128{seconds} * 1'000'000'000 + nanos;
    for (int sign : {1, -1}) {
      if (sign == -1 && shift == INT64_MIN) continue;
      Value r = lab.call(sign > 0 ? "_+_" : "_-_", {Value::timestamp(seconds, nanos), Value::duration(shift)});
      int128 expected = exact + int128{sign} * shift;
      bool inside = expected >= int128{event::kTimestampSecondsMin} * 1'000'000'000 &&
                    expected < int128{event::kTimestampSecondsMax + 1} * 1'000'000'000;
      RC_ASSERT(r.is_error() == !inside);
      if (inside) RC_ASSERT(int128{r.i} * 1'000'000'000 + r.size == expected);
    }
    lab.arena.reset();
  }));
}

}  // namespace
}  // namespace tamis::cel::lib
