// Small readings of text that a policy needs: spans of time and nearness of names.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace tamis::policy {

// "90d", "1h30m", "500ms": whole numbers with w d h m s ms, largest unit first. At most 100 years.
base::Result<int64_t> parse_span_ms(std::string_view text);
// Insertions, deletions, substitutions and swaps of neighbours; gives up beyond `most` with most + 1.
uint32_t edit_distance(std::string_view a, std::string_view b, uint32_t most);

}  // namespace tamis::policy
