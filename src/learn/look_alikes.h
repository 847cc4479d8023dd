// Names that the domain of a sender may have been made to be taken for. A policy asks whether one of them is a name
// that it protects; nothing here knows which those are, so a name found is no accusation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tamis::learn {

// Of the host of From and its registrable domain: what the domain looks like (digits for letters, rn for m, vv for w,
// accents, letters of other scripts, a letter twice, hyphens or other letters in between), and domains that stand in
// front of the host's own ("bank.com.evil.example", "bank-com.evil.example", "login.bank.com-verify.example").
// Distinct, never the domain itself. Cost: 1 us for everyday hosts, 100 ns a label more for others.
std::vector<std::string> look_alikes(std::string_view host, std::string_view domain);

// The same name under the endings where brands are at home, if the domain has one of those that cost next to nothing
// and are registered for the day ("bank.top": bank.com, bank.de, ...); empty for all others. Which ending is whose is
// often not to be told, so this is a weaker sign than look_alikes().
std::vector<std::string> under_home_endings(std::string_view domain);

}  // namespace tamis::learn
