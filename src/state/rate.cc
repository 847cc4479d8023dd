#include "state/rate.h"

#include <algorithm>
#include <cmath>

#include "state/exp2.h"
#include "state/scalar.h"

namespace tamis::state {
namespace {

constexpr int64_t kNoBase = -(int64_t{1} << 47);  // no event lies before those that are kept

double saturated(double sum) { return std::isfinite(sum) ? sum : std::copysign(1.7976931348623157e308, sum); }

}  // namespace

Rate::Rate(const FeatureSpec& spec)
    : windows_ms_(spec.windows_ms), lateness_ms_(std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)) {}

bool Rate::sample(Value of, bool, Sample& sample) const {
  if (!to_double(of, sample.d)) sample.d = 1;  // events are counted
  return std::isfinite(sample.d);
}

Rate::Event Rate::kept_at(const uint8_t* record, uint32_t i) const {
  const uint8_t* at = base_at(record) + 6 + windows_ms_.size() * 8;
  if (!has_weights(record)) return {time_at(at + i * 6), 1};
  return {time_at(at + i * 14), double_at(at + i * 14 + 6)};
}

// The sum at an event, from the sum at the one before it, at from_ms.
double Rate::advance(double sum, int64_t from_ms, const Event& event, size_t window) const {
  int64_t apart_ms = event.t_ms - from_ms;
  if (apart_ms >= windows_ms_[window]) return event.weight;
  sum *= exp_minus(static_cast<double>(apart_ms) / static_cast<double>(windows_ms_[window]));
  return saturated(sum + event.weight);
}

void Rate::unpack(const uint8_t* record, Parts& parts) const {
  parts.newest_ms = newest_ms(record);
  parts.count = count_of(record);
  for (size_t w = 0; w < windows_ms_.size(); ++w) parts.sums[w] = double_at(record + kHeadBytes + w * 8);
  if (parts.count == 0) return;
  const uint8_t* base = base_at(record);
  parts.base_ms = time_at(base);
  for (size_t w = 0; w < windows_ms_.size(); ++w) parts.base_sums[w] = double_at(base + 6 + w * 8);
  for (uint32_t i = 0; i < parts.count; ++i) parts.kept[i] = kept_at(record, i);
}

size_t Rate::pack(const Parts& parts, uint8_t* out) const {
  bool weights = std::any_of(parts.kept, parts.kept + parts.count, [](const Event& e) { return e.weight != 1; });
  std::memcpy(out, &parts.newest_ms, 6);
  out[6] = static_cast<uint8_t>(parts.count | (weights ? kWeights : 0));
  std::memcpy(out + kHeadBytes, parts.sums, windows_ms_.size() * 8);
  uint8_t* to = out + kHeadBytes + windows_ms_.size() * 8;
  if (parts.count == 0) return static_cast<size_t>(to - out);
  std::memcpy(to, &parts.base_ms, 6);
  std::memcpy(to + 6, parts.base_sums, windows_ms_.size() * 8);
  to += 6 + windows_ms_.size() * 8;
  for (uint32_t i = 0; i < parts.count; ++i) {
    std::memcpy(to, &parts.kept[i].t_ms, 6);
    if (weights) std::memcpy(to + 6, &parts.kept[i].weight, 8);
    to += weights ? 14 : 6;
  }
  return static_cast<size_t>(to - out);
}

// The base moves behind the first event that is kept.
void Rate::fold_first(Parts& parts) const {
  const Event& first = parts.kept[0];
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    parts.base_sums[w] = advance(parts.base_sums[w], parts.base_ms, first, w);
  }
  parts.base_ms = first.t_ms;
  std::copy(parts.kept + 1, parts.kept + parts.count, parts.kept);
  --parts.count;
}

void Rate::add_in_order(Parts& parts, const Event& event) const {
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    parts.sums[w] = advance(parts.sums[w], parts.newest_ms, event, w);
  }
  parts.newest_ms = event.t_ms;
  if (lateness_ms_ == 0) return;
  parts.kept[parts.count++] = event;
  // An event that all who may still come late lie behind belongs to the base; the newest stays.
  int64_t first_read_ms = event.t_ms - lateness_ms_;
  while (parts.count > kKeptMax || (parts.count > 1 && parts.kept[1].t_ms <= first_read_ms)) fold_first(parts);
}

