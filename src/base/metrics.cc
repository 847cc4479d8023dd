#include "base/metrics.h"

#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace tamis::base {
namespace {

bool is_metric_name(std::string_view name, bool colon_allowed) {
  if (name.empty()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && colon_allowed);
    if (!letter && !(i > 0 && c >= '0' && c <= '9')) return false;
  }
  return true;
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
}

std::string labels_text(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    TAMIS_ASSERT(is_metric_name(name, false) && name != "le");
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    append_escaped(text, value, true);
    text += '"';
  }
  return text;
}

void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char digits[40];
    // 15 digits, so that the noise of scaling (0.1 * 3) is not shown.
    out.append(digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::general, 15).ptr);
  }
}

void append_sample(std::string& out, const std::string& name, std::string_view suffix, std::string_view labels) {
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
}

std::vector<uint64_t> default_bounds() {
  std::vector<uint64_t> bounds;
  for (uint64_t decade = 1'000; decade <= 1'000'000'000; decade *= 10)
    for (uint64_t step : {1, 2, 5}) bounds.push_back(decade * step);
  bounds.push_back(10'000'000'000);
  return bounds;
}

}  // namespace

uint64_t Histogram::upper_edge(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return bucket;
  size_t shift = bucket / kSubBuckets - 1;
  uint64_t base = kSubBuckets + bucket % kSubBuckets;
  return ((base + 1) << shift) - 1;
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

uint64_t Histogram::quantile(double q) const {
  uint64_t total = count();
  if (total == 0) return 0;
  q = q < 0 ? 0 : q > 1 ? 1 : q;
  auto rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(total)));
  if (rank == 0) rank = 1;
  uint64_t seen = 0;
  size_t last = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    uint64_t here = buckets_[i].load(std::memory_order_relaxed);
    if (here == 0) continue;
    seen += here;
    last = i;
    if (seen >= rank) break;
  }
  return upper_edge(last);
}

uint64_t Histogram::count_at_most(uint64_t bound) const {
  uint64_t total = 0;
  for (size_t i = 0; i < kBuckets && upper_edge(i) <= bound; ++i) total += buckets_[i].load(std::memory_order_relaxed);
  return total;
}

MetricRegistry::MetricRegistry(size_t series_max) : series_max_(series_max) {}
MetricRegistry::~MetricRegistry() = default;

MetricRegistry::Family& MetricRegistry::family(std::string_view name, std::string_view help, Kind kind) {
  TAMIS_ASSERT(is_metric_name(name, true));
  auto it = families_.find(name);
  if (it == families_.end()) {
    it = families_.emplace(std::string(name), Family{}).first;
    it->second.kind = kind;
    it->second.help = help;
  }
  TAMIS_ASSERT(it->second.kind == kind);
  return it->second;
}

MetricRegistry::Series& MetricRegistry::series(Family& family, const MetricLabels& labels) {
  std::string text = labels_text(labels);
  auto it = family.series.find(text);
  if (it != family.series.end()) return it->second;
  if (family.series.size() >= series_max_) return family.series["overflow=\"true\""];
  return family.series[std::move(text)];
}

Counter& MetricRegistry::counter(std::string_view name, std::string_view help, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  Series& found = series(family(name, help, Kind::kCounter), labels);
  if (!found.counter) found.counter = std::make_unique<Counter>();
  return *found.counter;
}

Gauge& MetricRegistry::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  Series& found = series(family(name, help, Kind::kGauge), labels);
  if (!found.gauge) found.gauge = std::make_unique<Gauge>();
  return *found.gauge;
}

Histogram& MetricRegistry::histogram(std::string_view name, std::string_view help, MetricLabels labels,
                                     HistogramShape shape) {
  std::lock_guard lock(mutex_);
  Family& of_name = family(name, help, Kind::kHistogram);
  if (of_name.series.empty()) {
    of_name.shape = std::move(shape);
    if (of_name.shape.bounds.empty()) of_name.shape.bounds = default_bounds();
  }
  Series& found = series(of_name, labels);
  if (!found.histogram) found.histogram = std::make_unique<Histogram>();
  return *found.histogram;
}

void MetricRegistry::counter_from(std::string_view name, std::string_view help, MetricLabels labels,
                                  std::function<double()> read) {
  std::lock_guard lock(mutex_);
  series(family(name, help, Kind::kCounter), labels).read = std::move(read);
}

void MetricRegistry::gauge_from(std::string_view name, std::string_view help, MetricLabels labels,
                                std::function<double()> read) {
  std::lock_guard lock(mutex_);
  series(family(name, help, Kind::kGauge), labels).read = std::move(read);
}

void MetricRegistry::expose_histogram(const std::string& name, const std::string& labels, const Family& family,
                                      const Histogram& histogram, std::string& out) {
  // Values may be added meanwhile; buckets must not decrease and must not exceed the count.
  uint64_t previous = 0;
  auto bucket = [&](uint64_t count, double bound) {
    previous = count < previous ? previous : count;
    std::string with_bound = labels + (labels.empty() ? "le=\"" : ",le=\"");
    append_double(with_bound, bound);
    append_sample(out, name, "_bucket", with_bound + '"');
    out += std::to_string(previous);
    out += '\n';
  };
  for (uint64_t bound : family.shape.bounds)
    bucket(histogram.count_at_most(bound), static_cast<double>(bound) * family.shape.scale);
  bucket(histogram.count(), INFINITY);
  append_sample(out, name, "_sum", labels);
  append_double(out, static_cast<double>(histogram.sum()) * family.shape.scale);
  out += '\n';
  append_sample(out, name, "_count", labels);
  out += std::to_string(previous);
  out += '\n';
}

void MetricRegistry::expose(std::string& out) const {
  constexpr std::string_view kKinds[] = {"counter", "gauge", "histogram"};
  std::lock_guard lock(mutex_);
  for (const auto& [name, family] : families_) {
    out.append("# HELP ").append(name).append(" ");
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(name).append(" ");
    out.append(kKinds[static_cast<size_t>(family.kind)]).append("\n");
    for (const auto& [labels, series] : family.series) {
      if (series.histogram) {
        expose_histogram(name, labels, family, *series.histogram, out);
        continue;
      }
      append_sample(out, name, "", labels);
      if (series.read)
        append_double(out, series.read());
      else if (series.counter)
        out += std::to_string(series.counter->value());
      else
        out += std::to_string(series.gauge ? series.gauge->value() : 0);
      out += '\n';
    }
  }
}

}  // namespace tamis::base
