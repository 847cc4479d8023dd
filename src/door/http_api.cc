#include "door/http_api.h"

#include <algorithm>

#include "door/auth_policy_api.h"
#include "door/background.h"
#include "door/challenge_api.h"
#include "door/cluster_api.h"
#include "door/desk.h"
#include "door/http_answer.h"
#include "door/mail_api.h"
#include "door/marks_api.h"
#include "door/past_api.h"
#include "door/query_names.h"
#include "door/record_api.h"
#include "door/support_api.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door {

using engine::Engine;
using event::JsonWriter;
using event::Value;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kRefusalsShownMax = 20;
constexpr net::RoleSet kDeciders = Role::kDecide;
constexpr net::RoleSet kSenders = Role::kDecide | Role::kIngest;
constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;

Engine::Explain explain_wanted(const Request& in) {
  auto wanted = in.query_value("explain");
  return wanted && *wanted != "0" && *wanted != "false" ? Engine::Explain::kYes : Engine::Explain::kNo;
}

void write_diagnostics(const policy::Loaded& loaded, JsonWriter& json) {
  json.key("diagnostics").begin_array();
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    json.begin_object().key("severity");
    json.string(d.severity == policy::Diagnostic::Severity::kError ? "error" : "warning");
    json.key("file").string(d.file).key("line").uinteger(d.line).key("column").uinteger(d.column);
    json.key("message").string(d.message).key("source").string(d.source_line).key("hint").string(d.hint).end_object();
  }
  json.end_array();
}

std::string policy_answer(const policy::Loaded& loaded) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("ok").boolean(loaded.policy != nullptr);
  if (loaded.policy != nullptr) json.key("policy").string(loaded.policy->version);
  write_diagnostics(loaded, json);
  json.end_object();
  return out + "\n";
}

// One NDJSON line in, one decision or one error out, in order.
class DecideLines final : public net::LineStream {
 public:
  DecideLines(Service& service, Engine::Explain explain) : lease_(service), service_(service), explain_(explain) {}

  void on_line(std::string_view line, uint64_t number, Response& out) override {
    auto done = service_.decide(*lease_, {}, line, out.body(), explain_);
    if (done) {
      out.body().push_back('\n');
    } else {
      refuse(number, word_of(done.error()), done.error().message, out);
    }
  }
  void on_overlong_line(uint64_t number, Response& out) override {
    refuse(number, "too_large", "the line is too long", out);
  }

 private:
  void refuse(uint64_t number, std::string_view word, std::string_view message, Response& out) {
    JsonWriter json(out.body());
    json.begin_object().key("error").string(word).key("message").string(message);
    json.key("line").uinteger(number).end_object();
    out.body().push_back('\n');
  }
  Service::Lease lease_;
  Service& service_;
  Engine::Explain explain_;
};

// Lines to be decided soon; the answer counts them.
class AcceptLines final : public net::LineStream {
 public:
  AcceptLines(Service& service, std::string type) : lease_(service), service_(service), type_(std::move(type)) {}

  void on_line(std::string_view line, uint64_t number, Response&) override {
    base::Status accepted = service_.accept(*lease_, type_, line);
    if (accepted) {
      ++accepted_;
    } else {
      full_ |= accepted.error().code == base::Code::kUnavailable;
      refuse(number, accepted.error().message);
    }
  }
  void on_overlong_line(uint64_t number, Response&) override { refuse(number, "the line is too long"); }
  void on_end(Response& out) override {
    out.set_status(full_ ? 503 : accepted_ == 0 && refused_ > 0 ? 400 : 202);
    if (full_) out.add_header("Retry-After", "1");
    JsonWriter json(out.body());
    json.begin_object().key("accepted").uinteger(accepted_).key("refused").uinteger(refused_);
    json.key("errors").begin_array();
    for (const auto& [line, message] : shown_) {
      json.begin_object().key("line").uinteger(line).key("message").string(message).end_object();
    }
    json.end_array().end_object();
    out.append("\n");
  }

 private:
  void refuse(uint64_t number, std::string message) {
    ++refused_;
    if (shown_.size() < kRefusalsShownMax) shown_.emplace_back(number, std::move(message));
  }
  Service::Lease lease_;
  Service& service_;
  std::string type_;
  uint64_t accepted_ = 0, refused_ = 0;
  bool full_ = false;
  std::vector<std::pair<uint64_t, std::string>> shown_;
};

// Whether a folder could hold a file of this name and a reading of the folder would find it: what is activated over
// HTTP can then be written out, and has the same version there.
bool is_name_in_folder(std::string_view name) {
  if (name.empty() || name.find('\0') != std::string_view::npos) return false;
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('/', at), name.size());
    if (end == at || name[at] == '.') return false;
    at = end + 1;
  }
  return true;
}

