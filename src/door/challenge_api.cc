#include "door/challenge_api.h"

#include <array>

#include "door/http_answer.h"
#include "door/json_body.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/time_text.h"

namespace tamis::door {

using event::JsonWriter;
using event::Kind;
using event::Value;
using net::Request;
using net::Response;

namespace {

constexpr size_t kBodyBytesMax = 64 << 10;
constexpr size_t kNameBytesMax = 512;
constexpr std::string_view kEventType = "challenge";

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
  return what;
}

// The event `challenge` that tells the policy how it ended: what the caller gave of the client, the entity under the
// name that events have for it, and the outcome.
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

}  // namespace

struct ChallengeApi::Impl {
  Impl(Service& s, const ChallengeOptions& options) : service(s), challenges(options) {}
  base::Status issue(const Request& in, std::string& out);
  base::Status verify(const Request& in, std::string& out);
  base::Status tell(std::string_view body, const ChallengeFor& what, bool passed, JsonWriter& json);

  Service& service;
  Challenges challenges;
};

base::Status ChallengeApi::Impl::issue(const Request& in, std::string& out) {
  static constexpr std::array<std::string_view, 5> kKeys = {"on", "value", "type", "id", "risk"};
  TAMIS_TRY(body, JsonBody::read(in.body(), kKeys));
  TAMIS_TRY(what, read_what(body));
  TAMIS_TRY(risk, body.number("risk", 0.5, 0, 1));
  const Challenge challenge = challenges.issue(what, risk, service.now_ms());
  JsonWriter json(out);
  json.begin_object().key("challenge").string(challenge.text).key("bits").uinteger(challenge.bits);
  json.key("count").uinteger(challenge.count);
  json.key("expires").string(event::format_time_ms(challenge.expires_ms)).end_object();
  return {};
}

base::Status ChallengeApi::Impl::tell(std::string_view body, const ChallengeFor& what, bool passed, JsonWriter& json) {
  const auto policy = service.policy();
  TAMIS_TRY(event, event_of(body, what, passed));
  if (policy == nullptr || policy->find_type(kEventType) == nullptr) return {};
  std::string decided;
  Service::Lease lease(service);
  TAMIS_CHECK(service.decide(*lease, kEventType, event, decided));
  base::Arena arena;
  TAMIS_TRY(decision, event::JsonReader::to_value(decided, arena));
  json.key("decision").value(decision);
  return {};
}

base::Status ChallengeApi::Impl::verify(const Request& in, std::string& out) {
  static constexpr std::array<std::string_view, 7> kKeys = {"challenge", "solution", "on",   "value",
                                                            "type",      "id",       "event"};
  TAMIS_TRY(body, JsonBody::read(in.body(), kKeys));
  TAMIS_TRY(what, read_what(body));
  TAMIS_TRY(text, body.needed_text("challenge"));
  TAMIS_TRY(numbers, body.wholes("solution"));
  std::vector<uint64_t> solution;
  for (int64_t n : numbers) {
    if (n < 0) return base::invalid("\"solution\": expected whole numbers from 0 on");
    solution.push_back(static_cast<uint64_t>(n));
  }
  using Outcome = Challenges::Outcome;
  const Outcome outcome = challenges.verify(text, solution, what, service.now_ms());
  if (outcome == Outcome::kFull) {
    return base::fail(base::Code::kUnavailable, "too many challenges were solved lately; try again in a minute");
  }
  JsonWriter json(out);
  json.begin_object().key("passed").boolean(outcome == Outcome::kPassed).key("outcome").string(name_of(outcome));
  TAMIS_CHECK(tell(in.body(), what, outcome == Outcome::kPassed, json));
  json.end_object();
  return {};
}

ChallengeApi::ChallengeApi(net::HttpServer& server, Service& service, const MakeRoute& route,
                           const ChallengeOptions& options)
    : impl_(std::make_unique<Impl>(service, options)) {
  using Method = base::Status (Impl::*)(const Request&, std::string&);
  const auto add = [&](const char* path, Method method) {
    server.post(
        path,
        [impl = impl_.get(), method](const Request& in, Response& out) {
          std::string body;
          if (const base::Status done = (impl->*method)(in, body); !done) return answer(done.error(), out);
          out.body() = std::move(body);
          out.append("\n");
        },
        route(net::Role::kDecide, kBodyBytesMax));
  };
  add("/v1/challenges", &Impl::issue);
  add("/v1/challenges/verify", &Impl::verify);
  constexpr std::pair<const char*, const char*> kFiles[] = {{"challenge.js", "text/javascript; charset=utf-8"},
                                                            {"challenge_worker.js", "text/javascript; charset=utf-8"},
                                                            {"challenge.html", "text/html; charset=utf-8"}};
  for (const auto& [name, type] : kFiles) {
    server.get(std::string("/v1/challenges/") + name, [file = name, mime = type](const Request&, Response& out) {
      out.set_content_type(mime);
      out.add_header("Cache-Control", "public, max-age=3600");
      out.add_header("X-Content-Type-Options", "nosniff");
      out.append(challenge_file(file));
    });
  }
}

ChallengeApi::~ChallengeApi() = default;

}  // namespace tamis::door
