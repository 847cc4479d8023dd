#include "app/factor_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tamis::app {
namespace {

int64_t hundredths(double x) { return std::llround(x * 100); }
std::string signed_hundredths(int64_t n) {
  return fmt::format("{}{}.{:02}", n < 0 ? "-" : "+", std::abs(n) / 100, std::abs(n) % 100);
}

// "2026-11-21T18:04:05.123Z" as "2026-11-21 18:04".
std::string minute(const std::string& time) {
  return time.size() < 16 ? time : time.substr(0, 10) + " " + time.substr(11, 5);
}

// "views.name" as "name".
std::string short_name(const std::string& factor) { return factor.substr(factor.rfind('.') + 1); }

std::string cluster_words(const JsonView& about) {
  std::string out = fmt::format("  Cluster {}", about["cluster"].text());
  if (about["cluster_size"].has()) out += fmt::format(": {:.0f} members", about["cluster_size"].number());
  if (about["cluster_since"].has()) out += " since " + minute(about["cluster_since"].text());
  if (about["cluster_score"].has()) out += fmt::format(", score {:.3f}", about["cluster_score"].number());
  if (about["cluster_views"].has()) out += ", shared in " + about["cluster_views"].text() + " views";
  if (about["cluster_actionable"].has())
    out += about["cluster_actionable"].truth() ? ", can be acted on" : ", cannot be acted on yet";
  if (about["cluster_confirmed"].truth()) out += "; people have confirmed it";
  if (about["cluster_cleared"].truth()) out += "; people have cleared it, so it speaks against nobody";
  return out + ".\n";
}

}  // namespace

std::string signed_odds(double log_odds) { return signed_hundredths(hundredths(log_odds)); }

std::string factor_lines(const JsonView& factors, double sum) {
  struct Line {
    std::string name, words;
    double exact;
    int64_t shown;
  };
  std::vector<Line> lines;
  int64_t left = hundredths(sum);
  for (event::Value v : factors.items()) {
    const JsonView factor = factors.item(v);
    const double exact = factor["log_odds"].number();
    lines.push_back({short_name(factor["factor"].text()), factor["words"].text(), exact, hundredths(exact)});
    left -= lines.back().shown;
  }
  // What rounding has left over goes where it changes least, a hundredth each.
  while (left != 0 && std::abs(left) <= static_cast<int64_t>(lines.size())) {
    const int64_t step = left > 0 ? 1 : -1;
    const auto off = [step](const Line& line) {
      return (line.exact * 100 - static_cast<double>(line.shown)) * static_cast<double>(step);
    };
    Line& most =
        *std::max_element(lines.begin(), lines.end(), [&](const Line& a, const Line& b) { return off(a) < off(b); });
    most.shown += step;
    left -= step;
  }
  std::string out, weightless;
  for (const Line& line : lines) {
    if (line.shown != 0) {
      out += fmt::format("  {:>7}  {:<11} {}\n", signed_hundredths(line.shown), line.name, line.words);
    } else {
      weightless += (weightless.empty() ? "" : ", ") + line.name;
    }
  }
  if (!weightless.empty()) out += "     0.00  " + weightless + "\n";
  return out;
}

std::string detector_words(const JsonView& said) {
  const double log_odds = said["log_odds"].number(), score_of = said["score_of"].number();
  std::string out = fmt::format("What {} says, score {:.3f} for {}:\n", said["detector"].text(), said["score"].number(),
                                said["says"].text());
  out += factor_lines(said["factors"], log_odds);
  out += fmt::format("  {:>7}  log-odds: the sum of these", "= " + signed_odds(log_odds));
  out += score_of == 1
             ? fmt::format(", that is a score of {:.3f}\n", said["score"].number())
             : fmt::format("; divided by {:.0f}, that is a score of {:.3f}\n", score_of, said["score"].number());
  const JsonView about = said["about"], likeness = said["likeness"];
  if (about["cluster"].has()) out += cluster_words(about);
  if (!likeness.has() || !about["cluster"].has()) return out;
  out += "  How much it looks like the next member of that cluster:\n";
  out += factor_lines(likeness["factors"], likeness["log_odds"].number());
  return out + fmt::format("  {:>7}  log-odds: the sum of these\n", "= " + signed_odds(likeness["log_odds"].number()));
}

}  // namespace tamis::app
