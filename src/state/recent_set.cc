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
  for (uint32_t i = 0; i < record[6]; ++i)
    at += 5 + scalar_bytes({reinterpret_cast<const char*>(at + 5), kScalarBytesMax});
  return static_cast<size_t>(at - record);
}

bool RecentSet::unpack(const uint8_t* record, size_t bytes_given) const {
  entries_.clear();
  if (bytes_given < kHeadBytes || record[6] == 0 || record[6] > k_) return false;
  std::string_view rest(reinterpret_cast<const char*>(record + kHeadBytes), bytes_given - kHeadBytes);
  int64_t newest = newest_ms(record);
  for (uint32_t i = 0; i < record[6]; ++i) {
    if (rest.size() < 5) return false;
    uint64_t age = 0;
    std::memcpy(&age, rest.data(), 5);
    rest.remove_prefix(5);
    size_t size = scalar_bytes(rest);
    Entry entry{newest - static_cast<int64_t>(age), rest.substr(0, size)};
    if (size == 0 || (i > 0 && entry.t_ms < entries_.back().t_ms)) return false;
    for (const Entry& other : entries_) {
      if (other.value == entry.value) return false;
    }
    entries_.push_back(entry);
    rest.remove_prefix(size);
  }
  return rest.empty() && entries_.back().t_ms == newest;
}

bool RecentSet::valid(const uint8_t* record, size_t bytes_given) const { return unpack(record, bytes_given); }

size_t RecentSet::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  entries_.clear();
  if (record != nullptr) {
    bool is_record = unpack(record, bytes(record));
    TAMIS_ASSERT(is_record);
  }
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
  bool is_record = unpack(record, bytes(record));
  TAMIS_ASSERT(is_record);
  Value* items = arena.allocate_array<Value>(entries_.size());
  size_t count = 0;
  for (const Entry& e : entries_) {
    if (e.t_ms <= t_ms - windows_ms_[window] || e.t_ms > t_ms) continue;
    items[count++] = get_scalar(reinterpret_cast<const uint8_t*>(e.value.data()), arena);
  }
  return Value::list({items, count});
}

}  // namespace tamis::state
