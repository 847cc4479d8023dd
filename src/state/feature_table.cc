#include "state/feature_table.h"

namespace tamis::state {
namespace {

constexpr uint64_t kMagic = 0x32307661656d6174u;  // "tameav02" in memory
constexpr size_t kChecksumBytes = 8;
// A segment is written at one go: the records of one are four megabytes at most.
constexpr size_t kSegmentBytesMax = size_t{4} << 20;
constexpr uint32_t kSegmentSlotsMin = 64;
constexpr int kSkipsMax = 64;  // of segments already written, in one call
constexpr size_t kTextHeldMin = 200;

uint32_t segment_slots(size_t record_bytes_max) {
  return static_cast<uint32_t>(
      std::clamp<size_t>(kSegmentBytesMax / record_bytes_max, kSegmentSlotsMin, KeyTable::kSegmentSlots));
}

}  // namespace

FeatureTableBase::FeatureTableBase(const FeatureSpec& spec, size_t record_bytes_max)
    : spec_(spec),
      keys_(segment_slots(record_bytes_max)),
      slab_(record_bytes_max),
      record_bytes_max_(record_bytes_max),
      scratch_(record_bytes_max + 256) {
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
  before_change(key);
  if (keys_.insert(key, ref, seen_of(newest_ms)) != nullptr) return;
  // Keys chosen to collide: the segment is treated like a table at its cap.
  evict_from(keys_.segment_of(key));
  KeyTable::Slot* slot = keys_.insert(key, ref, seen_of(newest_ms));
  TAMIS_ASSERT(slot != nullptr);
}

void FeatureTableBase::replace(KeyTable::Slot& slot, const uint8_t* record, size_t bytes) {
  if (Slab::capacity_for(bytes) != slab_.capacity(slot.ref)) {
    slab_.free(slot.ref);
    slot.ref = slab_.allocate(bytes);
  }
  std::memcpy(slab_.at(slot.ref), record, bytes);
}

void FeatureTableBase::erase(KeyTable::Segment& segment, uint32_t slot) {
  before_change(segment);
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
  if (snapshot_ != nullptr) {
    auto [trimmed, joined] = keys_.trimmed_by(at);
    if (trimmed != nullptr) before_change(*trimmed);
    if (joined != nullptr) before_change(*joined);
  }
  keys_.trim(at);
}

bool FeatureTableBase::forget(uint64_t key) {
  KeyTable::Slot* slot = keys_.find(key);
  if (slot == nullptr) return false;
  erase(keys_.segment_of(key), keys_.place_of(slot));
  return true;
}

bool FeatureTableBase::holds(uint64_t key, Value value) const {
  const KeyTable::Slot* slot = keys_.find(key);
  if (slot == nullptr) return false;
  if (value.kind != event::Kind::kString && value.kind != event::Kind::kBytes) return true;
  const uint8_t* record = slab_.at(slot->ref);
  const std::string_view bytes(reinterpret_cast<const char*>(record), record_bytes(record));
  // Records hold no more of a text than so much, cut where a code point ends.
  const std::string_view text = value.str();
  return bytes.find(text.substr(0, kTextHeldMin)) != std::string_view::npos;
}

bool FeatureTableBase::forget_before(KeyTable::Segment& segment, uint32_t i, int64_t before_ms, uint64_t& changed) {
  KeyTable::Slot& slot = segment.slots[i];
  const uint8_t* record = slab_.at(slot.ref);
  const int64_t newest_ms = record_newest_ms(record);
  const size_t bytes = record_bytes(record);
  const bool goes = is_dead(newest_ms) || newest_ms < before_ms;
  const size_t left = goes ? 0 : record_since(record, before_ms, scratch_.data());
  if (left == 0) {
    erase(segment, i);
    ++changed;
    return true;
  }
  if (left == bytes && std::memcmp(record, scratch_.data(), bytes) == 0) return false;
  before_change(segment);
  replace(slot, scratch_.data(), left);
  ++changed;
  return false;
}

uint64_t FeatureTableBase::forget_before(int64_t before_ms, uint32_t part, uint32_t parts) {
  TAMIS_ASSERT(part < parts);
  before_ms = clamp_time(before_ms);
  uint64_t changed = 0;
  auto part_of = [&](uint64_t hash) { return static_cast<uint32_t>(((hash >> 32) * parts) >> 32); };
  // The first hash of the part; segments lie in the order of hashes.
  uint64_t at = ((uint64_t{part} << 32) + parts - 1) / parts << 32;
  do {
    KeyTable::Segment& segment = keys_.segment_at(at);
    for (uint32_t i = 0; i < segment.capacity;) {
      const KeyTable::Slot& slot = segment.slots[i];
      const bool is_of_part = slot.ref != 0 && part_of(KeyTable::hash_of(slot.key)) == part;
      // The next one may have moved here.
      if (!is_of_part || !forget_before(segment, i, before_ms, changed)) ++i;
    }
    at = KeyTable::behind(segment);
  } while (at != 0 && part_of(at) <= part);
  return changed;
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

// The bytes of the head: magic, digest of the spec, time, counters, sweep, depth, the number of segments. Of a segment:
// its prefix, depth, capacity, and slots in their places. Places matter: what the sweep finds next, and which segment
// overflows first, must be the same after a restart.
void FeatureTableBase::put_head(std::string& out) const {
  put_number(out, kMagic);
  put_number(out, spec_digest());
  put_number(out, now_ms_);
  for (uint64_t count : {evicted_, ignored_, late_, sweep_hash_}) put_number(out, count);
  put_number(out, sweep_slot_);
  put_number(out, keys_.depth());
  put_number(out, static_cast<uint32_t>(keys_.segment_count()));
}

void FeatureTableBase::put_segment(std::string& out, const KeyTable::Segment& segment) const {
  constexpr uint32_t kAhead = 8;
  put_number(out, segment.prefix);
  put_number(out, static_cast<uint8_t>(segment.depth));
  put_number(out, static_cast<uint16_t>(segment.capacity));
  put_number(out, static_cast<uint16_t>(segment.count));
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    if (i + kAhead < segment.capacity) {
      if (uint32_t ref = segment.slots[i + kAhead].ref; ref != 0) __builtin_prefetch(slab_.at(ref));
    }
    const KeyTable::Slot& slot = segment.slots[i];
    if (slot.ref == 0) continue;
    const uint8_t* record = slab_.at(slot.ref);
    size_t bytes = record_bytes(record);
    put_number(out, static_cast<uint16_t>(i));
    put_number(out, slot.key);
    put_varint(out, bytes);
    out.append(reinterpret_cast<const char*>(record), bytes);
  }
}

void FeatureTableBase::save(std::string& out) const {
  size_t begin = out.size();
  put_head(out);
  uint64_t at = 0;
  do {
    const KeyTable::Segment& segment = keys_.segment_at(at);
    put_segment(out, segment);
    at = KeyTable::behind(segment);
  } while (at != 0);
  put_number(out, base::hash64(out.data() + begin, out.size() - begin));
}

void FeatureTableBase::begin_snapshot(PieceWriter& out, uint32_t part) {
  snapshot_ = &out;
  snapshot_part_ = part;
  snapshot_hash_ = 0;
  snapshot_ended_ = false;
  keys_.begin_snapshot();
  put_head(out.begin(kHeadPiece, part));
  out.end();
}

void FeatureTableBase::write_piece(KeyTable::Segment& segment) {
  put_segment(snapshot_->begin(kBodyPiece, snapshot_part_), segment);
  snapshot_->end();
  keys_.set_mark(segment);
}

bool FeatureTableBase::snapshot_piece() {
  for (int skips = 0; !snapshot_ended_ && skips < kSkipsMax; ++skips) {
    KeyTable::Segment& segment = keys_.segment_at(snapshot_hash_);
    snapshot_hash_ = KeyTable::behind(segment);
    snapshot_ended_ = snapshot_hash_ == 0;
    if (keys_.is_marked(segment)) continue;
    write_piece(segment);
    return true;
  }
  return !snapshot_ended_;
}

base::Status FeatureTableBase::damaged(const char* what) const {
  return base::invalid("feature " + spec_.name + ": the saved state is damaged (" + what + ")");
}

base::Status FeatureTableBase::load_head(ByteReader& in, Loading& loading) const {
  if (in.number<uint64_t>() != kMagic) return damaged("not a feature table of this format");
  if (in.number<uint64_t>() != spec_digest()) {
    return base::invalid("feature " + spec_.name + ": the saved state belongs to another declaration of this feature");
  }
  loading.now_ms = in.number<int64_t>();
  for (uint64_t* count : {&loading.evicted, &loading.ignored, &loading.late, &loading.sweep_hash}) {
    *count = in.number<uint64_t>();
  }
  for (uint32_t* count : {&loading.sweep_slot, &loading.depth, &loading.segment_count}) {
    *count = in.number<uint32_t>();
  }
  if (!in.ok() || loading.now_ms < -kTimeMaxMs || loading.now_ms > kTimeMaxMs) return damaged("bad header");
  if (loading.segment_count == 0 || loading.depth > KeyTable::kDepthMax ||
      (uint64_t{1} << loading.depth) > uint64_t{loading.segment_count} * 1024) {
    return damaged("bad directory");
  }
  return {};
}

// What is wrong with the segment, or null.
const char* FeatureTableBase::load_segment(ByteReader& in, Loading& loading) const {
  auto prefix = in.number<uint64_t>();
  auto depth = in.number<uint8_t>();
  auto capacity = in.number<uint16_t>(), count = in.number<uint16_t>();
  if (!in.ok() || depth > loading.depth || !keys_.is_capacity(capacity) || count * 20 > capacity * 17) {
    return "bad segment";
  }
  if (loading.segments.size() >= loading.segment_count) return "too many segments";
  loading.segments.push_back(KeyTable::make_segment(prefix, depth, capacity));
  loading.segments.back()->count = count;
  return load_slots(in, *loading.segments.back(), loading) ? nullptr : "bad record";
}

bool FeatureTableBase::load_slots(ByteReader& in, KeyTable::Segment& segment, Loading& loading) const {
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
    std::memcpy(scratch_.data(), record.data(), bytes);
    std::memset(scratch_.data() + bytes, 0, 64);
    if (!record_valid(scratch_.data(), bytes)) return false;
    int64_t newest_ms = record_newest_ms(scratch_.data());
    if (newest_ms > loading.now_ms || newest_ms < -kTimeMaxMs) return false;
    uint32_t ref = loading.slab.allocate(bytes);
    std::memcpy(loading.slab.at(ref), record.data(), bytes);
    segment.slots[place] = {key, ref, seen_of(newest_ms)};
  }
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    if (segment.slots[i].ref != 0 && !KeyTable::is_reachable(segment, i)) return false;
  }
  return true;
}

