// Why the rules of a past decision matched: the parts of their conditions that were true, from what the archive holds
// of the event. Private to this room.
#pragma once

#include <set>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "event/json_writer.h"
#include "event/value.h"
#include "policy/policy.h"

namespace tamis::replay {

// Appends the items of `conditions` as engine::write_json() has them, for the rules in `matched`, in order of the
// policy. `slots`: of the event, as the policy numbers them; absent where the value is gone. Labels, and entries of
// lists that come and go, are not known any more: an alternative that asks for them is told where none is certain.
void write_conditions(const policy::Policy& policy, const policy::EventType& type, std::span<const event::Value> slots,
                      const std::set<std::string_view>& matched, base::Arena& arena, event::JsonWriter& json);

}  // namespace tamis::replay
