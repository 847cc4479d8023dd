// tamis: one binary, one command each for the analyst, the engineer, the support agent and the operator.
#include <CLI/CLI.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "app/command.h"

int main(int argc, char** argv) {
  using namespace tamis::app;
  CLI::App root{"Tamis decides, in real time or afterwards, what to do about each event at a mail and web service."};
  root.name("tamis");
  root.require_subcommand(1);
  root.set_help_all_flag("--help-all", "Help of all commands");
  root.set_version_flag("--version", std::string("tamis ") + kVersion);
  root.failure_message(CLI::FailureMessage::help);

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
  add("top", "Watch a running server: decisions, rates, rules, latencies", add_top);
  add("demo", "Send a stream of lifelike events to a server", add_demo);
  add("token", "Make a bearer token for a caller of the server", add_token);
  add("bench", "Measure how fast a policy decides the events of files", add_bench);
  add("version", "Print the version", add_version);
  CLI::App* completion = root.add_subcommand("completion", "Print a completion script for a shell");
  commands.emplace_back(completion, add_completion(*completion, root));

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
