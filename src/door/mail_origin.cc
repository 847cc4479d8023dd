#include "door/mail_origin.h"

#include "event/ip.h"
#include "mail/ascii.h"

namespace tamis::door {
namespace {

// "ESMTPSA", "LMTPA", "UTF8SMTPSA": what comes behind the protocol's name tells S(ecured) and A(uthenticated).
bool is_logged_in(std::string_view with) {
  const size_t name = with.find("MTP");
  return name != std::string_view::npos && with.find('A', name) != std::string_view::npos;
}

// Hops within one host, such as through a content filter.
bool is_loopback(std::string_view ip) { return ip == "::1" || ip.starts_with("127."); }

}  // namespace

MailOrigin find_origin(const MailRequest& request, const mail::MessageFacts& facts,
                       const std::function<bool(std::string_view)>& own) {
  MailOrigin origin{request.client_ip, request.client_name, request.helo, {}};
  if (request.direction != MailDirection::kIn || !request.user.empty() || request.client_ip.empty()) return origin;
  if (!own(request.client_ip)) return origin;
  for (const mail::Received& hop : facts.received) {
    if (hop.ip.empty() || is_logged_in(hop.with)) return origin;
    if (is_loopback(hop.ip) || own(hop.ip)) continue;
    return {std::string(hop.ip), std::string(hop.host), std::string(hop.helo), request.client_ip};
  }
  return origin;
}

}  // namespace tamis::door
