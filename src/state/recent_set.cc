#include "state/recent_set.h"

#include <algorithm>

namespace tamis::state {

RecentSet::RecentSet(const FeatureSpec& spec)
    : k_(std::clamp<uint32_t>(spec.k, 1, kValuesMax)),
      windows_ms_(spec.windows_ms),
      horizon_ms_(spec.windows_ms.back() + std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)) {}

bool RecentSet::sample(Value of, bool, Sample& sample) const {
  sample.of = of;
  uint8_t bytes[kScalarBytesMax];
  return put_scalar(of, bytes) != 0;
}

size_t RecentSet::bytes(const uint8_t* record) const {
  const uint8_t* at = record + kHeadBytes;
  for (uint32_t i = 0; i < record[6]; ++i) at += 5 + known_scalar_bytes(at + 5);
  return static_cast<size_t>(at - record);
}

void RecentSet::unpack(const uint8_t* record) const {
  entries_.clear();
  int64_t newest = newest_ms(record);
  const uint8_t* at = record + kHeadBytes;
  for (uint32_t i = 0; i < record[6]; ++i) {
    size_t size = known_scalar_bytes(at + 5);
    auto age_ms = static_cast<int64_t>(load_bits(at, 0, 40));
    entries_.push_back({newest - age_ms, {reinterpret_cast<const char*>(at + 5), size}});
    at += 5 + size;
  }
}

bool RecentSet::valid(const uint8_t* record, size_t bytes_given) const {
  if (bytes_given < kHeadBytes || record[6] == 0 || record[6] > k_) return false;
  std::string_view rest(reinterpret_cast<const char*>(record + kHeadBytes), bytes_given - kHeadBytes);
  for (uint32_t i = 0; i < record[6]; ++i) {
    if (rest.size() < 5) return false;
    rest.remove_prefix(5);
    size_t size = scalar_bytes(rest);
    if (size == 0) return false;
    rest.remove_prefix(size);
  }
  if (!rest.empty()) return false;
  unpack(record);
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i > 0 && entries_[i].t_ms < entries_[i - 1].t_ms) return false;
    for (size_t k = 0; k < i; ++k) {
      if (entries_[k].value == entries_[i].value) return false;
    }
  }
  return entries_.back().t_ms == newest_ms(record);
}

size_t RecentSet::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  entries_.clear();
  if (record != nullptr) unpack(record);
  uint8_t bytes_of_value[kScalarBytesMax];
  Entry added{sample.t_ms, {reinterpret_cast<const char*>(bytes_of_value), put_scalar(sample.of, bytes_of_value)}};
  auto same = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.value == added.value; });
  if (same != entries_.end()) {
    added.t_ms = std::max(added.t_ms, same->t_ms);
    entries_.erase(same);
  }
  auto at = std::upper_bound(entries_.begin(), entries_.end(), added.t_ms,
                             [](int64_t t_ms, const Entry& e) { return t_ms < e.t_ms; });
  entries_.insert(at, added);
  int64_t newest = entries_.back().t_ms;
  size_t first = entries_.size() > k_ ? entries_.size() - k_ : 0;
  while (newest - entries_[first].t_ms >= horizon_ms_) ++first;
  std::memcpy(out, &newest, 6);
  out[6] = static_cast<uint8_t>(entries_.size() - first);
  uint8_t* to = out + kHeadBytes;
  for (size_t i = first; i < entries_.size(); ++i) {
    int64_t age_ms = newest - entries_[i].t_ms;
    std::memcpy(to, &age_ms, 5);
    std::memcpy(to + 5, entries_[i].value.data(), entries_[i].value.size());
    to += 5 + entries_[i].value.size();
  }
  return static_cast<size_t>(to - out);
}

Value RecentSet::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const {
  if (record == nullptr) return Value::list({});
  unpack(record);
  Value* items = arena.allocate_array<Value>(entries_.size());
  size_t count = 0;
  for (const Entry& e : entries_) {
    if (e.t_ms <= t_ms - windows_ms_[window] || e.t_ms > t_ms) continue;
    items[count++] = get_scalar(reinterpret_cast<const uint8_t*>(e.value.data()), arena);
  }
  return Value::list({items, count});
}

}  // namespace tamis::state