// A policy in a request: JSON {"files": {NAME: TEXT}}, or one YAML text.
base::Result<std::vector<policy::SourceFile>> files_of(const Request& in) {
  std::vector<policy::SourceFile> files;
  if (in.content_type().substr(0, 16) != "application/json") {
    files.push_back({"policy.yaml", std::string(in.body())});
    return files;
  }
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = in.body().size() + 1;
  TAMIS_TRY(value, event::JsonReader::to_value(in.body(), arena, limits));
  const Value* map = value.is(event::Kind::kMap) ? event::map_find(*value.map, Value::string("files")) : nullptr;
  if (map == nullptr || !map->is(event::Kind::kMap)) {
    return base::invalid("expected {\"files\": {\"NAME.yaml\": \"TEXT\", ...}}");
  }
  for (uint32_t i = 0; i < map->map->size; ++i) {
    const event::MapEntry& entry = map->map->entries[i];
    if (!entry.value.is(event::Kind::kString)) return base::invalid("the text of a file must be a string");
    if (!is_name_in_folder(entry.key.str())) {
      return base::invalid(
          "`" + std::string(entry.key.str()) +
          "`: files lie in the policy's folder and are named from there, and no name begins with a dot");
    }
    files.push_back({std::string(entry.key.str()), std::string(entry.value.str())});
  }
  return files;
}

