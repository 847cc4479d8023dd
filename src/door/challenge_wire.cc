#include "door/challenge_wire.h"

#include <algorithm>
#include <array>
#include <utility>

#include "door/json_body.h"
#include "event/ip.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door::challenge_wire {

using event::JsonWriter;
using event::Kind;
using event::Value;

namespace {

constexpr size_t kNameBytesMax = 512;
constexpr size_t kShownBytesMax = 64;

// What came, for an error: its beginning, without half a character at the end.
std::string shown(std::string_view text) {
  size_t end = std::min(text.size(), kShownBytesMax);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end));
}

base::Result<ChallengeFor> read_what(const JsonBody& body) {
  ChallengeFor what;
  TAMIS_TRY(on, body.needed_text("on"));
  TAMIS_TRY(value, body.needed_text("value"));
  TAMIS_TRY(type, body.text("type"));
  TAMIS_TRY(id, body.text("id"));
  what = {std::move(on), std::move(value), std::move(type), std::move(id)};
  for (const std::string* text : {&what.on, &what.value, &what.type, &what.id}) {
    if (text->size() > kNameBytesMax) {
      return base::fail(base::Code::kLimit, "\"on\", \"value\", \"type\" and \"id\" have 512 bytes at most");
    }
  }
  event::IpData ip;
  if (what.on == "ip" && !event::parse_ip(what.value, ip)) {
    return base::invalid("\"value\": expected an IP address, since \"on\" is \"ip\"; found \"" + shown(what.value) +
                         "\"");
  }
  return what;
}

// Whose browser it was. Work that was told of without either counts for the whole account, so what cannot be used must
// not pass for something that was left out.
base::Status check_client(std::string_view body) {
  base::Arena arena;
  TAMIS_TRY(object, event::JsonReader::to_value(body, arena));
  const Value* given = event::map_find(*object.map, Value::string("event"));
  if (given == nullptr) return {};
  if (!given->is(Kind::kMap)) return base::invalid("\"event\": expected an object");
  const auto is_given = [](const Value* v) { return v != nullptr && !v->is(Kind::kNull); };
  const Value* ip = event::map_find(*given->map, Value::string("ip"));
  event::IpData read;
  if (is_given(ip) && !(ip->is(Kind::kString) && event::parse_ip(ip->str(), read))) {
    const std::string found = ip->is(Kind::kString) ? "; found \"" + shown(ip->str()) + "\"" : std::string();
    return base::invalid("\"event\": \"ip\": expected an IP address as text, or leave it out" + found);
  }
  const Value* cookie = event::map_find(*given->map, Value::string("cookie"));
  if (!is_given(cookie)) return {};
  const bool is_text = cookie->is(Kind::kString) && !cookie->str().empty() && cookie->str().size() <= kNameBytesMax;
  if (is_text) return {};
  return base::invalid("\"event\": \"cookie\": expected text of 1 to 512 bytes, or leave it out");
}

}  // namespace

base::Result<Wanted> read_wanted(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kKeys = {"on", "value", "type", "id", "risk"};
  TAMIS_TRY(body, JsonBody::read(text, kKeys));
  TAMIS_TRY(what, read_what(body));
  TAMIS_TRY(risk, body.number("risk", 0.5, 0, 1));
  return Wanted{std::move(what), risk};
}

base::Result<Solved> read_solved(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kKeys = {"challenge", "solution", "on",   "value",
                                                            "type",      "id",       "event"};
  TAMIS_TRY(body, JsonBody::read(text, kKeys));
  Solved out;
  TAMIS_TRY(what, read_what(body));
  TAMIS_TRY(challenge, body.needed_text("challenge"));
  TAMIS_TRY(numbers, body.wholes("solution"));
  for (int64_t n : numbers) {
    if (n < 0) return base::invalid("\"solution\": expected whole numbers from 0 on");
    out.solution.push_back(static_cast<uint64_t>(n));
  }
  TAMIS_CHECK(check_client(text));
  out.what = std::move(what);
  out.text = std::move(challenge);
  return out;
}

base::Result<std::string> event_of(std::string_view body, const ChallengeFor& what, bool passed) {
  base::Arena arena;
  TAMIS_TRY(object, event::JsonReader::to_value(body, arena));
  const Value* given = event::map_find(*object.map, Value::string("event"));
  if (given != nullptr && !given->is(Kind::kMap)) return base::invalid("\"event\": expected an object");
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  const std::string_view own = what.on == "account" ? "acct" : what.on == "ip" ? "ip" : std::string_view();
  for (uint32_t i = 0; given != nullptr && i < given->map->size; ++i) {
    const event::MapEntry& entry = given->map->entries[i];
    const std::string_view key = entry.key.str();
    if (key == own || key == "passed" || key == "proves" || key == "type") continue;
    json.key(key).value(entry.value);
  }
  if (!own.empty()) json.key(own).string(what.value);
  json.key("passed").boolean(passed).key("proves").string("work").end_object();
  return out;
}

}  // namespace tamis::door::challenge_wire
