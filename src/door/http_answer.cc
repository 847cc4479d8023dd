#include "door/http_answer.h"

namespace tamis::door {

int status_of(const base::Error& error) {
  switch (error.code) {
    case base::Code::kInvalid:
      return 400;
    case base::Code::kNotFound:
      return 404;
    case base::Code::kLimit:
      return 400;  // of the request, like its depth: to send it again would not help
    case base::Code::kUnavailable:
      return 503;
    case base::Code::kDenied:
      return 403;
    case base::Code::kInternal:
      return 500;
  }
  return 500;
}

std::string_view word_of(const base::Error& error) {
  switch (error.code) {
    case base::Code::kInvalid:
      return "invalid";
    case base::Code::kNotFound:
      return "not_found";
    case base::Code::kLimit:
      return "invalid";
    case base::Code::kUnavailable:
      return "unavailable";
    case base::Code::kDenied:
      return "denied";
    case base::Code::kInternal:
      return "internal";
  }
  return "internal";
}

void answer(const base::Error& error, net::Response& out) {
  out.set_error(status_of(error), word_of(error), error.message);
  if (status_of(error) == 503) out.add_header("Retry-After", "1");
}

}  // namespace tamis::door
