#include "door/hindsight_api.h"

#include <array>
#include <map>

#include "action/batch.h"
#include "door/http_answer.h"
#include "door/json_body.h"
#include "door/service_ground.h"
#include "door/train_accounts.h"
#include "event/json_writer.h"
#include "replay/backtest.h"
#include "replay/find.h"
#include "replay/records.h"
#include "replay/retroact.h"

namespace tamis::door {

using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kBodyBytesMax = size_t{1} << 30;  // truth tables come with the request
constexpr size_t kSmallBodyBytes = 64 << 10;
constexpr int64_t kRateMax = 10'000'000;
constexpr int64_t kRoundsMax = 5000, kDepthMax = 12;  // of trees

// What looks back needs of the service, for the time of one job.
class Past {
 public:
  explicit Past(Service& service) : service_(service) {
    source.archive = &service.data()->archive();
    source.what_if = replay::journal_what_if(service.data()->path(), service.data()->intel(), source.archive);
    source.policy_of = [this](std::string_view version) -> std::shared_ptr<const policy::Policy> {
      auto [found, fresh] = policies_.emplace(version, nullptr);
      if (fresh) {
        auto policy = replay::compile_kept_policy(service_.data()->path(), found->first);
        if (policy) found->second = *policy;
      }
      return found->second;
    };
  }

  // With `faults`, a bad line of the table is noted there and takes nothing from the others.
  base::Status read_truth(const std::string& csv, const std::string& name, base::LineFaults* faults = nullptr) {
    TAMIS_CHECK(truth.add_archive(*source.archive, [] { return true; }));
    return csv.empty() ? base::Status() : truth.add_csv(name, csv, faults);
  }

  replay::MatchSource source;
  replay::Truth truth;

 private:
  Service& service_;
  std::map<std::string, std::shared_ptr<const policy::Policy>, std::less<>> policies_;
};

std::string first_error(const policy::Loaded& loaded) {
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    if (d.severity == policy::Diagnostic::Severity::kError) return policy::to_string(d);
  }
  return "the policy has errors";
}

// The policy that a request carries, or the one that decides.
base::Result<std::shared_ptr<const policy::Policy>> policy_of(const JsonBody& body, Service& service) {
  TAMIS_TRY(texts, body.text_map("files"));
  if (texts.empty()) {
    auto current = service.policy();
    if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
    return current;
  }
  std::vector<policy::SourceFile> files;
  for (auto& [name, text] : texts) files.push_back({name, text});
  policy::Loaded loaded = policy::load_files(files);
  if (loaded.policy == nullptr) return base::invalid(first_error(loaded));
  return loaded.policy;
}

struct Window {
  int64_t from_ms = INT64_MIN, to_ms = INT64_MAX;
};

// Relative times count back from the newest event of the archive.
base::Result<Window> window_of(const JsonBody& body, const archive::Archive& archive) {
  int64_t newest_ms = archive.stats().newest_ms;
  Window window;
  TAMIS_TRY(from, body.time_ms("from", INT64_MIN, newest_ms));
  TAMIS_TRY(to, body.time_ms("to", INT64_MAX, newest_ms));
  if (from >= to) return base::invalid("\"from\" is not before \"to\"");
  window.from_ms = from;
  window.to_ms = to;
  return window;
}

std::string author_of(const Request& in) { return Desk::caller_of(in).name; }

}  // namespace

struct HindsightApi::Impl {
  Impl(Desk& d, Jobs& j) : desk(d), service(d.service()), jobs(j), ground(d.service()) {}

  Desk& desk;
  Service& service;
  Jobs& jobs;
  ServiceGround ground;
  std::unique_ptr<action::Batches> batches;

  // Starts a job that flushes first, so that it sees all that was decided before it was asked for.
  // Who asked for it is in the audit trail first.
  void start(std::string_view kind, const JsonBody& body, const Request& in, Response& out, Jobs::Work work) {
    action::AuditEntry entry;
    entry.what = "job." + std::string(kind);
    if (!in.param(0).empty()) {
      entry.on = "batch";
      entry.value = in.param(0);
    }
    static constexpr std::array<std::string_view, 2> kLarge = {"files", "truth"};
    entry.detail = body.without(kLarge);
    if (auto noted = desk.note_soon(Desk::caller_of(in), std::move(entry)); !noted) return answer(noted.error(), out);
    auto id = jobs.start(kind, author_of(in), service.now_ms(),
                         [this, work = std::move(work)](Jobs::Handle& handle) -> base::Result<std::string> {
                           TAMIS_CHECK(service.sync());
                           TAMIS_CHECK(service.flush());
                           return work(handle);
                         });
    if (!id) return answer(id.error(), out);
    out.set_status(202);
    JsonWriter(out.body()).begin_object().key("job").uinteger(*id).end_object();
    out.append("\n");
  }

