// Metrics: counters, gauges and histograms of one process, shown in Prometheus' text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). Rooms register what they count with the one
// MetricRegistry that app/ owns, keep the reference, and add to it.
//
// Threading: everything may be called from any thread. Counting is one relaxed atomic operation (about 5 ns when no
// other thread counts the same thing); a loop that counts millions of things a second counts in a local variable and
// adds now and then. Registering takes a lock: do it once, not per event.
// Lifetime: references stay valid as long as the registry.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tamis::base {

// Only goes up. By convention its name ends in `_total`.
class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// A distribution of whole numbers, usually nanoseconds. Buckets are log-linear as in HdrHistogram: 32 per power of two,
// so a quantile is at most 3.2 % too high and values below 64 are exact. 9 KiB each: for doors and stages, not for each
// rule.
class Histogram {
 public:
  static constexpr uint64_t kValueMax = (uint64_t{1} << 40) - 1;  // 18 minutes in ns; larger values count as this

  void record(uint64_t value) {
    if (value > kValueMax) value = kValueMax;
    buckets_[bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }
  uint64_t count() const;
  uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }
  // The smallest bucket's upper edge below or at which a share `q` (0..1) of all values lies; 0 when empty.
  uint64_t quantile(double q) const;
  // How many values are at most `bound`, to the precision of a bucket (a bucket counts when all of it is).
  uint64_t count_at_most(uint64_t bound) const;

 private:
  static constexpr int kSubBits = 5;
  static constexpr size_t kSubBuckets = size_t{1} << kSubBits;
  static constexpr size_t kBuckets = (40 - kSubBits + 1) * kSubBuckets;

  static size_t bucket_of(uint64_t value) {
    if (value < kSubBuckets) return value;
    int shift = 63 - __builtin_clzll(value) - kSubBits;
    return static_cast<size_t>(shift) * kSubBuckets + static_cast<size_t>(value >> shift);
  }
  static uint64_t upper_edge(size_t bucket);

  std::array<std::atomic<uint64_t>, kBuckets> buckets_ = {};
  std::atomic<uint64_t> sum_{0};
};

// Names and values of labels, in the order they are shown.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

struct HistogramShape {
  double scale = 1e-9;  // of a recorded unit: nanoseconds are shown as seconds
  // Upper bounds of the shown buckets, in recorded units, ascending. Default: 1-2-5 steps from 1 us to 10 s in ns.
  std::vector<uint64_t> bounds;
};

class MetricRegistry {
 public:
  // `series_max` bounds the label sets of one name: further ones all count in one series with the label
  // overflow="true", so labels taken from traffic cannot fill the memory.
  explicit MetricRegistry(size_t series_max = 10'000);
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  // The same name and labels give the same object. Names are [a-zA-Z_:][a-zA-Z0-9_:]*, label names without the colon,
  // and one name has one kind: asserted, they are written by us.
  Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, MetricLabels labels = {},
                       HistogramShape shape = {});
  // Read when the metrics are shown, on the thread that shows them. Must not call the registry.
  void counter_from(std::string_view name, std::string_view help, MetricLabels labels, std::function<double()> read);
  void gauge_from(std::string_view name, std::string_view help, MetricLabels labels, std::function<double()> read);

  // Appends all metrics, by name; the content type is kContentType.
  void expose(std::string& out) const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  enum class Kind : uint8_t { kCounter, kGauge, kHistogram };
  struct Series {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> read;
  };
  struct Family {
    Kind kind = Kind::kCounter;
    std::string help;
    HistogramShape shape;
    std::map<std::string, Series> series;  // by the labels as they are shown
  };
  Family& family(std::string_view name, std::string_view help, Kind kind);
  Series& series(Family& family, const MetricLabels& labels);
  static void expose_histogram(const std::string& name, const std::string& labels, const Family& family,
                               const Histogram& histogram, std::string& out);

  const size_t series_max_;
  mutable std::mutex mutex_;  // guards families_
  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace tamis::base
