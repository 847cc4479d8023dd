#include <rapidcheck.h>

#include <cmath>
#include <cstdio>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

std::string format(Lab& lab, std::string_view pattern, std::vector<Value> args) {
  Value r = lab.call("format", {S(pattern), lab.list(std::move(args))});
  return r.is_error() ? Lab::show(r) : std::string(r.str());
}

TEST(LibFormat, Text) {
  Lab lab;
  EXPECT_EQ(format(lab, "no substitution", {}), "no substitution");
  EXPECT_EQ(format(lab, "%%%s%%", {S("text")}), "%text%");
  EXPECT_EQ(format(lab, "%s %s %s", {I(-1), U(2), T(true)}), "-1 2 true");
  EXPECT_EQ(format(lab, "%s %s %s %s", {D(3), D(3.14), D(1e23), D(1e-7)}), "3 3.14 100000000000000000000000 0.0000001");
  EXPECT_EQ(format(lab, "%s %s", {D(std::nan("")), D(-HUGE_VAL)}), "NaN -Infinity");
  EXPECT_EQ(format(lab, "%s", {Value::null()}), "null");
  EXPECT_EQ(format(lab, "%s", {Value::type("int")}), "int");
  EXPECT_EQ(format(lab, "%s", {lab.timestamp("2023-02-03T23:31:20+00:00")}), "2023-02-03T23:31:20Z");
  EXPECT_EQ(format(lab, "%s", {lab.duration("1h45m47s")}), "6347s");
  EXPECT_EQ(format(lab, "%s", {lab.duration("2ms")}), "0.002s");
  EXPECT_EQ(format(lab, "%s", {lab.list({S("abc"), D(3.14), Value::null(), lab.list({I(9)})})}),
            "[abc, 3.14, null, [9]]");
  EXPECT_EQ(format(lab, "%s", {lab.map({{S("strKey"), S("x")}, {I(6), lab.duration("422s")}, {T(true), I(42)}})}),
            "{6: 422s, strKey: x, true: 42}");
  EXPECT_EQ(format(lab, "%s", {B("ok \xff\xfe\xc3\xbf")}), "ok \xef\xbf\xbd\u00ff");
  EXPECT_EQ(format(lab, "%s", {B("\xef\xbf\xbd")}), "\xef\xbf\xbd");
  EXPECT_EQ(format(lab, "%s", {Value::none()}), "!invalid");
}

TEST(LibFormat, Numbers) {
  Lab lab;
  EXPECT_EQ(format(lab, "%d %d %d", {I(-3), U(64), D(3.14)}), "-3 64 3.14");
  EXPECT_EQ(format(lab, "%d", {D(HUGE_VAL)}), "Infinity");
  EXPECT_EQ(format(lab, "%f %f %f", {D(2.71828), U(3), I(-3)}), "2.718280 3.000000 -3.000000");
  EXPECT_EQ(format(lab, "%.0f %.0f %.0f", {D(1.5), D(2.5), D(3.5001)}), "2 2 4");
  EXPECT_EQ(format(lab, "%.3f %.3f %.3f", {D(1.2345), D(-123.4999), D(-123.4994)}), "1.234 -123.500 -123.499");
  EXPECT_EQ(format(lab, "%.5f", {D(-1.2)}), "-1.20000");
  EXPECT_EQ(format(lab, "%.6e %e %.0e", {D(1052.032911275), I(2), D(15)}), "1.052033e+03 2.000000e+00 2e+01");
  EXPECT_EQ(format(lab, "%e %f", {D(std::nan("")), D(-HUGE_VAL)}), "NaN -Infinity");
  EXPECT_EQ(format(lab, "%b %b %b %b", {I(5), I(-5), U(64), T(true)}), "101 -101 1000000 1");
  EXPECT_EQ(format(lab, "%o %o", {I(11), I(-11)}), "13 -13");
  EXPECT_EQ(format(lab, "%x %X %x", {I(-30), U(6000), I(INT64_MIN)}), "-1e 1770 -8000000000000000");
  EXPECT_EQ(format(lab, "%x %X", {S("Hello"), B("\xab")}), "48656c6c6f AB");
}

TEST(LibFormat, Errors) {
  Lab lab;
  for (const char* pattern :
       {"%", "%.", "%.3", "%.f", "%a", "%E", "%-s", "%5d", "% d", "%.1001f", "%.99999999999f", "%\u00e9"}) {
    EXPECT_EQ(format(lab, pattern, {I(1)}), "!invalid") << pattern;
  }
  EXPECT_EQ(format(lab, "%d %d %d", {I(0), I(1)}), "!out_of_range");
  for (const char* clause : {"%d", "%f", "%e", "%b", "%o", "%x", "%X"}) {
    EXPECT_EQ(format(lab, clause, {Value::null()}), "!invalid") << clause;
    EXPECT_EQ(format(lab, clause, {lab.duration("1s")}), "!invalid") << clause;
  }
  EXPECT_EQ(format(lab, "%x", {D(0.5)}), "!invalid");
  EXPECT_EQ(format(lab, "%o", {T(true)}), "!invalid");
  EXPECT_EQ(format(lab, "%d", {S("1")}), "!invalid");
}

TEST(LibFormat, OutputsAreBounded) {
  Lab lab;
  std::string large(600'000, 'a');
  EXPECT_EQ(format(lab, "%s%s", {S(large), S(large)}), "!limit");
  std::string part(1000, 'b');
  Value nested = S(part);
  for (int i = 0; i < 6; ++i) nested = lab.list({nested, nested, nested, nested, nested});
  EXPECT_EQ(format(lab, "%s", {nested}), "!limit");
  lab.cost = 100;
  EXPECT_EQ(format(lab, "%s", {S(large)}), "!limit");
}

TEST(LibFormat, AgreesWithTheCLibrary) {
  Lab lab;
  EXPECT_TRUE(rc::check([&](double value, int64_t bits) {
    double wild;
    std::memcpy(&wild, &bits, sizeof wild);
    for (double d : {value, wild, std::ldexp(static_cast<double>(bits % 1000), -3)}) {
      if (!std::isfinite(d)) continue;
      int precision = *rc::gen::inRange(0, 20);
      char expected[400];
      std::string p = std::to_string(precision);
      std::snprintf(expected, sizeof expected, "%.*f|%.*e", precision, d, precision, d);
      RC_ASSERT(format(lab, "%." + p + "f|%." + p + "e", {D(d), D(d)}) == expected);
      // The shortest text reads back as the same number.
      double back = std::strtod(format(lab, "%s", {D(d)}).c_str(), nullptr);
      RC_ASSERT(back == d);
    }
    lab.arena.reset();
  }));
}

}  // namespace
}  // namespace tamis::cel::lib
