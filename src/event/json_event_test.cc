#include "event/json_event.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "event/json_fault.h"
#include "event/json_writer.h"

namespace tamis::event {

size_t allocation_count();  // allocations_test.cc

namespace {

Field field(std::string name, Type type, Semantic semantic = Semantic::kNone) {
  Field made;
  made.name = std::move(name);
  made.type = std::move(type);
  made.semantic = semantic;
  return made;
}

// A schema with one field `f`. Strict: what cannot be read is told with its value.
EventSchema schema_of(Type type, Semantic semantic = Semantic::kNone) {
  EventSchema schema;
  schema.name = "test";
  schema.strict = true;
  schema.fields.push_back(field("f", std::move(type), semantic));
  schema.seal();
  return schema;
}

// Reads JSON texts by a schema and keeps what came out.
struct Reading {
  explicit Reading(EventSchema with) : schema(std::move(with)), slots(schema.fields.size()) {
    event.schema = &schema;
    event.slots = slots;
  }
  // Empty for success, else the message.
  std::string read(std::string_view json) {
    arena.reset();
    if (base::Status parsed = reader.parse(json); !parsed) return parsed.error().message;
    if (base::Status status = reader.read(event, arena); !status) return status.error().message;
    return {};
  }
  std::string shown(size_t slot) const { return debug_string(slots[slot]); }

