#include "replay/class_rates.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace tamis::replay {
namespace {

constexpr std::string_view kNoClass = "(none)";
constexpr double kZ = 1.959963984540054;  // of 95 %

bool names(const RateBound& bound, std::string_view type, std::string_view name) {
  return bound.type == type && bound.name == name;
}

// How many events of this rate make an interval that ends at the bound: where (rate - most)^2 = z^2 most (1 - most) /
// n.
uint64_t events_to_tell(double rate, double most) {
  const double apart = rate - most;
  if (apart == 0) return 0;
  const double n = std::ceil(kZ * kZ * most * (1 - most) / (apart * apart));
  return n < 1 || n > 1e15 ? 0 : static_cast<uint64_t>(n);
}

RateCheck check(const std::string& type, const RateBound& bound, const ClassCell& cell) {
  RateCheck made{type, bound.name, bound.most, cell.false_positives(), RateCheck::Result::kUnknown, false, 0};
  if (!made.rate.known()) return made;
  const auto [low, high] = made.rate.interval();
  const bool exceeds = made.rate.value() > bound.most;
  made.result = exceeds ? RateCheck::Result::kExceeds : RateCheck::Result::kHolds;
  made.sure = exceeds ? low > bound.most : high <= bound.most;
  if (!made.sure) made.sure_from = events_to_tell(made.rate.value(), bound.most);
  return made;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f %%", share * 100);
  return text;
}

}  // namespace

std::pair<double, double> Share::interval() const {
  if (of == 0) return {0.0, 1.0};
  auto n = static_cast<double>(of);
  double p = value(), z2 = kZ * kZ / n;
  double middle = (p + z2 / 2) / (1 + z2);
  double half = kZ / (1 + z2) * std::sqrt(p * (1 - p) / n + z2 / (4 * n));
  return {part == 0 ? 0.0 : std::max(0.0, middle - half), part == of ? 1.0 : std::min(1.0, middle + half)};
}

std::string_view class_name(event::Value v, std::string& room) {
  if (v.is(event::Kind::kString)) return v.str();
  if (v.is(event::Kind::kAbsent)) return kNoClass;
  room = event::debug_string(v);
  return room;
}

ClassCell& cell_of(ClassCells& cells, std::string_view name) {
  const auto found = cells.find(name);
  if (found != cells.end()) return found->second;
  const size_t named = cells.size() - cells.count(kOtherClasses);
  return cells[std::string(named < kClassesMax && name != kOtherClasses ? name : kOtherClasses)];
}

base::Result<RateBound> read_rate_bound(const std::string& text, const std::vector<std::string>& types) {
  const size_t at = text.rfind('=');
  double value = 0;
  const char* begin = text.data() + (at == std::string::npos ? 0 : at + 1);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  const bool is_percent = stop != end && *stop == '%';
  if (is_percent) value /= 100;
  RateBound bound;
  if (at != std::string::npos) bound.name = text.substr(0, at);
  const size_t slash = bound.name.find('/');
  if (slash != std::string::npos && std::find(types.begin(), types.end(), bound.name.substr(0, slash)) != types.end()) {
    bound.type = bound.name.substr(0, slash);
    bound.name.erase(0, slash + 1);
  }
  if (bound.name.empty() || error != std::errc() || stop + (is_percent ? 1 : 0) != end || !(value >= 0)) {
    return base::invalid("expected CLASS=SHARE or TYPE/CLASS=SHARE, like tor=0.5% or signup/tor=0.005, found \"" +
                         text + "\"");
  }
  if (value > 1) return base::invalid("a share is at most 1, or 100%, found \"" + text + "\"");
  bound.most = value;
  return bound;
}

base::Status check_bounds(const std::vector<RateBound>& bounds) {
  for (size_t i = 0; i < bounds.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (!names(bounds[k], bounds[i].type, bounds[i].name)) continue;
      const std::string of = bounds[i].type.empty() ? "" : bounds[i].type + "/";
      return base::invalid("there are two bounds for " + of + bounds[i].name);
    }
  }
  return {};
}

std::vector<RateCheck> check_rates(const std::vector<RateBound>& bounds,
                                   const std::map<std::string, ClassCells>& by_type) {
  std::vector<RateCheck> checks;
  for (const RateBound& bound : bounds) {
    const size_t before = checks.size();
    bool has_own = false;  // a type with honest events that a bound of its own is for
    for (const auto& [type, cells] : by_type) {
      if (!bound.type.empty() && bound.type != type) continue;
      const auto cell = cells.find(bound.name);
      if (cell == cells.end() || cell->second.good == 0) continue;
      const std::string& of = type;  // a binding cannot be captured
      auto own = [&](const RateBound& other) { return names(other, of, bound.name); };
      if (bound.type.empty() && std::any_of(bounds.begin(), bounds.end(), own)) {
        has_own = true;
      } else {
        checks.push_back(check(type, bound, cell->second));
      }
    }
    if (checks.size() == before && !has_own) checks.push_back(check(bound.type, bound, {}));
  }
  return checks;
}

std::string RateCheck::words() const {
  if (result == Result::kUnknown) return where() + ": there are no honest events of it, so nothing is known";
  const auto [low, high] = rate.interval();
  std::string text = where() + ": " + percent(rate.value()) + " of honest events are treated harshly, at most " +
                     percent(most) + " may be (" + std::to_string(rate.part) + " of " + std::to_string(rate.of) +
                     "; 95 %: " + percent(low) + " to " + percent(high) + ")";
  if (sure) return text;
  text += "; these are too few to tell, it may be ";
  text += result == Result::kHolds ? "more" : "less";
  if (sure_from > 0) text += ": at this rate it takes " + std::to_string(sure_from);
  return text;
}

}  // namespace tamis::replay
