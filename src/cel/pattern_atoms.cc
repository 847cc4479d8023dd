#include "cel/pattern_atoms.h"

#include <re2/filtered_re2.h>
#include <re2/re2.h>

#include <algorithm>

namespace tamis::cel {

namespace {

constexpr int kLiteralBytesMin = 3;
constexpr size_t kLiteralsMax = 64;

// RE2 lowers all letters of Unicode. Only the longest stretch of ASCII is kept of a literal, because the scan lowers
// ASCII only.
std::string ascii_stretch(std::string_view text) {
  std::string_view best;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && static_cast<unsigned char>(text[end]) < 0x80) ++end;
    if (end - at > best.size()) best = text.substr(at, end - at);
    at = end + 1;
  }
  return best.size() < static_cast<size_t>(kLiteralBytesMin) ? std::string() : fold_ascii(best);
}

// Asks the filter of one regex whether a text with some of its literals might match.
class Filter {
 public:
  explicit Filter(std::string_view regex) : filter_(kLiteralBytesMin) {
    RE2::Options options(RE2::Quiet);
    int id = -1;
    good_ = filter_.Add(re2::StringPiece(regex.data(), regex.size()), options, &id) == RE2::NoError;
    if (good_) filter_.Compile(&literals_);
  }
  bool good() const { return good_; }
  const std::vector<std::string>& literals() const { return literals_; }

  bool might_match(const std::vector<bool>& present) {
    numbers_.clear();
    for (size_t i = 0; i < present.size(); ++i) {
      if (present[i]) numbers_.push_back(static_cast<int>(i));
    }
    filter_.AllPotentials(numbers_, &passed_);
    return !passed_.empty();
  }

 private:
  re2::FilteredRE2 filter_;
  bool good_ = false;
  std::vector<std::string> literals_;
  std::vector<int> numbers_, passed_;
};

}  // namespace

std::string fold_ascii(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return folded;
}

std::vector<std::string> required_literals(std::string_view regex) {
  Filter filter(regex);
  if (!filter.good()) return {};
  std::vector<std::string> stretches;
  for (const std::string& literal : filter.literals()) stretches.push_back(ascii_stretch(literal));
  // What cannot be looked for counts as present. If a text without all the others might still match, nothing is known.
  std::vector<bool> present(stretches.size());
  for (size_t i = 0; i < stretches.size(); ++i) present[i] = stretches[i].empty();
  if (filter.might_match(present)) return {};
  // A set of literals is required if a text with all others cannot match. Shrink it, the shortest first: those occur
  // in most texts.
  std::vector<size_t> order;
  for (size_t i = 0; i < stretches.size(); ++i) {
    if (!present[i]) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return stretches[a].size() < stretches[b].size(); });
  if (order.size() <= kLiteralsMax) {
    for (size_t i : order) {
      present[i] = true;
      if (filter.might_match(present)) present[i] = false;
    }
  }
  std::vector<std::string> required;
  for (size_t i = 0; i < stretches.size(); ++i) {
    if (!present[i]) required.push_back(stretches[i]);
  }
  std::sort(required.begin(), required.end());
  required.erase(std::unique(required.begin(), required.end()), required.end());
  return required;
}

}  // namespace tamis::cel
