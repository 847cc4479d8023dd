#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/class_table.h"
#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "base/file.h"
#include "base/line_faults.h"
#include "base/text.h"

namespace tamis::app {
namespace {

constexpr size_t kTruthBytesMax = size_t{900} << 20;

struct Options {
  DataSessionOptions session;
  std::string policy, rule, from, to, truth, class_field = "ip_class";
  uint32_t samples = 5;
  bool json = false, replay = false;
};

std::string thousands(uint64_t n) { return base::format_thousands(static_cast<int64_t>(n)); }

std::string percent(const JsonView& share, const JsonView& interval) {
  if (!share.has()) return "unknown: no truth for such events";
  char text[96];
  auto ends = interval.items();
  double low = ends.size() == 2 ? interval.item(ends[0]).number() : 0;
  double high = ends.size() == 2 ? interval.item(ends[1]).number() : 0;
  std::snprintf(text, sizeof text, "%.1f %%   (95 %%: %.1f to %.1f)", share.number() * 100, low * 100, high * 100);
  return text;
}

void print_samples(const JsonView& result) {
  static constexpr std::pair<const char*, const char*> kKinds[] = {{"matched", "matched"},
                                                                   {"matched_good", "matched, known good"},
                                                                   {"matched_bad", "matched, known bad"},
                                                                   {"missed_bad", "known bad, not matched"},
                                                                   {"gained", "harsher than it was"},
                                                                   {"lost", "milder than it was"}};
  for (const auto& [key, title] : kKinds) {
    JsonView samples = result["samples"][key];
    if (samples.items().empty()) continue;
    std::printf("\n%s:\n", title);
    for (event::Value v : samples.items()) {
      JsonView sample = samples.item(v);
      std::printf("  %s  %s %s", sample["time"].text().c_str(), sample["type"].text().c_str(),
                  sample["id"].text().c_str());
      std::string was = sample["old_verdict"].text("none"), is = sample["new_verdict"].text("none");
      std::printf(was == is ? "  %s\n" : "  %s -> %s\n", was.c_str(), is.c_str());
      std::printf("      %s\n", sample["values"].text().c_str());
    }
  }
}

// Whom it hits: the share of good events that it matches, by class.
void print_classes(const JsonView& result) {
  JsonView classes = result["per_class"];
  if (classes.items().empty()) return;
  std::printf("\n");
  print_class_head({result["class"].text(), "good", "matched"});
  for (event::Value v : classes.items()) {
    JsonView row = classes.item(v);
    print_class_row(row["type"].text(), row["class"].text(),
                    {row["good"].count(), row["matched_good"].count(), row["bad"].count(), row["matched_bad"].count()});
    std::printf("\n");
  }
}

void print(const JsonView& result) {
  std::string rule = result["rule"].text();
  std::printf("%s on %s events", rule.empty() ? "the policy" : ("rule " + rule).c_str(),
              thousands(result["events"].count()).c_str());
  std::printf(", %s to %s\n", result["from"].text("the beginning").c_str(), result["to"].text("the end").c_str());
  std::printf("  matched    %s\n", thousands(result["matched"].count()).c_str());
  std::printf("  gained     %s   verdicts harsher than they were\n", thousands(result["gained"].count()).c_str());
  std::printf("  lost       %s   verdicts milder than they were\n", thousands(result["lost"].count()).c_str());
  std::printf("  precision  %s\n", percent(result["precision"], result["precision_interval"]).c_str());
  std::printf("  recall     %s\n", percent(result["recall"], result["recall_interval"]).c_str());
  bool columnar = result["columnar"].truth();
  std::printf("  %.2f s, %s%s%s\n", result["seconds"].number(), columnar ? "over columns" : "replayed, because ",
              columnar ? "" : result["replayed_because"].text().c_str(), "");
  if (JsonView days = result["per_day"]; days.items().size() > 1) {
    std::printf("\n%-12s %12s %12s %10s %10s\n", "day", "events", "matched", "gained", "lost");
    for (event::Value v : days.items()) {
      JsonView day = days.item(v);
      std::printf("%-12s %12s %12s %10s %10s\n", day["day"].text().substr(0, 10).c_str(),
                  thousands(day["events"].count()).c_str(), thousands(day["matched"].count()).c_str(),
                  thousands(day["gained"].count()).c_str(), thousands(day["lost"].count()).c_str());
    }
  }
  print_classes(result);
  if (JsonView overlap = result["overlap"]; !overlap.items().empty()) {
    std::printf("\nother rules on the matched events:\n");
    for (event::Value v : overlap.items()) {
      JsonView other = overlap.item(v);
      std::printf("  %-40s %12s  %.0f %%\n", other["rule"].text().c_str(), thousands(other["both"].count()).c_str(),
                  other["share"].number() * 100);
    }
  }
  print_samples(result);
}

base::Result<int> backtest(Options& options) {
  Interrupt::install();
  TAMIS_TRY(files, policy_files_json(options.policy));
  std::string body = "{\"files\":" + files + ",\"samples\":" + std::to_string(options.samples);
  auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) body += std::string(",\"") + key + "\":" + json_text(text);
  };
  put("rule", options.rule);
  put("from", options.from);
  put("to", options.to);
  put("class", options.class_field);
  if (!options.truth.empty()) {
    TAMIS_TRY(csv, base::read_file(options.truth, kTruthBytesMax));
    put("truth", csv);
  }
  if (options.replay) body += ",\"replay\":true";
  options.session.state = false;
  options.session.reads = true;
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->run_job("backtest", "/v1/backtests", body + "}"));
  TAMIS_TRY(result, JsonView::parse(text));
  base::LineFaults faults;
  faults.count = result["truth"]["refused"].count();
  // It went there as text, and has its name here.
  for (event::Value v : result["truth"]["faults"].items()) {
    faults.first.push_back(options.truth + result.item(v).text().substr(std::string_view("truth").size()));
  }
  print_faults(faults, "--truth");
  if (options.json) {
    std::printf("%s\n", text.c_str());
    return kGood;
  }
  print(result);
  return kGood;
}

