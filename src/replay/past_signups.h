// PastSignups: what the detector of signups said of past ones, made again from what is stored, beside what people have
// found out since: what a model over the detector is trained on.
//
// The detector's words are not stored as such, and depend on all that came before. So the past is decided again in its
// order, as a replay does: first what the archive still holds from before the journal, then the journal with its acts
// of people. A signup of which values are gone that the detector reads (private ones after the raw days, fields after
// their `keep`) would be judged by what is left: it is counted, not used.
//
// Truth is of the event itself, else of an entity that it carries, whichever was told last (truth.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "detect/signup_clusters.h"
#include "event/derive.h"
#include "policy/policy.h"
#include "replay/truth.h"

namespace tamis::replay {

struct PastSignupsRequest {
  std::string data;                              // the data folder
  std::shared_ptr<const policy::Policy> policy;  // with a detector of signups
  std::shared_ptr<const event::NetworkIntel> intel;
  const archive::Archive* archive = nullptr;
  const Truth* truth = nullptr;
  int64_t from_ms = INT64_MIN, to_ms = INT64_MAX;  // signups with a time in [from_ms, to_ms)
  bool unknown_is_good = false;                    // those of which nobody has told anything
  size_t rows_max = 2'000'000;
};

struct PastSignup {
  std::array<float, detect::kSignupFeatures> feature{};
  float log_odds = 0;  // the detector's own, without what a model adds
  bool is_bad = false;
  detect::NetClass net = detect::NetClass::kResidential;
  uint64_t cluster = 0;  // in hindsight; 0: none
};

struct PastSignups {
  std::vector<PastSignup> rows;  // usable, with truth, in their order
  uint64_t signups = 0;          // in the window; these are parted into rows, untold and gone
  uint64_t untold = 0;           // of which nobody has told anything
  uint64_t gone = 0;             // of which values are not kept any more
  std::vector<std::string> gone_names;
};

// `keep_going` gets (done, all) in events; false stops, which is an error (kUnavailable).
// Errors: the policy has no detector of signups; more rows than rows_max; archive or journal fail.
// Cost: a replay of everything that is stored; 150 bytes a row.
base::Result<PastSignups> past_signups(const PastSignupsRequest& request,
                                       const std::function<bool(uint64_t, uint64_t)>& keep_going);

}  // namespace tamis::replay
