// What a mail server asks, as arbitrary bytes: whatever is taken makes events that are JSON objects, with the account
// in them, and answers that are JSON.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "door/auth_policy_wire.h"
#include "event/json_event.h"

namespace {

using namespace tamis;
namespace wire = door::auth_policy;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void check_event(const std::string& text, const char* needed) {
  base::Arena arena;
  const auto event = event::JsonReader::to_value(text, arena);
  check(event.has_value() && event->is(event::Kind::kMap), "an event that is no JSON object");
  check(event::map_find(*event->map, event::Value::string("acct")) != nullptr, "an event without an account");
  check(event::map_find(*event->map, event::Value::string(needed)) != nullptr, needed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  std::string answer;
  if (const auto asked = wire::Asked::read(body)) {
    if (!asked->is_nobody()) {
      check_event(wire::attempt_event(*asked), "acct");
      check_event(wire::login_event(*asked), "ok");
      check_event(wire::challenge_event(*asked), "passed");
    }
    check(asked->login_key() == wire::Asked::read(body)->login_key(), "another login at the second look");
    wire::write_answer(-1, asked->text("login"), answer);
  } else {
    wire::write_answer(0, asked.error().message, answer);
  }
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = answer.size() + 1;
  check(event::JsonReader::to_value(answer, arena, limits).has_value(), "an answer that is no JSON");
  return 0;
}
