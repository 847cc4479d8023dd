// Internationalised domain names as people see them: labels "xn--..." decoded (RFC 3492; RFC 5890, A-labels to
// U-labels). What a name looks like can only be told from that form. Stateless; one pass over at most 255 bytes.
#pragma once

#include <string>
#include <string_view>

namespace tamis::mail {

// The domain in UTF-8. A label that cannot be decoded, or that would hold more than 63 code points, stays as it is.
std::string shown_domain(std::string_view domain);

}  // namespace tamis::mail
