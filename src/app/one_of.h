// Options that take one of a few words. CLI11 has the same, but shows operators the numbers behind the words.
#pragma once

#include <map>
#include <string>

namespace CLI {
class Validator;
}

namespace tamis::app {

// For add_option(flag, an enumeration, ...)->transform(): `words` gives each word its number. Another word is an error
// that names them.
CLI::Validator one_of(std::map<std::string, int> words);

}  // namespace tamis::app
