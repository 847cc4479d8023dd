#include "event/value.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <vector>

#include "event/ip.h"

namespace tamis::event {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr uint64_t kUmax = std::numeric_limits<uint64_t>::max();
const double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

// The edges at which doubles lose integers or integers end, and plain values.
std::vector<Value> edge_numbers() {
  std::vector<Value> out;
  const double two53 = 9007199254740992.0, two63 = 9223372036854775808.0, two64 = 18446744073709551616.0;
  for (int64_t i : {kMin, kMin + 1, -(int64_t{1} << 53) - 1, -(int64_t{1} << 53), int64_t{-1}, int64_t{0}, int64_t{1},
                    (int64_t{1} << 53), (int64_t{1} << 53) + 1, kMax - 1, kMax}) {
    out.push_back(Value::integer(i));
  }
  for (uint64_t u : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 53, (uint64_t{1} << 53) + 1, uint64_t{1} << 63,
                     (uint64_t{1} << 63) + 1, (uint64_t{1} << 63) - 1, kUmax - 1, kUmax}) {
    out.push_back(Value::uinteger(u));
  }
  for (double d : {0.0,
                   -0.0,
                   0.5,
                   -0.5,
                   1.0,
                   -1.0,
                   two53,
                   two53 + 2,
                   -two53,
                   two63,
                   -two63,
                   std::nextafter(two63, 0),
                   std::nextafter(two63, kInf),
                   std::nextafter(-two63, -kInf),
                   two64,
                   std::nextafter(two64, 0),
                   kInf,
                   -kInf,
                   kNan,
                   1e300,
                   std::numeric_limits<double>::denorm_min()}) {
    out.push_back(Value::real(d));
  }
  return out;
}

// 80-bit long double of x86 holds every int64, uint64 and double exactly: an independent judge.
long double exact(Value v) {
  if (v.kind == Kind::kInt) return static_cast<long double>(v.i);
  return v.kind == Kind::kUint ? static_cast<long double>(v.u) : static_cast<long double>(v.d);
}

void check_pair(Value a, Value b) {
  long double x = exact(a), y = exact(b);
  int expected = std::isnan(x) || std::isnan(y) ? 2 : x < y ? -1 : x > y ? 1 : 0;
  ASSERT_EQ(compare(a, b), expected) << debug_string(a) << " against " << debug_string(b);
  ASSERT_EQ(equal(a, b), expected == 0) << debug_string(a) << " against " << debug_string(b);
  if (expected != 0) return;
  ASSERT_EQ(hash(a), hash(b)) << debug_string(a) << " against " << debug_string(b);
}

TEST(Value, NumbersOfAllTypesLieOnOneLine) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  for (Value a : edge_numbers()) {
    for (Value b : edge_numbers()) check_pair(a, b);
  }
}

TEST(Value, RandomNumbersCompareExactly) {
  EXPECT_TRUE(rc::check([](int64_t i, uint64_t u, double d, int64_t bits) {
    double wild;
    std::memcpy(&wild, &bits, sizeof wild);
    std::vector<Value> values = {Value::integer(i),
                                 Value::uinteger(u),
                                 Value::real(d),
                                 Value::real(wild),
                                 Value::integer(static_cast<int64_t>(std::ldexp(static_cast<double>(i % 4096), 48))),
                                 Value::real(static_cast<double>(u)),
                                 Value::real(static_cast<double>(i))};
    for (Value a : values) {
      for (Value b : values) {
        check_pair(a, b);
        for (Value c : values) {
          if (compare(a, b) <= 0 && compare(b, c) <= 0) RC_ASSERT(compare(a, c) != 1);
        }
      }
    }
  }));
}

TEST(Value, DifferentTypesAreUnequalAndUnordered) {
  IpData ip;
  ASSERT_TRUE(parse_ip("192.0.2.1", ip));
  Value inner = Value::integer(1);
  std::vector<Value> values = {
      Value::null(),          Value::boolean(true), Value::integer(1),        Value::string("1"), Value::bytes("1"),
      Value::timestamp(1, 0), Value::duration(1),   Value::list({&inner, 1}), Value::type("1"),   Value::some(&inner),
      Value::none(),          Value::ip_of(&ip),    Value::cidr_of(&ip),      Value::handle(1)};
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t k = 0; k < values.size(); ++k) {
      EXPECT_EQ(equal(values[i], values[k]), i == k) << debug_string(values[i]) << " and " << debug_string(values[k]);
      if (i == k) {
        EXPECT_EQ(hash(values[i]), hash(values[k]));
      } else {
        EXPECT_EQ(compare(values[i], values[k]), 2);
      }
    }
  }
}

