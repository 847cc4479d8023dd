#include "door/marks_api.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "door/http_answer.h"
#include "door/mail_service.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/standing.h"
#include "replay/stored.h"

namespace tamis::door {

using engine::Act;
using engine::Engine;
using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;
constexpr size_t kBodyBytesMax = 64 << 20;
constexpr size_t kErrorsShownMax = 20;
constexpr uint64_t kPageMax = 10'000;

void write_time_or_null(JsonWriter& json, int64_t time_ms) {
  bool is_time = time_ms != 0 && time_ms != state::kNeverExpires;
  is_time ? json.string(event::format_time_ms(time_ms)) : json.null();
}

// What the parts of a label or an entry that are about its author have in common.
void write_author(JsonWriter& json, std::string_view author, std::string_view reason, int64_t since_ms,
                  int64_t expires_ms) {
  json.key("author").string(author).key("reason").string(reason).key("since");
  write_time_or_null(json, since_ms);
  json.key("expires");
  write_time_or_null(json, expires_ms);
}

void write_entry(JsonWriter& json, const state::ListEntry& entry, bool of_policy) {
  json.begin_object().key("value").string(entry.value).key("of").string(of_policy ? "policy" : "run_time");
  write_author(json, entry.author, entry.note, entry.since_ms, entry.expires_ms);
  json.end_object();
}

std::string_view kind_text(state::ListKind kind) {
  constexpr std::array<std::string_view, 5> kNames = {"string", "int", "network", "regex", "domain"};
  return kNames[static_cast<size_t>(kind)];
}

// A truth as people send it: {"on", "value", "label", "source", "time", "reason"}, as the act that the engine takes;
// with a label of null it takes back what the source said.
base::Result<std::string> act_of_truth(std::string_view line) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kKeys = {{{"on", "on"},
                                                                                          {"value", "value"},
                                                                                          {"label", "name"},
                                                                                          {"source", "author"},
                                                                                          {"time", "since"},
                                                                                          {"reason", "reason"}}};
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = line.size() + 1;
  TAMIS_TRY(object, event::JsonReader::to_value(line, arena, limits));
  if (!object.is(event::Kind::kMap)) return base::invalid("expected a JSON object");
  std::string out;
  JsonWriter json(out);
  const event::Value* label = event::map_find(*object.map, event::Value::string("label"));
  const bool clears = label != nullptr && label->is(event::Kind::kNull);
  json.begin_object().key("act").string(clears ? "truth_clear" : "truth");
  for (uint32_t i = 0; i < object.map->size; ++i) {
    const event::MapEntry& entry = object.map->entries[i];
    auto found = std::find_if(kKeys.begin(), kKeys.end(), [&](const auto& k) { return k.first == entry.key.str(); });
    if (found == kKeys.end()) {
      return base::invalid("unknown key \"" + std::string(entry.key.str().substr(0, 64)) +
                           "\"; a truth has on, value, label, source, time, reason");
    }
    if (!clears || found->first != "label") json.key(found->second).value(entry.value);
  }
  json.end_object();
  return out;
}

struct Names {
  std::string_view what;
  std::string on;
};
Names names_of(const Act& act) {
  switch (act.kind) {
    case Act::Kind::kListAdd:
      return {"list.add", "list:" + act.list};
    case Act::Kind::kListRemove:
      return {"list.remove", "list:" + act.list};
    case Act::Kind::kListRestore:
      return {"list.restore", "list:" + act.list};
    case Act::Kind::kLabelSet:
      return {"label.set", act.entity_kind};
    case Act::Kind::kLabelClear:
      return {"label.clear", act.entity_kind};
    case Act::Kind::kLabelRestore:
      return {"label.restore", act.entity_kind};
    case Act::Kind::kTruth:
      return {"truth.add", act.entity_kind};
    case Act::Kind::kTruthClear:
      return {"truth.clear", act.entity_kind};
  }
  return {"act", {}};
}

}  // namespace

struct MarksApi::Impl {
  Desk& desk;

