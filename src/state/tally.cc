#include "state/tally.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tamis::state {
namespace {

constexpr size_t kItemsBytesMax = 24 * 1024;
constexpr int kBucketShift = 46;  // leaves the exponent and six bits of the mantissa
constexpr int32_t kParts = 64;    // of a power of two
constexpr int32_t kBucketMax = 0x7fef'ffff'ffff'ffff >> kBucketShift;

uint32_t load_u32(const uint8_t* from) {
  uint32_t v;
  std::memcpy(&v, from, 4);
  return v;
}

template <size_t kBytes>
int64_t load_int(const uint8_t* from) {
  uint64_t v = 0;
  std::memcpy(&v, from, kBytes);
  return static_cast<int64_t>(v << (64 - 8 * kBytes)) >> (64 - 8 * kBytes);
}

template <size_t kBytes>
uint8_t* store_int(uint8_t* to, int64_t v) {
  std::memcpy(to, &v, kBytes);
  return to + kBytes;
}

}  // namespace

Tally::Tally(const FeatureSpec& spec)
    : is_top_(spec.aggregate == Aggregate::kTopK),
      quantile_(spec.quantile >= 0 && spec.quantile <= 1 ? spec.quantile : 0.5),
      k_(std::clamp<uint32_t>(spec.k, 1, kValuesMax)),
      values_max_(std::min(std::max(4 * k_, 2 * kRecent), kValuesMax)),
      items_max_(is_top_ ? values_max_
                         : std::min<uint32_t>(
                               512, kItemsBytesMax / kItemBytes / static_cast<uint32_t>(spec.windows_ms.size()))),
      windows_ms_(spec.windows_ms),
      horizon_ms_(spec.windows_ms.back() + std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)) {
  state_.tables.resize(windows_ms_.size());
}

size_t Tally::bytes_max() const {
  size_t values = is_top_ ? values_max_ * kScalarBytesMax : 0;
  return kHeadBytes + kRecent * kRecentBytes + windows_ms_.size() * (8 + items_max_ * kItemBytes) + values;
}

int32_t Tally::bucket_of(double v) {
  auto bits = std::bit_cast<uint64_t>(v);
  auto bucket = static_cast<int32_t>((bits & ~(uint64_t{1} << 63)) >> kBucketShift);
  return bits >> 63 != 0 ? -bucket : bucket;
}

double Tally::middle_of(int32_t bucket) {
  int32_t size = std::abs(bucket), part = size & (kParts - 1);
  double low = std::bit_cast<double>(static_cast<uint64_t>(size) << kBucketShift);
  // The point whose relative distance from both ends is the same; numbers too small for that are told by their low end.
  double middle = size < kParts ? low : low * ((2.0 * (kParts + 1 + part)) / (2 * kParts + 1 + 2 * part));
  return bucket < 0 ? -middle : middle;
}

bool Tally::sample(Value of, bool, Sample& sample) const {
  sample.of = of;
  if (is_top_) {
    uint8_t bytes[kScalarBytesMax];
    return put_scalar(of, bytes) != 0;
  }
  switch (of.kind) {
    case event::Kind::kDouble:
      sample.d = of.d;
      break;
    case event::Kind::kInt:
    case event::Kind::kDuration:
      sample.d = static_cast<double>(of.i);
      break;
    case event::Kind::kUint:
      sample.d = static_cast<double>(of.u);
      break;
    default:
      return false;
  }
  return std::isfinite(sample.d);
}

int64_t Tally::generation_of(int64_t t_ms, size_t window) const {
  int64_t length_ms = windows_ms_[window];
  return t_ms / length_ms - (t_ms % length_ms < 0 ? 1 : 0);
}

size_t Tally::bytes(const uint8_t* record) const {
  const uint8_t* at = record + kHeadBytes + record[6] * kRecentBytes;
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    size_t items = at[0] | size_t{at[1]} << 8;
    at += items == 0 ? 2 : 8 + items * kItemBytes;
  }
  for (uint32_t i = 0; i < record[7]; ++i) at += known_scalar_bytes(at);
  return static_cast<size_t>(at - record);
}

