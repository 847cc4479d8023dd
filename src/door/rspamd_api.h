// RspamdApi: the routes of rspamd's protocol on an HttpServer. Private to this room.
#pragma once

#include "door/mail_context.h"
#include "net/http_server.h"

namespace tamis::door::rspamd {

// What a server of these routes needs of its limits.
net::HttpLimits limits_for(const MailContext& context);

// `controller`: with learning and counts, and behind the password. `context` must outlive the server.
void add_routes(net::HttpServer& server, MailContext& context, bool controller);

}  // namespace tamis::door::rspamd