  base::Arena arena;
  JsonReader reader;
  EventSchema schema;
  std::vector<Value> slots;
  Event event;
};

// What field `f` of that type becomes from a JSON value, or the message.
std::string read_as(const Type& type, const std::string& json, Semantic semantic = Semantic::kNone) {
  Reading reading(schema_of(type, semantic));
  const std::string error = reading.read("{\"f\":" + json + "}");
  return error.empty() ? reading.shown(0) : error;
}

TEST(JsonReader, ReadsScalarsByType) {
  EXPECT_EQ(read_as(Type::boolean(), "true"), "true");
  EXPECT_EQ(read_as(Type::integer(), "-3"), "-3");
  EXPECT_EQ(read_as(Type::integer(), "3.0"), "3");
  EXPECT_EQ(read_as(Type::integer(), "-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(read_as(Type::uinteger(), "18446744073709551615"), "18446744073709551615u");
  EXPECT_EQ(read_as(Type::uinteger(), "7"), "7u");
  EXPECT_EQ(read_as(Type::real(), "3"), debug_string(Value::real(3)));
  EXPECT_EQ(read_as(Type::real(), "0.1"), debug_string(Value::real(0.1)));
  EXPECT_EQ(read_as(Type::string(), "\"a\\u00e9\\n\""), debug_string(Value::string("a\u00e9\n")));
  EXPECT_EQ(read_as(Type::bytes(), "\"aGkK\""), debug_string(Value::bytes("hi\n")));
  EXPECT_EQ(read_as(Type::bytes(), "\"_-8\""), debug_string(Value::bytes("\xff\xef")));
}

TEST(JsonReader, ReadsTimes) {
  const std::string expected = debug_string(Value::timestamp(1'700'000'000, 123'000'000));
  EXPECT_EQ(read_as(Type::timestamp(), "\"2023-11-14T22:13:20.123Z\""), expected);
  EXPECT_EQ(read_as(Type::timestamp(), "1700000000123"), expected);
  EXPECT_EQ(read_as(Type::timestamp(), "1700000000123000"), expected);
  EXPECT_EQ(read_as(Type::timestamp(), "1700000000.123"), expected);
  EXPECT_EQ(read_as(Type::timestamp(), "-0.5"), debug_string(Value::timestamp(-1, 500'000'000)));
  EXPECT_EQ(read_as(Type::duration(), "\"1h30m\""), debug_string(Value::duration(5'400'000'000'000)));
  EXPECT_EQ(read_as(Type::duration(), "90"), debug_string(Value::duration(90'000'000'000)));
  EXPECT_EQ(read_as(Type::duration(), "0.25"), debug_string(Value::duration(250'000'000)));
}

TEST(JsonReader, SaysWhatWasExpectedAndFound) {
  EXPECT_EQ(read_as(Type::integer(), "\"abc\""), "field \"f\": expected int, found string \"abc\"");
  EXPECT_EQ(read_as(Type::integer(), "3.5"), "field \"f\": expected int, found double 3.5");
  EXPECT_EQ(read_as(Type::integer(), "1e19"), "field \"f\": double 1e+19 is out of the range of int");
  EXPECT_EQ(read_as(Type::integer(), "9223372036854775808"),
            "field \"f\": uint 9223372036854775808 is out of the range of int");
  EXPECT_EQ(read_as(Type::uinteger(), "-1"), "field \"f\": int -1 is out of the range of uint");
  EXPECT_EQ(read_as(Type::string(), "5"), "field \"f\": expected string, found int 5");
  EXPECT_EQ(read_as(Type::boolean(), "0"), "field \"f\": expected bool, found int 0");
  EXPECT_EQ(read_as(Type::real(), "true"), "field \"f\": expected double, found bool true");
  EXPECT_EQ(read_as(Type::bytes(), "\"a\""), "field \"f\": expected bytes (base64), found string \"a\"");
  EXPECT_EQ(read_as(Type::duration(), "\"soon\""),
            "field \"f\": expected duration (\"1h30m\" or a number of seconds), found string \"soon\"");
  EXPECT_EQ(read_as(Type::timestamp(), "\"2023-02-30T00:00:00Z\""),
            "field \"f\": expected a time (RFC 3339 or a number since the epoch), found string "
            "\"2023-02-30T00:00:00Z\"");
  EXPECT_EQ(read_as(Type::list(Type::string()), "[\"a\",{}]"), "field \"f\"[1]: expected string, found map");
  EXPECT_EQ(read_as(Type::map(Type::string(), Type::list(Type::integer())), "{\"k\":[1,null]}"),
            "field \"f\"[\"k\"][1]: expected int, found null");
  EXPECT_EQ(read_as(Type::list(Type::dyn()), "{}"), "field \"f\": expected list, found map");
  const std::string long_text = read_as(Type::integer(), "\"" + std::string(59, 'x') + "\u00e9\u00e9\"");
  EXPECT_EQ(long_text, "field \"f\": expected int, found string \"" + std::string(59, 'x') + "...\"");
}

TEST(JsonReader, ReadsListsMapsAndDyn) {
  EXPECT_EQ(read_as(Type::list(Type::integer()), "[1,2.0,-3]"), "[1, 2, -3]");
  EXPECT_EQ(read_as(Type::list(Type::string()), "[]"), "[]");
  EXPECT_EQ(read_as(Type::map(Type::string(), Type::real()), "{\"a\":1}"),
            "{\"a\": " + debug_string(Value::real(1)) + "}");
  EXPECT_EQ(read_as(Type::dyn(), "{\"a\":[1,18446744073709551615,null,false,\"x\",{}]}"),
            "{\"a\": [1, 18446744073709551615u, null, false, \"x\", {}]}");
  EXPECT_EQ(read_as(Type::dyn(), "{\"a\":1,\"b\":2,\"a\":3}"), "field \"f\": a key occurs twice");
}

TEST(JsonReader, CanonicalisesDomains) {
  const auto read_domain = [](const std::string& text) {
    return read_as(Type::string(), "\"" + text + "\"", Semantic::kDomain);
  };
  EXPECT_EQ(read_domain("example.com"), "\"example.com\"");
  EXPECT_EQ(read_domain("WWW.Example.COM."), "\"www.example.com\"");
  EXPECT_EQ(read_domain("no domain!"), "\"no domain!\"");
  EXPECT_EQ(read_domain(""), "\"\"");
}

TEST(JsonReader, CanonicalisesAddresses) {
  const auto read_ip = [](const std::string& text) {
    return read_as(Type::string(), "\"" + text + "\"", Semantic::kIp);
  };
  EXPECT_EQ(read_ip("192.0.2.1"), "\"192.0.2.1\"");
  EXPECT_EQ(read_ip("2001:DB8:0:0:0:0:0:1"), "\"2001:db8::1\"");
  EXPECT_EQ(read_ip("::ffff:192.0.2.1"), "\"192.0.2.1\"");
  EXPECT_EQ(read_ip("2001:db8::1"), "\"2001:db8::1\"");
  EXPECT_EQ(read_ip("unknown"), "\"unknown\"");
  EXPECT_EQ(read_ip("192.0.2.01"), "\"192.0.2.01\"");
}

TEST(JsonReader, FindsIdTimeAndNestedPaths) {
  EventSchema schema;
  schema.fields.push_back(field("account", Type::string()));
  schema.fields.back().path = {"payload", "user", "id"};
  schema.fields.push_back(field("bytes", Type::integer()));
  schema.fields.back().path = {"payload", "bytes"};
  schema.fields.push_back(field("when", Type::timestamp()));
  schema.fields.back().path = {"meta", "t"};
  schema.id_path = {"meta", "id"};
  schema.time_path = {"meta", "t"};
  schema.time_format = TimeFormat::kMillis;
  schema.strict = true;
  schema.seal();
  Reading reading(schema);
  const std::string_view json =
      R"({"x":[{"payload":1}],"payload":{"bytes":5,"user":{"id":"u1","extra":0}},"meta":{"t":1700000000123,"id":17}})";
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(reading.read(json), "");
    EXPECT_EQ(reading.event.id, "17");
    EXPECT_TRUE(reading.event.has_time);
    EXPECT_EQ(reading.event.time_ms, 1'700'000'000'123);
    EXPECT_EQ(reading.shown(0), "\"u1\"");
    EXPECT_EQ(reading.shown(1), "5");
    EXPECT_EQ(reading.shown(2), debug_string(Value::timestamp(1'700'000'000, 123'000'000)));
    EXPECT_EQ(reading.reader.unknown_fields(), 2u);
  }
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{"payload", "user", "id"}, reading.arena), "u1");
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{"payload", "bytes"}, reading.arena), "5");
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{"payload", "user"}, reading.arena), "");
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{"payload", "bytes", "x"}, reading.arena), "");
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{}, reading.arena), "");

