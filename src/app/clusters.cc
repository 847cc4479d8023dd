// tamis clusters: bulk registrations as objects: list, look, confirm or refute, propose a rule, act on the members.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/factor_words.h"
#include "app/json_view.h"
#include "base/text.h"

namespace tamis::app {
namespace {

struct Options {
  DataSessionOptions session;
  std::string id, lasts, reason, label = "bulk";
  uint64_t limit = 20, score = 0;
  int64_t part = -1;  // all
  bool json = false, actionable = false, apply = false, no_truth = false, undo = false;
};

using Run = base::Result<int> (*)(const Options&);

std::string thousands(uint64_t n) { return base::format_thousands(static_cast<int64_t>(n)); }
std::string minute(const JsonView& time) { return time.has() ? time.text().substr(0, 16) + "Z" : "-"; }

constexpr const char* kViews[] = {"name", "device", "network", "locale", "recovery", "behaviour", "reuse"};

std::string three(double score) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", score);
  return text;
}
// How many times more were observed than expected.
std::string times(double observed, double expected) {
  if (expected * 10'000 <= observed) return "> 10000";
  char text[32];
  std::snprintf(text, sizeof text, observed < 10 * expected ? "%.1f" : "%.0f", observed / expected);
  return text;
}

// Prints the answer as it is where programs ask for it.
base::Result<int> raw(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kGood;
}

base::Result<int> list(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/clusters?limit=" + std::to_string(o.limit) + "&score=" + std::to_string(o.score) +
                               (o.actionable ? "&actionable=1" : "")));
  if (o.json) return raw(text);
  TAMIS_TRY(answer, JsonView::parse(text));
  std::printf("%-8s %6s %8s %9s  %-17s %-17s %-17s %s\n", "cluster", "score", "size", "a day", "first", "last",
              "actionable since", "said");
  for (event::Value v : answer["clusters"].items()) {
    JsonView c = answer.item(v);
    std::printf("%-8s %6.3f %8.0f %9.1f  %-17s %-17s %-17s %s\n", c["id"].text().c_str(), c["score"].number(),
                c["size"].number(), c["per_day"].number(), minute(c["first"]).c_str(), minute(c["last"]).c_str(),
                minute(c["actionable_since"]).c_str(),
                c["confirmed"].truth()     ? "confirmed"
                : c["cleared_until"].has() ? ("refuted until " + minute(c["cleared_until"])).c_str()
                                           : "");
  }
  std::fprintf(stderr, "%s of %s clusters match\n", thousands(answer["matched"].count()).c_str(),
               thousands(answer["all"].count()).c_str());
  return kGood;
}

base::Result<int> show(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/clusters/" + url_escape(o.id)));
  if (o.json) return raw(text);
  TAMIS_TRY(c, JsonView::parse(text));
  std::printf("cluster %s: score %.3f, %.0f members from %s to %s, %.1f a day now\n", c["id"].text().c_str(),
              c["score"].number(), c["size"].number(), minute(c["first"]).c_str(), minute(c["last"]).c_str(),
              c["per_day"].number());
  std::printf("  could be acted on since %s; people say: %s\n", minute(c["actionable_since"]).c_str(),
              c["confirmed"].truth()     ? "confirmed"
              : c["cleared_until"].has() ? ("refuted, until " + minute(c["cleared_until"])).c_str()
                                         : "nothing yet");
  std::printf("  truth of members: %s bad, %s good, %s unknown; %.0f did something since, %.0f something ill\n",
              thousands(c["truth"]["bad"].count()).c_str(), thousands(c["truth"]["good"].count()).c_str(),
              thousands(c["truth"]["unknown"].count()).c_str(), c["active"].number(), c["ill"].number());
  std::printf("  to say: %s\n", c["say"].text().c_str());
  const double log_odds = c["log_odds"].number();
  std::printf("\nwhy it is taken for a campaign %s\n%s", kOddsHint, factor_lines(c["factors"], log_odds).c_str());
  std::printf("  %7s  log-odds: the sum of these, %s\n", ("= " + signed_odds(log_odds)).c_str(),
              c["cleared_until"].has() ? "but people have cleared it: score 0"
                                       : ("that is a score of " + three(c["score"].number())).c_str());
  std::printf("\nwhat a member's views add on average to looking like the next one:");
  for (const char* view : kViews) std::printf(" %s %s;", view, signed_odds(c["views"][view].number()).c_str());
  std::printf("\n\n%-20s %-10s %10s %10s %10s %10s\n", "shared", "view", "observed", "expected", "times", "of");
  for (event::Value v : c["shared"].items()) {
    JsonView s = c.item(v);
    const double observed = s["observed"].number(), expected = s["expected"].number();
    if (observed < 2) continue;  // what one member alone has is not shared
    std::printf("%-20s %-10s %10.0f %10.2f %10s %10.0f\n", s["attribute"].text().c_str(), s["view"].text().c_str(),
                observed, expected, times(observed, expected).c_str(), s["of"].number());
  }
  for (event::Value v : c["times"].items()) {
    JsonView t = c.item(v);
    std::printf("%-20s typically %.0f ms, spread %.2f\n", t["measure"].text().c_str(), t["typical_ms"].number(),
                t["spread"].number());
  }
  std::printf("\na day:");
  for (event::Value v : c["growth"].items()) {
    JsonView day = c.item(v);
    std::printf(" %s %s;", day["day"].text().substr(5).c_str(), thousands(day["members"].count()).c_str());
  }
  std::printf("\n");
  if (c["parts"].items().size() > 1) {
    std::printf("campaigns that met in it, by members:");
    for (event::Value v : c["parts"].items()) std::printf(" %s", thousands(c.item(v).count()).c_str());
    std::printf("\n");
  }
  for (event::Value v : c["told"]["parts"].items()) {
    JsonView part = c.item(v);
    std::printf("  told before: part %s (cluster %s), %s members, alone in: %s\n", part["part"].text().c_str(),
                part["cluster"].text().c_str(), thousands(part["size"].count()).c_str(), part["shares"].text().c_str());
  }
  std::printf("\nmembers (oldest first%s):\n",
              c["unnamed"].count() > 0 ? ", some are not in the archive any more" : "");
  uint64_t shown = 0;
  for (event::Value v : c["members"].items()) {
    if (shown++ == o.limit) break;
    JsonView m = c.item(v);
    std::printf("  %-24s %s  score %.3f%s\n", m["account"].text().c_str(), minute(m["time"]).c_str(),
                m["score"].number(), m["by_deeds"].truth() ? "  by what it did later" : "");
  }
  return kGood;
}

