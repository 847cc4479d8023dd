#include <cmath>
#include <limits>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST(LibMath, GreatestAndLeast) {
  Lab lab;
  const double nan = std::nan("");
  check_all(lab, {
                     {"math.greatest", {I(-5)}, "-5"},
                     {"math.greatest", {I(1), D(1)}, "1"},
                     {"math.greatest", {D(1), I(1)}, "1.0"},
                     {"math.greatest", {I(-3), U(3)}, "3u"},
                     {"math.greatest", {I(1), I(3), I(10)}, "10"},
                     {"math.greatest", {D(5.4), I(10), U(3), D(-5), I(9223372036854775807)}, "9223372036854775807"},
                     {"math.greatest", {lab.list({D(5.4), I(10), U(3)})}, "10"},
                     {"math.greatest", {lab.list({})}, "!invalid"},
                     {"math.greatest", {lab.list({S("x")})}, "!no_overload"},
                     {"math.greatest", {lab.list({I(1), S("x")})}, "!no_overload"},
                     {"math.greatest", {S("x")}, "!no_overload"},
                     {"math.greatest", {I(1), S("x")}, "!no_overload"},
                     {"math.greatest", {I(1), I(2), S("x")}, "!no_overload"},
                     {"math.greatest", {S("x"), I(2), I(1)}, "!no_overload"},
                     {"math.greatest", {}, "!no_overload"},
                     {"math.greatest", {D(nan), I(1)}, "!invalid"},
                     {"math.least", {U(5), I(-7)}, "-7"},
                     {"math.least", {D(5.4), I(10), U(3), D(-5), I(4)}, "-5.0"},
                     {"math.least", {I(kMin), I(-1), I(-5)}, "-9223372036854775808"},
                     {"math.least", {lab.list({U(5), I(2), D(2)})}, "2"},
                     {"math.least", {D(1), I(2), D(nan)}, "!invalid"},
                 });
}

TEST(LibMath, Functions) {
  Lab lab;
  const double nan = std::nan("");
  check_all(lab, {
                     {"math.ceil", {D(-1.2)}, "-1.0"},
                     {"math.floor", {D(-1.2)}, "-2.0"},
                     {"math.round", {D(-1.5)}, "-2.0"},
                     {"math.round", {D(0.5)}, "1.0"},
                     {"math.round", {D(nan)}, "double(\"NaN\")"},
                     {"math.trunc", {D(-1.2)}, "-1.0"},
                     {"math.round", {I(1)}, "!no_overload"},
                     {"math.abs", {I(-11)}, "11"},
                     {"math.abs", {I(kMin)}, "!overflow"},
                     {"math.abs", {U(11)}, "11u"},
                     {"math.abs", {D(-11.5)}, "11.5"},
                     {"math.sign", {I(-11)}, "-1"},
                     {"math.sign", {U(0)}, "0u"},
                     {"math.sign", {U(9)}, "1u"},
                     {"math.sign", {D(-32)}, "-1.0"},
                     {"math.sign", {D(-0.0)}, "0.0"},
                     {"math.sign", {D(nan)}, "double(\"NaN\")"},
                     {"math.sqrt", {I(81)}, "9.0"},
                     {"math.sqrt", {U(2)}, "1.4142135623730951"},
                     {"math.sqrt", {D(-15)}, "double(\"NaN\")"},
                     {"math.isNaN", {D(nan)}, "true"},
                     {"math.isInf", {D(-HUGE_VAL)}, "true"},
                     {"math.isFinite", {D(nan)}, "false"},
                     {"math.isNaN", {T(true)}, "!no_overload"},
                 });
}

TEST(LibMath, Bits) {
  Lab lab;
  check_all(lab, {
                     {"math.bitAnd", {I(1), I(-1)}, "1"},
                     {"math.bitOr", {I(4), I(-2)}, "-2"},
                     {"math.bitXor", {I(4), I(-2)}, "-6"},
                     {"math.bitXor", {U(1), U(3)}, "2u"},
                     {"math.bitAnd", {U(1), I(1)}, "!no_overload"},
                     {"math.bitNot", {I(0)}, "-1"},
                     {"math.bitNot", {U(1)}, "18446744073709551614u"},
                     {"math.bitShiftLeft", {I(-1), I(2)}, "-4"},
                     {"math.bitShiftLeft", {I(1), I(63)}, "-9223372036854775808"},
                     {"math.bitShiftLeft", {I(1), I(64)}, "0"},
                     {"math.bitShiftLeft", {U(1), I(-1)}, "!invalid"},
                     {"math.bitShiftRight", {I(-1024), I(3)}, "2305843009213693824"},
                     {"math.bitShiftRight", {I(-1024), I(64)}, "0"},
                     {"math.bitShiftRight", {U(1024), I(2)}, "256u"},
                     {"math.bitShiftRight", {U(1024), I(kMin)}, "!invalid"},
                 });
}

}  // namespace
}  // namespace tamis::cel::lib
