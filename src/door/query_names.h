// Which query parameters each path of the API takes, as docs/openapi.json says. A request with another is refused: a
// name that is mistyped would otherwise mean something else than was meant, silently. Private to this room.
#pragma once

#include "net/http_server.h"

namespace tamis::door {

// For the routes added so far. `reason` may come with all, for the audit trail. Paths that are no part of /v1 (health
// checks and scrapers add what they like) and the files of the challenge (pages add versions) take anything.
void name_queries(net::HttpServer& server);

}  // namespace tamis::door
