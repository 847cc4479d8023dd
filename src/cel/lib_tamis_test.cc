#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/hash.h"
#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibTamis, MixedArithmetic) {
  Lab lab;
  check_all(lab, {
                     {"_+_", {I(1), D(0.5)}, "1.5"},
                     {"_-_", {D(0.5), I(1)}, "-0.5"},
                     {"_*_", {U(3), D(0.5)}, "1.5"},
                     {"_/_", {I(1), D(4)}, "0.25"},
                     {"_/_", {I(-1), D(0)}, "double(\"-Infinity\")"},
                     {"_/_", {D(1), U(0)}, "double(\"Infinity\")"},
                     {"_/_", {I(0), D(0)}, "double(\"NaN\")"},
                     {"_+_", {I(-5), U(3)}, "-2"},
                     {"_-_", {U(3), I(5)}, "-2"},
                     {"_*_", {U(18446744073709551615u), I(-1)}, "!overflow"},
                     {"_*_", {I(-9223372036854775807 - 1), U(1)}, "-9223372036854775808"},
                     {"_+_", {U(9223372036854775807u), I(1)}, "!overflow"},
                     {"_/_", {I(-7), U(2)}, "-3"},
                     {"_/_", {I(1), U(0)}, "!zero"},
                     {"_%_", {I(-7), U(5)}, "-2"},
                     {"_%_", {U(7), I(0)}, "!zero"},
                     {"_%_", {I(7), D(2)}, "!no_overload"},
                 });
}

TEST(LibTamis, TheHostAnswers) {
  Lab lab;
  check_all(lab, {
                     {"@in", {S("listed"), Value::handle(7)}, "true"},
                     {"@in", {S("other"), Value::handle(7)}, "false"},
                     {"@labels", {Value::handle(3), S("192.0.2.0/24")}, "[\"kind3\", \"\\\"192.0.2.0/24\\\"\"]"},
                 });
  Call alone{lab.arena, nullptr, 1000};
  Value args[] = {S("listed"), Value::handle(7)};
  for (const Overload* row : lab.find("@in")) {
    if (row->id != "in_tamis_list") continue;
    EXPECT_EQ(Lab::show(row->invoke(alone, args)), "!other");
  }
}

TEST(LibTamis, Networks) {
  Lab lab;
  check_all(lab, {
                     {"net", {S("192.0.2.77"), I(24), I(56)}, "\"192.0.2.0/24\""},
                     {"net", {S("2001:db8:1:2ff::1"), I(24), I(56)}, "\"2001:db8:1:200::/56\""},
                     {"net", {S("::ffff:192.0.2.77"), I(24), I(56)}, "\"192.0.2.0/24\""},
                     {"net", {lab.ip("192.0.2.77"), I(0), I(0)}, "\"0.0.0.0/0\""},
                     {"net", {S("host"), I(24), I(56)}, "!invalid"},
                     {"net", {S("192.0.2.77"), I(33), I(56)}, "!invalid"},
                     {"net", {S("192.0.2.77"), I(24), I(-1)}, "!invalid"},
                 });
}

TEST(LibTamis, GeoDistance) {
  Lab lab;
  auto distance = [&](double a, double b, double c, double d) {
    return lab.call("geo.distance", {D(a), D(b), D(c), D(d)});
  };
  EXPECT_NEAR(distance(52.5200, 13.4050, 48.8566, 2.3522).d, 877.5, 1);       // Berlin, Paris
  EXPECT_NEAR(distance(-33.8688, 151.2093, 51.5074, -0.1278).d, 16993.9, 5);  // Sydney, London
  EXPECT_NEAR(distance(0, 0, 0, 180).d, 20015.1, 0.1);
  EXPECT_NEAR(distance(0, 179.5, 0, -179.5).d, 111.195, 0.01);  // across the date line
  EXPECT_EQ(distance(10, 20, 10, 20).d, 0);
  EXPECT_TRUE(distance(90.1, 0, 0, 0).is_error());
  EXPECT_TRUE(distance(0, 0, 0, -180.1).is_error());
  EXPECT_TRUE(distance(0, std::nan(""), 0, 0).is_error());
}

TEST(LibTamis, EditDistance) {
  Lab lab;
  check_all(lab, {
                     {"edit_distance", {S(""), S("")}, "0"},
                     {"edit_distance", {S("abc"), S("")}, "3"},
                     {"edit_distance", {S("kitten"), S("sitting")}, "3"},
                     {"edit_distance", {S("paypal"), S("payapl")}, "1"},
                     {"edit_distance", {S("ca"), S("abc")}, "3"},
                     {"edit_distance", {S("h\u00e9llo"), S("hello")}, "1"},
                     {"edit_distance", {S("kitten"), S("sitting"), I(2)}, "3"},
                     {"edit_distance", {S("kitten"), S("sitting"), I(0)}, "1"},
                     {"edit_distance", {S("same"), S("same"), I(0)}, "0"},
                     {"edit_distance", {S("a"), S("abcdef"), I(3)}, "4"},
                     {"edit_distance", {S("a"), S("b"), I(-1)}, "!invalid"},
                     {"edit_distance", {S("a"), S("b"), I(INT64_MAX)}, "1"},
                 });
  std::string a(20'000, 'a'), b(20'000, 'b');
  EXPECT_EQ(lab.run("edit_distance", {S(a), S(b)}), "!limit");
  EXPECT_EQ(lab.run("edit_distance", {S(a), S(b), I(2)}), "3");
}