  EXPECT_EQ(reading.read(R"({"payload":7})"),
            "key \"payload\": expected map, found int 7, but fields are expected below it");
  EXPECT_EQ(reading.read(R"({"payload":null,"meta":{"id":true}})"),
            "the id at \"meta.id\": expected string or number, found bool true");
  EXPECT_EQ(reading.read(R"({"meta":{"t":"noon"}})"),
            "field \"when\" (at \"meta.t\"): expected a time (RFC 3339 or a number since the epoch), found string "
            "\"noon\"");
}

TEST(JsonReader, TimeFormatsAreKept) {
  EventSchema schema;
  schema.time_format = TimeFormat::kRfc3339;
  schema.seal();
  Reading text(schema);
  EXPECT_EQ(text.read(R"({"time":1700000000})"),
            "the time at \"time\": expected a time (RFC 3339), found int 1700000000");
  EXPECT_EQ(text.read(R"({"time":"2023-11-14T22:13:20+01:00"})"), "");
  EXPECT_EQ(text.event.time_ms, 1'699'996'400'000);
  schema.time_format = TimeFormat::kSeconds;
  Reading seconds(schema);
  EXPECT_EQ(seconds.read(R"({"time":1700000000.5})"), "");
  EXPECT_EQ(seconds.event.time_ms, 1'700'000'000'500);
  EXPECT_EQ(seconds.read(R"({"time":"1700000000"})"),
            "the time at \"time\": expected a time (seconds since the epoch), found string \"1700000000\"");
  EXPECT_EQ(seconds.read(R"({"time":1e15})"),
            "the time at \"time\": expected a time (seconds since the epoch), found double 1e+15");
}

TEST(JsonReader, MissingFieldsTakeDefaultsOrAreRefused) {
  EventSchema schema;
  schema.fields = {field("a", Type::integer()), field("b", Type::integer()), field("c", Type::string())};
  schema.fields[1].fallback = Value::integer(9);
  schema.fields[2].required = true;
  schema.seal();
  Reading reading(schema);
  EXPECT_EQ(reading.read(R"({"c":"x"})"), "");
  EXPECT_TRUE(reading.slots[0].is(Kind::kAbsent));
  EXPECT_EQ(reading.shown(1), "9");
  EXPECT_TRUE(reading.event.id.empty());
  EXPECT_FALSE(reading.event.has_time);
  EXPECT_EQ(reading.read(R"({"c":"x","b":null,"a":null})"), "");
  EXPECT_EQ(reading.shown(1), "9");
  EXPECT_EQ(reading.read(R"({"b":1})"), "field \"c\" is required, and missing");
  EXPECT_EQ(reading.read(R"({"b":1,"c":null})"), "field \"c\" is required, and missing");
  schema.fields[2].path = {"client", "name"};
  schema.seal();
  Reading elsewhere(schema);
  EXPECT_EQ(elsewhere.read(R"({"b":1,"c":"x"})"), "field \"c\" (at \"client.name\") is required, and missing");
}

TEST(JsonReader, RefusesRepeatedKeys) {
  Reading reading(schema_of(Type::integer()));
  EXPECT_EQ(reading.read(R"({"f":1,"f":2})"), "the key \"f\" occurs twice");
  EXPECT_EQ(reading.read(R"({"f":null,"f":2})"), "the key \"f\" occurs twice");
  EXPECT_EQ(reading.read(R"({"f":1})"), "");
  EXPECT_EQ(reading.shown(0), "1");
}

// What an optional field `f` becomes, or "dropped: ", as in a policy that says nothing else.
std::string read_lenient(const Type& type, const std::string& json, Semantic semantic = Semantic::kNone) {
  EventSchema schema = schema_of(type, semantic);
  schema.strict = false;
  schema.seal();
  Reading reading(schema);
  std::string error = reading.read("{\"f\":" + json + "}");
  if (!error.empty()) return error;
  if (reading.event.dropped.empty()) return reading.shown(0);
  EXPECT_EQ(reading.event.dropped.size(), 1u);
  EXPECT_EQ(reading.event.dropped[0].field, 0);
  EXPECT_TRUE(reading.slots[0].is(Kind::kAbsent));
  return "dropped: " + std::string(reading.event.dropped[0].why);
}

TEST(JsonReader, AFieldOfAnotherTypeIsAsIfNotSent) {
  EXPECT_EQ(read_lenient(Type::integer(), "12.5"), "dropped: expected int, found double");
  EXPECT_EQ(read_lenient(Type::integer(), "\"secret\""), "dropped: expected int, found string");
  EXPECT_EQ(read_lenient(Type::integer(), "true"), "dropped: expected int, found bool");
  EXPECT_EQ(read_lenient(Type::integer(), "1e19"), "dropped: double is out of the range of int");
  EXPECT_EQ(read_lenient(Type::integer(), "18446744073709551616"), "dropped: a number is out of range");
  EXPECT_EQ(read_lenient(Type::uinteger(), "-1"), "dropped: int is out of the range of uint");
  EXPECT_EQ(read_lenient(Type::string(), "1.5"), "dropped: expected string, found double");
  EXPECT_EQ(read_lenient(Type::string(), "[\"a\"]"), "dropped: expected string, found list");
  EXPECT_EQ(read_lenient(Type::boolean(), "\"true\""), "dropped: expected bool, found string");
  EXPECT_EQ(read_lenient(Type::bytes(), "\"a\""), "dropped: expected bytes (base64), found string");
  EXPECT_EQ(read_lenient(Type::list(Type::string()), "[\"a\",{\"secret\":1}]"),
            "dropped: an item: expected string, found map");
  EXPECT_EQ(read_lenient(Type::map(Type::string(), Type::boolean()), "{\"secret\":1}"),
            "dropped: an item: expected bool, found int");
  EXPECT_EQ(read_lenient(Type::dyn(), "{\"a\":1,\"a\":3}"), "dropped: a key occurs twice");
  // No number is an address.
  EXPECT_EQ(read_lenient(Type::string(), "3221225985", Semantic::kIp), "dropped: expected string, found int");
  EXPECT_EQ(read_lenient(Type::integer(), "null"), debug_string(Value::absent()));
}

TEST(JsonReader, WhatSaysTheSameInAnotherTypeIsTaken) {
  EXPECT_EQ(read_lenient(Type::integer(), "12.0"), "12");
  EXPECT_EQ(read_lenient(Type::integer(), "\"411111\""), "411111");
  EXPECT_EQ(read_lenient(Type::integer(), "\"-9223372036854775808\""), "-9223372036854775808");
  EXPECT_EQ(read_lenient(Type::uinteger(), "\"18446744073709551615\""), "18446744073709551615u");
  EXPECT_EQ(read_lenient(Type::real(), "\"-0.5e1\""), debug_string(Value::real(-5)));
  EXPECT_EQ(read_lenient(Type::string(), "12"), "\"12\"");
  EXPECT_EQ(read_lenient(Type::string(), "-12"), "\"-12\"");
  EXPECT_EQ(read_lenient(Type::string(), "18446744073709551615"), "\"18446744073709551615\"");
  EXPECT_EQ(read_lenient(Type::list(Type::string()), "[1,\"a\"]"), "[\"1\", \"a\"]");
  // What is not the text of a number, or of two.
  for (const char* text : {"", " 1", "1 ", "+1", "012", "-0", "1.0", "1e3", "0x10", "-", "9223372036854775808", "١"}) {
    EXPECT_EQ(read_lenient(Type::integer(), "\"" + std::string(text) + "\""), "dropped: expected int, found string")
        << text;
  }
  for (const char* text : {"", "-", ".5", "1.", "01", "1e", "1e+", "inf", "nan", "0x1p3", "1e999", "1 "}) {
    EXPECT_EQ(read_lenient(Type::real(), "\"" + std::string(text) + "\""), "dropped: expected double, found string")
        << text;
  }
  EXPECT_EQ(read_lenient(Type::uinteger(), "\"-1\""), "dropped: expected uint, found string");
}

TEST(JsonReader, WhatMustBeReadRefusesTheEvent) {
  EventSchema schema;
  schema.fields = {field("a", Type::integer()), field("b", Type::integer()), field("c", Type::string()),
                   field("d", Type::integer())};
  schema.fields[1].fallback = Value::integer(9);
  schema.fields[2].required = true;
  schema.fields[3].path = {"deep", "er", "d"};
  schema.time_path = {"meta", "t"};
  schema.seal();
  Reading reading(schema);
  for (int round = 0; round < 2; ++round) {
    // As if they had not been sent: a default holds.
    ASSERT_EQ(reading.read(R"({"a":[1,"x"],"b":"x","c":"y","deep":{"er":7},"id":1})"), "");
    EXPECT_TRUE(reading.slots[0].is(Kind::kAbsent));
    EXPECT_EQ(reading.shown(1), "9");
    EXPECT_TRUE(reading.slots[3].is(Kind::kAbsent));
    ASSERT_EQ(reading.event.dropped.size(), 3u);
    EXPECT_EQ(reading.event.dropped[2].field, 3);
    EXPECT_EQ(reading.event.dropped[2].why, "expected map, found int above it");
    EXPECT_EQ(reading.read(R"({"c":[]})"), "field \"c\": expected string, found list");
    EXPECT_EQ(reading.read(R"({"c":1e999})"), "the key \"c\": a number is out of range");
    EXPECT_EQ(reading.read(R"({"c":"y","id":[]})"), "the id at \"id\": expected string or number, found list");
    EXPECT_EQ(reading.read(R"({"c":"y","meta":{"t":"soon"}})"),
              "the time at \"meta.t\": expected a time (RFC 3339 or a number since the epoch), found string \"soon\"");
    EXPECT_EQ(reading.read(R"({"c":"y","meta":7})"),
              "key \"meta\": expected map, found int 7, but fields are expected below it");
    EXPECT_EQ(reading.read(R"({"c":"y","a":1,"a":2})"), "the key \"a\" occurs twice");
    ASSERT_EQ(reading.read(R"({"c":"y","a":1})"), "");
    EXPECT_TRUE(reading.event.dropped.empty());
  }
  // A fault in one place says nothing of the next.
  ASSERT_EQ(reading.read(R"({"a":[{"k":1}],"b":true,"c":"y"})"), "");
  ASSERT_EQ(reading.event.dropped.size(), 2u);
  EXPECT_EQ(reading.event.dropped[1].why, "expected int, found bool");
  // Strict: whatever the field, and in its own type.
  schema.strict = true;
  schema.seal();
  Reading strict(schema);
  EXPECT_EQ(strict.read(R"({"a":1.5,"c":"y"})"), "field \"a\": expected int, found double 1.5");
  EXPECT_EQ(strict.read(R"({"a":"1","c":"y"})"), "field \"a\": expected int, found string \"1\"");
  EXPECT_EQ(strict.read(R"({"c":5})"), "field \"c\": expected string, found int 5");
  EXPECT_EQ(strict.read(R"({"c":"y","deep":{"er":7}})"),
            "key \"er\": expected map, found int 7, but fields are expected below it");
  EXPECT_EQ(strict.read(R"({"a":3.0,"c":"y"})"), "");
}

RC_GTEST_PROP(JsonReader, FieldsInAnyOrderAndCombination, ()) {
  EventSchema schema;
  for (int i = 0; i < 40; ++i) {
    // Names of every length, some equal in front or behind.
    schema.fields.push_back(
        field(std::string(static_cast<size_t>(i % 20), 'k') + "_" + std::to_string(i), Type::integer()));
  }
  schema.seal();
  Reading reading(schema);
  for (int round = 0; round < 3; ++round) {
    const auto chosen = *rc::gen::unique<std::vector<int>>(rc::gen::inRange(0, 45));
    std::string json;
    JsonWriter writer(json);
    writer.begin_object();
    size_t unknown = 0;
    for (const int i : chosen) {
      const bool is_known = i < 40;
      unknown += !is_known;
      writer.key(is_known ? schema.fields[static_cast<size_t>(i)].name : "other" + std::to_string(i)).integer(i);
    }
    writer.end_object();
    RC_ASSERT(reading.read(json) == "");
    RC_ASSERT(reading.reader.unknown_fields() == unknown);
    for (int i = 0; i < 40; ++i) {
      const Value slot = reading.slots[static_cast<size_t>(i)];
      if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) {
        RC_ASSERT(slot.is(Kind::kAbsent));
      } else {
        RC_ASSERT(equal(slot, Value::integer(i)));
      }
    }
  }
}

