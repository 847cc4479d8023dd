#include "cel/pattern_set.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <re2/filtered_re2.h>

#include <algorithm>
#include <set>

#include "cel/pattern_atoms.h"
#include "cel/regex.h"
#include "cel/utf8.h"

namespace tamis::cel {
namespace {

bool reference(const Pattern& pattern, std::string_view text) {
  switch (pattern.kind) {
    case PatternKind::kContains:
      return text.find(pattern.text) != text.npos;
    case PatternKind::kStartsWith:
      return text.starts_with(pattern.text);
    case PatternKind::kEndsWith:
      return text.ends_with(pattern.text);
    case PatternKind::kRegex:
      return Regex::compile(pattern.text)->search(text);
  }
  return false;
}

void expect_same(const PatternSet& set, const std::vector<Pattern>& patterns, std::string_view text,
                 PatternScan& scan) {
  set.scan(text, scan);
  std::set<uint32_t> possible(set.always().begin(), set.always().end());
  for (uint32_t id : set.candidates(scan)) RC_ASSERT(possible.insert(id).second);
  for (uint32_t id = 0; id < patterns.size(); ++id) {
    bool expected = reference(patterns[id], text);
    RC_ASSERT(set.matches(id, text, scan) == expected);
    RC_ASSERT(set.matches_singly(id, text) == expected);
    RC_ASSERT(!expected || possible.contains(id));
  }
}

TEST(PatternSet, AnswersLikeSingleTests) {
  std::vector<Pattern> patterns = {{PatternKind::kContains, "paypal"},
                                   {PatternKind::kContains, ""},
                                   {PatternKind::kContains, "a"},
                                   {PatternKind::kContains, "://"},
                                   {PatternKind::kStartsWith, "http"},
                                   {PatternKind::kEndsWith, ".ru"},
                                   {PatternKind::kRegex, "(?i)pay-?pal"},
                                   {PatternKind::kRegex, "^https?://[0-9]+"},
                                   {PatternKind::kRegex, ""},
                                   {PatternKind::kRegex, "(login|signin)\\.(php|html)"},
                                   {PatternKind::kContains, "PayPal"}};
  auto set = PatternSet::build(patterns), marks = PatternSet::build_marks(patterns);
  ASSERT_TRUE(set);
  ASSERT_TRUE(marks);
  PatternScan scan(*set), marks_scan(*marks);
  for (const char* text : {"", "a", "http://10.0.0.1/login.php", "visit PayPal now", "paypal", "PAY-PAL.ru", "x.RU"}) {
    expect_same(*set, patterns, text, scan);
    marks->scan(text, marks_scan);
    EXPECT_TRUE(std::ranges::equal(set->candidates(scan), marks->candidates(marks_scan))) << text;
    EXPECT_TRUE(std::ranges::equal(set->always(), marks->always()));
  }
  set->scan("nothing to see here", scan);
  EXPECT_TRUE(set->candidates(scan).empty());
  std::vector<uint32_t> always(set->always().begin(), set->always().end());
  EXPECT_EQ(always, (std::vector<uint32_t>{1, 2, 8}));
}

TEST(PatternSet, LiteralsOfRegexes) {
  EXPECT_EQ(required_literals("(?i)Viagra"), std::vector<std::string>{"viagra"});
  EXPECT_EQ(required_literals("foo.*barbaz"), std::vector<std::string>{"barbaz"});
  EXPECT_EQ(required_literals("foo|quux"), (std::vector<std::string>{"foo", "quux"}));
  EXPECT_EQ(required_literals("(ab|cd)?wxyz"), std::vector<std::string>{"wxyz"});
  EXPECT_TRUE(required_literals("[0-9]+").empty());
  EXPECT_TRUE(required_literals("foo|x").empty());
  EXPECT_TRUE(required_literals("\u00e9\u00e8\u00ea").empty());
  EXPECT_EQ(required_literals("caf\u00c9terrasse"), std::vector<std::string>{"terrasse"});
  EXPECT_TRUE(required_literals("(").empty());
}

// The scan lowers ASCII only. That is enough if no other character becomes an ASCII letter in the literals of RE2.
TEST(PatternSet, KnowsEveryCharacterThatFoldsToAscii) {
  auto check = [](uint32_t from, uint32_t to) {
    for (uint32_t c = from; c < to; ++c) {
      char bytes[4];
      std::string_view text(bytes, encode_code_point(c, bytes));
      bool known = std::find(std::begin(kFoldToAscii), std::end(kFoldToAscii), text) != std::end(kFoldToAscii);
      re2::FilteredRE2 filter(3);
      int id;
      ASSERT_EQ(filter.Add("aaa" + std::string(text) + "bbb", RE2::Options(RE2::Quiet), &id), RE2::NoError);
      std::vector<std::string> literals;
      filter.Compile(&literals);
      for (const std::string& literal : literals) {
        bool folded = literal.size() > 3 && count_code_points(literal) == literal.size();
        EXPECT_EQ(folded, known) << c;
      }
    }
  };
  check(0x80, 0x600);       // Latin, Greek, Cyrillic, Armenian
  check(0x1c80, 0x1d00);    // Cyrillic extensions
  check(0x1e00, 0x2200);    // Latin and Greek extensions, letter-like symbols
  check(0x2460, 0x2500);    // enclosed letters
  check(0xa640, 0xa800);    // more extensions
  check(0xff00, 0xff80);    // full-width forms
  check(0x1d400, 0x1d440);  // mathematical letters
}

TEST(PatternSet, CharactersThatFoldToAscii) {
  std::vector<Pattern> patterns = {{PatternKind::kRegex, "(?i)viskas"},
                                   {PatternKind::kRegex, "viskas"},
                                   {PatternKind::kContains, "\xe2\x84\xaa"},
                                   {PatternKind::kContains, "vis\u017f"},
                                   {PatternKind::kRegex, "(?i)stra\u00dfe"}};
  auto set = PatternSet::build(patterns);
  ASSERT_TRUE(set);
  PatternScan scan(*set);
  for (const char* text :
       {"VI\u017f\u212aAS", "vis\u212aas", "\u017ftra\u00dfe", "STRA\u1e9eE", "viskas", "vis\u017f", "\u212a"}) {
    expect_same(*set, patterns, text, scan);
  }
}

rc::Gen<std::string> gen_text(int pieces_max) {
  static const std::vector<std::string> kPieces = {
      "a", "b", "A", "k", "s", "ab", "Bak", ".", "kk", "\n", "\u00e9", "\u00c9", "\u017f", "\u212a", "\U0001f600", "0"};
  return rc::gen::map(
      rc::gen::resize(pieces_max, rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, kPieces.size()))),
      [](const std::vector<size_t>& picks) {
        std::string text;
        for (size_t pick : picks) text += kPieces[pick];
        return text;
      });
}

