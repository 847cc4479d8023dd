// Options that take one of a few words. CLI11 has the same, but shows operators the numbers behind the words.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace tamis::app {

// For add_option(flag, an enumeration, ...)->transform(): `words` gives each word its value. Another word is an error
// that names them.
template <class Enum>
CLI::Validator one_of(std::map<std::string, Enum> words) {
  std::string all;
  for (const auto& [word, value] : words) all += (all.empty() ? "" : "|") + word;
  return CLI::Validator(
      [words, all](std::string& given) {
        const auto found = words.find(given);
        if (found == words.end()) return "expected one of " + all + ", not '" + given + "'";
        given = std::to_string(static_cast<long long>(found->second));
        return std::string();
      },
      all, "one of");
}

}  // namespace tamis::app