TEST(Value, OrderOfTextAndTime) {
  EXPECT_EQ(compare(Value::string("a"), Value::string("b")), -1);
  EXPECT_EQ(compare(Value::string("a"), Value::string("")), 1);
  EXPECT_EQ(compare(Value::string("\u00e9"), Value::string("z")), 1);
  EXPECT_EQ(compare(Value::bytes("\xff"), Value::bytes("\x01")), 1);
  EXPECT_EQ(compare(Value::timestamp(1, 5), Value::timestamp(1, 6)), -1);
  EXPECT_EQ(compare(Value::timestamp(2, 0), Value::timestamp(1, 6)), 1);
  EXPECT_EQ(compare(Value::duration(-1), Value::duration(1)), -1);
  EXPECT_EQ(compare(Value::boolean(false), Value::boolean(true)), -1);
  EXPECT_EQ(compare(Value::null(), Value::null()), 2);
}

TEST(Value, MapsFindNumbersOfOtherTypes) {
  for (int size : {1, 5, 8, 9, 40, 1000}) {
    base::Arena arena;
    std::vector<MapEntry> entries;
    for (int i = 0; i < size; ++i) {
      Value key = i % 2 == 0 ? Value::integer(i) : Value::uinteger(static_cast<uint64_t>(i));
      entries.push_back({key, Value::integer(i * 10)});
    }
    Value map = make_map(arena, entries);
    ASSERT_EQ(map.kind, Kind::kMap);
    for (int i = 0; i < size; ++i) {
      for (Value key : {Value::integer(i), Value::uinteger(static_cast<uint64_t>(i)), Value::real(i)}) {
        const Value* found = map_find(*map.map, key);
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(found->i, i * 10);
      }
      EXPECT_EQ(map_find(*map.map, Value::real(i + 0.5)), nullptr);
      EXPECT_EQ(map_find(*map.map, Value::string(std::to_string(i))), nullptr);
    }
    EXPECT_EQ(map_find(*map.map, Value::integer(size)), nullptr);
    EXPECT_EQ(map_find(*map.map, Value::real(kNan)), nullptr);
  }
}

TEST(Value, MapsRefuseRepeatedAndForeignKeys) {
  for (int size : {1, 20}) {
    base::Arena arena;
    std::vector<MapEntry> entries;
    for (int i = 0; i < size; ++i) entries.push_back({Value::integer(i), Value::null()});
    entries.push_back({Value::uinteger(0), Value::null()});
    EXPECT_TRUE(make_map(arena, entries).is_error());
    entries.back().key = Value::string("0");
    EXPECT_EQ(make_map(arena, entries).kind, Kind::kMap);
    entries.back().key = Value::real(0.5);
    EXPECT_TRUE(make_map(arena, entries).is_error());
    entries.back().key = Value::null();
    EXPECT_TRUE(make_map(arena, entries).is_error());
  }
}

TEST(Value, MapEqualityAndHashIgnoreOrder) {
  EXPECT_TRUE(rc::check([](const std::vector<int64_t>& keys) {
    base::Arena arena;
    std::vector<MapEntry> forward, backward;
    for (int64_t key : keys) {
      bool repeated = false;
      for (const MapEntry& entry : forward) repeated |= entry.key.i == key;
      if (!repeated) forward.push_back({Value::integer(key), Value::integer(key ^ 5)});
    }
    backward.assign(forward.rbegin(), forward.rend());
    Value a = make_map(arena, forward), b = make_map(arena, backward);
    RC_ASSERT(equal(a, b));
    RC_ASSERT(hash(a) == hash(b));
    if (forward.empty()) return;
    std::vector<MapEntry> changed = backward;
    changed[0].value = Value::string("other");
    RC_ASSERT(!equal(a, make_map(arena, changed)));
  }));
}

