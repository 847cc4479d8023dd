#include "door/support_api.h"

#include <array>
#include <mutex>

#include "door/http_answer.h"
#include "door/json_body.h"
#include "door/mail_service.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/erase.h"
#include "replay/keys.h"
#include "replay/standing.h"

namespace tamis::door {

using engine::Act;
using engine::Engine;
using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kSmallBodyBytes = 64 << 10;
constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;

// What a caller may see: support agents not what analysts see.
base::Result<replay::Reader> reader_for(const Desk::Caller& caller, const std::optional<std::string>& wanted) {
  bool is_analyst = caller.roles.has(Role::kAnalyst);
  if (!wanted) return is_analyst ? replay::Reader::kAnalyst : replay::Reader::kSupport;
  TAMIS_TRY(reader, replay::reader_named(*wanted));
  if (reader != replay::Reader::kAnalyst || is_analyst) return reader;
  return base::fail(base::Code::kDenied, "?for=analyst: this needs the role analyst");
}

// What a release is asked to take back.
struct Wanted {
  std::string on, value, label, list, reason;
};

bool is_wanted(const Wanted& wanted, const replay::Mark& mark) {
  if (!wanted.label.empty()) return mark.list.empty() && mark.name == wanted.label;
  if (!wanted.list.empty()) return mark.list == wanted.list;
  return true;
}

void write_mark(const replay::Mark& mark, std::string_view why, JsonWriter& json) {
  json.begin_object();
  mark.list.empty() ? json.key("label").string(mark.name) : json.key("list").string(mark.list);
  json.key("on").string(mark.on).key("value").string(mark.value).key("by").string(mark.by);
  if (!why.empty()) json.key("why").string(why);
  json.end_object();
}

}  // namespace

struct SupportApi::Impl {
  Impl(Desk& d, action::Batches* b) : desk(d), batches(b) {}

  Desk& desk;
  action::Batches* batches;
  std::mutex erase_mutex;  // one at a time

  // Counts of what lies beside the data folder's own parts.
  struct Beside {
    uint64_t batch_items = 0, notices = 0, mail = 0;
  };
  base::Status erase_beside(const std::string& value, Beside& beside);
  void finish_erasure();

  void add_why_route(net::HttpServer& server, const MakeRoute& route);
  void add_release_route(net::HttpServer& server, const MakeRoute& route);
  void add_erase_route(net::HttpServer& server, const MakeRoute& route);

  base::Result<replay::Standing> standing(const std::string& on, const std::string& value) {
    TAMIS_TRY(policy, desk.policy());
    replay::DataFolder* data = desk.service().data();
    replay::StandingOptions options;
    if (data != nullptr) {
      TAMIS_CHECK(desk.service().flush());
      options.day_keys = replay::kept_keys(data->path());
    }
    return replay::find_standing(*policy, data == nullptr ? nullptr : &data->archive(), desk.service().engine_access(),
                                 on, value, options);
  }
  base::Status release(const Desk::Caller& caller, const Wanted& wanted, std::string& text);
  base::Status erase(const Desk::Caller& caller, const std::string& on, const std::string& value,
                     const std::string& reason, std::string& text);
};

SupportApi::SupportApi(net::HttpServer& server, Desk& desk, action::Batches* batches, const MakeRoute& route)
    : impl_(std::make_unique<Impl>(desk, batches)) {
  impl_->finish_erasure();
  impl_->add_why_route(server, route);
  impl_->add_release_route(server, route);
  impl_->add_erase_route(server, route);
}

SupportApi::~SupportApi() = default;

void SupportApi::Impl::add_why_route(net::HttpServer& server, const MakeRoute& route) {
  server.get(
      "/v1/why/{kind}/{value...}",
      [this](const Request& in, Response& out) {
        Desk::Caller caller = Desk::caller_of(in);
        auto reader = reader_for(caller, in.query_value("for"));
        if (!reader) return answer(reader.error(), out);
        desk.soon(out,
                  [this, caller, reader = *reader, on = std::string(in.param(0)),
                   value = std::string(in.param(1))](std::string& text) -> base::Status {
                    TAMIS_TRY(found, standing(on, value));
                    TAMIS_CHECK(desk.note_look(caller, "why.look", on, found.value));
                    replay::write_json(found, reader, text);
                    text += '\n';
                    return {};
                  });
      },
      route(kReaders, 0));
}

