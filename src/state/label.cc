#include "state/label.h"

#include <algorithm>
#include <deque>

#include "base/hash.h"
#include "state/block_marks.h"
#include "state/bytes.h"
#include "state/hash_index.h"

namespace tamis::state {

namespace {

using event::Value;

constexpr size_t kLabelsPerEntityMax = 64;
constexpr size_t kTextBytesMax = 1024;

constexpr uint64_t kMagic = 0x31307362616c6d74u;  // "tmlabs01" in memory

struct Entity {
  std::string key;  // kind, a zero byte, value; empty: the slot is free
  std::vector<Label> labels;
  uint32_t next_free = HashIndex::kNone;
};

struct Block {
  uint64_t first = 0;
  std::vector<Entity> entities;
};

std::string key_of(std::string_view kind, std::string_view value) {
  std::string key;
  key.reserve(kind.size() + 1 + value.size());
  return key.append(kind).append(1, '\0').append(value);
}

class Store final : public LabelStore {
 public:
  explicit Store(uint64_t entities_max) : entities_max_(entities_max) {}

  base::Status set(std::string_view kind, std::string_view value, const Label& label) override {
    return place(kind, value, label, false);
  }
  base::Status put(std::string_view kind, std::string_view value, const Label& label) override {
    return place(kind, value, label, true);
  }

  bool clear(std::string_view kind, std::string_view value, std::string_view name) override {
    uint32_t number = find(key_of(kind, value));
    if (number == HashIndex::kNone) return false;
    before_change(number);
    size_t removed = std::erase_if(entities_[number].labels, [&](const Label& label) { return label.name == name; });
    if (entities_[number].labels.empty()) drop(number);
    return removed > 0;
  }

  size_t erase(std::string_view kind, std::string_view value) override {
    uint32_t number = find(key_of(kind, value));
    if (number == HashIndex::kNone) return 0;
    size_t removed = entities_[number].labels.size();
    drop(number);
    return removed;
  }

  Value names(std::string_view kind, std::string_view value, int64_t now_ms, base::Arena& arena) const override {
    uint32_t number = live_ == 0 ? HashIndex::kNone : find(key_of(kind, value));
    if (number == HashIndex::kNone) return Value::list({});
    const std::vector<Label>& labels = entities_[number].labels;
    auto* names = arena.allocate_array<Value>(labels.size());
    size_t count = 0;
    for (const Label& label : labels) {
      if (label.expires_ms > now_ms) names[count++] = Value::string(arena.copy(label.name));
    }
    return Value::list({names, count});
  }

  std::vector<Label> get(std::string_view kind, std::string_view value, int64_t now_ms) const override {
    uint32_t number = find(key_of(kind, value));
    if (number == HashIndex::kNone) return {};
    std::vector<Label> live = entities_[number].labels;
    std::erase_if(live, [&](const Label& label) { return label.expires_ms <= now_ms; });
    return live;
  }

  uint64_t visit(uint64_t after, size_t limit, int64_t now_ms, const Visit& visit) const override {
    constexpr size_t kSlotsMax = 100'000;  // that one call looks at
    size_t visited = 0;
    uint64_t number = after;
    for (size_t looked = 0; number < entities_.size() && visited < limit && looked < kSlotsMax; ++number, ++looked) {
      const Entity& entity = entities_[number];
      if (entity.key.empty()) continue;
      std::string_view key = entity.key;
      size_t kind_bytes = key.find('\0');
      for (const Label& label : entity.labels) {
        if (label.expires_ms <= now_ms) continue;
        visit(key.substr(0, kind_bytes), key.substr(kind_bytes + 1), label);
        ++visited;
      }
    }
    return number < entities_.size() ? number : 0;
  }

  void advance(int64_t now_ms) override {
    for (int i = 0; i < 32 && !entities_.empty(); ++i) {
      hand_ = hand_ + 1 < entities_.size() ? hand_ + 1 : 0;
      Entity& entity = entities_[hand_];
      auto expired = [&](const Label& label) { return label.expires_ms <= now_ms; };
      if (std::none_of(entity.labels.begin(), entity.labels.end(), expired)) continue;
      before_change(hand_);
      std::erase_if(entity.labels, expired);
      if (entity.labels.empty()) drop(static_cast<uint32_t>(hand_));
    }
  }

  size_t entities() const override { return live_; }