  base::Result<std::string> run_backtest(const JsonBody& body, Jobs::Handle& handle);
  base::Result<std::string> run_find(const JsonBody& body, Jobs::Handle& handle);
  base::Result<std::string> run_train(const JsonBody& body, Jobs::Handle& handle);
  base::Result<std::string> run_act(const JsonBody& body, const std::string& author, Jobs::Handle& handle);
  base::Result<std::string> run_batch(const std::string& id, bool undo, const action::BatchRun& run,
                                      Jobs::Handle& handle);
  void add_batch_routes(net::HttpServer& server, const PastApi::MakeRoute& route);
};

HindsightApi::HindsightApi() = default;
HindsightApi::~HindsightApi() {
  if (impl_ != nullptr) impl_->service.at_retention(nullptr);
}
action::Batches& HindsightApi::batches() { return *impl_->batches; }

base::Result<std::unique_ptr<HindsightApi>> HindsightApi::open(Desk& desk, Jobs& jobs) {
  std::unique_ptr<HindsightApi> api(new HindsightApi);
  api->impl_ = std::make_unique<Impl>(desk, jobs);
  TAMIS_TRY(batches, action::Batches::open(desk.service().data()->path() + "/batches", api->impl_->ground));
  api->impl_->batches = std::move(batches);
  desk.service().at_retention([all = api->impl_->batches.get()](const replay::PastRawDays& past,
                                                                replay::RetentionReport& report) -> base::Status {
    TAMIS_TRY(items, all->forget_values(past.before_ms, [&](const action::Place& place) {
      if (place.kind == action::Place::Kind::kRevision) return false;
      const bool of_list = place.kind == action::Place::Kind::kList;
      return of_list ? past.names.has_entry(place.on, place.value) : past.names.has_kind(place.on);
    }));
    report.batch_items += items;
    return {};
  });
  return api;
}

base::Result<std::string> HindsightApi::Impl::run_backtest(const JsonBody& body, Jobs::Handle& handle) {
  Past past(service);
  TAMIS_TRY(policy, policy_of(body, service));
  TAMIS_TRY(window, window_of(body, *past.source.archive));
  TAMIS_TRY(rule, body.text("rule"));
  TAMIS_TRY(csv, body.text("truth"));
  TAMIS_TRY(samples, body.whole("samples", 5, 0, 1000));
  TAMIS_TRY(always_replay, body.flag("replay", false));
  TAMIS_TRY(class_field, body.text("class", "ip_class"));
  base::LineFaults faults;
  TAMIS_CHECK(past.read_truth(csv, "truth", &faults));
  replay::BacktestRequest request;
  request.policy = policy;
  request.rule = rule;
  request.from_ms = window.from_ms;
  request.to_ms = window.to_ms;
  request.truth = &past.truth;
  request.samples = static_cast<uint32_t>(samples);
  request.always_replay = always_replay;
  request.class_field = class_field;
  TAMIS_TRY(result, replay::backtest(request, past.source,
                                     [&](uint64_t done, uint64_t all) { return handle.progress(done, all); }));
  result.truth_faults = std::move(faults);
  std::string out;
  replay::write_json(result, out);
  return out;
}

