#include "door/cluster_api.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "base/text.h"
#include "door/cluster_batches.h"
#include "door/http_answer.h"
#include "door/json_body.h"
#include "engine/act.h"
#include "event/json_writer.h"
#include "event/time_text.h"
#include "policy/detector_kinds.h"
#include "replay/backtest.h"
#include "replay/clusters.h"
#include "replay/records.h"
#include "replay/refined.h"
#include "replay/truth.h"

namespace tamis::door {

using engine::Act;
using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kSmallBodyBytes = 64 << 10;
constexpr net::RoleSet kReaders = Role::kAnalyst | Role::kSupport;
constexpr size_t kListMax = 10'000;
constexpr size_t kMembersShown = 1'000;
constexpr std::string_view kAccountKind = "account";
constexpr std::string_view kViewNames[detect::kViews] = {"name",     "device",    "network", "locale",
                                                         "recovery", "behaviour", "reuse"};

void put_time(std::string_view key, int64_t ms, JsonWriter& json) {
  json.key(key);
  ms == 0 ? json.null() : json.string(event::format_time_ms(ms));
}

void write_facts(const detect::ClusterFacts& facts, JsonWriter& json) {
  json.key("id").uinteger(facts.id).key("score").real(facts.score).key("size").real(facts.members);
  json.key("per_day").real(facts.per_day);
  put_time("first", facts.first_ms, json);
  put_time("last", facts.last_ms, json);
  put_time("actionable_since", facts.acted_ms, json);
  json.key("confirmed").boolean(facts.is_confirmed);
  put_time("cleared_until", facts.suppressed_until_ms, json);
  json.key("views").begin_object();
  for (size_t v = 0; v < detect::kViews; ++v) json.key(kViewNames[v]).real(static_cast<double>(facts.view[v]));
  json.end_object().key("aftermath").real(static_cast<double>(facts.aftermath));
  json.key("active").real(facts.active).key("ill").real(facts.ill);
}

// What the score is the sum of, the weightiest first.
void write_factors(const detect::ClusterFacts& facts, JsonWriter& json) {
  const std::span<const policy::ClusterFactor> words = policy::cluster_factors();
  std::array<size_t, detect::kClusterParts> order{};
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return std::abs(facts.part[a]) > std::abs(facts.part[b]); });
  json.key("log_odds").real(facts.log_odds).key("factors").begin_array();
  for (size_t i : order) {
    json.begin_object().key("factor").string(words[i].name).key("words").string(words[i].words);
    json.key("log_odds").real(static_cast<double>(facts.part[i])).end_object();
  }
  json.end_array();
}

void write_page(const detect::ClusterPage& page, JsonWriter& json) {
  write_facts(page.facts, json);
  write_factors(page.facts, json);
  json.key("shared").begin_array();
  for (const detect::ClusterShare& share : page.shared) {
    json.begin_object().key("attribute").string(share.attribute).key("view").string(kViewNames[share.view]);
    json.key("of").real(share.of).key("observed").real(share.observed).key("expected").real(share.expected);
    json.key("values").integer(share.values).end_object();
  }
  json.end_array().key("times").begin_array();
  for (const detect::ClusterTime& time : page.times) {
    json.begin_object().key("measure").string(time.measure).key("of").real(time.of);
    json.key("typical_ms").real(time.typical_ms).key("spread").real(time.spread).end_object();
  }
  json.end_array().key("by_class").begin_object();
  for (int n = 0; n < detect::kNetClasses; ++n) {
    json.key(detect::net_class_name(static_cast<detect::NetClass>(n))).real(page.by_class[static_cast<size_t>(n)]);
  }
  json.end_object();
}

// Two sentences for a support agent to say. They name nothing that the members share: whoever made them would learn
// what to change.
std::string_view support_words(const detect::ClusterFacts& facts) {
  if (facts.suppressed_until_ms != 0) {
    return "This account was looked at together with others of the same time, and nothing is held against it. "
           "What was stopped before that may be tried again.";
  }
  if (facts.is_confirmed) {
    return "This account is held back together with others, and a person has looked at them. If its owner writes to us "
           "from another address, it is looked at by itself once more.";
  }
  if (facts.acted_ms != 0) {
    return "This account was opened at a time at which very many like it were, so some of what it "
           "does waits until it has been looked at. If its owner writes to us, it is looked at by itself.";
  }
  return "This account is one of several that were opened in a like way, which is nothing unusual by itself. "
         "Nothing is held against it.";
}

