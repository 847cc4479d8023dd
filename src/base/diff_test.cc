#include "base/diff.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <charconv>
#include <vector>

namespace tamis::base {
namespace {

// Applies a unified diff; what it needs to be found where it says is held to.
std::string patch(const std::string& before, const std::string& diff) {
  auto lines_of = [](const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
      lines.push_back(text.substr(at, end - at));
      at = end;
    }
    return lines;
  };
  std::vector<std::string> source = lines_of(before), script = lines_of(diff);
  std::string out;
  size_t at = 0;
  for (size_t i = 0; i < script.size(); ++i) {
    std::string line = script[i];
    if (line.substr(0, 4) == "@@ -") {
      size_t from = 0, count = 1;
      auto [end, bad] = std::from_chars(line.data() + 4, line.data() + line.size(), from);
      RC_ASSERT(bad == std::errc());
      if (*end == ',') std::from_chars(end + 1, line.data() + line.size(), count);
      size_t begin = count == 0 ? from : from - 1;
      while (at < begin) out += source.at(at++);
      continue;
    }
    if (line[0] == '\\') continue;
    std::string text = line.substr(1);
    bool cut = i + 1 < script.size() && script[i + 1][0] == '\\';
    if (cut) text.pop_back();
    if (line[0] != '+') RC_ASSERT(source.at(at++) == text);
    if (line[0] != '-') out += text;
  }
  while (at < source.size()) out += source[at++];
  return out;
}

TEST(Diff, EqualTextsHaveNone) {
  EXPECT_EQ(unified_diff("", ""), "");
  EXPECT_EQ(unified_diff("a\nb\n", "a\nb\n"), "");
}

TEST(Diff, OneLineChanged) { EXPECT_EQ(unified_diff("a\nb\nc\n", "a\nB\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"); }

TEST(Diff, ChangesFarApartAreHunksOfTheirOwn) {
  std::string a, b;
  for (int i = 0; i < 40; ++i) {
    std::string line = "line " + std::to_string(i) + "\n";
    a += line;
    b += i == 5 ? "other\n" : i == 30 ? "" : line;
  }
  EXPECT_EQ(unified_diff(a, b),
            "@@ -3,7 +3,7 @@\n line 2\n line 3\n line 4\n-line 5\n+other\n line 6\n line 7\n line 8\n"
            "@@ -28,7 +28,6 @@\n line 27\n line 28\n line 29\n-line 30\n line 31\n line 32\n line 33\n");
}

TEST(Diff, FromAndToNothing) {
  EXPECT_EQ(unified_diff("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
  EXPECT_EQ(unified_diff("a\n", ""), "@@ -1 +0,0 @@\n-a\n");
}

TEST(Diff, TheLastLineMayLackItsEnd) {
  EXPECT_EQ(unified_diff("a", "a\n"), "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
}

TEST(Diff, IsShort) {
  // One line moved: one removed and one added, not the whole text.
  EXPECT_EQ(unified_diff("a\nb\nc\nd\n", "b\nc\nd\na\n", {0}), "@@ -1 +0,0 @@\n-a\n@@ -4,0 +4 @@\n+a\n");
}

TEST(Diff, TooMuchWorkGivesALongerOneThatIsTrue) {
  std::string a, b;
  for (int i = 0; i < 200; ++i) {
    a += std::to_string(i * 7 % 13) + "\n";
    b += std::to_string(i * 5 % 11) + "\n";
  }
  EXPECT_EQ(patch(a, unified_diff(a, b, {3, 100})), b);
  EXPECT_LT(unified_diff(a, b).size(), unified_diff(a, b, {3, 100}).size());
}

TEST(Diff, AppliedToTheFirstGivesTheSecond) {
  rc::check([] {
    auto text = rc::gen::container<std::string>(rc::gen::elementOf(std::string("aab\n\n")));
    std::string a = *text, b = *text;
    size_t context = *rc::gen::inRange<size_t>(0, 4);
    RC_ASSERT(patch(a, unified_diff(a, b, {context})) == b);
  });
}

}  // namespace
}  // namespace tamis::base
