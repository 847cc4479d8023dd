// What detectors said of an event, factor by factor: for analysts, who want to see why a score is what it is. It names
// what gave somebody away, so nobody else is shown it.
#pragma once

#include <span>

#include "event/json_writer.h"
#include "policy/policy.h"

namespace tamis::engine {

// Adds "explanation", a list with an object for each detector that said something of the event, and nothing if none
// did: "detector", "says" (what its score is the chance of), "score", "log_odds" (the factors add up to it; the score
// is the logistic of it, divided by "score_of"), "factors" (the weightiest first: "factor", "words", "log_odds"),
// where there is a cluster to compare with "likeness" ("log_odds" and "factors" likewise), and "about" (its other
// outputs). `slots`: of the event as it was decided, or as it is stored.
void write_explanation(const policy::Policy& policy, const policy::EventType& type, std::span<const event::Value> slots,
                       event::JsonWriter& json);

}  // namespace tamis::engine
