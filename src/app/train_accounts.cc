#include "app/train_accounts.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/data_session.h"
#include "app/json_view.h"
#include "base/file.h"
#include "base/text.h"
#include "event/json_writer.h"
#include "learn/train_accounts.h"

namespace tamis::app {
namespace {

constexpr size_t kTruthBytesMax = size_t{900} << 20;

struct Options {
  learn::TrainAccountsOptions train;
  DataSessionOptions session;
  std::string policy, from, to, truth, out;
  bool unknown_is_good = false, json = false;
};

std::string thousands(uint64_t n) { return base::format_thousands(static_cast<int64_t>(n)); }

base::Result<int> from_files(const Options& options) {
  TAMIS_TRY(report, learn::train_accounts(options.train));
  TAMIS_CHECK(base::write_file_atomically(options.out, report.model));
  if (!options.json) {
    std::printf("%zu signups, %zu of them bad; %zu trees\n\n%s", report.rows, report.bad, report.trees,
                learn::head_table(report).c_str());
    return kGood;
  }
  std::string text;
  event::JsonWriter json(text);
  json.begin_object().key("signups").uinteger(report.rows).key("used").uinteger(report.rows);
  json.key("bad").uinteger(report.bad).key("good").uinteger(report.rows - report.bad);
  json.key("trees").uinteger(report.trees).key("kinds");
  learn::write_kinds(json, report);
  json.key("out").string(options.out).end_object();
  std::printf("%s\n", text.c_str());
  return kGood;
}

learn::HeadReport report_of(const JsonView& result) {
  learn::HeadReport report;
  for (event::Value v : result["kinds"].items()) {
    const JsonView kind = result.item(v);
    learn::HeadKind& row = report.kinds.emplace_back();
    row.kind = kind["kind"].text();
    row.is_bad = kind["bad"].truth();
    row.rows = kind["signups"].count();
    row.detector = kind["detector"].number(), row.trees = kind["trees"].number(), row.both = kind["both"].number();
  }
  return report;
}

void print(const JsonView& result, const std::string& out) {
  std::printf("%s signups\n", thousands(result["signups"].count()).c_str());
  std::printf("  used     %s: %s bad, %s good\n", thousands(result["used"].count()).c_str(),
              thousands(result["bad"].count()).c_str(), thousands(result["good"].count()).c_str());
  std::printf("  untold   %s   nobody has told anything of them\n", thousands(result["untold"].count()).c_str());
  if (const uint64_t gone = result["gone"].count(); gone > 0) {
    std::string names;
    for (event::Value v : result["gone_values"].items()) {
      names += (names.empty() ? "" : ", ") + result.item(v).text();
    }
    std::printf("  gone     %s   not kept any more: %s\n", thousands(gone).c_str(), names.c_str());
  }
  std::printf("%llu trees in %s\n\n%s", static_cast<unsigned long long>(result["trees"].count()), out.c_str(),
              learn::head_table(report_of(result)).c_str());
}

// The answer without the model, which is in its file.
void print_json(const JsonView& result, const std::string& out) {
  std::string text;
  event::JsonWriter json(text);
  json.begin_object();
  for (const char* key :
       {"policy", "signups", "used", "bad", "good", "untold", "gone", "gone_values", "trees", "kinds"}) {
    json.key(key).value(result[key].value());
  }
  json.key("out").string(out).end_object();
  std::printf("%s\n", text.c_str());
}

base::Result<int> from_data(Options& options) {
  Interrupt::install();
  std::string body = "{\"rounds\":" + std::to_string(options.train.boost.rounds) +
                     ",\"depth\":" + std::to_string(options.train.boost.depth);
  const auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) body += std::string(",\"") + key + "\":" + json_text(text);
  };
  put("from", options.from);
  put("to", options.to);
  if (!options.policy.empty()) {
    TAMIS_TRY(files, policy_files_json(options.policy));
    body += ",\"files\":" + files;
  }
  if (!options.truth.empty()) {
    TAMIS_TRY(csv, base::read_file(options.truth, kTruthBytesMax));
    put("truth", csv);
  }
  if (options.unknown_is_good) body += ",\"unknown_is_good\":true";
  // Without a policy of one's own the one that decides is needed, and so the folder's state.
  options.session.state = options.policy.empty();
  options.session.reads = true;
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->run_job("train", "/v1/train/accounts", body + "}"));
  TAMIS_TRY(result, JsonView::parse(text));
  TAMIS_CHECK(base::write_file_atomically(options.out, result["model"].text()));
  options.json ? print_json(result, options.out) : print(result, options.out);
  return kGood;
}

base::Result<int> run(Options& options) {
  const bool of_data = !options.session.data.empty(), of_files = !options.train.directories.empty();
  if (of_data == of_files) {
    return base::invalid("train from a data folder (--data DIR) or from directories of files: one of them");
  }
  const bool for_data =
      options.unknown_is_good || !(options.policy + options.from + options.to + options.truth).empty();
  if (of_files && for_data) {
    return base::invalid("--policy, --from, --to, --truth and --unknown-is-good go with --data");
  }
  if (of_data && !options.train.without.empty()) {
    return base::invalid("--without goes with directories of files: truth that people tell names no kinds");
  }
  return of_data ? from_data(options) : from_files(options);
}

void add_data_options(CLI::App& accounts, const std::shared_ptr<Options>& options) {
  accounts.add_option("--data", options->session.data,
                      "Train from a data folder: its signups, and truth that people told of them");
  accounts.add_option("--policy", options->policy, "Folder of the policy; else the one that decides there");
  accounts.add_option("--from", options->from,
                      "Signups from then on: a time, or a span back from the newest event, like 60d");
  accounts.add_option("--to", options->to,
                      "Signups before then: what is newer has hardly been found out about, like 7d");
  accounts.add_option("--truth", options->truth,
                      "CSV with the columns type,id,label or entity,value,label, beside what the folder knows");
  accounts.add_flag("--unknown-is-good", options->unknown_is_good,
                    "Signups of which nobody has told anything are honest");
  accounts.add_flag("-q,--quiet", options->session.quiet, "No progress");
}

}  // namespace

Command add_train_accounts(CLI::App& train) {
  auto options = std::make_shared<Options>();
  CLI::App* accounts =
      train.add_subcommand("accounts", "Train the head over the signup detector from events and truth");
  accounts
      ->add_option("directories", options->train.directories,
                   "Directories with events.jsonl, labels_accounts.csv and ip_intel.csv")
      ->check(CLI::ExistingDirectory);
  add_data_options(*accounts, options);
  accounts->add_option("--out", options->out, "File to write the trees to")->required();
  accounts->add_option("--without", options->train.without, "A kind of account to leave out; repeat for more");
  accounts->add_option("--rounds", options->train.boost.rounds, "Trees")
      ->check(CLI::Range(1, 5000))
      ->capture_default_str();
  accounts->add_option("--depth", options->train.boost.depth, "Depth of a tree")
      ->check(CLI::Range(1, 12))
      ->capture_default_str();
  accounts->add_flag("--json", options->json, "As JSON");
  accounts->footer(
      "What the detector said of past signups is made again by a replay of what is stored; signups of which values "
      "are\n"
      "not kept any more are counted, and not used. A server that holds the folder is asked over its socket.\n"
      "Example: tamis train accounts --data DIR --to 7d --unknown-is-good --out policies/accounts/model/signup.trees");
  return [options] {
    base::Result<int> code = run(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