base::Status FeatureTableBase::adopt(Loading& loading) {
  KeyTable keys(keys_.slots_max());
  auto by_prefix = [](const auto& a, const auto& b) { return a->prefix < b->prefix; };
  std::sort(loading.segments.begin(), loading.segments.end(), by_prefix);
  if (loading.segments.size() != loading.segment_count || !keys.adopt(loading.depth, std::move(loading.segments))) {
    return damaged("segments do not fit together");
  }
  if (keys.size() > spec_.keys_max) return damaged("more keys than its cap");
  keys_ = std::move(keys);
  slab_ = std::move(loading.slab);
  now_ms_ = loading.now_ms;
  evicted_ = loading.evicted;
  ignored_ = loading.ignored;
  late_ = loading.late;
  sweep_hash_ = loading.sweep_hash;
  sweep_slot_ = loading.sweep_slot;
  return {};
}

base::Status FeatureTableBase::load(std::string_view bytes) {
  if (bytes.size() < kChecksumBytes) return damaged("too short");
  ByteReader checksum(bytes.substr(bytes.size() - kChecksumBytes));
  bytes.remove_suffix(kChecksumBytes);
  ByteReader in(bytes);
  if (checksum.number<uint64_t>() != base::hash64(bytes)) return damaged("wrong checksum");
  Loading loading(record_bytes_max_);
  TAMIS_CHECK(load_head(in, loading));
  while (in.left() != 0) {
    if (const char* fault = load_segment(in, loading); fault != nullptr) return damaged(fault);
  }
  return adopt(loading);
}

base::Status FeatureTableBase::restore_piece(uint32_t kind, std::string_view body) {
  ByteReader in(body);
  if (kind == kHeadPiece && loading_ == nullptr) {
    loading_ = std::make_unique<Loading>(record_bytes_max_);
    TAMIS_CHECK(load_head(in, *loading_));
  } else if (kind == kBodyPiece && loading_ != nullptr) {
    if (const char* fault = load_segment(in, *loading_); fault != nullptr) return damaged(fault);
  } else {
    return damaged("a piece out of order");
  }
  return in.left() == 0 ? base::Status() : damaged("bytes behind the end");
}

base::Status FeatureTableBase::finish_restore() {
  if (loading_ == nullptr) return damaged("it has no head");
  std::unique_ptr<Loading> loading = std::move(loading_);
  return adopt(*loading);
}

}  // namespace tamis::state
