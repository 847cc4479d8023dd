#include "cel/plan.h"

#include <gtest/gtest.h>

#include "cel/plan_test_kit.h"

namespace tamis::cel {
namespace {

using event::ErrorCode;
using event::Kind;
using event::MapEntry;
using Truth = Plan::Truth;

// Several expressions in one plan.
class PlanTest : public testing::Test {
 protected:
  NodeId add(std::string_view source, bool check = true) {
    Compiled compiled = compile(env_, source, check);
    EXPECT_TRUE(compiled.ok()) << source << ": " << (compiled.issues.empty() ? "" : compiled.issues[0].message);
    return compiled.ok() ? builder_.add(compiled) : kNoNode;
  }
  kit::Bench build() { return kit::Bench(builder_.build()); }

  // The value of one expression over the slots set by `set`, in words.
  template <class Set>
  std::string run(std::string_view source, Set set, bool check = true) {
    NodeId node = add(source, check);
    kit::Bench bench = build();
    set(bench);
    Value v = bench.eval(node);
    Truth t = bench.test(node);
    EXPECT_EQ(t, v.is_true() ? Truth::kTrue : v.is_false() ? Truth::kFalse : Truth::kError) << source;
    if (!v.is_error()) return event::debug_string(v);
    constexpr const char* kCodes[] = {"no_such_field", "no_such_overload", "overflow", "divide_by_zero",
                                      "invalid",       "out_of_range",     "limit",    "other"};
    return std::string("error ") + kCodes[static_cast<size_t>(v.error_data->code)];
  }
  std::string run(std::string_view source) {
    return run(source, [](kit::Bench&) {});
  }