TEST(JsonReader, OneReaderServesManySchemasWhereverTheyLie) {
  base::Arena arena;
  JsonReader reader;
  std::vector<Value> slots(2);
  // The same address holds one schema after the other, sealed and unsealed.
  EventSchema schema;
  Event event;
  event.schema = &schema;
  event.slots = slots;
  for (int round = 0; round < 50; ++round) {
    const std::string one = "a" + std::to_string(round % 7), two = "b" + std::to_string(round % 5);
    schema.fields = {field(one, Type::integer()), field(two, round % 2 == 0 ? Type::string() : Type::real())};
    schema.fingerprint = 0;
    if (round % 3 != 0) schema.seal();
    const std::string value = round % 2 == 0 ? "\"x\"" : "2.5";
    ASSERT_TRUE(reader.parse("{\"" + two + "\":" + value + ",\"" + one + "\":" + std::to_string(round) + "}"));
    ASSERT_TRUE(reader.read(event, arena));
    EXPECT_TRUE(equal(slots[0], Value::integer(round)));
    EXPECT_TRUE(equal(slots[1], round % 2 == 0 ? Value::string("x") : Value::real(2.5)));
  }
}

TEST(JsonReader, AllocatesNothingOnceWarm) {
  EventSchema schema;
  schema.fields = {field("ip", Type::string(), Semantic::kIp),
                   field("s", Type::string()),
                   field("l", Type::list(Type::list(Type::string()))),
                   field("m", Type::map(Type::string(), Type::real())),
                   field("x", Type::dyn()),
                   field("t", Type::timestamp()),
                   field("y", Type::bytes())};
  schema.seal();
  Reading reading(schema);
  const std::string json =
      R"({"id":17,"time":1700000000,"ip":"2001:DB8::1","s":"a\n","l":[["a"],["b","c"]],"m":{"a":1,"b":2.5},)"
      R"("x":{"k":[1,{"z":null}]},"t":"2023-11-14T22:13:20Z","y":"aGkK","unknown":[1,2,3]})";
  ASSERT_EQ(reading.read(json), "");
  ASSERT_EQ(reading.read(json), "");
  const size_t before = allocation_count();
  for (int i = 0; i < 100; ++i) {
    reading.arena.reset();
    if (!reading.reader.parse(json) || !reading.reader.read(reading.event, reading.arena)) FAIL();
  }
  EXPECT_EQ(allocation_count(), before);
}