  uint64_t digest() const override {
    uint64_t sum = 0;  // a sum does not depend on order
    for (const Entity& entity : entities_) {
      uint64_t key = base::hash64(entity.key);
      for (const Label& label : entity.labels) {
        uint64_t h = base::combine64(key, base::hash64(label.name));
        h = base::combine64(h, base::hash64(label.author));
        h = base::combine64(h, base::hash64(label.reason));
        h = base::combine64(h, static_cast<uint64_t>(label.since_ms));
        sum += base::combine64(h, static_cast<uint64_t>(label.expires_ms));
      }
    }
    return base::mix64(sum);
  }

  void begin_snapshot(PieceWriter& out, uint32_t part) override {
    snapshot_ = &out;
    snapshot_part_ = part;
    marks_.begin(entities_.size());
    std::string& body = out.begin(kHeadPiece, part);
    put_number(body, kMagic);
    put_number(body, static_cast<uint64_t>(entities_.size()));
    put_number(body, static_cast<uint64_t>(live_));
    put_number(body, static_cast<uint64_t>(hand_));
    put_number(body, free_);
    out.end();
  }

  bool snapshot_piece() override {
    size_t block = marks_.is_active() ? marks_.next() : BlockMarks::kNone;
    if (block == BlockMarks::kNone) return false;
    write_block(block);
    return true;
  }

  void end_snapshot() override { marks_.end(); }

  base::Status restore_piece(uint32_t kind, std::string_view body) override {
    ByteReader in(body);
    bool good = kind == kHeadPiece ? restore_head(in) : kind == kBodyPiece && restore_block(in);
    return good && in.ok() && in.left() == 0 ? base::Status() : damaged();
  }

  base::Status finish_restore() override {
    if (!has_head_) return damaged();
    auto by_place = [](const Block& a, const Block& b) { return a.first < b.first; };
    std::sort(blocks_.begin(), blocks_.end(), by_place);
    for (Block& block : blocks_) {
      if (block.first != entities_.size()) return damaged();
      for (Entity& entity : block.entities) {
        if (!entity.key.empty()) {
          if (find(entity.key) != HashIndex::kNone) return damaged();
          index_.insert(base::hash64(entity.key), static_cast<uint32_t>(entities_.size()));
          ++live_;
        }
        entities_.push_back(std::move(entity));
      }
    }
    blocks_ = {};
    if (entities_.size() != slots_expected_ || live_ != live_expected_) return damaged();
    // The list of free slots runs through exactly those that are free.
    size_t free = 0;
    for (uint32_t at = free_; at != HashIndex::kNone; at = entities_[at].next_free, ++free) {
      if (at >= entities_.size() || !entities_[at].key.empty() || free > entities_.size() - live_) return damaged();
    }
    return free == entities_.size() - live_ ? base::Status() : damaged();
  }

 private:
  static base::Status damaged() { return base::invalid("the saved labels are damaged"); }

  static base::Status check(std::string_view kind, std::string_view value, const Label& label) {
    for (std::string_view text :
         {kind, value, std::string_view(label.name), std::string_view(label.author), std::string_view(label.reason)}) {
      if (text.size() <= kTextBytesMax) continue;
      return base::fail(base::Code::kLimit, "an entity, label name, author or reason is longer than 1024 bytes");
    }
    if (kind.find('\0') == std::string_view::npos) return {};
    return base::invalid("a kind of entity holds a zero byte");
  }

  base::Status place(std::string_view kind, std::string_view value, const Label& label, bool exactly) {
    TAMIS_CHECK(check(kind, value, label));
    std::string key = key_of(kind, value);
    uint32_t number = find(key);
    if (number == HashIndex::kNone) {
      if (live_ >= entities_max_) {
        return base::fail(base::Code::kLimit,
                          "the label store is full: " + std::to_string(entities_max_) + " entities have labels");
      }
      number = make(std::move(key));
    }
    before_change(number);
    std::vector<Label>& labels = entities_[number].labels;
    auto old = std::find_if(labels.begin(), labels.end(), [&](const Label& l) { return l.name == label.name; });
    if (old != labels.end() && exactly) {
      *old = label;
      return {};
    }
    if (old != labels.end() && old->expires_ms <= label.since_ms) old = labels.erase(old), old = labels.end();
    if (old != labels.end()) {
      old->expires_ms = std::max(old->expires_ms, label.expires_ms);
      old->author = label.author;
      old->reason = label.reason;
      return {};
    }
    if (labels.size() >= kLabelsPerEntityMax) {
      return base::fail(base::Code::kLimit,
                        "the entity has " + std::to_string(kLabelsPerEntityMax) + " labels already");
    }
    labels.push_back(label);
    return {};
  }