bool Tally::unpack(const uint8_t* record, size_t bytes_given, State& state, Trust trust) const {
  const uint8_t *at = record, *end = record + bytes_given;
  auto left = [&] { return static_cast<size_t>(end - at); };
  state.recent.clear();
  state.values.clear();
  if (left() < kHeadBytes) return false;
  int64_t newest = newest_ms(record);
  uint32_t recent = record[6], values = record[7];
  at += kHeadBytes;
  if (recent == 0 || recent > kRecent || left() < recent * kRecentBytes || values > (is_top_ ? values_max_ : 0))
    return false;
  int32_t item_min = is_top_ ? 0 : -kBucketMax, item_max = is_top_ ? static_cast<int32_t>(values) - 1 : kBucketMax;
  for (uint32_t i = 0; i < recent; ++i, at += kRecentBytes) {
    Recent event{newest - static_cast<int64_t>(load_bits(at, 0, 40)), static_cast<int32_t>(load_u32(at + 5))};
    if (event.item < item_min || event.item > item_max) return false;
    if (i > 0 && event.t_ms < state.recent.back().t_ms) return false;
    state.recent.push_back(event);
  }
  if (state.recent.back().t_ms != newest) return false;
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    Table& table = state.tables[w];
    table.items.clear();
    if (left() < 2) return false;
    uint32_t items = at[0] | uint32_t{at[1]} << 8;
    at += 2;
    if (items == 0) continue;
    if (items > items_max_ || left() < 6 + items * kItemBytes) return false;
    table.generation = load_int<6>(at);
    if (table.generation > generation_of(newest, w)) return false;
    at += 6;
    for (uint32_t i = 0; i < items; ++i, at += kItemBytes) {
      Item item{static_cast<int32_t>(load_u32(at)), load_u32(at + 4), load_u32(at + 8)};
      if (item.item < item_min || item.item > item_max) return false;
      if (i > 0 && item.item <= table.items.back().item) return false;
      table.items.push_back(item);
    }
  }
  for (uint32_t i = 0; i < values; ++i) {
    std::string_view value(reinterpret_cast<const char*>(at), left());
    size_t size = trust == Trust::kOwn ? known_scalar_bytes(at) : scalar_bytes(value);
    if (size == 0) return false;
    state.values.push_back(value.substr(0, size));
    at += size;
  }
  return at == end;
}

bool Tally::valid(const uint8_t* record, size_t bytes_given) const {
  return unpack(record, bytes_given, state_, Trust::kForeign);
}

size_t Tally::pack(const State& state, uint8_t* out) const {
  int64_t newest = state.recent.back().t_ms;
  uint8_t* at = store_int<6>(out, newest);
  *at++ = static_cast<uint8_t>(state.recent.size());
  *at++ = static_cast<uint8_t>(state.values.size());
  for (const Recent& event : state.recent) at = store_int<4>(store_int<5>(at, newest - event.t_ms), event.item);
  for (const Table& table : state.tables) {
    at = store_int<2>(at, static_cast<int64_t>(table.items.size()));
    if (table.items.empty()) continue;
    at = store_int<6>(at, table.generation);
    for (const Item& item : table.items) {
      at = store_int<4>(store_int<4>(store_int<4>(at, item.item), item.current), item.previous);
    }
  }
  for (std::string_view value : state.values) {
    std::memcpy(at, value.data(), value.size());
    at += value.size();
  }
  return static_cast<size_t>(at - out);
}

// The dictionary's entry for a value; a new one, or that of the value that counts least.
int32_t Tally::value_item(State& state, std::string_view value) const {
  auto found = std::find(state.values.begin(), state.values.end(), value);
  if (found != state.values.end()) return static_cast<int32_t>(found - state.values.begin());
  if (state.values.size() < values_max_) {
    state.values.push_back(value);
    return static_cast<int32_t>(state.values.size() - 1);
  }
  uint64_t counts[kValuesMax] = {};
  for (const Item& item : state.tables.back().items) {
    counts[item.item] = uint64_t{item.current} + item.previous;
  }
  // Values of recent events stay; there are fewer of them than entries.
  for (const Recent& event : state.recent) counts[event.item] = UINT64_MAX;
  auto least = std::min_element(counts, counts + state.values.size());
  state.values[static_cast<size_t>(least - counts)] = value;
  return static_cast<int32_t>(least - counts);
}