  Env env_ = kit::make_env();
  PlanBuilder builder_;
};

TEST_F(PlanTest, ComparesSlotsWithConstants) {
  auto set = [](kit::Bench& f) {
    f[kit::kN] = Value::integer(5);
    f[kit::kX] = Value::real(0.5);
    f[kit::kU] = Value::uinteger(7);
    f[kit::kS] = Value::string("payment");
    f[kit::kB] = Value::boolean(true);
  };
  for (const char* yes : {"n == 5",
                          "n != 4",
                          "n < 6",
                          "n <= 5",
                          "n > 4",
                          "n >= 5",
                          "5 == n",
                          "6 > n",
                          "x > 0.25",
                          "x <= 0.5",
                          "u == 7u",
                          "u > 6u",
                          "s == 'payment'",
                          "s != 'login'",
                          "b",
                          "!(!b)",
                          "s < 'q'",
                          "n > 4.5",
                          "n < 5.5",
                          "s in ['a', 'payment']",
                          "n in [1, 5]",
                          "u in [7u]",
                          "n in [1, 2, 3, 4, 5, 6, 7]",
                          "s.contains('pay')",
                          "s.startsWith('pay')",
                          "s.endsWith('ment')",
                          "s.matches('^pay.*t$')",
                          "has(n)",
                          "!has(m)"}) {
    EXPECT_EQ(run(yes, set), "true") << yes;
  }
  for (const char* no : {"n == 4", "n != 5", "n > 5", "x < 0.5", "!b", "s == 'login'", "s in ['a', 'b']", "n in []",
                         "s.contains('login')", "s.matches('^ment')", "has(m)"}) {
    EXPECT_EQ(run(no, set), "false") << no;
  }
}

TEST_F(PlanTest, AbsentFieldsAreErrorsButForHas) {
  for (const char* source :
       {"n == 5", "n != 5", "s == 'a'", "s in ['a', 'b']", "s in ['a', 'b', 'c', 'd', 'e', 'f']", "!b", "b",
        "s.contains('a')", "n + 1 > 2", "n", "time > timestamp(0)", "attrs.a", "tags.exists(q, q == 'a')"}) {
    EXPECT_EQ(run(source), "error no_such_field") << source;
  }
  EXPECT_EQ(run("has(n) && n > 3"), "false");
  EXPECT_EQ(run("!has(n) || n > 3"), "true");
  EXPECT_EQ(run("has(ip.net24)"), "false");
}

TEST_F(PlanTest, ASlotOfAnUnexpectedKindIsNoCrash) {
  auto set = [](kit::Bench& f) {
    f[kit::kN] = Value::string("five");
    f[kit::kS] = Value::integer(5);
    f[kit::kB] = Value::null();
    f[kit::kTags] = Value::integer(1);
    f[kit::kX] = Value::integer(3);
  };
  EXPECT_EQ(run("n > 4", set), "error no_such_overload");
  EXPECT_EQ(run("n == 5", set), "false");
  EXPECT_EQ(run("n + 1", set), "error no_such_overload");
  EXPECT_EQ(run("s == 'a'", set), "false");
  EXPECT_EQ(run("s.contains('a')", set), "error no_such_overload");
  EXPECT_EQ(run("size(s) > 1", set), "error no_such_overload");
  EXPECT_EQ(run("b && n == 5", set), "false");
  EXPECT_EQ(run("b || n == 5", set), "error no_such_overload");
  EXPECT_EQ(run("tags.all(q, q == 'a')", set), "error no_such_overload");
  EXPECT_EQ(run("x > 2.5", set), "true");
}

TEST_F(PlanTest, LogicAbsorbsErrors) {
  EXPECT_EQ(run("1 / 0 == 1 || true"), "true");
  EXPECT_EQ(run("false && 1 / 0 == 1"), "false");
  EXPECT_EQ(run("1 / 0 == 1 && false"), "false");
  EXPECT_EQ(run("1 / 0 == 1 && true"), "error divide_by_zero");
  EXPECT_EQ(run("1 / 0 == 1 || false"), "error divide_by_zero");
  EXPECT_EQ(run("true ? 1 : 1 / 0"), "1");
  EXPECT_EQ(run("(1 / 0 == 1) ? 1 : 2"), "error divide_by_zero");
  EXPECT_EQ(run("[1, 0].all(i, 1 / i > 5)"), "false");
  EXPECT_EQ(run("[0, 1].exists(i, 1 / i == 1)"), "true");
  EXPECT_EQ(run("[0, 1].exists(i, 1 / i == 7)"), "error divide_by_zero");
  EXPECT_EQ(run("[0, 1].exists_one(i, 1 / i == 1)"), "error divide_by_zero");
}

TEST_F(PlanTest, MacrosRun) {
  auto set = [](kit::Bench& f) {
    static const Value kTags[] = {Value::string("new"), Value::string("vip")};
    static const Value kNums[] = {Value::integer(3), Value::integer(1), Value::integer(2)};
    f[kit::kTags] = Value::list(kTags);
    f[kit::kNums] = Value::list(kNums);
  };
  EXPECT_EQ(run("tags.exists(q, q == 'vip')", set), "true");
  EXPECT_EQ(run("nums.map(q, q * 2)", set), "[6, 2, 4]");
  EXPECT_EQ(run("nums.filter(q, q > 1)", set), "[3, 2]");
  EXPECT_EQ(run("nums.map(q, q > 1, q + 10)", set), "[13, 12]");
  EXPECT_EQ(run("nums.exists_one(q, q > 2)", set), "true");
  EXPECT_EQ(run("nums.all(q, tags.exists(r, size(r) == 3 && q > 0))", set), "true");
  EXPECT_EQ(run("nums.sortBy(q, -q)", set), "[3, 2, 1]");
  EXPECT_EQ(run("nums.transformList(i, q, i > 0, i * q)", set), "[1, 4]");
  EXPECT_EQ(run("nums.transformMap(i, q, q)[2]", set), "2");
  EXPECT_EQ(run("nums.transformMapEntry(i, q, {q: i})[3]", set), "0");
  EXPECT_EQ(run("nums.transformMapEntry(i, q, {'same': i})", set), "error invalid");
  EXPECT_EQ(run("{'a': 1, 'b': 2}.all(k, v, v > 0 && size(k) == 1)"), "true");
  EXPECT_EQ(run("cel.bind(q, nums[0] + 1, q * q)", set), "16");
  EXPECT_EQ(run("cel.bind(q, 1 / 0, true)"), "true");
  EXPECT_EQ(run("optional.of(3).optMap(q, q + 1).orValue(0)"), "4");
  EXPECT_EQ(run("optional.of(1).orValue(1 / 0)"), "1");
}

TEST_F(PlanTest, EqualExpressionsAreOneNode) {
  NodeId a = add("n > 3 && s == 'x'");
  EXPECT_EQ(add("s == 'x' && n > 3"), a);
  EXPECT_EQ(add("s == \"x\" && (3 < n && n > 3)"), a);
  EXPECT_NE(add("n > 3 && s == 'y'"), a);
  EXPECT_EQ(add("tags.exists(q, q == 'a')"), add("tags.exists(tag, tag == 'a')"));
  EXPECT_NE(add("n == 1"), add("n == 1.0"));
  EXPECT_NE(add("[1]"), add("[1u]"));
}

TEST_F(PlanTest, ConstantsAreFoldedAndTheirErrorsStay) {
  NodeId folded = add("n > 2 * 3 + 1");
  NodeId same = add("n > 7");
  NodeId broken = add("n > 1 / 0");
  NodeId joined = add("s == 'a' + 'b'");
  NodeId plain = add("s == 'ab'");
  EXPECT_EQ(folded, same);
  EXPECT_EQ(joined, plain);
  kit::Bench f = build();
  f[kit::kN] = Value::integer(8);
  EXPECT_EQ(f.test(folded), Truth::kTrue);
  Value v = f.eval(broken);
  ASSERT_TRUE(v.is_error());
  EXPECT_EQ(v.error_data->code, ErrorCode::kDivideByZero);
}

TEST_F(PlanTest, LetVariablesMeanTheirNode) {
  NodeId ratio = add("n / m");
  builder_.define(kit::kAny, ratio);
  NodeId large = add("any > 2 && nums.exists(q, q == any)");
  NodeId loop = add("nums.filter(q, q > 1)");
  builder_.define(kit::kX, loop);
  // The let variable has a loop of its own inside the loop that reads it.
  NodeId nested = add("nums.map(q, q * 10 + size(x))", false);
  NodeId present = add("has(any)");
  kit::Bench f = build();
  static const Value kNums[] = {Value::integer(1), Value::integer(3)};
  f[kit::kN] = Value::integer(9);
  f[kit::kM] = Value::integer(3);
  f[kit::kNums] = Value::list(kNums);
  EXPECT_EQ(f.test(large), Truth::kTrue);
  EXPECT_EQ(event::debug_string(f.eval(nested)), "[11, 31]");
  EXPECT_EQ(f.test(present), Truth::kTrue);
  EXPECT_EQ(f.plan().slots_read(large), (std::vector<int32_t>{kit::kN, kit::kM, kit::kNums}));
  f[kit::kM] = Value::absent();
  EXPECT_EQ(f.test(present), Truth::kFalse);
  f[kit::kM] = Value::integer(0);
  EXPECT_EQ(f.test(present), Truth::kError);
}

TEST_F(PlanTest, PredicatesAndConjunctsForTheIndex) {
  NodeId node = add("s.matches('a+') && n > 3 && !b && t == 'z' && n in [1, 2, 3] && size(s) > 2");
  NodeId negated = add("!(n > 3)");
  NodeId alone = add("b");
  add("t == 'a' || t == 'b' || t == 'c'");  // so that the texts of t are numbered
  kit::Bench f = build();
  std::vector<NodeId> parts = f.plan().conjuncts(node);
  ASSERT_EQ(parts.size(), 6u);
  std::vector<Predicate::Op> ops;
  for (NodeId part : parts) {
    if (auto p = f.plan().predicate(part)) ops.push_back(p->op);
  }
  using Op = Predicate::Op;
  EXPECT_EQ(ops, (std::vector<Op>{Op::kEq, Op::kGt, Op::kFalse, Op::kIn, Op::kMatches}));
  auto equality = f.plan().predicate(parts[0]);
  ASSERT_TRUE(equality.has_value());
  EXPECT_EQ(equality->slot, kit::kT);
  ASSERT_EQ(equality->constants.size(), 1u);
  EXPECT_EQ(equality->constants[0].str(), "z");
  EXPECT_EQ(f.plan().predicate(parts[3])->constants.size(), 3u);
  EXPECT_TRUE(f.plan().predicate(negated)->negated);
  EXPECT_EQ(f.plan().predicate(alone)->op, Op::kTrue);
  EXPECT_FALSE(f.plan().predicate(node).has_value());
  EXPECT_EQ(f.plan().text(parts[0]), "t == 'z'");
  EXPECT_LT(f.plan().cost(parts[0]), f.plan().cost(parts[5]));
  EXPECT_EQ(f.plan().type(node).kind, Type::Kind::kBool);
}

TEST_F(PlanTest, PresenceForTheIndex) {
  NodeId asks = add("has(s)"), denies = add("!has(s)"), reads = add("s == 'a'");
  kit::Bench f = build();
  EXPECT_EQ(f.plan().presence_slot(asks), kit::kS);
  EXPECT_EQ(f.plan().presence_slot(denies), std::nullopt);
  EXPECT_EQ(f.plan().presence_slot(reads), std::nullopt);
}

TEST_F(PlanTest, TextTestsForTheIndex) {
  using Op = Predicate::Op;
  std::vector<Plan> kept;  // constants are the plan's
  auto test_of = [&](const std::string& source) {
    NodeId node = add(source);
    kept.push_back(build().plan());
    return kept.back().text_test(node);
  };
  auto cases = [](const TextTest& test) {
    std::string text;
    for (const TextTest::Case& c : test.cases) text += std::to_string(static_cast<int>(c.op)) + std::string(c.constant);
    return text;
  };
  auto numbered = [](Op op) { return std::to_string(static_cast<int>(op)); };
  auto one = test_of("s.matches('^a')");
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->slot, kit::kS);
  EXPECT_FALSE(one->any);
  EXPECT_EQ(cases(*one), numbered(Op::kMatches) + "^a");

