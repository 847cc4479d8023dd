#include <cmath>
#include <limits>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibConversion, ToNumbers) {
  Lab lab;
  const double two63 = 9223372036854775808.0, two64 = 18446744073709551616.0;
  check_all(lab, {
                     {"int", {U(42)}, "42"},
                     {"int", {U(9223372036854775807u)}, "9223372036854775807"},
                     {"int", {U(9223372036854775808u)}, "!overflow"},
                     {"int", {D(-7.9)}, "-7"},
                     {"int", {D(two63)}, "!overflow"},
                     {"int", {D(-two63)}, "!overflow"},
                     {"int", {D(std::nextafter(two63, 0))}, "9223372036854774784"},
                     {"int", {D(std::nextafter(-two63, 0))}, "-9223372036854774784"},
                     {"int", {D(std::nan(""))}, "!overflow"},
                     {"int", {D(HUGE_VAL)}, "!overflow"},
                     {"int", {S("-987")}, "-987"},
                     {"int", {S("+987")}, "987"},
                     {"int", {S("9223372036854775808")}, "!overflow"},
                     {"int", {S("-9223372036854775808")}, "-9223372036854775808"},
                     {"int", {S("")}, "!invalid"},
                     {"int", {S("+")}, "!invalid"},
                     {"int", {S("+-1")}, "!invalid"},
                     {"int", {S("1 ")}, "!invalid"},
                     {"int", {S("1.0")}, "!invalid"},
                     {"int", {S("0x1")}, "!invalid"},
                     {"int", {lab.timestamp("2009-02-13T23:31:30.9Z")}, "1234567890"},
                     {"int", {lab.duration("1.5s")}, "1500000000"},
                     {"int", {T(true)}, "!no_overload"},
                     {"uint", {I(5)}, "5u"},
                     {"uint", {I(-5)}, "!overflow"},
                     {"uint", {D(25.5)}, "25u"},
                     {"uint", {D(-0.5)}, "!overflow"},
                     {"uint", {D(two64)}, "!overflow"},
                     {"uint", {D(std::nextafter(two64, 0))}, "18446744073709549568u"},
                     {"uint", {S("300")}, "300u"},
                     {"uint", {S("-1")}, "!invalid"},
                     {"uint", {S("+1")}, "!invalid"},
                     {"uint", {S("18446744073709551616")}, "!overflow"},
                     {"double", {I(9223372036854775807)}, "9223372036854775808.0"},
                     {"double", {U(123)}, "123.0"},
                     {"double", {S("6.02214e23")}, "6.02214e+23"},
                     {"double", {S("-5.43e-21")}, "-5.43e-21"},
                     {"double", {S("1e400")}, "!invalid"},
                     {"double", {S("1e-400")}, "0.0"},
                     {"double", {S("-.5")}, "-0.5"},
                     {"double", {S("NaN")}, "double(\"NaN\")"},
                     {"double", {S("-Infinity")}, "double(\"-Infinity\")"},
                     {"double", {S("inf")}, "double(\"Infinity\")"},
                     {"double", {S("")}, "!invalid"},
                     {"double", {S("1x")}, "!invalid"},
                     {"double", {S("0x10")}, "!invalid"},
                     {"double", {S("nan(1)")}, "!invalid"},
                     {"double", {S("--1")}, "!invalid"},
                 });
}

TEST(LibConversion, ToTextAndBack) {
  Lab lab;
  check_all(lab, {
                     {"string", {I(-456)}, "\"-456\""},
                     {"string", {U(9876)}, "\"9876\""},
                     {"string", {T(true)}, "\"true\""},
                     {"string", {S("x")}, "\"x\""},
                     {"string", {D(-4.5e-3)}, "\"-0.0045\""},
                     {"string", {D(123.456)}, "\"123.456\""},
                     {"string", {D(3)}, "\"3\""},
                     {"string", {D(1e6)}, "\"1000000\""},
                     {"string", {D(1e21)}, "\"1e+21\""},
                     {"string", {D(1.5e300)}, "\"1.5e+300\""},
                     {"string", {D(1e-5)}, "\"1e-05\""},
                     {"string", {D(-0.0)}, "\"-0\""},
                     {"string", {D(5e-324)}, "\"5e-324\""},
                     {"string", {D(-HUGE_VAL)}, "\"-Infinity\""},
                     {"string", {B("\xc3\xbf")}, "\"\u00ff\""},
                     {"string", {B("\xff")}, "!invalid"},
                     {"string", {B("\xed\xa0\x80")}, "!invalid"},
                     {"string", {lab.duration("1m1ms")}, "\"60.001s\""},
                     {"string", {lab.timestamp("2009-02-13T23:31:30.50Z")}, "\"2009-02-13T23:31:30.5Z\""},
                     {"string", {Value::null()}, "!no_overload"},
                     {"bytes", {S("\u00ff")}, "b\"\\xc3\\xbf\""},
                     {"bytes", {B("\xff")}, "b\"\\xff\""},
                 });
}

TEST(LibConversion, ToOthers) {
  Lab lab;
  for (const char* text : {"1", "t", "T", "true", "True", "TRUE"}) EXPECT_EQ(lab.run("bool", {S(text)}), "true");
  for (const char* text : {"0", "f", "F", "false", "False", "FALSE"}) EXPECT_EQ(lab.run("bool", {S(text)}), "false");
  for (const char* text : {"", "TrUe", "FaLsE", "yes", "2"}) EXPECT_EQ(lab.run("bool", {S(text)}), "!invalid");
  check_all(lab, {
                     {"timestamp", {I(253402300799)}, "timestamp(\"9999-12-31T23:59:59Z\")"},
                     {"timestamp", {I(253402300800)}, "!overflow"},
                     {"timestamp", {I(-62135596801)}, "!overflow"},
                     {"timestamp", {S("0000-01-01T00:00:00Z")}, "!invalid"},
                     {"duration", {S("-320000000000s")}, "!invalid"},
                     {"duration", {lab.duration("100s")}, "duration(\"100s\")"},
                     {"dyn", {S("x")}, "\"x\""},
                     {"type", {I(1)}, "int"},
                     {"type", {Value::null()}, "null_type"},
                     {"type", {Value::type("int")}, "type"},
                     {"type", {lab.list({})}, "list"},
                     {"type", {lab.timestamp("2009-02-13T23:31:30Z")}, "google.protobuf.Timestamp"},
                     {"type", {lab.ip("::1")}, "net.IP"},
                     {"type", {Value::none()}, "optional_type"},
                 });
}

}  // namespace
}  // namespace tamis::cel::lib
