// Snapshots of SignupClusters: a head with all that is small, then the tables, segment by segment.
#include "base/hash.h"
#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

enum Kind : uint32_t { kIndex = 16, kKeyPart, kSharedPart, kUsual, kSingles, kPeople, kGroups };
constexpr uint32_t kVersion = 5;

base::Status damaged(const char* what) {
  return base::invalid(std::string("snapshot of signup clusters: a piece of ") + what + " is damaged or does not fit");
}

}  // namespace

template <class Visit>
void SignupClustersImpl::each_table(const Visit& visit) {
  visit(by_account_, kIndex);
  visit(keys_, kKeyPart);
  visit(shared_, kSharedPart);
  visit(background_.counts(), kUsual);
  visit(singles_, kSingles);
  visit(accounts_, kPeople);
  visit(clusters_, kGroups);
}

void SignupClustersImpl::put_head(std::string& out) const {
  for (uint64_t n :
       {uint64_t{kVersion}, options_.accounts_max, uint64_t{options_.single_slots_log2}, next_, learned_,
        clusters_born_, uint64_t(accounts_.size()), uint64_t(clusters_.size()), uint64_t(by_account_.segments()),
        uint64_t(keys_.segments()), uint64_t(shared_.segments()), uint64_t(background_.counts().segments())})
    state::put_number(out, n);
  state::put_number(out, begun_ms_);
  state::put_number(out, now_ms_);
  state::put_number(out, arrivals_);
  state::put_number(out, all_arrivals_);
  state::put_number(out, sends_day_);
  put_look(out);
  background_.save_head(out);
}

void SignupClustersImpl::begin_snapshot(state::PieceWriter& out, uint32_t part) {
  put_head(out.begin(state::kHeadPiece, part));
  out.end();
  each_table([&](auto& table, uint32_t kind) { table.begin_copy(out, part, kind); });
}

bool SignupClustersImpl::snapshot_piece() {
  bool wrote = false;
  each_table([&](auto& table, uint32_t) { wrote = wrote || table.copy_next(); });
  return wrote;
}

void SignupClustersImpl::end_snapshot() {
  each_table([](auto& table, uint32_t) { table.end_copy(); });
}

base::Status SignupClustersImpl::restore_piece(uint32_t kind, std::string_view body) {
  state::ByteReader in(body);
  if (kind == state::kHeadPiece) {
    std::array<uint64_t, 12> n{};
    for (uint64_t& v : n) v = in.number<uint64_t>();
    if (!in.ok() || restored_ != 0 || n[0] != kVersion || n[1] != options_.accounts_max ||
        n[2] != options_.single_slots_log2 || n[6] > options_.accounts_max || n[7] > options_.clusters_max ||
        n[6] > n[3] || n[4] > n[3] || !by_account_.begin_load(n[8]) || !keys_.begin_load(n[9]) ||
        !shared_.begin_load(n[10]) || !background_.counts().begin_load(n[11]))
      return damaged("the head");
    next_ = n[3], learned_ = n[4], clusters_born_ = n[5];
    accounts_.grow(n[6]);
    clusters_.grow(n[7]);
    begun_ms_ = in.number<int64_t>();
    now_ms_ = in.number<int64_t>();
    arrivals_ = in.number<decltype(arrivals_)>();
    all_arrivals_ = in.number<double>();
    sends_day_ = in.number<double>();
    restored_ = 1;
    return read_look(in) && background_.load_head(in) && in.left() == 0 ? base::Status{} : damaged("the head");
  }
  if (restored_ == 0) return base::invalid("snapshot of signup clusters: its head must come first");
  const auto segment = in.number<uint32_t>();
  bool known = false, ok = in.ok();
  each_table([&](auto& table, uint32_t of) {
    if (of != kind || !ok) return;
    known = true;
    ok = table.load(segment, in);
    restored_ += ok;
  });
  if (ok && !known)
    return base::invalid("snapshot of signup clusters: a piece of unknown kind " + std::to_string(kind));
  return ok && in.left() == 0 ? base::Status{} : damaged("a table");
}

// References between tables that would lead outside are refused, whatever the checksums said.
base::Status SignupClustersImpl::finish_restore() {
  if (restored_ == 0) return base::invalid("snapshot of signup clusters: no head");
  uint64_t segments = 1;
  each_table([&](auto& table, uint32_t) { segments += table.segments(); });
  if (restored_ != segments) return base::invalid("snapshot of signup clusters: pieces are missing");
  bool ok = accounts_.size() == options_.accounts_max || accounts_.size() == next_;
  ok = by_account_.finish_load() && keys_.finish_load() && shared_.finish_load() &&
       background_.counts().finish_load() && ok;
  for (size_t i = 0; i < accounts_.size() && ok; ++i) {
    const SignupFacts& f = accounts_[i].facts;
    ok = static_cast<int>(f.net) < kNetClasses && f.kind < kCaptchaKinds && accounts_[i].truth <= 2;
  }
  for (size_t i = 0; i < clusters_.size() && ok; ++i) ok = (clusters_[i].ref & 0xffff) == i + 1;
  by_account_.for_each([&](uint64_t, uint32_t n) { ok = ok && n > 0 && n <= next_; });
  return ok ? base::Status{} : damaged("references");
}

uint64_t SignupClustersImpl::digest() const {
  std::string body;
  put_head(body);
  uint64_t h = base::hash64(body);
  auto& self = const_cast<SignupClustersImpl&>(*this);  // only reads
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