void SupportApi::Impl::add_release_route(net::HttpServer& server, const MakeRoute& route) {
  server.post(
      "/v1/release",
      [this](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 5> kKeys = {"on", "value", "label", "list", "reason"};
        auto body = JsonBody::read(in.body(), kKeys);
        if (!body) return answer(body.error(), out);
        Desk::Caller caller = Desk::caller_of(in);
        auto on = body->needed_text("on"), value = body->needed_text("value");
        auto label = body->text("label"), list = body->text("list"), reason = body->text("reason", caller.reason);
        for (const auto* text : {&on, &value, &label, &list, &reason}) {
          if (!*text) return answer(text->error(), out);
        }
        if (!label->empty() && !list->empty()) {
          return answer({base::Code::kInvalid, "\"label\" and \"list\": give one of them, or none for all"}, out);
        }
        if (reason->find_first_not_of(" \t") == std::string::npos) {
          return answer({base::Code::kInvalid, "\"reason\" is missing: why it is taken back, for the audit trail"},
                        out);
        }
        desk.soon(out, [this, caller, wanted = Wanted{*on, *value, *label, *list, *reason}](std::string& text) {
          return release(caller, wanted, text);
        });
      },
      route(kReaders, kSmallBodyBytes));
}

base::Status SupportApi::Impl::release(const Desk::Caller& caller, const Wanted& wanted, std::string& text) {
  TAMIS_TRY(found, standing(wanted.on, wanted.value));
  std::vector<replay::Mark> released;
  std::vector<std::pair<replay::Mark, std::string>> kept;
  std::vector<replay::Mark> marks = found.labels;
  marks.insert(marks.end(), found.entries.begin(), found.entries.end());
  for (const replay::Mark& mark : marks) {
    if (!is_wanted(wanted, mark)) continue;
    if (mark.of_policy) {
      kept.emplace_back(mark, "it is an entry of the policy's own files, and is changed there");
      continue;
    }
    if (!mark.list.empty() && mark.value != found.value) {
      kept.emplace_back(mark, "the entry is for more than this: others would be released with it");
      continue;
    }
    Act act;
    act.kind = mark.list.empty() ? Act::Kind::kLabelClear : Act::Kind::kListRemove;
    act.list = mark.list;
    if (mark.list.empty()) act.entity_kind = found.on;
    act.value = found.value;
    act.name = mark.name;
    act.author = caller.name;
    act.reason = wanted.reason;
    act.since_ms = desk.service().now_ms();
    base::Status done = desk.service().act_soon(act);
    if (done) {
      released.push_back(mark);
    } else if (done.error().code == base::Code::kUnavailable) {
      return done;
    } else {
      kept.emplace_back(mark, done.error().message);
    }
  }
  if (released.empty() && kept.empty()) {
    return base::fail(base::Code::kNotFound,
                      "nothing " + std::string(wanted.label.empty() && wanted.list.empty() ? "" : "of that name ") +
                          "is in force on " + wanted.on + " " + found.value);
  }
  JsonWriter json(text);
  json.begin_object().key("on").string(found.on).key("value").string(found.value).key("released").begin_array();
  for (const replay::Mark& mark : released) write_mark(mark, {}, json);
  json.end_array().key("kept").begin_array();
  for (const auto& [mark, why] : kept) write_mark(mark, why, json);
  json.end_array().key("around").begin_array();
  for (const replay::Mark& mark : found.around) write_mark(mark, {}, json);
  json.end_array().end_object();
  action::AuditEntry entry;
  entry.what = "entity.release";
  entry.on = found.on;
  entry.value = found.value;
  entry.why = wanted.reason;
  entry.detail = text;
  text += '\n';
  TAMIS_CHECK(desk.service().sync());
  return desk.note_change(caller, std::move(entry));
}

