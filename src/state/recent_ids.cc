#include "state/recent_ids.h"

#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"

namespace tamis::state {
namespace {

constexpr uint64_t kMagic = 0x313073646963656du;
constexpr int kSkipsMax = 64;  // of segments already written, in one call

base::Status damaged(const char* what) {
  return base::invalid(std::string("the saved ids of recent events are damaged (") + what + ")");
}

}  // namespace

RecentIds::RecentIds(uint64_t ids_max) : ids_max_(std::max<uint64_t>(ids_max, 1)) {}

uint64_t RecentIds::find(uint64_t id, int64_t now_ms, uint64_t newest_record) const {
  const KeyTable::Slot* slot = keys_.find(id);
  if (slot == nullptr || is_expired(*slot, now_ms)) return 0;
  uint64_t back = (newest_record % kModulus + kModulus - (slot->ref - 1)) % kModulus;
  return back < newest_record ? newest_record - back : 0;
}

void RecentIds::add(uint64_t id, uint64_t record, int64_t expires_ms, int64_t now_ms) {
  auto ref = static_cast<uint32_t>(record % kModulus + 1);
  if (KeyTable::Slot* slot = keys_.find(id); slot != nullptr) {
    before_change(keys_.segment_of(id));
    slot->ref = ref;
    slot->seen = seconds_of(expires_ms);
    return;
  }
  make_room(id, now_ms);
  before_change(keys_.segment_of(id));
  if (keys_.insert(id, ref, seconds_of(expires_ms)) != nullptr) return;
  evict_from(keys_.segment_of(id));  // ids chosen to collide
  TAMIS_ASSERT(keys_.insert(id, ref, seconds_of(expires_ms)) != nullptr);
}

void RecentIds::make_room(uint64_t id, int64_t now_ms) {
  KeyTable::Segment* segment = &keys_.segment_of(id);
  if (keys_.size() < ids_max_ && !KeyTable::is_full(*segment)) return;
  for (uint32_t i = 0; i < segment->capacity;) {
    if (segment->slots[i].ref != 0 && is_expired(segment->slots[i], now_ms)) {
      before_change(*segment);
      keys_.erase(*segment, i);  // the next one may have moved here
    } else {
      ++i;
    }
  }
  if (keys_.size() < ids_max_) return;
  while (segment->count == 0) segment = &keys_.segment_at(KeyTable::behind(*segment));
  evict_from(*segment);
}

void RecentIds::evict_from(KeyTable::Segment& segment) {
  uint32_t first = segment.capacity;
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    const KeyTable::Slot& slot = segment.slots[i];
    if (slot.ref == 0) continue;
    if (first == segment.capacity) {
      first = i;
      continue;
    }
    const KeyTable::Slot& best = segment.slots[first];
    auto later = static_cast<int32_t>(slot.seen - best.seen);
    if (later < 0 || (later == 0 && slot.key < best.key)) first = i;
  }
  TAMIS_ASSERT(first != segment.capacity);
  before_change(segment);
  keys_.erase(segment, first);
  ++evicted_;
}

bool RecentIds::forget(uint64_t id) {
  KeyTable::Slot* slot = keys_.find(id);
  if (slot == nullptr) return false;
  before_change(keys_.segment_of(id));
  keys_.erase(keys_.segment_of(id), keys_.place_of(slot));
  return true;
}

