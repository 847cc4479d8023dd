// Distinct against the set of all values with the times when they were last seen.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/hash.h"
#include "state/feature.h"

namespace tamis::state {
namespace {

constexpr int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;

struct Reference {
  std::map<int64_t, int64_t> last_seen_ms;

  void add(int64_t value, int64_t t_ms) {
    auto [at, is_new] = last_seen_ms.emplace(value, t_ms);
    if (!is_new) at->second = std::max(at->second, t_ms);
  }
  int64_t count(int64_t after_ms, int64_t to_ms) const {
    int64_t n = 0;
    for (auto [value, t_ms] : last_seen_ms) n += t_ms > after_ms && t_ms <= to_ms;
    return n;
  }
};

TEST(FeatureDistinct, AgainstAllValues) {
  bool passed = rc::check("exact to 64, in its bounds beyond", [] {
    FeatureSpec spec;
    spec.name = "d";
    spec.aggregate = Aggregate::kDistinct;
    spec.windows_ms = *rc::gen::elementOf(
        std::vector<std::vector<int64_t>>{{kMinute}, {90 * kDay}, {kMinute, kHour}, {kMinute, kHour, kDay, 7 * kDay}});
    spec.lateness_ms = *rc::gen::element<int64_t>(0, kMinute, kHour);
    auto values = *rc::gen::element<uint64_t>(10, 64, 65, 100, 1000, 100'000);
    auto step_ms = *rc::gen::element<int64_t>(10, 1000, kMinute, kHour);
    auto count = *rc::gen::inRange<size_t>(1, 1200);
    auto r = *rc::gen::arbitrary<uint64_t>();
    auto table = FeatureTable::make(spec);
    base::Arena arena;
    Reference all;
    int64_t now_ms = 1'700'000'000'000, newest_ms = 0;
    for (size_t i = 0; i < count; ++i) {
      r = base::mix64(r);
      now_ms += r % 7 == 0 ? 0 : static_cast<int64_t>(r >> 40) % step_ms * ((r >> 20) % 97 == 0 ? 50 : 1);
      // Silences after which a part of what is remembered is dead.
      if ((r >> 22) % 211 == 0) now_ms += spec.windows_ms.back() * 3 / 4;
      bool late = (r >> 10) % 5 == 0;
      int64_t t_ms = late ? now_ms - static_cast<int64_t>(r >> 30) % (spec.lateness_ms + 1) : now_ms;
      newest_ms = std::max(newest_ms, t_ms);
      auto value = static_cast<int64_t>((r >> 13) % values);
      Cursor cursor = table->find(7);
      for (size_t w = 0; w < spec.windows_ms.size(); ++w) {
        int64_t window_ms = spec.windows_ms[w], at_ms = std::max(newest_ms, now_ms);
        int64_t want = all.count(at_ms - window_ms, at_ms);
        Value got = table->read(cursor, at_ms, w, arena);
        RC_ASSERT(got.is(event::Kind::kInt));
        if (want <= 64) {
          RC_ASSERT(got.i == want);
        } else {
          // The far edge cuts a generation: what is older than the window by less than its length may count.
          int64_t more = all.count(at_ms - 2 * window_ms, at_ms);
          int64_t begin_ms = at_ms - at_ms % window_ms - 1;
          int64_t fewer = std::max<int64_t>(all.count(begin_ms, at_ms), 65);
          RC_ASSERT(static_cast<double>(got.i) <= static_cast<double>(more) * 1.09 + 2);
          RC_ASSERT(static_cast<double>(got.i) >= static_cast<double>(fewer) * 0.91 - 2);
        }
      }
      table->update(cursor, t_ms, now_ms, Value::integer(value), false);
      all.add(value, t_ms);
    }
  });
  EXPECT_TRUE(passed);
}

// One generation: the estimate alone, within 5 standard errors.
TEST(FeatureDistinct, StandardError) {
  FeatureSpec spec;
  spec.name = "d";
  spec.aggregate = Aggregate::kDistinct;
  spec.windows_ms = {kDay};
  base::Arena arena;
  double squares = 0;
  int n = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    auto table = FeatureTable::make(spec);
    int64_t begin_ms = 20'000 * kDay;
    uint64_t next = 100;
    for (uint64_t i = 1; i <= 300'000; ++i) {
      table->update(table->find(1), begin_ms + static_cast<int64_t>(i / 10), begin_ms + kHour,
                    Value::uinteger(base::mix64(seed << 32 | i)), false);
      if (i != next) continue;
      next = next * 3 / 2;
      Value got = table->read(table->find(1), begin_ms + kHour, 0, arena);
      double error = static_cast<double>(got.i) / static_cast<double>(i) - 1;
      EXPECT_LT(std::fabs(error), 5 * 0.01625) << i;
      squares += error * error;
      ++n;
    }
  }
  EXPECT_LT(std::sqrt(squares / n), 0.018);
}

// Values that come evenly: the share of the generation that the edge cuts is told well.
TEST(FeatureDistinct, SlidesOverEvenStreams) {
  FeatureSpec spec;
  spec.name = "d";
  spec.aggregate = Aggregate::kDistinct;
  spec.windows_ms = {kHour};
  base::Arena arena;
  auto table = FeatureTable::make(spec);
  int64_t now_ms = 1'700'000'000'000;
  for (int64_t i = 0; i < 50'000; ++i) {
    now_ms += 1000;
    table->update(table->find(1), now_ms, now_ms, Value::integer(i), false);
    if (i < 8000 || i % 97 != 0) continue;
    double got = static_cast<double>(table->read(table->find(1), now_ms, 0, arena).i);
    EXPECT_LT(std::fabs(got / 3600 - 1), 0.0825) << i;
  }
}

TEST(FeatureDistinct, MemoryStaysUnderItsLimit) {
  for (const std::vector<int64_t>& windows :
       {std::vector<int64_t>{kHour}, {90 * kDay}, {kMinute, kHour, kDay, 7 * kDay}}) {
    FeatureSpec spec;
    spec.name = "d";
    spec.aggregate = Aggregate::kDistinct;
    spec.windows_ms = windows;
    auto table = FeatureTable::make(spec);
    constexpr uint64_t kKeys = 2000;
    for (uint64_t key = 0; key < kKeys; ++key) {
      for (int64_t i = 0; i < 300; ++i)
        table->update(table->find(key), 1'000'000 + i, 2'000'000, Value::integer(i), false);
    }
    double bytes = static_cast<double>(table->stats().bytes) / static_cast<double>(kKeys * windows.size());
    EXPECT_LT(bytes, 4.2 * 1024);
  }
}

}  // namespace
}  // namespace tamis::state
