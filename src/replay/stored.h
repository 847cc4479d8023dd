// Stored: what the archive calls the things that a policy reads, and which rows a condition can be true for, as SQL.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"

namespace tamis::replay {

// Names of an event type's slots as in expressions: "ip", "ip.net24", "signups_1h". Those of `let` are empty.
std::vector<std::string> slot_names(const policy::EventType& type);
// The column of the archive that holds what is called so; a field may be named like one of the archive's own columns.
std::string column_of(std::string_view name);

// The table of an event type.
std::string table_of(std::string_view type);

std::string sql_name(std::string_view name);  // in double quotes
std::string sql_text(std::string_view text);  // in single quotes

// SQL that holds in every row for which `condition` is true, and in as few others as it can say; empty: nothing can be
// said. Whoever uses it to leave rows out still evaluates the condition on the others, so the result never changes.
std::string necessary_sql(const policy::Policy& policy, const policy::EventType& type, cel::NodeId condition);

}  // namespace tamis::replay