void write_policy(const policy::Policy& policy, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("policy").string(policy.version).key("types").begin_array();
  for (const policy::EventType& type : policy.types) {
    json.begin_object().key("name").string(type.schema.name).key("verdicts").begin_array();
    for (const std::string& verdict : type.ladder) json.string(verdict);
    json.end_array().key("rules").begin_array();
    for (const policy::Rule& rule : type.rules) {
      constexpr std::string_view kModes[] = {"off", "shadow", "canary", "live"};
      json.begin_object().key("id").string(rule.id).key("mode").string(kModes[static_cast<size_t>(rule.mode)]);
      json.key("when").string(rule.when_text).key("owner").string(rule.owner);
      json.key("file").string(rule.file).key("line").uinteger(rule.line).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
}

}  // namespace

struct HttpApi::Impl {
  Impl(net::HttpServer& h, Service& s, base::MetricRegistry& m, HttpApiOptions o)
      : server(h), service(s), metrics(m), options(std::move(o)), desk(s) {}

  net::HttpServer& server;
  Service& service;
  base::MetricRegistry& metrics;
  HttpApiOptions options;
  Background background;
  Desk desk;
  std::unique_ptr<MarksApi> marks;
  std::unique_ptr<SupportApi> support;
  std::unique_ptr<RecordApi> record;
  std::unique_ptr<PastApi> past;
  std::unique_ptr<MailApi> mail;
  std::unique_ptr<ClusterApi> clusters;
  std::unique_ptr<AuthPolicyApi> auth_policy;
  std::unique_ptr<ChallengeApi> challenges;

  net::RouteOptions route(net::RoleSet roles, size_t body_bytes_max) const {
    net::RouteOptions r;
    r.body_bytes_max = body_bytes_max;
    bool open =
        options.tokens == nullptr && options.limits.per_caller == nullptr && options.limits.per_address == nullptr;
    if (open) return r;
    r.gate = net::require_role(options.tokens, roles, options.limits);
    if (!options.trust_unix) return r;
    // Who may open the socket of the data folder may read and write the folder.
    auto trusted = net::require_role(nullptr, roles);
    r.gate = [inner = r.gate, trusted](const Request& in, Response& out) {
      return in.peer().family == net::PeerAddress::Family::kUnix ? trusted(in, out) : inner(in, out);
    };
    return r;
  }

  void add_decide_routes();
  void add_policy_routes();
  void add_operator_routes();
  void in_background(Response& out, std::function<std::pair<int, std::string>()> work);
};

HttpApi::HttpApi() = default;

base::Result<std::unique_ptr<HttpApi>> HttpApi::open(net::HttpServer& server, Service& service,
                                                     base::MetricRegistry& metrics, HttpApiOptions options) {
  std::unique_ptr<HttpApi> api(new HttpApi);
  api->impl_.reset(new Impl(server, service, metrics, std::move(options)));
  Impl* impl = api->impl_.get();
  impl->add_decide_routes();
  impl->add_policy_routes();
  impl->add_operator_routes();
  auto route = [impl](net::RoleSet roles, size_t bytes) { return impl->route(roles, bytes); };
  impl->desk.set_mail(impl->options.mail);
  if (impl->options.mail != nullptr) {
    impl->mail = std::make_unique<MailApi>(server, impl->desk, *impl->options.mail, route);
  }
  impl->marks = std::make_unique<MarksApi>(server, impl->desk, route);
  impl->auth_policy = std::make_unique<AuthPolicyApi>(server, service, route);
  impl->challenges = std::make_unique<ChallengeApi>(server, service, route);
  action::Batches* batches = nullptr;
  if (service.data() != nullptr) {
    TAMIS_TRY(past, PastApi::open(server, impl->desk, route));
    impl->past = std::move(past);
    batches = &impl->past->batches();
    impl->record = std::make_unique<RecordApi>(server, impl->desk, route);
    impl->clusters = std::make_unique<ClusterApi>(server, impl->desk, *batches, route);
  }
  impl->support = std::make_unique<SupportApi>(server, impl->desk, batches, route);
  name_queries(server);
  return api;
}

HttpApi::~HttpApi() = default;

void HttpApi::Impl::add_decide_routes() {
  server.post(
      "/v1/decide/{type}",
      [this](const Request& in, Response& out) {
        Service::Lease lease(service);
        auto explain = in.query().empty() ? Engine::Explain::kNo : explain_wanted(in);
        auto done = service.decide(*lease, in.param(0), in.body(), out.body(), explain);
        if (!done) return answer(done.error(), out);
        out.append("\n");
      },
      route(kDeciders, options.event_bytes_max));

  auto stream = route(kDeciders, 0);
  stream.stream_buffer_bytes = options.event_bytes_max;
  server.stream(
      net::Method::kPost, "/v1/decide",
      [this](const Request& in, Response& out) {
        out.set_content_type("application/x-ndjson");
        return std::make_unique<DecideLines>(service, explain_wanted(in));
      },
      stream);
  auto intake = route(kSenders, 0);
  intake.stream_buffer_bytes = options.event_bytes_max;
  for (const char* path : {"/v1/events", "/v1/events/{type}"}) {
    server.stream(
        net::Method::kPost, path,
        [this](const Request& in, Response&) {
          return std::make_unique<AcceptLines>(service, std::string(in.param(0)));
        },
        intake);
  }
}

// Runs `work` on the background thread and answers with what it returns.
void HttpApi::Impl::in_background(Response& out, std::function<std::pair<int, std::string>()> work) {
  auto reply = out.defer();
  bool taken = background.submit([reply, work = std::move(work)] {
    auto [status, body] = work();
    reply->send(status, "application/json", std::move(body));
  });
  if (!taken) reply->send(503, "application/json", R"({"error":"overloaded","message":"too many policy requests"})");
}

void HttpApi::Impl::add_policy_routes() {
  server.get(
      "/v1/policy",
      [this](const Request&, Response& out) {
        auto policy = service.policy();
        if (policy == nullptr) return out.set_error(503, "unavailable", "no policy is active yet");
        write_policy(*policy, out.body());
        out.append("\n");
      },
      route(kReaders, 0));
  auto admin = route(Role::kAnalyst, options.policy_bytes_max);
  auto with_files = [this](const Request& in, Response& out, bool activate) {
    auto files = files_of(in);
    if (!files) return answer(files.error(), out);
    in_background(out, [this, activate, sources = std::move(*files), who = Desk::caller_of(in).name] {
      policy::Loaded loaded = activate ? service.activate(sources, who) : policy::load_files(sources);
      return std::pair(loaded.policy != nullptr ? 200 : 422, policy_answer(loaded));
    });
  };
  server.post(
      "/v1/policy/validate", [with_files](const Request& in, Response& out) { with_files(in, out, false); }, admin);
  server.post(
      "/v1/policy", [with_files](const Request& in, Response& out) { with_files(in, out, true); }, admin);
  server.post(
      "/v1/policy/reload",
      [this](const Request& in, Response& out) {
        in_background(out, [this, who = Desk::caller_of(in).name] {
          policy::Loaded loaded = service.activate_folder(options.policy_folder, who);
          return std::pair(loaded.policy != nullptr ? 200 : 422, policy_answer(loaded));
        });
      },
      admin);
}

void HttpApi::Impl::add_operator_routes() {
  server.get("/v1/openapi.json", [](const Request&, Response& out) { out.append(openapi_json()); });
  server.get("/healthz", [](const Request&, Response& out) { out.append("{\"ok\":true}\n"); });
  server.get("/readyz", [this](const Request&, Response& out) {
    auto policy = service.policy();
    if (policy == nullptr) return out.set_error(503, "unavailable", "no policy is active yet");
    if (std::string failure = service.failure(); !failure.empty()) {
      return out.set_error(503, "unavailable", failure);
    }
    JsonWriter json(out.body());
    json.begin_object().key("ready").boolean(true).key("policy").string(policy->version).end_object();
    out.append("\n");
  });
  server.get(
      "/v1/stats",
      [this](const Request&, Response& out) {
        write_stats(service, out.body());
        out.append("\n");
      },
      route(kReaders, 0));
  server.get(
      "/metrics",
      [this](const Request&, Response& out) {
        out.set_content_type(base::MetricRegistry::kContentType);
        metrics.expose(out.body());
        write_engine_metrics(service, out.body());
      },
      route(Role::kMetrics, 0));
}

}  // namespace tamis::door