  auto call = test_of("s.lowerAscii().contains('a')");
  ASSERT_TRUE(call.has_value());
  EXPECT_EQ(call->slot, -1);
  EXPECT_NE(call->node, kNoNode);

  for (const char* source : {"'a' in tags", "tags.exists(t, t == 'a')", "tags.exists(t, 'a' == t && 10 / n > 1)"}) {
    auto list = test_of(source);
    ASSERT_TRUE(list.has_value()) << source;
    EXPECT_EQ(list->slot, kit::kTags) << source;
    EXPECT_TRUE(list->any) << source;
    EXPECT_EQ(cases(*list), numbered(Op::kEq) + "a") << source;
  }
  auto either = test_of("tags.exists(x, x.endsWith('a') || x in ['b', 'c'])");
  ASSERT_TRUE(either.has_value());
  EXPECT_EQ(either->cases.size(), 3u);

  for (const char* source :
       {"n == 1", "!('a' in tags)", "s != 'a'", "s.contains(t)", "s.contains('a') || b", "1 in nums",
        "s.contains('a') || t.contains('a')", "tags.exists(x, s.contains('a'))", "s in tags", "tags.all(x, x == 'a')",
        "tags.exists_one(x, x == 'a')", "tags.exists(x, x != 'a')", "tags.exists(x, tags.exists(y, x == 'a'))",
        "s.contains('a') || 'a' in tags"}) {
    EXPECT_FALSE(test_of(source).has_value()) << source;
  }
}

TEST_F(PlanTest, NumberedConstantsAgreeWithPlainOnes) {
  std::vector<NodeId> nodes;
  for (const char* source :
       {"s == 'a'", "s == 'b'", "s != 'a'", "s in ['a', 'c', 'd', 'e', 'f', 'g']", "any in [1, 2, 3, 4, 5]",
        "any in ['a', 2.0, b'x', null, true]", "any == 'a'", "any != 'q'"}) {
    nodes.push_back(add(source));
  }
  kit::Bench f = build();
  auto row = [&](Value s, Value any) {
    f[kit::kS] = s;
    f[kit::kAny] = any;
    std::string out;
    for (NodeId n : nodes) out += "FTE"[static_cast<int>(f.test(n))];
    return out;
  };
  EXPECT_EQ(row(Value::string("a"), Value::integer(2)), "TFFTTTFT");
  EXPECT_EQ(row(Value::string("b"), Value::real(2.0)), "FTTFTTFT");
  EXPECT_EQ(row(Value::string("z"), Value::string("a")), "FFTFFTTT");
  EXPECT_EQ(row(Value::integer(1), Value::null()), "FFTFFTFT");
  EXPECT_EQ(row(Value::absent(), Value::absent()), "EEEEEEEE");
  EXPECT_EQ(row(Value::string("f"), Value::bytes("x")), "FFTTFTFT");
}

TEST_F(PlanTest, ManyPatternsOfOneTextAgreeWithSingleOnes) {
  std::vector<std::string> sources;
  for (int i = 0; i < 40; ++i) {
    sources.push_back("s.contains('w" + std::to_string(i) + "')");
    sources.push_back("s.matches('w" + std::to_string(i) + "[a-f]+$')");
  }
  std::vector<NodeId> nodes;
  for (const std::string& source : sources) nodes.push_back(add(source));
  kit::Bench f = build();
  for (const char* text : {"", "w7", "w1 w12abc", "W12abc", "nothing here", "w39f"}) {
    f[kit::kS] = Value::string(text);
    f.begin();
    for (size_t i = 0; i < nodes.size(); ++i) {
      Env env = kit::make_env();
      PlanBuilder alone;
      Compiled compiled = compile(env, sources[i]);
      NodeId node = alone.add(compiled);
      kit::Bench single(alone.build());
      single[kit::kS] = Value::string(text);
      EXPECT_EQ(f.plan().test(nodes[i], f.frame()), single.test(node)) << sources[i] << " of " << text;
    }
  }
  f[kit::kS] = Value::integer(1);
  f.begin();
  for (NodeId n : nodes) EXPECT_EQ(f.plan().test(n, f.frame()), Truth::kError);
}

TEST_F(PlanTest, SharedNodesAreComputedOncePerEvent) {
  NodeId first = add("nums.map(q, q * 2).exists(q, q > n)");
  NodeId second = add("nums.map(q, q * 2).exists(q, q > n) || b");
  kit::Bench f = build();
  static const Value kNums[] = {Value::integer(4)};
  f[kit::kNums] = Value::list(kNums);
  f[kit::kN] = Value::integer(7);
  f[kit::kB] = Value::boolean(false);
  f.begin();
  EXPECT_EQ(f.plan().test(first, f.frame()), Truth::kTrue);
  size_t used = f.arena().used_bytes();
  EXPECT_EQ(f.plan().test(second, f.frame()), Truth::kTrue);
  EXPECT_EQ(f.arena().used_bytes(), used);
  f[kit::kN] = Value::integer(8);
  EXPECT_EQ(f.test(second), Truth::kFalse);
}

TEST_F(PlanTest, CostIsBounded) {
  std::string source = "nums";
  for (int i = 0; i < 12; ++i) source = "nums.map(a" + std::to_string(i) + ", " + source + ")";
  NodeId nested = add("size(" + source + ") > 0");
  std::string doubled = "s";
  for (int i = 0; i < 40; ++i) doubled = "cel.bind(v, " + doubled + ", v + v)";
  NodeId text = add("size(" + doubled + ") > 0");
  NodeId cheap = add("n > 1");
  kit::Bench f = build();
  std::vector<Value> nums(100, Value::integer(1));
  f[kit::kNums] = Value::list(nums);
  f[kit::kS] = Value::string("0123456789abcdef");
  f[kit::kN] = Value::integer(2);
  for (NodeId n : {nested, text}) {
    Value v = f.eval(n);
    ASSERT_TRUE(v.is_error());
    EXPECT_EQ(v.error_data->code, ErrorCode::kLimit);
    EXPECT_EQ(f.test(n), Truth::kError);
  }
  EXPECT_LT(f.arena().reserved_bytes(), size_t{64} << 20);
  EXPECT_EQ(f.test(cheap), Truth::kTrue);
}

TEST_F(PlanTest, AChainOfLetVariablesIsNoStackOverflow) {
  NodeId last = add("n + 1");
  for (int i = 0; i < 5'000; ++i) {
    builder_.define(kit::kM, last);
    last = add("m + 1");
  }
  kit::Bench f = build();
  f[kit::kN] = Value::integer(0);
  Value v = f.eval(last);
  ASSERT_TRUE(v.is_error());
  EXPECT_EQ(v.error_data->code, ErrorCode::kLimit);
}

TEST_F(PlanTest, AFrameRunsManyEvents) {
  NodeId node = add("s in ['a', 'b', 'c', 'd', 'e'] && n > 3");
  kit::Bench f = build();
  for (int i = 0; i < 1000; ++i) {
    f[kit::kS] = Value::string(i % 2 == 0 ? "a" : "z");
    f[kit::kN] = Value::integer(i);
    EXPECT_EQ(f.test(node), i % 2 == 0 && i > 3 ? Truth::kTrue : Truth::kFalse);
  }
}

}  // namespace
}  // namespace tamis::cel
