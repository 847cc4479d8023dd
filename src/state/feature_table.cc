#include "state/feature_table.h"

namespace tamis::state {
namespace {

constexpr uint64_t kMagic = 0x31307661656d6174u;  // "tameav01" in memory
constexpr size_t kChecksumBytes = 8;

}  // namespace

FeatureTableBase::FeatureTableBase(const FeatureSpec& spec, size_t record_bytes_max)
    : spec_(spec), slab_(record_bytes_max), record_bytes_max_(record_bytes_max), scratch_(record_bytes_max + 256) {
  TAMIS_ASSERT(!spec.windows_ms.empty() && spec.windows_ms.size() <= kWindowsMax);
  TAMIS_ASSERT(std::is_sorted(spec.windows_ms.begin(), spec.windows_ms.end()) && spec.windows_ms.front() > 0);
  spec_.lateness_ms = std::clamp<int64_t>(spec_.lateness_ms, 0, kLatenessMaxMs);
  spec_.keys_max = std::max<uint64_t>(spec_.keys_max, 1);
  horizon_ms_ = spec_.windows_ms.back() + spec_.lateness_ms;
}

Cursor FeatureTableBase::find(uint64_t key) const {
  const KeyTable::Slot* slot = keys_.find(key);
  if (slot == nullptr) return {key, kNowhere, 0};
  __builtin_prefetch(slab_.at(slot->ref));
  return {key, keys_.place_of(slot), 0};
}

void FeatureTableBase::insert(uint64_t key, int64_t newest_ms, const uint8_t* record, size_t bytes) {
  uint32_t ref = slab_.allocate(bytes);
  std::memcpy(slab_.at(ref), record, bytes);
  if (keys_.insert(key, ref, seen_of(newest_ms)) != nullptr) return;
  // Keys chosen to collide: the segment is treated like a table at its cap.
  evict_from(keys_.segment_of(key));
  KeyTable::Slot* slot = keys_.insert(key, ref, seen_of(newest_ms));
  TAMIS_ASSERT(slot != nullptr);
}

void FeatureTableBase::replace(KeyTable::Slot& slot, const uint8_t* record, size_t bytes) {
  size_t wanted = Slab::capacity_for(bytes), capacity = slab_.capacity(slot.ref);
  if (wanted > capacity || wanted + kSlackMax < capacity) {
    slab_.free(slot.ref);
    slot.ref = slab_.allocate(bytes);
  }
  std::memcpy(slab_.at(slot.ref), record, bytes);
}

void FeatureTableBase::erase(KeyTable::Segment& segment, uint32_t slot) {
  slab_.free(segment.slots[slot].ref);
  keys_.erase(segment, slot);
}

void FeatureTableBase::purge(KeyTable::Segment& segment) {
  for (uint32_t i = 0; i < segment.capacity;) {
    const KeyTable::Slot& slot = segment.slots[i];
    if (slot.ref != 0 && is_dead_slot(slot)) {
      erase(segment, i);  // the next one may have moved here
    } else {
      ++i;
    }
  }
}

// The segment is a fair sample of the table, as keys are spread by their hashes: its oldest key is nearly the oldest of
// all, and exactly that while the table has one segment.
void FeatureTableBase::evict_from(KeyTable::Segment& segment) {
  uint32_t oldest = kNowhere;
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    const KeyTable::Slot& slot = segment.slots[i];
    if (slot.ref == 0) continue;
    if (oldest == kNowhere) {
      oldest = i;
      continue;
    }
    const KeyTable::Slot& best = segment.slots[oldest];
    auto later = static_cast<int32_t>(slot.seen - best.seen);
    if (later > 0) continue;
    if (later == 0) {
      int64_t newest = record_newest_ms(slab_.at(slot.ref)), best_newest = record_newest_ms(slab_.at(best.ref));
      if (newest > best_newest || (newest == best_newest && slot.key > best.key)) continue;
    }
    oldest = i;
  }
  TAMIS_ASSERT(oldest != kNowhere);
  erase(segment, oldest);
  ++evicted_;
}

bool FeatureTableBase::make_room(uint64_t key) {
  KeyTable::Segment* segment = &keys_.segment_of(key);
  bool capped = keys_.size() >= spec_.keys_max;
  if (capped || KeyTable::is_full(*segment)) {
    purge(*segment);
    capped = keys_.size() >= spec_.keys_max;
  }
  if (!capped) return true;
  if (spec_.at_cap == AtCap::kIgnoreNew) {
    ++ignored_;
    return false;
  }
  while (segment->count == 0) segment = &keys_.segment_at(KeyTable::behind(*segment));
  evict_from(*segment);
  return true;
}

