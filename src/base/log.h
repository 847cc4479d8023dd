// Log: one line per thing worth telling an operator, on stderr.
//
//   2026-11-21T18:00:00.000Z info door: listening address=127.0.0.1:8080 tls=true
//   {"time":"2026-11-21T18:00:00.000Z","level":"info","room":"door","message":"listening","address":"127.0.0.1:8080"}
//
//   TAMIS_LOG(kInfo, "door", "listening on {} addresses", n).field("address", address).field("tls", true);
//
// The format string is checked when compiled ({fmt}). A level that is off costs one load; nothing is evaluated.
// Each call site may write a burst of 20 lines and then 10 a second; what is left out is counted and told in its next
// line as suppressed=N, so a fault that repeats with every event neither fills the disk nor slows the loop.
// Secrets: a field whose name speaks of a token, password, secret, cookie, key or authorization is shown as "***".
// Line breaks and control characters are escaped: data from outside cannot forge a line.
//
// Level, format and destination are the one piece of state here that belongs to the process, as stderr does.
// Thread-safe; a line is written with one system call and never torn.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace tamis::base {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : uint8_t { kText, kJson };

void set_log_level(LogLevel level);  // kInfo at start
void set_log_format(LogFormat format);
// Where finished lines go (with their "\n"); null puts stderr back. Called under a lock: must not log.
void set_log_sink(std::function<void(std::string_view line)> sink);
// "debug", "info", "warn", "error", "off"; nothing for other words.
std::optional<LogLevel> parse_log_level(std::string_view text);

namespace log_detail {

extern std::atomic<LogLevel> threshold;

// One per TAMIS_LOG in the source.
struct CallSite {
  std::atomic<int64_t> theoretical_ns{0};  // of the generic cell rate algorithm
  std::atomic<uint64_t> suppressed{0};
};

class Line {
 public:
  Line(LogLevel level, std::string_view room, CallSite& site);
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  ~Line();  // writes it

  template <class... Args>
  Line& message(fmt::format_string<Args...> format, Args&&... args) {
    if (active_) vmessage(format, fmt::make_format_args(args...));
    return *this;
  }

  Line& field(std::string_view name, std::string_view value) { return text_field(name, value); }
  Line& field(std::string_view name, const char* value) { return text_field(name, value); }
  Line& field(std::string_view name, const std::string& value) { return text_field(name, value); }
  Line& field(std::string_view name, bool value) { return bare_field(name, value ? "true" : "false"); }
  template <class T>
  requires std::is_arithmetic_v<T> Line& field(std::string_view name, T value) {
    return active_ ? bare_field(name, fmt::format("{}", value)) : *this;
  }

 private:
  void vmessage(fmt::string_view format, fmt::format_args args);
  Line& text_field(std::string_view name, std::string_view value);
  Line& bare_field(std::string_view name, std::string_view value);

  bool active_;  // the call site may write now
  LogLevel level_;
  bool json_;
  uint64_t suppressed_;
  std::string_view room_;
  std::string message_;
  std::string fields_;
};

// Gives both branches of the macro's conditional the type void.
struct Discard {
  void operator&(const Line&) const {}
};

}  // namespace log_detail
}  // namespace tamis::base

// TAMIS_LOG(level, room, format, arguments...): level is kDebug, kInfo, kWarn or kError.
#define TAMIS_LOG(severity, room, ...)                                                                       \
  (::tamis::base::LogLevel::severity < ::tamis::base::log_detail::threshold.load(std::memory_order_relaxed)) \
      ? void(0)                                                                                              \
      : ::tamis::base::log_detail::Discard() &                                                               \
            ::tamis::base::log_detail::Line(::tamis::base::LogLevel::severity, room,                         \
                                            []() -> ::tamis::base::log_detail::CallSite& {                   \
                                              static ::tamis::base::log_detail::CallSite log_call_site;      \
                                              return log_call_site;                                          \
                                            }())                                                             \
                .message(__VA_ARGS__)
