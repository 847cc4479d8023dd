#include "door/record_api.h"

#include <algorithm>
#include <map>

#include "base/diff.h"
#include "base/file.h"
#include "door/http_answer.h"
#include "door/json_body.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/records.h"

namespace tamis::door {

using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;
constexpr uint64_t kPageMax = 10'000;
constexpr size_t kActivationsMax = 10'000;

void write_line(const action::AuditLine& line, JsonWriter& json) {
  json.begin_object().key("n").uinteger(line.n).key("time").string(event::format_time_ms(line.time_ms));
  json.key("who").string(line.who).key("what").string(line.what);
  auto put = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) json.key(key).string(text);
  };
  put("on", line.on);
  put("value", line.value);
  put("why", line.why);
  put("detail", line.detail);
  if (line.erased) json.key("erased").boolean(true);
  json.key("hash").string(line.hash).end_object();
}

}  // namespace

struct RecordApi::Impl {
  Desk& desk;

  replay::DataFolder& data() { return *desk.service().data(); }

  void add_policy_routes(net::HttpServer& server, const MakeRoute& route);
  void add_audit_routes(net::HttpServer& server, const MakeRoute& route);
  void add_change_routes(net::HttpServer& server, const MakeRoute& route);
  base::Status list_policies(std::string& text);
  base::Status show_policy(const std::string& version, std::string& text);
  base::Status compare(const std::string& a, const std::string& b, std::string& text);
  base::Status activate(const Desk::Caller& caller, const std::string& version, std::string& text);
  base::Status read_audit(const action::AuditFilter& filter, std::string& text);
  base::Status verify(std::string& text);
  base::Status changes(uint64_t after, uint64_t limit, std::string& text);
  // Versions that are kept, with when they were.
  base::Result<std::map<std::string, int64_t>> kept();
  // "current", or enough digits to tell it from the others.
  base::Result<std::string> version_named(const std::string& name);
};

RecordApi::RecordApi(net::HttpServer& server, Desk& desk, const MakeRoute& route) : impl_(new Impl{desk}) {
  impl_->add_policy_routes(server, route);
  impl_->add_audit_routes(server, route);
  impl_->add_change_routes(server, route);
}

RecordApi::~RecordApi() = default;

void RecordApi::Impl::add_policy_routes(net::HttpServer& server, const MakeRoute& route) {
  server.get(
      "/v1/policies",
      [this](const Request&, Response& out) {
        desk.soon(out, [this](std::string& text) { return list_policies(text); });
      },
      route(kReaders, 0));
  server.get(
      "/v1/policies/{version}",
      [this](const Request& in, Response& out) {
        desk.soon(out,
                  [this, version = std::string(in.param(0))](std::string& text) { return show_policy(version, text); });
      },
      route(kReaders, 0));
  server.get(
      "/v1/policies/{a}/diff/{b}",
      [this](const Request& in, Response& out) {
        desk.soon(out, [this, a = std::string(in.param(0)), b = std::string(in.param(1))](std::string& text) {
          return compare(a, b, text);
        });
      },
      route(kReaders, 0));
  server.post(
      "/v1/policies/{version}/activate",
      [this](const Request& in, Response& out) {
        Desk::Caller caller = Desk::caller_of(in);
        if (!in.body().empty()) {
          static constexpr std::array<std::string_view, 1> kKeys = {"reason"};
          auto body = JsonBody::read(in.body(), kKeys);
          if (!body) return answer(body.error(), out);
          auto reason = body->text("reason", caller.reason);
          if (!reason) return answer(reason.error(), out);
          caller.reason = *reason;
        }
        desk.soon_slow(out, [this, caller, version = std::string(in.param(0))](std::string& text) {
          return activate(caller, version, text);
        });
      },
      route(Role::kAnalyst, 64 << 10));
}

base::Result<std::map<std::string, int64_t>> RecordApi::Impl::kept() {
  std::map<std::string, int64_t> found;
  TAMIS_TRY(files, base::list_files(data().path() + "/policies"));
  for (const base::FoundFile& file : files) {
    std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (name.size() == 21 && name.ends_with(".json")) found[name.substr(0, 16)] = file.modified_ns / 1'000'000;
  }
  return found;
}

base::Result<std::string> RecordApi::Impl::version_named(const std::string& name) {
  if (name == "current") {
    TAMIS_TRY(policy, desk.policy());
    return policy->version;
  }
  TAMIS_TRY(versions, kept());
  std::vector<std::string> found;
  for (const auto& [version, time_ms] : versions) {
    if (name.size() >= 4 && version.starts_with(name)) found.push_back(version);
  }
  if (found.size() == 1) return found[0];
  if (found.size() > 1) return base::invalid("\"" + name + "\" begins several versions; give more of its digits");
  return base::fail(base::Code::kNotFound,
                    "there is no version \"" + name.substr(0, 64) + "\" of the policy; GET /v1/policies has them all");
}

