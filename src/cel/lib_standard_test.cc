#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <set>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

__extension__ using int128 = __int128;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr uint64_t kUmax = std::numeric_limits<uint64_t>::max();

TEST(LibStandard, IdsAreUniqueAndTablesComplete) {
  std::set<std::string> ids;
  for (const auto* library : {&standard_library(), &string_library(), &math_library(), &encoder_library(),
                              &list_library(), &network_library(), &optional_library(), &tamis_library()}) {
    for (const Overload& row : *library) {
      EXPECT_TRUE(ids.insert(row.id).second) << row.id;
      EXPECT_FALSE(row.function.empty());
      EXPECT_EQ(row.strict_cel, library != &tamis_library()) << row.id;
      EXPECT_TRUE(!row.member || !row.params.empty()) << row.id;
      static const std::set<std::string> lazy = {"_&&_", "_||_", "_?_:_", "_==_", "_!=_", "@not_strictly_false"};
      EXPECT_EQ(row.invoke == nullptr, lazy.contains(row.function)) << row.id;
    }
  }
}

TEST(LibStandard, Arithmetic) {
  Lab lab;
  check_all(lab, {
                     {"_+_", {I(40), I(2)}, "42"},
                     {"_+_", {I(kMax), I(1)}, "!overflow"},
                     {"_+_", {I(kMin), I(-1)}, "!overflow"},
                     {"_-_", {I(kMin), I(1)}, "!overflow"},
                     {"_*_", {I(5'000'000'000), I(5'000'000'000)}, "!overflow"},
                     {"_*_", {I(kMin), I(-1)}, "!overflow"},
                     {"_/_", {I(-7), I(2)}, "-3"},
                     {"_/_", {I(kMin), I(-1)}, "!overflow"},
                     {"_/_", {I(1), I(0)}, "!zero"},
                     {"_%_", {I(43), I(-5)}, "3"},
                     {"_%_", {I(-42), I(-5)}, "-2"},
                     {"_%_", {I(kMin), I(-1)}, "!overflow"},
                     {"_%_", {I(1), I(0)}, "!zero"},
                     {"-_", {I(5)}, "-5"},
                     {"-_", {I(kMin)}, "!overflow"},
                     {"-_", {D(0.0)}, "-0.0"},
                     {"-_", {U(1)}, "!no_overload"},
                     {"_+_", {U(kUmax), U(1)}, "!overflow"},
                     {"_-_", {U(0), U(1)}, "!overflow"},
                     {"_-_", {U(3), U(1)}, "2u"},
                     {"_*_", {U(kUmax), U(2)}, "!overflow"},
                     {"_/_", {U(7), U(2)}, "3u"},
                     {"_/_", {U(7), U(0)}, "!zero"},
                     {"_%_", {U(7), U(0)}, "!zero"},
                     {"_%_", {U(42), U(5)}, "2u"},
                     {"_+_", {D(1.5), D(2)}, "3.5"},
                     {"_-_", {D(1.5), D(2)}, "-0.5"},
                     {"_*_", {D(2), D(8.988466e+307)}, "double(\"Infinity\")"},
                     {"_/_", {D(15.75), D(0)}, "double(\"Infinity\")"},
                     {"_/_", {D(-15.75), D(0)}, "double(\"-Infinity\")"},
                     {"_/_", {D(15.75), D(-0.0)}, "double(\"-Infinity\")"},
                     {"_/_", {D(0), D(0)}, "double(\"NaN\")"},
                     {"_%_", {D(47.5), D(5.5)}, "!no_overload"},
                     {"_+_", {S("a\u00f4"), S("b")}, "\"a\u00f4b\""},
                     {"_+_", {S(""), S("b")}, "\"b\""},
                     {"_+_", {B("a"), B("\xff")}, "b\"a\\xff\""},
                     {"_+_", {S("a"), B("b")}, "!no_overload"},
                     {"_+_", {lab.list({I(1)}), lab.list({I(2), S("x")})}, "[1, 2, \"x\"]"},
                     {"_+_", {lab.list({}), lab.list({})}, "[]"},
                     {"!_", {T(true)}, "false"},
                 });
}

