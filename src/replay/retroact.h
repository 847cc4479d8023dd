// Retroact: what a rule would have done to the events of a window, as the items of an action batch: the labels and list
// entries it gives, and a revision of each decision that it would have changed. Planning changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "action/batch.h"
#include "base/result.h"
#include "replay/matches.h"
#include "replay/truth.h"

namespace tamis::replay {

struct RetroRequest {
  std::shared_ptr<const policy::Policy> policy;
  std::string rule;
  int64_t from_ms = INT64_MIN;
  int64_t to_ms = INT64_MAX;
  bool revisions = true;  // also revise the decisions themselves
  uint32_t samples = 10;  // of each kind in the preview
};

// An entity that the batch would mark; of a rule without labels, the one that canaries go by: the first of its events.
// As the past knows it.
struct RetroEntity {
  std::string kind, value;
  uint64_t matched = 0;     // events of the window that the rule matches
  uint64_t events = 0;      // of all time, in the archive
  uint64_t accepted = 0;    // of them: with the mildest verdict
  int64_t first_ms = 0;     // the first of them
  bool known_good = false;  // by truth
  bool known_bad = false;
};

// An event whose decision would be revised.
struct RetroEvent {
  std::string type, id, was, becomes;
  int64_t time_ms = 0;
  Known known = Known::kNot;
};

struct RetroPlan {
  std::vector<action::BatchItem> items;
  MatchSummary summary;
  uint64_t events = 0;                         // of the window, of the rule's types
  uint64_t matched = 0;                        // of them
  uint64_t matched_good = 0, matched_bad = 0;  // of those, by truth of events and of what they carry
  uint64_t entities = 0;
  uint64_t known_good = 0, known_bad = 0;  // of them, by truth
  std::vector<RetroEntity> oldest, most_trusted, samples;
  std::vector<RetroEvent> revised;  // some of them
};

// Errors as find_matches(); kInvalid for a rule that does nothing to the past (no verdict, label or list entry).
base::Result<RetroPlan> plan_retroact(const RetroRequest& request, const MatchSource& source, const Truth& truth,
                                      const std::function<bool(uint64_t, uint64_t)>& keep_going);
// As JSON, without the items.
void write_json(const RetroPlan& plan, const action::BatchPreview& preview, std::string& out);

}  // namespace tamis::replay
