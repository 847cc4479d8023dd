// The differences of two texts by lines, as `diff -u` shows them: for people who compare versions of a policy.
// Algorithm: Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), in its linear-space form.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tamis::base {

struct DiffOptions {
  size_t context_lines = 3;
  // Of work: beyond it (two long texts that share little) the rest is shown as replaced as a whole.
  size_t steps_max = 20'000'000;
};

// The hunks of a unified diff, without its two lines of file names; empty where the texts are equal. A last line
// without its end is followed by "\ No newline at end of file".
std::string unified_diff(std::string_view before, std::string_view after, const DiffOptions& options = {});

}  // namespace tamis::base