rc::Gen<std::string> gen_regex() {
  static const std::vector<std::string> kPieces = {
      "a",       "b",    "k",   "s",       "ab",        "bak",     "kas",
      "A",       ".",    ".*",  "(ab|ba)", "(a|kk|s)?", "[ab]",    "[^a]",
      "(?i:ka)", "(?i)", "\\.", "\\n",     "\u00e9",    "\u00c9",  "(?i:\u00e9sk)",
      "^",       "$",    "\\b", "a{2,3}",  "(b+k)*",    "[ks]{3}", "|",
      "0"};
  return rc::gen::map(
      rc::gen::resize(8, rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, kPieces.size()))),
      [](const std::vector<size_t>& picks) {
        std::string text;
        for (size_t pick : picks) text += kPieces[pick];
        return Regex::compile(text) ? text : std::string("ab+");
      });
}

TEST(PatternSet, AgreesWithSingleTestsOnRandomPatterns) {
  EXPECT_TRUE(rc::check([] {
    std::vector<Pattern> patterns;
    int count = *rc::gen::inRange(0, 20);
    for (int i = 0; i < count; ++i) {
      auto kind = *rc::gen::element(PatternKind::kContains, PatternKind::kStartsWith, PatternKind::kEndsWith,
                                    PatternKind::kRegex, PatternKind::kRegex);
      patterns.push_back({kind, kind == PatternKind::kRegex ? *gen_regex() : *gen_text(4)});
    }
    // A tiny table shortens the literals, or gives up the automaton.
    PatternSetLimits limits;
    limits.table_bytes_max = *rc::gen::element<size_t>(16 << 20, 4000, 1200, 100);
    auto set = PatternSet::build(patterns, limits);
    RC_ASSERT(set.has_value());
    PatternScan scan(*set);
    for (int i = 0; i < 5; ++i) expect_same(*set, patterns, *gen_text(30), scan);
  }));
}

TEST(PatternSet, ManyPatterns) {
  std::vector<Pattern> patterns;
  for (int i = 0; i < 5000; ++i) {
    std::string name = "domain" + std::to_string(i * 7919 % 100'000) + ".example";
    patterns.push_back({i % 2 == 0 ? PatternKind::kEndsWith : PatternKind::kContains, name});
  }
  for (int i = 0; i < 50; ++i) patterns.push_back({PatternKind::kRegex, "campaign-" + std::to_string(i) + "-[a-z]+$"});
  auto set = PatternSet::build(patterns);
  ASSERT_TRUE(set);
  EXPECT_GT(set->table_bytes(), 0u);
  EXPECT_TRUE(set->always().empty());
  PatternScan scan(*set);
  std::string text = "see domain" + std::to_string(3 * 7919) + ".example and campaign-7-spring";
  set->scan(text, scan);
  std::vector<uint32_t> found;
  for (uint32_t id : set->candidates(scan)) {
    if (set->matches(id, text, scan)) found.push_back(id);
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<uint32_t>{3, 5007}));
  // The same set under a small cap answers the same, by single tests.
  PatternSetLimits limits;
  limits.table_bytes_max = 64;
  auto small = PatternSet::build(patterns, limits);
  ASSERT_TRUE(small);
  EXPECT_LE(small->table_bytes(), 64u);
  PatternScan small_scan(*small);
  small->scan(text, small_scan);
  EXPECT_EQ(small->always().size(), patterns.size());
  EXPECT_TRUE(small->matches(3, text, small_scan));
  EXPECT_FALSE(small->matches(4, text, small_scan));
}

TEST(PatternSet, NamesTheBadPattern) {
  std::vector<Pattern> patterns = {{PatternKind::kContains, "("}, {PatternKind::kRegex, "("}};
  auto set = PatternSet::build(patterns);
  ASSERT_FALSE(set);
  EXPECT_NE(set.error().message.find("pattern 1"), std::string::npos) << set.error().message;
  PatternSetLimits limits;
  limits.patterns_max = 1;
  EXPECT_FALSE(PatternSet::build(patterns, limits));
}

}  // namespace
}  // namespace tamis::cel
