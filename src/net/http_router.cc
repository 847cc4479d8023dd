#include "net/http_router.h"

#include <algorithm>

#include "base/assert.h"

namespace tamis::net {

bool append_percent_decoded(std::string_view text, bool plus_is_space, std::string& out) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      int high = digit(text[i + 1]), low = digit(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    out.push_back(c);
  }
  return true;
}

Router::Pattern Router::parse(std::string_view text) {
  Pattern pattern;
  pattern.text = text;
  size_t open = text.find('{');
  TAMIS_ASSERT(open > 0 && text[open - 1] == '/');
  pattern.prefix = text.substr(0, open);
  std::string_view left = text.substr(open);
  size_t params = 0;
  for (;;) {
    TAMIS_ASSERT(!pattern.rest);  // {name...} must be last
    size_t slash = left.find('/');
    std::string_view segment = left.substr(0, slash);
    if (!segment.empty() && segment.front() == '{') {
      TAMIS_ASSERT(segment.size() > 2 && segment.back() == '}');
      ++params;
      pattern.rest = segment.size() > 5 && segment.substr(segment.size() - 4) == "...}";
      if (!pattern.rest) pattern.segments.emplace_back();
    } else {
      TAMIS_ASSERT(!segment.empty() && segment.find_first_of("{}") == std::string_view::npos);
      pattern.segments.emplace_back(segment);
    }
    if (slash == std::string_view::npos) break;
    left.remove_prefix(slash + 1);
  }
  TAMIS_ASSERT(params <= Request::kParamsMax);
  return pattern;
}

void Router::add(Method method, std::string_view pattern, Route route) {
  TAMIS_ASSERT(!pattern.empty() && pattern.front() == '/' && pattern.find('?') == std::string_view::npos);
  Methods* methods = nullptr;
  if (pattern.find('{') == std::string_view::npos) {
    methods = &exact_[std::string(pattern)];
  } else {
    auto same = std::find_if(patterns_.begin(), patterns_.end(), [&](const Pattern& p) { return p.text == pattern; });
    if (same == patterns_.end()) {
      Pattern parsed = parse(pattern);
      // Longest prefix first, then the one with more literal segments, then parameters before {rest...}.
      auto before = [](const Pattern& a, const Pattern& b) {
        if (a.prefix.size() != b.prefix.size()) return a.prefix.size() > b.prefix.size();
        if (a.rest != b.rest) return b.rest;
        auto literals = [](const Pattern& p) {
          return std::count_if(p.segments.begin(), p.segments.end(), [](const std::string& s) { return !s.empty(); });
        };
        return literals(a) > literals(b);
      };
      auto at = std::upper_bound(patterns_.begin(), patterns_.end(), parsed, before);
      same = patterns_.insert(at, std::move(parsed));
    }
    methods = &same->methods;
  }
  auto& slot = methods->routes[static_cast<size_t>(method)];
  TAMIS_ASSERT(slot == nullptr);
  slot = std::make_unique<Route>(std::move(route));
}

void Router::for_each(const std::function<void(Method, std::string_view pattern, Route&)>& visit) {
  const auto each = [&visit](std::string_view pattern, Methods& methods) {
    for (size_t i = 0; i < kMethods; ++i) {
      if (methods.routes[i] != nullptr) visit(static_cast<Method>(i), pattern, *methods.routes[i]);
    }
  };
  for (auto& [path, methods] : exact_) each(path, methods);
  for (Pattern& pattern : patterns_) each(pattern.text, pattern.methods);
}

bool Router::match(const Pattern& pattern, Request& request) {
  std::string_view path = request.path_;
  if (path.size() < pattern.prefix.size() || path.substr(0, pattern.prefix.size()) != pattern.prefix) return false;
  std::string_view left = path.substr(pattern.prefix.size());
  bool at_end = false;  // no further "/" was found
  request.param_count_ = 0;
  for (const std::string& expected : pattern.segments) {
    if (at_end) return false;
    size_t slash = left.find('/');
    std::string_view segment = left.substr(0, slash);
    if (segment.empty() || (!expected.empty() && segment != expected)) return false;
    if (expected.empty()) request.params_[request.param_count_++] = segment;
    at_end = slash == std::string_view::npos;
    left = at_end ? std::string_view() : left.substr(slash + 1);
  }
  if (pattern.rest) {
    if (at_end) return false;
    request.params_[request.param_count_++] = left;
    return true;
  }
  return at_end;
}

void Router::choose(const Methods& methods, Method method, Match& out) {
  out.path_known = true;
  out.route = methods.routes[static_cast<size_t>(method)].get();
  if (out.route == nullptr && method == Method::kHead)
    out.route = methods.routes[static_cast<size_t>(Method::kGet)].get();
  if (out.route != nullptr) return;
  for (size_t i = 0; i < kMethods; ++i)
    if (methods.routes[i]) out.methods |= 1u << i;
  if (out.methods & (1u << static_cast<unsigned>(Method::kGet)))
    out.methods |= 1u << static_cast<unsigned>(Method::kHead);
}

Router::Match Router::find(Request& request) const {
  Match out;
  if (auto it = exact_.find(request.path_); it != exact_.end()) {
    choose(it->second, request.method_, out);
    if (out.route != nullptr) return out;
  }
  for (const Pattern& pattern : patterns_) {
    if (!match(pattern, request)) continue;
    choose(pattern.methods, request.method_, out);
    if (out.route != nullptr) break;
  }
  if (out.route == nullptr) return out;
  bool escaped = false;
  for (size_t i = 0; i < request.param_count_; ++i) escaped |= request.params_[i].find('%') != std::string_view::npos;
  if (!escaped) return out;
  // The scratch text must not move while views into it are made.
  request.param_scratch_.clear();
  request.param_scratch_.reserve(request.path_.size());
  for (size_t i = 0; i < request.param_count_; ++i) {
    size_t begin = request.param_scratch_.size();
    if (!append_percent_decoded(request.params_[i], false, request.param_scratch_)) {
      out.bad_escape = true;
      return out;
    }
    request.params_[i] = std::string_view(request.param_scratch_).substr(begin);
  }
  return out;
}

}  // namespace tamis::net