void FeatureTableBase::advance(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, clamp_time(now_ms));
  uint32_t left = kSweepSlots, moves = 0;
  bool has_holes = slab_.has_holes();
  KeyTable::Segment& segment = keys_.segment_at(sweep_hash_);
  while (left > 0 && sweep_slot_ < segment.capacity) {
    KeyTable::Slot& slot = segment.slots[sweep_slot_];
    // One condition, nearly always false: which slots are empty cannot be foretold.
    if ((slot.ref != 0) & is_dead_slot(slot)) [[unlikely]] {
      erase(segment, sweep_slot_);
    } else {
      if (has_holes && moves < kMovesMax && slot.ref != 0 && slab_.worth_moving(slot.ref)) {
        slot.ref = slab_.move(slot.ref);
        ++moves;
      }
      ++sweep_slot_;
    }
    --left;
  }
  if (sweep_slot_ < segment.capacity) {
    for (uint32_t i = 0; i < kSweepSlots; i += 4) __builtin_prefetch(segment.slots.get() + sweep_slot_ + i);
    return;
  }
  uint64_t at = segment.prefix;
  sweep_hash_ = KeyTable::behind(segment);
  sweep_slot_ = 0;
  keys_.trim(at);
}

TableStats FeatureTableBase::stats() const {
  TableStats stats;
  stats.keys = keys_.size();
  stats.bytes = keys_.bytes() + slab_.bytes() + sizeof(*this) + scratch_.capacity();
  stats.evicted = evicted_;
  stats.ignored = ignored_;
  stats.late = late_;
  return stats;
}

uint64_t FeatureTableBase::digest() const {
  uint64_t sum = spec_digest();
  uint64_t at = 0;
  do {
    const KeyTable::Segment& segment = keys_.segment_at(at);
    for (uint32_t i = 0; i < segment.capacity; ++i) {
      const KeyTable::Slot& slot = segment.slots[i];
      if (slot.ref == 0) continue;
      const uint8_t* record = slab_.at(slot.ref);
      if (is_dead(record_newest_ms(record))) continue;
      sum += base::combine64(slot.key, base::hash64(record, record_bytes(record)));
    }
    at = KeyTable::behind(segment);
  } while (at != 0);
  return base::combine64(sum, evicted_ + base::mix64(ignored_ + base::mix64(late_)));
}

uint64_t FeatureTableBase::spec_digest() const {
  std::string text;
  put_number(text, static_cast<uint8_t>(spec_.aggregate));
  put_number(text, static_cast<uint8_t>(spec_.value_kind));
  put_number(text, static_cast<uint8_t>(spec_.at_cap));
  put_number(text, spec_.lateness_ms);
  put_number(text, spec_.keys_max);
  put_number(text, spec_.quantile);
  put_number(text, spec_.k);
  for (int64_t window : spec_.windows_ms) put_number(text, window);
  return base::hash64(spec_.name, base::hash64(text));
}

// The bytes: magic, digest of the spec, time, counters, sweep, the number of segments; each segment with its depth,
// capacity, and slots in their places; and a checksum over all of it. Places matter: what the sweep finds next, and
// which segment overflows first, must be the same after a restart.
void FeatureTableBase::save(std::string& out) const {
  size_t begin = out.size();
  put_number(out, kMagic);
  put_number(out, spec_digest());
  put_number(out, now_ms_);
  for (uint64_t count : {evicted_, ignored_, late_, sweep_hash_}) put_number(out, count);
  put_number(out, sweep_slot_);
  put_number(out, keys_.depth());
  put_number(out, static_cast<uint32_t>(keys_.segment_count()));
  uint64_t at = 0;
  do {
    const KeyTable::Segment& segment = keys_.segment_at(at);
    put_number(out, static_cast<uint8_t>(segment.depth));
    put_number(out, static_cast<uint16_t>(segment.capacity));
    put_number(out, static_cast<uint16_t>(segment.count));
    for (uint32_t i = 0; i < segment.capacity; ++i) {
      const KeyTable::Slot& slot = segment.slots[i];
      if (slot.ref == 0) continue;
      const uint8_t* record = slab_.at(slot.ref);
      size_t bytes = record_bytes(record);
      put_number(out, static_cast<uint16_t>(i));
      put_number(out, slot.key);
      put_varint(out, bytes);
      out.append(reinterpret_cast<const char*>(record), bytes);
    }
    at = KeyTable::behind(segment);
  } while (at != 0);
  put_number(out, base::hash64(out.data() + begin, out.size() - begin));
}