// How many members came on each day, UTC.
void write_growth(const replay::ClusterMembers& members, JsonWriter& json) {
  constexpr int64_t kDayMs = 86'400'000;
  std::map<int64_t, uint64_t> days;
  for (const auto& [account, member] : members.named) ++days[member.t_ms / kDayMs];
  json.key("growth").begin_array();
  for (const auto& [day, count] : days) {
    json.begin_object().key("day").string(event::format_time_ms(day * kDayMs).substr(0, 10));
    json.key("members").uinteger(count).end_object();
  }
  json.end_array();
}

// What the server has told of the cluster by itself, and journaled (replay/refined.h); null: nothing yet.
void write_told(uint64_t id, const std::optional<replay::FoundParts>& told, JsonWriter& json) {
  json.key("told");
  if (!told) {
    json.null();
    return;
  }
  json.begin_object().key("look").string(told->look).key("parts").begin_array();
  for (size_t k = 0; k < told->parts.size(); ++k) {
    const replay::FoundPart& part = told->parts[k];
    json.begin_object().key("part").uinteger(k).key("cluster").uinteger(id + k * detect::ClusterParts::kPartNumbers);
    json.key("size").uinteger(part.size).key("shares").string(part.shares).end_object();
  }
  json.end_array().end_object();
}

base::Result<uint64_t> id_of(std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error == std::errc() && end == text.data() + text.size() && id != 0) return id;
  return base::fail(base::Code::kNotFound,
                    "a cluster is a whole number, not \"" + std::string(text.substr(0, 40)) + "\"");
}

// What somebody says of a cluster.
struct Saying {
  uint64_t id = 0;
  bool confirmed = false;
  int64_t for_ms = 0;
  std::string reason;
  bool truth = true;
  bool undo = false;  // refuted: what batches have done to members is taken back
};

// What is to be done to the members.
struct Doing {
  uint64_t id = 0;
  std::string label, reason;
  int64_t for_ms = 0;
  bool apply = false;
  int64_t part = -1;  // of a cluster that was told apart; -1: all of it
};
std::string name_of(const Doing& doing) {
  return std::to_string(doing.id) + (doing.part < 0 ? "" : "." + std::to_string(doing.part));
}

}  // namespace

struct ClusterApi::Impl {
  Impl(Desk& d, action::Batches& b) : desk(d), batches(b) {}
  Desk& desk;
  action::Batches& batches;

  Service& service() { return desk.service(); }
  const archive::Archive& archive() { return desk.service().data()->archive(); }
  base::Result<replay::ClusterMembers> members_of(uint64_t id) {
    TAMIS_TRY(policy, desk.policy());
    TAMIS_CHECK(service().flush());
    return replay::cluster_members(*policy, archive(), service().engine_access(), id);
  }

  void list(double least, bool actionable, size_t limit, std::string& text);
  base::Status page(uint64_t id, std::string& text);
  base::Status say(const Desk::Caller& caller, const Saying& saying, std::string& text);
  base::Status rule(uint64_t id, std::string& text);
  base::Status act(const Desk::Caller& caller, const Doing& doing, std::string& text);
  void add_read_routes(net::HttpServer& server, const MakeRoute& route);
  void add_write_routes(net::HttpServer& server, const MakeRoute& route);
};

ClusterApi::ClusterApi(net::HttpServer& server, Desk& desk, action::Batches& batches, const MakeRoute& route)
    : impl_(std::make_unique<Impl>(desk, batches)) {
  impl_->add_read_routes(server, route);
  impl_->add_write_routes(server, route);
}
ClusterApi::~ClusterApi() = default;