TEST(LibStandard, WholeNumbersAgreeWithWiderArithmetic) {
  Lab lab;
  EXPECT_TRUE(rc::check([&](int64_t a, int64_t b, bool edge_a, bool edge_b) {
    if (edge_a) a = static_cast<int64_t>(static_cast<uint64_t>(a) + (a % 2 == 0 ? kUmax / 2 : kUmax / 2 + 1));
    if (edge_b) b = static_cast<int64_t>(static_cast<uint64_t>(b) * 4'000'000'007);
    auto expect = [&](const char* function, int128 exact, bool is_signed) {
      bool fits_in = is_signed ? exact >= kMin && exact <= kMax : exact >= 0 && exact <= int128{kUmax};
      Value r = is_signed ? lab.call(function, {I(a), I(b)})
                          : lab.call(function, {U(static_cast<uint64_t>(a)), U(static_cast<uint64_t>(b))});
      RC_ASSERT(r.is_error() == !fits_in);
      if (fits_in && is_signed) RC_ASSERT(r.is(Kind::kInt) && r.i == static_cast<int64_t>(exact));
      if (fits_in && !is_signed) RC_ASSERT(r.is(Kind::kUint) && r.u == static_cast<uint64_t>(exact));
    };
    int128 x = a, y = b;
    expect("_+_", x + y, true);
    expect("_-_", x - y, true);
    expect("_*_", x * y, true);
    if (b != 0) expect("_/_", x / y, true);
    uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
    x = ua;
    y = ub;
    expect("_+_", x + y, false);
    expect("_-_", x - y, false);
    if (ua < (uint64_t{1} << 60) || ub < 8) expect("_*_", x * y, false);
    if (ub != 0) expect("_%_", x % y, false);
    lab.arena.reset();
  }));
}

TEST(LibStandard, OrderAcrossTypes) {
  Lab lab;
  const double nan = std::nan("");
  check_all(lab, {
                     {"_<_", {I(1), D(1.1)}, "true"},
                     {"_<_", {U(1), I(-1)}, "false"},
                     {"_<=_", {D(9007199254740993.0), I(9007199254740993)}, "true"},
                     {"_<_", {D(9007199254740992.0), I(9007199254740993)}, "true"},
                     {"_>_", {U(kUmax), D(18446744073709551616.0)}, "false"},
                     {"_<_", {U(kUmax), D(18446744073709551616.0)}, "true"},
                     {"_>=_", {I(kMax), U(9223372036854775807u)}, "true"},
                     {"_>_", {D(9223372036854775808.0), I(kMax)}, "true"},
                     {"_<_", {D(nan), I(1)}, "false"},
                     {"_>=_", {D(nan), D(nan)}, "false"},
                     {"_<_", {T(false), T(true)}, "true"},
                     {"_<_", {S("a"), S("\u00e9")}, "true"},
                     {"_<=_", {B("a"), B("a")}, "true"},
                     {"_<_", {S("a"), I(1)}, "!no_overload"},
                     {"_>_", {lab.timestamp("2009-02-13T23:31:31Z"), lab.timestamp("2009-02-13T23:31:30.9Z")}, "true"},
                     {"_>=_", {lab.duration("1s"), lab.duration("1001ms")}, "false"},
                 });
}

TEST(LibStandard, Containers) {
  Lab lab;
  Value list = lab.list({I(7), S("x"), D(2)});
  Value map = lab.map({{I(1), S("one")}, {U(2), S("two")}, {S("k"), T(true)}, {T(true), I(5)}});
  check_all(lab, {
                     {"size", {S("\u03c0\u03ad\u03bd\u03c4\u03b5")}, "5"},
                     {"size", {S("")}, "0"},
                     {"size", {B("\xf0\x9f\xa4\xaa")}, "4"},
                     {"size", {list}, "3"},
                     {"size", {map}, "4"},
                     {"@in", {U(7), list}, "true"},
                     {"@in", {I(2), list}, "true"},
                     {"@in", {S("y"), list}, "false"},
                     {"@in", {D(std::nan("")), lab.list({D(std::nan(""))})}, "false"},
                     {"@in", {D(2), map}, "true"},
                     {"@in", {D(2.5), map}, "false"},
                     {"@in", {Value::null(), map}, "false"},
                     {"_[_]", {list, I(1)}, "\"x\""},
                     {"_[_]", {list, I(3)}, "!out_of_range"},
                     {"_[_]", {list, I(-1)}, "!out_of_range"},
                     {"_[_]", {map, U(1)}, "\"one\""},
                     {"_[_]", {map, D(2)}, "\"two\""},
                     {"_[_]", {map, D(2.5)}, "!no_field"},
                     {"_[_]", {map, T(true)}, "5"},
                     {"_[_]", {map, S("missing")}, "!no_field"},
                     {"_[_]", {map, B("k")}, "!no_overload"},
                 });
  // The evaluator may hand any index to a list: whole numbers of every type are positions.
  Call call{lab.arena, nullptr, 1000};
  EXPECT_EQ(Lab::show(index_value(call, list, U(0), false)), "7");
  EXPECT_EQ(Lab::show(index_value(call, list, D(0), false)), "7");
  EXPECT_EQ(Lab::show(index_value(call, list, D(0.1), false)), "!invalid");
  EXPECT_EQ(Lab::show(index_value(call, list, D(std::nan("")), false)), "!invalid");
  EXPECT_EQ(Lab::show(index_value(call, list, D(1e300), false)), "!out_of_range");
  EXPECT_EQ(Lab::show(index_value(call, list, U(kUmax), false)), "!out_of_range");
  EXPECT_EQ(Lab::show(index_value(call, list, S(""), false)), "!no_overload");
}

TEST(LibStandard, TextPredicates) {
  Lab lab;
  check_all(lab, {
                     {"contains", {S("hello"), S("ell")}, "true"},
                     {"contains", {S("hello"), S("")}, "true"},
                     {"contains", {S("hello"), S("ol")}, "false"},
                     {"contains", {S("\U0001f431\U0001f600"), S("\U0001f600")}, "true"},
                     {"startsWith", {S("foobar"), S("foo")}, "true"},
                     {"startsWith", {S(""), S("foo")}, "false"},
                     {"endsWith", {S("foobar"), S("bar")}, "true"},
                     {"endsWith", {S("foobar"), S("foobarx")}, "false"},
                     {"matches", {S("banana"), S("ba(na)*")}, "true"},
                     {"matches", {S("cows"), S("")}, "true"},
                     {"matches", {S("abcd"), S("^bc")}, "false"},
                     {"matches", {S("ma\u00f1ana"), S("a+\u00f1+a+")}, "true"},
                     {"matches", {S("x"), S("(")}, "!invalid"},
                     {"matches", {S("x"), S("(?=x)")}, "!invalid"},
                     {"matches", {S("x"), S(std::string(10'000, 'a'))}, "!invalid"},
                 });
}

TEST(LibStandard, FitsLooksAtTheOuterShape) {
  Lab lab;
  Value list = lab.list({S("a")});
  EXPECT_TRUE(fits(Type::dyn(), list));
  EXPECT_TRUE(fits(Type::param("T"), Value::null()));
  EXPECT_TRUE(fits(Type::list(Type::integer()), list));
  EXPECT_FALSE(fits(Type::list(Type::integer()), S("a")));
  EXPECT_TRUE(fits(Type::wrapper(Type::integer()), Value::null()));
  EXPECT_TRUE(fits(Type::wrapper(Type::integer()), I(1)));
  EXPECT_FALSE(fits(Type::wrapper(Type::integer()), U(1)));
  EXPECT_TRUE(fits(Type::opaque("net.IP"), lab.ip("::1")));
  EXPECT_FALSE(fits(Type::opaque("net.CIDR"), lab.ip("::1")));
  EXPECT_TRUE(fits(Type::opaque("tamis.list", {Type::string()}), Value::handle(1)));
  event::OpaqueData tuple{"tuple", {}};
  EXPECT_TRUE(fits(Type::opaque("tuple"), Value::opaque_of(&tuple)));
  EXPECT_FALSE(fits(Type::opaque("pair"), Value::opaque_of(&tuple)));
}

TEST(LibStandard, WorkIsChargedAndOutputsAreBounded) {
  Lab lab;
  std::string large(700'000, 'x');
  EXPECT_EQ(lab.run("_+_", {S(large), S(large)}), "!limit");
  EXPECT_EQ(lab.run("size", {S(large)}), "700000");
  EXPECT_GE(lab.cost_used, 40'000);
  lab.cost = 100;
  EXPECT_EQ(lab.run("size", {S(large)}), "!limit");
  EXPECT_EQ(lab.run("contains", {S(large), S("y")}), "!limit");
  EXPECT_EQ(lab.run("matches", {S(large), S("y")}), "!limit");
  std::vector<Value> many(1000, I(1));
  EXPECT_EQ(lab.run("@in", {I(2), lab.list(many)}), "!limit");
  EXPECT_EQ(lab.run("_+_", {lab.list(many), lab.list(many)}), "!limit");
}

}  // namespace
}  // namespace tamis::cel::lib