std::string parse_error(std::string_view json, JsonLimits limits = {}) {
  JsonReader reader(limits);
  const base::Status status = reader.parse(json);
  return status ? "" : status.error().message;
}

TEST(JsonReader, SaysWhereTextIsNotJson) {
  EXPECT_EQ(parse_error(""), "not valid JSON at byte 0: expected a value, found the end");
  EXPECT_EQ(parse_error(R"({"a":1,})"), "not valid JSON at byte 7: expected a key in quotes");
  EXPECT_EQ(parse_error(R"({"a" 1})"), "not valid JSON at byte 5: expected ':'");
  EXPECT_EQ(parse_error(R"({"a":1 "b":2})"), "not valid JSON at byte 7: expected ',' or '}'");
  EXPECT_EQ(parse_error(R"({"a":[1 2]})"), "not valid JSON at byte 8: expected ',' or ']'");
  EXPECT_EQ(parse_error(R"({"a":01})"), "not valid JSON at byte 6: a number must not begin with 0");
  EXPECT_EQ(parse_error(R"({"a":"x)"), "not valid JSON at byte 5: this string has no end");
  EXPECT_EQ(parse_error(R"({"a":"\x"})"), "not valid JSON at byte 6: unknown escape");
  EXPECT_EQ(parse_error("{\"a\":\"\\ud800\"}"), "not valid JSON at byte 6: a high surrogate without a low one");
  EXPECT_EQ(parse_error("{\"a\":\"\xff\"}"), "not valid JSON at byte 6: not valid UTF-8");
  EXPECT_EQ(parse_error(R"({"a":1e999,})"), "not valid JSON at byte 5: this number is out of range");
  EXPECT_EQ(parse_error(R"({"a":1} x)"), "not valid JSON at byte 8: expected the end");
  EXPECT_EQ(parse_error("[1]"), "expected a JSON object, found an array");
  EXPECT_EQ(parse_error("\"{}\""), "expected a JSON object, found a string");
  EXPECT_EQ(parse_error(" {\"a\":\t1}\r\n"), "");
}

// Numbers beyond all ranges are refused where somebody reads them, and passed over elsewhere.
TEST(JsonReader, LargeNumbersMatterOnlyWhereTheyAreRead) {
  for (const std::string large :
       {"18446744073709551616", "-99999999999999999999", "1e999", "123456789012345678901234567890"}) {
    Reading reading(schema_of(Type::integer()));
    EXPECT_EQ(reading.read("{\"x\":" + large + ",\"y\":{\"z\":[1," + large + "]},\"f\":7}"), "") << large;
    EXPECT_EQ(reading.shown(0), "7");
    for (const Type& type : {Type::integer(), Type::uinteger(), Type::real(), Type::string()}) {
      EXPECT_EQ(read_as(type, large), "the key \"f\": a number is out of range") << large;
    }
    Reading whole(schema_of(Type::map(Type::string(), Type::dyn())));
    EXPECT_EQ(whole.read("{\"f\":{\"k\":[" + large + "]}}"), "the key \"f\": a number is out of range");
    EXPECT_EQ(whole.read("{\"f\":{\"k\":[-0.0]}}"), "");
    EXPECT_FALSE(JsonReader().parse("{\"a\":[1 " + large + "]}").has_value());
    base::Arena arena;
    EXPECT_FALSE(JsonReader::to_value("{\"a\":" + large + "}", arena).has_value());
  }
}

TEST(JsonReader, KeepsLimits) {
  JsonLimits limits;
  limits.bytes_max = 20;
  EXPECT_EQ(parse_error(R"({"a":"0123456789abcdef"})", limits),
            "the JSON text has 24 bytes, more than the limit of 20");
  limits = {};
  limits.depth_max = 3;
  EXPECT_EQ(parse_error(R"({"a":[[1]]})", limits), "");
  EXPECT_EQ(parse_error(R"({"a":[[[1]]]})", limits), "not valid JSON at byte 7: nested too deep, the limit is 3");
  limits = {};
  limits.list_items_max = 2;
  base::Arena arena;
  JsonReader reader(limits);
  const EventSchema schema = schema_of(Type::dyn());
  std::vector<Value> slots(1);
  Event event;
  event.schema = &schema;
  event.slots = slots;
  ASSERT_TRUE(reader.parse(R"({"f":[1,2]})"));
  EXPECT_TRUE(reader.read(event, arena));
  ASSERT_TRUE(reader.parse(R"({"f":[1,2,3]})"));
  const base::Status status = reader.read(event, arena);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "field \"f\": 3 items are more than the limit of 2");
}

