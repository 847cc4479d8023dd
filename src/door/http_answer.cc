#include "door/http_answer.h"

#include "door/soon.h"
#include "event/json_writer.h"

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

void answer_soon(Background& background, net::Response& out, std::function<base::Status(std::string&)> work) {
  auto reply = out.defer();
  bool taken = background.submit([reply, work = std::move(work)] {
    std::string body;
    base::Status done = work(body);
    if (done) return reply->send(200, "application/json", std::move(body));
    body.clear();
    event::JsonWriter json(body);
    json.begin_object().key("error").string(word_of(done.error())).key("message").string(done.error().message);
    json.end_object();
    reply->send(status_of(done.error()), "application/json", body + "\n");
  });
  if (!taken) reply->send(503, "application/json", R"({"error":"overloaded","message":"too many requests at once"})");
}

}  // namespace tamis::door
