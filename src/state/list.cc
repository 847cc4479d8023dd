#include "state/list.h"

#include <type_traits>

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
  bool ignores_case() const override { return std::is_same_v<Matcher, CaselessMatcher>; }

  base::Status add(const ListEntry& entry) override { return place(entry, false); }
  base::Status put(const ListEntry& entry) override { return place(entry, true); }

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

  std::optional<ListEntry> find(std::string_view value) const override {
    auto key = Matcher::canonical(value);
    uint32_t number = key ? matcher_.find_exact(entries_, *key) : ListEntries::kNone;
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
      ListEntry entry = entries_.get(i);
      uint64_t h = base::combine64(base::hash64(entry.value), static_cast<uint64_t>(entry.expires_ms));
      h = base::combine64(h, base::hash64(entry.note));
      h = base::combine64(h, base::hash64(entry.author));
      sum += base::combine64(h, static_cast<uint64_t>(entry.since_ms));
    }
    return base::combine64(base::hash64(name_), sum);
  }

  void for_each(const std::function<void(const ListEntry&)>& visit) const override {
    for (uint32_t i = 0; i < entries_.slots(); ++i) {
      if (entries_.used(i)) visit(entries_.get(i));
    }
  }

  uint64_t visit(uint64_t after, size_t limit, int64_t now_ms,
                 const std::function<void(const ListEntry&)>& visit) const override {
    constexpr size_t kSlotsMax = 100'000;  // that one call looks at
    size_t visited = 0;
    uint64_t number = after;
    for (size_t looked = 0; number < entries_.slots() && visited < limit && looked < kSlotsMax; ++number, ++looked) {
      auto i = static_cast<uint32_t>(number);
      if (!entries_.used(i) || !entries_.live(i, now_ms)) continue;
      visit(entries_.get(i));
      ++visited;
    }
    return number < entries_.slots() ? number : 0;
  }

  void begin_snapshot(PieceWriter& out, uint32_t part) override {
    std::string& body = out.begin(kHeadPiece, part);
    put_number(body, kMagic);
    put_number(body, uint64_t{entries_.slots()});
    put_number(body, static_cast<uint64_t>(entries_.size()));
    put_number(body, hand_);
    put_number(body, entries_.first_free());
    out.end();
    entries_.begin_snapshot(out, part);
  }
  bool snapshot_piece() override { return entries_.snapshot_piece(); }
  void end_snapshot() override { entries_.end_snapshot(); }

  base::Status restore_piece(uint32_t kind, std::string_view body) override {
    ByteReader in(body);
    if (kind == kHeadPiece && !restoring_) {
      bool known = in.number<uint64_t>() == kMagic;
      restoring_.emplace();
      restoring_->slots = in.number<uint64_t>();
      restoring_->entries = in.number<uint64_t>();
      hand_ = in.number<uint32_t>();
      restoring_->first_free = in.number<uint32_t>();
      if (!known || restoring_->entries > entries_max_ || (hand_ >= restoring_->slots && hand_ != 0)) return damaged();
    } else if (kind != kBodyPiece || !restoring_ || !entries_.restore_block(in)) {
      return damaged();
    }
    return in.ok() && in.left() == 0 ? base::Status() : damaged();
  }

  base::Status finish_restore() override {
    if (!restoring_ || !entries_.finish_restore(restoring_->slots, restoring_->first_free)) return damaged();
    if (entries_.size() != restoring_->entries) return damaged();
    for (uint32_t i = 0; i < entries_.slots(); ++i) {
      if (!entries_.used(i)) continue;
      auto key = Matcher::canonical(entries_.text(i));
      if (!key || *key != entries_.text(i)) return damaged();
      if (matcher_.find_exact(entries_, *key) != ListEntries::kNone) {
        if (!ignores_case()) return damaged();
        entries_.remove(i);  // saved while its list still told the two spellings apart
        continue;
      }
      TAMIS_CHECK(matcher_.insert(entries_, i));
    }
    restoring_.reset();
    return {};
  }

 private:
  static constexpr uint64_t kMagic = 0x313074736c6c6d74u;

  base::Status damaged() const { return base::invalid("list \"" + name_ + "\": the saved entries are damaged"); }

  base::Status place(const ListEntry& entry, bool exactly) {
    TAMIS_TRY(key, Matcher::canonical(entry.value));
    uint32_t number = matcher_.find_exact(entries_, key);
    if (number != ListEntries::kNone) {
      ListEntry with = entry;
      ListEntry old = entries_.get(number);
      if (!exactly && old.expires_ms > entry.since_ms) with.since_ms = old.since_ms;
      entries_.update(number, with);
      matcher_.changed(entries_, number);
      return {};
    }
    if (entries_.size() >= entries_max_) {
      return base::fail(base::Code::kLimit, "list \"" + name_ + "\" is full: it holds " + std::to_string(entries_max_) +
                                                " entries at most");
    }
    number = entries_.add(key, entry);
    base::Status inserted = matcher_.insert(entries_, number);
    if (!inserted) entries_.remove(number);
    return inserted;
  }

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

  struct Restoring {
    uint64_t slots = 0, entries = 0;
    uint32_t first_free = 0;
  };
  std::optional<Restoring> restoring_;
};

}  // namespace

std::unique_ptr<List> List::make(std::string name, ListKind kind, uint64_t entries_max, bool ignore_case) {
  switch (kind) {
    case ListKind::kString:
      if (ignore_case) return std::make_unique<ListOf<CaselessMatcher>>(std::move(name), kind, entries_max);
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
