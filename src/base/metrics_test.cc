#include "base/metrics.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <thread>

namespace tamis::base {
namespace {

TEST(Metrics, ExpositionIsPrometheusText) {
  MetricRegistry registry;
  registry.counter("tamis_events_total", "Events\nseen, with a \\.", {{"type", "a\"b\\c\nd"}}).add(3);
  registry.counter("tamis_events_total", "", {{"type", "x"}, {"door", "http"}}).add(4);
  registry.gauge("tamis_open", "Open things.").set(-5);
  registry.gauge_from("tamis_now", "Read late.", {}, [] { return 1.5; });
  std::string text;
  registry.expose(text);
  EXPECT_EQ(text,
            "# HELP tamis_events_total Events\\nseen, with a \\\\.\n"
            "# TYPE tamis_events_total counter\n"
            "tamis_events_total{type=\"a\\\"b\\\\c\\nd\"} 3\n"
            "tamis_events_total{type=\"x\",door=\"http\"} 4\n"
            "# HELP tamis_now Read late.\n# TYPE tamis_now gauge\ntamis_now 1.5\n"
            "# HELP tamis_open Open things.\n# TYPE tamis_open gauge\ntamis_open -5\n");
}

TEST(Metrics, SameNameAndLabelsAreOneSeries) {
  MetricRegistry registry;
  Counter& first = registry.counter("a_total", "", {{"x", "1"}});
  Counter& second = registry.counter("a_total", "", {{"x", "1"}});
  EXPECT_EQ(&first, &second);
  EXPECT_NE(&first, &registry.counter("a_total", "", {{"x", "2"}}));
}

TEST(Metrics, LabelsFromTrafficAreBounded) {
  MetricRegistry registry(3);
  for (int i = 0; i < 100; ++i) registry.counter("a_total", "", {{"x", std::to_string(i)}}).add();
  std::string text;
  registry.expose(text);
  EXPECT_NE(text.find("a_total{overflow=\"true\"} 97\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2 + 4);
}

TEST(Metrics, HistogramIsShownCumulatively) {
  MetricRegistry registry;
  Histogram& h = registry.histogram("t_seconds", "Times.", {{"door", "http"}}, {1e-3, {10, 100, 1000}});
  for (uint64_t v : {1, 9, 50, 5000}) h.record(v);
  std::string text;
  registry.expose(text);
  EXPECT_EQ(text,
            "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"
            "t_seconds_bucket{door=\"http\",le=\"0.01\"} 2\n"
            "t_seconds_bucket{door=\"http\",le=\"0.1\"} 3\n"
            "t_seconds_bucket{door=\"http\",le=\"1\"} 3\n"
            "t_seconds_bucket{door=\"http\",le=\"+Inf\"} 4\n"
            "t_seconds_sum{door=\"http\"} 5.06\n"
            "t_seconds_count{door=\"http\"} 4\n");
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  EXPECT_EQ(h.quantile(0.5), 0u);
  for (uint64_t v = 0; v < 64; ++v) h.record(v);
  EXPECT_EQ(h.count(), 64u);
  EXPECT_EQ(h.sum(), 63u * 32);
  EXPECT_EQ(h.quantile(0.0), 0u);
  EXPECT_EQ(h.quantile(0.5), 31u);
  EXPECT_EQ(h.quantile(1.0), 63u);
}

TEST(Histogram, HugeValuesAreClamped) {
  Histogram h;
  h.record(UINT64_MAX);
  h.record(Histogram::kValueMax);
  EXPECT_EQ(h.count(), 2u);
  EXPECT_EQ(h.quantile(1.0), Histogram::kValueMax);
}

TEST(Histogram, QuantileIsAtMostOneBucketTooHigh) {
  EXPECT_TRUE(rc::check("against sorting", [](std::vector<uint32_t> raw, uint8_t shift) {
    RC_PRE(!raw.empty());
    Histogram h;
    std::vector<uint64_t> values;
    for (uint32_t v : raw) values.push_back(std::min((uint64_t{v} << (shift % 9)), Histogram::kValueMax));
    for (uint64_t v : values) h.record(v);
    std::sort(values.begin(), values.end());
    for (double q : {0.01, 0.5, 0.9, 0.99, 1.0}) {
      auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
      uint64_t exact = values[rank - 1], shown = h.quantile(q);
      RC_ASSERT(shown >= exact);
      RC_ASSERT(static_cast<double>(shown) <= static_cast<double>(exact) * (1 + 1.0 / 32) + 1);
      RC_ASSERT(h.count_at_most(shown) >= rank);
    }
  }));
}

TEST(Metrics, CountsFromManyThreads) {
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 1000; ++i) {
        registry.counter("n_total", "").add();
        registry.histogram("h", "").record(i);
        if (i % 200 == 0) {
          std::string text;
          registry.expose(text);
        }
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(registry.counter("n_total", "").value(), 4000u);
  EXPECT_EQ(registry.histogram("h", "").count(), 4000u);
}

}  // namespace
}  // namespace tamis::base
