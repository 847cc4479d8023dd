#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"

namespace tamis::app {
namespace {

// The words that can follow each command, from the same declarations that parse them.
std::string words_of(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += (words.empty() ? "" : " ") + ("--" + name);
  }
  return words;
}

std::string commands_of(const CLI::App& root) {
  std::string names;
  for (const CLI::App* command : root.get_subcommands({})) names += (names.empty() ? "" : " ") + command->get_name();
  return names;
}

std::string bash_script(const CLI::App& root) {
  std::string out = "_tamis() {\n  local cur=${COMP_WORDS[COMP_CWORD]}\n";
  out += "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W '" + commands_of(root) +
         "' -- \"$cur\")); return; fi\n";
  out += "  local words=\n  case ${COMP_WORDS[1]} in\n";
  for (const CLI::App* command : root.get_subcommands({})) {
    out += "    " + command->get_name() + ") words='" + words_of(*command) + "' ;;\n";
  }
  out +=
      "  esac\n  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); "
      "else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\ncomplete -o filenames -F _tamis tamis\n";
  return out;
}

std::string zsh_script(const CLI::App& root) {
  return "#compdef tamis\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(root);
}

std::string fish_script(const CLI::App& root) {
  std::string out;
  for (const CLI::App* command : root.get_subcommands({})) {
    out += "complete -c tamis -n __fish_use_subcommand -a " + command->get_name() + " -d '" +
           command->get_description() + "'\n";
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        out += "complete -c tamis -n '__fish_seen_subcommand_from " + command->get_name() + "' -l " + name + "\n";
      }
    }
  }
  return out;
}

}  // namespace

Command add_completion(CLI::App& app, const CLI::App& root) {
  auto shell = std::make_shared<std::string>("bash");
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->capture_default_str();
  app.footer("bash: source <(tamis completion bash)");
  return [shell, &root] {
    std::string script = *shell == "fish" ? fish_script(root) : *shell == "zsh" ? zsh_script(root) : bash_script(root);
    std::fputs(script.c_str(), stdout);
    return kGood;
  };
}

}  // namespace tamis::app
