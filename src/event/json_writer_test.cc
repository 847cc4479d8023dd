#include "event/json_writer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "event/ip.h"
#include "event/json_event.h"

namespace tamis::event {
namespace {

std::string written(Value value) {
  std::string out;
  JsonWriter(out).value(value);
  return out;
}

TEST(JsonWriter, PlacesCommas) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("a").begin_array().integer(1).string("x").begin_object().end_object().null().end_array();
  writer.key("b").boolean(false).key("c").begin_object().key("d").raw("[1,2]").end_object();
  writer.key("e").uinteger(18446744073709551615u).key("f").begin_array().end_array().key("g").real(0.5);
  writer.end_object();
  EXPECT_EQ(out, R"({"a":[1,"x",{},null],"b":false,"c":{"d":[1,2]},"e":18446744073709551615,"f":[],"g":0.5})");
}

TEST(JsonWriter, WritesDoublesSoThatTheyStayDoubles) {
  EXPECT_EQ(written(Value::real(1)), "1.0");
  EXPECT_EQ(written(Value::real(-0.0)), "-0.0");
  EXPECT_EQ(written(Value::real(100000)), "100000.0");
  EXPECT_EQ(written(Value::real(0.1)), "0.1");
  EXPECT_EQ(written(Value::real(1e300)), "1e+300");
  EXPECT_EQ(written(Value::real(44405545544405507540.58)), "44405545544405508096.0");
  EXPECT_EQ(written(Value::real(5e-324)), "5e-324");
  EXPECT_EQ(written(Value::real(std::nan(""))), "\"NaN\"");
  EXPECT_EQ(written(Value::real(-std::numeric_limits<double>::infinity())), "\"-Infinity\"");
}

TEST(JsonWriter, WritesEveryKind) {
  base::Arena arena;
  IpData ip;
  ASSERT_TRUE(parse_ip("2001:db8::1", ip));
  IpData net;
  ASSERT_TRUE(parse_cidr("192.0.2.0/24", net));
  const Value one = Value::integer(1);
  const MapEntry entries[] = {{Value::integer(-1), Value::string("a")}, {Value::boolean(true), Value::null()}};
  const OpaqueData tuple{"tuple", {&one, 1}};
  EXPECT_EQ(written(Value::bytes("hi\n")), "\"aGkK\"");
  EXPECT_EQ(written(Value::timestamp(1'700'000'000, 0)), "\"2023-11-14T22:13:20Z\"");
  EXPECT_EQ(written(Value::duration(1'500'000'000)), "\"1.5s\"");
  EXPECT_EQ(written(Value::ip_of(&ip)), "\"2001:db8::1\"");
  EXPECT_EQ(written(Value::cidr_of(&net)), "\"192.0.2.0/24\"");
  EXPECT_EQ(written(Value::type("int")), "\"int\"");
  EXPECT_EQ(written(Value::some(&one)), "1");
  EXPECT_EQ(written(Value::none()), "null");
  EXPECT_EQ(written(make_map(arena, entries)), R"({"-1":"a","true":null})");
  EXPECT_EQ(written(Value::opaque_of(&tuple)), "[1]");
  EXPECT_EQ(written(Value::absent()), "null");
  EXPECT_EQ(written(error_overflow()), "null");
  EXPECT_EQ(written(Value::handle(3)), "null");
}

TEST(JsonWriter, EndlessNestingIsCut) {
  std::vector<Value> levels(5000);
  for (size_t i = 1; i < levels.size(); ++i) levels[i] = Value::list({&levels[i - 1], 1});
  const std::string out = written(levels.back());
  EXPECT_LT(out.size(), 1100u);
  EXPECT_NE(out.find("[null]"), std::string::npos);
}

TEST(AppendJsonString, EscapesAtEveryPosition) {
  for (const char special : {'"', '\\', '\n', '\x01', '\x1f'}) {
    for (size_t size = 1; size < 20; ++size) {
      for (size_t at = 0; at < size; ++at) {
        std::string text(size, '\x7f');
        text[at] = special;
        std::string out;
        append_json_string(out, text);
        base::Arena arena;
        const auto back = JsonReader::to_value(out, arena);
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(back->str(), text);
      }
    }
  }
  std::string out;
  append_json_string(out, std::string_view("\0\b\f\n\r\t\x1b\"\\/\u00e9", 12));
  EXPECT_EQ(out, "\"\\u0000\\b\\f\\n\\r\\t\\u001b\\\"\\\\/\u00e9\"");
}

// Text of any characters, mostly short.
rc::Gen<std::string> any_text() {
  return rc::gen::map(rc::gen::container<std::vector<uint32_t>>(
                          rc::gen::oneOf(rc::gen::inRange<uint32_t>(0, 0x80), rc::gen::inRange<uint32_t>(0x80, 0xD800),
                                         rc::gen::inRange<uint32_t>(0xE000, 0x110000))),
                      [](const std::vector<uint32_t>& codes) {
                        std::string text;
                        for (const uint32_t c : codes) {
                          if (c < 0x80) {
                            text += static_cast<char>(c);
                          } else if (c < 0x800) {
                            text += static_cast<char>(0xC0 | c >> 6);
                            text += static_cast<char>(0x80 | (c & 63));
                          } else if (c < 0x10000) {
                            text += static_cast<char>(0xE0 | c >> 12);
                            text += static_cast<char>(0x80 | (c >> 6 & 63));
                            text += static_cast<char>(0x80 | (c & 63));
                          } else {
                            text += static_cast<char>(0xF0 | c >> 18);
                            text += static_cast<char>(0x80 | (c >> 12 & 63));
                            text += static_cast<char>(0x80 | (c >> 6 & 63));
                            text += static_cast<char>(0x80 | (c & 63));
                          }
                        }
                        return text;
                      });
}

double double_of_bits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

Value any_value(base::Arena& arena, int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 9 : 6)) {
    case 0:
      return Value::null();
    case 1:
      return Value::boolean(*rc::gen::arbitrary<bool>());
    case 2:
      return Value::integer(*rc::gen::arbitrary<int64_t>());
    case 3:
      return Value::uinteger(*rc::gen::arbitrary<uint64_t>() | uint64_t{1} << 63);
    case 4: {
      const double value = double_of_bits(*rc::gen::arbitrary<uint64_t>());
      return Value::real(std::isfinite(value) ? value : 0.25);
    }
    case 5:
      return Value::string(arena.copy(*any_text()));
    case 6:
      return Value::real(static_cast<double>(*rc::gen::arbitrary<int32_t>()) / 8);
    case 7: {
      const auto count = *rc::gen::inRange<size_t>(0, 6);
      Value* items = arena.allocate_array<Value>(count);
      for (size_t i = 0; i < count; ++i) items[i] = any_value(arena, depth - 1);
      return Value::list({items, count});
    }
    default: {
      const auto keys = *rc::gen::unique<std::vector<std::string>>(any_text());
      auto* entries = arena.allocate_array<MapEntry>(keys.size());
      for (size_t i = 0; i < keys.size(); ++i) {
        entries[i] = {Value::string(arena.copy(keys[i])), any_value(arena, depth - 1)};
      }
      return make_map(arena, {entries, keys.size()});
    }
  }
}

RC_GTEST_PROP(JsonWriter, WhatIsWrittenReadsBackEqual, ()) {
  base::Arena arena;
  const Value value = any_value(arena, 3);
  const std::string json = written(value);
  const auto back = JsonReader::to_value(json, arena);
  RC_ASSERT(back.has_value());
  RC_ASSERT(equal(*back, value));
  RC_ASSERT(back->kind == value.kind);
  RC_ASSERT(written(*back) == json);
}

}  // namespace
}  // namespace tamis::event
