#include "state/sightings.h"

#include <algorithm>
#include <bitset>

namespace tamis::state {
namespace {

constexpr uint8_t kUnused = 255;

}  // namespace

Sightings::Sightings(const FeatureSpec& spec)
    : k_(spec.aggregate == Aggregate::kSet ? std::clamp<uint32_t>(spec.k, 1, kValuesMax) : 1),
      is_set_(spec.aggregate == Aggregate::kSet),
      windows_ms_(spec.windows_ms),
      lateness_ms_(std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)) {}

bool Sightings::sample(Value of, bool, Sample& sample) const {
  sample.of = of;
  uint8_t bytes[kScalarBytesMax];
  return put_scalar(of, bytes) != 0;
}

size_t Sightings::bytes(const uint8_t* record) const {
  const uint8_t* at = values_of(record);
  for (uint32_t i = 0; i < record[0]; ++i) at += known_scalar_bytes(at);
  return static_cast<size_t>(at - record);
}

void Sightings::unpack(const uint8_t* record) const {
  sightings_.clear();
  values_.clear();
  for (uint32_t i = 0; i < record[1]; ++i) sightings_.push_back({time_at(record, i), value_at(record, i)});
  const uint8_t* at = values_of(record);
  for (uint32_t i = 0; i < record[0]; ++i) {
    values_.emplace_back(reinterpret_cast<const char*>(at), known_scalar_bytes(at));
    at += values_.back().size();
  }
}

// Values stand in the order of their first sighting; those without one are left out.
size_t Sightings::pack(uint8_t* out) const {
  uint8_t place_of[kValuesMax + kPastMax + 1];
  uint32_t order[kValuesMax + kPastMax + 1];
  std::fill(place_of, place_of + values_.size(), kUnused);
  uint8_t count = 0;
  uint8_t* to = out + kHeadBytes;
  for (const Sighting& s : sightings_) {
    if (place_of[s.value] == kUnused) {
      order[count] = s.value;
      place_of[s.value] = count++;
    }
    std::memcpy(to, &s.t_ms, 6);
    to[6] = place_of[s.value];
    to += kSightingBytes;
  }
  out[0] = count;
  out[1] = static_cast<uint8_t>(sightings_.size());
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view value = values_[order[i]];
    std::memcpy(to, value.data(), value.size());
    to += value.size();
  }
  return static_cast<size_t>(to - out);
}

// Where nobody comes late, and the value is that of the newest sighting.
bool Sightings::add_in_place(uint8_t* record, size_t, const Sample& sample) const {
  uint32_t last = record[1] - 1u;
  int64_t newest = time_at(record, last);
  if (sample.t_ms < newest || (sample.t_ms > newest && lateness_ms_ > 0)) return false;
  const uint8_t* at = values_of(record);
  for (uint32_t i = value_at(record, last); i > 0; --i) at += known_scalar_bytes(at);
  uint8_t value[kScalarBytesMax];
  size_t size = put_scalar(sample.of, value);
  if (size != known_scalar_bytes(at) || std::memcmp(at, value, size) != 0) return false;
  std::memcpy(record + kHeadBytes + last * kSightingBytes, &sample.t_ms, 6);
  return true;
}

// A sighting is read at its own time or later, and not before the newest event less the lateness. There it shows unless
// its value was seen again by then, or k other values were, or it has left the widest window.
void Sightings::drop_what_nobody_reads() const {
  int64_t first_read = sightings_.back().t_ms - lateness_ms_;
  size_t keep = sightings_.size();  // the front of what is kept, which grows down from the end
  for (size_t i = sightings_.size(); i-- > 0;) {
    const Sighting s = sightings_[i];
    if (first_read - s.t_ms >= windows_ms_.back()) break;  // and all before it
    int64_t read_ms = std::max(s.t_ms, first_read);
    Values others;
    for (size_t j = keep; j < sightings_.size() && sightings_[j].t_ms <= read_ms; ++j) others.set(sightings_[j].value);
    if (!others[s.value] && others.count() < k_) sightings_[--keep] = s;
  }
  sightings_.erase(sightings_.begin(), sightings_.begin() + static_cast<std::ptrdiff_t>(keep));
}

