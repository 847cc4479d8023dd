#include "policy/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "policy/diagnostics.h"

namespace tamis::policy {

base::Result<int64_t> parse_span_ms(std::string_view text) {
  struct Unit {
    std::string_view name;
    int64_t ms;
  };
  static constexpr Unit kUnits[] = {{"w", 604'800'000}, {"d", 86'400'000}, {"h", 3'600'000},
                                    {"m", 60'000},      {"s", 1'000},      {"ms", 1}};
  constexpr int64_t kMost = 36'525LL * 86'400'000;
  auto bad = [&] {
    return base::invalid(fmt::format("{} is not a span of time like `90d`, `1h30m` or `500ms`", quoted(text)));
  };
  int64_t total = 0, last = INT64_MAX;
  size_t i = 0;
  if (text.empty() || text.size() > 40) return bad();
  while (i < text.size()) {
    int64_t number = 0;
    size_t digits = i;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
      number = std::min(number * 10 + (text[i] - '0'), kMost);
    if (i == digits) return bad();
    size_t letters = i;
    while (i < text.size() && text[i] >= 'a' && text[i] <= 'z') ++i;
    std::string_view name = text.substr(letters, i - letters);
    auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) { return u.name == name; });
    if (unit == std::end(kUnits) || unit->ms >= last) return bad();
    last = unit->ms;
    if (number > (kMost - total) / unit->ms)
      return base::invalid(fmt::format("{} is longer than 100 years", quoted(text)));
    total += number * unit->ms;
  }
  return total;
}

uint32_t edit_distance(std::string_view a, std::string_view b, uint32_t most) {
  size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > most || a.size() > 100 || b.size() > 100) return most + 1;
  std::vector<uint32_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = static_cast<uint32_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<uint32_t>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return std::min(above[b.size()], most + 1);
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  uint32_t most = static_cast<uint32_t>(std::clamp<size_t>(name.size() / 3, 1, 4));
  const std::string* best = nullptr;
  for (const std::string& candidate : candidates) {
    uint32_t distance = edit_distance(name, candidate, most);
    if (distance > most) continue;
    most = distance == 0 ? 0 : distance - 1;
    best = &candidate;
    if (distance == 0) break;
  }
  return best == nullptr ? std::string() : fmt::format("did you mean {}?", quoted(*best));
}

}  // namespace tamis::policy
