// RspamdApi: the routes of rspamd's protocol on an HttpServer. Private to this room.
#pragma once

#include <memory>

#include "door/mail_context.h"
#include "net/http_server.h"

namespace tamis::door::rspamd {

// What a server of these routes needs of its limits.
net::HttpLimits limits_for(const MailContext& context);

// `controller`: with learning and counts, and behind the password. A scanner's late answer keeps the context alive.
void add_routes(net::HttpServer& server, const std::shared_ptr<MailContext>& context, bool controller);

}  // namespace tamis::door::rspamd
