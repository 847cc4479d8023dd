#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "cel/tree_text.h"

namespace tamis::cel {
namespace {

const Env& strict() {
  static const Env* const env = new Env(Dialect::kStrict);
  return *env;
}

std::string tree(std::string_view source, const Env& env = strict()) {
  Compiled c = parse(env, source);
  if (!c.ok()) return c.issues.empty() ? "no root" : "issue: " + c.issues[0].message;
  return tree_text(*c.ast.root);
}

struct TreeCase {
  const char* source;
  const char* tree;
};

TEST(Parser, GroupsByPrecedence) {
  for (auto [source, expected] : std::vector<TreeCase>{
           {"1 + 2 * 3 - 4", "(_-_ (_+_ 1 (_*_ 2 3)) 4)"},
           {"a == b && c < d || e", "(_||_ (_&&_ (_==_ a b) (_<_ c d)) e)"},
           {"a ? b : c ? d : e", "(_?_:_ a b (_?_:_ c d e))"},
           {"(a ? b : c) ? d : e", "(_?_:_ (_?_:_ a b c) d e)"},
           {"1 < 2 == true", "(_==_ (_<_ 1 2) true)"},
           {"x in [1] == y", "(_==_ (@in x (list 1)) y)"},
           {"a || b || c || d", "(_||_ (_||_ a b) (_||_ c d))"},
           {"a && b && c", "(_&&_ (_&&_ a b) c)"},
           {"!!a", "(!_ (!_ a))"},
           {"--a", "(-_ (-_ a))"},
           {"-a.b", "(-_ (.`b` a))"},
           {"-5.abs()", "(m:abs -5)"},
           {"- 5", "-5"},
           {"1 -5", "(_-_ 1 5)"},
           {"1 - -5", "(_-_ 1 -5)"},
           {"--5", "(-_ -5)"},
           {"-(5)", "(-_ 5)"},
           {"a[0].b(1, 2)[c]", "(_[_] (m:b (_[_] a 0) 1 2) c)"},
           {"a.?b[?c].d", "(.`d` (_[?_] (.?`b` a) c))"},
           {"[?a, b, ?c,]", "(list ?a b ?c)"},
           {"{?a: b, c: d,}", "(map ?a b c d)"},
           {"[,]", "(list)"},
           {"{,}", "(map)"},
           {"{}.a", "(.`a` (map))"},
           {"m.`a-b/c d.e`", "(.`a-b/c d.e` m)"},
           {"m.package.as()", "(m:as (.`package` m))"},
           {".a.b(c)", "(m:b .a c)"},
           {".f(c)", "(.f c)"},
           {"a.B{c: 1, `d-e`: 2}", "(struct a.B c d-e 1 2)"},
           {".A{}", "(struct .A)"},
           {"24.f()", "(m:f 24)"},
           {"a // comment\n + b // end", "(_+_ a b)"},
           {"\t\f\r\n a", "a"},
       }) {
    EXPECT_EQ(tree(source), expected) << source;
  }
}

TEST(Parser, RecognisesMacros) {
  for (auto [source, expected] : std::vector<TreeCase>{
           {"has(a.b)", "(has`b` a)"},
           {"has(a[0].`b-c`)", "(has`b-c` (_[_] a 0))"},
           {"l.all(x, p)", "(#all x l p)"},
           {"l.exists(i, v, p)", "(#exists i v l p)"},
           {"l.exists_one(x, p)", "(#exists_one x l p)"},
           {"l.existsOne(x, p)", "(#exists_one x l p)"},
           {"l.existsOne(i, v, p)", "(#existsOne i v l p)"},
           {"l.map(x, t)", "(#map x l t)"},
           {"l.map(x, p, t)", "(#map x l p t)"},
           {"l.filter(x, p)", "(#filter x l p)"},
           {"l.transformList(i, v, t)", "(#transformList i v l t)"},
           {"l.transformList(i, v, p, t)", "(#transformList i v l p t)"},
           {"l.transformMap(i, v, p, t)", "(#transformMap i v l p t)"},
           {"l.transformMapEntry(i, v, {v: i})", "(#transformMapEntry i v l (map v i))"},
           {"l.sortBy(x, k)", "(#sortBy x l k)"},
           {"o.optMap(x, t)", "(#optMap x o t)"},
           {"o.optFlatMap(x, t)", "(#optFlatMap x o t)"},
           {"cel.bind(x, 1, x + x)", "(#cel.bind x 1 (_+_ x x))"},
           {"cel.block([a, cel.index(0)], cel.index(1))",
            "(#cel.bind @index:0 a (#cel.bind @index:1 @index:0 @index:1))"},
           {"l.map(cel.iterVar(0, 1), cel.iterVar(0, 1))", "(#map @iter:0, 1 l @iter:0, 1)"},
           {"cel.block([], a)", "a"},
           // Not macros: other arguments, other receivers.
           {"l.map(x)", "(m:map l x)"},
           {"map(l, x)", "(map l x)"},
           {"a.has(b.c)", "(m:has a (.`c` b))"},
           {"cell.bind(x, 1, x)", "(m:bind cell x 1 x)"},
           {".cel.bind(x, 1, x)", "(m:bind .cel x 1 x)"},
       }) {
    EXPECT_EQ(tree(source), expected) << source;
  }
  Env off(Dialect::kStrict);
  off.enable_macros(false);
  EXPECT_EQ(tree("has(a.b)", off), "(has (.`b` a))");
  EXPECT_EQ(tree("l.all(x, p)", off), "(m:all l x p)");
  Env ours(Dialect::kTamis);
  EXPECT_EQ(tree("has(a)", ours), "has:a");
  EXPECT_EQ(tree("cel.index(0)", ours), "(m:index cel 0)");
}

TEST(Parser, BindOfADeclaredVariableStaysAMethodOnlyIfThereIsOne) {
  Env env(Dialect::kStrict);
  env.add_variable({"cel", Type::string(), 0, {}});
  EXPECT_EQ(tree("cel.bind(x, 1, x)", env), "(#cel.bind x 1 x)");
  Overload bind;
  bind.id = "string_bind";
  bind.function = "bind";
  bind.member = true;
  bind.params = {Type::string(), Type::dyn(), Type::dyn(), Type::dyn()};
  env.add_overload(bind);
  EXPECT_EQ(tree("cel.bind(x, 1, x)", env), "(m:bind cel x 1 x)");
}

struct ErrorCase {
  const char* source;
  uint32_t begin, end;
  const char* message;
};

TEST(Parser, SaysWhatIsWrongAndWhere) {
  for (const ErrorCase& c : std::vector<ErrorCase>{
           {"", 0, 0, "the expression ends too early; expected an expression"},
           {"1 +", 3, 3, "the expression ends too early; expected an expression"},
           {"a b", 2, 3, "unexpected `b`; expected an operator or the end of the expression"},
           {"f(a", 3, 3, "the expression ends too early; expected `,` or `)`"},
           {"f(a,)", 4, 5, "unexpected `)`; expected an expression"},
           {"[1 2]", 3, 4, "unexpected `2`; expected `,` or `]`"},
           {"{1}", 2, 3, "unexpected `}`; expected `:`"},
           {"[,1]", 1, 2, "unexpected `,`; expected an expression"},
           {"a.1", 1, 3, "unexpected `.1`; expected an operator or the end of the expression"},
           {"a.true", 2, 6, "unexpected `true`; expected the name of a field or method"},
           {"while", 0, 5, "unexpected `while`; expected a name"},
           {"package()", 0, 7, "unexpected `package`; expected a name"},
           {"!-a", 1, 2, "unexpected `-`; expected an expression"},
           {"a = b", 2, 3, "unexpected character `=`"},
           {"a & b", 2, 3, "unexpected character `&`"},
           {"a € b", 2, 5, "unexpected character `€`"},
           {"'abc", 0, 4, "this text has no end: expected a closing '"},
           {"'a\nb'", 0, 2, "this text has no end: expected a closing '"},
           {"'''abc''", 0, 8, "this text has no end: expected a closing '''"},
           {"m.`a", 2, 4,
            "a field in back-quotes consists of letters, digits and _ . - / and spaces, and ends with a "
            "back-quote"},
           {"a ? b ? c : d : e", 6, 7, "unexpected `?`; expected `:`"},
           {"9223372036854775808", 0, 19, "an int lies between -9223372036854775808 and 9223372036854775807"},
           {"1 + -9223372036854775809", 4, 24, "an int lies between -9223372036854775808 and 9223372036854775807"},
           {"18446744073709551616u", 0, 21, "a uint lies between 0 and 18446744073709551615"},
           {"1e999", 0, 5, "a double lies between -1.8e308 and 1.8e308"},
           {"'a\\qb'", 2, 4,
            "unknown escape; known are \\\\ \\? \\\" \\' \\` \\a \\b \\f \\n \\r \\t \\v \\xHH \\uHHHH "
            "\\UHHHHHHHH \\OOO"},
           {"'\\ud83d'", 1, 3, "a surrogate is no code point"},
           {"'\\U00110000'", 1, 3, "code points end at \\U0010FFFF"},
           {"b'\\u0041'", 2, 4, "\\u and \\U stand in strings only; bytes take \\x and three octal digits"},
           {"'\\400'", 1, 3,
            "unknown escape; known are \\\\ \\? \\\" \\' \\` \\a \\b \\f \\n \\r \\t \\v \\xHH \\uHHHH "
            "\\UHHHHHHHH \\OOO"},
           {"has(a)", 4, 5, "has() takes a selection, as in has(a.b)"},
           {"has(a.?b)", 4, 8, "has() takes a selection, as in has(a.b)"},
           {"has(a['b'])", 4, 10, "has() takes a selection, as in has(a.b)"},
           {"l.all(x.y, true)", 6, 9, "a variable of `all` must be a simple name"},
           {"l.all(.x, true)", 6, 8, "a variable of `all` must be a simple name"},
           {"l.all(x, x, true)", 9, 10, "both variables of `all` are named `x`"},
           {"cel.bind(1, 2, 3)", 9, 10, "a variable of `cel.bind` must be a simple name"},
       }) {
    Compiled got = parse(strict(), c.source);
    EXPECT_EQ(got.ast.root, nullptr) << c.source;
    ASSERT_EQ(got.issues.size(), 1u) << c.source;
    EXPECT_EQ(got.issues[0].message, c.message) << c.source;
    EXPECT_EQ(got.issues[0].begin, c.begin) << c.source;
    EXPECT_EQ(got.issues[0].end, c.end) << c.source;
  }
}

TEST(Parser, TellsSeveralWrongLiteralsAtOnce) {
  Compiled got = parse(strict(), "9223372036854775808 + size('\\q') + 1e999");
  EXPECT_EQ(got.ast.root, nullptr);
  EXPECT_EQ(got.issues.size(), 3u);
}

TEST(Parser, RefusesSourceThatIsNotUtf8) {
  for (const char* bad : {"'\xff'", "'\xc0\x80'", "'\xed\xa0\x80'", "'\xf4\x90\x80\x80'", "'\xe2\x82'"}) {
    Compiled got = parse(strict(), bad);
    ASSERT_EQ(got.issues.size(), 1u) << bad;
    EXPECT_EQ(got.issues[0].begin, 1u);
  }
  EXPECT_TRUE(parse(strict(), "'\xf0\x9f\x90\xb1'").ok());
}

Value constant(std::string_view source, std::string* kept = nullptr) {
  Compiled c = parse(strict(), source);
  if (!c.ok() || c.ast.root->kind != ExprKind::kConst) return Value::absent();
  if (kept != nullptr) *kept = c.ast.root->constant.str();
  return c.ast.root->constant;
}

TEST(Parser, ReadsNumbers) {
  EXPECT_EQ(constant("-9223372036854775808").i, INT64_MIN);
  EXPECT_EQ(constant("9223372036854775807").i, INT64_MAX);
  EXPECT_EQ(constant("-0x8000000000000000").i, INT64_MIN);
  EXPECT_EQ(constant("0xfF").i, 255);
  EXPECT_EQ(constant("0xffu").u, 255u);
  EXPECT_EQ(constant("18446744073709551615U").u, UINT64_MAX);
  EXPECT_EQ(constant("1u").kind, event::Kind::kUint);
  EXPECT_EQ(constant(".5").d, 0.5);
  EXPECT_EQ(constant("-2.3e+1").d, -23.0);
  EXPECT_EQ(constant("1e3").d, 1000.0);
  EXPECT_EQ(constant("1e-400").d, 0.0);
  EXPECT_TRUE(std::signbit(constant("-0.0").d));
  EXPECT_EQ(constant("1e-400").kind, event::Kind::kDouble);
}

TEST(Parser, ReadsTexts) {
  struct TextCase {
    const char* source;
    std::string text;
    event::Kind kind;
  };
  using event::Kind;
  for (const TextCase& c : std::vector<TextCase>{
           {"''", "", Kind::kString},
           {"'''x''x'''", "x''x", Kind::kString},
           {"\"\"\"a\nb\"\"\"", "a\nb", Kind::kString},
           {"r'\\n'", "\\n", Kind::kString},
           {"R'''\\'''", "\\", Kind::kString},
           {"b'abc'", "abc", Kind::kBytes},
           {"b'ÿ'", "\xc3\xbf", Kind::kBytes},
           {"b'\\377\\xff'", "\xff\xff", Kind::kBytes},
           {"'\\377\\xff'", "ÿÿ", Kind::kString},
           {"bR'\\x'", "\\x", Kind::kBytes},
           {"Br\"\"\"\\x\"\"\"", "\\x", Kind::kBytes},
           {"'\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\\"\\'\\`'", "\a\b\f\n\r\t\v\\?\"'`", Kind::kString},
           {"'\\u00e9\\U0001f431'", "é🐱", Kind::kString},
           {"'\\000'", std::string(1, '\0'), Kind::kString},
           {"'a\\''", "a'", Kind::kString},
       }) {
    std::string kept;
    EXPECT_EQ(constant(c.source, &kept).kind, c.kind) << c.source;
    Compiled parsed = parse(strict(), c.source);
    ASSERT_TRUE(parsed.ok()) << c.source;
    EXPECT_EQ(parsed.ast.root->constant.str(), c.text) << c.source;
  }
}

TEST(Parser, KeepsByteRanges) {
  Compiled c = parse(strict(), " aa + (b.c)[ 1 ] ");
  ASSERT_TRUE(c.ok());
  auto range = [](const Expr& e) { return std::pair(e.begin, e.end); };
  EXPECT_EQ(range(*c.ast.root), std::pair(1u, 16u));
  EXPECT_EQ(range(*c.ast.root->args[0]), std::pair(1u, 3u));
  const Expr& index = *c.ast.root->args[1];
  EXPECT_EQ(range(index), std::pair(6u, 16u));
  EXPECT_EQ(range(*index.args[0]), std::pair(6u, 11u));
  EXPECT_EQ(range(*index.args[1]), std::pair(13u, 14u));
}

std::string repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Parser, SurvivesAnyNesting) {
  for (int n : {1000, 10'000}) {
    for (const std::string& source :
         {repeat("(", n), repeat("[", n), repeat("{1:", n), repeat("!", n) + "a", repeat("-", n) + "a",
          "a" + repeat(".b", n), "a" + repeat("[0]", n), repeat("f(", n), repeat("a?b:", n) + "c",
          "1" + repeat("+1", n), "1" + repeat("<1", n), repeat("[1].map(x,", n), repeat("a.b(", n), repeat("[?", n)}) {
      Compiled c = parse(strict(), source);
      EXPECT_FALSE(c.ok());
      EXPECT_EQ(c.issues.size(), 1u) << source.substr(0, 20);
    }
  }
  // Long chains of && and || stay flat.
  EXPECT_TRUE(parse(strict(), "a" + repeat("||a", 10'000)).ok());
  EXPECT_TRUE(parse(strict(), "a" + repeat("&&a", 10'000)).ok());
  EXPECT_FALSE(parse(strict(), "a" + repeat("||a", 30'000)).ok());
  EXPECT_FALSE(parse(strict(), std::string(100'000, ' ')).ok());
}

TEST(Parser, SupportsWhatTheSpecificationAsksFor) {
  EXPECT_TRUE(parse(strict(), "a" + repeat(" + a", 100)).ok());
  EXPECT_TRUE(parse(strict(), repeat("a ? b : ", 100) + "c").ok());
  EXPECT_TRUE(parse(strict(), repeat("f(", 100) + "1" + repeat(")", 100)).ok());
  EXPECT_TRUE(parse(strict(), repeat("[", 100) + repeat("]", 100)).ok());
  EXPECT_TRUE(parse(strict(), repeat("!", 100) + "a").ok());
}

// --- round trip ---

std::string arbitrary_source(int depth) {
  auto sub = [&] { return arbitrary_source(depth + 1); };
  auto pick = [](std::initializer_list<const char*> all) {
    return std::string(*(all.begin() + *rc::gen::inRange<size_t>(0, all.size())));
  };
  switch (*rc::gen::inRange(0, depth > 4 ? 3 : 16)) {
    case 0:
      return pick({"1", "-1", "2u", "1.5", "-0.0", "1e100", "true", "null", "0x10", "-9223372036854775808"});
    case 1:
      return pick({"'a'", "b'\\xff'", "'\\n\"\\\\'", "'ÿ'", "r'\\d'", "'\\x00'"});
    case 2:
      return pick({"a", ".b", "c", "ip"});
    case 3:
      return sub() + pick({"+", "-", "*", "/", "%"}) + sub();
    case 4:
      return "(" + sub() + ")" + pick({" in ", "==", "<", ">=", "!="}) + sub();
    case 5:
      return sub() + pick({"&&", "||"}) + sub();
    case 6:
      return "(" + sub() + ") ? (" + sub() + ") : " + sub();
    case 7:
      return pick({"!", "-"}) + "(" + sub() + ")";
    case 8:
      return "(" + sub() + ")" + pick({".f", ".?g", ".`a-b`", ".as"});
    case 9:
      return "(" + sub() + ")" + pick({"[", "[?"}) + sub() + "]";
    case 10:
      return pick({"f(", ".f(", "(a).f(", "5.f("}) + sub() + ", " + sub() + ")";
    case 11:
      return "[" + pick({"", "?"}) + sub() + "," + sub() + "]";
    case 12:
      return "{" + pick({"", "?"}) + sub() + ":" + sub() + "}";
    case 13:
      return "(" + sub() + ")." + pick({"all", "exists_one", "map", "filter", "optMap"}) + "(x, " + sub() + ")";
    case 14:
      return "(" + sub() + ")." + pick({"all", "existsOne", "transformMap"}) + "(x, y, " + sub() + ")";
    default:
      return pick({"has((", "cel.bind(v, ("}) == "has((" ? "has((" + sub() + ").f)"
                                                         : "cel.bind(v, " + sub() + ", " + sub() + ")";
  }
}

TEST(Unparse, ParsesBackToTheSameTree) {
  EXPECT_TRUE(rc::check([] {
    std::string source = arbitrary_source(0);
    Compiled first = parse(strict(), source);
    RC_PRE(first.ok());
    std::string text = to_text(*first.ast.root);
    Compiled second = parse(strict(), text);
    RC_ASSERT(second.ok());
    RC_ASSERT(to_text(*second.ast.root) == text);
    bool chains = text.find("&&") != std::string::npos || text.find("||") != std::string::npos;
    if (!chains) RC_ASSERT(tree_text(*second.ast.root) == tree_text(*first.ast.root));
  }));
}

TEST(Unparse, WritesNoMoreThanNeeded) {
  for (auto [source, expected] : std::vector<TreeCase>{
           {"((a))+(b*c)", "a + b * c"},
           {"(a+b)*c", "(a + b) * c"},
           {"a-(b-c)", "a - (b - c)"},
           {"(a?b:c)?(d?e:f):(g?h:i)", "(a ? b : c) ? (d ? e : f) : g ? h : i"},
           {"!(a&&b)", "!(a && b)"},
           {"!!a", "!!a"},
           {"-(5)", "-(5)"},
           {"-(5.f())", "-(5.f())"},
           {"-(!a)", "-(!a)"},
           {"a||(b||c)", "a || b || c"},
           {"(a||b)&&c", "(a || b) && c"},
           {"has( a . b )", "has(a.b)"},
           {"a.`b`", "a.b"},
           {"a.`b-c`", "a.`b-c`"},
           {"[1,?a][?0]", "[1, ?a][?0]"},
           {"{'a':1.0,?b:2u}", "{\"a\": 1.0, ?b: 2u}"},
           {"l.map(x,x>1,x)", "l.map(x, x > 1, x)"},
           {"A.B{c:1}", "A.B{c: 1}"},
           {"(a in b) in c", "a in b in c"},
           {"cel.block([a], cel.index(0))", "cel.bind(cel.index(0), a, cel.index(0))"},
       }) {
    Compiled c = parse(strict(), source);
    ASSERT_TRUE(c.ok()) << source;
    EXPECT_EQ(to_text(*c.ast.root), expected) << source;
  }
}

}  // namespace
}  // namespace tamis::cel
