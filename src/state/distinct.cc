#include "state/distinct.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tamis::state {
namespace {

constexpr uint64_t kHashMask = (uint64_t{1} << 40) - 1;
constexpr uint32_t kNone = ~0u;

uint32_t load_u32(const uint8_t* from) {
  uint32_t v;
  std::memcpy(&v, from, 4);
  return v;
}

void store_u32(uint8_t* to, uint32_t v) { std::memcpy(to, &v, 4); }

}  // namespace

Distinct::Distinct(const FeatureSpec& spec)
    : window_count_(spec.windows_ms.size()),
      horizon_ms_(spec.windows_ms.back() + std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)) {
  std::copy(spec.windows_ms.begin(), spec.windows_ms.end(), windows_ms_);
}

size_t Distinct::bytes_max() const { return list_bytes(kExact) + window_count_ * sizeof(HllPair); }

bool Distinct::sample(Value of, bool, Sample& sample) const {
  if (of.kind == event::Kind::kAbsent || of.kind == event::Kind::kError) return false;
  sample.i = static_cast<int64_t>(base::mix64(event::hash(of)) & kHashMask);
  return true;
}

size_t Distinct::bytes(const uint8_t* record) const {
  return list_bytes(count_of(record)) + static_cast<size_t>(std::popcount(pairs_of(record))) * sizeof(HllPair);
}

int64_t Distinct::newest_ms(const uint8_t* record) const {
  return base_of(record) + static_cast<int64_t>(load_bits(record, 7 * 8, 40));
}

void Distinct::set_newest(uint8_t* record, int64_t offset) { std::memcpy(record + 7, &offset, 5); }

int64_t Distinct::offset_at(const uint8_t* record, uint32_t count, uint32_t i) {
  uint64_t low = load_u32(record + kHeadBytes + (count + i) * 4);
  uint64_t high = record[kHeadBytes + count * 9 + i / 4] >> (i % 4 * 2) & 3;
  return static_cast<int64_t>(low | high << 32);
}

void Distinct::set_offset(uint8_t* record, uint32_t count, uint32_t i, int64_t offset) {
  store_u32(record + kHeadBytes + (count + i) * 4, static_cast<uint32_t>(offset));
  uint8_t& high = record[kHeadBytes + count * 9 + i / 4];
  uint32_t shift = i % 4 * 2;
  high = static_cast<uint8_t>((high & ~(3u << shift)) | static_cast<uint32_t>(offset >> 32 & 3) << shift);
}

uint64_t Distinct::hash_at(const uint8_t* record, uint32_t count, uint32_t i) {
  return load_u32(record + kHeadBytes + i * 4) | uint64_t{record[kHeadBytes + count * 8 + i]} << 32;
}

void Distinct::set_hash(uint8_t* record, uint32_t count, uint32_t i, uint64_t hash) {
  store_u32(record + kHeadBytes + i * 4, static_cast<uint32_t>(hash));
  record[kHeadBytes + count * 8 + i] = static_cast<uint8_t>(hash >> 32);
}

uint32_t Distinct::find(const uint8_t* record, uint32_t count, uint64_t hash) {
  auto low = static_cast<uint32_t>(hash);
  for (uint32_t i = 0; i < count; ++i) {
    if (load_u32(record + kHeadBytes + i * 4) == low && hash_at(record, count, i) == hash) return i;
  }
  return kNone;
}

const HllPair* Distinct::pair_at(const uint8_t* record, size_t window) {
  uint32_t pairs = pairs_of(record);
  if ((pairs >> window & 1) == 0) return nullptr;
  auto before = static_cast<size_t>(std::popcount(pairs & ((1u << window) - 1)));
  return reinterpret_cast<const HllPair*>(record + list_bytes(count_of(record)) + before * sizeof(HllPair));
}

int64_t Distinct::generation_of(int64_t t_ms, size_t window) const {
  int64_t length_ms = windows_ms_[window];
  return t_ms / length_ms - (t_ms % length_ms < 0 ? 1 : 0);
}