TEST(JsonReader, ReadsNothingAfterAFailedParse) {
  Reading reading(schema_of(Type::integer()));
  EXPECT_EQ(reading.read(R"({"f":1})"), "");
  EXPECT_FALSE(reading.reader.parse("{"));
  EXPECT_EQ(reading.reader.text_at(std::vector<std::string>{"f"}, reading.arena), "");
  EXPECT_FALSE(reading.reader.read(reading.event, reading.arena));
}

TEST(JsonReader, GrowsWithLargerEvents) {
  Reading reading(schema_of(Type::string()));
  for (const size_t bytes : {10u, 5000u, 100u, 70'000u, 900'000u, 20u}) {
    const std::string text(bytes, 'y');
    ASSERT_EQ(reading.read("{\"f\":\"" + text + "\"}"), "");
    EXPECT_EQ(reading.slots[0].str(), text);
  }
}

TEST(ParseTime, ByTextAndMagnitude) {
  const auto parse = [](std::string_view text, TimeFormat format = TimeFormat::kAuto) {
    const auto time = parse_time_ms(text, format);
    return time ? *time : int64_t{-1};
  };
  EXPECT_EQ(parse("2023-11-14t22:13:20.1239z"), 1'700'000'000'123);
  EXPECT_EQ(parse("1700000000"), 1'700'000'000'000);
  EXPECT_EQ(parse("1700000000.25"), 1'700'000'000'250);
  EXPECT_EQ(parse("1700000000123"), 1'700'000'000'123);
  EXPECT_EQ(parse("1700000000123456"), 1'700'000'000'123);
  EXPECT_EQ(parse("99999999999"), 99'999'999'999'000);
  EXPECT_EQ(parse("100000000000"), 100'000'000'000);
  EXPECT_EQ(parse("-1500", TimeFormat::kMicros), -2);
  EXPECT_EQ(parse("0", TimeFormat::kSeconds), 0);
  EXPECT_EQ(parse("1700000000", TimeFormat::kRfc3339), -1);
  EXPECT_EQ(parse("1e30"), -1);
  EXPECT_EQ(parse("nan"), -1);
  EXPECT_EQ(parse(""), -1);
  EXPECT_EQ(parse("2023-11-14"), -1);
}

RC_GTEST_PROP(FormatTime, ReadsBack, ()) {
  const int64_t time_ms = *rc::gen::inRange<int64_t>(-62135596800000, 253402300799999);
  const std::string text = format_time_ms(time_ms);
  RC_ASSERT(text.size() == 24u);
  const auto back = parse_time_ms(text, TimeFormat::kRfc3339);
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == time_ms);
}

