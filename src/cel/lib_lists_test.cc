#include <rapidcheck.h>

#include <algorithm>
#include <cmath>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibLists, Shapes) {
  Lab lab;
  Value four = lab.list({I(1), I(2), I(3), I(4)});
  Value nested = lab.list({I(1), lab.list({I(2), lab.list({I(3), lab.list({I(4)})})}), lab.list({})});
  check_all(lab, {
                     {"slice", {four, I(1), I(3)}, "[2, 3]"},
                     {"slice", {four, I(4), I(4)}, "[]"},
                     {"slice", {four, I(2), I(1)}, "!out_of_range"},
                     {"slice", {four, I(-1), I(1)}, "!out_of_range"},
                     {"slice", {four, I(0), I(5)}, "!out_of_range"},
                     {"flatten", {nested}, "[1, 2, [3, [4]]]"},
                     {"flatten", {nested, I(0)}, "[1, [2, [3, [4]]], []]"},
                     {"flatten", {nested, I(2)}, "[1, 2, 3, [4]]"},
                     {"flatten", {nested, I(INT64_MAX)}, "[1, 2, 3, 4]"},
                     {"flatten", {nested, I(-1)}, "!invalid"},
                     {"flatten", {four}, "[1, 2, 3, 4]"},
                     {"lists.range", {I(5)}, "[0, 1, 2, 3, 4]"},
                     {"lists.range", {I(0)}, "[]"},
                     {"lists.range", {I(-3)}, "[]"},
                     {"lists.range", {I(INT64_MAX)}, "!limit"},
                     {"reverse", {four}, "[4, 3, 2, 1]"},
                     {"reverse", {lab.list({})}, "[]"},
                     {"distinct", {lab.list({S("b"), I(1), S("b"), D(1), U(2), I(2)})}, "[\"b\", 1, 2u]"},
                     {"distinct", {lab.list({D(std::nan("")), D(std::nan(""))})}, "[double(\"NaN\"), double(\"NaN\")]"},
                     {"first", {four}, "optional.of(1)"},
                     {"last", {four}, "optional.of(4)"},
                     {"last", {lab.list({})}, "optional.none()"},
                 });
}

TEST(LibLists, Sorting) {
  Lab lab;
  check_all(lab, {
                     {"sort", {lab.list({I(3), I(-2), I(1)})}, "[-2, 1, 3]"},
                     {"sort", {lab.list({S("b"), S("\u00e9"), S("a")})}, "[\"a\", \"b\", \"\u00e9\"]"},
                     {"sort", {lab.list({T(true), T(false)})}, "[false, true]"},
                     {"sort", {lab.list({})}, "[]"},
                     {"sort", {lab.list({I(1), S("b")})}, "!invalid"},
                     {"sort", {lab.list({I(1), D(1)})}, "!invalid"},
                     {"sort", {lab.list({D(1), D(std::nan(""))})}, "!invalid"},
                     {"sort", {lab.list({lab.list({I(1)})})}, "!invalid"},
                     {"sort", {lab.list({Value::null()})}, "!invalid"},
                     {"@sortByAssociatedKeys",
                      {lab.list({S("foo"), S("bar"), S("baz")}), lab.list({I(3), I(1), I(2)})},
                      "[\"bar\", \"baz\", \"foo\"]"},
                     {"@sortByAssociatedKeys", {lab.list({S("foo")}), lab.list({})}, "!invalid"},
                 });
  EXPECT_TRUE(rc::check([&](const std::vector<uint8_t>& keys) {
    std::vector<Value> items, key_values;
    for (size_t i = 0; i < keys.size(); ++i) {
      items.push_back(I(static_cast<int64_t>(i)));
      key_values.push_back(U(keys[i] % 8));
    }
    Value sorted = lab.call("@sortByAssociatedKeys", {lab.list(items), lab.list(key_values)});
    for (size_t i = 1; i < keys.size(); ++i) {
      int64_t a = sorted.items[i - 1].i, b = sorted.items[i].i;
      uint8_t key_a = keys[static_cast<size_t>(a)] % 8, key_b = keys[static_cast<size_t>(b)] % 8;
      RC_ASSERT(key_a < key_b || (key_a == key_b && a < b));
    }
  }));
}