void ClusterApi::Impl::add_read_routes(net::HttpServer& server, const MakeRoute& route) {
  server.get(
      "/v1/clusters",
      [this](const Request& in, Response& out) {
        auto limit = query_number(in, "limit", 100, 1, kListMax);
        auto percent = query_number(in, "score", 0, 0, 100);
        if (!limit) return answer(limit.error(), out);
        if (!percent) return answer(percent.error(), out);
        const bool actionable = in.query_value("actionable").has_value();
        desk.soon(out,
                  [this, limit = *limit, least = static_cast<double>(*percent) / 100, actionable](std::string& text) {
                    list(least, actionable, limit, text);
                    return base::Status();
                  });
      },
      route(kReaders, 0));
  server.get(
      "/v1/clusters/{id}",
      [this](const Request& in, Response& out) {
        auto id = id_of(in.param(0));
        if (!id) return answer(id.error(), out);
        desk.soon(out, [this, caller = Desk::caller_of(in), id = *id](std::string& text) -> base::Status {
          TAMIS_CHECK(page(id, text));
          return desk.note_look(caller, "cluster.look", "cluster", std::to_string(id));
        });
      },
      route(kReaders, 0));
  server.get(
      "/v1/clusters/{id}/rule",
      [this](const Request& in, Response& out) {
        auto id = id_of(in.param(0));
        if (!id) return answer(id.error(), out);
        desk.soon_slow(out, [this, id = *id](std::string& text) { return rule(id, text); });
      },
      route(Role::kAnalyst, 0));
}

