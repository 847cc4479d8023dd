#include "state/list.h"

#include "base/hash.h"
#include "state/list_entries.h"
#include "state/list_matchers.h"

namespace tamis::state {
namespace {

// A list is its entries, and a matcher that knows how values of its kind find them.
template <class Matcher>
class ListOf final : public List {
 public:
  ListOf(std::string name, ListKind kind, uint64_t entries_max)
      : name_(std::move(name)), kind_(kind), entries_max_(entries_max) {}

  const std::string& name() const override { return name_; }
  ListKind kind() const override { return kind_; }

  base::Status add(const ListEntry& entry) override {
    TAMIS_TRY(key, Matcher::canonical(entry.value));
    uint32_t number = matcher_.find_exact(entries_, key);
    if (number != ListEntries::kNone) {
      entries_.update(number, entry.expires_ms, entry.note);
      matcher_.changed(entries_, number);
      return {};
    }
    if (entries_.size() >= entries_max_) {
      return base::fail(base::Code::kLimit, "list \"" + name_ + "\" is full: it holds " + std::to_string(entries_max_) +
                                                " entries at most");
    }
    number = entries_.add(key, entry.expires_ms, entry.note);
    base::Status inserted = matcher_.insert(entries_, number);
    if (!inserted) entries_.remove(number);
    return inserted;
  }

  bool remove(std::string_view value) override {
    auto key = Matcher::canonical(value);
    if (!key) return false;
    uint32_t number = matcher_.find_exact(entries_, *key);
    if (number == ListEntries::kNone) return false;
    drop(number);
    return true;
  }

  bool contains(Value value, int64_t now_ms) const override {
    return entries_.size() != 0 && matcher_.match(entries_, value, now_ms) != ListEntries::kNone;
  }

  std::optional<ListEntry> match(Value value, int64_t now_ms) const override {
    uint32_t number = entries_.size() == 0 ? ListEntries::kNone : matcher_.match(entries_, value, now_ms);
    if (number == ListEntries::kNone) return std::nullopt;
    return entries_.get(number);
  }

  // Looks at a bounded number of entries a call, in turn.
  void advance(int64_t now_ms) override {
    if (entries_.expiring() == 0) return;
    for (int i = 0; i < 32 && entries_.slots() > 0; ++i) {
      hand_ = hand_ + 1 < entries_.slots() ? hand_ + 1 : 0;
      if (entries_.used(hand_) && entries_.expires_ms(hand_) <= now_ms) drop(hand_);
    }
  }

  size_t size() const override { return entries_.size(); }

  uint64_t digest() const override {
    uint64_t sum = 0;  // a sum does not depend on order
    for (uint32_t i = 0; i < entries_.slots(); ++i) {
      if (!entries_.used(i)) continue;
      sum += base::combine64(base::hash64(entries_.text(i)), static_cast<uint64_t>(entries_.expires_ms(i)));
    }
    return base::combine64(base::hash64(name_), sum);
  }

  void for_each(const std::function<void(const ListEntry&)>& visit) const override {
    for (uint32_t i = 0; i < entries_.slots(); ++i) {
      if (entries_.used(i)) visit(entries_.get(i));
    }
  }

 private:
  void drop(uint32_t number) {
    matcher_.erase(entries_, number);
    entries_.remove(number);
  }

  std::string name_;
  ListKind kind_;
  uint64_t entries_max_;
  ListEntries entries_;
  Matcher matcher_;
  uint32_t hand_ = 0;
};

}  // namespace

std::unique_ptr<List> List::make(std::string name, ListKind kind, uint64_t entries_max) {
  switch (kind) {
    case ListKind::kString:
      return std::make_unique<ListOf<TextMatcher>>(std::move(name), kind, entries_max);
    case ListKind::kInt:
      return std::make_unique<ListOf<IntMatcher>>(std::move(name), kind, entries_max);
    case ListKind::kNetwork:
      return std::make_unique<ListOf<NetworkMatcher>>(std::move(name), kind, entries_max);
    case ListKind::kRegex:
      return std::make_unique<ListOf<RegexMatcher>>(std::move(name), kind, entries_max);
    case ListKind::kDomain:
      return std::make_unique<ListOf<DomainMatcher>>(std::move(name), kind, entries_max);
  }
  return nullptr;
}

}  // namespace tamis::state
