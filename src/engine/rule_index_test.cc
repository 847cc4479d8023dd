#include "engine/rule_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "cel/plan.h"

namespace tamis::engine {
namespace {

using event::Type;
using event::Value;

// Five fields of different types, in slots 0 to 4.
cel::Env test_env() {
  cel::Env env(cel::Dialect::kTamis);
  env.add_variable({"n", Type::integer(), 0, {}});
  env.add_variable({"x", Type::real(), 1, {}});
  env.add_variable({"s", Type::string(), 2, {}});
  env.add_variable({"b", Type::boolean(), 3, {}});
  env.add_variable({"d", Type::dyn(), 4, {}});
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
  frame.begin(slots.data(), arena, nullptr);
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

std::string condition(int depth) {
  int shape = depth == 0 ? 0 : *rc::gen::inRange(0, 4);
  if (shape <= 1) return atom();
  std::string joined = shape == 2 ? " && " : " || ";
  std::string text = "(" + condition(depth - 1);
  for (int i = *rc::gen::inRange(1, 4); i > 0; --i) text += joined + condition(depth - 1);
  return text + ")";
}

std::vector<Value> event_slots() {
  static constexpr const char* kTexts[5] = {"a", "b", "abc", "", "other"};
  std::vector<Value> slots(5);
  auto maybe = [](Value v) { return *rc::gen::inRange(0, 6) == 0 ? Value::absent() : v; };
  slots[0] = maybe(Value::integer(*rc::gen::element<int64_t>(0, 1, 2, 5, -3, INT64_MAX, INT64_MIN)));
  slots[1] = maybe(Value::real(*rc::gen::element(0.0, 0.5, 0.75, 1.0, -2.25, 1e300, std::nan(""))));
  slots[2] = maybe(Value::string(kTexts[*rc::gen::inRange(0, 5)]));
  slots[3] = maybe(Value::boolean(*rc::gen::arbitrary<bool>()));
  slots[4] = *rc::gen::element(Value::absent(), Value::integer(1), Value::string("abc"), Value::real(5.0));
  return slots;
}

RC_GTEST_PROP(RuleIndex, AgreesWithEvaluatingEveryRule, ()) {
  std::vector<std::string> sources;
  for (int i = *rc::gen::inRange(1, 40); i > 0; --i) sources.push_back(condition(2));
  Rules rules = compile(sources);
  RuleIndex indexed(rules.plan, rules.conditions);
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
  std::vector<Value> slots(5);
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
  std::vector<Value> slots = {Value::integer(55), Value::real(0.25), Value::string("a3"), Value::boolean(false), {}};
  RuleIndex::Outcome outcome = match(index, rules.plan, slots);
  EXPECT_EQ(outcome.evaluated, 6u);
  EXPECT_EQ(outcome.matched, (std::vector<uint32_t>{3}));
}

}  // namespace
}  // namespace tamis::engine