TEST(LibLists, Sets) {
  Lab lab;
  Value mixed = lab.list({I(1), D(2), U(3)});
  check_all(lab, {
                     {"sets.contains", {lab.list({}), lab.list({})}, "true"},
                     {"sets.contains", {lab.list({}), lab.list({I(1)})}, "false"},
                     {"sets.contains", {mixed, lab.list({D(1), U(2), I(3)})}, "true"},
                     {"sets.contains", {mixed, lab.list({D(1), I(4)})}, "false"},
                     {"sets.equivalent", {lab.list({I(1)}), lab.list({U(1), D(1)})}, "true"},
                     {"sets.equivalent", {mixed, lab.list({I(1), I(2)})}, "false"},
                     {"sets.intersects", {lab.list({I(1)}), lab.list({})}, "false"},
                     {"sets.intersects", {mixed, lab.list({S("x"), I(3)})}, "true"},
                 });
}

// Small sets are scanned, large ones hashed: both must mean the same as comparing all pairs.
TEST(LibLists, SetsAgreeWithPairwiseComparison) {
  Lab lab;
  auto gen = rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 40));
  EXPECT_TRUE(rc::check([&] {
    std::vector<int> a = *gen, b = *gen;
    auto values = [&](const std::vector<int>& from, int shift) {
      std::vector<Value> out;
      for (int v : from) {
        int kind = (v + shift) % 4;
        out.push_back(kind == 0   ? I(v)
                      : kind == 1 ? U(static_cast<uint64_t>(v))
                      : kind == 2 ? D(v)
                                  : S(v < 20 ? "x" : "y"));
      }
      return out;
    };
    std::vector<Value> x = values(a, 0), y = values(b, 1);
    auto has = [](const std::vector<Value>& in, Value v) {
      return std::any_of(in.begin(), in.end(), [&](Value other) { return event::equal(v, other); });
    };
    bool all = std::all_of(y.begin(), y.end(), [&](Value v) { return has(x, v); });
    bool back = std::all_of(x.begin(), x.end(), [&](Value v) { return has(y, v); });
    bool any = std::any_of(y.begin(), y.end(), [&](Value v) { return has(x, v); });
    RC_ASSERT(lab.call("sets.contains", {lab.list(x), lab.list(y)}).b == all);
    RC_ASSERT(lab.call("sets.equivalent", {lab.list(x), lab.list(y)}).b == (all && back));
    RC_ASSERT(lab.call("sets.intersects", {lab.list(x), lab.list(y)}).b == any);
    std::vector<Value> once;
    for (Value v : x) {
      if (!has(once, v)) once.push_back(v);
    }
    RC_ASSERT(event::equal(lab.call("distinct", {lab.list(x)}), lab.list(once)));
  }));
}

TEST(LibLists, WorkIsCharged) {
  Lab lab;
  std::vector<Value> many;
  for (int i = 0; i < 30'000; ++i) many.push_back(I(i));
  Value list = lab.list(many);
  EXPECT_EQ(lab.call("distinct", {list}).size, 30'000u);
  EXPECT_EQ(lab.run("sets.contains", {list, list}), "true");
  lab.cost = 1000;
  for (const char* function : {"distinct", "reverse", "sort", "flatten"}) {
    EXPECT_EQ(lab.run(function, {list}), "!limit") << function;
  }
  EXPECT_EQ(lab.run("sets.contains", {list, list}), "!limit");
  EXPECT_EQ(lab.run("lists.range", {I(5000)}), "!limit");
}

}  // namespace
}  // namespace tamis::cel::lib
