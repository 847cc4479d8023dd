#include "door/challenge_api.h"

#include "door/challenge_wire.h"
#include "door/http_answer.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/time_text.h"

namespace tamis::door {

using event::JsonWriter;
using net::Request;
using net::Response;

namespace {

constexpr size_t kBodyBytesMax = 64 << 10;
constexpr std::string_view kEventType = "challenge";

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
  TAMIS_TRY(wanted, challenge_wire::read_wanted(in.body()));
  const Challenge challenge = challenges.issue(wanted.what, wanted.risk, service.now_ms());
  JsonWriter json(out);
  json.begin_object().key("challenge").string(challenge.text).key("bits").uinteger(challenge.bits);
  json.key("count").uinteger(challenge.count);
  json.key("expires").string(event::format_time_ms(challenge.expires_ms)).end_object();
  return {};
}

base::Status ChallengeApi::Impl::tell(std::string_view body, const ChallengeFor& what, bool passed, JsonWriter& json) {
  const auto policy = service.policy();
  TAMIS_TRY(event, challenge_wire::event_of(body, what, passed));
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
  TAMIS_TRY(solved, challenge_wire::read_solved(in.body()));
  using Outcome = Challenges::Outcome;
  const Outcome outcome = challenges.verify(solved.text, solved.solution, solved.what, service.now_ms());
  if (outcome == Outcome::kFull) {
    return base::fail(base::Code::kUnavailable, "too many challenges were solved lately; try again in a minute");
  }
  JsonWriter json(out);
  json.begin_object().key("passed").boolean(outcome == Outcome::kPassed).key("outcome").string(name_of(outcome));
  TAMIS_CHECK(tell(in.body(), solved.what, outcome == Outcome::kPassed, json));
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
