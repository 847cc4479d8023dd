#include <rapidcheck.h>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

const char* const kMixed = "ta\u00a9o\u00a9\u03b1T";

TEST(LibStrings, Positions) {
  Lab lab;
  check_all(lab, {
                     {"charAt", {S("tacocat"), I(3)}, "\"o\""},
                     {"charAt", {S("tacocat"), I(7)}, "\"\""},
                     {"charAt", {S("tacocat"), I(8)}, "!out_of_range"},
                     {"charAt", {S("tacocat"), I(-1)}, "!out_of_range"},
                     {"charAt", {S(kMixed), I(5)}, "\"\u03b1\""},
                     {"charAt", {S(kMixed), I(7)}, "\"\""},
                     {"indexOf", {S("tacocat"), S("")}, "0"},
                     {"indexOf", {S("tacocat"), S(""), I(3)}, "3"},
                     {"indexOf", {S("tacocat"), S("a"), I(3)}, "5"},
                     {"indexOf", {S("tacocat"), S("a"), I(30)}, "!out_of_range"},
                     {"indexOf", {S("tacocat"), S("a"), I(-1)}, "!out_of_range"},
                     {"indexOf", {S("tacocat"), S("a"), I(7)}, "-1"},
                     {"indexOf", {S(kMixed), S("\u00a9"), I(3)}, "4"},
                     {"indexOf", {S(kMixed), S("\u00a9\u03b1"), I(5)}, "-1"},
                     {"lastIndexOf", {S(""), S("@@")}, "-1"},
                     {"lastIndexOf", {S("tacocat"), S("")}, "7"},
                     {"lastIndexOf", {S("tacocat"), S(""), I(3)}, "3"},
                     {"lastIndexOf", {S("tacocat"), S("a"), I(3)}, "1"},
                     {"lastIndexOf", {S("tacocat"), S("a"), I(-1)}, "!out_of_range"},
                     {"lastIndexOf", {S("tacocat"), S("a"), I(30)}, "!out_of_range"},
                     {"lastIndexOf", {S(kMixed), S("\u00a9\u03b1"), I(4)}, "4"},
                     {"lastIndexOf", {S(kMixed), S("\u00a9")}, "4"},
                     {"substring", {S("tacocat"), I(4)}, "\"cat\""},
                     {"substring", {S("tacocat"), I(7)}, "\"\""},
                     {"substring", {S("tacocat"), I(8)}, "!out_of_range"},
                     {"substring", {S("tacocat"), I(-1)}, "!out_of_range"},
                     {"substring", {S("tacocat"), I(1), I(50)}, "!out_of_range"},
                     {"substring", {S("tacocat"), I(3), I(2)}, "!out_of_range"},
                     {"substring", {S(kMixed), I(2), I(6)}, "\"\u00a9o\u00a9\u03b1\""},
                     {"substring", {S(kMixed), I(7), I(7)}, "\"\""},
                 });
}

TEST(LibStrings, Changes) {
  Lab lab;
  check_all(lab, {
                     {"lowerAscii", {S("TacoC\u00c6t Xii")}, "\"tacoc\u00c6t xii\""},
                     {"upperAscii", {S("tacoC\u03b1t@[`{")}, "\"TACOC\u03b1T@[`{\""},
                     {"replace", {S("12 days"), S("{0}"), S("2")}, "\"12 days\""},
                     {"replace", {S("aaa"), S("a"), S("bb")}, "\"bbbbbb\""},
                     {"replace", {S("aaa"), S("a"), S("")}, "\"\""},
                     {"replace", {S("aaa"), S("a"), S("b"), I(2)}, "\"bba\""},
                     {"replace", {S("aaa"), S("a"), S("b"), I(0)}, "\"aaa\""},
                     {"replace", {S("aaa"), S("a"), S("b"), I(-1)}, "\"bbb\""},
                     {"replace", {S("h\u00e9"), S(""), S("_")}, "\"_h_\u00e9_\""},
                     {"replace", {S("h\u00e9"), S(""), S("_"), I(2)}, "\"_h_\u00e9\""},
                     {"replace", {S(""), S(""), S("_")}, "\"_\""},
                     {"trim", {S(" \f\n\r\t\vtext  ")}, "\"text\""},
                     {"trim", {S("\u0085\u00a0\u1680text\u2000\u3000")}, "\"text\""},
                     {"trim", {S("\u180etext\u200b\ufeff")}, "\"\u180etext\u200b\ufeff\""},
                     {"trim", {S(" \u2028 ")}, "\"\""},
                     {"reverse", {S("h\u00e9\U0001f600")}, "\"\U0001f600\u00e9h\""},
                     {"strings.quote",
                      {S("a\n\f\r\v\t\a\b\\\"'\u0437")},
                      "\"\\\"a\\\\n\\\\f\\\\r\\\\v\\\\t\\\\a\\\\b\\\\\\\\\\\\\\\"'\u0437\\\"\""},
                     {"strings.quote", {S("")}, "\"\\\"\\\"\""},
                 });
}

