#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <mutex>

namespace tamis::base {
namespace {

constexpr int64_t kLineIntervalNs = 100'000'000;  // 10 lines a second of one call site
constexpr int64_t kBurst = 20;
constexpr size_t kLineBytesMax = 8 * 1024;  // of a message or of a value

std::atomic<LogFormat> line_format{LogFormat::kText};
std::mutex sink_mutex;  // guards sink
std::function<void(std::string_view)>& sink() {
  static std::function<void(std::string_view)> installed;
  return installed;
}

constexpr std::array<std::string_view, 5> kLevels = {"debug", "info", "warn", "error", "off"};

bool is_secret(std::string_view name) {
  std::string lower;
  for (char c : name) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (lower == "key") return true;
  for (std::string_view word : {"token", "password", "secret", "cookie", "authorization", "private_key", "api_key"})
    if (lower.find(word) != std::string::npos) return true;
  return false;
}

// JSON's escapes are also the ones of quoted text values.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text.substr(0, kLineBytesMax)) {
    auto byte = static_cast<unsigned char>(c);
    if ((c == '"' || c == '\\') && quotes)
      out.append(1, '\\').append(1, c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    else
      out += c;
  }
  if (text.size() > kLineBytesMax) out += "...";
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f || c == '"' || c == '\\' || c == '=') return true;
  }
  return false;
}

std::string now_text() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1'000'000);
}

// Each line costs an interval; a site may run ahead of the clock by a burst (generic cell rate algorithm, ITU-T I.371).
bool admit(log_detail::CallSite& site) {
  int64_t now_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  int64_t then = site.theoretical_ns.load(std::memory_order_relaxed);
  for (;;) {
    int64_t base = then > now_ns ? then : now_ns;
    if (base - now_ns > (kBurst - 1) * kLineIntervalNs) {
      site.suppressed.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    if (site.theoretical_ns.compare_exchange_weak(then, base + kLineIntervalNs, std::memory_order_relaxed)) return true;
  }
}

}  // namespace

void set_log_level(LogLevel level) { log_detail::threshold.store(level, std::memory_order_relaxed); }
void set_log_format(LogFormat format) { line_format.store(format, std::memory_order_relaxed); }

void set_log_sink(std::function<void(std::string_view line)> to) {
  std::lock_guard lock(sink_mutex);
  sink() = std::move(to);
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (size_t i = 0; i < kLevels.size(); ++i)
    if (text == kLevels[i]) return static_cast<LogLevel>(i);
  return std::nullopt;
}

namespace log_detail {

std::atomic<LogLevel> threshold{LogLevel::kInfo};

Line::Line(LogLevel level, std::string_view room, CallSite& site)
    : active_(admit(site)),
      level_(level),
      json_(line_format.load(std::memory_order_relaxed) == LogFormat::kJson),
      suppressed_(active_ ? site.suppressed.exchange(0, std::memory_order_relaxed) : 0),
      room_(room) {}

void Line::vmessage(fmt::string_view format, fmt::format_args args) { message_ = fmt::vformat(format, args); }

Line& Line::text_field(std::string_view name, std::string_view value) {
  if (!active_) return *this;
  if (is_secret(name)) value = "***";
  bool quoted = json_ || needs_quotes(value);
  std::string text;
  if (quoted) text += '"';
  append_escaped(text, value, quoted);
  if (quoted) text += '"';
  return bare_field(name, text);
}

Line& Line::bare_field(std::string_view name, std::string_view value) {
  if (!active_) return *this;
  fields_ += json_ ? ",\"" : " ";
  append_escaped(fields_, name, json_);
  fields_ += json_ ? "\":" : "=";
  fields_ += value;
  return *this;
}

Line::~Line() {
  if (!active_) return;
  if (suppressed_ > 0) field("suppressed", suppressed_);
  std::string line = json_ ? "{\"time\":\"" : "";
  line += now_text();
  line += json_ ? "\",\"level\":\"" : " ";
  line += kLevels[static_cast<size_t>(level_)];
  line += json_ ? "\",\"room\":\"" : " ";
  append_escaped(line, room_, json_);
  line += json_ ? "\",\"message\":\"" : ": ";
  append_escaped(line, message_, json_);
  if (json_) line += '"';
  line += fields_;
  line += json_ ? "}\n" : "\n";
  std::lock_guard lock(sink_mutex);
  if (sink()) {
    sink()(line);
  } else {
    // Nothing sensible can be done when stderr is gone.
    [[maybe_unused]] auto n = write(STDERR_FILENO, line.data(), line.size());
  }
}

}  // namespace log_detail
}  // namespace tamis::base
