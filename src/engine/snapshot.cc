// Snapshots of the engine: which parts there are, what else belongs to them, and the way back.
//
// Pieces (state/pieces.h): first the meta piece: time, counters, statistics, and which part of the state has which
// number; then those of the parts; last the end piece with the number of all before it.
#include <algorithm>
#include <map>
#include <set>

#include "base/assert.h"
#include "base/hash.h"
#include "engine/impl.h"
#include "state/bytes.h"

namespace tamis::engine {

using state::ByteReader;
using state::Piece;
using state::put_number;
using state::put_text;
using state::put_varint;
using state::SnapshotPart;

namespace {

constexpr uint32_t kMetaPiece = 101, kEndPiece = 102;  // of part 0
constexpr uint32_t kFormat = 1;
constexpr int64_t kTimeMaxMs = int64_t{1} << 50;  // some 35 000 years
constexpr int kRoundsMax = 32;                    // pieces and passes over what is written already, in one call

enum class PartKind : uint8_t { kFeature, kList, kLabels, kIds, kDetector };

// Of a detector's state: what the policy says of it, and the key. The key itself cannot be told from it.
uint64_t fingerprint_of(const policy::DetectorDecl& decl, const base::SipKey& key) {
  return key == base::SipKey{} ? decl.fingerprint
                               : base::combine64(decl.fingerprint, base::siphash128(key, "detectors")[0]);
}

}  // namespace

// A snapshot being read.
struct Restore {
  struct Part {
    SnapshotPart* into = nullptr;  // null: the active policy has no place for it
  };
  std::vector<Part> parts;
  std::vector<std::string> begun_anew;  // detectors
  bool has_meta = false, has_end = false;
  int64_t now = INT64_MIN;
  uint64_t decided = 0, newest_record = 0, housekeeping = 0;
  std::map<std::pair<std::string, std::string>, RuleStats> stats;    // by type and rule
  std::map<std::pair<std::string, std::string>, uint64_t> verdicts;  // by type and verdict
};

// In the order in which put_meta() tells them.
std::vector<SnapshotPart*> Engine::Impl::parts() const {
  std::vector<SnapshotPart*> parts;
  for (const auto& table : active->tables) parts.push_back(table.get());
  for (const auto& list : active->run_time_lists) parts.push_back(list.get());
  for (const auto& detector : active->detectors) parts.push_back(detector.get());
  parts.push_back(label_store.get());
  parts.push_back(const_cast<state::RecentIds*>(&recent_ids));
  return parts;
}

void Engine::Impl::put_meta(std::string& out) const {
  const policy::Policy& policy = *active->policy;
  put_number(out, kFormat);
  put_text(out, policy.version);
  put_number(out, now);
  for (uint64_t count : {decided, newest_record, housekeeping}) put_number(out, count);
  put_varint(out, active->tables.size() + active->run_time_lists.size() + active->detectors.size() + 2);
  auto part = [&out](PartKind kind, std::string_view name, uint64_t fingerprint) {
    put_number(out, kind);
    put_text(out, name);
    put_number(out, fingerprint);
  };
  for (const policy::FeatureDecl& decl : policy.features) part(PartKind::kFeature, decl.spec.name, decl.fingerprint);
  for (const policy::ListDecl& decl : policy.lists) {
    part(PartKind::kList, decl.name, static_cast<uint64_t>(decl.kind));
  }
  for (const policy::DetectorDecl& decl : policy.detectors)
    part(PartKind::kDetector, decl.name, fingerprint_of(decl, options.state_key));
  part(PartKind::kLabels, {}, 0);
  part(PartKind::kIds, {}, 0);
  put_varint(out, policy.types.size());
  for (size_t t = 0; t < policy.types.size(); ++t) {
    const policy::EventType& type = policy.types[t];
    put_text(out, type.schema.name);
    put_varint(out, type.rules.size());
    for (size_t r = 0; r < type.rules.size(); ++r) {
      put_text(out, type.rules[r].id);
      for (uint64_t count : {stats[t][r].matched, stats[t][r].shadow, stats[t][r].errors}) put_varint(out, count);
    }
    put_varint(out, type.ladder.size());
    for (size_t v = 0; v < type.ladder.size(); ++v) {
      put_text(out, type.ladder[v]);
      put_varint(out, verdicts[t][v]);
    }
  }
}

void Engine::begin_snapshot() {
  Impl& impl = *impl_;
  TAMIS_ASSERT(impl.activated);
  abandon_snapshot();
  impl.snapshot = std::make_unique<Snapshot>();
  Snapshot& snapshot = *impl.snapshot;
  impl.put_meta(snapshot.out.begin(kMetaPiece, 0));
  snapshot.out.end();
  snapshot.parts = impl.parts();
  for (size_t i = 0; i < snapshot.parts.size(); ++i) {
    snapshot.parts[i]->begin_snapshot(snapshot.out, static_cast<uint32_t>(i + 1));
  }
}

bool Engine::snapshot_piece(std::string& out, size_t piece_bytes) {
  if (impl_->snapshot == nullptr) return false;
  Snapshot& snapshot = *impl_->snapshot;
  piece_bytes = std::max<size_t>(piece_bytes, 1);
  for (int i = 0; i < kRoundsMax && !snapshot.is_whole && snapshot.out.bytes() < piece_bytes; ++i) {
    if (snapshot.next < snapshot.parts.size()) {
      snapshot.next += !snapshot.parts[snapshot.next]->snapshot_piece();
      continue;
    }
    uint64_t pieces = snapshot.out.pieces();
    put_number(snapshot.out.begin(kEndPiece, 0), pieces);
    snapshot.out.end();
    snapshot.is_whole = true;
  }
  // Nothing to hand on though it is not whole: there were only segments that are written already. The caller lets
  // events in before the next call; passing over all of them at once takes too long where there are hundreds of
  // thousands.
  if (snapshot.out.bytes() > 0 || !snapshot.is_whole) {
    snapshot.out.take(out, piece_bytes);
    return true;
  }
  abandon_snapshot();
  return false;
}

void Engine::abandon_snapshot() {
  if (impl_->snapshot == nullptr) return;
  for (SnapshotPart* part : impl_->snapshot->parts) part->end_snapshot();
  impl_->snapshot.reset();
}

bool Engine::is_snapshotting() const { return impl_->snapshot != nullptr; }

base::Status Engine::Impl::read_meta(std::string_view body, Restore& restore) {
  ByteReader in(body);
  auto format = in.number<uint32_t>();
  if (format != kFormat) {
    return base::invalid("the snapshot has format " + std::to_string(format) + "; this version reads format " +
                         std::to_string(kFormat));
  }
  in.text();  // the version of the policy, for people
  restore.now = in.number<int64_t>();
  for (uint64_t* count : {&restore.decided, &restore.newest_record, &restore.housekeeping}) {
    *count = in.number<uint64_t>();
  }
  if (restore.now != INT64_MIN && (restore.now < -kTimeMaxMs || restore.now > kTimeMaxMs)) {
    return base::invalid("the snapshot's time is impossible");
  }
  const policy::Policy& policy = *active->policy;
  uint64_t parts = in.varint();
  std::set<SnapshotPart*> taken;
  for (uint64_t i = 0; i < parts && in.ok(); ++i) {
    auto kind = static_cast<PartKind>(in.number<uint8_t>());
    std::string_view name = in.text();
    auto fingerprint = in.number<uint64_t>();
    SnapshotPart* into = nullptr;
    for (size_t f = 0; kind == PartKind::kFeature && f < policy.features.size(); ++f) {
      const policy::FeatureDecl& decl = policy.features[f];
      if (decl.spec.name == name && decl.fingerprint == fingerprint) into = active->tables[f].get();
    }
    for (size_t l = 0; kind == PartKind::kList && l < policy.lists.size(); ++l) {
      bool same = policy.lists[l].name == name && static_cast<uint64_t>(policy.lists[l].kind) == fingerprint;
      if (same) into = active->run_time_lists[l].get();
    }
    for (size_t d = 0; kind == PartKind::kDetector && d < policy.detectors.size(); ++d) {
      const policy::DetectorDecl& decl = policy.detectors[d];
      if (decl.name != name) continue;
      if (fingerprint_of(decl, options.state_key) == fingerprint)
        into = active->detectors[d].get();
      else
        restore.begun_anew.emplace_back(name);
    }
    if (kind == PartKind::kLabels) into = label_store.get();
    if (kind == PartKind::kIds) into = &recent_ids;
    if (into != nullptr && !taken.insert(into).second) return base::invalid("the snapshot names a part twice");
    restore.parts.push_back({into});
  }
  uint64_t types = in.varint();
  for (uint64_t t = 0; t < types && in.ok(); ++t) {
    std::string type(in.text());
    uint64_t rules = in.varint();
    for (uint64_t r = 0; r < rules && in.ok(); ++r) {
      RuleStats& counts = restore.stats[{type, std::string(in.text())}];
      for (uint64_t* count : {&counts.matched, &counts.shadow, &counts.errors}) *count = in.varint();
    }
    uint64_t ladder = in.varint();
    for (uint64_t v = 0; v < ladder && in.ok(); ++v) {
      std::string verdict(in.text());
      restore.verdicts[{type, verdict}] = in.varint();
    }
  }
  if (!in.ok() || in.left() != 0) return base::invalid("the snapshot's first piece is damaged");
  restore.has_meta = true;
  return {};
}

base::Status Engine::Impl::take_piece(const Piece& piece, Restore& restore) {
  if (restore.has_end) return base::invalid("the snapshot has bytes behind its end");
  if (!restore.has_meta) {
    if (piece.kind != kMetaPiece || piece.part != 0) return base::invalid("the snapshot does not begin as one");
    return read_meta(piece.body, restore);
  }
  if (piece.part == 0) {
    if (piece.kind != kEndPiece) return base::invalid("the snapshot has a piece of an unknown kind");
    restore.has_end = true;
    return {};
  }
  if (piece.part > restore.parts.size()) return base::invalid("the snapshot has a piece of an unknown part");
  SnapshotPart* into = restore.parts[piece.part - 1].into;
  return into == nullptr ? base::Status() : into->restore_piece(piece.kind, piece.body);
}

base::Status Engine::Impl::finish_restore(Restore& restore) {
  for (const Restore::Part& part : restore.parts) {
    if (part.into != nullptr) TAMIS_CHECK(part.into->finish_restore());
  }
  const policy::Policy& policy = *active->policy;
  for (size_t t = 0; t < policy.types.size(); ++t) {
    const policy::EventType& type = policy.types[t];
    for (size_t r = 0; r < type.rules.size(); ++r) {
      auto found = restore.stats.find({type.schema.name, type.rules[r].id});
      if (found != restore.stats.end()) stats[t][r] = found->second;
    }
    for (size_t v = 0; v < type.ladder.size(); ++v) {
      auto found = restore.verdicts.find({type.schema.name, type.ladder[v]});
      if (found != restore.verdicts.end()) verdicts[t][v] = found->second;
    }
  }
  now = restore.now;
  decided = restore.decided;
  newest_record = restore.newest_record;
  housekeeping = restore.housekeeping;
  return {};
}

base::Status Engine::restore(const std::function<base::Result<bool>(std::string& piece)>& next_piece,
                             std::vector<std::string>* begun_anew) {
  Impl& impl = *impl_;
  TAMIS_ASSERT(impl.activated && impl.decided == 0);
  state::PieceReader reader;
  Restore restore;
  std::string bytes;
  while (true) {
    bytes.clear();
    TAMIS_TRY(more, next_piece(bytes));
    if (!more) break;
    reader.feed(bytes);
    Piece piece;
    while (true) {
      uint64_t offset = reader.offset(), number = reader.pieces();
      TAMIS_TRY(found, reader.next(piece));
      if (!found) break;
      base::Status taken = impl.take_piece(piece, restore);
      if (taken && restore.has_end && piece.part == 0 && piece.kind == kEndPiece) {
        uint64_t count = ByteReader(piece.body).number<uint64_t>();
        if (piece.body.size() != sizeof count || count != number) taken = base::invalid("a piece is missing");
      }
      if (!taken) return base::invalid(taken.error().message + " (at byte " + std::to_string(offset) + ")");
    }
  }
  if (!restore.has_end || !reader.at_border()) {
    return base::invalid("the snapshot is cut off after byte " + std::to_string(reader.offset()));
  }
  if (begun_anew != nullptr) *begun_anew = std::move(restore.begun_anew);
  return impl.finish_restore(restore);
}

}  // namespace tamis::engine
