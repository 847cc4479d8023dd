#include "door/auth_policy_wire.h"

#include <array>
#include <utility>

#include "base/hash.h"
#include "event/ip.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door::auth_policy {

using event::JsonWriter;
using event::Kind;
using event::Value;

namespace {

void write_client(const Asked& asked, JsonWriter& json) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kNames = {{{"login", "acct"},
                                                                                           {"remote", "ip"},
                                                                                           {"device_id", "fp"},
                                                                                           {"protocol", "protocol"},
                                                                                           {"session_id", "session"},
                                                                                           {"pwhash", "pwhash"}}};
  for (const auto& [from, to] : kNames) {
    const std::string_view text = asked.text(from);
    event::IpData ip;
    if (text.empty() || (to == "ip" && !event::parse_ip(text, ip))) continue;
    json.key(to).string(text);
  }
}

// Why a login failed, in the words of the `login` event.
std::string_view reason_of(const Asked& asked) {
  if (asked.flag("policy_reject")) return "policy";
  const std::string_view type = asked.text("fail_type");
  if (type == "account_doesnt_exist" || type == "unknown_user" || type == "user_unknown") return "no_user";
  if (type == "policy") return "policy";
  return "bad_pw";
}

// Texts are cut between characters, not within one.
std::string_view cut(std::string_view text) {
  if (text.size() <= kTextBytesMax) return text;
  size_t end = kTextBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

base::Result<Asked> Asked::read(std::string_view body) {
  Asked asked;
  event::JsonLimits limits;
  limits.bytes_max = kBodyBytesMax + 1;
  TAMIS_TRY(value, event::JsonReader::to_value(body, *asked.arena_, limits));
  if (!value.is(Kind::kMap)) return base::invalid("expected a JSON object");
  asked.object_ = value;
  const Value* login = event::map_find(*value.map, Value::string("login"));
  if (login == nullptr || !login->is(Kind::kString)) {
    return base::invalid("\"login\" is missing: the name that somebody signs in with");
  }
  return asked;
}

std::string_view Asked::text(std::string_view key) const {
  const Value* v = event::map_find(*object_.map, Value::string(key));
  return v != nullptr && v->is(Kind::kString) ? cut(v->str()) : std::string_view();
}

bool Asked::flag(std::string_view key) const {
  const Value* v = event::map_find(*object_.map, Value::string(key));
  return v != nullptr && v->is(Kind::kBool) && v->b;
}

bool Asked::is_verified() const {
  const std::string_view said = text("verified");
  return flag("verified") || !(said.empty() || said == "no" || said == "false" || said == "0");
}

uint64_t Asked::login_key() const {
  return base::combine64(base::combine64(base::hash64(text("login")), base::hash64(text("remote"))),
                         base::hash64(text("session_id")));
}

std::string attempt_event(const Asked& asked) {
  std::string event;
  JsonWriter json(event);
  json.begin_object();
  write_client(asked, json);
  if (asked.is_verified()) json.key("verified").boolean(true);
  json.end_object();
  return event;
}

std::string login_event(const Asked& asked) {
  const bool success = asked.flag("success");
  std::string event;
  JsonWriter json(event);
  json.begin_object();
  write_client(asked, json);
  json.key("ok").boolean(success);
  if (!success) json.key("why").string(reason_of(asked));
  json.end_object();
  return event;
}

std::string challenge_event(const Asked& asked) {
  std::string event;
  JsonWriter json(event);
  json.begin_object();
  write_client(asked, json);
  json.key("passed").boolean(asked.flag("success")).key("proves").string("patience").end_object();
  return event;
}

void write_answer(int status, std::string_view message, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("status").integer(status).key("msg").string(message).end_object();
  out.push_back('\n');
}

}  // namespace tamis::door::auth_policy
