#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibOptional, Functions) {
  Lab lab;
  Value one = I(1);
  Value some = Value::some(&one), none = Value::none();
  Value list = lab.list({S("foo")});
  Value map = lab.map({{S("k"), S("v")}, {I(2), Value::null()}});
  check_all(lab, {
                     {"optional.of", {Value::null()}, "optional.of(null)"},
                     {"optional.none", {}, "optional.none()"},
                     {"hasValue", {some}, "true"},
                     {"hasValue", {none}, "false"},
                     {"value", {some}, "1"},
                     {"value", {none}, "!no_field"},
                     {"or", {none, some}, "optional.of(1)"},
                     {"or", {some, none}, "optional.of(1)"},
                     {"orValue", {none, I(42)}, "42"},
                     {"orValue", {some, I(42)}, "1"},
                     {"_[?_]", {list, I(0)}, "optional.of(\"foo\")"},
                     {"_[?_]", {list, I(1)}, "optional.none()"},
                     {"_[?_]", {map, S("k")}, "optional.of(\"v\")"},
                     {"_[?_]", {map, D(2)}, "optional.of(null)"},
                     {"_[?_]", {map, S("x")}, "optional.none()"},
                     {"_[?_]", {Value::some(&list), I(0)}, "optional.of(\"foo\")"},
                     {"_[?_]", {none, I(0)}, "optional.none()"},
                     {"_[_]", {Value::some(&map), S("x")}, "optional.none()"},
                     {"_[_]", {Value::some(&map), S("k")}, "optional.of(\"v\")"},
                     {"_[_]", {none, S("k")}, "optional.none()"},
                     {"optional.unwrap", {lab.list({some, none, some})}, "[1, 1]"},
                     {"unwrapOpt", {lab.list({})}, "[]"},
                     {"unwrapOpt", {lab.list({I(1)})}, "!no_overload"},
                 });
}

TEST(LibOptional, ZeroValues) {
  Lab lab;
  for (Value zero : {Value::null(), T(false), I(0), U(0), D(0), D(-0.0), S(""), B(""), lab.list({}), lab.map({}),
                     lab.duration("0"), lab.timestamp("1970-01-01T00:00:00Z"), Value::none()}) {
    EXPECT_EQ(lab.run("optional.ofNonZeroValue", {zero}), "optional.none()") << event::debug_string(zero);
  }
  for (Value other : {T(true), I(-1), D(0.1), S("0"), lab.list({Value::null()}), lab.duration("1ns"),
                      lab.timestamp("1970-01-01T00:00:00.1Z"), Value::type("int"), lab.ip("::")}) {
    EXPECT_NE(lab.run("optional.ofNonZeroValue", {other}), "optional.none()") << event::debug_string(other);
  }
}

}  // namespace
}  // namespace tamis::cel::lib
