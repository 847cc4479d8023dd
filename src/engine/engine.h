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
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
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

  const std::shared_ptr<const policy::Policy>& policy() const { return policy_; }
  size_t type_index() const { return type_index_; }
  event::Event& event() { return event_; }
  base::Arena& arena() { return arena_; }

 private:
  std::shared_ptr<const policy::Policy> policy_;
  size_t type_index_ = 0;
  event::Event event_;
  std::vector<Value> slots_;
  event::JsonReader reader_;
  base::Arena arena_;
};

struct EngineOptions {
  bool use_index = true;         // off: every rule is evaluated; for tests and benchmarks
  int64_t cost_max = 1'000'000;  // bound on the expressions of one event, in units of cel::Call::cost_left
};

struct RuleStats {
  uint64_t matched = 0;  // and acted
  uint64_t shadow = 0;   // matched without acting
  uint64_t errors = 0;   // evaluations that ended in an error
};

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

  // Makes a policy the one that decides. Features whose declaration did not change keep their state, run-time list
  // entries and labels stay. Rule counters of rules with the same id go on. Takes microseconds.
  void activate(PreparedPointer prepared);
  void activate(std::shared_ptr<const policy::Policy> policy) { activate(build(std::move(policy), options())); }
  const std::shared_ptr<const policy::Policy>& policy() const;

  enum class Explain : bool { kNo, kYes };
  // Decides one event. `event.policy()` must be the active policy. `receive_ms`: when it arrived; kNoReceiveTime in a
  // replay of a file. The decision is valid until the next call.
  static constexpr int64_t kNoReceiveTime = INT64_MIN;
  const Decision& decide(PreparedEvent& event, int64_t receive_ms, Explain explain = Explain::kNo);

  // Moves time on where no event does (a record of its own in the journal).
  void tick(int64_t now_ms);

  // Acts of people. Each is a record; `now_ms` is the receive time.
  base::Status add_list_entry(std::string_view list, const state::ListEntry& entry);
  // Only entries of run time; those of the policy's files are the policy's.
  base::Status remove_list_entry(std::string_view list, std::string_view value);
  base::Status set_label(std::string_view entity_kind, std::string_view value, const state::Label& label);
  bool clear_label(std::string_view entity_kind, std::string_view value, std::string_view name);
  std::vector<state::Label> labels(std::string_view entity_kind, std::string_view value) const;
  const EngineOptions& options() const;

  int64_t now_ms() const;
  uint64_t decided() const;
  // Per event type, in the order of policy()->types: per rule, in the order of EventType::rules.
  const std::vector<std::vector<RuleStats>>& rule_stats() const;
  // Decisions per event type and verdict since the policy was activated, in the order of policy()->types and its
  // ladder.
  const std::vector<std::vector<uint64_t>>& verdict_counts() const;
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
