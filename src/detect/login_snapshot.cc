// How the state of LoginRisk is written, read back and compared.
#include <string>
#include <vector>

#include "detect/login_impl.h"

namespace tamis::detect {
namespace {

enum LoginPiece : uint32_t { kIndexPart = 32, kProfilePart, kCampaignPart, kUsualPart, kRememberedPart };
constexpr uint32_t kVersion = 5, kVersionBefore = 4;  // which remembers no single logins

}  // namespace

template <class Visit>
void LoginRiskImpl::each_table(const Visit& visit) {
  visit(index_, kIndexPart);
  visit(profiles_, kProfilePart);
  visit(campaign_, kCampaignPart);
  visit(usual_.counts(), kUsualPart);
  visit(remembered_, kRememberedPart);
}

void LoginRiskImpl::put_head(std::string& out) const {
  state::put_number(out, kVersion);
  state::put_number(out, free_);
  for (uint64_t n : {uint64_t(index_.segments()), uint64_t(profiles_.size()), uint64_t(campaign_.segments()),
                     uint64_t(usual_.counts().segments()), uint64_t(remembered_.segments())})
    state::put_number(out, n);
  state::put_number(out, begun_ms_);
  state::put_number(out, now_ms_);
  state::put_number(out, unfamiliar_);
  state::put_number(out, novelty_);
  state::put_number(out, seen_);
  usual_.save_head(out);
}

void LoginRiskImpl::begin_snapshot(state::PieceWriter& out, uint32_t part) {
  put_head(out.begin(state::kHeadPiece, part));
  out.end();
  each_table([&](auto& table, uint32_t kind) { table.begin_copy(out, part, kind); });
}

bool LoginRiskImpl::snapshot_piece() {
  bool wrote = false;
  each_table([&](auto& table, uint32_t) { wrote = wrote || table.copy_next(); });
  return wrote;
}

void LoginRiskImpl::end_snapshot() {
  each_table([](auto& table, uint32_t) { table.end_copy(); });
}

base::Status LoginRiskImpl::restore_piece(uint32_t kind, std::string_view body) {
  state::ByteReader in(body);
  base::Status damaged =
      base::invalid("snapshot of login risk: a piece of kind " + std::to_string(kind) + " is damaged or unknown");
  if (kind == state::kHeadPiece) {
    const auto version = in.number<uint32_t>();
    free_ = in.number<uint32_t>();
    std::array<uint64_t, 5> n{};
    for (size_t i = 0; i < (version == kVersionBefore ? 4 : n.size()); ++i) n[i] = in.number<uint64_t>();
    if (!in.ok() || (version != kVersion && version != kVersionBefore) || restored_ != 0 || !index_.begin_load(n[0]) ||
        n[1] > 2 * options_.accounts_max + 1000 || !campaign_.begin_load(n[2]) || !usual_.counts().begin_load(n[3]) ||
        !remembered_.begin_load(n[4]))
      return damaged;
    profiles_.grow(n[1]);
    begun_ms_ = in.number<int64_t>();
    now_ms_ = in.number<int64_t>();
    unfamiliar_ = in.number<decltype(unfamiliar_)>();
    novelty_ = in.number<decltype(novelty_)>();
    seen_ = in.number<decltype(seen_)>();
    restored_ = 1;
    return usual_.load_head(in) && in.left() == 0 ? base::Status{} : damaged;
  }
  if (restored_ == 0) return base::invalid("snapshot of login risk: its head must come first");
  const auto segment = in.number<uint32_t>();
  bool ok = false;
  each_table([&](auto& table, uint32_t of) {
    if (of == kind) ok = in.ok() && table.load(segment, in);
  });
  restored_ += ok;
  return ok && in.left() == 0 ? base::Status{} : damaged;
}

// References that would lead outside are refused, whatever the checksums said.
base::Status LoginRiskImpl::finish_restore() {
  uint64_t segments = 1;
  each_table([&](auto& table, uint32_t) { segments += table.segments(); });
  if (restored_ != segments) return base::invalid("snapshot of login risk: pieces are missing");
  bool ok =
      index_.finish_load() && campaign_.finish_load() && usual_.counts().finish_load() && remembered_.finish_load();
  std::vector<bool> used(profiles_.size());
  const auto take = [&](uint32_t place) {
    ok = ok && place < used.size() && !used[place];
    if (ok) used[place] = true;
  };
  index_.for_each([&](uint64_t, uint32_t place) { take(place); });
  for (uint32_t f = free_; f != 0 && ok;) {
    take(f - 1);
    if (ok) f = profiles_[f - 1].next_free;
  }
  for (size_t i = 0; i < profiles_.size() && ok; ++i)
    for (const Profile::Pending& q : profiles_[i].pending) ok = ok && static_cast<int>(q.net) < kNetClasses;
  return ok ? base::Status{} : base::invalid("snapshot of login risk: its tables do not fit each other");
}

uint64_t LoginRiskImpl::digest() const {
  std::string body;
  put_head(body);
  uint64_t h = base::hash64(body);
  auto& self = const_cast<LoginRiskImpl&>(*this);  // only reads
  self.each_table([&](auto& table, uint32_t kind) {
    for (size_t i = 0; i < table.segments(); ++i) {
      body.clear();
      table.save(i, body);
      h = base::combine64(h, base::hash64(body, kind));
    }
  });
  return h;
}

}  // namespace tamis::detect
