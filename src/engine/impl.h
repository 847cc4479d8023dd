// What is behind Engine, for the files that implement it. Private to this room.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/active.h"
#include "engine/engine.h"
#include "state/pieces.h"
#include "state/recent_ids.h"

namespace tamis::engine {

// A snapshot under way.
struct Snapshot {
  state::PieceWriter out;
  std::vector<state::SnapshotPart*> parts;
  size_t next = 0;        // the part whose turn it is
  bool is_whole = false;  // all is written, though perhaps not taken yet
  // What an activation has taken out of use since: it belongs to the snapshot still.
  std::vector<std::unique_ptr<state::SnapshotPart>> kept;
};

struct Restore;

// A finding that waits for its turn. Text is owned: what it came from may be gone by then.
struct PendingFinding {
  uint32_t detector = 0;
  Found found;
  std::string account, cause, cause_type;
  int64_t time_ms = 0;
  uint32_t depth = 1;
};

// The value of an entity or list entry, or a piece of a template, as text in the arena.
std::string_view as_text(Value v, base::Arena& arena);
// False for errors and for what is absent.
bool usable(Value v);

struct Engine::Impl final : public cel::Host {
  static PreparedPointer no_policy();

  EngineOptions options;
  PreparedPointer active = no_policy();  // so that who asks before one is activated finds nothing
  bool activated = false;
  std::unique_ptr<state::LabelStore> label_store = state::LabelStore::make();
  state::RecentIds recent_ids;
  Decision decision;
  int64_t now = INT64_MIN;
  uint64_t decided = 0;
  uint64_t newest_record = 0;  // the highest number of a record that was decided
  uint64_t housekeeping = 0;
  std::vector<std::vector<RuleStats>> stats;
  std::vector<std::vector<uint64_t>> verdicts;
  std::map<std::pair<std::string, std::string>, uint64_t> dropped;  // by event type and field
  std::string scratch;
  std::unique_ptr<Snapshot> snapshot;  // the one under way
  DetectorInputs inputs;
  std::deque<PendingFinding> pending;
  std::vector<std::unique_ptr<Finding>> findings;  // a pool: the first finding_count are of the last event
  size_t finding_count = 0;

  // cel::Host
  bool list_contains(int64_t list, Value value) const override;
  Value labels_of(int64_t kind, Value value, base::Arena& arena) const override;

  void take_over(Prepared& next);
  bool set_time(const PreparedEvent& prepared, int64_t receive_ms);
  void decide_one(PreparedEvent& prepared, int64_t receive_ms, Explain explain, uint64_t record, uint32_t depth);
  void find_keys(ActiveType& type, base::Arena& arena);
  void evaluate_update(ActiveType& type, FeatureAccess& access);
  void read_features(ActiveType& type, event::Event& event, base::Arena& arena);
  void read_each(FeatureAccess& access, event::Event& event, base::Arena& arena);
  void forget_each(ActiveType& type, FeatureAccess& access, std::string_view value, base::Arena& arena,
                   Forgotten& forgotten);
  void run_rules(ActiveType& type, const event::Event& event, base::Arena& arena, std::vector<RuleStats>& counts);
  void settle(ActiveType& type, event::Event& event);
  void add_match(ActiveType& type, uint32_t rule, base::Arena& arena, RuleStats& count);
  void add_marks(ActiveType& type, uint32_t rule, base::Arena& arena);
  void add_effects(ActiveType& type, uint32_t rule, base::Arena& arena);
  void explain(ActiveType& type, const event::Event& event, base::Arena& arena);
  std::string_view fill(const cel::Plan& plan, const policy::Template& pieces, cel::Frame& frame, base::Arena& arena);
  void update_features(ActiveType& type);
  void apply_effects();
  void keep_house();
  void remember_id(const PreparedEvent& prepared);

  // Detectors and what they find: findings.cc.
  void run_detectors(ActiveType& type, event::Event& event, uint32_t depth);
  void decide_findings(uint64_t record, Explain explain);
  void fill_finding(const PendingFinding& pending, PreparedEvent& event) const;
  void cluster_labelled(std::string_view entity_kind, std::string_view value, std::string_view name, int64_t until_ms);

  // Of people: people.cc.
  base::Result<size_t> managed_list(std::string_view list) const;

  // Snapshots: snapshot.cc.
  std::vector<state::SnapshotPart*> parts() const;
  void put_meta(std::string& out) const;
  base::Status read_meta(std::string_view body, Restore& restore);
  base::Status take_piece(const state::Piece& piece, Restore& restore);
  base::Status finish_restore(Restore& restore);
};

}  // namespace tamis::engine
