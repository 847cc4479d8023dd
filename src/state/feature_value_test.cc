// Last, first-seen, rate, quantile, top-k and set against a list of all events; numeric edges of the others.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "state/exp2.h"
#include "state/feature.h"
#include "state/scalar.h"
#include "state/tally.h"

namespace tamis::state {
namespace {

using event::Kind;

constexpr int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000'000;

FeatureSpec spec_of(Aggregate aggregate, Kind kind = Kind::kInt) {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = aggregate;
  spec.windows_ms = {kMinute, kHour, kDay};
  spec.value_kind = kind;
  return spec;
}

struct Event {
  int64_t t_ms;
  int64_t value;
};

// Random events in order of arrival, read before each at the newest time of all.
template <class Check>
void replay(const FeatureSpec& spec, size_t count, uint64_t values, int64_t step_ms, Check check) {
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  std::vector<Event> events;
  auto r = *rc::gen::arbitrary<uint64_t>();
  int64_t now_ms = kStart;
  for (size_t i = 0; i < count; ++i) {
    r = base::mix64(r);
    now_ms += static_cast<int64_t>((r >> 33) % static_cast<uint64_t>(step_ms)) * ((r >> 20) % 50 == 0 ? 40 : 1);
    if ((r >> 22) % 61 == 0) now_ms += spec.windows_ms.back() * 3 / 4;
    bool late = (r >> 8) % 4 == 0;
    Event e{late ? now_ms - static_cast<int64_t>((r >> 12) % static_cast<uint64_t>(kHour)) : now_ms,
            static_cast<int64_t>((r >> 40) % values)};
    for (size_t w = 0; w < spec.windows_ms.size(); ++w) {
      std::vector<Event> inside;
      for (const Event& b : events) {
        if (b.t_ms > now_ms - spec.windows_ms[w] && b.t_ms <= now_ms) inside.push_back(b);
      }
      check(table->read(table->find(1), now_ms, w, arena), inside, w, now_ms);
    }
    table->update(table->find(1), e.t_ms, now_ms, Value::integer(e.value), false);
    events.push_back(e);
  }
}

TEST(FeatureValue, Last) {
  EXPECT_TRUE(rc::check("last", [] {
    auto step_ms = *rc::gen::element<int64_t>(100, kMinute, kHour);
    replay(spec_of(Aggregate::kLast), 100, 10, step_ms,
           [](Value got, const std::vector<Event>& inside, size_t, int64_t) {
             if (inside.empty()) {
               RC_ASSERT(got.is(Kind::kAbsent));
               return;
             }
             Event newest = inside.front();
             for (const Event& e : inside) newest = e.t_ms >= newest.t_ms ? e : newest;
             RC_ASSERT(got.is(Kind::kInt) && got.i == newest.value);
           });
  }));
}

TEST(FeatureValue, FirstSeen) {
  EXPECT_TRUE(rc::check("first-seen", [] {
    auto step_ms = *rc::gen::element<int64_t>(100, 5000, kMinute, kHour);
    FeatureSpec spec = spec_of(Aggregate::kFirstSeen);
    replay(spec, 250, 10, step_ms, [&](Value got, const std::vector<Event>& inside, size_t w, int64_t now_ms) {
      if (inside.empty()) {
        RC_ASSERT(got.is(Kind::kAbsent));
        return;
      }
      RC_ASSERT(got.is(Kind::kTimestamp));
      int64_t got_ms = got.i * 1000 + got.size / 1'000'000;
      int64_t first_ms = INT64_MAX;
      for (const Event& e : inside) first_ms = std::min(first_ms, e.t_ms);
      if (inside.size() <= 16) {
        RC_ASSERT(got_ms == first_ms);
      } else {
        // An event that happened, at most the events of one bucket behind the first.
        int64_t edge_ms = now_ms - spec.windows_ms[w] + spec.windows_ms[w] / 12 + 1;
        int64_t next_ms = INT64_MAX;
        for (const Event& e : inside) {
          if (e.t_ms > edge_ms) next_ms = std::min(next_ms, e.t_ms);
        }
        RC_ASSERT(got_ms >= first_ms && got_ms <= next_ms);
        RC_ASSERT(std::any_of(inside.begin(), inside.end(), [&](const Event& e) { return e.t_ms == got_ms; }));
      }
    });
  }));
}

TEST(FeatureValue, Set) {
  EXPECT_TRUE(rc::check("set", [] {
    FeatureSpec spec = spec_of(Aggregate::kSet);
    spec.k = *rc::gen::element<uint32_t>(1, 4, 32);
    auto values = *rc::gen::element<uint64_t>(3, 20, 1000);
    auto step_ms = *rc::gen::element<int64_t>(100, kMinute, kHour);
    replay(spec, 150, values, step_ms, [&](Value got, const std::vector<Event>& inside, size_t, int64_t) {
      std::map<int64_t, int64_t> seen;
      for (const Event& e : inside) seen[e.value] = std::max(seen.emplace(e.value, e.t_ms).first->second, e.t_ms);
      RC_ASSERT(got.is(Kind::kList));
      RC_ASSERT(got.size == std::min<size_t>(seen.size(), spec.k));
      int64_t before_ms = INT64_MIN;
      for (Value v : got.list_items()) {
        RC_ASSERT(v.is(Kind::kInt) && seen.count(v.i) == 1);
        RC_ASSERT(seen[v.i] >= before_ms);
        before_ms = seen[v.i];
        seen.erase(v.i);
      }
      // None that is left out was seen later than one that is told.
      for (auto [value, t_ms] : seen) RC_ASSERT(got.size == 0 || t_ms <= before_ms);
    });
  }));
}

double quantile_of(std::vector<Event> events, double q) {
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.value < b.value; });
  return static_cast<double>(events[static_cast<size_t>(q * static_cast<double>(events.size() - 1))].value);
}

