#include "door/json_body.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>

namespace tamis::door {
namespace {

constexpr std::array<std::string_view, 5> kKeys = {"rule", "from", "rows", "apply", "files"};

base::Result<JsonBody> read(std::string_view text) { return JsonBody::read(text, kKeys); }

template <class T>
std::string why(const base::Result<T>& result) {
  return result ? "no error" : result.error().message;
}

TEST(JsonBody, GivesWhatIsThere) {
  auto body = read(R"({"rule":"a","from":1780000000000,"rows":5,"apply":true,"files":{"a.yaml":"x: 1"}})");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body->text("rule"), "a");
  EXPECT_EQ(*body->needed_text("rule"), "a");
  EXPECT_EQ(*body->text("rows"), "5") << "a whole number is as good as its text";
  EXPECT_EQ(*body->whole("rows", 1, 0, 10), 5);
  EXPECT_TRUE(*body->flag("apply", false));
  EXPECT_EQ(*body->time_ms("from", 0, 0), 1'780'000'000'000);
  auto files = body->text_map("files");
  ASSERT_TRUE(files);
  EXPECT_EQ(*files, (std::vector<std::pair<std::string, std::string>>{{"a.yaml", "x: 1"}}));
  EXPECT_TRUE(body->has("rule"));
  EXPECT_EQ(body->without(std::array<std::string_view, 3>{"files", "from", "rows"}), R"({"rule":"a","apply":true})");
}

TEST(JsonBody, WhatIsMissingHasAFallback) {
  auto body = read(R"({"rule":null})");
  ASSERT_TRUE(body);
  EXPECT_FALSE(body->has("rule"));
  EXPECT_EQ(*body->text("rule", "x"), "x");
  EXPECT_EQ(*body->whole("rows", 7, 0, 10), 7);
  EXPECT_TRUE(*body->flag("apply", true));
  EXPECT_EQ(*body->time_ms("from", 3, 9), 3);
  EXPECT_TRUE(body->texts("rule")->empty());
  EXPECT_TRUE(body->wholes("rows")->empty());
  EXPECT_TRUE(body->text_map("files")->empty());
  EXPECT_EQ(why(body->needed_text("rule")), "\"rule\" is missing");
  EXPECT_EQ(why(read(R"({"rule":""})")->needed_text("rule")), "\"rule\" is missing");
}

TEST(JsonBody, WhatIsNoObjectIsRefused) {
  for (const char* text : {"", "[]", "7", "\"a\"", "null", "{", "{\"rule\":}", "{\"rule\":\"a\"} x", "\xff{}"}) {
    auto body = read(text);
    EXPECT_FALSE(body) << text;
  }
  EXPECT_FALSE(read("{\"rule\":" + std::string(5000, '[') + std::string(5000, ']') + "}"));
  EXPECT_EQ(why(read(R"({"rulez":1})")), "unknown key \"rulez\"; did you mean \"rule\"?");
  EXPECT_EQ(why(read(R"({"zzzzzzzz":1})")), "unknown key \"zzzzzzzz\"");
  EXPECT_LT(why(read("{\"" + std::string(10'000, 'x') + "\":1}")).size(), 200u) << "a long key is not repeated whole";
}

TEST(JsonBody, KindsThatAreWrongAreNamed) {
  auto body = read(R"({"rule":[1],"from":"soon","rows":1.5,"apply":"yes","files":{"a":1}})");
  ASSERT_TRUE(body);
  EXPECT_EQ(why(body->text("rule")), "\"rule\": expected a string");
  EXPECT_EQ(why(body->texts("rule")), "\"rule\": expected a list of strings");
  EXPECT_EQ(why(body->wholes("files")), "\"files\": expected a list of whole numbers");
  EXPECT_EQ(why(body->whole("rows", 0, 0, 10)), "\"rows\": expected a whole number from 0 to 10");
  EXPECT_EQ(why(body->flag("apply", false)), "\"apply\": expected true or false");
  EXPECT_EQ(why(body->text_map("files")), "\"files\": expected an object of texts");
  EXPECT_EQ(why(body->time_ms("from", 0, 0)),
            "\"from\": \"soon\" is no time; expected one like 2026-11-21T08:00:00Z, or a span back like 7d");
  EXPECT_EQ(why(body->time_ms("apply", 0, 0)).find("\"apply\": \"yes\" is no time"), 0u);
  EXPECT_EQ(why(body->time_ms("files", 0, 0)), "\"files\": expected a time");
}

TEST(JsonBody, NumbersHaveBounds) {
  EXPECT_EQ(*read(R"({"rows":10})")->whole("rows", 0, 0, 10), 10);
  EXPECT_FALSE(read(R"({"rows":11})")->whole("rows", 0, 0, 10));
  EXPECT_FALSE(read(R"({"rows":-1})")->whole("rows", 0, 0, 10));
  EXPECT_FALSE(read(R"({"rows":18446744073709551615})")->whole("rows", 0, 0, INT64_MAX));
  EXPECT_FALSE(read(R"({"rows":18446744073709551616})"));
}

TEST(JsonBody, TimesCountBackFromTheNewest) {
  constexpr int64_t kDayMs = 86'400'000;
  EXPECT_EQ(*read(R"({"from":"7d"})")->time_ms("from", 0, 10 * kDayMs), 3 * kDayMs);
  EXPECT_EQ(*read(R"({"from":"1970-01-02T00:00:00Z"})")->time_ms("from", 0, 0), kDayMs);
  EXPECT_EQ(*read_time_ms("1h", 7'200'000), 3'600'000);
  EXPECT_FALSE(read_time_ms("", 0));
}

// Whatever comes, it is read or refused; what is read goes back to text that reads the same.
RC_GTEST_PROP(JsonBody, AnythingMayCome, ()) {
  static const std::string kPieces[] = {"{", "}",    "\"rule\"", ":",    ",", "\"a\"",    "[",     "]",
                                        "1", "-1e9", "true",     "null", " ", "\"from\"", "\"7d\""};
  std::string text = "{";
  const auto picks = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, std::size(kPieces)));
  for (const size_t pick : picks) text += kPieces[pick];
  text += *rc::gen::element<std::string>("}", "", "\"}");
  auto body = read(text);
  if (!body) return;
  for (const std::string_view key : kKeys) {
    (void)body->text(key), (void)body->whole(key, 0, 0, 9), (void)body->flag(key, false), (void)body->texts(key);
    (void)body->wholes(key), (void)body->time_ms(key, 0, 0), (void)body->text_map(key);
  }
  auto again = read(body->without({}));
  RC_ASSERT(again.has_value());
  RC_ASSERT(again->without({}) == body->without({}));
}

}  // namespace
}  // namespace tamis::door
