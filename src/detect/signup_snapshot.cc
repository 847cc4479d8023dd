// Snapshots of SignupClusters: one head, then the tables shard by shard, accounts and clusters in portions.
#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

enum Kind : uint32_t { kHead = 1, kIndex = 16, kKeyPart, kSharedPart, kUsual, kSingles, kPeople, kGroups };
constexpr size_t kPeopleInPiece = 4096, kGroupsInPiece = 256, kSinglesInPiece = 1 << 16;
constexpr uint32_t kVersion = 1;

template <class T>
void put_all(std::string& out, const T* from, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(from), count * sizeof(T));
}

base::Status damaged(const char* what) {
  return base::invalid(std::string("snapshot of signup clusters: a piece of ") + what + " is damaged or does not fit");
}

}  // namespace

void SignupClustersImpl::save(const PieceSink& sink) const {
  std::string body;
  for (uint64_t n : {uint64_t{kVersion}, options_.accounts_max, uint64_t{options_.single_slots_log2}, next_, learned_,
                     clusters_born_, uint64_t(accounts_.size()), uint64_t(clusters_.size())})
    state::put_number(body, n);
  state::put_number(body, begun_ms_);
  state::put_number(body, now_ms_);
  state::put_number(body, arrivals_);
  state::put_number(body, all_arrivals_);
  state::put_number(body, sends_day_);
  sink(kHead, body);
  const auto shards = [&](uint32_t kind, uint32_t count, const auto& save_one) {
    for (uint32_t i = 0; i < count; ++i) {
      body.clear();
      state::put_number(body, i);
      save_one(i, body);
      sink(kind, body);
    }
  };
  constexpr auto kShards = uint32_t{KeyedTable<uint32_t>::kShards};
  shards(kIndex, kShards, [&](uint32_t i, std::string& to) { by_account_.save_shard(i, to); });
  shards(kKeyPart, kShards, [&](uint32_t i, std::string& to) { keys_.save_shard(i, to); });
  shards(kSharedPart, kShards, [&](uint32_t i, std::string& to) { shared_.save_shard(i, to); });
  shards(kUsual, Background::kPieces, [&](uint32_t i, std::string& to) { background_.save(i, to); });
  const auto portions = [&](uint32_t kind, const auto& all, size_t in_piece) {
    for (size_t from = 0, i = 0; from < all.size(); from += in_piece, ++i) {
      body.clear();
      state::put_number(body, static_cast<uint32_t>(i));
      put_all(body, all.data() + from, std::min(in_piece, all.size() - from));
      sink(kind, body);
    }
  };
  portions(kSingles, singles_, kSinglesInPiece);
  portions(kPeople, accounts_, kPeopleInPiece);
  portions(kGroups, clusters_, kGroupsInPiece);
}

base::Status SignupClustersImpl::restore_piece(uint32_t kind, std::string_view body) {
  state::ByteReader in(body);
  if (kind == kHead) {
    std::array<uint64_t, 8> n{};
    for (uint64_t& v : n) v = in.number<uint64_t>();
    if (!in.ok() || n[0] != kVersion || n[1] != options_.accounts_max || n[2] != options_.single_slots_log2 ||
        n[6] > options_.accounts_max || n[7] > options_.clusters_max || n[6] > n[3] || n[4] > n[3])
      return damaged("the head");
    next_ = n[3], learned_ = n[4], clusters_born_ = n[5];
    accounts_.resize(n[6]);
    clusters_.resize(n[7]);
    begun_ms_ = in.number<int64_t>();
    now_ms_ = in.number<int64_t>();
    arrivals_ = in.number<decltype(arrivals_)>();
    all_arrivals_ = in.number<double>();
    sends_day_ = in.number<double>();
    restored_ = 1;
    return in.ok() && in.left() == 0 ? base::Status{} : damaged("the head");
  }
  if (restored_ == 0) return base::invalid("snapshot of signup clusters: its head must come first");
  const auto number = in.number<uint32_t>();
  const auto portion = [&](auto& all, size_t in_piece) {
    const size_t from = size_t{number} * in_piece;
    if (!in.ok() || from >= all.size()) return false;
    const size_t bytes = std::min(in_piece, all.size() - from) * sizeof(all[0]);
    if (in.left() != bytes) return false;
    std::memcpy(static_cast<void*>(all.data() + from), in.bytes(bytes).data(), bytes);
    return true;
  };
  const bool is_shard = in.ok() && number < KeyedTable<uint32_t>::kShards;
  bool ok = false;
  switch (kind) {
    case kIndex:
      ok = is_shard && by_account_.load_shard(number, in);
      break;
    case kKeyPart:
      ok = is_shard && keys_.load_shard(number, in);
      break;
    case kSharedPart:
      ok = is_shard && shared_.load_shard(number, in);
      break;
    case kUsual:
      ok = in.ok() && number < Background::kPieces && background_.load(number, in);
      break;
    case kSingles:
      ok = portion(singles_, kSinglesInPiece);
      break;
    case kPeople:
      ok = portion(accounts_, kPeopleInPiece);
      break;
    case kGroups:
      ok = portion(clusters_, kGroupsInPiece);
      break;
    default:
      return base::invalid("snapshot of signup clusters: a piece of unknown kind " + std::to_string(kind));
  }
  return ok && in.left() == 0 ? base::Status{} : damaged("a table");
}

// References between tables that would lead outside are refused, whatever the checksums said.
base::Status SignupClustersImpl::finish_restore() {
  if (restored_ == 0) return base::invalid("snapshot of signup clusters: no head");
  bool ok = accounts_.size() == options_.accounts_max || accounts_.size() == next_;
  const uint64_t clusters = clusters_.size();
  for (const Account& a : accounts_)
    ok = ok && a.cluster <= clusters && a.later <= clusters && static_cast<int>(a.facts.net) < kNetClasses &&
         a.facts.kind < kCaptchaKinds;
  keys_.for_each([&](uint64_t, const KeyEntry& e) {
    ok = ok && e.cluster <= clusters;
    for (uint32_t n : e.recent) ok = ok && n <= next_;
  });
  shared_.for_each([&](uint64_t, const SharedEntry& e) {
    ok = ok && e.cluster <= clusters;
    for (uint32_t n : e.recent) ok = ok && n <= next_;
  });
  by_account_.for_each([&](uint64_t, uint32_t n) { ok = ok && n > 0 && n <= next_; });
  for (uint64_t s : singles_) ok = ok && (s & 0xffffffffu) <= next_;
  return ok ? base::Status{} : damaged("references");
}

uint64_t SignupClustersImpl::digest() const {
  uint64_t h = 0;
  save([&h](uint32_t kind, std::string_view body) { h = base::combine64(h, base::hash64(body, kind)); });
  return h;
}

}  // namespace tamis::detect