// The fast parser and the slow one that explains must agree on what JSON is.
RC_GTEST_PROP(JsonFault, AgreesWithTheParser, ()) {
  static constexpr std::string_view kPieces[] = {"{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ",",
                                                 ":",
                                                 "\"a\"",
                                                 "\"",
                                                 "\\",
                                                 "\\u12",
                                                 "1",
                                                 "-0",
                                                 "0",
                                                 "1.5",
                                                 "1e5",
                                                 "1e",
                                                 "true",
                                                 "null",
                                                 "tr",
                                                 " ",
                                                 "\n",
                                                 "\xc3\xa9",
                                                 "\xc3",
                                                 "-",
                                                 ".",
                                                 "e+",
                                                 "99999999999999999999",
                                                 "\"\\ud83d\\ude00\"",
                                                 "\x01",
                                                 "\x1f",
                                                 "\"k\":1",
                                                 "{\"a\":[1,{}]}",
                                                 "false",
                                                 "1E-400"};
  const auto picks = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, std::size(kPieces)));
  std::string text = "{\"a\":[";
  for (const size_t pick : picks) text += kPieces[pick];
  text += *rc::gen::element<std::string>("]}", "", "1]}", "}");
  JsonReader reader;
  std::vector<JsonPiece> large;  // numbers beyond all ranges, which only matter where they are read
  RC_ASSERT(reader.parse(text).has_value() == !find_json_fault(text, 32, &large).has_value());
}

}  // namespace
}  // namespace tamis::event
