#include "engine/rule_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <span>
#include <string>

#include "cel/plan.h"

namespace tamis::engine {
namespace {

using event::Type;
using event::Value;

// Seven fields of different types, in slots 0 to 6.
cel::Env test_env() {
  cel::Env env(cel::Dialect::kTamis);
  env.add_variable({"n", Type::integer(), 0, {}});
  env.add_variable({"x", Type::real(), 1, {}});
  env.add_variable({"s", Type::string(), 2, {}});
  env.add_variable({"b", Type::boolean(), 3, {}});
  env.add_variable({"d", Type::dyn(), 4, {}});
  env.add_variable({"l", Type::list(Type::string()), 5, {}});
  env.add_variable({"e", Type::dyn(), 6, {}});  // mostly a list, of anything
  return env;
}

struct Rules {
  cel::Plan plan;
  std::vector<RuleIndex::Condition> conditions;
};

Rules compile(const std::vector<std::string>& sources) {
  cel::Env env = test_env();
  cel::PlanBuilder builder;
  Rules rules;
  for (const std::string& source : sources) {
    cel::Compiled compiled = cel::compile(env, source);
    EXPECT_TRUE(compiled.ok()) << source << ": " << (compiled.issues.empty() ? "" : compiled.issues[0].message);
    if (compiled.ok()) {
      rules.conditions.push_back({static_cast<uint32_t>(rules.conditions.size()), builder.add(compiled)});
    }
  }
  rules.plan = builder.build();
  return rules;
}

RuleIndex::Outcome match(RuleIndex& index, const cel::Plan& plan, std::span<const Value> slots) {
  cel::Frame frame(plan);
  base::Arena arena;
  // No condition reaches this bound: each part of a || has it by itself in the index, and all together without.
  frame.begin(slots.data(), arena, nullptr, 1'000'000'000);
  RuleIndex::Outcome outcome;
  index.match(slots, frame, outcome);
  return outcome;
}

std::string number(const char* const (&choices)[5]) { return choices[*rc::gen::inRange(0, 5)]; }

std::string atom() {
  static constexpr const char* kInts[5] = {"0", "1", "5", "-3", "9223372036854775807"};
  static constexpr const char* kDoubles[5] = {"0.0", "0.5", "1.0", "-2.25", "1e300"};
  static constexpr const char* kStrings[5] = {"'a'", "'b'", "'abc'", "''", "'zz'"};
  static constexpr const char* kCompare[6] = {" == ", " != ", " < ", " <= ", " > ", " >= "};
  std::string op = kCompare[*rc::gen::inRange(0, 6)];
  switch (*rc::gen::inRange(0, 12)) {
    case 0:
      return "n" + op + number(kInts);
    case 1:
      return "x" + op + number(kDoubles);
    case 2:
      return "s" + op + number(kStrings);
    case 3:
      return "b";
    case 4:
      return "!b";
    case 5:
      return "n in [" + number(kInts) + ", " + number(kInts) + "]";
    case 6:
      return "s in [" + number(kStrings) + ", " + number(kStrings) + ", " + number(kStrings) + "]";
    case 7:
      return "s.contains(" + number(kStrings) + ")";
    case 8:
      return "d == " + number(kInts);
    case 9:
      return "d == " + number(kStrings);
    case 10:
      return "!(n" + op + number(kInts) + ")";
    default:
      return "10 / n" + op + number(kInts);
  }
}

std::string quoted() {
  static constexpr const char* kStrings[5] = {"'a'", "'b'", "'abc'", "''", "'zz'"};
  return number(kStrings);
}

// A test of the text that `of` gives.
std::string text_test(const std::string& of) {
  static constexpr const char* kPatterns[5] = {"'^a'", "'b.*c'", "'(?i)Z+'", "'[a-z]$'", "'k|other'"};
  switch (*rc::gen::inRange(0, 7)) {
    case 0:
      return of + " == " + quoted();
    case 1:
      return of + " in [" + quoted() + ", " + quoted() + "]";
    case 2:
      return of + ".contains(" + quoted() + ")";
    case 3:
      return of + ".startsWith(" + quoted() + ")";
    case 4:
      return of + ".endsWith(" + quoted() + ")";
    case 5:
      return of + ".matches(" + number(kPatterns) + ")";
    default:
      return of + " != " + quoted();
  }
}

// What a gate can be made of, and what only looks like it: about one text, or about those of a list.
std::string text_atom() {
  static constexpr const char* kTexts[5] = {"s", "d", "s.lowerAscii()", "d.lowerAscii()", "s"};
  static constexpr const char* kFields[5] = {"s", "d", "l", "e", "n"};
  static constexpr const char* kLists[5] = {"l", "l", "e", "s.split('b')", "l.map(t, t + 'c')"};
  std::string list = number(kLists);
  switch (*rc::gen::inRange(0, 10)) {
    case 0:
    case 1:
      return text_test(number(kTexts));
    case 2:
      return "(" + text_test("s") + " || " + text_test("s") + ")";
    case 3:
      return quoted() + " in " + list;
    case 4:
      return list + ".exists(t, " + text_test("t") + ")";
    case 5:
      return list + ".exists(t, " + text_test("t") + " && " + text_test("t") + " && 10 / n > 1)";
    case 6:
      return list + ".exists(t, " + text_test("t") + " || " + text_test("t") + ")";
    case 7:
      return list + ".exists(t, " + list + ".exists(u, " + text_test(*rc::gen::arbitrary<bool>() ? "t" : "u") + "))";
    case 8:
      return std::string("has(") + number(kFields) + ")";
    default:
      return "!(" + quoted() + " in " + list + ")";
  }
}

std::string condition(int depth) {
  int shape = depth == 0 ? 0 : *rc::gen::inRange(0, 4);
  if (shape <= 1) return *rc::gen::arbitrary<bool>() ? atom() : text_atom();
  std::string joined = shape == 2 ? " && " : " || ";
  std::string text = "(" + condition(depth - 1);
  for (int i = *rc::gen::inRange(1, 4); i > 0; --i) text += joined + condition(depth - 1);
  return text + ")";
}

// The lists, of elements that live as long as the program.
Value text_list(bool of_anything) {
  static const Value kTexts[] = {Value::string("a"), Value::string("abc"), Value::string("zz"), Value::string("Zz"),
                                 Value::string("b")};
  static const Value kMixed[] = {Value::string("a"), Value::integer(1), Value::string("b")};
  static const std::vector<Value> kMany(cel::TextTest::kTextsMax + 1, Value::string("abc"));
  if (of_anything && *rc::gen::arbitrary<bool>()) return Value::list(kMixed);
  if (*rc::gen::inRange(0, 8) == 0) return Value::list(kMany);
  size_t from = *rc::gen::inRange<size_t>(0, 5);
  return Value::list(std::span(kTexts).subspan(from, *rc::gen::inRange<size_t>(0, 6 - from)));
}

std::vector<Value> event_slots() {
  static constexpr const char* kTexts[5] = {"a", "b", "abc", "", "Other \xe2\x84\xaa"};
  std::vector<Value> slots(7);
  auto maybe = [](Value v) { return *rc::gen::inRange(0, 6) == 0 ? Value::absent() : v; };
  slots[0] = maybe(Value::integer(*rc::gen::element<int64_t>(0, 1, 2, 5, -3, INT64_MAX, INT64_MIN)));
  slots[1] = maybe(Value::real(*rc::gen::element(0.0, 0.5, 0.75, 1.0, -2.25, 1e300, std::nan(""))));
  slots[2] = maybe(Value::string(kTexts[*rc::gen::inRange(0, 5)]));
  slots[3] = maybe(Value::boolean(*rc::gen::arbitrary<bool>()));
  slots[4] = *rc::gen::element(Value::absent(), Value::integer(1), Value::string("abc"), Value::real(5.0));
  slots[5] = maybe(text_list(false));
  slots[6] = maybe(*rc::gen::inRange(0, 5) == 0 ? Value::string("abc") : text_list(true));
  return slots;
}

RC_GTEST_PROP(RuleIndex, AgreesWithEvaluatingEveryRule, ()) {
  std::vector<std::string> sources;
  for (int i = *rc::gen::inRange(1, 40); i > 0; --i) sources.push_back(condition(2));
  Rules rules = compile(sources);
  // Gates are made for many rules; here they must be right for few as well.
  RuleIndex indexed(rules.plan, rules.conditions, true, *rc::gen::element<size_t>(1, 2, 5, RuleIndex::kGateMin));
  RuleIndex plain(rules.plan, rules.conditions, false);
  for (int i = 0; i < 20; ++i) {
    std::vector<Value> slots = event_slots();
    RuleIndex::Outcome a = match(indexed, rules.plan, slots), b = match(plain, rules.plan, slots);
    if (a.matched != b.matched || a.errors != b.errors) {
      std::string text;
      for (const std::string& source : sources) text += source + "\n";
      for (Value v : slots) text += event::debug_string(v) + " ";
      RC_FAIL(text);
    }
  }
}

TEST(RuleIndex, ReachesSelectiveEqualitiesByHash) {
  std::vector<std::string> sources;
  for (int i = 0; i < 1000; ++i) sources.push_back("s == 'user" + std::to_string(i) + "' && n > " + std::to_string(i));
  sources.push_back("n > 5");
  Rules rules = compile(sources);
  RuleIndex index(rules.plan, rules.conditions);
  EXPECT_EQ(index.stats().by_access, 1000u);
  EXPECT_EQ(index.stats().by_class, 1u);
  std::vector<Value> slots(7);
  slots[0] = Value::integer(400);
  slots[2] = Value::string("user321");
  RuleIndex::Outcome outcome = match(index, rules.plan, slots);
  EXPECT_EQ(outcome.matched, (std::vector<uint32_t>{321, 1000}));
  EXPECT_LE(outcome.evaluated, 2u);
  slots[2] = Value::string("user500");
  EXPECT_EQ(match(index, rules.plan, slots).matched, (std::vector<uint32_t>{1000}));
}

TEST(RuleIndex, CheapTestsDecideWithoutEvaluation) {
  std::vector<std::string> sources;
  for (int i = 0; i < 200; ++i) {
    sources.push_back("n > " + std::to_string(i * 10) + " && x < 0.5 && !b && s.matches('a" + std::to_string(i) + "')");
  }
  Rules rules = compile(sources);
  RuleIndex index(rules.plan, rules.conditions);
  std::vector<Value> slots = {
      Value::integer(55), Value::real(0.25), Value::string("a3"), Value::boolean(false), {}, {}, {}};
  RuleIndex::Outcome outcome = match(index, rules.plan, slots);
  EXPECT_EQ(outcome.evaluated, 6u);
  EXPECT_EQ(outcome.matched, (std::vector<uint32_t>{3}));
}

TEST(RuleIndex, ManyRulesAboutTextsAreRuledOutTogether) {
  const std::pair<std::string, size_t> kShapes[] = {
      {"'d# .example' in l && n > 1", 1},
      {"n > 1 && l.exists(t, t == 'd# .example')", 1},
      {"l.exists(t, t.endsWith('d# .example') && t.startsWith('d'))", 1},
      {"has(s) && s.matches('(?i)@D# \\\\.example$')", 1},
      {"s.contains('@d# .') || s.startsWith('# ')", 4},  // "21 " is in the text, though not at its beginning
      {"has(s) && s.lowerAscii().contains('@d# ')", 1},
  };
  Value texts[] = {Value::string("other.example"), Value::string("d321 .example")};
  std::vector<Value> slots(7);
  slots[0] = Value::integer(400);
  slots[2] = Value::string("Joe@D321 .example");
  slots[5] = Value::list(texts);
  for (const auto& [shape, most] : kShapes) {
    std::vector<std::string> sources;
    for (int i = 0; i < 1000; ++i) {
      std::string source = shape;
      for (size_t at = source.find('#'); at != std::string::npos; at = source.find('#')) {
        source.replace(at, 1, std::to_string(i));
      }
      sources.push_back(source);
    }
    Rules rules = compile(sources);
    RuleIndex index(rules.plan, rules.conditions);
    EXPECT_EQ(index.stats().gates, 1u) << shape;
    slots[2] = Value::string(shape.starts_with("s.") ? "joe@d321 .example" : "Joe@D321 .example");
    RuleIndex::Outcome outcome = match(index, rules.plan, slots);
    EXPECT_EQ(outcome.matched, (std::vector<uint32_t>{321})) << shape;
    EXPECT_LE(outcome.evaluated, most) << shape;
  }
}

TEST(RuleIndex, RulesThatAskForAnAbsentFieldAreRuledOutTogether) {
  std::vector<std::string> sources;
  for (int i = 0; i < 1000; ++i) sources.push_back("has(s) && s.contains('d" + std::to_string(i) + " ')");
  sources.push_back("!has(s)");
  Rules rules = compile(sources);
  RuleIndex index(rules.plan, rules.conditions);
  std::vector<Value> slots(7);
  RuleIndex::Outcome outcome = match(index, rules.plan, slots);
  EXPECT_EQ(outcome.matched, (std::vector<uint32_t>{1000}));
  EXPECT_TRUE(outcome.errors.empty());
  EXPECT_EQ(outcome.evaluated, 1u);
  slots[2] = Value::string("d77 and");
  EXPECT_EQ(match(index, rules.plan, slots).matched, (std::vector<uint32_t>{77}));
}

// What must be said of a rule whose text is not there does not depend on how many rules there are.
TEST(RuleIndex, GatesKeepErrors) {
  std::vector<std::string> sources;
  for (int i = 0; i < 100; ++i) sources.push_back("'d" + std::to_string(i) + "' in l && n > " + std::to_string(i));
  Rules rules = compile(sources);
  RuleIndex index(rules.plan, rules.conditions);
  EXPECT_EQ(index.stats().gates, 1u);
  std::vector<Value> slots(7);
  slots[0] = Value::integer(80);
  RuleIndex::Outcome outcome = match(index, rules.plan, slots);
  EXPECT_TRUE(outcome.matched.empty());
  EXPECT_EQ(outcome.errors.size(), 80u);
  slots[5] = Value::list({});
  outcome = match(index, rules.plan, slots);
  EXPECT_TRUE(outcome.matched.empty());
  EXPECT_TRUE(outcome.errors.empty());
}

}  // namespace
}  // namespace tamis::engine
