// tamis: one binary, one command each for the analyst, the engineer, the support agent and the operator.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/command.h"
#include "base/text.h"

namespace {

// What was wrong and where the help is. The whole help would bury it.
std::string failure(const CLI::App* root, const CLI::Error& error) {
  std::string where = "tamis";
  for (const CLI::App* command : root->get_subcommands()) where += " " + command->get_name();
  return std::string("tamis: ") + error.what() + "; see " + where + " --help\n";
}

// Whether the first word names a command, or is an option. If not, says so with the nearest name.
bool is_known(const CLI::App& root, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  if (word.empty() || word[0] == '-' || std::find(names.begin(), names.end(), word) != names.end()) return true;
  std::string_view near = tamis::base::nearest(word, names);
  tamis::app::complain("there is no command \"" + word + "\"; " +
                       (near.empty() ? "see tamis --help" : "did you mean " + std::string(near) + "?"));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tamis::app;
  CLI::App root{"Tamis decides, in real time or afterwards, what to do about each event at a mail and web service."};
  root.name("tamis");
  root.require_subcommand(1);
  root.set_help_all_flag("--help-all", "Help of all commands");
  root.set_version_flag("--version", std::string("tamis ") + kVersion);
  root.failure_message(failure);

  std::vector<std::pair<CLI::App*, Command>> commands;
  auto add = [&](const char* name, const char* what, Command (*make)(CLI::App&)) {
    CLI::App* app = root.add_subcommand(name, what);
    commands.emplace_back(app, make(*app));
  };
  add("serve", "Run the server: decide events over HTTP", add_serve);
  add("check", "Type-check a policy and show what is wrong", add_check);
  add("test", "Run the tests of a policy", add_test);
  add("replay", "Decide the events of files, exactly as a server would have", add_replay);
  add("explain", "Tell in words why an event was decided as it was", add_explain);
  add("cel", "Evaluate CEL expressions, or run conformance cases", add_cel);
  add("import", "Take events of the past into a data folder", add_import);
  add("query", "Ask the archive of a data folder in SQL", add_query);
  add("backtest", "Tell what a rule or a policy would have done to past events", add_backtest);
  add("find", "Search past events with an expression", add_find);
  add("act", "Do to past events what a rule would have done, as one batch", add_act);
  add("undo", "Take a batch back", add_undo);
  add("batches", "Show the batches of a data folder", add_batches);
  add("outbox", "Show what leaves as webhooks; try dead letters again", add_outbox);
  add("digest", "Print a digest of the whole state of a data folder", add_digest);
  add("why", "Tell what is in force on an account, address or domain, and why", add_why);
  add("release", "Take back what is in force on an entity", add_release);
  add("label", "Set, clear and show labels", add_label);
  add("list", "Change and show the lists of the policy at run time", add_list);
  add("truth", "Say what an event or entity turned out to be", add_truth);
  add("clusters", "Bulk registrations as objects: list, look, confirm or refute, act", add_clusters);
  add("eval", "What a policy does to honest people, by class of network, as a gate", add_eval);
  add("policy", "Versions of the policy: list, compare, roll back", add_policy);
  add("audit", "Who changed what, and who looked at whose data", add_audit);
  add("erase", "Remove all that is kept of a person", add_erase);
  add("retain", "Forget what is too old to keep", add_retain);
  add("mail", "Judge messages of files, learn from them, measure the filter", add_mail);
  add("top", "Watch a running server: decisions, rates, rules, latencies", add_top);
  add("demo", "Send a stream of lifelike events to a server", add_demo);
  add("token", "Make a bearer token for a caller of the server", add_token);
  add("bench", "Measure how fast a policy decides the events of files", add_bench);
  add("train", "Train the models that ship, from labelled data", add_train);
  add("version", "Print the version", add_version);
  CLI::App* completion = root.add_subcommand("completion", "Print a completion script for a shell");
  commands.emplace_back(completion, add_completion(*completion, root));

  if (argc > 1 && !is_known(root, argv[1])) return kFailed;
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = root.exit(error);
    return code == 0 ? kGood : kFailed;
  }
  for (auto& [app, run] : commands) {
    if (app->parsed()) return run();
  }
  return kFailed;
}
