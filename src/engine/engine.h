// Engine: the deterministic fold. `(state, record) -> (state', decision)`, and nothing else: no clock, no I/O, no
// thread, no random number. What comes from outside (the receive time, an activated policy) is part of the record, so
// the same records in the same order give the same decisions, byte for byte, live or years later.
//
// Time. The engine's time is the highest event time seen so far, never ahead of the receive time of the record and
// never going back. An event without a time of its own has the receive time. An event later than the lateness of its
// type is decided, marked `late`, and updates nothing. In a replay of a file the event's time stands for the receive
// time.
//
// One thread at a time; whoever has several takes turns (door/service.h). A step costs microseconds and allocates
// nothing once warm.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/siphash.h"
#include "detect/signup_clusters.h"
#include "engine/decision.h"
#include "engine/rule_index.h"
#include "event/derive.h"
#include "event/json_event.h"
#include "policy/policy.h"

namespace tamis::engine {

// The slots of one event, typed and enriched: made on a door's thread, consumed by the engine. Valid until the next
// prepare() on the same object.
class PreparedEvent {
 public:
  PreparedEvent();

  // Reads `json` as an event of `type` of `policy`; an empty `type` is looked up in the JSON at policy->type_path;
  // where it is not there either, a policy with a single event type means that one.
  // Errors: not JSON, no such event type (with the nearest name), a field of the wrong type, a required field missing.
  base::Status prepare(std::shared_ptr<const policy::Policy> policy, std::string_view type, std::string_view json,
                       const event::NetworkIntel* intel);

  // An event that the engine makes itself, of the type with that number: nothing in it but defaults. Its slots are the
  // caller's to fill, before derived attributes are asked for.
  void begin(std::shared_ptr<const policy::Policy> policy, size_t type_index, std::string_view id, int64_t time_ms);

  const std::shared_ptr<const policy::Policy>& policy() const { return policy_; }
  size_t type_index() const { return type_index_; }
  event::Event& event() { return event_; }
  base::Arena& arena() { return arena_; }
  // A hash of type and id, under which the engine remembers that the event came; 0 if it brought no id.
  uint64_t id_key() const { return id_key_; }

 private:
  std::shared_ptr<const policy::Policy> policy_;
  size_t type_index_ = 0;
  uint64_t id_key_ = 0;
  event::Event event_;
  std::vector<Value> slots_;
  event::JsonReader reader_;
  base::Arena arena_;
};

struct EngineOptions {
  bool use_index = true;         // off: every rule is evaluated; for tests and benchmarks
  int64_t cost_max = 1'000'000;  // bound on the expressions of one event, in units of cel::Call::cost_left
  // Under which detectors keep what they know of accounts (detect/signup_facts.h). The state of an engine with another
  // one is not read: its detectors begin anew.
  base::SipKey state_key{};
};

// An event that a detector's finding is, right behind its cause, and what was decided for it.
struct Finding {
  PreparedEvent event;
  Decision decision;
};

// An account as the detectors see it with all that is known by now.
struct AccountHindsight {
  double score = 0;      // 0..1
  uint64_t cluster = 0;  // 0: none
  int64_t at_ms = 0;     // when acting on its cluster would first have reached it; 0: never
};

// What a detector said of a signup, with all that a trained model over it reads.
struct SeenSignup {
  const detect::SignupScore* score = nullptr;
  detect::NetClass net = detect::NetClass::kResidential;
};

struct RuleStats {
  uint64_t matched = 0;  // and acted
  uint64_t shadow = 0;   // matched without acting
  uint64_t errors = 0;   // evaluations that ended in an error
};

struct DroppedCount {
  std::string type, field;
  uint64_t count = 0;
};

// Labels on the entity kind `cluster` that detectors mind, when people set them: it is what they say of a cluster.
inline constexpr std::string_view kConfirmedLabel = "confirmed";
inline constexpr std::string_view kRefutedLabel = "refuted";

class Engine {
 public:
  explicit Engine(EngineOptions options = {});
  ~Engine();
  Engine(const Engine&) = delete;

  // What activating a policy needs and takes long to build (lists of a million entries, rule indexes). Any thread may
  // build it while the engine decides.
  class Prepared;
  struct PreparedDelete {
    void operator()(Prepared* prepared) const;
  };
  using PreparedPointer = std::unique_ptr<Prepared, PreparedDelete>;
  static PreparedPointer build(std::shared_ptr<const policy::Policy> policy, const EngineOptions& options);

