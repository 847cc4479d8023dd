// Stored: names in SQL, and which stored rows a condition can be true for, as SQL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"

namespace tamis::replay {

std::string sql_name(std::string_view name);  // in double quotes
std::string sql_text(std::string_view text);  // in single quotes

// SQL that holds in every row for which `condition` is true, and in as few others as it can say; empty: nothing can be
// said. Whoever uses it to leave rows out still evaluates the condition on the others, so the result never changes.
std::string necessary_sql(const policy::Policy& policy, const policy::EventType& type, cel::NodeId condition);

// SQL that is true in exactly the rows for which `condition` is true, where all of it can be said. Its columns are the
// slots that it reads, as archive::TallyRequest calls them; it holds where each of them is stored, not derived.
struct ExactSql {
  std::string sql;
  std::vector<int32_t> slots;
};
std::optional<ExactSql> exact_sql(const policy::Policy& policy, const policy::EventType& type, cel::NodeId condition);

}  // namespace tamis::replay