bool Distinct::push_out(uint8_t* record, uint64_t hash, int64_t t_ms, int64_t newest_ms) const {
  for (size_t w = 0; w < window_count_; ++w) {
    if (needs_pair(t_ms, newest_ms, w) && pair_at(record, w) == nullptr) return false;
  }
  for (size_t w = 0; w < window_count_; ++w) {
    if (!needs_pair(t_ms, newest_ms, w)) continue;
    const_cast<HllPair*>(pair_at(record, w))->add(generation_of(t_ms, w), hash);
  }
  return true;
}

bool Distinct::add_in_place(uint8_t* record, size_t, const Sample& sample) const {
  uint32_t count = count_of(record);
  int64_t base_ms = base_of(record), offset = sample.t_ms - base_ms;
  if (offset < 0 || offset > kOffsetMax) return false;
  int64_t newest = static_cast<int64_t>(load_bits(record, 7 * 8, 40));
  auto hash = static_cast<uint64_t>(sample.i);
  uint32_t at = find(record, count, hash);
  if (at != kNone) {
    if (offset > offset_at(record, count, at)) set_offset(record, count, at, offset);
  } else {
    if (count < kExact) return false;
    // The value that was seen least recently makes room; the new one itself if it is older than all.
    int64_t oldest = offset;
    uint64_t oldest_hash = hash;
    for (uint32_t i = 0; i < count; ++i) {
      int64_t seen = offset_at(record, count, i);
      if (seen > oldest) continue;
      uint64_t seen_hash = hash_at(record, count, i);
      if (seen == oldest && seen_hash > oldest_hash) continue;
      oldest = seen;
      oldest_hash = seen_hash;
      at = i;
    }
    if (!push_out(record, oldest_hash, base_ms + oldest, base_ms + std::max(newest, offset))) return false;
    if (at != kNone) {
      set_hash(record, count, at, hash);
      set_offset(record, count, at, offset);
    }
  }
  if (offset > newest) set_newest(record, offset);
  return true;
}

// Writes the record anew: without values and generations that no reading can reach, with the new value, and with a
// HyperLogLog where one is needed now.
size_t Distinct::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  Entry entries[kExact + 1];
  uint32_t count = 0;
  int64_t base_ms = record == nullptr ? sample.t_ms : base_of(record);
  int64_t last_ms = record == nullptr ? sample.t_ms : std::max(newest_ms(record), sample.t_ms);
  auto hash = static_cast<uint64_t>(sample.i);
  bool is_new = true, forgets = false;  // what was pushed out before is older still
  for (uint32_t i = 0; record != nullptr && i < count_of(record); ++i) {
    Entry entry{hash_at(record, count_of(record), i), base_ms + offset_at(record, count_of(record), i)};
    if (entry.hash == hash) {
      is_new = false;
      entry.offset = std::max(entry.offset, sample.t_ms);
    }
    if (last_ms - entry.offset < horizon_ms_) {
      entries[count++] = entry;
    } else {
      forgets = true;
    }
  }
  if (is_new && last_ms - sample.t_ms < horizon_ms_) entries[count++] = {hash, sample.t_ms};
  Entry pushed{};
  bool pushes = count > kExact;
  if (pushes) {
    auto older = [](const Entry& a, const Entry& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.hash < b.hash;
    };
    Entry* oldest = std::min_element(entries, entries + count, older);
    pushed = *oldest;
    std::copy(oldest + 1, entries + count, oldest);
    --count;
  }
  base_ms = last_ms;
  for (uint32_t i = 0; i < count; ++i) base_ms = std::min(base_ms, entries[i].offset);
  uint32_t pairs = 0;
  for (size_t w = 0; w < window_count_; ++w) {
    const HllPair* pair = record == nullptr ? nullptr : pair_at(record, w);
    bool is_live =
        pair != nullptr && !forgets &&
        pair->generation_number() + 2 > generation_of(last_ms - (horizon_ms_ - windows_ms_[window_count_ - 1]), w);
    if (is_live || (pushes && needs_pair(pushed.offset, last_ms, w))) pairs |= 1u << w;
  }
  store_u64(out, static_cast<uint64_t>(base_ms) & mask_of(48));
  out[6] = static_cast<uint8_t>(count);
  set_newest(out, last_ms - base_ms);
  out[12] = static_cast<uint8_t>(pairs);
  out[13] = static_cast<uint8_t>(pairs >> 8);
  std::memset(out + kHeadBytes, 0, list_bytes(count) - kHeadBytes);
  for (uint32_t i = 0; i < count; ++i) {
    set_hash(out, count, i, entries[i].hash);
    set_offset(out, count, i, entries[i].offset - base_ms);
  }
  for (size_t w = 0; w < window_count_; ++w) {
    auto* pair = const_cast<HllPair*>(pair_at(out, w));
    if (pair == nullptr) continue;
    const HllPair* old = record == nullptr ? nullptr : pair_at(record, w);
    if (old != nullptr) {
      std::memcpy(pair, old, sizeof(HllPair));
    } else {
      pair->begin(generation_of(pushed.offset, w));
    }
  }
  if (pushes) push_out(out, pushed.hash, pushed.offset, last_ms);
  return bytes(out);
}

