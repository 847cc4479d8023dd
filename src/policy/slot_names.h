// Names of what an event type holds in its slots. Read by the engine's explanations and tests of rules, and by whoever
// looks at stored columns.
#pragma once

#include <string>
#include <vector>

#include "policy/policy.h"

namespace tamis::policy {

// By slot, as in expressions: "ip", "ip.net24", "signups_1h". Those of `let` and of the points are empty: neither is
// stored.
std::vector<std::string> slot_names(const EventType& type);

}  // namespace tamis::policy
