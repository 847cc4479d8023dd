#include "door/past_api.h"

#include <array>
#include <charconv>

#include "door/hindsight_api.h"
#include "door/http_answer.h"
#include "door/jobs.h"
#include "door/json_body.h"
#include "door/outbox_api.h"
#include "door/soon.h"
#include "event/json_writer.h"
#include "replay/stored_decision.h"

namespace tamis::door {

using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kSmallBodyBytes = 64 << 10;
constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;

// A cell as JSON: numbers and truth values as they are, everything else as text.
void write_cell(const archive::Table::Column& column, const std::string& text, JsonWriter& json) {
  static constexpr std::array<std::string_view, 11> kNumbers = {"BIGINT",   "INTEGER",   "UBIGINT", "UINTEGER",
                                                                "SMALLINT", "USMALLINT", "TINYINT", "UTINYINT",
                                                                "HUGEINT",  "DOUBLE",    "FLOAT"};
  bool number = std::find(kNumbers.begin(), kNumbers.end(), column.type) != kNumbers.end();
  bool finite = text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  if (column.type == "HUGEINT") number = text.size() <= 18;  // what JSON readers take; larger sums are text
  if (column.type == "BOOLEAN") {
    json.boolean(text == "true");
  } else if (number && finite && !text.empty()) {
    json.raw(text);
  } else {
    json.string(text);
  }
}

void write_table(const archive::Table& table, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("columns").begin_array();
  for (const archive::Table::Column& column : table.columns) {
    json.begin_object().key("name").string(column.name).key("type").string(column.type).end_object();
  }
  json.end_array().key("rows").begin_array();
  for (size_t r = 0; r < table.rows.size(); ++r) {
    json.begin_array();
    for (size_t c = 0; c < table.columns.size(); ++c) {
      table.nulls[r][c] ? json.null() : (write_cell(table.columns[c], table.rows[r][c], json), json);
    }
    json.end_array();
  }
  json.end_array().key("cut").boolean(table.cut).end_object();
  out += '\n';
}

}  // namespace

struct PastApi::Impl {
  Impl(net::HttpServer& h, Desk& d, const MakeRoute& r) : server(h), desk(d), service(d.service()), route(r) {}

  net::HttpServer& server;
  Desk& desk;
  Service& service;
  MakeRoute route;
  std::unique_ptr<HindsightApi> hindsight;  // before the jobs, which use it
  Jobs jobs;
  Background background{64};

  // Runs `work`, which may take long, on another thread than the loop's; it fills in the body.
  void soon(Response& out, std::function<base::Status(std::string&)> work) {
    answer_soon(background, out, std::move(work));
  }

  void add_query_routes();
  base::Status look_up(const Desk::Caller& caller, const std::string& type, const std::string& id, std::string& text);
  void add_decision_routes();
  void add_job_routes();
  void add_operator_routes();
};

PastApi::PastApi() = default;

base::Result<std::unique_ptr<PastApi>> PastApi::open(net::HttpServer& server, Desk& desk, const MakeRoute& route) {
  std::unique_ptr<PastApi> api(new PastApi);
  api->impl_ = std::make_unique<Impl>(server, desk, route);
  Impl& impl = *api->impl_;
  impl.add_query_routes();
  impl.add_decision_routes();
  impl.add_job_routes();
  impl.add_operator_routes();
  TAMIS_TRY(hindsight, HindsightApi::open(desk, impl.jobs));
  impl.hindsight = std::move(hindsight);
  impl.hindsight->add_routes(server, route);
  add_outbox_routes(server, impl.service, impl.background, route);
  return api;
}

PastApi::~PastApi() = default;

action::Batches& PastApi::batches() { return impl_->hindsight->batches(); }