Value Distinct::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const {
  if (record == nullptr) return Value::integer(0);
  uint32_t count = count_of(record);
  int64_t base_ms = base_of(record), window_ms = windows_ms_[window];
  int64_t from = t_ms - window_ms + 1 - base_ms, to = t_ms - base_ms;
  uint32_t inside = 0, before = 0;
  for (uint32_t i = 0; i < count; ++i) {
    int64_t offset = offset_at(record, count, i);
    before += offset < from;
    inside += offset >= from && offset <= to;
  }
  const HllPair* pair = pair_at(record, window);
  // A value in the list that is older than the window proves that no value pushed out is in the window.
  if (pair == nullptr || before > 0) return Value::integer(inside);
  uint64_t hashes[kExact];
  uint32_t listed = 0;
  for (uint32_t i = 0; i < count; ++i) {
    int64_t offset = offset_at(record, count, i);
    if (offset >= from && offset <= to) hashes[listed++] = hash_at(record, count, i);
  }
  // The generation that lies in the window whole, and the one that the far edge cuts: what this adds counts by the
  // share of its time that lies in the window.
  std::span<const uint64_t> more(hashes, listed);
  int64_t generation = pair->generation_number(), now = generation_of(t_ms, window);
  double whole = inside, with_cut = inside;
  if (generation == now) {
    whole = pair->estimate(HllPair::Part::kCurrent, more);
    with_cut = pair->estimate(HllPair::Part::kBoth, more);
  } else if (generation == now - 1) {
    with_cut = pair->estimate(HllPair::Part::kCurrent, more);
  } else if (generation == now + 1) {
    whole = with_cut = pair->estimate(HllPair::Part::kPrevious, more);
  }
  auto elapsed_ms = static_cast<double>(t_ms - now * window_ms + 1);
  double share = 1.0 - elapsed_ms / static_cast<double>(window_ms);
  double cut = std::max(with_cut - whole, 0.0) * share;
  return Value::integer(std::max<int64_t>(static_cast<int64_t>(std::nearbyint(whole + cut)), inside));
}

bool Distinct::valid(const uint8_t* record, size_t bytes_given) const {
  if (bytes_given < kHeadBytes) return false;
  uint32_t count = count_of(record);
  if (count == 0 || count > kExact || pairs_of(record) >> window_count_ != 0) return false;
  if (bytes(record) != bytes_given) return false;
  auto newest = static_cast<int64_t>(load_bits(record, 7 * 8, 40));
  if (newest > kOffsetMax || base_of(record) < -kTimeMaxMs) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (offset_at(record, count, i) > newest) return false;
    if (find(record, count, hash_at(record, count, i)) != i) return false;
  }
  for (size_t w = 0; w < window_count_; ++w) {
    const HllPair* pair = pair_at(record, w);
    if (pair == nullptr) continue;
    if (!pair->valid() || pair->generation_number() > generation_of(base_of(record) + newest, w)) return false;
  }
  return true;
}

}  // namespace tamis::state