void Tally::count(Table& table, int64_t generation, int32_t item) const {
  if (table.items.empty()) table.generation = generation;
  if (generation > table.generation) {
    bool is_next = generation == table.generation + 1;
    for (Item& i : table.items) {
      i.previous = is_next ? i.current : 0;
      i.current = 0;
    }
    table.generation = generation;
    std::erase_if(table.items, [](const Item& i) { return i.previous == 0; });
  } else if (generation + 1 < table.generation) {
    return;
  }
  auto at = std::lower_bound(table.items.begin(), table.items.end(), item,
                             [](const Item& i, int32_t wanted) { return i.item < wanted; });
  if (at == table.items.end() || at->item != item) at = table.items.insert(at, {item, 0, 0});
  uint32_t& events = generation == table.generation ? at->current : at->previous;
  if (events != UINT32_MAX) ++events;
  if (table.items.size() <= items_max_) return;
  Item& second = table.items[1];
  second.current += std::min(table.items[0].current, UINT32_MAX - second.current);
  second.previous += std::min(table.items[0].previous, UINT32_MAX - second.previous);
  table.items.erase(table.items.begin());
}

// Forgets generations that no reading can reach, and values that nothing refers to any more.
void Tally::clean(State& state, int64_t newest) const {
  bool used[kValuesMax] = {};
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    Table& table = state.tables[w];
    if (table.generation + 2 <= generation_of(newest - (horizon_ms_ - windows_ms_.back()), w)) table.items.clear();
    for (const Item& item : table.items) {
      if (is_top_) used[item.item] = true;
    }
  }
  if (!is_top_) return;
  for (const Recent& event : state.recent) used[event.item] = true;
  int32_t places[kValuesMax] = {}, next = 0;
  for (size_t i = 0; i < state.values.size(); ++i) {
    if (!used[i]) continue;
    state.values[static_cast<size_t>(next)] = state.values[i];
    places[i] = next++;
  }
  state.values.resize(static_cast<size_t>(next));
  for (Recent& event : state.recent) event.item = places[event.item];
  for (Table& table : state.tables) {
    for (Item& item : table.items) item.item = places[item.item];
  }
}

size_t Tally::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  State& state = state_;
  if (record != nullptr) {
    bool is_record = unpack(record, bytes(record), state, Trust::kOwn);
    TAMIS_ASSERT(is_record);
  } else {
    state.recent.clear();
    state.values.clear();
    for (Table& table : state.tables) table.items.clear();
  }
  int64_t newest = sample.t_ms;
  if (!state.recent.empty()) newest = std::max(newest, state.recent.back().t_ms);
  if (std::erase_if(state.recent, [&](const Recent& event) { return newest - event.t_ms >= horizon_ms_; }) > 0) {
    for (Table& table : state.tables) table.items.clear();  // older still
  }
  uint8_t value[kScalarBytesMax];
  int32_t item = 0;
  if (is_top_) {
    size_t size = put_scalar(sample.of, value);
    item = value_item(state, {reinterpret_cast<const char*>(value), size});
  } else {
    item = bucket_of(sample.d);
  }
  auto at = std::upper_bound(state.recent.begin(), state.recent.end(), sample.t_ms,
                             [](int64_t t_ms, const Recent& event) { return t_ms < event.t_ms; });
  state.recent.insert(at, {sample.t_ms, item});
  if (state.recent.size() > kRecent) {
    Recent pushed = state.recent.front();
    state.recent.erase(state.recent.begin());
    for (size_t w = 0; w < windows_ms_.size(); ++w) {
      if (newest - pushed.t_ms < windows_ms_[w]) count(state.tables[w], generation_of(pushed.t_ms, w), pushed.item);
    }
  }
  clean(state, newest);
  // The values may lie in the record that `out` is to replace, so `out` is never that record.
  TAMIS_ASSERT(out != record);
  return pack(state, out);
}

