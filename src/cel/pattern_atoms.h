// The literals that a text must contain for a pattern to match it. For pattern_set.cc only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tamis::cel {

// ASCII letters in lower case, everything else as it is.
std::string fold_ascii(std::string_view text);

// Literals of which at least one occurs, after fold_ascii(), in every text that the regular expression matches, unless
// the text contains a character of kFoldToAscii. Empty: nothing is known. The pattern must be good.
std::vector<std::string> required_literals(std::string_view regex);

// The characters outside ASCII that RE2 lowers to an ASCII letter: the Kelvin sign (k) and the long s (s). Patterns
// that ignore case can match them where the literal has that letter.
inline constexpr std::string_view kFoldToAscii[] = {"\xe2\x84\xaa", "\xc5\xbf"};

}  // namespace tamis::cel