  // Before the first policy. It stays over reset().
  void use_state_key(const base::SipKey& key);

  // Makes a policy the one that decides. Features whose declaration did not change keep their state, run-time list
  // entries and labels stay. Rule counters of rules with the same id go on. Takes microseconds.
  void activate(PreparedPointer prepared);
  void activate(std::shared_ptr<const policy::Policy> policy) { activate(build(std::move(policy), options())); }
  const std::shared_ptr<const policy::Policy>& policy() const;

  enum class Explain : bool { kNo, kYes };
  // Decides one event. `event.policy()` must be the active policy. `receive_ms`: when it arrived; kNoReceiveTime in a
  // replay of a file. `record`: the number of its record in the journal, 0 where there is none: then it is decided()
  // + 1. The decision is valid until the next call.
  static constexpr int64_t kNoReceiveTime = INT64_MIN;
  const Decision& decide(PreparedEvent& event, int64_t receive_ms, Explain explain = Explain::kNo, uint64_t record = 0);
  // What detectors found on the last event, as events of the type `finding`, decided in their order; empty where the
  // policy has no such type. Rules see their effects from the next event on. At most kFindingsMax an event, and what
  // follows from a finding is at most kFindingDepthMax deep. Valid until the next call of decide().
  static constexpr size_t kFindingsMax = 16, kFindingDepthMax = 4;
  size_t finding_count() const;
  Finding& finding(size_t i);
  // Events are unique by (type, id) for as long as the policy's `unique` says. The number of the record in which this
  // one came before; 0 if it is new, brought no id, or its type is not unique. Whoever has events that may be repeated
  // asks before decide(), which would decide it again.
  uint64_t repeat_of(const PreparedEvent& event) const;
  // A hint: repeat_of() or decide() of this event comes soon. Worth it for a batch of events.
  void prefetch(const PreparedEvent& event) const;

  // Moves time on where no event does (a record of its own in the journal).
  void tick(int64_t now_ms);

  // Acts of people. Each is a record; `now_ms` is the receive time.
  base::Status add_list_entry(std::string_view list, const state::ListEntry& entry);
  // Only entries of run time; those of the policy's files are the policy's.
  base::Status remove_list_entry(std::string_view list, std::string_view value);
  // Kinds of entities are those of the policy and, for each event type, "event:TYPE": there the value is an event's id.
  base::Status set_label(std::string_view entity_kind, std::string_view value, const state::Label& label);
  bool clear_label(std::string_view entity_kind, std::string_view value, std::string_view name);
  // What somebody has found out: "good", "bad", or a class of one's own. Detectors hear of accounts; nothing else in
  // the engine changes.
  base::Status set_truth(std::string_view entity_kind, std::string_view value, std::string_view name);
  std::vector<state::Label> labels(std::string_view entity_kind, std::string_view value) const;

  // Taking back: these set what is given exactly, author, since and expiry included, whatever is there.
  base::Status restore_label(std::string_view entity_kind, std::string_view value, const state::Label& label);
  base::Status restore_list_entry(std::string_view list, const state::ListEntry& entry);
  // Whether an entry in force matches, of the policy or of run time; false where the policy has no such list.
  bool on_list(std::string_view list, std::string_view value) const;
  // The very entry of run time, if it is in force.
  std::optional<state::ListEntry> list_entry(std::string_view list, std::string_view value) const;
  // An error that names the kinds there are, if this is none.
  base::Status check_entity_kind(std::string_view entity_kind) const;

  // All that is in force, in pages of about `limit`: `after` is 0 at first, then what the last call gave; 0 at the end.
  // A page may be empty where much has expired. What is in force during the whole listing comes exactly once.
  uint64_t visit_labels(uint64_t after, size_t limit, const state::LabelStore::Visit& visit) const;
  base::Result<uint64_t> visit_list(std::string_view list, uint64_t after, size_t limit,
                                    const std::function<void(const state::ListEntry&)>& visit) const;

  // The same for the entries that the policy itself brings.
  base::Result<uint64_t> visit_policy_list(std::string_view list, uint64_t after, size_t limit,
                                           const std::function<void(const state::ListEntry&)>& visit) const;
  // The entries in force that match a value, for explanations: of each list the one of the policy and the one of run
  // time (for networks and domains the longest). A network is matched by the networks that cover it.
  struct ListMatch {
    std::string list;
    bool of_policy = false;
    state::ListEntry entry;
  };
  std::vector<ListMatch> list_matches(std::string_view value) const;