struct FindOptions {
  DataSessionOptions session;
  std::string expression, from, to;
  std::vector<std::string> types, facets;
  uint32_t rows = 10;
  bool json = false;
};

std::string list_json(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? "," : "") + json_text(text);
  return out + "]";
}

void print_found(const JsonView& result) {
  std::printf("%s events  (%.2f s)\n", thousands(result["count"].count()).c_str(), result["seconds"].number());
  if (JsonView days = result["per_day"]; days.items().size() > 1) {
    for (event::Value v : days.items()) {
      JsonView day = days.item(v);
      std::printf("  %s  %12s\n", day["from"].text().substr(0, 10).c_str(), thousands(day["count"].count()).c_str());
    }
  }
  for (event::Value v : result["facets"].items()) {
    JsonView facet = result.item(v);
    std::printf("\n%s:\n", facet["name"].text().c_str());
    for (event::Value w : facet["values"].items()) {
      JsonView value = result.item(w);
      std::printf("  %-40s %12s\n", value["value"].text().c_str(), thousands(value["count"].count()).c_str());
    }
    if (facet["others"].count() > 0) {
      std::printf("  %-40s %12s\n", "(others)", thousands(facet["others"].count()).c_str());
    }
    if (facet["absent"].count() > 0) {
      std::printf("  %-40s %12s\n", "(absent)", thousands(facet["absent"].count()).c_str());
    }
  }
  for (event::Value v : result["unread"].items()) {
    std::printf("\nthe archive does not have %s\n", result.item(v).text().c_str());
  }
  if (!result["newest"].items().empty()) std::printf("\nnewest:\n");
  for (event::Value v : result["newest"].items()) std::printf("  %s\n", result.item(v).text().c_str());
}

base::Result<int> find(FindOptions& options) {
  Interrupt::install();
  options.session.reads = true;
  TAMIS_TRY(session, DataSession::open(options.session));
  std::string body = "{\"expression\":" + json_text(options.expression) + ",\"rows\":" + std::to_string(options.rows) +
                     ",\"types\":" + list_json(options.types) + ",\"facets\":" + list_json(options.facets);
  if (!options.from.empty()) body += ",\"from\":" + json_text(options.from);
  if (!options.to.empty()) body += ",\"to\":" + json_text(options.to);
  TAMIS_TRY(text, session->run_job("find", "/v1/find", body + "}"));
  if (options.json) {
    std::printf("%s\n", text.c_str());
    return kGood;
  }
  TAMIS_TRY(result, JsonView::parse(text));
  print_found(result);
  return kGood;
}

}  // namespace

Command add_backtest(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--policy", options->policy, "Folder of the policy to try")->required();
  app.add_option("--rule", options->rule,
                 "Id of one rule, taken as live in place of what it was; else the whole policy");
  app.add_option("--from", options->from, "Beginning: a time, or a span back from the newest event, like 7d");
  app.add_option("--to", options->to, "End, likewise");
  app.add_option("--truth", options->truth,
                 "CSV with the columns type,id,label or entity,value,label; label good or bad");
  app.add_option("--class", options->class_field, "Field or attribute by which false positives are told apart")
      ->capture_default_str();
  app.add_option("--samples", options->samples, "Examples of each kind")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_flag("--replay", options->replay, "Replay the journal even where the columns would do");
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress");
  app.footer(
      "What the rule or the policy would have done to the events of the past, beside what was done. Nothing changes.\n"
      "Example: tamis backtest --data DIR --policy policies/accounts --rule signup-faster-than-people --from 30d "
      "--truth truth.csv");
  return [options] {
    base::Result<int> code = backtest(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_find(CLI::App& app) {
  auto options = std::make_shared<FindOptions>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--since,--from", options->from, "Beginning: a time, or a span back from the newest event, like 7d");
  app.add_option("--to", options->to, "End, likewise");
  app.add_option("--type", options->types, "Event types; else all in which the expression makes sense");
  app.add_option("--facet", options->facets, "Count the values of a field, attribute or feature");
  app.add_option("--rows", options->rows, "Newest events to show")->check(CLI::Range(0, 10'000))->capture_default_str();
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress");
  app.add_option("EXPR", options->expression, "What could stand as `when:` of a rule")->required();
  app.footer(
      "Example: tamis find --data DIR 'ip.net24 == \"198.51.100.0/24\" && form_ms < 700' --since 7d --facet ip.asn");
  return [options] {
    base::Result<int> code = find(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
