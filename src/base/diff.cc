#include "base/diff.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace tamis::base {
namespace {

using Lines = std::vector<std::string_view>;

// Lines with their ends, so that a last line without one is another line.
Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    size_t bytes = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return lines;
}

// Marks the lines of each text that the other does not have, by the middle snake of the shortest edit, recursively.
class Myers {
 public:
  Myers(const std::vector<int>& a, const std::vector<int>& b, size_t steps_max)
      : a_(a), b_(b), removed(a.size(), false), added(b.size(), false), steps_left_(steps_max) {
    size_t diagonals = 2 * ((a.size() + b.size() + 1) / 2 + 1) + 1;
    forward_.resize(diagonals);
    backward_.resize(diagonals);
    compare(0, static_cast<int>(a.size()), 0, static_cast<int>(b.size()));
  }

 private:
  const std::vector<int>&a_, &b_;

 public:
  std::vector<bool> removed, added;

 private:
  void compare(int a0, int a1, int b0, int b1) {
    for (; a0 < a1 && b0 < b1 && at(a0, b0); ++a0, ++b0) {
    }
    for (; a0 < a1 && b0 < b1 && at(a1 - 1, b1 - 1); --a1, --b1) {
    }
    if (a0 == a1 || b0 == b1) return mark(a0, a1, b0, b1);
    int x = 0, y = 0;
    // A split at a corner would not make the problem smaller; it cannot help then.
    bool found = middle(a0, a1, b0, b1, x, y) && !(x == a0 && y == b0) && !(x == a1 && y == b1);
    if (!found) return mark(a0, a1, b0, b1);
    compare(a0, x, b0, y);
    compare(x, a1, y, b1);
  }

  bool at(int x, int y) const { return a_[static_cast<size_t>(x)] == b_[static_cast<size_t>(y)]; }

  void mark(int a0, int a1, int b0, int b1) {
    std::fill(removed.begin() + a0, removed.begin() + a1, true);
    std::fill(added.begin() + b0, added.begin() + b1, true);
  }

  // A point on a shortest path, where the searches from both ends meet. False: too much work.
  bool middle(int a0, int a1, int b0, int b1, int& x_out, int& y_out) {
    const int n = a1 - a0, m = b1 - b0, delta = n - m;
    const int d_max = (n + m + 1) / 2, zero = d_max + 1;
    auto place = [](int number) { return static_cast<size_t>(number); };
    auto f = [&](int k) -> int& { return forward_[place(zero + k)]; };
    auto r = [&](int k) -> int& { return backward_[place(zero + k)]; };
    f(1) = r(1) = 0;
    for (int d = 0; d <= d_max; ++d) {
      const size_t steps = place(2 * d + 2);
      if (steps_left_ < steps) return false;
      steps_left_ -= steps;
      for (int k = -d; k <= d; k += 2) {
        int x = k == -d || (k != d && f(k - 1) < f(k + 1)) ? f(k + 1) : f(k - 1) + 1;
        int y = x - k;
        for (; x < n && y < m && x >= 0 && y >= 0 && at(a0 + x, b0 + y); ++x, ++y) {
        }
        f(k) = x;
        int back = delta - k;
        if (delta % 2 == 0 || back < -(d - 1) || back > d - 1 || x + r(back) < n) continue;
        x_out = a0 + std::min(x, n);
        y_out = b0 + std::clamp(y, 0, m);
        return x <= n && y >= 0 && y <= m;
      }
      for (int k = -d; k <= d; k += 2) {
        int x = k == -d || (k != d && r(k - 1) < r(k + 1)) ? r(k + 1) : r(k - 1) + 1;
        int y = x - k;
        for (; x < n && y < m && x >= 0 && y >= 0 && at(a1 - 1 - x, b1 - 1 - y); ++x, ++y) {
        }
        r(k) = x;
        int ahead = delta - k;
        if (delta % 2 != 0 || ahead < -d || ahead > d || x + f(ahead) < n) continue;
        x_out = a1 - std::min(x, n);
        y_out = b1 - std::clamp(y, 0, m);
        return x <= n && y >= 0 && y <= m;
      }
    }
    return false;
  }

  std::vector<int> forward_, backward_;
  size_t steps_left_;
};

void put(std::string& out, char mark, std::string_view line) {
  out += mark;
  out += line;
  if (line.empty() || line.back() != '\n') out += "\n\\ No newline at end of file\n";
}

std::string range_of(size_t from, size_t count) {
  return std::to_string(count == 0 ? from : from + 1) + (count == 1 ? "" : "," + std::to_string(count));
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, const DiffOptions& options) {
  Lines a = lines_of(before), b = lines_of(after);
  std::unordered_map<std::string_view, int> numbers;
  auto number_all = [&](const Lines& lines) {
    std::vector<int> out;
    for (std::string_view line : lines) out.push_back(numbers.emplace(line, numbers.size()).first->second);
    return out;
  };
  std::vector<int> na = number_all(a), nb = number_all(b);
  Myers myers(na, nb, options.steps_max);

  // The edit script, then its hunks: changes with the lines around them, joined where these touch.
  struct Step {
    char mark;
    size_t a, b;
  };
  std::vector<Step> steps;
  for (size_t i = 0, k = 0; i < a.size() || k < b.size();) {
    if (i < a.size() && myers.removed[i]) {
      steps.push_back({'-', i++, k});
    } else if (k < b.size() && myers.added[k]) {
      steps.push_back({'+', i, k++});
    } else {
      steps.push_back({' ', i++, k++});
    }
  }
  std::string out;
  const size_t context = options.context_lines;
  for (size_t at = 0; at < steps.size();) {
    if (steps[at].mark == ' ') {
      ++at;
      continue;
    }
    size_t begin = at > context ? at - context : 0, end = at + 1;
    for (size_t same = 0; at < steps.size() && same <= 2 * context; ++at) {
      same = steps[at].mark == ' ' ? same + 1 : 0;
      if (steps[at].mark != ' ') end = at + 1;
    }
    end = std::min(end + context, steps.size());
    at = end;
    size_t of_a = 0, of_b = 0;
    for (size_t i = begin; i < end; ++i) {
      of_a += steps[i].mark != '+';
      of_b += steps[i].mark != '-';
    }
    out += "@@ -" + range_of(steps[begin].a, of_a) + " +" + range_of(steps[begin].b, of_b) + " @@\n";
    for (size_t i = begin; i < end; ++i) put(out, steps[i].mark, steps[i].mark == '+' ? b[steps[i].b] : a[steps[i].a]);
  }
  return out;
}

}  // namespace tamis::base
