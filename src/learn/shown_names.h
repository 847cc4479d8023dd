// Names that a reader takes the display name of a sender for. A policy asks whether one of them is a name that it
// protects; nothing here knows which those are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tamis::learn {

// Of "Holm,  Lars | CEO": the name with its blanks made one and without what cannot be seen, what stands in front of a
// title ("Holm, Lars"), the name the right way round ("Lars Holm"); of an address its local part as words; and each of
// these with letters of other scripts as the Latin ones that they look like. Distinct, at most 12, each of 96 bytes at
// most. Letter case stays.
std::vector<std::string> shown_names(std::string_view display_name);

}  // namespace tamis::learn