  base::Result<Act> read_act(const Desk::Caller& caller, std::string_view line, std::string_view list, bool truth) {
    std::string truth_json;
    if (truth) {
      TAMIS_TRY(converted, act_of_truth(line));
      truth_json = std::move(converted);
      line = truth_json;
    }
    TAMIS_TRY(act, engine::parse_act(line, desk.service().now_ms(), list));
    const bool is_truth = act.is_truth();
    if (is_truth != truth) return base::invalid(truth ? "expected a truth" : "truth goes to /v1/truth");
    if (act.kind == Act::Kind::kListRestore || act.kind == Act::Kind::kLabelRestore || !act.batch.empty()) {
      return base::invalid("acts of batches are not made by hand");
    }
    // Who did it is who is asking. A source of truth is a name of its own ("chargebacks"), and an administrator may
    // bring in what others did elsewhere.
    if (act.author.empty() || (!is_truth && !caller.is_admin())) act.author = caller.name;
    if (act.reason.empty()) act.reason = caller.reason;
    if (!act.is_on_list()) respell(act);
    return act;
  }

  // Events have an address in one spelling, so what is said of it is said of that. A label that lies under another one
  // (kept from before there was one) is taken away there.
  void respell(Act& act) {
    std::string value = replay::one_spelling(act.entity_kind, act.value);
    bool lies = false;
    if (value != act.value && act.kind == Act::Kind::kLabelClear) {
      desk.service().with_engine([&](Engine& engine) {
        for (const state::Label& label : engine.labels(act.entity_kind, act.value)) lies |= label.name == act.name;
      });
    }
    if (!lies) act.value = std::move(value);
  }

  base::Status do_act(const Desk::Caller& caller, const Act& act) {
    if (!act.is_on_list()) {
      TAMIS_TRY(policy, desk.policy());
      TAMIS_CHECK(replay::check_kind(*policy, act.entity_kind));
    }
    TAMIS_CHECK(desk.service().act_soon(act));
    action::AuditEntry entry;
    Names names = names_of(act);
    entry.what = names.what;
    entry.on = std::move(names.on);
    entry.value = act.value;
    entry.why = act.reason;
    JsonWriter json(entry.detail);
    json.begin_object();
    if (!act.name.empty()) json.key("name").string(act.name);
    if (act.author != caller.name) json.key("author").string(act.author);
    if (act.expires_ms != state::kNeverExpires) json.key("expires").string(event::format_time_ms(act.expires_ms));
    json.end_object();
    if (entry.detail == "{}") entry.detail.clear();
    return desk.note_soon(caller, std::move(entry));
  }

  // One act, or NDJSON of many: {"ok":true} and the error of the one, or how many were done, with the first errors.
  void take(const Request& in, Response& out, std::string list, bool truth) {
    bool many = in.content_type().substr(0, 20) == "application/x-ndjson";
    desk.soon(out,
              [this, caller = Desk::caller_of(in), body = std::string(in.body()), list = std::move(list), truth,
               many](std::string& text) -> base::Status {
                if (truth) {
                  TAMIS_TRY(data, desk.data());
                  (void)data;
                }
                return many ? take_many(caller, body, list, truth, text) : take_one(caller, body, list, truth, text);
              });
  }

  // Truth about a message teaches the spam model. True: it did; false: there is nothing to learn from, any more or at
  // all. The truth stands in either case.
  base::Result<bool> learn(const Act& act) {
    if (desk.mail() == nullptr || !act.is_truth() || act.entity_kind != "event:mail") return false;
    base::Status learned = desk.mail()->learn_truth(act.value, act.name, act.author);
    if (learned) return true;
    if (learned.error().code == base::Code::kNotFound) return false;
    return base::fail(learned.error().code, "done, but not learned: " + learned.error().message);
  }

  base::Status take_one(const Desk::Caller& caller, std::string_view body, std::string_view list, bool truth,
                        std::string& text) {
    TAMIS_TRY(act, read_act(caller, body, list, truth));
    TAMIS_CHECK(do_act(caller, act));
    TAMIS_TRY(learned, learn(act));
    TAMIS_CHECK(sync());
    text = learned ? "{\"ok\":true,\"learned\":true}\n" : "{\"ok\":true}\n";
    return {};
  }