void ClusterApi::Impl::add_write_routes(net::HttpServer& server, const MakeRoute& route) {
  auto span_of = [](const std::string& text, int64_t fallback_ms) -> base::Result<int64_t> {
    return text.empty() ? base::Result<int64_t>(fallback_ms) : base::parse_lasting_ms("for", text);
  };
  constexpr int64_t kDayMs = 86'400'000;
  server.post(
      "/v1/clusters/{id}/verdict",
      [this, span_of](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 5> kKeys = {"say", "for", "reason", "truth", "undo"};
        auto id = id_of(in.param(0));
        auto body = JsonBody::read(in.body(), kKeys);
        if (!id) return answer(id.error(), out);
        if (!body) return answer(body.error(), out);
        Desk::Caller caller = Desk::caller_of(in);
        auto say_what = body->needed_text("say"), lasts = body->text("for"),
             reason = body->text("reason", caller.reason);
        auto truth = body->flag("truth", true), undo = body->flag("undo", false);
        for (const auto* text : {&say_what, &lasts, &reason}) {
          if (!*text) return answer(text->error(), out);
        }
        for (const auto* flag : {&truth, &undo}) {
          if (!*flag) return answer(flag->error(), out);
        }
        if (*say_what != "confirmed" && *say_what != "refuted") {
          return answer({base::Code::kInvalid, "\"say\" is \"confirmed\" or \"refuted\", not \"" + *say_what + "\""},
                        out);
        }
        if (*undo && *say_what == "confirmed") {
          return answer({base::Code::kInvalid, "\"undo\" goes with \"refuted\": what is confirmed stays"}, out);
        }
        auto for_ms = span_of(*lasts, 90 * kDayMs);
        if (!for_ms) return answer(for_ms.error(), out);
        Saying saying{*id, *say_what == "confirmed", *for_ms, *reason, *truth, *undo};
        desk.soon_slow(out, [this, caller, saying](std::string& text) { return say(caller, saying, text); });
      },
      route(Role::kAnalyst, kSmallBodyBytes));
  server.post(
      "/v1/clusters/{id}/act",
      [this, span_of](const Request& in, Response& out) {
        static constexpr std::array<std::string_view, 5> kKeys = {"label", "for", "reason", "apply", "part"};
        auto id = id_of(in.param(0));
        auto body = JsonBody::read(in.body().empty() ? "{}" : in.body(), kKeys);
        if (!id) return answer(id.error(), out);
        if (!body) return answer(body.error(), out);
        Desk::Caller caller = Desk::caller_of(in);
        auto label = body->text("label", "bulk"), lasts = body->text("for"),
             reason = body->text("reason", caller.reason);
        auto apply = body->flag("apply", false);
        for (const auto* text : {&label, &lasts, &reason}) {
          if (!*text) return answer(text->error(), out);
        }
        auto part = body->whole("part", -1, 0, 1'000);
        if (!apply) return answer(apply.error(), out);
        if (!part) return answer(part.error(), out);
        auto for_ms = span_of(*lasts, 90 * kDayMs);
        if (!for_ms) return answer(for_ms.error(), out);
        Doing doing{*id, *label, *reason, *for_ms, *apply, *part};
        desk.soon_slow(out, [this, caller, doing](std::string& text) { return act(caller, doing, text); });
      },
      route(Role::kAnalyst, kSmallBodyBytes));
}

void ClusterApi::Impl::list(double least, bool actionable, size_t limit, std::string& text) {
  std::vector<detect::ClusterFacts> found;
  uint64_t all = 0;
  service().with_engine([&](engine::Engine& engine) {
    const detect::SignupClusters* clusters = engine.clusters();
    if (clusters == nullptr) return;
    clusters->visit_clusters([&](const detect::ClusterFacts& facts) {
      ++all;
      if (facts.score >= least && (!actionable || facts.acted_ms != 0)) found.push_back(facts);
    });
  });
  std::sort(found.begin(), found.end(), [](const detect::ClusterFacts& a, const detect::ClusterFacts& b) {
    if ((a.acted_ms != 0) != (b.acted_ms != 0)) return a.acted_ms != 0;
    return a.score != b.score ? a.score > b.score : a.id > b.id;
  });
  JsonWriter json(text);
  json.begin_object().key("all").uinteger(all).key("matched").uinteger(found.size()).key("clusters").begin_array();
  for (size_t i = 0; i < found.size() && i < limit; ++i) {
    json.begin_object();
    write_facts(found[i], json);
    json.end_object();
  }
  json.end_array().end_object();
  text += '\n';
}

base::Status ClusterApi::Impl::page(uint64_t id, std::string& text) {
  TAMIS_TRY(page, replay::cluster_page(service().engine_access(), id));
  TAMIS_TRY(members, members_of(id));
  TAMIS_TRY(parts, replay::cluster_parts(service().engine_access(), id));
  replay::Truth truth;
  TAMIS_CHECK(truth.add_archive(archive(), [] { return true; }));
  uint64_t good = 0, bad = 0;
  for (const auto& member : members.named) {
    const replay::Known known = truth.of_entity(kAccountKind, member.account);
    good += known == replay::Known::kGood;
    bad += known == replay::Known::kBad;
  }
  JsonWriter json(text);
  json.begin_object();
  write_page(page, json);
  write_growth(members, json);
  json.key("exemplars").begin_array();
  for (const detect::ClusterMember& exemplar : page.exemplars) {
    const auto named = std::find_if(members.named.begin(), members.named.end(),
                                    [&](const auto& m) { return m.member.account == exemplar.account; });
    if (named != members.named.end()) json.string(named->account);
  }
  json.end_array().key("say").string(support_words(page.facts));
  // Campaigns that met in it, told apart: how many members each has.
  json.key("parts").begin_array();
  for (uint64_t members_of_part : parts) json.uinteger(members_of_part);
  json.end_array();
  TAMIS_TRY(policy, desk.policy());
  TAMIS_TRY(told, replay::told_parts(*policy, archive(), id));
  write_told(id, told, json);
  json.key("truth").begin_object().key("good").uinteger(good).key("bad").uinteger(bad);
  json.key("unknown").uinteger(members.named.size() - good - bad + members.unnamed).end_object();
  json.key("unnamed").uinteger(members.unnamed).key("cut").boolean(members.cut).key("members").begin_array();
  for (size_t i = 0; i < members.named.size() && i < kMembersShown; ++i) {
    const auto& [account, member] = members.named[i];
    json.begin_object().key("account").string(account);
    put_time("time", member.t_ms, json);
    json.key("score")
        .real(static_cast<double>(member.score))
        .key("log_odds")
        .real(static_cast<double>(member.log_odds));
    put_time("actionable_since", member.acted_ms, json);
    json.key("by_deeds").boolean(member.by_deeds).end_object();
  }
  json.end_array().end_object();
  text += '\n';
  return {};
}

// A label on the cluster, which the detector minds and which expires by itself; and truth about each member. Of what is
// refuted, what batches have done to members either is taken back or is told.
base::Status ClusterApi::Impl::say(const Desk::Caller& caller, const Saying& saying, std::string& text) {
  TAMIS_TRY(members, members_of(saying.id));
  const int64_t now_ms = service().now_ms();
  Act label;
  label.kind = Act::Kind::kLabelSet;
  label.entity_kind = "cluster";
  label.value = std::to_string(saying.id);
  label.author = caller.name;
  label.reason = saying.reason;
  label.since_ms = now_ms;
  Act other = label;
  other.kind = Act::Kind::kLabelClear;
  label.name = saying.confirmed ? engine::kConfirmedLabel : engine::kRefutedLabel;
  other.name = saying.confirmed ? engine::kRefutedLabel : engine::kConfirmedLabel;
  label.expires_ms = now_ms + saying.for_ms;
  (void)service().act_soon(other);  // what was said before may never have been
  TAMIS_CHECK(service().act_soon(label));
  uint64_t told = 0;
  for (const auto& member : members.named) {
    if (!saying.truth) break;
    Act truth;
    truth.kind = Act::Kind::kTruth;
    truth.entity_kind = kAccountKind;
    truth.value = member.account;
    truth.name = saying.confirmed ? "bad" : "good";
    truth.author = caller.name;
    truth.reason = "cluster " + label.value;
    truth.since_ms = now_ms;
    TAMIS_CHECK(service().act_soon(truth));
    ++told;
  }
  TAMIS_CHECK(service().sync());
  std::vector<ActedBatch> acted;
  if (!saying.confirmed) {
    TAMIS_TRY(found, batches_of_members(batches, saying.id, members));
    acted = std::move(found);
  }
  const std::string why = saying.reason.empty() ? "cluster " + label.value + " was refuted" : saying.reason;
  if (saying.undo) undo_batches(batches, caller.name, why, acted);
  action::AuditEntry entry;
  entry.what = saying.confirmed ? "cluster.confirm" : "cluster.refute";
  entry.on = "cluster";
  entry.value = label.value;
  entry.why = saying.reason;
  entry.detail = "{\"members\":" + std::to_string(told);
  if (saying.undo) {
    event::JsonWriter detail(entry.detail);
    entry.detail += ",\"undone\":";
    write_json(acted, detail);
  }
  entry.detail += "}";
  TAMIS_CHECK(desk.note_change(caller, std::move(entry)));
  JsonWriter json(text);
  json.begin_object().key("id").uinteger(saying.id).key("say").string(label.name).key("members").uinteger(told);
  json.key("unnamed")
      .uinteger(members.unnamed)
      .key("until")
      .string(event::format_time_ms(label.expires_ms))
      .key("batches");
  write_json(acted, json);
  json.end_object();
  text += '\n';
  return {};
}

// The proposed rule with what it would have done: its backtest stands on the archive, with truth so far.
base::Status ClusterApi::Impl::rule(uint64_t id, std::string& text) {
  TAMIS_TRY(page, replay::cluster_page(service().engine_access(), id));
  TAMIS_TRY(members, members_of(id));
  TAMIS_TRY(policy, desk.policy());
  TAMIS_TRY(proposed, replay::propose_rule(*policy, archive(), id, page.facts.first_ms, page.facts.last_ms, members));
  TAMIS_TRY(files, replay::kept_policy(service().data()->path(), policy->version));
  files.push_back({"proposed-" + proposed.id + ".yaml", proposed.yaml});
  policy::Loaded loaded = policy::load_files(files);
  JsonWriter json(text);
  json.begin_object().key("id").string(proposed.id).key("when").string(proposed.when).key("yaml").string(proposed.yaml);
  json.key("members").uinteger(proposed.members).key("all_members").uinteger(proposed.all_members);
  json.key("others").uinteger(proposed.others).key("all_others").uinteger(proposed.all_others);
  json.key("actionable").boolean(page.facts.acted_ms != 0);
  if (loaded.policy != nullptr) {
    replay::Truth truth;
    TAMIS_CHECK(truth.add_archive(archive(), [] { return true; }));
    for (const auto& member : members.named) {
      if (truth.of_entity(kAccountKind, member.account) == replay::Known::kNot) {
        truth.add_entity(kAccountKind, member.account, "bad");
      }
    }
    replay::MatchSource source;
    source.archive = &archive();
    source.what_if = replay::journal_what_if(service().data()->path(), service().data()->intel(), source.archive);
    replay::BacktestRequest request;
    request.policy = loaded.policy;
    request.rule = proposed.id;
    request.truth = &truth;
    TAMIS_TRY(result, replay::backtest(request, source, [](uint64_t, uint64_t) { return true; }));
    // Of what it matches at any time, all but the members may be honest: precision against truth does not show them.
    const uint64_t beyond = result.matched > proposed.members ? result.matched - proposed.members : 0;
    json.key("beyond_members").uinteger(beyond);
    std::string backtest;
    replay::write_json(result, backtest);
    json.key("backtest").raw(backtest);
  } else {
    json.key("backtest")
        .null()
        .key("why_not")
        .string(loaded.diagnostics.empty() ? "the policy with it cannot be read" : loaded.diagnostics.front().message);
  }
  json.end_object();
  text += '\n';
  return {};
}

base::Status ClusterApi::Impl::act(const Desk::Caller& caller, const Doing& doing, std::string& text) {
  TAMIS_TRY(members, members_of(doing.id));
  TAMIS_TRY(policy, desk.policy());
  if (doing.part >= 0) {
    TAMIS_TRY(chosen, replay::part_accounts(*policy, archive(), service().engine_access(), doing.id,
                                            static_cast<size_t>(doing.part)));
    std::erase_if(members.named, [&](const auto& one) { return !chosen.contains(one.member.account); });
    members.unnamed = chosen.size() - members.named.size();
  }
  const std::string name = name_of(doing);
  std::vector<action::BatchItem> items;
  int64_t from_ms = 0, to_ms = 0;
  replay::Truth truth;
  TAMIS_CHECK(truth.add_archive(archive(), [] { return true; }));
  uint64_t cleared = 0;
  for (const auto& [account, member] : members.named) {
    // Whom people have found to be good is left alone.
    if (truth.of_entity(kAccountKind, account) == replay::Known::kGood) {
      ++cleared;
      continue;
    }
    action::BatchItem item;
    item.place.kind = action::Place::Kind::kLabel;
    item.place.on = kAccountKind;
    item.place.value = account;
    item.place.name = doing.label;
    item.lasts_ms = doing.for_ms;
    items.push_back(std::move(item));
    from_ms = from_ms == 0 ? member.t_ms : std::min(from_ms, member.t_ms);
    to_ms = std::max(to_ms, member.t_ms);
  }
  action::BatchPreview preview;
  if (!items.empty()) {
    TAMIS_TRY(found, batches.preview(items));
    preview = found;
  }
  JsonWriter json(text);
  json.begin_object().key("cluster").uinteger(doing.id).key("members").uinteger(items.size());
  json.key("known_good").uinteger(cleared);
  json.key("unnamed").uinteger(members.unnamed).key("fresh").uinteger(preview.fresh);
  json.key("replaced").uinteger(preview.replaced).key("already").uinteger(preview.already).key("batch");
  if (!doing.apply || items.empty()) {
    json.null().end_object();
    text += '\n';
    return {};
  }
  const std::string reason = doing.reason.empty() ? "cluster " + name : doing.reason;
  action::BatchPlan plan{"cluster-" + name, policy->version, caller.name, reason, from_ms, to_ms, items};
  TAMIS_TRY(planned, batches.plan(plan));
  action::BatchRun run;
  run.by = caller.name;
  TAMIS_TRY(applied, batches.apply(planned.id, run));
  action::AuditEntry entry;
  entry.what = "cluster.act";
  entry.on = "cluster";
  entry.value = std::to_string(doing.id);
  entry.why = doing.reason;
  entry.detail = "{\"batch\":\"" + applied.id + "\"}";
  TAMIS_CHECK(desk.note_change(caller, std::move(entry)));
  json.raw(action::to_json(applied)).end_object();
  text += '\n';
  return {};
}

}  // namespace tamis::door