void SupportApi::Impl::add_erase_route(net::HttpServer& server, const MakeRoute& route) {
  server.post(
      "/v1/erase",
      [this](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 3> kKeys = {"on", "value", "reason"};
        auto body = JsonBody::read(in.body(), kKeys);
        if (!body) return answer(body.error(), out);
        Desk::Caller caller = Desk::caller_of(in);
        auto on = body->needed_text("on"), value = body->needed_text("value");
        auto reason = body->text("reason", caller.reason);
        for (const auto* text : {&on, &value, &reason}) {
          if (!*text) return answer(text->error(), out);
        }
        if (reason->empty()) return answer({base::Code::kInvalid, "\"reason\" is missing, for the audit trail"}, out);
        desk.soon_slow(out, [this, caller, on = *on, value = *value, reason = *reason](std::string& text) {
          return erase(caller, on, value, reason, text);
        });
      },
      route(Role::kAdmin, kSmallBodyBytes));
}

base::Status SupportApi::Impl::erase_beside(const std::string& value, Beside& beside) {
  if (batches != nullptr) {
    TAMIS_TRY(items, batches->erase(value));
    beside.batch_items += items;
  }
  if (action::Outbox* outbox = desk.service().outbox(); outbox != nullptr) {
    TAMIS_TRY(dropped, outbox->erase(value));
    beside.notices += dropped;
  }
  if (MailService* mail = desk.mail(); mail != nullptr && desk.service().data() != nullptr) {
    TAMIS_TRY(events, replay::erased_events(*desk.service().data(), "mail"));
    TAMIS_TRY(erased, mail->learner().erase(value, events, desk.service().now_ms()));
    beside.mail += erased;
  }
  return {};
}

// What a crash cut off, before anybody is served. Where it does not work (a batch runs on), the note stays, and the
// next start or the next erasure comes to it again.
void SupportApi::Impl::finish_erasure() {
  replay::DataFolder* data = desk.service().data();
  if (data == nullptr) return;
  auto value = replay::erasure_to_finish(*data);
  if (!value || value->empty()) return;
  Beside beside;
  if (!erase_beside(*value, beside)) return;
  action::AuditEntry entry;
  entry.who = "server";
  entry.what = "entity.erase";
  entry.detail = "finished at the start: " + std::to_string(beside.batch_items) + " items of batches, " +
                 std::to_string(beside.notices) + " notices";
  if (data->audit().append(entry, action::Audit::Durability::kDurable)) (void)replay::erasure_finished(*data);
}

base::Status SupportApi::Impl::erase(const Desk::Caller& caller, const std::string& on, const std::string& value,
                                     const std::string& reason, std::string& text) {
  std::lock_guard one(erase_mutex);
  TAMIS_TRY(data, desk.data());
  TAMIS_TRY(policy, desk.policy());
  TAMIS_CHECK(replay::check_kind(*policy, on));
  TAMIS_TRY(canonical, replay::canonical_value(on, value));
  if (reason.find(canonical) != std::string::npos) {
    return base::invalid("\"reason\" names the value itself, and would keep it in the audit trail");
  }
  // A beginning without an end in the trail is an erasure that a crash cut off: it is to be asked for again.
  action::AuditEntry entry;
  entry.what = "entity.erase_begin";
  entry.on = on;
  entry.why = reason;
  TAMIS_CHECK(desk.note_change(caller, entry));
  replay::EraseOptions options;
  options.key_of_day = [data](std::string_view day) { return replay::key_of_day(data->path(), day); };
  Beside beside;
  options.rest = [&](const std::string& subject) { return erase_beside(subject, beside); };
  TAMIS_TRY(report, replay::erase_entity(*data, desk.service().engine_access(), policy, on, canonical, options));
  JsonWriter json(text);
  json.begin_object().key("batch_items").uinteger(beside.batch_items).key("notices").uinteger(beside.notices);
  json.key("mail").uinteger(beside.mail);
  json.key("labels").uinteger(report.labels).key("list_entries").uinteger(report.list_entries);
  json.key("feature_keys").uinteger(report.feature_keys).key("others_keys").uinteger(report.others_keys);
  json.key("journal_records").uinteger(report.journal_records);
  json.key("journal_segments").uinteger(report.journal_segments).key("archive_rows").uinteger(report.archive_rows);
  json.key("audit_lines").uinteger(report.audit_lines).key("snapshots").uinteger(report.snapshots);
  json.key("snapshot").uinteger(report.snapshot).key("policies").begin_array();
  for (const std::string& version : report.policies) json.string(version);
  json.end_array().end_object();
  entry.what = "entity.erase";
  entry.detail = text;
  text += '\n';
  return desk.note_change(caller, std::move(entry));
}

}  // namespace tamis::door