  base::Status take_many(const Desk::Caller& caller, std::string_view body, std::string_view list, bool truth,
                         std::string& text) {
    uint64_t done = 0, refused = 0, number = 0;
    std::vector<std::pair<uint64_t, std::string>> errors;
    while (!body.empty()) {
      size_t end = std::min(body.find('\n'), body.size());
      std::string_view line = body.substr(0, end);
      body.remove_prefix(std::min(end + 1, body.size()));
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      auto act = read_act(caller, line, list, truth);
      base::Status status = act ? do_act(caller, *act) : base::Status(tl::unexpected(act.error()));
      if (status) {
        TAMIS_CHECK(learn(*act));
        ++done;
        continue;
      }
      if (status.error().code == base::Code::kUnavailable) return status;
      ++refused;
      if (errors.size() < kErrorsShownMax) errors.emplace_back(number, status.error().message);
    }
    TAMIS_CHECK(sync());
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(refused == 0).key("done").uinteger(done).key("refused").uinteger(refused);
    json.key("errors").begin_array();
    for (const auto& [line, message] : errors) {
      json.begin_object().key("line").uinteger(line).key("message").string(message).end_object();
    }
    json.end_array().end_object();
    text += '\n';
    return {};
  }

  base::Status sync() {
    base::Status durable = desk.service().sync();
    if (!durable) {
      return base::fail(base::Code::kUnavailable, "done, but not on disk yet: " + durable.error().message);
    }
    if (desk.mail() != nullptr) TAMIS_CHECK(desk.mail()->learner().sync());
    return desk.sync_notes();
  }

  void add_label_routes(net::HttpServer& server, const MakeRoute& route);
  void add_list_routes(net::HttpServer& server, const MakeRoute& route);
  void add_truth_routes(net::HttpServer& server, const MakeRoute& route);
  base::Status list_labels(uint64_t after, size_t limit, const std::string& on, const std::string& name,
                           std::string& text);
  base::Status list_lists(std::string& text);
  base::Status list_entries(const std::string& list, bool of_policy, uint64_t after, size_t limit, std::string& text);
  base::Status show_truth(const std::string& on, const std::string& value, std::string& text);
};

MarksApi::MarksApi(net::HttpServer& server, Desk& desk, const MakeRoute& route) : impl_(new Impl{desk}) {
  impl_->add_label_routes(server, route);
  impl_->add_list_routes(server, route);
  impl_->add_truth_routes(server, route);
}

MarksApi::~MarksApi() = default;

