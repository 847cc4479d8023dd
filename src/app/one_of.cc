#include "app/one_of.h"

#include <CLI/CLI.hpp>
#include <utility>

namespace tamis::app {

CLI::Validator one_of(std::map<std::string, int> words) {
  std::string all;
  for (const auto& [word, number] : words) all += (all.empty() ? "" : "|") + word;
  auto take = [words = std::move(words), all](std::string& given) {
    const auto found = words.find(given);
    if (found == words.end()) return "expected one of " + all + ", not '" + given + "'";
    given = std::to_string(found->second);
    return std::string();
  };
  return CLI::Validator(std::move(take), all, "one of");
}

}  // namespace tamis::app