  uint32_t find(std::string_view key) const {
    return index_.find(base::hash64(key), [&](uint32_t number) { return entities_[number].key == key; });
  }

  uint32_t make(std::string key) {
    uint32_t number = free_;
    if (number == HashIndex::kNone) {
      number = static_cast<uint32_t>(entities_.size());
      entities_.emplace_back();
    } else {
      before_change(number);
      free_ = entities_[number].next_free;
    }
    index_.insert(base::hash64(key), number);
    entities_[number].key = std::move(key);
    ++live_;
    return number;
  }

  void drop(uint32_t number) {
    before_change(number);
    index_.erase(base::hash64(entities_[number].key), number);
    entities_[number] = {};
    entities_[number].next_free = free_;
    free_ = number;
    --live_;
  }

  void before_change(size_t number) {
    if (!marks_.is_active()) return;
    size_t block = marks_.due_before_change(number);
    if (block != BlockMarks::kNone) write_block(block);
  }

  // First slot, then for each slot its key, and its labels or the next free slot.
  void write_block(size_t block) {
    std::string& out = snapshot_->begin(kBodyPiece, snapshot_part_);
    put_varint(out, marks_.first_slot(block));
    put_varint(out, marks_.behind_slot(block) - marks_.first_slot(block));
    for (size_t i = marks_.first_slot(block); i < marks_.behind_slot(block); ++i) {
      const Entity& entity = entities_[i];
      put_text(out, entity.key);
      put_varint(out, entity.key.empty() ? entity.next_free : entity.labels.size());
      for (const Label& label : entity.labels) {
        put_text(out, label.name);
        put_text(out, label.author);
        put_text(out, label.reason);
        put_number(out, label.since_ms);
        put_number(out, label.expires_ms);
      }
    }
    snapshot_->end();
  }

  bool restore_head(ByteReader& in) {
    if (has_head_ || !entities_.empty() || in.number<uint64_t>() != kMagic) return false;
    has_head_ = true;
    slots_expected_ = in.number<uint64_t>();
    live_expected_ = in.number<uint64_t>();
    hand_ = in.number<uint64_t>();
    free_ = in.number<uint32_t>();
    return in.ok() && live_expected_ <= slots_expected_ && slots_expected_ <= entities_max_ &&
           (hand_ < slots_expected_ || hand_ == 0);
  }

  // Blocks come in any order; they are put together at the end.
  bool restore_block(ByteReader& in) {
    Block block;
    block.first = in.varint();
    uint64_t count = in.varint();
    if (!has_head_ || count > BlockMarks::kBlockSlots || count > in.left()) return false;
    block.entities.resize(count);
    for (Entity& entity : block.entities) {
      entity.key = in.text();
      if (entity.key.empty()) {
        entity.next_free = static_cast<uint32_t>(in.varint());
      } else if (entity.key.find('\0') == std::string::npos || !restore_labels(in, entity)) {
        return false;
      }
    }
    if (in.ok()) blocks_.push_back(std::move(block));
    return in.ok();
  }

  static bool restore_labels(ByteReader& in, Entity& entity) {
    uint64_t count = in.varint();
    if (!in.ok() || count == 0 || count > kLabelsPerEntityMax) return false;
    entity.labels.resize(count);
    for (Label& label : entity.labels) {
      label.name = in.text();
      label.author = in.text();
      label.reason = in.text();
      label.since_ms = in.number<int64_t>();
      label.expires_ms = in.number<int64_t>();
    }
    return in.ok();
  }

  uint64_t entities_max_;
  HashIndex index_;
  std::deque<Entity> entities_;       // a deque grows without moving what it holds
  uint32_t free_ = HashIndex::kNone;  // the first of the free slots, a list through them
  size_t live_ = 0;
  size_t hand_ = 0;

  BlockMarks marks_;
  PieceWriter* snapshot_ = nullptr;
  uint32_t snapshot_part_ = 0;
  bool has_head_ = false;
  uint64_t slots_expected_ = 0, live_expected_ = 0;
  std::vector<Block> blocks_;  // restored, and not yet put together
};

}  // namespace

std::unique_ptr<LabelStore> LabelStore::make(uint64_t entities_max) { return std::make_unique<Store>(entities_max); }

}  // namespace tamis::state
