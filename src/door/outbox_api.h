// The part of the HTTP API that shows what leaves: the outbox, its dead letters, and what a person does about them.
// docs/API.md is the reference. Wire format only.
#pragma once

#include "door/background.h"
#include "door/past_api.h"
#include "door/service.h"
#include "net/http_server.h"

namespace tamis::door {

// `background` runs the routes, which read from the disk.
void add_outbox_routes(net::HttpServer& server, Service& service, Background& background,
                       const PastApi::MakeRoute& route);

}  // namespace tamis::door