// The table of the definition, without a band.
int64_t slow_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<int64_t>> d(a.size() + 1, std::vector<int64_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t k = 0; k <= b.size(); ++k) {
      if (i == 0 || k == 0) {
        d[i][k] = static_cast<int64_t>(i + k);
        continue;
      }
      d[i][k] = std::min({d[i - 1][k] + 1, d[i][k - 1] + 1, d[i - 1][k - 1] + (a[i - 1] != b[k - 1])});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
        d[i][k] = std::min(d[i][k], d[i - 2][k - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

TEST(LibTamis, EditDistanceAgreesWithItsDefinition) {
  Lab lab;
  auto text = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
  EXPECT_TRUE(rc::check([&] {
    std::string a = *text, b = *text;
    if (*rc::gen::arbitrary<bool>() && a.size() > 2) {
      b = a;
      std::swap(b[b.size() / 2], b[b.size() / 2 - 1]);
      b.erase(0, 1);
    }
    int64_t expected = slow_distance(a, b);
    RC_ASSERT(lab.call("edit_distance", {S(a), S(b)}).i == expected);
    for (int64_t bound = 0; bound < 8; ++bound) {
      RC_ASSERT(lab.call("edit_distance", {S(a), S(b), I(bound)}).i == std::min(expected, bound + 1));
    }
    lab.arena.reset();
  }));
}

TEST(LibTamis, HashesAndEntropy) {
  Lab lab;
  EXPECT_EQ(lab.run("hash", {I(1)}), lab.run("hash", {D(1)}));
  EXPECT_NE(lab.run("hash", {S("a")}), lab.run("hash", {S("b")}));
  for (int i = 0; i < 200; ++i) EXPECT_GE(lab.call("hash", {I(i)}).i, 0);
  // Canaries and shares depend on these values: they must never change.
  EXPECT_EQ(lab.run("hash", {S("user@example.com")}), "2116714825901689719");
  EXPECT_EQ(lab.run("hash", {I(42)}), "7780056791389912612");
  EXPECT_EQ(lab.run("hash", {lab.list({S("a"), T(true)})}), "9030406392130051399");
  check_all(lab, {
                     {"entropy", {S("")}, "0.0"},
                     {"entropy", {S("aaaa")}, "0.0"},
                     {"entropy", {S("abab")}, "1.0"},
                     {"entropy", {S("abcd")}, "2.0"},
                     {"entropy", {S("\u00e9a\u00e9a")}, "1.0"},
                     {"simhash_distance", {S("0000000000000000"), S("000000000000000F")}, "4"},
                     {"simhash_distance", {S("ffffffffffffffff"), S("0000000000000000")}, "64"},
                     {"simhash_distance", {S("fffffffffffffff"), S("0000000000000000")}, "!invalid"},
                     {"simhash_distance", {S("fffffffffffffffg"), S("0000000000000000")}, "!invalid"},
                     {"simhash_keys", {S("0f")}, "!invalid"},
                     {"simhash_keys", {S("000000000000000x")}, "!invalid"},
                 });
}

// Texts within three bits meet under one key at least; those that have nothing in common hardly ever do.
TEST(LibTamis, KeysOfASimhashMeetWhereTextsAreNearlyEqual) {
  Lab lab;
  const auto keys = [&lab](uint64_t hash) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    std::set<int64_t> all;
    for (const Value& key : lab.call("simhash_keys", {S(text)}).list_items()) all.insert(key.i);
    return all;
  };
  const auto shared = [](const std::set<int64_t>& a, const std::set<int64_t>& b) {
    return std::count_if(a.begin(), a.end(), [&b](int64_t key) { return b.contains(key); });
  };
  int64_t by_chance = 0;
  for (uint64_t n = 1; n <= 5000; ++n) {
    const uint64_t hash = base::mix64(n), mask = base::mix64(n + 1'000'000);
    const uint64_t near =
        hash ^ (uint64_t{1} << (mask % 64)) ^ (uint64_t{1} << (mask / 64 % 64)) ^ (uint64_t{1} << (mask / 4096 % 64));
    EXPECT_EQ(keys(hash).size(), 10u);
    EXPECT_GE(shared(keys(hash), keys(near)), 1) << hash << " " << near;
    by_chance += shared(keys(hash), keys(base::mix64(n + 2'000'000)));
    lab.arena.reset();
  }
  EXPECT_LE(by_chance, 2);
}

}  // namespace
}  // namespace tamis::cel::lib
