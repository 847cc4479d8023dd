// Router: finds the route of a path. Filled before the server starts, read by all loops afterwards.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/http_server.h"

namespace tamis::net {

struct Route {
  Handler handler;       // one of these two is set
  StreamFactory stream;  //
  RouteOptions options;
};

class Router {
 public:
  struct Match {
    const Route* route = nullptr;
    bool path_known = false;  // some other method exists for the path
    bool bad_escape = false;  // a parameter is badly percent-encoded
    unsigned methods = 0;     // bit per Method, when path_known
  };

  // Malformed and repeated patterns are asserted.
  void add(Method method, std::string_view pattern, Route route);
  void for_each(const std::function<void(Method, std::string_view pattern, Route&)>& visit);
  // Sets the parameters of `request`. Cost: a hash for exact paths, a prefix comparison per pattern for others.
  Match find(Request& request) const;

 private:
  static constexpr size_t kMethods = 7;
  struct Methods {
    std::array<std::unique_ptr<Route>, kMethods> routes;
  };
  struct Pattern {
    std::string text;                   // for finding repeats
    std::string prefix;                 // literal text before the first parameter
    std::vector<std::string> segments;  // after the prefix; empty string = parameter
    bool rest = false;                  // ends in {name...}
    Methods methods;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  static bool match(const Pattern& pattern, Request& request);
  static void choose(const Methods& methods, Method method, Match& out);
  static Pattern parse(std::string_view text);

  std::unordered_map<std::string, Methods, Hash, std::equal_to<>> exact_;
  std::vector<Pattern> patterns_;  // longest prefix first
};

// Decodes %XX of `text`, appending to `out`; `plus_is_space` for query strings. False on a bad escape or a NUL.
bool append_percent_decoded(std::string_view text, bool plus_is_space, std::string& out);

}  // namespace tamis::net