// Of three sightings of one value in a row, within every window, the middle one tells least: at each time between them
// one of the first two is in the window. So these go first, and then the oldest that does not show now.
void Sightings::drop_beyond_the_bound() const {
  Values seen_again;
  uint32_t shown = 0;
  size_t oldest_past = 0;
  for (size_t i = sightings_.size(); i-- > 0;) {
    if (!seen_again[sightings_[i].value] && shown < k_) {
      ++shown;
    } else {
      oldest_past = i;
    }
    seen_again.set(sightings_[i].value);
  }
  if (sightings_.size() - shown <= kPastMax) return;
  size_t drop = oldest_past;
  for (size_t i = 1; i + 1 < sightings_.size(); ++i) {
    const Sighting &a = sightings_[i - 1], &b = sightings_[i], &c = sightings_[i + 1];
    if (a.value != b.value || b.value != c.value || c.t_ms - a.t_ms > windows_ms_.front()) continue;
    drop = i;
    break;
  }
  sightings_.erase(sightings_.begin() + static_cast<std::ptrdiff_t>(drop));
}

size_t Sightings::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  sightings_.clear();
  values_.clear();
  if (record != nullptr) unpack(record);
  uint8_t bytes_of_value[kScalarBytesMax];
  std::string_view value(reinterpret_cast<const char*>(bytes_of_value), put_scalar(sample.of, bytes_of_value));
  auto place = static_cast<uint32_t>(std::find(values_.begin(), values_.end(), value) - values_.begin());
  if (place == values_.size()) values_.push_back(value);
  auto behind = std::upper_bound(sightings_.begin(), sightings_.end(), sample.t_ms,
                                 [](int64_t t_ms, const Sighting& s) { return t_ms < s.t_ms; });
  sightings_.insert(behind, {sample.t_ms, place});
  drop_what_nobody_reads();
  drop_beyond_the_bound();
  return pack(out);
}

size_t Sightings::forget_before(const uint8_t* record, int64_t before_ms, uint8_t* out) const {
  unpack(record);
  std::erase_if(sightings_, [&](const Sighting& s) { return s.t_ms < before_ms; });
  return sightings_.empty() ? 0 : pack(out);
}

Value Sightings::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const {
  if (record == nullptr) return is_set_ ? Value::list({}) : Value::absent();
  uint32_t newest_first[kValuesMax], count = 0;
  std::bitset<kValuesMax + kPastMax> told;
  for (uint32_t i = record[1]; i-- > 0 && count < k_;) {
    int64_t seen_ms = time_at(record, i);
    if (seen_ms > t_ms) continue;
    if (seen_ms <= t_ms - windows_ms_[window]) break;
    uint32_t value = value_at(record, i);
    if (told[value]) continue;
    told.set(value);
    newest_first[count++] = value;
  }
  if (count == 0) return is_set_ ? Value::list({}) : Value::absent();
  const uint8_t* values[kValuesMax + kPastMax];
  const uint8_t* at = values_of(record);
  for (uint32_t i = 0; i < record[0]; ++i) {
    values[i] = at;
    at += known_scalar_bytes(at);
  }
  if (!is_set_) return get_scalar(values[newest_first[0]], arena);
  Value* items = arena.allocate_array<Value>(count);
  for (uint32_t i = 0; i < count; ++i) items[i] = get_scalar(values[newest_first[count - 1 - i]], arena);
  return Value::list({items, count});
}

bool Sightings::valid(const uint8_t* record, size_t bytes_given) const {
  if (bytes_given < kHeadBytes || record[1] == 0 || record[0] > record[1] || record[1] > k_ + kPastMax) return false;
  size_t before_values = kHeadBytes + record[1] * kSightingBytes;
  if (bytes_given < before_values) return false;
  std::string_view rest(reinterpret_cast<const char*>(record) + before_values, bytes_given - before_values);
  std::string_view values[kValuesMax + kPastMax];
  for (uint32_t i = 0; i < record[0]; ++i) {
    size_t size = scalar_bytes(rest);
    if (size == 0) return false;
    values[i] = rest.substr(0, size);
    if (std::find(values, values + i, values[i]) != values + i) return false;
    rest.remove_prefix(size);
  }
  if (!rest.empty()) return false;
  uint32_t used = 0;  // values stand in the order of their first sighting
  for (uint32_t i = 0; i < record[1]; ++i) {
    int64_t t_ms = time_at(record, i);
    if (t_ms < -kTimeMaxMs || t_ms > kTimeMaxMs || (i > 0 && t_ms < time_at(record, i - 1))) return false;
    if (value_at(record, i) > used) return false;
    used += value_at(record, i) == used;
  }
  return used == record[0];
}

}  // namespace tamis::state