  // Erasing a person. What an entity has of labels, and the run-time entries of any list that equal its value.
  struct Erased {
    size_t labels = 0;
    size_t list_entries = 0;
  };
  Erased erase_entity(std::string_view entity_kind, std::string_view value);
  // Forgets the keys of features that this event touches and that are made of `value`, alone or with others; keys of
  // others that remember a value of the event which is private or names an entity (last, set, top, min, max); and the
  // event's id. Who else brought such a value to a key cannot be told apart, so the key goes as a whole. For each event
  // of a person that is erased; changes nothing else.
  struct Forgotten {
    size_t keys = 0;         // made of the value
    size_t others_keys = 0;  // that held it, or another value of the event
  };
  Forgotten forget_keys(PreparedEvent& event, std::string_view value);

  // Retention, a record of its own in the journal: features that give private values (policy/private_values.h) lose
  // what came before that time, and labels and list entries that expired before it go, though no event has moved the
  // engine's time there. All of it is done by calls for the parts 0 to parts - 1, one after the other; says how many
  // keys were concerned.
  uint64_t forget_before(int64_t before_ms, uint32_t part, uint32_t parts);
  // How many parts make each call a matter of a millisecond or two.
  uint32_t forget_parts() const;

  // Detectors. What they know of an account by now; nothing where no detector of the policy looks at whole accounts.
  std::optional<AccountHindsight> hindsight(std::string_view account) const;
  // The detector that finds clusters, by its name in the policy, or the first for an empty one; null: there is none.
  const detect::SignupClusters* clusters(std::string_view detector = {}) const;

  // Of the event that was decided last, if it was a signup for such a detector; nothing else. Valid until the next call
  // of decide().
  std::optional<SeenSignup> seen_signup() const;

  // Snapshots. Between begin_snapshot() and the last piece the engine goes on as usual; the bytes are its state as of
  // begin_snapshot(). They are written in pieces, and what changes before its turn is written right before it changes
  // (copy-on-update; state/pieces.h), so that no call takes longer than some milliseconds, whatever the size. Covered
  // is all that digest() covers and all that decisions or people depend on: features, run-time lists, labels, ids of
  // recent events, time, counters. An activation in between is allowed and does not show.
  //
  // Takes microseconds. A snapshot under way is abandoned.
  void begin_snapshot();
  // Appends the next pieces, about piece_bytes or one piece; now and then nothing, after passing over a bounded number
  // of parts that are written already. False: there was nothing left to append, the snapshot is whole. What was not
  // asked for yet waits in memory, in the worst case all of the state.
  bool snapshot_piece(std::string& out, size_t piece_bytes = 256 << 10);
  void abandon_snapshot();
  // As a fresh engine with the same options.
  void reset();
  bool is_snapshotting() const;
  // Into a fresh engine in which the snapshot's policy (or the one to go on with) has been activated: takes the bytes
  // from next_piece, cut in any way, until it gives false. Features and lists that the active policy does not have, or
  // declares otherwise, are dropped; new ones start empty. Afterwards digest() and all later decisions are as in the
  // engine that went on. Errors: bytes that are damaged, cut off or foreign, with the place; the engine is then only
  // good for reset() or being destroyed. `begun_anew`: detectors of the active policy whose state the snapshot has, but
  // of another declaration, under another key or by another version of Tamis; they start empty.
  base::Status restore(const std::function<base::Result<bool>(std::string& piece)>& next_piece,
                       std::vector<std::string>* begun_anew = nullptr);

  const EngineOptions& options() const;

  int64_t now_ms() const;
  uint64_t decided() const;
  // Per event type, in the order of policy()->types: per rule, in the order of EventType::rules.
  const std::vector<std::vector<RuleStats>>& rule_stats() const;
  // Decisions per event type and verdict since the policy was activated, in the order of policy()->types and its
  // ladder.
  const std::vector<std::vector<uint64_t>>& verdict_counts() const;
  // How often a field was not read since its value had another type, by event type and field, in their order; of the
  // types and fields that the active policy has, since this engine began.
  std::vector<DroppedCount> dropped_counts() const;
  std::vector<std::pair<std::string, state::TableStats>> feature_stats() const;
  RuleIndex::Stats index_stats(size_t type_index) const;
  // A digest of all state that decisions depend on.
  uint64_t digest() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// True for the share of entities that a canary covers: by a hash of rule id and entity value, so that an entity stays
// in or out for as long as the rule has its id, and a growing share only adds entities.
bool in_canary(std::string_view rule_id, Value entity, double percent);

}  // namespace tamis::engine
