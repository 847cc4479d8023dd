#include <CLI/CLI.hpp>
#include <climits>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "base/file.h"
#include "base/text.h"

namespace tamis::app {
namespace {

constexpr size_t kTruthBytesMax = size_t{900} << 20;

struct Options {
  DataSessionOptions session;
  std::string policy, rule, since, to, truth, reason;
  uint64_t cap = 0, rate = 0;
  uint32_t samples = 10;
  bool apply = false, json = false, no_revisions = false;
};

std::string thousands(uint64_t n) { return base::format_thousands(static_cast<int64_t>(n)); }

void print_entities(const char* title, const JsonView& entities) {
  if (entities.items().empty()) return;
  std::printf("\n%s:\n", title);
  for (event::Value v : entities.items()) {
    JsonView entity = entities.item(v);
    std::printf("  %-10s %-36s %8s matched of %8s events, %8s let pass, since %s%s\n", entity["on"].text().c_str(),
                entity["value"].text().c_str(), thousands(entity["matched"].count()).c_str(),
                thousands(entity["events"].count()).c_str(), thousands(entity["accepted"].count()).c_str(),
                entity["first"].text("?").substr(0, 10).c_str(),
                entity["truth"].has() ? (", known " + entity["truth"].text()).c_str() : "");
  }
}

// Of which so many are known as good and bad; ends the line.
void print_share(const JsonView& preview, const char* good, const char* bad) {
  if (preview[std::string(good) + "_share"].has()) {
    std::printf(", of which the truth knows %s as good and %s as bad (%.1f %% good)",
                thousands(preview[good].count()).c_str(), thousands(preview[bad].count()).c_str(),
                preview[std::string(good) + "_share"].number() * 100);
  }
  std::printf("\n");
}

void print_preview(const JsonView& preview) {
  std::printf("matched    %s events of %s", thousands(preview["matched"].count()).c_str(),
              thousands(preview["events"].count()).c_str());
  print_share(preview, "matched_good", "matched_bad");
  std::printf("would do   %s labels, %s list entries, %s revised decisions\n",
              thousands(preview["labels"].count()).c_str(), thousands(preview["entries"].count()).c_str(),
              thousands(preview["revisions"].count()).c_str());
  std::printf("of them    %s new, %s in place of others, %s there already\n",
              thousands(preview["fresh"].count()).c_str(), thousands(preview["replaced"].count()).c_str(),
              thousands(preview["already"].count()).c_str());
  std::printf("entities   %s", thousands(preview["entities"].count()).c_str());
  print_share(preview, "known_good", "known_bad");
  print_entities("oldest", preview["oldest"]);
  print_entities("most trusted", preview["most_trusted"]);
  print_entities("samples", preview["samples"]);
  if (!preview["revised"].items().empty()) std::printf("\nrevised decisions, samples:\n");
  for (event::Value v : preview["revised"].items()) {
    JsonView event = preview.item(v);
    std::printf("  %s  %s %s  %s -> %s%s\n", event["time"].text().c_str(), event["type"].text().c_str(),
                event["id"].text().c_str(), event["was"].text().c_str(), event["becomes"].text().c_str(),
                event["truth"].has() ? (", known " + event["truth"].text()).c_str() : "");
  }
}

void print_batch(const JsonView& batch) {
  std::printf("batch %s: %s; %s of %s items done, %s changed, %s there already, %s failed\n",
              batch["id"].text().c_str(), batch["state"].text().c_str(), thousands(batch["done"].count()).c_str(),
              thousands(batch["items"].count()).c_str(), thousands(batch["changed"].count()).c_str(),
              thousands(batch["already"].count()).c_str(), thousands(batch["failed"].count()).c_str());
  if (batch["undone"].count() > 0) {
    std::printf("undone: %s restored, %s removed, %s gone by themselves, %s kept because others changed them since\n",
                thousands(batch["restored"].count()).c_str(), thousands(batch["removed"].count()).c_str(),
                thousands(batch["gone"].count()).c_str(), thousands(batch["kept"].count()).c_str());
  }
  if (std::string why = batch["stop_reason"].text(); !why.empty()) std::printf("stopped: %s\n", why.c_str());
}

base::Result<int> act(const Options& options) {
  Interrupt::install();
  TAMIS_TRY(files, policy_files_json(options.policy));
  std::string body = "{\"files\":" + files + ",\"samples\":" + std::to_string(options.samples);
  auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) body += std::string(",\"") + key + "\":" + json_text(text);
  };
  put("rule", options.rule);
  put("from", options.since);
  put("to", options.to);
  put("reason", options.reason);
  if (!options.truth.empty()) {
    TAMIS_TRY(csv, base::read_file(options.truth, kTruthBytesMax));
    put("truth", csv);
  }
  if (options.cap > 0) body += ",\"cap\":" + std::to_string(options.cap);
  if (options.rate > 0) body += ",\"rate\":" + std::to_string(options.rate);
  if (options.apply) body += ",\"apply\":true";
  if (options.no_revisions) body += ",\"revisions\":false";
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->run_job("act", "/v1/batches", body + "}"));
  if (options.apply) TAMIS_CHECK(session->checkpoint());
  if (options.json) {
    std::printf("%s\n", text.c_str());
    return kGood;
  }
  TAMIS_TRY(result, JsonView::parse(text));
  print_preview(result["preview"]);
  if (result["batch"].has()) {
    std::printf("\n");
    print_batch(result["batch"]);
    std::printf("take it back with: tamis undo --data %s %s\n", options.session.data.c_str(),
                result["batch"]["id"].text().c_str());
  } else if (options.apply) {
    std::printf("\nnothing to do\n");
  } else {
    std::printf("\nnothing was done; --apply does it\n");
  }
  return kGood;
}

