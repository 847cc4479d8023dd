#include "state/label.h"

#include <algorithm>
#include <deque>

#include "base/hash.h"
#include "state/hash_index.h"

namespace tamis::state {

namespace {

using event::Value;

constexpr size_t kLabelsPerEntityMax = 64;
constexpr size_t kTextBytesMax = 1024;

struct Entity {
  std::string key;  // kind, a zero byte, value; empty: the slot is free
  std::vector<Label> labels;
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
    if (kind.size() > kTextBytesMax || value.size() > kTextBytesMax || label.name.size() > kTextBytesMax) {
      return base::fail(base::Code::kLimit, "an entity or label name is longer than 1024 bytes");
    }
    std::string key = key_of(kind, value);
    uint32_t number = find(key);
    if (number == HashIndex::kNone) {
      if (live_ >= entities_max_) {
        return base::fail(base::Code::kLimit,
                          "the label store is full: " + std::to_string(entities_max_) + " entities have labels");
      }
      number = make(std::move(key));
    }
    std::vector<Label>& labels = entities_[number].labels;
    for (Label& old : labels) {
      if (old.name != label.name) continue;
      old.expires_ms = std::max(old.expires_ms, label.expires_ms);
      old.author = label.author;
      old.reason = label.reason;
      return {};
    }
    if (labels.size() >= kLabelsPerEntityMax) {
      return base::fail(base::Code::kLimit,
                        "the entity has " + std::to_string(kLabelsPerEntityMax) + " labels already");
    }
    labels.push_back(label);
    return {};
  }

  bool clear(std::string_view kind, std::string_view value, std::string_view name) override {
    uint32_t number = find(key_of(kind, value));
    if (number == HashIndex::kNone) return false;
    size_t removed = std::erase_if(entities_[number].labels, [&](const Label& label) { return label.name == name; });
    if (entities_[number].labels.empty()) drop(number);
    return removed > 0;
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

  void advance(int64_t now_ms) override {
    for (int i = 0; i < 32 && !entities_.empty(); ++i) {
      hand_ = hand_ + 1 < entities_.size() ? hand_ + 1 : 0;
      Entity& entity = entities_[hand_];
      if (entity.key.empty()) continue;
      std::erase_if(entity.labels, [&](const Label& label) { return label.expires_ms <= now_ms; });
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
        h = base::combine64(h, static_cast<uint64_t>(label.since_ms));
        sum += base::combine64(h, static_cast<uint64_t>(label.expires_ms));
      }
    }
    return base::mix64(sum);
  }

 private:
  uint32_t find(std::string_view key) const {
    return index_.find(base::hash64(key), [&](uint32_t number) { return entities_[number].key == key; });
  }

  uint32_t make(std::string key) {
    uint32_t number;
    if (free_.empty()) {
      number = static_cast<uint32_t>(entities_.size());
      entities_.emplace_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    index_.insert(base::hash64(key), number);
    entities_[number].key = std::move(key);
    ++live_;
    return number;
  }

  void drop(uint32_t number) {
    index_.erase(base::hash64(entities_[number].key), number);
    entities_[number] = {};
    free_.push_back(number);
    --live_;
  }

  uint64_t entities_max_;
  HashIndex index_;
  std::deque<Entity> entities_;  // a deque grows without moving what it holds
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  size_t hand_ = 0;
};

}  // namespace

std::unique_ptr<LabelStore> LabelStore::make(uint64_t entities_max) { return std::make_unique<Store>(entities_max); }

}  // namespace tamis::state
