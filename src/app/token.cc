#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "net/auth.h"

namespace tamis::app {

Command add_token(CLI::App& app) {
  struct Options {
    std::string name, roles;
  };
  auto options = std::make_shared<Options>();
  app.add_option("NAME", options->name, "Who will use it, for logs: letters, digits, - _ .")->required();
  app.add_option("ROLES", options->roles,
                 "One or more of ingest, decide, analyst, support, metrics, admin, with commas")
      ->required();
  app.footer(
      "The token goes to stderr, to be shown once; its line for the tokens file goes to stdout:\n"
      "  tamis token mailer decide >> tokens");
  return [options] {
    auto roles = net::RoleSet::parse(options->roles);
    if (!roles) return complain(roles.error().message);
    auto made = net::TokenStore::generate(options->name, *roles);
    if (!made) return complain(made.error().message);
    std::fprintf(stderr, "%s\n", made->token.c_str());
    std::printf("%s\n", made->line.c_str());
    return kGood;
  };
}

}  // namespace tamis::app