struct UndoOptions {
  DataSessionOptions session;
  std::string batch, reason;
  uint64_t rate = 0;
  bool json = false;
};

base::Result<int> undo(const UndoOptions& options) {
  Interrupt::install();
  TAMIS_TRY(session, DataSession::open(options.session));
  std::string body = "{\"reason\":" + json_text(options.reason) + ",\"rate\":" + std::to_string(options.rate) + "}";
  TAMIS_TRY(text, session->run_job("undo", "/v1/batches/" + url_escape(options.batch) + "/undo", std::move(body)));
  TAMIS_CHECK(session->checkpoint());
  if (options.json) {
    std::printf("%s\n", text.c_str());
    return kGood;
  }
  TAMIS_TRY(batch, JsonView::parse(text));
  print_batch(batch);
  if (batch["kept"].count() == 0) return kGood;
  TAMIS_TRY(report_text, session->get("/v1/batches/" + url_escape(options.batch)));
  TAMIS_TRY(report, JsonView::parse(report_text));
  for (event::Value v : report["faults"].items()) {
    JsonView fault = report.item(v);
    std::printf("  kept %s %s %s: %s %s\n", fault["on"].text().c_str(), fault["value"].text().c_str(),
                fault["name"].text().c_str(), fault["who"].text("somebody").c_str(), fault["what"].text().c_str());
  }
  return kGood;
}

struct BatchesOptions {
  DataSessionOptions session;
  std::string batch;
  bool json = false;
};

base::Result<int> batches(const BatchesOptions& options) {
  Interrupt::install();
  DataSessionOptions reading = options.session;
  reading.reads = true;
  TAMIS_TRY(session, DataSession::open(reading));
  std::string path = options.batch.empty() ? "/v1/batches" : "/v1/batches/" + url_escape(options.batch);
  TAMIS_TRY(text, session->get(path));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(result, JsonView::parse(text));
  if (!options.batch.empty()) {
    print_batch(result["batch"]);
    return kGood;
  }
  for (event::Value v : result["batches"].items()) {
    JsonView batch = result.item(v);
    std::printf("%s  %-9s  %10s items  rule %s  by %s: %s\n", batch["id"].text().c_str(), batch["state"].text().c_str(),
                thousands(batch["items"].count()).c_str(), batch["rule"].text().c_str(), batch["author"].text().c_str(),
                batch["reason"].text().c_str());
  }
  return kGood;
}

}  // namespace

Command add_act(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--policy", options->policy, "Folder of the policy that has the rule")->required();
  app.add_option("--rule", options->rule, "Id of the rule")->required();
  app.add_option("--since,--from", options->since, "Beginning: a time, or a span back from the newest event, like 7d")
      ->required();
  app.add_option("--to", options->to, "End, likewise");
  app.add_flag("--apply", options->apply, "Do it; without this only the preview is shown");
  app.add_option("--cap", options->cap, "Stop after so many labels, entries and revisions");
  app.add_option("--rate", options->rate, "So many a second at most");
  app.add_option("--reason", options->reason, "Kept with all that is done");
  app.add_flag("--no-revisions", options->no_revisions, "Leave the past decisions themselves alone");
  app.add_option("--truth", options->truth,
                 "CSV with the columns type,id,label or entity,value,label; label good or bad");
  app.add_option("--samples", options->samples, "Entities shown of each kind")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress");
  app.footer(
      "Does to the events of the past what the rule would have done: its labels, its list entries, and a revision of "
      "each\n"
      "decision that would have been another. All of it is one batch, which `tamis undo` takes back.");
  return [options] {
    base::Result<int> code = act(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_undo(CLI::App& app) {
  auto options = std::make_shared<UndoOptions>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--reason", options->reason, "Kept with the batch");
  app.add_option("--rate", options->rate, "So many items a second at most; 0: as fast as it goes")
      ->capture_default_str();
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress");
  app.add_option("BATCH", options->batch, "Id of the batch, as `tamis act --apply` printed it")->required();
  app.footer("Restores exactly what the batch changed. What others have changed since stays, and is told.");
  return [options] {
    base::Result<int> code = undo(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_batches(CLI::App& app) {
  auto options = std::make_shared<BatchesOptions>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_flag("--json", options->json, "As JSON");
  app.add_option("BATCH", options->batch, "Id of one batch; else all of them");
  return [options] {
    base::Result<int> code = batches(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
