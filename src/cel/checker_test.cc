#include <gtest/gtest.h>

#include "cel/tree_text.h"

namespace tamis::cel {
namespace {

Type type(const char* text) { return *event::parse_type(text); }

Overload overload(const char* id, const char* function, bool member, std::vector<const char*> params,
                  const char* result) {
  Overload out;
  out.id = id;
  out.function = function;
  out.member = member;
  for (const char* param : params) out.params.push_back(type(param));
  out.result = type(result);
  return out;
}

Env make_env(Dialect dialect) {
  Env env(dialect);
  int32_t slot = 0;
  auto add = [&](const char* name, const char* t) { env.add_variable({name, type(t), slot++, {}}); };
  add("i", "int");
  add("u", "uint");
  add("d", "double");
  add("s", "string");
  add("b", "bool");
  add("x", "dyn");
  add("w", "wrapper(int)");
  add("ws", "wrapper(string)");
  add("t", "timestamp");
  add("m", "map(string, int)");
  add("mm", "map(string, map(string, string))");
  add("l", "list(string)");
  add("o", "optional_type(map(string, list(int)))");
  add("ip", "net.IP");
  add("ip.net24", "string");
  add("ip.country", "string");
  add("signups_per_net_1h", "int");
  add("a.b.c", "string");
  add("a.b", "map(string, int)");
  env.add_overload(overload("tuple2", "tuple", false, {"~T", "~U"}, "tuple(~T, ~U)"));
  env.add_overload(overload("sort2", "sort", false, {"tuple(~T, ~T)"}, "tuple(~T, ~T)"));
  env.add_overload(overload("ns_f", "com.example.f", false, {"int"}, "string"));
  env.add_overload(overload("f", "f", false, {"int"}, "int"));
  return env;
}

const Env& strict() {
  static const Env* const env = new Env(make_env(Dialect::kStrict));
  return *env;
}
const Env& ours() {
  static const Env* const env = new Env(make_env(Dialect::kTamis));
  return *env;
}

std::string deduce(std::string_view source, const Env& env = strict()) {
  Compiled c = compile(env, source);
  if (!c.issues.empty()) return "issue: " + c.issues[0].message;
  return event::to_string(c.type());
}

struct TypeCase {
  const char* source;
  const char* type;
};

TEST(Checker, DeducesTypes) {
  for (auto [source, expected] : std::vector<TypeCase>{
           {"1", "int"},
           {"1u", "uint"},
           {"b'x'", "bytes"},
           {"null", "null"},
           {"int", "type(int)"},
           {"type", "type(type)"},
           {"type(1) == int", "bool"},
           {"type(x) == google.protobuf.Timestamp", "bool"},
           {"type(type(1))", "type(type(int))"},
           {"[]", "list(dyn)"},
           {"{}", "map(dyn, dyn)"},
           {"[1, 2]", "list(int)"},
           {"[1, 'a']", "list(dyn)"},
           {"[1, x]", "list(dyn)"},
           {"[[1], ['a']]", "list(dyn)"},
           {"[1, null]", "list(dyn)"},
           {"[t, null]", "list(timestamp)"},
           {"[null, t]", "list(timestamp)"},
           {"[w, 1]", "list(wrapper(int))"},
           {"[1, w]", "list(wrapper(int))"},
           {"[w, null]", "list(wrapper(int))"},
           {"[w, ws]", "list(dyn)"},
           {"[[], [[]], [[[]]]]", "list(list(list(list(dyn))))"},
           {"[[[[]]], [], [[]]]", "list(list(list(list(dyn))))"},
           {"{'a': 1, 'b': 2u}", "map(string, dyn)"},
           {"{1: 'a', 'b': 'c'}", "map(dyn, string)"},
           {"[optional.of(1), optional.none()]", "list(optional_type(int))"},
           {"[optional.none(), optional.of(1)]", "list(optional_type(int))"},
           {"[optional.of(1), optional.of(dyn(1))]", "list(optional_type(dyn))"},
           {"[optional.of(1), null][0]", "optional_type(int)"},
           {"true ? optional.of(dyn(1)) : optional.of(1)", "optional_type(dyn)"},
           {"[?optional.of(1), 2]", "list(int)"},
           {"{?'a': optional.of(1)}", "map(string, int)"},
           {"[?x]", "list(dyn)"},
           {"i + 1", "int"},
           {"x + 1", "int"},
           {"x + x", "dyn"},
           {"w + 1", "int"},
           {"[] + [1]", "list(int)"},
           {"'a' + 'b'", "string"},
           {"1 < 2u", "bool"},
           {"1.5 >= u", "bool"},
           {"x == 1", "bool"},
           {"w == null", "bool"},
           {"w == 1", "bool"},
           {"b && x", "bool"},
           {"b ? 1 : x", "dyn"},
           {"b ? [] : [1]", "list(int)"},
           {"1 in [1]", "bool"},
           {"'a' in m", "bool"},
           {"l[0]", "string"},
           {"m['a']", "int"},
           {"m.a", "int"},
           {"mm.a.b", "string"},
           {"x.a.b[0]", "dyn"},
           {"x[0]", "dyn"},
           {"o.a", "optional_type(list(int))"},
           {"o.a[0]", "optional_type(int)"},
           {"m.?a", "optional_type(int)"},
           {"mm.?a.b", "optional_type(string)"},
           {"l[?0]", "optional_type(string)"},
           {"m[?'a'].orValue(1)", "int"},
           {"optional.none().orValue(1)", "int"},
           {"has(m.a)", "bool"},
           {"has(o.a)", "bool"},
           {"l.all(v, v.startsWith('a'))", "bool"},
           {"l.map(v, size(v))", "list(int)"},
           {"l.map(v, v == 'a', [v])", "list(list(string))"},
           {"m.map(k, k)", "list(string)"},
           {"m.filter(k, m[k] > 1)", "list(string)"},
           {"l.transformList(n, v, n)", "list(int)"},
           {"m.transformList(k, v, k + 'x')", "list(string)"},
           {"m.transformMap(k, v, v > 0, [v])", "map(string, list(int))"},
           {"l.transformMap(n, v, v)", "map(int, string)"},
           {"l.transformMapEntry(n, v, {v: n})", "map(string, int)"},
           {"l.sortBy(v, size(v))", "list(string)"},
           {"x.map(v, v)", "list(dyn)"},
           {"x.exists(k, v, v)", "bool"},
           {"cel.bind(v, 1, [v])", "list(int)"},
           {"m.?a.optMap(v, v + 1)", "optional_type(int)"},
           {"m.?a.optFlatMap(v, l[?v])", "optional_type(string)"},
           {"([].map(v, v))[0].foo", "dyn"},
           {"[tuple(1, 2u), tuple(dyn(1), dyn(2u))][0]", "tuple(dyn, dyn)"},
           {"[tuple(1, dyn(2u)), tuple(dyn(1), 2u)][0]", "tuple(dyn, dyn)"},
           {"sort(tuple(dyn(1), 2u))", "tuple(dyn, dyn)"},
           {"tuple(1, 2u) == tuple(1, dyn(2u))", "bool"},
           {"math.greatest(1, 2, 3)", "int"},
           {"math.greatest(1.0, 2.0)", "double"},
           {"math.greatest(1, 2.0)", "dyn"},
           {"ip.family()", "int"},
           {"ip.isCanonical('::1')", "bool"},
           {"a.b.c", "string"},
           {"a.b.d", "int"},
           {"ip.net24.size()", "int"},
       }) {
    EXPECT_EQ(deduce(source), expected) << source;
  }
}

TEST(Checker, MixesNumbersOnlyWhereTheDialectIsOurs) {
  for (const char* source : {"1 == 1u", "i != 1.0", "i in [1.0]", "u in {1: 2}", "w == 1.0"}) {
    EXPECT_EQ(deduce(source, ours()), "bool") << source;
    EXPECT_EQ(deduce(source, strict()).substr(0, 20), "issue: no overload o") << source;
  }
  EXPECT_EQ(deduce("i + 1.5", ours()), "double");
  EXPECT_EQ(deduce("b ? 1 : 0.5", ours()), "dyn");
  EXPECT_EQ(deduce("1 == 'a'", ours()).substr(0, 20), "issue: no overload o");
  EXPECT_EQ(deduce("has(s)", ours()), "bool");
  EXPECT_EQ(deduce("has(ip.net24)", ours()), "bool");
  EXPECT_EQ(deduce("has(nothing)", ours()), "issue: undeclared name `nothing`");
}

struct IssueCase {
  const char* source;
  const char* at;  // the text that the range covers
  const char* message;
  const char* hint;
};

TEST(Checker, SaysWhatIsWrongAndWhere) {
  for (const IssueCase& c : std::vector<IssueCase>{
           {"1 + ip.net42", "ip.net42", "undeclared name `ip.net42`", "did you mean `ip.net24`?"},
           {"signups_per_net_1d > 1", "signups_per_net_1d", "undeclared name `signups_per_net_1d`",
            "did you mean `signups_per_net_1h`?"},
           {"net24 == ''", "net24", "undeclared name `net24`", "did you mean `ip.net24`?"},
           {"foo.bar.baz", "foo.bar.baz", "undeclared name `foo.bar.baz`", ""},
           {"size(i)", "size(i)",
            "no overload of `size` takes (int); it takes (string), (bytes), (list(~A)), (map(~A, ~B))", ""},
           {"s.startsWith(1)", "s.startsWith(1)",
            "no overload of `startsWith` takes string.(int); it takes string.(string)", ""},
           {"startsWith(s, s)", "startsWith(s, s)",
            "no overload of `startsWith` takes (string, string); it takes string.(string)",
            "`startsWith` is a method: x.startsWith(...)"},
           {"s.startWith('a')", "s.startWith('a')", "undeclared function `startWith`", "did you mean `startsWith`?"},
           {"math.greates(1)", "math.greates(1)", "undeclared function `math.greates`",
            "did you mean `math.greatest`?"},
           {"b && i", "i", "expected bool, found int", ""},
           {"(s) || b", "(s)", "expected bool, found string", ""},
           {"i ? 1 : 2", "i", "expected bool, found int", ""},
           {"b ? 1 : 'a'", "b ? 1 : 'a'", "both results of ?: must have one type, found int and string",
            "dyn(...) around one of them allows this"},
           {"1 == 1u", "1 == 1u", "no overload of `==` takes (int, uint); it takes (~A, ~A)", ""},
           {"s + 1", "s + 1", "no overload of `+` takes (string, int); it takes (string, string)", ""},
           {"47.5 % 5.5", "47.5 % 5.5", "no overload of `%` takes (double, double); it takes (int, int), (uint, uint)",
            ""},
           {"-b", "-b", "no overload of `-` takes (bool); it takes (int), (double)", ""},
           {"l['a']", "l['a']", "no overload of `[]` takes (list(string), string); it takes (list(~A), int)", ""},
           {"[1].all(v, v)", "v", "expected bool, found int", ""},
           {"i.all(v, true)", "i", "`all` goes over a list or a map, found int", ""},
           {"m.sortBy(v, v)", "m", "`sortBy` goes over a list, found map(string, int)", ""},
           {"l.sortBy(v, [v])", "[v]", "`sortBy` needs a key that has an order, found list(string)", ""},
           {"l.transformMapEntry(n, v, n)", "n", "the expression of `transformMapEntry` must be a map, found int", ""},
           {"i.optMap(v, v)", "i", "`optMap` is called on an optional, found int", ""},
           {"m.?a.optFlatMap(v, v)", "v", "the expression of `optFlatMap` must be an optional, found int", ""},
           {"[?1]", "1", "expected optional_type(int) after `?`, found int", ""},
           {"{1.5: 1}", "1.5", "a key of a map is a bool, int, uint or string, found double", ""},
           {"list.tor", "list.tor", "undeclared name `list.tor`", ""},
           {"i.foo", "i.foo", "int has no field `foo`", ""},
           {"l.foo", "l.foo", "list(string) has no field `foo`", ""},
           {"Foo{a: 1}", "Foo{a: 1}", "construction of the message `Foo` is not supported",
            "a map is written {\"field\": value}; a type name stands alone, as in type(x) == int"},
           {"l.map(s)", "l.map(s)", "undeclared function `map`",
            "`map` is a macro of other arguments: list.map(x, expression)"},
           {"size", "size", "undeclared name `size`", "`size` is a function: call it"},
           {"dyn", "dyn", "undeclared name `dyn`", "`dyn` is a function: call it"},
       }) {
    Compiled got = compile(strict(), c.source);
    ASSERT_EQ(got.issues.size(), 1u) << c.source;
    const Issue& issue = got.issues[0];
    EXPECT_EQ(std::string_view(c.source).substr(issue.begin, issue.end - issue.begin), c.at) << c.source;
    EXPECT_EQ(issue.message, c.message) << c.source;
    EXPECT_EQ(issue.hint, c.hint) << c.source;
  }
}

TEST(Checker, TellsSeveralIssuesAtOnce) {
  Compiled got = compile(strict(), "size(1) > 0 && nope == 1 && s.startsWith(2) && i");
  EXPECT_EQ(got.issues.size(), 4u);
  std::string many = "nope";
  for (int n = 0; n < 100; ++n) many += " || nope";
  EXPECT_EQ(compile(strict(), many).issues.size(), CompileLimits{}.issues_max);
}

TEST(Checker, ResolvesNamesInTheContainer) {
  Env env(Dialect::kStrict);
  int32_t slot = 0;
  for (const char* name : {"x", "a.x", "a.b.x", "y.z", "a.y", "t"}) env.add_variable({name, Type::dyn(), slot++, {}});
  env.add_overload(overload("f1", "a.f", false, {}, "int"));
  env.add_overload(overload("f2", "f", false, {}, "string"));
  env.set_container("a.b");
  auto resolved = [&](std::string_view source) -> std::string {
    Compiled c = compile(env, source);
    if (!c.ok()) return "issue: " + c.issues[0].message;
    const Expr* e = c.ast.root.get();
    while (e->variable == nullptr && !e->args.empty()) e = e->args[0].get();
    return e->variable == nullptr ? "local " + e->local : e->variable->name;
  };
  EXPECT_EQ(resolved("x"), "a.b.x");
  EXPECT_EQ(resolved(".x"), "x");
  EXPECT_EQ(resolved("a.x"), "a.x");
  EXPECT_EQ(resolved("b.x"), "a.b.x");
  EXPECT_EQ(resolved(".a.x"), "a.x");
  EXPECT_EQ(resolved("y.z"), "y.z");  // the longer name, though a.y is nearer
  EXPECT_EQ(resolved("y.w"), "a.y");
  EXPECT_EQ(resolved("t.z"), "t");
  EXPECT_EQ(resolved(".t.z"), "t");
  EXPECT_EQ(resolved("int"), "int");
  EXPECT_EQ(event::to_string(compile(env, "f()").type()), "int");
  EXPECT_EQ(event::to_string(compile(env, ".f()").type()), "string");
  EXPECT_EQ(event::to_string(compile(env, ".a.f()").type()), "int");
  EXPECT_EQ(compile(env, ".a.f()").ast.root->name, "a.f");
}

TEST(Checker, VariablesOfMacrosHideOthers) {
  auto body = [](std::string_view source, bool check = true) -> std::string {
    Compiled c = compile(strict(), source, check);
    if (!c.ok()) return c.issues[0].message;
    const Expr* e = c.ast.root->args[1].get();
    while (e->variable == nullptr && e->local.empty() && !e->args.empty()) e = e->args[0].get();
    return e->variable != nullptr ? "variable " + e->variable->name : "local " + e->local;
  };
  for (bool check : {true, false}) {
    EXPECT_EQ(body("[1].map(i, i)", check), "local i");
    EXPECT_EQ(body("[1].map(i, .i)", check), "variable i");
    EXPECT_EQ(body("[1].map(v, i)", check), "variable i");
    EXPECT_EQ(body("[{'net24': 1}].map(ip, ip.net24)", check), "local ip");
    EXPECT_EQ(body("[{'net24': 1}].map(ip, .ip.net24)", check), "variable ip.net24");
    EXPECT_EQ(body("cel.bind(i, 's', i)", check), "local i");
  }
  EXPECT_EQ(deduce("['a'].map(i, [1].map(i, i))"), "list(list(int))");
  EXPECT_EQ(deduce("['a'].map(i, [1].map(i, i).size() > 0 ? i : i)"), "list(string)");
  EXPECT_EQ(deduce("cel.bind(i, 'a', true) && i > 0"), "bool");
}

TEST(Checker, KeepsTheOverloadsThatMayBeMeant) {
  auto ids = [](std::string_view source, bool check = true) {
    Compiled c = compile(strict(), source, check);
    std::string out;
    for (const Overload* o : c.ast.root->overloads) out += (out.empty() ? "" : " ") + o->id;
    return out;
  };
  EXPECT_EQ(ids("i % 2"), "modulo_int64");
  EXPECT_EQ(ids("x % 2"), "modulo_int64");
  EXPECT_EQ(ids("x % x"), "modulo_int64 modulo_uint64");
  EXPECT_EQ(ids("i % 2", false), "modulo_int64 modulo_uint64");
  EXPECT_EQ(ids("math.greatest(1, 2)"), "math_@max_int_int");
  EXPECT_EQ(ids("startsWith(s, s)", false), "");
  EXPECT_EQ(ids("s.startsWith(x)"), "starts_with_string");
  EXPECT_EQ(ids("startsWith(x)", false), "");
  EXPECT_EQ(ids("x.nothing()", false), "");
}

TEST(Checker, WithoutCheckingOnlyResolves) {
  for (const char* source : {"nope || true", "f_unknown(17)", "nope.as() || true", "'a' + 1", "i.foo", "1 ? 2 : 'a'",
                             "-(42u)", "[1] > [0]", "{null: false}[null]", "dyn", "m.sortBy(v, v)"}) {
    Compiled c = compile(strict(), source, false);
    EXPECT_TRUE(c.ok()) << source;
    EXPECT_EQ(c.type(), Type::dyn()) << source;
  }
  EXPECT_FALSE(compile(strict(), "Foo{}", false).ok());
  EXPECT_EQ(compile(strict(), "ip.isCanonical('a')", false).ast.root->name, "ip.isCanonical");
}

TEST(Checker, TypeNamesAreConstants) {
  Compiled c = compile(strict(), "google.protobuf.Duration");
  ASSERT_TRUE(c.ok());
  ASSERT_NE(c.ast.root->variable, nullptr);
  EXPECT_EQ(c.ast.root->variable->slot, -1);
  EXPECT_EQ(c.ast.root->variable->constant.str(), "google.protobuf.Duration");
  Env env(Dialect::kStrict);
  env.add_variable({"int", Type::string(), 3, {}});
  EXPECT_EQ(deduce("int", env), "string");
}

TEST(Checker, WorkIsBounded) {
  // Types that double with each step.
  std::string deep = "1";
  for (int n = 0; n < 60; ++n) deep = "cel.bind(v, tuple(v, v), " + deep + ")";
  EXPECT_LT(compile(strict(), "cel.bind(v, 1, " + deep + ")").issues.size(), 2u);
  std::string forward = "v59";
  for (int n = 59; n > 0; --n) {
    std::string before = "v" + std::to_string(n - 1);
    forward = "cel.bind(v" + std::to_string(n) + ", tuple(" + before + ", " + before + "), " + forward + ")";
  }
  EXPECT_LT(compile(strict(), "cel.bind(v0, [], " + forward + ")").issues.size(), 2u);
  std::string lists = "[]";
  for (int n = 0; n < 200; ++n) lists = "[" + lists + ", []]";
  EXPECT_EQ(compile(strict(), lists).issues.size(), 0u);
  std::string nested = "v == v";
  for (int n = 0; n < 100; ++n) nested = "[[], v].all(v, " + nested + ")";
  EXPECT_EQ(compile(strict(), "cel.bind(v, [], " + nested + ")").issues.size(), 0u);
}

TEST(Env, FindsTheNearestNames) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(strict().nearest_names("ip.cuontry"), Names{"ip.country"});
  EXPECT_EQ(strict().nearest_names("IP.NET24"), Names{"ip.net24"});
  EXPECT_EQ(strict().nearest_names("qqqqqqqqqq"), Names{});
  EXPECT_EQ(strict().nearest_names("startswith", Env::Names::kFunctions), Names{"startsWith"});
  EXPECT_LE(strict().nearest_names("z").size(), 3u);
  EXPECT_EQ(strict().nearest_names(std::string(10'000, 'a')), Names{});
  EXPECT_EQ(strict().nearest_names(""), Names{});
}

TEST(Env, OwnOverloadsReplaceThoseOfTheSameId) {
  Env env(Dialect::kStrict);
  EXPECT_TRUE(env.has_function("startsWith"));
  env.add_overload(overload("g", "g", false, {"int"}, "int"));
  env.add_overload(overload("g", "g", false, {"int"}, "string"));
  EXPECT_EQ(env.find_overloads("g").size(), 1u);
  EXPECT_EQ(deduce("g(1)", env), "string");
  Env copy = env;
  EXPECT_EQ(deduce("g(1)", copy), "string");
}

}  // namespace
}  // namespace tamis::cel
