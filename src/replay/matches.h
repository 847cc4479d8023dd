// Matches: which past events a rule or a policy matches, and what it would have decided. The one way in which hindsight
// looks at events: backtests, searches and actions on the past all stand on it.
//
// Two ways, chosen by what is asked and told afterwards:
//  - columnar: conditions are evaluated over the columns of the archive (cel/columns.h), on several threads. Possible
//    where all that they read is stored: fields, derived attributes, features declared as they were then, entries of
//    the policy's own lists that do not expire;
//  - replay: the engine itself decides the journal's events again, under the policy. For everything else: new or
//  changed
//    features, labels, managed lists.
//
// Verdicts. For a policy as a whole: what its rules in their modes give. For one rule: the rules that acted then, but
// for this one, and this one as if it were live in place of what it was; so an event that it neither matches nor acted
// on keeps its verdict. What the rules that acted then are worth is said by the policy that decided (`policy_of`), so
// that other changes since are not laid at the door of this rule. Only where the rule changes state that other rules
// read (labels, list entries) are the verdicts those of the replay.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "archive/archive.h"
#include "cel/columns.h"
#include "engine/engine.h"

namespace tamis::replay {

// An event that a replay decided again.
struct Replayed {
  uint64_t record = 0;
  const engine::Decision* decision = nullptr;
  const engine::PreparedEvent* event = nullptr;
  bool whole = true;                        // false: the archive does not hold all of it that the policy reads
  const std::set<int32_t>* gone = nullptr;  // slots that are read and not held any more; null: none
};
// Decides the events of a journal again under `what_if`, in order; `step` gives false to stop. See journal_what_if().
using WhatIf = std::function<base::Status(std::shared_ptr<const policy::Policy> what_if,
                                          const std::function<bool(const Replayed&)>& step)>;
// Of the journal of a data folder; what is older, of the archive (null: not at all), with what it still holds.
WhatIf journal_what_if(std::string data, std::shared_ptr<const event::NetworkIntel> intel,
                       const archive::Archive* archive = nullptr);

struct MatchSource {
  const archive::Archive* archive = nullptr;
  WhatIf what_if;  // empty: only columnar
  // The policy of a version that decided, null if it is gone; called once per version, from any thread, one at a time.
  std::function<std::shared_ptr<const policy::Policy>(std::string_view version)> policy_of;
};

struct MatchRequest {
  std::shared_ptr<const policy::Policy> policy;
  std::string rule;                // its id; empty: the policy as a whole
  std::vector<std::string> types;  // of these event types alone; empty: of all that the rule or the policy is about
  int64_t from_ms = INT64_MIN;     // time in [from_ms, to_ms)
  int64_t to_ms = INT64_MAX;
  // Further slots that the visitor looks at, by event type of the policy (or empty). What the archive does not have is
  // absent, and no reason for a replay.
  std::vector<std::vector<int32_t>> also;
  bool ids = false;           // fill MatchBatch::id
  bool verdicts = true;       // fill what MatchBatch says of verdicts; off (only for a rule), much less is read
  bool matches_only = false;  // rows that the rule does not match may be left out
  bool always_replay = false;
  // Columns are read from memory, and taken there (archive::ScanRequest::in_memory). Only without verdicts and ids.
  bool in_memory = false;
  int threads = 0;  // 0: one a core
};

// Events of one type, in the order of their records within a part.
struct MatchBatch {
  size_t type = 0;  // place in policy->types
  uint32_t rows = 0;
  const uint64_t* n = nullptr;
  const int64_t* time_ms = nullptr;
  const std::string_view* id = nullptr;  // null unless asked for
  std::span<const cel::Column> columns;  // by slot: what the rule reads, and `also`
  // As stored; the verdict is empty where the event was only imported. Null without `verdicts`.
  const std::string_view* old_verdict = nullptr;
  const std::string_view* rules = nullptr;   // ids that acted, each followed by a line feed
  const std::string_view* shadow = nullptr;  // ids that only watched, likewise
  // For a rule: it matches. For a policy: the verdict is another than the mildest.
  std::span<const uint8_t> matched;
  std::span<const std::string_view> new_verdict;  // empty without `verdicts`, as is `change`
  std::span<const int8_t> change;  // 1: the new verdict is harsher than the stored one, -1: milder, 0: neither
};

class MatchVisitor {
 public:
  virtual ~MatchVisitor() = default;
  // Called once, before any batch. Parts run beside each other, each on one thread at a time, its batches in order; so
  // results that are kept by part and put together in the order of parts do not depend on the threads.
  virtual void begin(size_t parts) = 0;
  virtual void visit(size_t part, const MatchBatch& batch) = 0;
};

struct MatchSummary {
  bool columnar = false;
  std::string replayed_because;  // why not; empty if columnar
  uint64_t events = 0;           // that were looked at
  // Of a replay: that could not be, since values that are read are not kept any more, or since they were only imported.
  uint64_t events_gone = 0;
  double evaluation_seconds = 0;  // of all threads together, without reading the archive
  std::vector<std::string> types;
  std::vector<std::string> absent;  // names among `also` that the archive does not have
};

// How many events of these types the archive has in the window, decided or only kept.
base::Result<uint64_t> stored_events(const archive::Archive& archive, const std::vector<std::string>& types,
                                     int64_t from_ms, int64_t to_ms);

// `keep_going` gets (done, all) in rows or events, one call at a time; false stops, which is an error (kUnavailable).
// Errors: no such rule or type; only a replay could answer and there is none; archive or journal fail.
base::Result<MatchSummary> find_matches(const MatchRequest& request, const MatchSource& source, MatchVisitor& visitor,
                                        const std::function<bool(uint64_t, uint64_t)>& keep_going);

}  // namespace tamis::replay