TEST(Value, DeepCopyOutlivesItsSource) {
  base::Arena keep;
  Value copy;
  std::string expected;
  {
    base::Arena arena;
    std::vector<MapEntry> entries;
    for (int i = 0; i < 12; ++i) {
      Value item = Value::string(arena.copy("value " + std::to_string(i)));
      Value* items = arena.allocate_array<Value>(2);
      items[0] = item;
      items[1] = Value::some(arena.make(Value::bytes(arena.copy("\x01\x02"))));
      entries.push_back({Value::string(arena.copy("key " + std::to_string(i))), Value::list({items, 2})});
    }
    IpData ip;
    ASSERT_TRUE(parse_cidr("2001:db8::/32", ip));
    Value parts[] = {make_map(arena, entries), Value::cidr_of(&ip), make_error(arena, ErrorCode::kOther, "why"),
                     Value::type("list")};
    OpaqueData opaque{"tuple", parts};
    Value original = Value::opaque_of(&opaque);
    expected = debug_string(original, 10'000);
    copy = deep_copy(original, keep);
    // The source is overwritten, so that a shared byte would show.
    for (MapEntry& entry : entries) entry = {Value::null(), Value::null()};
    ip = {};
    opaque = {};
  }
  EXPECT_EQ(debug_string(copy, 10'000), expected);
  const Value* found = map_find(*copy.opaque->values[0].map, Value::string("key 7"));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->list_items()[0].str(), "value 7");
}

TEST(Value, DebugStringIsCelSyntax) {
  base::Arena arena;
  Value items[] = {Value::integer(-1), Value::uinteger(2), Value::real(3), Value::real(0.1), Value::null()};
  MapEntry entries[] = {{Value::string("a\"\n"), Value::boolean(true)}, {Value::integer(1), Value::bytes("\xffz")}};
  EXPECT_EQ(debug_string(Value::list(items)), "[-1, 2u, 3.0, 0.1, null]");
  EXPECT_EQ(debug_string(make_map(arena, entries)), "{\"a\\\"\\n\": true, 1: b\"\\xffz\"}");
  EXPECT_EQ(debug_string(Value::timestamp(0, 500'000'000)), "timestamp(\"1970-01-01T00:00:00.5Z\")");
  EXPECT_EQ(debug_string(Value::duration(-1'500'000'000)), "duration(\"-1.5s\")");
  EXPECT_EQ(debug_string(Value::real(1e100)), "1e+100");
  EXPECT_EQ(debug_string(Value::real(-kInf)), "double(\"-Infinity\")");
  EXPECT_EQ(debug_string(Value::none()), "optional.none()");
  EXPECT_EQ(debug_string(Value::some(&items[0])), "optional.of(-1)");
  EXPECT_EQ(debug_string(Value::type("list")), "list");
  EXPECT_EQ(debug_string(Value::absent()), "absent");
  std::string longer = "é" + std::string(1000, 'x');
  EXPECT_EQ(debug_string(Value::string(longer), 20).size(), 23u);
  EXPECT_EQ(debug_string(Value::string("\u00e9\u00e9"), 2), "\"...");
}

TEST(Value, TypeNames) {
  EXPECT_EQ(type_name(Value::null()), "null_type");
  EXPECT_EQ(type_name(Value::timestamp(0, 0)), "google.protobuf.Timestamp");
  EXPECT_EQ(type_name(Value::none()), "optional_type");
  EXPECT_EQ(type_name(Value::type("int")), "type");
}

TEST(Value, PredefinedErrorsCarryTheirCodes) {
  EXPECT_EQ(error_no_such_field().error_data->code, ErrorCode::kNoSuchField);
  EXPECT_EQ(error_no_such_overload().error_data->code, ErrorCode::kNoSuchOverload);
  EXPECT_EQ(error_overflow().error_data->code, ErrorCode::kOverflow);
  EXPECT_EQ(error_divide_by_zero().error_data->code, ErrorCode::kDivideByZero);
  EXPECT_EQ(error_out_of_range().error_data->code, ErrorCode::kOutOfRange);
  EXPECT_EQ(error_limit().error_data->code, ErrorCode::kLimit);
  base::Arena arena;
  std::string message = "gone";
  Value made = make_error(arena, ErrorCode::kOther, message);
  message = "xxxx";
  EXPECT_EQ(made.error_data->message, "gone");
}

}  // namespace
}  // namespace tamis::event
