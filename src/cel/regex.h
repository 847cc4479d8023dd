// Regex: one compiled regular expression of RE2 syntax (https://github.com/google/re2/wiki/Syntax). Linear in the text
// whatever the pattern. Immutable and safe to share between threads.
//
// The planner compiles patterns that are literals once per policy. Patterns that come with an event go through
// cached_regex(), which keeps the last few of a thread within a fixed memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::cel {

struct RegexLimits {
  size_t pattern_bytes_max = 16 * 1024;
  size_t memory_bytes_max = 8 << 20;  // of the program and its automaton; matching stays correct, only slower, at it
};

class Regex {
 public:
  // Errors: not RE2 syntax (with what is wrong), too large.
  static base::Result<Regex> compile(std::string_view pattern, const RegexLimits& limits = {});
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // True if the pattern occurs anywhere in the text (cel-spec, "Regular Expressions").
  bool search(std::string_view text) const;
  std::string_view pattern() const;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Either a regex or an error; both are valid until the next call of cached_regex() by the same thread.
struct CachedRegex {
  const Regex* regex = nullptr;
  std::string_view error;
};
CachedRegex cached_regex(std::string_view pattern);

}  // namespace tamis::cel