TEST(LibStrings, SplitsAndJoins) {
  Lab lab;
  check_all(lab, {
                     {"split", {S("hello world"), S(" ")}, "[\"hello\", \"world\"]"},
                     {"split", {S("hello"), S("")}, "[\"h\", \"e\", \"l\", \"l\", \"o\"]"},
                     {"split", {S("h\u00e9"), S("")}, "[\"h\", \"\u00e9\"]"},
                     {"split", {S(""), S("")}, "[]"},
                     {"split", {S(""), S(",")}, "[\"\"]"},
                     {"split", {S("a,b,"), S(",")}, "[\"a\", \"b\", \"\"]"},
                     {"split", {S("a b c"), S(" "), I(0)}, "[]"},
                     {"split", {S("a b c"), S(" "), I(1)}, "[\"a b c\"]"},
                     {"split", {S("a b c"), S(" "), I(2)}, "[\"a\", \"b c\"]"},
                     {"split", {S("a b c"), S(" "), I(-1)}, "[\"a\", \"b\", \"c\"]"},
                     {"split", {S("a b c"), S(" "), I(9)}, "[\"a\", \"b\", \"c\"]"},
                     {"split", {S("abc"), S(""), I(2)}, "[\"a\", \"bc\"]"},
                     {"join", {lab.list({S("x"), S("y")})}, "\"xy\""},
                     {"join", {lab.list({S("x"), S("y")}), S("-")}, "\"x-y\""},
                     {"join", {lab.list({}), S("-")}, "\"\""},
                     {"join", {lab.list({S("x"), I(1)}), S("-")}, "!invalid"},
                 });
}

TEST(LibStrings, PropertiesOfRandomText) {
  Lab lab;
  auto text_gen =
      rc::gen::map(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 6)), [](std::vector<int> picks) {
        const char* parts[] = {"a", "b", "\u00e9", "\U0001f600", ",", " "};
        std::string text;
        for (int pick : picks) text += parts[pick];
        return text;
      });
  EXPECT_TRUE(rc::check([&] {
    std::string text = *text_gen, needle = *text_gen;
    if (needle.size() > 6) needle.clear();
    // What is split and joined again is the same.
    Value parts = lab.call("split", {S(text), S(needle)});
    RC_ASSERT(lab.call("join", {parts, S(needle)}).str() == text);
    RC_ASSERT(lab.call("replace", {S(text), S(needle), S(needle)}).str() ==
              (needle.empty() ? std::string_view(text) : std::string_view(text)));
    RC_ASSERT(lab.call("reverse", {lab.call("reverse", {S(text)})}).str() == text);
    // Positions are consistent with substrings.
    int64_t size = lab.call("size", {S(text)}).i;
    int64_t first = lab.call("indexOf", {S(text), S(needle)}).i;
    int64_t last = lab.call("lastIndexOf", {S(text), S(needle)}).i;
    RC_ASSERT((first < 0) == (text.find(needle) == std::string::npos));
    RC_ASSERT((first < 0) == (last < 0));
    if (first >= 0) {
      int64_t length = lab.call("size", {S(needle)}).i;
      RC_ASSERT(lab.call("substring", {S(text), I(first), I(first + length)}).str() == needle);
      RC_ASSERT(lab.call("substring", {S(text), I(last), I(last + length)}).str() == needle);
      RC_ASSERT(lab.call("indexOf", {S(text), S(needle), I(last)}).i == last);
      RC_ASSERT(lab.call("lastIndexOf", {S(text), S(needle), I(first)}).i == first);
    }
    std::string rebuilt;
    for (int64_t i = 0; i < size; ++i) rebuilt += lab.call("charAt", {S(text), I(i)}).str();
    RC_ASSERT(rebuilt == text);
    lab.arena.reset();
  }));
}

TEST(LibStrings, OutputsAreBounded) {
  Lab lab;
  std::string large(600'000, 'a');
  EXPECT_EQ(lab.run("replace", {S(large), S("a"), S("bbb")}), "!limit");
  EXPECT_EQ(lab.run("split", {S(large), S("")}), "!limit");
  EXPECT_EQ(lab.run("join", {lab.list({S(large), S(large)})}), "!limit");
  EXPECT_EQ(lab.run("strings.quote", {S(std::string(600'000, '\n'))}), "!limit");
  lab.cost = 100;
  for (const char* function : {"lowerAscii", "trim", "reverse", "strings.quote"}) {
    EXPECT_EQ(lab.run(function, {S(large)}), "!limit") << function;
  }
}

}  // namespace
}  // namespace tamis::cel::lib