void MarksApi::Impl::add_label_routes(net::HttpServer& server, const MakeRoute& route) {
  server.post(
      "/v1/labels", [this](const Request& in, Response& out) { take(in, out, {}, false); },
      route(Role::kAnalyst, kBodyBytesMax));
  server.get(
      "/v1/labels",
      [this](const Request& in, Response& out) {
        auto after = query_number(in, "after", 0, 0, UINT64_MAX);
        auto limit = query_number(in, "limit", 1'000, 1, kPageMax);
        if (!after) return answer(after.error(), out);
        if (!limit) return answer(limit.error(), out);
        desk.soon(out,
                  [this, caller = Desk::caller_of(in), after = *after, limit = static_cast<size_t>(*limit),
                   on = in.query_value("on").value_or(""),
                   name = in.query_value("name").value_or("")](std::string& text) -> base::Status {
                    TAMIS_CHECK(desk.note_look(caller, "label.list", on, {}));
                    return list_labels(after, limit, on, name, text);
                  });
      },
      route(kReaders, 0));
  server.get(
      "/v1/labels/{kind}/{value...}",
      [this](const Request& in, Response& out) {
        auto policy = desk.policy();
        if (!policy) return answer(policy.error(), out);
        if (auto known = replay::check_kind(**policy, in.param(0)); !known) return answer(known.error(), out);
        auto noted = desk.note_look(Desk::caller_of(in), "label.look", in.param(0), in.param(1));
        if (!noted) return answer(noted.error(), out);
        std::vector<state::Label> labels;
        const std::string value = replay::one_spelling(in.param(0), in.param(1));
        desk.service().with_engine([&](Engine& engine) {
          labels = engine.labels(in.param(0), value);
          if (value == in.param(1)) return;
          for (state::Label& label : engine.labels(in.param(0), in.param(1))) labels.push_back(std::move(label));
        });
        JsonWriter json(out.body());
        json.begin_object().key("labels").begin_array();
        for (const state::Label& label : labels) {
          json.begin_object().key("name").string(label.name);
          write_author(json, label.author, label.reason, label.since_ms, label.expires_ms);
          json.end_object();
        }
        json.end_array().end_object();
        out.append("\n");
      },
      route(kReaders, 0));
}

base::Status MarksApi::Impl::list_labels(uint64_t after, size_t limit, const std::string& on, const std::string& name,
                                         std::string& text) {
  TAMIS_TRY(policy, desk.policy());
  if (!on.empty()) TAMIS_CHECK(replay::check_kind(*policy, on));
  JsonWriter json(text);
  json.begin_object().key("labels").begin_array();
  uint64_t next = after;
  size_t shown = 0;
  // A filter may pass over much: the engine is asked for short pages, so that decisions do not wait.
  constexpr size_t kStep = 500;
  do {
    desk.service().with_engine([&](Engine& engine) {
      next = engine.visit_labels(next, std::min(kStep, limit - shown), [&](auto kind, auto value, const auto& label) {
        if ((!on.empty() && kind != on) || (!name.empty() && label.name != name)) return;
        ++shown;
        json.begin_object().key("on").string(kind).key("value").string(value).key("name").string(label.name);
        write_author(json, label.author, label.reason, label.since_ms, label.expires_ms);
        json.end_object();
      });
    });
  } while (next != 0 && shown < limit);
  json.end_array().key("next");
  next == 0 ? json.null() : json.string(std::to_string(next));
  json.end_object();
  text += '\n';
  return {};
}

void MarksApi::Impl::add_list_routes(net::HttpServer& server, const MakeRoute& route) {
  server.post(
      "/v1/lists/{name}", [this](const Request& in, Response& out) { take(in, out, std::string(in.param(0)), false); },
      route(Role::kAnalyst, kBodyBytesMax));
  server.get(
      "/v1/lists",
      [this](const Request&, Response& out) { desk.soon(out, [this](std::string& text) { return list_lists(text); }); },
      route(kReaders, 0));
  server.get(
      "/v1/lists/{name}",
      [this](const Request& in, Response& out) {
        auto after = query_number(in, "after", 0, 0, UINT64_MAX);
        auto limit = query_number(in, "limit", 1'000, 1, kPageMax);
        std::string of = in.query_value("of").value_or("run_time");
        if (!after) return answer(after.error(), out);
        if (!limit) return answer(limit.error(), out);
        if (of != "run_time" && of != "policy") {
          return answer({base::Code::kInvalid, "?of=: expected run_time or policy"}, out);
        }
        desk.soon(out,
                  [this, caller = Desk::caller_of(in), list = std::string(in.param(0)), of_policy = of == "policy",
                   after = *after, limit = static_cast<size_t>(*limit)](std::string& text) -> base::Status {
                    TAMIS_CHECK(desk.note_look(caller, "list.look", "list:" + list, {}));
                    return list_entries(list, of_policy, after, limit, text);
                  });
      },
      route(kReaders, 0));
}

base::Status MarksApi::Impl::list_lists(std::string& text) {
  TAMIS_TRY(policy, desk.policy());
  JsonWriter json(text);
  json.begin_object().key("lists").begin_array();
  for (const policy::ListDecl& list : policy->lists) {
    uint64_t run_time = 0;
    base::Result<uint64_t> next = 0;
    constexpr size_t kStep = 1'000;
    do {
      desk.service().with_engine([&](Engine& engine) {
        next = engine.visit_list(list.name, *next, kStep, [&](const state::ListEntry&) { ++run_time; });
      });
    } while (next && *next != 0);
    json.begin_object().key("name").string(list.name).key("kind").string(kind_text(list.kind));
    json.key("ignore_case")
        .boolean(list.ignore_case)
        .key("managed")
        .boolean(list.managed)
        .key("policy_entries")
        .uinteger(list.entries.size());
    json.key("run_time_entries").uinteger(run_time).key("doc").string(list.doc).end_object();
  }
  json.end_array().end_object();
  text += '\n';
  return {};
}

base::Status MarksApi::Impl::list_entries(const std::string& list, bool of_policy, uint64_t after, size_t limit,
                                          std::string& text) {
  TAMIS_TRY(policy, desk.policy());
  JsonWriter json(text);
  json.begin_object().key("list").string(list).key("entries").begin_array();
  base::Result<uint64_t> next = after;
  desk.service().with_engine([&](Engine& engine) {
    auto visit = [&](const state::ListEntry& entry) { write_entry(json, entry, of_policy); };
    next =
        of_policy ? engine.visit_policy_list(list, after, limit, visit) : engine.visit_list(list, after, limit, visit);
  });
  if (!next) {
    std::vector<std::string> names;
    for (const policy::ListDecl& decl : policy->lists) names.push_back(decl.name);
    std::string_view near = base::nearest(list, names);
    return base::fail(next.error().code,
                      next.error().message + (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
  }
  json.end_array().key("next");
  *next == 0 ? json.null() : json.string(std::to_string(*next));
  json.end_object();
  text += '\n';
  return {};
}

void MarksApi::Impl::add_truth_routes(net::HttpServer& server, const MakeRoute& route) {
  server.post(
      "/v1/truth", [this](const Request& in, Response& out) { take(in, out, {}, true); },
      route(kReaders, kBodyBytesMax));
  server.get(
      "/v1/truth/{on}/{value...}",
      [this](const Request& in, Response& out) {
        desk.soon(out,
                  [this, caller = Desk::caller_of(in), on = std::string(in.param(0)),
                   value = std::string(in.param(1))](std::string& text) -> base::Status {
                    TAMIS_TRY(policy, desk.policy());
                    TAMIS_CHECK(replay::check_kind(*policy, on));
                    TAMIS_CHECK(desk.note_look(caller, "truth.look", on, value));
                    return show_truth(on, value, text);
                  });
      },
      route(kReaders, 0));
}

base::Status MarksApi::Impl::show_truth(const std::string& on, const std::string& value, std::string& text) {
  TAMIS_TRY(data, desk.data());
  TAMIS_CHECK(desk.service().flush());
  const std::string of_it = "kind = " + replay::sql_text(on) + " AND value IN (" + replay::sql_text(value) + ", " +
                            replay::sql_text(replay::one_spelling(on, value)) + ")";
  TAMIS_TRY(table, data->archive().query("SELECT name, author, reason, epoch_ms(since), epoch_ms(time), act FROM acts "
                                         "WHERE act IN ('truth', 'truth_clear') AND " +
                                             of_it + " ORDER BY n DESC LIMIT 100",
                                         {}, [] { return true; }));
  TAMIS_TRY(last, data->archive().query("SELECT label FROM truth WHERE " + of_it + " ORDER BY time DESC LIMIT 1", {},
                                        [] { return true; }));
  JsonWriter json(text);
  json.begin_object().key("on").string(on).key("value").string(value).key("label");
  last.rows.empty() ? json.null() : json.string(last.rows[0][0]);
  json.key("history").begin_array();
  for (const auto& row : table.rows) {
    json.begin_object().key("label");
    row[5] == "truth" ? json.string(row[0]) : json.null();
    json.key("source").string(row[1]).key("reason").string(row[2]);
    json.key("time").string(event::format_time_ms(std::strtoll(row[3].c_str(), nullptr, 10)));
    json.key("received").string(event::format_time_ms(std::strtoll(row[4].c_str(), nullptr, 10))).end_object();
  }
  json.end_array().end_object();
  text += '\n';
  return {};
}

}  // namespace tamis::door
