// Who handed a message to the first relay of one's own: what the client of the SMTP session is where that relay is not
// this host. Private to this room.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "door/mail_scanner.h"
#include "mail/facts.h"

namespace tamis::door {

struct MailOrigin {
  std::string client_ip, client_name, helo;  // as in MailRequest
  std::string relay;  // our own relay that spoke to us; empty: the client of the session is the origin
};

// `own` tells whether an address is of one's own networks. Follows the Received lines (RFC 5321, section 4.4) down from
// the newest for as long as the host that wrote one is our own: lines below are claims of strangers. Where the walk
// ends without a foreign address, or at a client that logged in (RFC 3848: ESMTPA, ESMTPSA), the message is our own and
// the session's client stands.
MailOrigin find_origin(const MailRequest& request, const mail::MessageFacts& facts,
                       const std::function<bool(std::string_view ip)>& own);

}  // namespace tamis::door