void RecentIds::advance(int64_t now_ms) {
  KeyTable::Segment& segment = keys_.segment_at(sweep_hash_);
  for (uint32_t left = kSweepSlots; left > 0 && sweep_slot_ < segment.capacity; --left) {
    const KeyTable::Slot& slot = segment.slots[sweep_slot_];
    if ((slot.ref != 0) & is_expired(slot, now_ms)) [[unlikely]] {
      before_change(segment);
      keys_.erase(segment, sweep_slot_);
    } else {
      ++sweep_slot_;
    }
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

uint64_t RecentIds::digest() const {
  uint64_t sum = 0, at = 0;
  do {
    const KeyTable::Segment& segment = keys_.segment_at(at);
    for (uint32_t i = 0; i < segment.capacity; ++i) {
      const KeyTable::Slot& slot = segment.slots[i];
      if (slot.ref != 0) sum += base::combine64(slot.key, uint64_t{slot.ref} << 32 | slot.seen);
    }
    at = KeyTable::behind(segment);
  } while (at != 0);
  return base::combine64(sum, evicted_);
}

void RecentIds::begin_snapshot(PieceWriter& out, uint32_t part) {
  snapshot_ = &out;
  snapshot_part_ = part;
  snapshot_hash_ = 0;
  snapshot_ended_ = false;
  keys_.begin_snapshot();
  std::string& body = out.begin(kHeadPiece, part);
  put_number(body, kMagic);
  put_number(body, evicted_);
  put_number(body, sweep_hash_);
  put_number(body, sweep_slot_);
  put_number(body, keys_.depth());
  put_number(body, static_cast<uint32_t>(keys_.segment_count()));
  out.end();
}

void RecentIds::write_piece(KeyTable::Segment& segment) {
  std::string& out = snapshot_->begin(kBodyPiece, snapshot_part_);
  put_number(out, segment.prefix);
  put_number(out, static_cast<uint8_t>(segment.depth));
  put_number(out, static_cast<uint16_t>(segment.capacity));
  put_number(out, static_cast<uint16_t>(segment.count));
  for (uint32_t i = 0; i < segment.capacity; ++i) {
    const KeyTable::Slot& slot = segment.slots[i];
    if (slot.ref == 0) continue;
    put_number(out, static_cast<uint16_t>(i));
    put_number(out, slot);
  }
  snapshot_->end();
  keys_.set_mark(segment);
}

bool RecentIds::snapshot_piece() {
  for (int skips = 0; snapshot_ != nullptr && !snapshot_ended_ && skips < kSkipsMax; ++skips) {
    KeyTable::Segment& segment = keys_.segment_at(snapshot_hash_);
    snapshot_hash_ = KeyTable::behind(segment);
    snapshot_ended_ = snapshot_hash_ == 0;
    if (keys_.is_marked(segment)) continue;
    write_piece(segment);
    return true;
  }
  return snapshot_ != nullptr && !snapshot_ended_;
}

base::Status RecentIds::restore_piece(uint32_t kind, std::string_view body) {
  ByteReader in(body);
  if (kind == kHeadPiece && !has_head_) {
    if (in.number<uint64_t>() != kMagic) return damaged("not of this format");
    has_head_ = true;
    evicted_ = in.number<uint64_t>();
    sweep_hash_ = in.number<uint64_t>();
    sweep_slot_ = in.number<uint32_t>();
    depth_ = in.number<uint32_t>();
    segment_count_ = in.number<uint32_t>();
    if (depth_ > KeyTable::kDepthMax || (uint64_t{1} << depth_) > uint64_t{segment_count_} * 1024) {
      return damaged("bad directory");
    }
  } else if (kind == kBodyPiece && has_head_) {
    TAMIS_CHECK(restore_segment(in));
  } else {
    return damaged("a piece out of order");
  }
  return in.ok() && in.left() == 0 ? base::Status() : damaged("a piece of the wrong length");
}

base::Status RecentIds::restore_segment(ByteReader& in) {
  auto prefix = in.number<uint64_t>();
  auto depth = in.number<uint8_t>();
  auto capacity = in.number<uint16_t>(), count = in.number<uint16_t>();
  if (!in.ok() || depth > depth_ || !keys_.is_capacity(capacity) || count * 20 > capacity * 17 ||
      segments_.size() >= segment_count_) {
    return damaged("bad segment");
  }
  segments_.push_back(KeyTable::make_segment(prefix, depth, capacity));
  KeyTable::Segment& segment = *segments_.back();
  segment.count = count;
  for (uint32_t n = 0; n < count; ++n) {
    auto place = in.number<uint16_t>();
    auto slot = in.number<KeyTable::Slot>();
    if (!in.ok() || place >= capacity || segment.slots[place].ref != 0 || slot.ref == 0) return damaged("bad slot");
    uint64_t hash = KeyTable::hash_of(slot.key), behind = KeyTable::behind(segment);
    if (hash < prefix || (behind != 0 && hash >= behind)) return damaged("an id in the wrong segment");
    segment.slots[place] = slot;
  }
  for (uint32_t i = 0; i < capacity; ++i) {
    if (segment.slots[i].ref != 0 && !KeyTable::is_reachable(segment, i)) return damaged("an id in the wrong slot");
  }
  return {};
}

base::Status RecentIds::finish_restore() {
  if (!has_head_ || segments_.size() != segment_count_) return damaged("a piece is missing");
  auto by_prefix = [](const auto& a, const auto& b) { return a->prefix < b->prefix; };
  std::sort(segments_.begin(), segments_.end(), by_prefix);
  if (!keys_.adopt(depth_, std::move(segments_))) return damaged("segments do not fit together");
  segments_.clear();
  has_head_ = false;
  return {};
}

}  // namespace tamis::state
