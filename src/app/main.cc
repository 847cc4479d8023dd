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
  // Down to the command that was named: what it wants is in its own help.
  for (const CLI::App* at = root; !at->get_subcommands().empty();) {
    at = at->get_subcommands().back();
    where += " " + at->get_name();
  }
  return std::string("tamis: ") + error.what() + "; see " + where + " --help\n";
}

// Whether a word names a command of `root`, or is an option. If not, says so with the nearest name.
bool is_known(const CLI::App& root, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  if (word.empty() || word[0] == '-' || std::find(names.begin(), names.end(), word) != names.end()) return true;
  std::string_view near = tamis::base::nearest(word, names);
  const std::string whose = root.get_parent() == nullptr ? "tamis" : "tamis " + root.get_name();
  tamis::app::complain("there is no command \"" + (root.get_parent() == nullptr ? word : root.get_name() + " " + word) +
                       "\"; " +
                       (near.empty() ? "see " + whose + " --help" : "did you mean " + std::string(near) + "?"));
  return false;
}

// The same for the words after `tamis`: a command, and its own command where it cannot do without.
bool are_known(const CLI::App& root, const std::vector<std::string>& words) {
  if (words.empty()) return true;
  if (!is_known(root, words[0])) return false;
  if (words.size() < 2 || words[0][0] == '-') return true;
  const CLI::App* command = root.get_subcommand(words[0]);
  return command->get_require_subcommand_min() == 0 || is_known(*command, words[1]);
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
  add("verify", "Tell whether a data folder is still what was written", add_verify);
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

  if (!are_known(root, {argv + 1, argv + argc})) return kFailed;
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