// Generations that began before go as a whole: which of their events came since is not known.
size_t Tally::forget_before(const uint8_t* record, int64_t before_ms, uint8_t* out) const {
  State& state = state_;
  bool is_record = unpack(record, bytes(record), state, Trust::kOwn);
  TAMIS_ASSERT(is_record);
  std::erase_if(state.recent, [&](const Recent& event) { return event.t_ms < before_ms; });
  if (state.recent.empty()) return 0;
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    Table& table = state.tables[w];
    if (table.generation * windows_ms_[w] < before_ms) table.items.clear();
    if ((table.generation - 1) * windows_ms_[w] >= before_ms) continue;
    for (Item& item : table.items) item.previous = 0;
    std::erase_if(table.items, [](const Item& item) { return item.current == 0; });
  }
  clean(state, state.recent.back().t_ms);
  TAMIS_ASSERT(out != record);
  return pack(state, out);
}

// Gathers the weights of the items in the window, by item.
void Tally::weigh(const State& state, int64_t t_ms, size_t window) const {
  weights_.clear();
  int64_t window_ms = windows_ms_[window], from_ms = t_ms - window_ms + 1;
  for (const Recent& event : state.recent) {
    if (event.t_ms >= from_ms && event.t_ms <= t_ms) weights_.push_back({event.item, 1});
  }
  const Table& table = state.tables[window];
  int64_t oldest_ms = state.recent.front().t_ms;
  if (!table.items.empty() && oldest_ms >= from_ms) {
    auto share = [&](int64_t generation) {
      int64_t begin_ms = generation * window_ms, last_ms = std::min(begin_ms + window_ms - 1, oldest_ms);
      int64_t part_ms = std::min(last_ms, t_ms) - std::max(begin_ms, from_ms) + 1;
      return part_ms <= 0 ? 0.0 : static_cast<double>(part_ms) / static_cast<double>(last_ms - begin_ms + 1);
    };
    double current = share(table.generation), previous = share(table.generation - 1);
    for (const Item& item : table.items) {
      double new_events = static_cast<double>(item.current) * current;
      double old_events = static_cast<double>(item.previous) * previous;
      double weight = new_events + old_events;
      if (weight > 0) weights_.push_back({item.item, weight});
    }
  }
  std::stable_sort(weights_.begin(), weights_.end(), [](const Weight& a, const Weight& b) { return a.item < b.item; });
  size_t kept = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (kept > 0 && weights_[kept - 1].item == weights_[i].item) {
      weights_[kept - 1].weight += weights_[i].weight;
    } else {
      weights_[kept++] = weights_[i];
    }
  }
  weights_.resize(kept);
}

Value Tally::quantile() const {
  if (weights_.empty()) return Value::absent();
  double total = 0, seen = 0;
  for (const Weight& w : weights_) total += w.weight;
  double rank = std::floor(quantile_ * std::max(total - 1, 0.0));
  for (const Weight& w : weights_) {
    seen += w.weight;
    if (seen > rank) return Value::real(middle_of(w.item));
  }
  return Value::real(middle_of(weights_.back().item));
}

Value Tally::top(const State& state, base::Arena& arena) const {
  std::sort(weights_.begin(), weights_.end(), [](const Weight& a, const Weight& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.item < b.item;
  });
  size_t count = std::min<size_t>(k_, weights_.size());
  Value* items = arena.allocate_array<Value>(count);
  for (size_t i = 0; i < count; ++i) {
    std::string_view value = state.values[static_cast<size_t>(weights_[i].item)];
    items[i] = get_scalar(reinterpret_cast<const uint8_t*>(value.data()), arena);
  }
  return Value::list({items, count});
}

Value Tally::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const {
  weights_.clear();
  if (record != nullptr) {
    bool is_record = unpack(record, bytes(record), state_, Trust::kOwn);
    TAMIS_ASSERT(is_record);
    weigh(state_, t_ms, window);
  }
  return is_top_ ? top(state_, arena) : quantile();
}

}  // namespace tamis::state
