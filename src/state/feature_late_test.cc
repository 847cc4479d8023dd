// What an event reads that came late but within the lateness, against a list of all events.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "state/feature.h"

namespace tamis::state {
namespace {

using event::Kind;

constexpr int64_t kSecond = 1000, kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000'000;

struct Event {
  int64_t t_ms;
  int64_t value;
};

// In order of time; of several at the same time in order of arrival.
std::vector<Event> inside(const std::vector<Event>& events, int64_t t_ms, int64_t window_ms) {
  std::vector<Event> found;
  for (const Event& e : events) {
    if (e.t_ms > t_ms - window_ms && e.t_ms <= t_ms) found.push_back(e);
  }
  std::stable_sort(found.begin(), found.end(), [](const Event& a, const Event& b) { return a.t_ms < b.t_ms; });
  return found;
}

// The values in the order in which they were last seen, oldest first, the k newest.
std::vector<int64_t> last_seen(const std::vector<Event>& events, size_t k) {
  std::vector<int64_t> values;
  for (auto e = events.rbegin(); e != events.rend() && values.size() < k; ++e) {
    if (std::find(values.begin(), values.end(), e->value) == values.end()) values.push_back(e->value);
  }
  std::reverse(values.begin(), values.end());
  return values;
}

double rate_of(const std::vector<Event>& events, int64_t t_ms, int64_t window_ms) {
  std::vector<Event> all = inside(events, t_ms, INT64_MAX / 4);
  double sum = 0;
  int64_t at_ms = kStart - 1000 * kDay;
  auto fade = [&](int64_t to_ms) {
    sum *=
        to_ms - at_ms >= window_ms ? 0 : std::exp(-static_cast<double>(to_ms - at_ms) / static_cast<double>(window_ms));
    at_ms = to_ms;
  };
  for (const Event& e : all) {
    fade(e.t_ms);
    sum += static_cast<double>(e.value);
  }
  fade(t_ms);
  return sum / (static_cast<double>(window_ms) / 1000);
}

void expect_right(Value got, const FeatureSpec& spec, const std::vector<Event>& events, int64_t t_ms, size_t w) {
  std::vector<Event> in = inside(events, t_ms, spec.windows_ms[w]);
  auto ints = [&](Value list) {
    std::vector<int64_t> values;
    for (Value v : list.list_items()) values.push_back(v.i);
    return values;
  };
  std::map<int64_t, int64_t> counts;
  int64_t sum = 0;
  for (const Event& e : in) {
    ++counts[e.value];
    sum += e.value;
  }
  switch (spec.aggregate) {
    case Aggregate::kCount:
      RC_ASSERT(got.i == static_cast<int64_t>(in.size()));
      break;
    case Aggregate::kSum:
      RC_ASSERT(got.i == sum);
      break;
    case Aggregate::kMin:
      RC_ASSERT((in.empty() ? got.is(Kind::kAbsent) : got.i == counts.begin()->first));
      break;
    case Aggregate::kMax:
      RC_ASSERT((in.empty() ? got.is(Kind::kAbsent) : got.i == counts.rbegin()->first));
      break;
    case Aggregate::kFirstSeen:
      RC_ASSERT((in.empty() ? got.is(Kind::kAbsent) : got.i * 1000 + got.size / 1'000'000 == in.front().t_ms));
      break;
    case Aggregate::kDistinct:
      RC_ASSERT(got.i == static_cast<int64_t>(counts.size()));
      break;
    case Aggregate::kLast:
      RC_ASSERT((in.empty() ? got.is(Kind::kAbsent) : got.i == in.back().value));
      break;
    case Aggregate::kSet:
      RC_ASSERT(ints(got) == last_seen(in, spec.k));
      break;
    case Aggregate::kTopK:
      RC_ASSERT(got.size == std::min<size_t>(counts.size(), spec.k));
      break;
    case Aggregate::kRate: {
      double want = rate_of(events, t_ms, spec.windows_ms[w]);
      RC_ASSERT(std::fabs(got.d - want) <= 1e-9 * std::max(1.0, want));
      break;
    }
    default:
      RC_ASSERT(false);
  }
}

// Reads at times all over the lateness, after each event, whether an event comes there or not.
void check(FeatureSpec spec, size_t count, uint64_t values, int64_t step_ms, uint64_t seed) {
  auto table = FeatureTable::make(spec), twin = FeatureTable::make(spec);  // the twin is never restored
  base::Arena arena;
  std::vector<Event> events;
  uint64_t r = seed;
  int64_t now_ms = kStart;
  for (size_t i = 0; i < count; ++i) {
    r = base::mix64(r + i);
    now_ms += static_cast<int64_t>((r >> 33) % static_cast<uint64_t>(step_ms));
    auto ago = [&](uint64_t by) {
      return static_cast<int64_t>(base::mix64(r + by) % static_cast<uint64_t>(spec.lateness_ms + 1));
    };
    bool late = r % 3 == 0;
    Event e{late ? now_ms - ago(1) : now_ms, static_cast<int64_t>((r >> 40) % values)};
    for (uint64_t reading = 0; reading < 4; ++reading) {
      int64_t t_ms = reading == 0 ? e.t_ms : now_ms - ago(reading + 1);
      for (size_t w = 0; w < spec.windows_ms.size(); ++w) {
        expect_right(table->read(table->find(1), t_ms, w, arena), spec, events, t_ms, w);
      }
    }
    std::vector<Event> with = events;
    with.push_back(e);
    for (size_t w = 0; w < spec.windows_ms.size(); ++w) {
      Value got = table->read_with(table->find(1), e.t_ms, w, Value::integer(e.value), false, arena);
      expect_right(got, spec, with, e.t_ms, w);
    }
    table->update(table->find(1), e.t_ms, now_ms, Value::integer(e.value), false);
    table->advance(now_ms);
    twin->update(twin->find(1), e.t_ms, now_ms, Value::integer(e.value), false);
    twin->advance(now_ms);
    RC_ASSERT(twin->digest() == table->digest());
    events = with;
    if (i % 7 != 0) continue;
    std::string saved;
    table->save(saved);
    auto copy = FeatureTable::make(spec);
    base::Status loaded = copy->load(saved);
    RC_ASSERT(loaded.has_value());
    RC_ASSERT(copy->digest() == table->digest());
    table = std::move(copy);
  }
}

TEST(FeatureLate, ExactWhileSmall) {
  for (Aggregate aggregate :
       {Aggregate::kCount, Aggregate::kSum, Aggregate::kMin, Aggregate::kMax, Aggregate::kFirstSeen,
        Aggregate::kDistinct, Aggregate::kLast, Aggregate::kSet, Aggregate::kTopK, Aggregate::kRate}) {
    EXPECT_TRUE(rc::check("a late event reads its own window", [&] {
      FeatureSpec spec;
      spec.name = "f";
      spec.aggregate = aggregate;
      spec.windows_ms = *rc::gen::elementOf(
          std::vector<std::vector<int64_t>>{{kMinute}, {kHour}, {kMinute, kHour, kDay}, {5 * kSecond, kDay}});
      spec.lateness_ms = *rc::gen::element<int64_t>(0, kMinute, kHour, kDay);
      spec.k = *rc::gen::element<uint32_t>(1, 3, 10);
      check(spec, 16, *rc::gen::element<uint64_t>(1, 3, 100), *rc::gen::element<int64_t>(10, kSecond, kMinute, kHour),
            *rc::gen::arbitrary<uint64_t>());
    })) << static_cast<int>(aggregate);
  }
}

// However many events there are: values count, and where they were seen again within the shortest window.
TEST(FeatureLate, DistinctIsExactTo64Values) {
  EXPECT_TRUE(rc::check("a late event reads the values of its window", [] {
    FeatureSpec spec;
    spec.name = "f";
    spec.aggregate = Aggregate::kDistinct;
    spec.windows_ms = *rc::gen::elementOf(std::vector<std::vector<int64_t>>{{kHour}, {kHour, kDay}, {2 * kHour, kDay}});
    spec.lateness_ms = *rc::gen::element<int64_t>(0, kMinute, kHour);
    check(spec, 400, *rc::gen::element<uint64_t>(1, 5, 20, 60), *rc::gen::element<int64_t>(10, kSecond, kMinute, kHour),
          *rc::gen::arbitrary<uint64_t>());
  }));
}

// Events in order that come often do not push out what late ones read: of many sightings in a row few are kept.
TEST(FeatureLate, OneValueInARow) {
  for (Aggregate aggregate : {Aggregate::kLast, Aggregate::kSet}) {
    FeatureSpec spec;
    spec.name = "f";
    spec.aggregate = aggregate;
    spec.windows_ms = {kHour};
    spec.lateness_ms = kHour;
    auto table = FeatureTable::make(spec);
    base::Arena arena;
    table->update(table->find(1), kStart, kStart, Value::integer(1), false);
    for (int64_t i = 1; i <= 1000; ++i) {
      table->update(table->find(1), kStart + i * kSecond, kStart + i * kSecond, Value::integer(2), false);
    }
    for (int64_t i = 0; i <= 1000; ++i) {
      Value got = table->read(table->find(1), kStart + i * kSecond, 0, arena);
      if (aggregate == Aggregate::kSet) {
        ASSERT_EQ(got.size, i == 0 ? 1u : 2u) << i;
        got = got.items[got.size - 1];
      }
      ASSERT_EQ(got.i, i == 0 ? 1 : 2) << i;
    }
  }
}

}  // namespace
}  // namespace tamis::state