void PastApi::Impl::add_query_routes() {
  server.post(
      "/v1/query",
      [this](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 4> kKeys = {"sql", "rows_max", "time_ms", "reason"};
        auto body = JsonBody::read(in.body(), kKeys);
        if (!body) return answer(body.error(), out);
        auto sql = body->needed_text("sql");
        auto rows = body->whole("rows_max", 10'000, 1, 1'000'000);
        auto time = body->whole("time_ms", 30'000, 1, 600'000);
        if (!sql) return answer(sql.error(), out);
        if (!rows) return answer(rows.error(), out);
        if (!time) return answer(time.error(), out);
        Desk::Caller caller = Desk::caller_of(in);
        auto reason = body->text("reason", caller.reason);
        if (!reason) return answer(reason.error(), out);
        caller.reason = *reason;
        archive::QueryLimits limits{*time, static_cast<uint64_t>(*rows)};
        soon(out, [this, caller, sql = *sql, limits](std::string& text) -> base::Status {
          TAMIS_CHECK(desk.note_look(caller, "query.run", "archive", {}, sql));
          TAMIS_CHECK(service.flush());
          TAMIS_TRY(table, service.data()->archive().query(sql, limits, [] { return true; }));
          write_table(table, text);
          return {};
        });
      },
      route(Role::kAnalyst, kSmallBodyBytes));
}

// Of the type, or of the one type that has it where `type` is "*". What gave somebody away only analysts are told.
base::Status PastApi::Impl::look_up(const Desk::Caller& caller, const std::string& type, const std::string& id,
                                    std::string& text) {
  TAMIS_TRY(policy, desk.policy());
  const bool any = type == "*";
  if (!any && policy->find_type(type) == nullptr)
    return base::fail(base::Code::kNotFound, "no event type \"" + type + "\" in the policy");
  TAMIS_CHECK(desk.note_look(caller, "decision.look", any ? "event" : "event:" + type, id));
  TAMIS_CHECK(service.flush());
  const auto policy_of = [this](std::string_view version) { return service.policy_of_version(version); };
  const bool explained = caller.roles.has(Role::kAnalyst);
  std::string found, names;
  for (const policy::EventType& each : policy->types) {
    if (!any && each.schema.name != type) continue;
    std::string one;
    base::Status written =
        replay::write_stored_event(service.data()->archive(), *policy, each, policy_of, id, explained, one);
    if (!written && (!any || written.error().code != base::Code::kNotFound)) return written;
    if (!written) continue;
    names += (names.empty() ? "" : ", ") + each.schema.name;
    found = std::move(one);
  }
  if (names.empty()) return base::fail(base::Code::kNotFound, "the archive does not have this event");
  if (names.find(',') != std::string::npos)
    return base::invalid("events of several types have this id: " + names + "; name one of them");
  text += found;
  return {};
}

void PastApi::Impl::add_decision_routes() {
  server.get(
      "/v1/decisions/{type}/{id...}",
      [this](const Request& in, Response& out) {
        soon(out,
             [this, caller = Desk::caller_of(in), type = std::string(in.param(0)),
              id = std::string(in.param(1))](std::string& text) -> base::Status {
               TAMIS_CHECK(look_up(caller, type, id, text));
               text += '\n';
               return {};
             });
      },
      route(kReaders, 0));
}

void PastApi::Impl::add_job_routes() {
  auto id_of = [](std::string_view text) {
    uint64_t id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id);
    return id;  // 0 is no job
  };
  server.get(
      "/v1/jobs",
      [this](const Request&, Response& out) {
        jobs.write_all(out.body());
        out.append("\n");
      },
      route(kReaders, 0));
  server.get(
      "/v1/jobs/{id}",
      [this, id_of](const Request& in, Response& out) {
        base::Status found = jobs.write(id_of(in.param(0)), out.body());
        if (!found) return answer(found.error(), out);
        out.append("\n");
      },
      route(kReaders, 0));
  server.post(
      "/v1/jobs/{id}/stop",
      [this, id_of](const Request& in, Response& out) {
        base::Status found = jobs.stop(id_of(in.param(0)));
        if (!found) return answer(found.error(), out);
        out.append("{\"ok\":true}\n");
      },
      route(Role::kAnalyst, kSmallBodyBytes));
}

void PastApi::Impl::add_operator_routes() {
  server.get(
      "/v1/digest",
      [this](const Request&, Response& out) {
        uint64_t digest = 0, record = 0;
        service.with_engine([&](engine::Engine& engine) {
          digest = engine.digest();
          record = service.data()->last_number();
        });
        char text[17];
        std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest));
        JsonWriter json(out.body());
        json.begin_object().key("digest").string(text).key("record").uinteger(record).end_object();
        out.append("\n");
      },
      route(kReaders, 0));
  server.post(
      "/v1/retain",
      [this](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 1> kKeys = {"now"};
        auto body = JsonBody::read(in.body().empty() ? "{}" : in.body(), kKeys);
        if (!body) return answer(body.error(), out);
        auto now = body->time_ms("now", service.now_ms(), service.now_ms());
        if (!now) return answer(now.error(), out);
        soon(out, [this, now_ms = *now](std::string& text) -> base::Status {
          TAMIS_CHECK(service.flush());
          TAMIS_TRY(report, service.retain(now_ms));
          replay::write_json(report, text);
          text += '\n';
          return {};
        });
      },
      route(Role::kAdmin, kSmallBodyBytes));
  server.post(
      "/v1/checkpoint",
      [this](const Request&, Response& out) {
        soon(out, [this](std::string& text) -> base::Status {
          TAMIS_CHECK(service.checkpoint());
          JsonWriter json(text);
          json.begin_object().key("record").uinteger(service.data()->last_snapshot()).end_object();
          text += '\n';
          return {};
        });
      },
      route(Role::kAdmin, kSmallBodyBytes));
}

}  // namespace tamis::door