TEST(FeatureValue, Quantile) {
  EXPECT_TRUE(rc::check("quantile", [] {
    FeatureSpec spec = spec_of(Aggregate::kQuantile);
    spec.quantile = *rc::gen::element(0.0, 0.5, 0.9, 0.99, 1.0);
    auto values = *rc::gen::element<uint64_t>(3, 1000, 1'000'000'000);
    auto step_ms = *rc::gen::element<int64_t>(100, kMinute, kHour);
    replay(spec, 300, values, step_ms, [&](Value got, const std::vector<Event>& inside, size_t, int64_t) {
      if (inside.empty()) {
        RC_ASSERT(got.is(Kind::kAbsent));
        return;
      }
      RC_ASSERT(got.is(Kind::kDouble));
      if (inside.size() < 32) {
        double want = quantile_of(inside, spec.quantile);
        RC_ASSERT(std::fabs(got.d - want) <= 0.01 * want);
      }
    });
  }));
}

// Many events in one generation: ranks are exact, values within 1 %.
TEST(FeatureValue, QuantileOfMany) {
  for (double q : {0.01, 0.5, 0.95, 0.999}) {
    FeatureSpec spec = spec_of(Aggregate::kQuantile, Kind::kDouble);
    spec.quantile = q;
    spec.windows_ms = {kDay};
    auto table = FeatureTable::make(spec);
    base::Arena arena;
    int64_t begin_ms = 20'000 * kDay;
    std::vector<double> all;
    uint64_t r = 1;
    for (int i = 0; i < 20'000; ++i) {
      r = base::mix64(r);
      double v = static_cast<double>(r >> 40) / 1000;
      all.push_back(v);
      table->update(table->find(1), begin_ms + i, begin_ms + i, Value::real(v), false);
    }
    std::sort(all.begin(), all.end());
    double want = all[static_cast<size_t>(q * static_cast<double>(all.size() - 1))];
    EXPECT_NEAR(table->read(table->find(1), begin_ms + 20'000, 0, arena).d, want, 0.01 * want) << q;
  }
}

TEST(FeatureValue, QuantileBuckets) {
  double before = -HUGE_VAL;
  for (double v : {-1e308, -5.0, -1.0, -0.3, -1e-300, 0.0, 1e-300, 0.3, 1.0, 1.01, 5.0, 1.7e308}) {
    int32_t bucket = Tally::bucket_of(v);
    double middle = Tally::middle_of(bucket);
    EXPECT_TRUE(std::isfinite(middle));
    EXPECT_LE(std::fabs(middle - v), 0.0079 * std::fabs(v)) << v;
    EXPECT_GE(middle, before);
    before = middle;
  }
}

TEST(FeatureValue, TopK) {
  EXPECT_TRUE(rc::check("top-k", [] {
    FeatureSpec spec = spec_of(Aggregate::kTopK);
    spec.k = *rc::gen::element<uint32_t>(1, 3, 10);
    auto values = *rc::gen::element<uint64_t>(3, 20, 1000);
    auto step_ms = *rc::gen::element<int64_t>(100, kMinute, kHour);
    replay(spec, 200, values, step_ms, [&](Value got, const std::vector<Event>& inside, size_t, int64_t) {
      std::map<int64_t, size_t> counts;
      for (const Event& e : inside) ++counts[e.value];
      RC_ASSERT(got.is(Kind::kList));
      if (inside.size() >= 32) return;
      RC_ASSERT(got.size == std::min<size_t>(counts.size(), spec.k));
      size_t before = SIZE_MAX;
      for (Value v : got.list_items()) {
        RC_ASSERT(counts.count(v.i) == 1 && counts[v.i] <= before);
        before = counts[v.i];
        counts.erase(v.i);
      }
      for (auto [value, count] : counts) RC_ASSERT(count <= before);
    });
  }));
}

// Frequent values among a thousand rare ones are found, in their order.
TEST(FeatureValue, TopKOfMany) {
  FeatureSpec spec = spec_of(Aggregate::kTopK, Kind::kString);
  spec.k = 3;
  spec.windows_ms = {kDay};
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  uint64_t r = 1;
  int64_t begin_ms = 20'000 * kDay;
  for (int i = 0; i < 20'000; ++i) {
    r = base::mix64(r);
    std::string value = r % 10 < 4 ? "first" : r % 10 < 6 ? "second" : r % 10 < 7 ? "third" : std::to_string(r >> 40);
    table->update(table->find(1), begin_ms + i, begin_ms + i, Value::string(value), false);
  }
  Value top = table->read(table->find(1), begin_ms + 20'000, 0, arena);
  ASSERT_EQ(top.size, 3u);
  EXPECT_EQ(top.items[0].str(), "first");
  EXPECT_EQ(top.items[1].str(), "second");
  EXPECT_EQ(top.items[2].str(), "third");
}

TEST(FeatureValue, Rate) {
  FeatureSpec spec = spec_of(Aggregate::kRate);
  spec.windows_ms = {kMinute};
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  int64_t now_ms = kStart;
  for (int i = 0; i < 10'000; ++i) {
    now_ms += 100;
    table->update(table->find(1), now_ms, now_ms, Value::absent(), false);
  }
  EXPECT_NEAR(table->read(table->find(1), now_ms, 0, arena).d, 10, 0.02);
  double later = table->read(table->find(1), now_ms + 30'000, 0, arena).d;
  EXPECT_NEAR(later, 10 * std::exp(-0.5), 0.02);
  EXPECT_EQ(table->read(table->find(1), now_ms + kMinute, 0, arena).d, 0);
  // The order of two events does not matter, but for rounding.
  auto a = FeatureTable::make(spec), b = FeatureTable::make(spec);
  for (int64_t t_ms : {0, 20'000, 5'000})
    a->update(a->find(1), kStart + t_ms, kStart + 20'000, Value::real(2.5), false);
  for (int64_t t_ms : {0, 5'000, 20'000})
    b->update(b->find(1), kStart + t_ms, kStart + 20'000, Value::real(2.5), false);
  EXPECT_NEAR(a->read(a->find(1), kStart + 20'000, 0, arena).d, b->read(b->find(1), kStart + 20'000, 0, arena).d,
              1e-12);
}

TEST(FeatureValue, ExpMinus) {
  for (double x = 0; x < 690; x += 0.37) {
    EXPECT_NEAR(exp_minus(x), std::exp(-x), 1e-13 * std::exp(-x)) << x;
  }
  EXPECT_EQ(exp_minus(1e300), 0);
  EXPECT_EQ(exp_minus(HUGE_VAL), 0);
}

TEST(FeatureValue, ScalarsOfAllKinds) {
  base::Arena arena;
  event::IpData ip{};
  ip.bytes[15] = 7;
  std::string longest(300, 'a');
  longest.replace(255, 2, "\xc3\xa9");
  const Value scalars[] = {Value::boolean(true), Value::integer(-5),        Value::uinteger(UINT64_MAX),
                           Value::real(-0.5),    Value::string("x"),        Value::string(""),
                           Value::bytes("\xff"), Value::timestamp(-1, 999), Value::duration(INT64_MIN),
                           Value::ip_of(&ip)};
  for (Aggregate aggregate : {Aggregate::kLast, Aggregate::kSet, Aggregate::kTopK}) {
    for (Value v : scalars) {
      auto table = FeatureTable::make(spec_of(aggregate));
      table->update(table->find(1), kStart, kStart, v, false);
      Value got = table->read(table->find(1), kStart, 0, arena);
      if (aggregate != Aggregate::kLast) {
        ASSERT_EQ(got.size, 1u);
        got = got.items[0];
      }
      EXPECT_EQ(got.kind, v.kind);
      EXPECT_TRUE(event::equal(got, v)) << event::debug_string(v);
    }
  }
  auto table = FeatureTable::make(spec_of(Aggregate::kLast));
  table->update(table->find(1), kStart, kStart, Value::string(longest), false);
  EXPECT_EQ(table->read(table->find(1), kStart, 0, arena).str(), std::string(255, 'a'));
  // What is no scalar does not count.
  for (Value v : {Value::null(), Value::list({}), Value::absent(), Value::real(std::nan(""))}) {
    table->update(table->find(2), kStart, kStart, v, false);
    EXPECT_TRUE(table->read(table->find(2), kStart, 0, arena).is(Kind::kAbsent));
  }
}

TEST(FeatureValue, NumericEdges) {
  base::Arena arena;
  auto value = [&](Aggregate aggregate, Kind kind, std::initializer_list<Value> values) {
    auto table = FeatureTable::make(spec_of(aggregate, kind));
    for (Value v : values) table->update(table->find(1), kStart, kStart, v, false);
    return table->read(table->find(1), kStart, 0, arena);
  };
  Value most = Value::integer(INT64_MAX), least = Value::integer(INT64_MIN);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kInt, {most, most}).i, INT64_MAX);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kInt, {least, least}).i, INT64_MIN);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kInt, {most, least}).i, -1);
  EXPECT_EQ(value(Aggregate::kMin, Kind::kInt, {most, least}).i, INT64_MIN);
  EXPECT_EQ(value(Aggregate::kMax, Kind::kInt, {most, least}).i, INT64_MAX);
  Value nan = Value::real(std::nan("")), infinite = Value::real(HUGE_VAL), small = Value::real(0.125);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kDouble, {nan, small, infinite}).d, 0.125);
  EXPECT_EQ(value(Aggregate::kMean, Kind::kDouble, {nan, small, infinite}).d, 0.125);
  EXPECT_TRUE(value(Aggregate::kMax, Kind::kDouble, {nan}).is(Kind::kAbsent));
  EXPECT_EQ(value(Aggregate::kMax, Kind::kDouble, {Value::real(1e-320), Value::real(-1e300)}).d, 1e-320);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kDouble, {Value::real(0.1), Value::real(0.2)}).d, 0.3);
  EXPECT_EQ(value(Aggregate::kSum, Kind::kDouble, {Value::real(1.0 / 3), Value::real(0.25)}).d, 1.0 / 3 + 0.25);
  EXPECT_EQ(value(Aggregate::kMean, Kind::kInt, {Value::integer(1), Value::integer(2)}).d, 1.5);
  Value early = Value::timestamp(-62'000'000, 1), late = Value::timestamp(1'700'000'000, 999'999'999);
  EXPECT_TRUE(event::equal(value(Aggregate::kMin, Kind::kTimestamp, {late, early}), early));
  EXPECT_TRUE(event::equal(value(Aggregate::kMax, Kind::kTimestamp, {late, early}), late));
  EXPECT_EQ(value(Aggregate::kMax, Kind::kDuration, {Value::duration(-5), Value::duration(-7)}).i, -5);
  EXPECT_EQ(value(Aggregate::kMax, Kind::kUint, {Value::uinteger(5)}).u, 5u);
  EXPECT_TRUE(value(Aggregate::kSum, Kind::kInt, {Value::string("x")}).is(Kind::kInt));
  // Beyond the exact events, too.
  auto table = FeatureTable::make(spec_of(Aggregate::kSum));
  for (int i = 0; i < 100; ++i) table->update(table->find(1), kStart, kStart, most, false);
  EXPECT_EQ(table->read(table->find(1), kStart, 0, arena).i, INT64_MAX);
  auto cents = FeatureTable::make(spec_of(Aggregate::kSum, Kind::kDouble));
  for (int i = 0; i < 1000; ++i) cents->update(cents->find(1), kStart, kStart, Value::real(0.01), false);
  EXPECT_EQ(cents->read(cents->find(1), kStart, 0, arena).d, 10);
  cents->update(cents->find(1), kStart, kStart, Value::real(1.0 / 3), false);
  EXPECT_NEAR(cents->read(cents->find(1), kStart, 0, arena).d, 10 + 1.0 / 3, 1e-12);
}

}  // namespace
}  // namespace tamis::state
