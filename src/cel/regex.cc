#include "cel/regex.h"

#include <re2/re2.h>

#include "base/hash.h"

namespace tamis::cel {

struct Regex::Impl {
  Impl(std::string_view pattern, const RE2::Options& options)
      : re(re2::StringPiece(pattern.data(), pattern.size()), options) {}
  RE2 re;
};

Regex::Regex(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

base::Result<Regex> Regex::compile(std::string_view pattern, const RegexLimits& limits) {
  if (pattern.size() > limits.pattern_bytes_max) {
    return base::fail(base::Code::kLimit, "the pattern has " + std::to_string(pattern.size()) + " bytes, at most " +
                                              std::to_string(limits.pattern_bytes_max) + " are allowed");
  }
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(static_cast<int64_t>(limits.memory_bytes_max));
  auto impl = std::make_unique<const Impl>(pattern, options);
  if (!impl->re.ok()) return base::invalid(impl->re.error());
  return Regex(std::move(impl));
}

bool Regex::search(std::string_view text) const {
  return impl_->re.Match(re2::StringPiece(text.data(), text.size()), 0, text.size(), RE2::UNANCHORED, nullptr, 0);
}

std::string_view Regex::pattern() const { return impl_->re.pattern(); }

namespace {

// 32 patterns of at most 1 MiB each: a bound on what foreign patterns can hold in memory.
constexpr size_t kCachedPatterns = 32;
constexpr RegexLimits kCachedLimits = {4 * 1024, 1 << 20};

struct CachedPattern {
  bool used = false;
  std::string pattern;
  std::string error;
  std::unique_ptr<const Regex> regex;
};

}  // namespace

CachedRegex cached_regex(std::string_view pattern) {
  static thread_local CachedPattern cache[kCachedPatterns];
  CachedPattern& place = cache[base::hash64(pattern) % kCachedPatterns];
  if (!place.used || place.pattern != pattern) {
    base::Result<Regex> compiled = Regex::compile(pattern, kCachedLimits);
    place.used = true;
    place.pattern = pattern.substr(0, kCachedLimits.pattern_bytes_max + 1);
    place.error = compiled ? std::string() : compiled.error().message;
    place.regex = compiled ? std::make_unique<const Regex>(std::move(*compiled)) : nullptr;
  }
  return {place.regex.get(), place.error};
}

}  // namespace tamis::cel