// Batches that had acted on members: what became of each, or how to take it back. No: some are left that should not be.
int print_batches(const Options& o, const JsonView& answer) {
  bool all = true;
  for (event::Value v : answer["batches"].items()) {
    const JsonView batch = answer.item(v);
    const std::string id = batch["id"].text();
    std::string labels;
    for (event::Value label : batch["labels"].items()) labels += " " + batch.item(label).text();
    std::printf("batch %s (label%s, by %s, %s) has acted on %s members", id.c_str(), labels.c_str(),
                batch["by"].text().c_str(), minute(batch["planned"]).c_str(),
                thousands(batch["members"].count()).c_str());
    if (batch["others"].count() > 0) std::printf(" and %s others", thousands(batch["others"].count()).c_str());
    if (batch["taken_back"].has()) {
      std::printf(": undone, %s marks taken back, %s kept because others changed them since\n",
                  thousands(batch["taken_back"].count()).c_str(), thousands(batch["kept"].count()).c_str());
      continue;
    }
    all = all && !o.undo;
    std::printf("\n  and still stands%s%s\n  take it back with: tamis undo --data %s %s\n",
                batch["why_not"].has() ? ": " : "", batch["why_not"].text().c_str(), o.session.data.c_str(),
                id.c_str());
  }
  if (!o.undo && !answer["batches"].items().empty()) std::printf("or say --undo, which does it with the refutation\n");
  return all ? kGood : kNo;
}

base::Result<int> say(const Options& o, const char* what) {
  TAMIS_TRY(session, DataSession::open(o.session));
  std::string body = std::string("{\"say\":\"") + what + "\",\"reason\":" + json_text(o.reason);
  if (!o.lasts.empty()) body += ",\"for\":" + json_text(o.lasts);
  if (o.no_truth) body += ",\"truth\":false";
  if (o.undo) body += ",\"undo\":true";
  TAMIS_TRY(text, session->post("/v1/clusters/" + url_escape(o.id) + "/verdict", body + "}"));
  TAMIS_CHECK(session->checkpoint());
  if (o.json) return raw(text);
  TAMIS_TRY(answer, JsonView::parse(text));
  std::printf("cluster %s is %s until %s; truth was told of %s members\n", answer["id"].text().c_str(), what,
              minute(answer["until"]).c_str(), thousands(answer["members"].count()).c_str());
  if (std::string_view(what) == "confirmed") {
    std::printf("label them, past ones too, with: tamis clusters act --data %s %s\n", o.session.data.c_str(),
                o.id.c_str());
  }
  return print_batches(o, answer);
}
base::Result<int> confirm(const Options& o) { return say(o, "confirmed"); }
base::Result<int> refute(const Options& o) { return say(o, "refuted"); }

base::Result<int> rule(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/clusters/" + url_escape(o.id) + "/rule"));
  if (o.json) return raw(text);
  TAMIS_TRY(answer, JsonView::parse(text));
  std::printf("%s\n", answer["yaml"].text().c_str());
  std::fprintf(
      stderr,
      "# since the cluster's first member, or for a week: matches %s of %s members, and %s of %s other signups\n",
      thousands(answer["members"].count()).c_str(), thousands(answer["all_members"].count()).c_str(),
      thousands(answer["others"].count()).c_str(), thousands(answer["all_others"].count()).c_str());
  if (!answer["actionable"].truth()) {
    std::fprintf(stderr, "# the cluster has not proven to be a campaign: its members may be people of one house\n");
  }
  if (answer["why_not"].has()) {
    std::fprintf(stderr, "# no backtest: %s\n", answer["why_not"].text().c_str());
  }
  if (JsonView test = answer["backtest"]; test.has()) {
    std::fprintf(stderr, "# backtest over all that is stored: %s matched of %s events, %s of them not members\n",
                 thousands(test["matched"].count()).c_str(), thousands(test["events"].count()).c_str(),
                 thousands(answer["beyond_members"].count()).c_str());
  }
  return kGood;
}