base::Status RecordApi::Impl::list_policies(std::string& text) {
  TAMIS_TRY(versions, kept());
  TAMIS_TRY(current, desk.policy());
  action::AuditFilter filter;
  filter.what = "policy.activate";
  filter.limit = kActivationsMax;
  TAMIS_TRY(page, data().audit().read(filter));
  struct Version {
    std::string version;
    int64_t kept_ms;
    const action::AuditLine* last = nullptr;
    uint64_t activations = 0;
  };
  std::vector<Version> all;
  for (const auto& [version, time_ms] : versions) {
    Version& v = all.emplace_back(Version{version, time_ms, nullptr, 0});
    for (const action::AuditLine& line : page.lines) {
      if (line.value != version) continue;
      ++v.activations;
      if (v.last == nullptr) v.last = &line;
    }
  }
  auto newest = [](const Version& v) { return v.last == nullptr ? v.kept_ms : v.last->time_ms; };
  std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return newest(a) > newest(b); });
  JsonWriter json(text);
  json.begin_object().key("current").string(current->version).key("policies").begin_array();
  for (const Version& v : all) {
    json.begin_object().key("version").string(v.version).key("current").boolean(v.version == current->version);
    json.key("kept").string(event::format_time_ms(v.kept_ms)).key("activated");
    v.last == nullptr ? json.null() : json.string(event::format_time_ms(v.last->time_ms));
    json.key("by").string(v.last == nullptr ? "" : v.last->who).key("activations").uinteger(v.activations).end_object();
  }
  json.end_array().end_object();
  text += '\n';
  return {};
}

base::Status RecordApi::Impl::show_policy(const std::string& name, std::string& text) {
  TAMIS_TRY(version, version_named(name));
  TAMIS_TRY(files, replay::kept_policy(data().path(), version));
  JsonWriter json(text);
  json.begin_object().key("version").string(version).key("files").begin_object();
  for (const policy::SourceFile& file : files) json.key(file.name).string(file.text);
  json.end_object().end_object();
  text += '\n';
  return {};
}

base::Status RecordApi::Impl::compare(const std::string& a, const std::string& b, std::string& text) {
  TAMIS_TRY(from, version_named(a));
  TAMIS_TRY(to, version_named(b));
  TAMIS_TRY(before, replay::kept_policy(data().path(), from));
  TAMIS_TRY(after, replay::kept_policy(data().path(), to));
  std::map<std::string, std::pair<const std::string*, const std::string*>> files;
  for (const policy::SourceFile& file : before) files[file.name].first = &file.text;
  for (const policy::SourceFile& file : after) files[file.name].second = &file.text;
  JsonWriter json(text);
  json.begin_object().key("from").string(from).key("to").string(to).key("files").begin_array();
  for (const auto& [name, texts] : files) {
    auto [old, young] = texts;
    if (old != nullptr && young != nullptr && *old == *young) continue;
    json.begin_object().key("name").string(name);
    json.key("change").string(old == nullptr ? "added" : young == nullptr ? "removed" : "changed");
    json.key("diff").string(
        (old == nullptr ? "--- /dev/null\n" : "--- a/" + name + "\n") +
        (young == nullptr ? "+++ /dev/null\n" : "+++ b/" + name + "\n") +
        base::unified_diff(old == nullptr ? std::string_view() : *old, young == nullptr ? std::string_view() : *young));
    json.end_object();
  }
  json.end_array().end_object();
  text += '\n';
  return {};
}

base::Status RecordApi::Impl::activate(const Desk::Caller& caller, const std::string& name, std::string& text) {
  TAMIS_TRY(version, version_named(name));
  TAMIS_TRY(before, desk.policy());
  TAMIS_TRY(files, replay::kept_policy(data().path(), version));
  policy::Loaded loaded = desk.service().activate(files, caller.name);
  if (loaded.policy == nullptr) {
    std::string reason = loaded.diagnostics.empty() ? "it does not compile" : loaded.diagnostics[0].message;
    return base::invalid("version " + version + " cannot decide any more: " + reason);
  }
  action::AuditEntry entry;
  entry.what = "policy.roll_back";
  entry.on = "policy";
  entry.value = version;
  entry.detail = "{\"before\":\"" + before->version + "\"}";
  JsonWriter json(text);
  json.begin_object().key("policy").string(version).key("before").string(before->version);
  json.key("changed").boolean(before->version != version).end_object();
  text += '\n';
  return desk.note_change(caller, std::move(entry));
}

