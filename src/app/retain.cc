#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "base/text.h"

namespace tamis::app {
namespace {

struct Options {
  DataSessionOptions session;
  std::string now;
  bool json = false;
};

base::Result<int> retain(const Options& options) {
  Interrupt::install();
  TAMIS_TRY(session, DataSession::open(options.session));
  std::string body = options.now.empty() ? "{}" : "{\"now\":" + json_text(options.now) + "}";
  TAMIS_TRY(text, session->post("/v1/retain", std::move(body)));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(report, JsonView::parse(text));
  auto number = [&](const char* key) { return base::format_thousands(static_cast<int64_t>(report[key].count())); };
  std::printf("archive    %s files rewritten, %s removed; %s events forgotten, %s values dropped, %s made tokens\n",
              number("files_rewritten").c_str(), number("files_removed").c_str(), number("rows_removed").c_str(),
              number("values_dropped").c_str(), number("values_tokened").c_str());
  std::printf("journal    %s segments and %s snapshots removed; it begins with record %s\n",
              number("segments_removed").c_str(), number("snapshots_removed").c_str(), number("first_record").c_str());
  std::printf("state      %s keys of features lost private values\n", number("state_keys").c_str());
  std::printf(
      "beside     %s items of batches, %s lines of the audit trail, %s notices; %s events that were only kept\n",
      number("batch_items").c_str(), number("audit_lines").c_str(), number("notices").c_str(),
      number("past_records").c_str());
  std::printf("keys       %s destroyed\n", number("keys_destroyed").c_str());
  return kGood;
}

}  // namespace

Command add_retain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--now", options->now, "As if it were this time, like 2027-01-31T00:00:00Z");
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress");
  app.footer(
      "Forgets what the policy says is too old (`raw`, `keep`): values become tokens, then go; events go; the journal "
      "is\n"
      "trimmed to a snapshot; features, batches, audit trail and outbox lose private values. A server does so by "
      "itself\n"
      "every hour.");
  return [options] {
    base::Result<int> code = retain(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