bool FeatureTableBase::load_segment(ByteReader& in, KeyTable::Segment& segment, Slab& slab) {
  for (uint32_t n = 0; n < segment.count; ++n) {
    auto place = in.number<uint16_t>();
    auto key = in.number<uint64_t>();
    uint64_t bytes = in.varint();
    if (!in.ok() || place >= segment.capacity || segment.slots[place].ref != 0) return false;
    if (bytes == 0 || bytes > record_bytes_max_) return false;
    std::string_view record = in.bytes(bytes);
    if (!in.ok()) return false;
    uint64_t hash = KeyTable::hash_of(key);
    if (hash < segment.prefix || (KeyTable::behind(segment) != 0 && hash >= KeyTable::behind(segment))) return false;
    // Checked where reading a few bytes behind the end is harmless.
    std::fill(scratch_.begin(), scratch_.end(), uint8_t{0});
    std::memcpy(scratch_.data(), record.data(), bytes);
    if (!record_valid(scratch_.data(), bytes)) return false;
    int64_t newest_ms = record_newest_ms(scratch_.data());
    if (newest_ms > now_ms_ || newest_ms < -kTimeMaxMs) return false;
    uint32_t ref = slab.allocate(bytes);
    std::memcpy(slab.at(ref), record.data(), bytes);
    segment.slots[place] = {key, ref, seen_of(newest_ms)};
  }
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    if (segment.slots[i].ref != 0 && !KeyTable::is_reachable(segment, i)) return false;
  }
  return true;
}

base::Status FeatureTableBase::load(std::string_view bytes) {
  auto damaged = [&](const char* what) {
    return base::invalid("feature " + spec_.name + ": the saved state is damaged (" + what + ")");
  };
  if (bytes.size() < kChecksumBytes) return damaged("too short");
  ByteReader checksum(bytes.substr(bytes.size() - kChecksumBytes));
  bytes.remove_suffix(kChecksumBytes);
  ByteReader in(bytes);
  if (in.number<uint64_t>() != kMagic) return damaged("not a feature table of this format");
  if (checksum.number<uint64_t>() != base::hash64(bytes)) return damaged("wrong checksum");
  if (in.number<uint64_t>() != spec_digest()) {
    return base::invalid("feature " + spec_.name + ": the saved state belongs to another declaration of this feature");
  }
  auto now_ms = in.number<int64_t>();
  auto evicted = in.number<uint64_t>(), ignored = in.number<uint64_t>(), late = in.number<uint64_t>();
  auto sweep_hash = in.number<uint64_t>();
  auto sweep_slot = in.number<uint32_t>(), depth = in.number<uint32_t>(), count = in.number<uint32_t>();
  if (!in.ok() || now_ms < -kTimeMaxMs || now_ms > kTimeMaxMs) return damaged("bad header");
  if (count == 0 || count > in.left() || depth > KeyTable::kDepthMax ||
      (uint64_t{1} << depth) > uint64_t{count} * 1024) {
    return damaged("bad directory");
  }
  Slab slab(record_bytes_max_);
  std::vector<std::unique_ptr<KeyTable::Segment>> segments;
  uint64_t prefix = 0;
  int64_t old_now_ms = std::exchange(now_ms_, now_ms);
  const char* fault = nullptr;
  for (uint32_t i = 0; i < count && fault == nullptr; ++i) {
    auto segment_depth = in.number<uint8_t>();
    auto capacity = in.number<uint16_t>(), keys = in.number<uint16_t>();
    if (!in.ok() || segment_depth > depth || !KeyTable::is_capacity(capacity) || keys * 20 > capacity * 17) {
      fault = "bad segment";
      break;
    }
    segments.push_back(KeyTable::make_segment(prefix, segment_depth, capacity));
    segments.back()->count = keys;
    if (!load_segment(in, *segments.back(), slab)) fault = "bad record";
    prefix = KeyTable::behind(*segments.back());
  }
  KeyTable keys;
  if (fault == nullptr && in.left() != 0) fault = "bytes behind the end";
  if (fault == nullptr && !keys.adopt(depth, std::move(segments))) fault = "segments do not fit together";
  if (fault == nullptr && keys.size() > spec_.keys_max) fault = "more keys than its cap";
  if (fault != nullptr) {
    now_ms_ = old_now_ms;
    return damaged(fault);
  }
  keys_ = std::move(keys);
  slab_ = std::move(slab);
  evicted_ = evicted;
  ignored_ = ignored;
  late_ = late;
  sweep_hash_ = sweep_hash;
  sweep_slot_ = sweep_slot;
  return {};
}

}  // namespace tamis::state
