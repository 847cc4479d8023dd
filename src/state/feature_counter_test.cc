// Count, sum, mean, min, max and ratio against a list of all events.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "state/feature.h"

namespace tamis::state {
namespace {

constexpr int64_t kSecond = 1000, kHour = 3'600'000, kDay = 24 * kHour;

struct Event {
  int64_t t_ms;
  int64_t now_ms;
  uint64_t key;
  Value of;
  bool hit;
};

// All events of a key that are in the window, oldest first among equals in order of arrival.
std::vector<Event> in_window(const std::vector<Event>& all, uint64_t key, int64_t t_ms, int64_t window_ms) {
  std::vector<Event> found;
  for (const Event& e : all) {
    if (e.key == key && e.t_ms > t_ms - window_ms && e.t_ms <= t_ms) found.push_back(e);
  }
  return found;
}

double number(Value v) {
  switch (v.kind) {
    case event::Kind::kInt:
      return static_cast<double>(v.i);
    case event::Kind::kDouble:
      return v.d;
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

double expected(Aggregate aggregate, const std::vector<Event>& events) {
  double sum = 0, least = HUGE_VAL, most = -HUGE_VAL, hits = 0;
  for (const Event& e : events) {
    double v = number(e.of);
    sum += v;
    least = std::min(least, v);
    most = std::max(most, v);
    hits += e.hit ? 1 : 0;
  }
  auto n = static_cast<double>(events.size());
  switch (aggregate) {
    case Aggregate::kCount:
      return n;
    case Aggregate::kSum:
      return sum;
    case Aggregate::kMean:
      return sum / n;
    case Aggregate::kMin:
      return least;
    case Aggregate::kMax:
      return most;
    default:
      return hits / n;
  }
}

// A stream of events of a few keys, a part of them late, with bursts and silences of the size of the windows.
std::vector<Event> stream(const FeatureSpec& spec, size_t count, bool late) {
  std::vector<Event> events;
  int64_t now_ms = *rc::gen::element<int64_t>(1'700'000'000'000, 0, -5'000'000'000);
  auto gaps = *rc::gen::container<std::vector<uint32_t>>(count, rc::gen::arbitrary<uint32_t>());
  auto values = *rc::gen::container<std::vector<uint32_t>>(count, rc::gen::arbitrary<uint32_t>());
  int64_t scale = *rc::gen::element<int64_t>(spec.windows_ms.front() / 100, spec.windows_ms.front() / 4,
                                             spec.windows_ms.back() / 30, spec.windows_ms.back() / 3);
  bool decimals = *rc::gen::arbitrary<bool>();
  for (size_t i = 0; i < count; ++i) {
    uint32_t r = gaps[i] * 2654435761u, v = values[i] * 2654435761u;
    if (r % 5 != 0) now_ms += static_cast<int64_t>(r >> 8) * scale / (1 << 24) * (r % 31 == 0 ? 8 : 1);
    Event e{now_ms, now_ms, v % 3, {}, (v >> 3) % 3 == 0};
    if (late && r % 4 == 0 && spec.lateness_ms > 0) e.t_ms -= static_cast<int64_t>(v) % (spec.lateness_ms + 1);
    auto whole = static_cast<int64_t>(v >> 8) % 5000 - 1000;
    e.of = spec.value_kind == event::Kind::kInt ? Value::integer(whole)
                                                : Value::real(static_cast<double>(whole) / (decimals ? 100 : 7));
    events.push_back(e);
  }
  return events;
}

FeatureSpec random_spec() {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = *rc::gen::element(Aggregate::kCount, Aggregate::kSum, Aggregate::kMean, Aggregate::kMin,
                                     Aggregate::kMax, Aggregate::kRatio);
  spec.value_kind = *rc::gen::element(event::Kind::kInt, event::Kind::kDouble);
  spec.windows_ms = *rc::gen::elementOf(std::vector<std::vector<int64_t>>{
      {kSecond}, {kHour}, {90 * kDay}, {60 * kSecond, kHour, kDay, 7 * kDay}, {10 * kSecond, 11 * kSecond, 90 * kDay}});
  spec.lateness_ms = *rc::gen::element<int64_t>(0, 60 * kSecond, kHour);
  return spec;
}

// The length of the longest bucket that an edge of the window can cut.
int64_t slack_ms(const FeatureSpec& spec, size_t window) { return spec.windows_ms[window] / 12 + 1; }

void check(const FeatureSpec& spec, const std::vector<Event>& before, Value got, uint64_t key, int64_t t_ms, size_t w) {
  int64_t window_ms = spec.windows_ms[w];
  auto exact = in_window(before, key, t_ms, window_ms);
  bool absent_if_empty = spec.aggregate != Aggregate::kCount && spec.aggregate != Aggregate::kSum;
  if (exact.empty() && absent_if_empty) {
    RC_ASSERT(got.is(event::Kind::kAbsent));
    return;
  }
  double want = expected(spec.aggregate, exact);
  double tolerance = 1e-9 * (1 + std::fabs(want));
  if (exact.size() <= 16) {
    RC_ASSERT(std::fabs(number(got) - want) <= tolerance);
    return;
  }
  // The events of the bucket that the far edge cuts lie within its length of the edge, on one side or the other.
  auto fewer = in_window(before, key, t_ms, window_ms - slack_ms(spec, w));
  auto more = in_window(before, key, t_ms, window_ms + slack_ms(spec, w));
  double doubt = 0;
  for (const Event& e : more) doubt += spec.aggregate == Aggregate::kSum ? std::fabs(number(e.of)) : 1;
  for (const Event& e : fewer) doubt -= spec.aggregate == Aggregate::kSum ? std::fabs(number(e.of)) : 1;
  double value = number(got);
  switch (spec.aggregate) {
    case Aggregate::kCount:
    case Aggregate::kSum:
      RC_ASSERT(std::fabs(value - want) <= doubt + tolerance + 1);
      break;
    case Aggregate::kMin:
    case Aggregate::kMax: {
      auto [low, high] = std::minmax({expected(spec.aggregate, fewer), expected(spec.aggregate, more)});
      RC_ASSERT(value >= low - tolerance && value <= high + tolerance);
      break;
    }
    default: {
      // Weights of the doubtful events may be anything from 0 to 1.
      double low = HUGE_VAL, high = -HUGE_VAL, sum = 0, n = 0;
      for (const Event& e : fewer) {
        sum += spec.aggregate == Aggregate::kMean ? number(e.of) : (e.hit ? 1 : 0);
        n += 1;
      }
      if (n > 0) low = high = sum / n;
      for (const Event& e : more) {
        double v = spec.aggregate == Aggregate::kMean ? number(e.of) : (e.hit ? 1 : 0);
        low = std::min(low, v);
        high = std::max(high, v);
      }
      RC_ASSERT(value >= low - tolerance && value <= high + tolerance);
    }
  }
}

TEST(FeatureCounter, AgainstAllEvents) {
  bool passed = rc::check("readings hold their bounds", [] {
    FeatureSpec spec = random_spec();
    auto table = FeatureTable::make(spec);
    base::Arena arena;
    std::vector<Event> before;
    for (const Event& e : stream(spec, *rc::gen::inRange<size_t>(1, 400), true)) {
      // Events are read at the newest time of their key or later; late ones only change what is there.
      int64_t newest_ms = INT64_MIN;
      for (const Event& b : before) {
        if (b.key == e.key) newest_ms = std::max(newest_ms, b.t_ms);
      }
      Cursor cursor = table->find(e.key);
      for (size_t w = 0; w < spec.windows_ms.size() && e.t_ms >= newest_ms; ++w) {
        check(spec, before, table->read(cursor, e.t_ms, w, arena), e.key, e.t_ms, w);
      }
      table->update(cursor, e.t_ms, e.now_ms, e.of, e.hit);
      table->advance(e.now_ms);
      before.push_back(e);
    }
  });
  EXPECT_TRUE(passed);
}

}  // namespace
}  // namespace tamis::state