base::Result<int> act(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  std::string body = "{\"label\":" + json_text(o.label) + ",\"reason\":" + json_text(o.reason);
  if (!o.lasts.empty()) body += ",\"for\":" + json_text(o.lasts);
  if (o.apply) body += ",\"apply\":true";
  if (o.part >= 0) body += ",\"part\":" + std::to_string(o.part);
  TAMIS_TRY(text, session->post("/v1/clusters/" + url_escape(o.id) + "/act", body + "}"));
  if (o.apply) TAMIS_CHECK(session->checkpoint());
  if (o.json) return raw(text);
  TAMIS_TRY(answer, JsonView::parse(text));
  const JsonView batch = answer["batch"];
  std::printf("%s members of cluster %s: %s %s labelled %s", thousands(answer["members"].count()).c_str(), o.id.c_str(),
              thousands(answer["fresh"].count()).c_str(), batch.has() ? "were" : "would be", o.label.c_str());
  if (answer["replaced"].count() > 0) {
    std::printf(", %s have the label already and %s it for longer", thousands(answer["replaced"].count()).c_str(),
                batch.has() ? "keep" : "would keep");
  }
  if (answer["already"].count() > 0) {
    std::printf(", %s have it already for as long", thousands(answer["already"].count()).c_str());
  }
  std::printf("\n");
  if (answer["known_good"].count() > 0) {
    std::printf("%s more are known to be good, and are left alone\n", thousands(answer["known_good"].count()).c_str());
  }
  if (batch.has()) {
    std::printf("batch %s: %s, %s changed\ntake it back with: tamis undo --data %s %s\n", batch["id"].text().c_str(),
                batch["state"].text().c_str(), thousands(batch["changed"].count()).c_str(), o.session.data.c_str(),
                batch["id"].text().c_str());
  } else {
    std::printf("nothing was done; --apply does it\n");
  }
  return kGood;
}

}  // namespace

Command add_clusters(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto runs = std::make_shared<std::vector<std::pair<CLI::App*, Run>>>();
  app.add_option("--data", o->session.data, "The data folder")->required();
  app.add_flag("--json", o->json, "As JSON");
  app.require_subcommand(1);
  auto add = [&](const char* name, const char* what, Run run, bool of_one) -> CLI::App& {
    CLI::App* verb = app.add_subcommand(name, what);
    verb->fallthrough();
    if (of_one) verb->add_option("CLUSTER", o->id, "Its number")->required();
    runs->emplace_back(verb, run);
    return *verb;
  };
  CLI::App& ls = add("ls", "Clusters, those that can be acted on first", list, false);
  ls.add_option("--limit", o->limit, "How many at most")->capture_default_str();
  ls.add_option("--score", o->score, "Only with at least this score, in percent");
  ls.add_flag("--actionable", o->actionable, "Only those that have proven themselves");
  add("show", "The page of one: growth, what its members share, truth, members", show, true)
      .add_option("--limit", o->limit, "Members shown at most")
      ->capture_default_str();
  auto add_saying = [&](const char* name, const char* what, Run run) -> CLI::App& {
    CLI::App& verb = add(name, what, run, true);
    verb.add_option("--for", o->lasts, "How long that holds (90d)");
    verb.add_option("--reason", o->reason, "Why");
    verb.add_flag("--no-truth", o->no_truth, "Say it of the cluster only, not of its members");
    return verb;
  };
  add_saying("confirm", "It is what it looks like: truth for its members", confirm);
  add_saying("refute", "They are honest: truth, and it speaks against nobody for a while", refute)
      .add_flag("--undo", o->undo, "Take back what batches have done to its members");
  add("rule", "A rule for what its members share, with its backtest", rule, true);
  CLI::App& doing = add("act", "Label its members, past ones too, as one batch that can be undone", act, true);
  doing.add_option("--part", o->part, "Only the campaign with this number, of those that the server told apart in it")
      ->check(CLI::Range(0, 1000));
  doing.add_option("--label", o->label, "The label on each account")->capture_default_str();
  doing.add_option("--for", o->lasts, "How long it stays (90d)");
  doing.add_option("--reason", o->reason, "Why");
  doing.add_flag("--apply", o->apply, "Do it; without it only the preview is shown");
  return [o, runs] {
    Interrupt::install();
    for (auto [verb, run] : *runs) {
      if (!verb->parsed()) continue;
      base::Result<int> code = run(*o);
      return code ? *code : complain(code.error().message);
    }
    return kFailed;
  };
}

}  // namespace tamis::app
