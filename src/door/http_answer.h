// How errors of the house become answers of HTTP. Private to this room.
#pragma once

#include <string_view>

#include "base/result.h"
#include "net/http_message.h"

namespace tamis::door {

int status_of(const base::Error& error);
// The word for programs: "invalid", "not_found", ...
std::string_view word_of(const base::Error& error);
void answer(const base::Error& error, net::Response& out);

}  // namespace tamis::door
