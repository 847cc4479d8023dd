#include "detect/keyed_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <map>

#include "detect/fast_math.h"

namespace tamis::detect {
namespace {

struct Wide {
  uint64_t a = 0;
  std::array<uint64_t, 20> rest{};
};

// Against the standard map, through growth, in all sizes of values; and a snapshot in between.
TEST(KeyedTable, holds_what_a_map_holds) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    KeyedTable<Wide> table(100'000);
    std::map<uint64_t, uint64_t> map, then;
    const uint64_t count = 1 + base::mix64(seed) % 3000;
    const auto key = [&](uint64_t i) { return base::combine64(seed, i % 2500) | 1u; };
    const auto worth = [](const Wide& w) { return w.a; };
    state::PieceWriter out;
    for (uint64_t i = 0; i < count; ++i) {
      if (i == count / 2) {
        table.begin_copy(out, 1, 7);
        then = map;
      }
      table.at(key(i), worth).a += i + 1;
      map[key(i)] += i + 1;
      if (i % 7 == 3) {
        RC_ASSERT(table.remove(key(i / 2)) == (map.erase(key(i / 2)) == 1));
      }
      if (i > count / 2 && i % 50 == 0) table.copy_next();
    }
    while (table.copy_next()) {
    }
    table.end_copy();
    RC_ASSERT(table.size() == map.size());
    for (const auto& [k, v] : map) RC_ASSERT(table.find(k) != nullptr && table.find(k)->a == v);
    RC_ASSERT(table.find(base::combine64(seed, 1'000'000) | 1u) == nullptr);
    // Those that differ in their last byte only, by one search.
    for (uint64_t i = 0; i < 200; ++i) {
      const uint64_t one = key(i) & ~uint64_t{0xff};
      for (uint64_t last = 1; last < 1 + i % 13; last += 2) table.at(one | last, worth).a = i * 256 + last;
      for (uint64_t last = 1; last < 15; last += 2) {
        const auto [a, b] = table.find_two(one | last, one | 3);
        RC_ASSERT(a == table.find(one | last) && b == table.find(one | 3));
        RC_ASSERT(table.change_two(one | last, one | 3)[0] == a);
      }
    }

    KeyedTable<Wide> second(100'000);
    std::string bytes;
    while (out.bytes() > 0) out.take(bytes, 1 << 20);
    state::PieceReader reader;
    reader.feed(bytes);
    std::vector<std::string> bodies;
    for (state::Piece p; reader.next(p).value_or(false);) bodies.emplace_back(p.body);
    RC_ASSERT(second.begin_load(bodies.size()));
    for (const std::string& body : bodies) {
      state::ByteReader in(body);
      const auto segment = in.number<uint32_t>();
      RC_ASSERT(second.load(segment, in) && in.left() == 0);
    }
    RC_ASSERT(second.finish_load());
    RC_ASSERT(second.size() == then.size());
    for (const auto& [k, v] : then) RC_ASSERT(second.find(k) != nullptr && second.find(k)->a == v);
  }));
}

TEST(KeyedTable, grows_evenly_and_stays_within_its_bounds) {
  KeyedTable<float> table(200'000);
  uint64_t dropped = 0;
  double worst = 0;
  for (uint64_t i = 0; i < 1'000'000; ++i) {
    float& v = table.at(
        base::mix64(i) | 1u, [](float f) { return f; }, [&](float) { ++dropped; });
    v = i % 10 == 0 ? 2.0f : 1.0f;
    if (i > 20'000 && i < 150'000)
      worst = std::max(worst, double(table.segments()) * double(512) / double(table.size()));
  }
  EXPECT_LE(table.size(), 300'000u);
  EXPECT_EQ(table.size() + dropped, 1'000'000u);
  EXPECT_LT(worst, 1.85);  // places for each entry, at any moment of growth
  uint64_t worthy = 0;
  for (uint64_t i = 0; i < 1'000'000; i += 10) worthy += table.find(base::mix64(i) | 1u) != nullptr;
  EXPECT_GE(worthy, 80'000u);  // the less worthy went first
}

TEST(KeyedTable, keys_that_were_chosen_cannot_blow_it_up) {
  KeyedTable<float> table(1'000'000);
  for (uint64_t i = 0; i < 100'000; ++i) table.at(i * 256 + 1, [](float f) { return f; }) = 1;
  EXPECT_LT(table.bytes(), 4u << 20);
}

TEST(KeyedTable, refuses_what_is_no_snapshot) {
  KeyedTable<float> table(10'000);
  for (uint64_t i = 0; i < 3000; ++i) table.at(base::mix64(i) | 1u, [](float f) { return f; }) = 1;
  ASSERT_GT(table.segments(), 3u);
  const auto body = [&](size_t s) {
    std::string out;
    table.save(s, out);
    return out;
  };
  // One bucket twice: some keys have two, some none.
  KeyedTable<float> twice(10'000);
  ASSERT_TRUE(twice.begin_load(table.segments()));
  for (size_t s = 0; s < table.segments(); ++s) {
    const std::string b = body(s == 1 ? 2 : s);
    state::ByteReader in(b);
    EXPECT_TRUE(twice.load(s, in));
  }
  EXPECT_FALSE(twice.finish_load());
  EXPECT_FALSE(KeyedTable<float>(10'000).begin_load(1'000'000));
  EXPECT_TRUE(rc::check([&](uint64_t flip) {
    std::string b = body(flip % table.segments());
    b[flip / 7 % b.size()] = static_cast<char>(b[flip / 7 % b.size()] ^ (1 << flip % 8));
    KeyedTable<float> other(10'000);
    RC_ASSERT(other.begin_load(1));
    state::ByteReader in(b);
    // Whatever is taken can be searched.
    if (other.load(0, in) && other.finish_load()) other.find(base::mix64(flip) | 1u);
  }));
}

TEST(FastMath, is_as_exact_as_it_says) {
  EXPECT_TRUE(rc::check([](int32_t a, uint32_t b) {
    const double x = double(a) / 5e6;
    RC_ASSERT(std::abs(fast_exp(x) / std::exp(x) - 1) < 1e-9);
    const double y = std::exp(x) * (1 + double(b) / 4e9);
    RC_ASSERT(std::abs(fast_log(y) - std::log(y)) < 1e-9 * std::max(1.0, std::abs(std::log(y))));
  }));
  EXPECT_EQ(fast_log(0), -700);
  EXPECT_EQ(fast_log(1), 0);
  EXPECT_EQ(fast_exp(0), 1);
  EXPECT_EQ(fast_exp(-1e9), 0);
  EXPECT_TRUE(std::isfinite(fast_exp(1e9)));
}

}  // namespace
}  // namespace tamis::detect