void RecordApi::Impl::add_audit_routes(net::HttpServer& server, const MakeRoute& route) {
  server.get(
      "/v1/audit",
      [this](const Request& in, Response& out) {
        action::AuditFilter filter;
        filter.who = in.query_value("who").value_or("");
        filter.what = in.query_value("what").value_or("");
        filter.on = in.query_value("on").value_or("");
        filter.value = in.query_value("value").value_or("");
        auto limit = query_number(in, "limit", 100, 1, kPageMax);
        auto before = query_number(in, "before", UINT64_MAX, 1, UINT64_MAX);
        if (!limit) return answer(limit.error(), out);
        if (!before) return answer(before.error(), out);
        filter.limit = static_cast<size_t>(*limit);
        filter.before_n = *before;
        if (auto since = in.query_value("since")) {
          auto time = read_time_ms(*since, desk.service().now_ms());
          if (!time) return answer({time.error().code, "?since=: " + time.error().message}, out);
          filter.since_ms = *time;
        }
        desk.soon(out, [this, filter](std::string& text) { return read_audit(filter, text); });
      },
      route(Role::kAdmin, 0));
  server.get(
      "/v1/audit/verify",
      [this](const Request&, Response& out) {
        desk.soon_slow(out, [this](std::string& text) { return verify(text); });
      },
      route(Role::kAdmin, 0));
}

base::Status RecordApi::Impl::read_audit(const action::AuditFilter& filter, std::string& text) {
  TAMIS_TRY(page, data().audit().read(filter));
  JsonWriter json(text);
  json.begin_object().key("lines").begin_array();
  for (const action::AuditLine& line : page.lines) write_line(line, json);
  json.end_array().key("next");
  page.next_before_n == 0 ? json.null() : json.string(std::to_string(page.next_before_n));
  json.end_object();
  text += '\n';
  return {};
}

base::Status RecordApi::Impl::verify(std::string& text) {
  TAMIS_CHECK(data().audit().sync());
  TAMIS_TRY(verdict, action::verify_audit(data().audit_folder()));
  JsonWriter json(text);
  json.begin_object().key("good").boolean(verdict.good).key("lines").uinteger(verdict.lines);
  json.key("erased").uinteger(verdict.erased).key("first").uinteger(verdict.first_n);
  json.key("last").uinteger(verdict.head.n).key("hash").string(verdict.head.hash);
  if (!verdict.good) json.key("where").string(verdict.where).key("what").string(verdict.what);
  json.end_object();
  text += '\n';
  return {};
}

void RecordApi::Impl::add_change_routes(net::HttpServer& server, const MakeRoute& route) {
  server.get(
      "/v1/changes",
      [this](const Request& in, Response& out) {
        auto after = query_number(in, "after", 0, 0, UINT64_MAX);
        auto limit = query_number(in, "limit", 1'000, 1, kPageMax);
        if (!after) return answer(after.error(), out);
        if (!limit) return answer(limit.error(), out);
        desk.soon(out,
                  [this, after = *after, limit = *limit](std::string& text) { return changes(after, limit, text); });
      },
      route(Role::kAnalyst | Role::kDecide, 0));
}

base::Status RecordApi::Impl::changes(uint64_t after, uint64_t limit, std::string& text) {
  TAMIS_CHECK(desk.service().flush());
  const uint64_t upto = data().archive().stats().upto;
  archive::QueryLimits limits;
  limits.rows_max = limit + 1;
  TAMIS_TRY(table, data().archive().query("SELECT n, epoch_ms(time), act, kind, value, name, list, author, reason, "
                                          "epoch_ms(expires), batch FROM acts WHERE act <> 'truth' AND n > " +
                                              std::to_string(after) + " AND n <= " + std::to_string(upto) +
                                              " ORDER BY n LIMIT " + std::to_string(limit),
                                          limits, [] { return true; }));
  JsonWriter json(text);
  json.begin_object().key("changes").begin_array();
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const std::vector<std::string>& row = table.rows[r];
    auto time_of = [](const std::string& ms) { return event::format_time_ms(std::strtoll(ms.c_str(), nullptr, 10)); };
    // A label on "event:TYPE" is the verdict in force of an event that was decided otherwise.
    bool is_revision = row[3].starts_with("event:");
    bool is_set = row[2].ends_with("_set") || row[2].ends_with("_add") || row[2].ends_with("_restore");
    json.begin_object().key("n").raw(row[0]).key("time").string(time_of(row[1]));
    json.key("change").string(is_revision ? "revision" : row[6].empty() ? "label" : "list");
    json.key("set").boolean(is_set);
    row[6].empty() ? json.key("on").string(row[3]) : json.key("list").string(row[6]);
    json.key("value").string(row[4]);
    if (!row[5].empty()) json.key("name").string(row[5]);
    json.key("by").string(row[7]);
    if (!row[8].empty()) json.key("reason").string(row[8]);
    if (!table.nulls[r][9]) json.key("expires").string(time_of(row[9]));
    if (!row[10].empty()) json.key("batch").string(row[10]);
    json.end_object();
  }
  bool is_more = table.rows.size() == limit;
  json.end_array().key("next");
  is_more ? json.raw(table.rows.back()[0]) : json.uinteger(std::max(after, upto));
  json.key("more").boolean(is_more).end_object();
  text += '\n';
  return {};
}

}  // namespace tamis::door
