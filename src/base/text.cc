#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace tamis::base {
namespace {

constexpr size_t kCompareBytesMax = 256;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr std::array<Unit, 5> kUnits = {{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr int64_t kDurationMsMax = int64_t{1000} * 366 * 86'400'000;

size_t allowed_distance(size_t length) { return length < 3 ? 0 : length < 6 ? 1 : length / 3; }

template <class Text>
std::string_view nearest_of(std::string_view name, std::span<const Text> candidates) {
  std::string_view best;
  // Twice the distance, less one if only letter case differs somewhere: a name in the wrong case beats a near one.
  size_t best_score = 2 * allowed_distance(name.size()) + 1;
  std::string folded(name);
  std::transform(folded.begin(), folded.end(), folded.begin(), lower);
  for (const Text& candidate : candidates) {
    std::string other(candidate);
    std::transform(other.begin(), other.end(), other.begin(), lower);
    const size_t distance = edit_distance(folded, other, best_score / 2);
    const size_t score = 2 * distance + (std::string_view(candidate) != name && distance == 0 ? 1 : 0);
    if (score < best_score || (score == 1 && best.empty())) {
      best = candidate;
      best_score = score;
    }
  }
  return best;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  if (a == b) return 0;
  const size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > limit || a.size() > kCompareBytesMax || b.size() > kCompareBytesMax) return limit + 1;
  // Three rows of the table: two above and the one being filled.
  std::array<std::array<size_t, kCompareBytesMax + 1>, 3> rows;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& above2 = rows[(i + 1) % 3];
    row[0] = i;
    size_t least = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], above2[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (least > limit) return limit + 1;
  }
  return std::min(rows[a.size() % 3][b.size()], limit + 1);
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  return nearest_of(name, candidates);
}
std::string_view nearest(std::string_view name, std::span<const std::string> candidates) {
  return nearest_of(name, candidates);
}

std::string format_thousands(int64_t number, char separator) {
  const uint64_t size = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  const std::string digits = std::to_string(size);
  std::string text = number < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) text += separator;
    text += digits[i];
  }
  return text;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 7> kNames = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  size_t unit = 0;
  double size = static_cast<double>(bytes);
  // 1023.95 would be shown as "1024.0".
  while (size >= (unit == 0 ? 1024.0 : 1023.95)) {
    size /= 1024;
    ++unit;
  }
  if (unit == 0) return std::to_string(bytes) + kNames[0];
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, size, std::chars_format::fixed, 1);
  return std::string(digits, end.ptr) + kNames[unit];
}

std::string format_double(double number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::general, 4);
  return std::string(digits, end.ptr);
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return invalid("expected a duration like 90d, 1h30m, 10s or 500ms, found \"" + std::string(text.substr(0, 40)) +
                   "\"" + std::string(why));
  };
  if (text == "0") return int64_t{0};
  if (text.empty()) return refuse("");
  const char* at = text.data();
  const char* const end = at + text.size();
  int64_t total = 0;
  size_t next_unit = 0;
  while (at != end) {
    int64_t number = 0;
    if (*at == '-') return refuse(" (it must not be negative)");
    const auto read = std::from_chars(at, end, number);
    if (read.ec == std::errc::result_out_of_range) return refuse(" (more than 1000 years)");
    if (read.ec != std::errc{}) return refuse("");
    const char* name = read.ptr;
    at = name;
    while (at != end && ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z'))) ++at;
    const std::string_view unit(name, static_cast<size_t>(at - name));
    size_t found = 0;
    while (found < kUnits.size() && kUnits[found].name != unit) ++found;
    if (unit.empty()) return refuse(" (a number without a unit)");
    if (found == kUnits.size()) return refuse(" (units are d, h, m, s, ms)");
    if (found < next_unit) return refuse(" (larger units come first, each once)");
    next_unit = found + 1;
    int64_t part = 0;
    if (__builtin_mul_overflow(number, kUnits[found].ms, &part) || __builtin_add_overflow(total, part, &total) ||
        total > kDurationMsMax) {
      return refuse(" (more than 1000 years)");
    }
  }
  return total;
}

Result<int64_t> parse_lasting_ms(std::string_view what, std::string_view text) {
  const auto refuse = [&](const std::string& why) { return invalid("\"" + std::string(what) + "\": " + why); };
  const auto ms = parse_duration_ms(text);
  if (!ms) return refuse(ms.error().message);
  if (*ms == 0) {
    return refuse("expected a duration longer than nothing, like 90d or 1h30m, found \"" + std::string(text) + "\"");
  }
  return *ms;
}

std::string format_duration_ms(int64_t duration_ms) {
  if (duration_ms == 0) return "0s";
  std::string text = duration_ms < 0 ? "-" : "";
  uint64_t rest =
      duration_ms < 0 ? uint64_t{0} - static_cast<uint64_t>(duration_ms) : static_cast<uint64_t>(duration_ms);
  for (const Unit& unit : kUnits) {
    const auto size = static_cast<uint64_t>(unit.ms);
    if (rest < size) continue;
    text += std::to_string(rest / size);
    text += unit.name;
    rest %= size;
  }
  return text;
}

}  // namespace tamis::base