void Rate::add_late(Parts& parts, const Event& event) const {
  if (parts.count == 0 || event.t_ms < parts.base_ms) {
    // Its weight as it has faded since.
    for (size_t w = 0; w < windows_ms_.size(); ++w) {
      auto faded = [&](int64_t until_ms) {
        int64_t apart_ms = until_ms - event.t_ms;
        if (apart_ms >= windows_ms_[w]) return 0.0;
        return event.weight * exp_minus(static_cast<double>(apart_ms) / static_cast<double>(windows_ms_[w]));
      };
      parts.sums[w] = saturated(parts.sums[w] + faded(parts.newest_ms));
      if (parts.count > 0) parts.base_sums[w] = saturated(parts.base_sums[w] + faded(parts.base_ms));
    }
    return;
  }
  Event* behind = std::upper_bound(parts.kept, parts.kept + parts.count, event.t_ms,
                                   [](int64_t t_ms, const Event& e) { return t_ms < e.t_ms; });
  std::copy_backward(behind, parts.kept + parts.count, parts.kept + parts.count + 1);
  *behind = event;
  ++parts.count;
  if (parts.count > kKeptMax) fold_first(parts);
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    double sum = parts.base_sums[w];
    int64_t at_ms = parts.base_ms;
    for (uint32_t i = 0; i < parts.count; ++i) {
      sum = advance(sum, at_ms, parts.kept[i], w);
      at_ms = parts.kept[i].t_ms;
    }
    parts.sums[w] = sum;
  }
}

bool Rate::add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const {
  Parts parts;
  unpack(record, parts);
  Event event{sample.t_ms, sample.d};
  event.t_ms >= parts.newest_ms ? add_in_order(parts, event) : add_late(parts, event);
  bool weights = std::any_of(parts.kept, parts.kept + parts.count, [](const Event& e) { return e.weight != 1; });
  if (bytes_with(parts.count, weights) > capacity) return false;
  pack(parts, record);
  return true;
}

size_t Rate::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  Parts parts;
  Event event{sample.t_ms, sample.d};
  if (record != nullptr) {
    unpack(record, parts);
    event.t_ms >= parts.newest_ms ? add_in_order(parts, event) : add_late(parts, event);
    return pack(parts, out);
  }
  parts.newest_ms = event.t_ms;
  parts.base_ms = kNoBase;
  std::fill(parts.sums, parts.sums + windows_ms_.size(), event.weight);
  std::fill(parts.base_sums, parts.base_sums + windows_ms_.size(), 0.0);
  if (lateness_ms_ > 0) parts.kept[parts.count++] = event;
  return pack(parts, out);
}

Value Rate::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const {
  if (record == nullptr) return Value::real(0);
  int64_t at_ms = newest_ms(record), window_ms = windows_ms_[window];
  double sum = double_at(record + kHeadBytes + window * 8);
  if (t_ms < at_ms && count_of(record) > 0) {
    at_ms = time_at(base_at(record));
    sum = double_at(base_at(record) + 6 + window * 8);
    for (uint32_t i = 0; i < count_of(record); ++i) {
      Event event = kept_at(record, i);
      if (event.t_ms > t_ms) break;
      sum = advance(sum, at_ms, event, window);
      at_ms = event.t_ms;
    }
    if (at_ms == kNoBase) return Value::real(0);
  }
  int64_t age_ms = std::max<int64_t>(t_ms - at_ms, 0);
  if (age_ms >= window_ms) return Value::real(0);
  double faded = sum * exp_minus(static_cast<double>(age_ms) / static_cast<double>(window_ms));
  return Value::real(faded / (static_cast<double>(window_ms) / 1000.0));
}

bool Rate::valid(const uint8_t* record, size_t bytes_given) const {
  size_t windows = windows_ms_.size();
  if (bytes_given < bytes_with(0, false) || count_of(record) > kKeptMax) return false;
  if (bytes_given != bytes(record) || (count_of(record) == 0 && has_weights(record))) return false;
  auto is_time = [](int64_t t_ms) { return t_ms >= -kTimeMaxMs && t_ms <= kTimeMaxMs; };
  for (size_t w = 0; w < windows; ++w) {
    if (!std::isfinite(double_at(record + kHeadBytes + w * 8))) return false;
  }
  if (!is_time(newest_ms(record))) return false;
  if (count_of(record) == 0) return true;
  int64_t before_ms = time_at(base_at(record));
  if (before_ms != kNoBase && !is_time(before_ms)) return false;
  for (size_t w = 0; w < windows; ++w) {
    if (!std::isfinite(double_at(base_at(record) + 6 + w * 8))) return false;
  }
  for (uint32_t i = 0; i < count_of(record); ++i) {
    Event event = kept_at(record, i);
    if (!is_time(event.t_ms) || event.t_ms < before_ms || !std::isfinite(event.weight)) return false;
    before_ms = event.t_ms;
  }
  return before_ms == newest_ms(record);
}

}  // namespace tamis::state