base::Result<std::string> HindsightApi::Impl::run_find(const JsonBody& body, Jobs::Handle& handle) {
  Past past(service);
  TAMIS_TRY(window, window_of(body, *past.source.archive));
  TAMIS_TRY(expression, body.needed_text("expression"));
  TAMIS_TRY(types, body.texts("types"));
  TAMIS_TRY(facets, body.texts("facets"));
  TAMIS_TRY(rows, body.whole("rows", 20, 0, 10'000));
  auto current = service.policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  TAMIS_TRY(files, replay::kept_policy(service.data()->path(), current->version));
  replay::Search search = replay::compile_search(files, expression, types);
  if (search.policy == nullptr) {
    std::string message;
    for (const policy::Diagnostic& d : search.diagnostics) {
      if (d.severity == policy::Diagnostic::Severity::kError) message += (message.empty() ? "" : "\n") + to_string(d);
    }
    return base::invalid(message);
  }
  replay::FindRequest request;
  request.search = &search;
  request.from_ms = window.from_ms;
  request.to_ms = window.to_ms;
  request.rows = static_cast<uint32_t>(rows);
  request.facets = facets;
  TAMIS_TRY(result, replay::find(request, past.source,
                                 [&](uint64_t done, uint64_t all) { return handle.progress(done, all); }));
  std::string out;
  replay::write_json(result, out);
  return out;
}

base::Result<std::string> HindsightApi::Impl::run_train(const JsonBody& body, Jobs::Handle& handle) {
  Past past(service);
  TAMIS_TRY(policy, policy_of(body, service));
  TAMIS_TRY(window, window_of(body, *past.source.archive));
  TAMIS_TRY(csv, body.text("truth"));
  TAMIS_TRY(unknown_is_good, body.flag("unknown_is_good", false));
  learn::BoostOptions boost;
  TAMIS_TRY(rounds, body.whole("rounds", boost.rounds, 1, kRoundsMax));
  TAMIS_TRY(depth, body.whole("depth", boost.depth, 1, kDepthMax));
  boost.rounds = static_cast<int>(rounds);
  boost.depth = static_cast<int>(depth);
  TAMIS_CHECK(past.read_truth(csv, "truth"));
  replay::PastSignupsRequest request;
  request.data = service.data()->path();
  request.policy = policy;
  request.intel = service.data()->intel();
  request.archive = past.source.archive;
  request.truth = &past.truth;
  request.from_ms = window.from_ms;
  request.to_ms = window.to_ms;
  request.unknown_is_good = unknown_is_good;
  return train_accounts(request, boost, [&](uint64_t done, uint64_t all) { return handle.progress(done, all); });
}

// Plans, tells what would be done, and with `apply` does it.
base::Result<std::string> HindsightApi::Impl::run_act(const JsonBody& body, const std::string& author,
                                                      Jobs::Handle& handle) {
  Past past(service);
  TAMIS_TRY(policy, policy_of(body, service));
  TAMIS_TRY(window, window_of(body, *past.source.archive));
  TAMIS_TRY(rule, body.needed_text("rule"));
  TAMIS_TRY(reason, body.text("reason"));
  TAMIS_TRY(apply, body.flag("apply", false));
  TAMIS_TRY(keep, body.flag("keep", false));
  TAMIS_TRY(revisions, body.flag("revisions", true));
  TAMIS_TRY(samples, body.whole("samples", 10, 0, 1000));
  TAMIS_TRY(cap, body.whole("cap", INT64_MAX, 1, INT64_MAX));
  TAMIS_TRY(rate, body.whole("rate", 0, 0, kRateMax));
  TAMIS_TRY(csv, body.text("truth"));
  TAMIS_CHECK(past.read_truth(csv, "truth"));
  replay::RetroRequest request{policy, rule, window.from_ms, window.to_ms, revisions, static_cast<uint32_t>(samples)};
  TAMIS_TRY(plan, replay::plan_retroact(request, past.source, past.truth,
                                        [&](uint64_t done, uint64_t all) { return handle.progress(done, all); }));
  action::BatchPreview preview;
  if (!plan.items.empty()) {
    TAMIS_TRY(found, batches->preview(plan.items));
    preview = found;
  }
  std::string out = "{\"preview\":";
  replay::write_json(plan, preview, out);
  if ((apply || keep) && !plan.items.empty()) {
    if (reason.empty()) reason = "rule " + rule + " on past events";
    action::BatchPlan batch{rule, policy->version, author, reason, window.from_ms, window.to_ms, plan.items};
    TAMIS_TRY(info, batches->plan(batch));
    if (apply) {
      action::BatchRun run;
      run.by = author;
      run.rate_per_s = static_cast<uint32_t>(rate);
      run.cap = static_cast<uint64_t>(cap);
      TAMIS_TRY(applied, run_batch(info.id, false, run, handle));
      out += ",\"batch\":" + applied;
    } else {
      out += ",\"batch\":" + action::to_json(info);
    }
  }
  return out + "}";
}

base::Result<std::string> HindsightApi::Impl::run_batch(const std::string& id, bool undo, const action::BatchRun& run,
                                                        Jobs::Handle& handle) {
  action::BatchRun watched = run;
  watched.progress = [&](const action::BatchInfo& info) {
    return handle.progress(undo ? info.undone : info.done, info.items);
  };
  TAMIS_TRY(info, undo ? batches->undo(id, watched) : batches->apply(id, watched));
  return action::to_json(info);
}

void HindsightApi::add_routes(net::HttpServer& server, const PastApi::MakeRoute& route) {
  Impl* impl = impl_.get();
  // The body is read on the loop, so that slips in it are answered at once; the work is a job.
  auto job = [&](const char* path, const char* kind, std::vector<std::string_view> keys, auto run) {
    server.post(
        path,
        [impl, kind, keys, run](const Request& in, Response& out) {
          auto body = JsonBody::read(in.body(), keys);
          if (!body) return answer(body.error(), out);
          auto shared = std::make_shared<JsonBody>(std::move(*body));
          impl->start(kind, *shared, in, out, [impl, shared, run, author = author_of(in)](Jobs::Handle& handle) {
            return run(impl, *shared, author, handle);
          });
        },
        route(Role::kAnalyst, kBodyBytesMax));
  };
  job("/v1/backtests", "backtest", {"files", "rule", "from", "to", "truth", "samples", "replay", "class"},
      [](Impl* i, const JsonBody& body, const std::string&, Jobs::Handle& h) { return i->run_backtest(body, h); });
  job("/v1/find", "find", {"expression", "types", "from", "to", "facets", "rows"},
      [](Impl* i, const JsonBody& body, const std::string&, Jobs::Handle& h) { return i->run_find(body, h); });
  job("/v1/train/accounts", "train", {"files", "from", "to", "truth", "unknown_is_good", "rounds", "depth"},
      [](Impl* i, const JsonBody& body, const std::string&, Jobs::Handle& h) { return i->run_train(body, h); });
  job("/v1/batches", "act",
      {"files", "rule", "from", "to", "truth", "samples", "reason", "apply", "keep", "revisions", "cap", "rate"},
      [](Impl* i, const JsonBody& body, const std::string& author, Jobs::Handle& h) {
        return i->run_act(body, author, h);
      });
  impl->add_batch_routes(server, route);
}

void HindsightApi::Impl::add_batch_routes(net::HttpServer& server, const PastApi::MakeRoute& route) {
  constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;
  server.get(
      "/v1/batches",
      [this](const Request&, Response& out) {
        out.append("{\"batches\":[");
        bool first = true;
        for (const action::BatchInfo& info : batches->list()) {
          out.append(first ? "" : ",");
          out.append(action::to_json(info));
          first = false;
        }
        out.append("]}\n");
      },
      route(kReaders, 0));
  server.get(
      "/v1/batches/{id}",
      [this](const Request& in, Response& out) {
        auto report = batches->report(in.param(0));
        if (!report) return answer(report.error(), out);
        out.append("{\"batch\":" + action::to_json(report->info) + ",\"faults\":");
        JsonWriter json(out.body());
        json.begin_array();
        for (const action::BatchFault& fault : report->faults) {
          json.begin_object().key("item").uinteger(fault.item).key("on").string(fault.place.on);
          json.key("value").string(fault.place.value).key("name").string(fault.place.name);
          json.key("kept").boolean(fault.kept).key("who").string(fault.who).key("what").string(fault.what).end_object();
        }
        json.end_array();
        out.append(std::string(",\"cut\":") + (report->cut ? "true" : "false") + "}\n");
      },
      route(kReaders, 0));
  auto run_route = [&](const char* path, const char* kind, bool undo) {
    server.post(
        path,
        [this, kind, undo](const Request& in, Response& out) {
          static constexpr std::array<std::string_view, 3> kKeys = {"reason", "rate", "cap"};
          auto body = JsonBody::read(in.body().empty() ? "{}" : in.body(), kKeys);
          if (!body) return answer(body.error(), out);
          auto reason = body->text("reason");
          auto rate = body->whole("rate", 0, 0, kRateMax);
          auto cap = body->whole("cap", INT64_MAX, 1, INT64_MAX);
          if (!reason) return answer(reason.error(), out);
          if (!rate) return answer(rate.error(), out);
          if (!cap) return answer(cap.error(), out);
          if (auto known = batches->info(in.param(0)); !known) return answer(known.error(), out);
          action::BatchRun run;
          run.by = author_of(in);
          run.why = *reason;
          run.rate_per_s = static_cast<uint32_t>(*rate);
          run.cap = static_cast<uint64_t>(*cap);
          start(kind, *body, in, out, [this, undo, run, id = std::string(in.param(0))](Jobs::Handle& handle) {
            return run_batch(id, undo, run, handle);
          });
        },
        route(Role::kAnalyst, kSmallBodyBytes));
  };
  run_route("/v1/batches/{id}/apply", "apply", false);
  run_route("/v1/batches/{id}/undo", "undo", true);
  server.post(
      "/v1/batches/{id}/stop",
      [this](const Request& in, Response& out) {
        base::Status done = batches->stop(in.param(0));
        if (!done) return answer(done.error(), out);
        out.append("{\"ok\":true}\n");
      },
      route(Role::kAnalyst, kSmallBodyBytes));
}

}  // namespace tamis::door
