// Answers that take long: made on another thread than the event loop's.
#pragma once

#include <functional>
#include <string>

#include "door/background.h"
#include "net/http_message.h"

namespace tamis::door {

// Runs `work`, which fills in the body of the answer or gives the error to answer with. 503 where too much waits.
void answer_soon(Background& background, net::Response& out, std::function<base::Status(std::string&)> work);

}  // namespace tamis::door
