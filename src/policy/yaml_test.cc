#include "policy/yaml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.h"
#include "policy/diagnostics.h"

namespace tamis::policy {
namespace {

struct Parsed {
  explicit Parsed(std::string text, const YamlLimits& limits = {}) : source("p.yaml", std::move(text)) {
    documents = parse_yaml(source, diagnostics, limits);
  }
  std::string problems() {
    std::string out;
    for (const Diagnostic& d : diagnostics.take()) out += fmt::format("{}:{}: {}\n", d.line, d.column, d.message);
    return out;
  }
  SourceText source;
  Diagnostics diagnostics;
  std::vector<Node> documents;
};

TEST(Yaml, DocumentsScalarsAndStyles) {
  Parsed p(
      "a: plain text # comment\nb: 'it''s'\nc: \"x\\ty\"\nd: |\n  one\n  two\ne: >-\n  one\n  two\nf:\n---\n---\n[1, "
      "2]\n");
  ASSERT_EQ(p.problems(), "");
  ASSERT_EQ(p.documents.size(), 2u);  // the empty one is left out
  const Node& map = p.documents[0];
  ASSERT_TRUE(map.is_map());
  EXPECT_EQ(map.find("a")->text, "plain text");
  EXPECT_EQ(map.find("a")->style, Node::Style::kPlain);
  EXPECT_EQ(map.find("b")->text, "it's");
  EXPECT_EQ(map.find("b")->style, Node::Style::kSingleQuoted);
  EXPECT_EQ(map.find("c")->text, "x\ty");
  EXPECT_EQ(map.find("c")->style, Node::Style::kDoubleQuoted);
  EXPECT_EQ(map.find("d")->text, "one\ntwo\n");
  EXPECT_EQ(map.find("d")->style, Node::Style::kLiteral);
  EXPECT_EQ(map.find("e")->text, "one two");
  EXPECT_EQ(map.find("e")->style, Node::Style::kFolded);
  EXPECT_TRUE(map.find("f")->is_null());
  EXPECT_EQ(map.find("g"), nullptr);
  EXPECT_EQ(p.documents[1].items.size(), 2u);
}

TEST(Yaml, ColumnsAreCodePoints) {
  SourceText source("f", "ab\nä€x: 1\r\n");
  EXPECT_EQ(source.position(3).line, 2u);
  EXPECT_EQ(source.position(8).column, 3u);  // x, behind two and three bytes
  EXPECT_EQ(source.line(2), "ä€x: 1");
  EXPECT_EQ(source.line(4), "");
}

TEST(Yaml, RepeatedKeysAreErrorsAndTheFirstCounts) {
  Parsed p("a: 1\nb: 2\na: 3\n");
  EXPECT_EQ(p.documents[0].find("a")->text, "1");
  EXPECT_EQ(p.documents[0].entries(), 2u);
  EXPECT_EQ(p.problems(), "3:1: `a` stands here twice, first in line 1\n");
}

TEST(Yaml, RefusesWhatAPolicyHasNoUseFor) {
  EXPECT_EQ(Parsed("a: !tag x\n").problems(),
            "1:4: YAML reads a leading `!` as a tag, and tags have no meaning here\n");
  EXPECT_EQ(Parsed("{[1]: 2}\n").problems(), "1:2: a key must be text, not a list\n");
  EXPECT_EQ(Parsed("b: &x {c: 1}\na: {<<: *x}\n").problems(), "2:5: merge keys (`<<`) are not supported\n");
  EXPECT_EQ(Parsed("a: \x01\n").problems(), "1:4: a control character (0x01) has no place in a policy\n");
  EXPECT_EQ(Parsed("a: \xff\n").problems(), "1:4: the file is not UTF-8 here\n");
  EXPECT_EQ(Parsed("a: \xe2\x82").problems(), "1:4: the file is not UTF-8 here\n");
  EXPECT_EQ(Parsed("a: &x [*x]\n").problems(), "1:8: an alias cannot stand inside what it names\n");
}

TEST(Yaml, SyntaxErrorsCarryPlaceAndHint) {
  Parsed p("when: \"a\" == b\n");
  std::vector<Diagnostic> list = p.diagnostics.take();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].line, 1u);
  EXPECT_NE(list[0].message.find("not YAML"), std::string::npos);
  EXPECT_NE(list[0].hint.find("goes in quotes"), std::string::npos) << list[0].hint;
}

TEST(Yaml, TabsThatIndentAreToldAsSuch) {
  EXPECT_EQ(Parsed("a: 1\nfields:\n\temail: email\n").problems(),
            "3:1: this line is indented with a tab: YAML takes spaces alone\n");
  EXPECT_EQ(Parsed("a:\n  \tb: 1\n  c: 2\n").problems(),
            "2:3: this line is indented with a tab: YAML takes spaces alone\n");
  EXPECT_EQ(Parsed("a:\tb\n").problems(), "");
}

TEST(Yaml, BombsStopAtTheLimits) {
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    char before = static_cast<char>(c - 1);
    laughs += fmt::format("{0}: &{0} [*{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}]\n", c, before);
  }
  YamlLimits limits;
  limits.nodes_max = 10'000;
  EXPECT_NE(Parsed(laughs, limits).problems().find("more than 10000 values"), std::string::npos);
  EXPECT_NE(Parsed(std::string(3000, '[')).problems(), "");
  EXPECT_NE(Parsed(std::string(60, '[') + std::string(60, ']')).problems().find("nested more than 48 deep"),
            std::string::npos);
  // So do anchors around anchors, each of which keeps a copy.
  std::string nested;
  for (int i = 0; i < 40; ++i) nested += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 1000; ++i) nested += "x,";
  EXPECT_NE(Parsed(nested + std::string(40, ']'), limits).problems().find("more than 10000 values"), std::string::npos);
  limits.file_bytes_max = 5;
  EXPECT_EQ(Parsed("a: 12345", limits).problems(), "0:0: the file is larger than 5 bytes\n");
}

TEST(Yaml, AliasesAreCopies) {
  Parsed p("a: &x {k: v}\nb: *x\nc: [*x, *x]\n");
  EXPECT_EQ(p.problems(), "");
  EXPECT_EQ(p.documents[0].find("b")->find("k")->text, "v");
  EXPECT_EQ(p.documents[0].find("c")->items[1].find("k")->text, "v");
}

// Each letter of a value must be found again at its place of the source.
void expect_offsets(const std::string& text) {
  Parsed p(text);
  ASSERT_EQ(p.problems(), "") << text;
  const Node& value = p.documents.at(0).value(0);
  std::vector<uint32_t> offsets = scalar_offsets(value);
  ASSERT_EQ(offsets.size(), value.text.size() + 1);
  for (size_t i = 0; i < value.text.size(); ++i) {
    char c = value.text[i];
    if (c >= 'a' && c <= 'z') {
      EXPECT_EQ(text[offsets[i]], c) << text << " at " << i;
    }
    EXPECT_GE(offsets[i], i == 0 ? 0 : offsets[i - 1]) << text << " at " << i;
  }
}

TEST(Yaml, OffsetsFindTheSource) {
  expect_offsets("k: plain text\n");
  expect_offsets("k: plain\n  text over\n\n\n  lines\n");
  expect_offsets("k: &anchor plain\n");
  expect_offsets("k: 'it''s a\n  quoted\n\n  text'\n");
  expect_offsets("k: \"x\\ty \\u00e4 z\\\n   joined \\\"q\\\"\n   folded\n\n   twice\"\n");
  expect_offsets("k: |\n  one\n    two\n\n\n  three\n");
  expect_offsets("k: |2-\n    one\n   two\n");
  expect_offsets("k: |\r\n  one\r\n  two\r\n");
  expect_offsets("k: >\n  one\n  two\n\n  three\n\n\n  four\n    more\n    indented\n  less\n");
  expect_offsets("k: >+ # comment\n\n  one\n\n");
  expect_offsets("k: |\n\n\n  one\n  two");
}

RC_GTEST_PROP(Yaml, OffsetsOfBlocksAreExact, ()) {
  // Letters stand for themselves; each line begins at a random depth beyond the common indentation.
  auto lines = *rc::gen::container<std::vector<std::string>>(
      rc::gen::container<std::string>(rc::gen::elementOf(std::string("abcxyz   "))));
  bool folded = *rc::gen::arbitrary<bool>();
  std::string text = std::string("k: ") + (folded ? ">" : "|") + "2\n";
  for (const std::string& line : lines) text += "  " + line + "\n";
  Parsed p(text);
  RC_ASSERT(p.problems() == "");
  const Node& value = p.documents.at(0).value(0);
  if (!value.is_scalar()) return;
  std::vector<uint32_t> offsets = scalar_offsets(value);
  for (size_t i = 0; i < value.text.size(); ++i) {
    if (value.text[i] != ' ' && value.text[i] != '\n') RC_ASSERT(text[offsets[i]] == value.text[i]);
  }
}

TEST(Diagnostics, PrintsAsACompilerDoes) {
  Parsed p("rules:\n  - when: ip.nett24 == 1\n");
  const Node& when = p.documents[0].find("rules")->items[0].value(0);
  p.diagnostics.error_in(when, 0, 9, "unknown name `ip.nett24`", "did you mean `ip.net24`?");
  p.diagnostics.error_in(when, 0, 9, "unknown name `ip.nett24`", "did you mean `ip.net24`?");  // said once
  std::vector<Diagnostic> list = p.diagnostics.take();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(to_string(list[0]),
            "p.yaml:2:11: error: unknown name `ip.nett24`\n"
            "    - when: ip.nett24 == 1\n"
            "            ^~~~~~~~~\n"
            "  did you mean `ip.net24`?");
}

TEST(Diagnostics, ManyAreCutAndSaySo) {
  Parsed p("a\n");
  for (int i = 0; i < 1000; ++i) p.diagnostics.error(p.documents[0], fmt::format("number {}", i));
  std::vector<Diagnostic> list = p.diagnostics.take();
  EXPECT_EQ(list.size(), Diagnostics::kMax + 1);
  EXPECT_EQ(to_string(list.back()), "error: more than 100 errors; the rest is not shown");
}

TEST(Diagnostics, LongLinesAreShownAroundThePlace) {
  Parsed p("a: \"" + std::string(5000, 'x') + "Y" + std::string(5000, 'z') + "\"\n");
  p.diagnostics.error_in(p.documents[0].value(0), 5000, 5001, "here");
  std::string text = to_string(p.diagnostics.take().at(0));
  EXPECT_LT(text.size(), 500u);
  size_t line = text.find("\n  ") + 3, caret = text.find("\n  ", line) + 3;
  EXPECT_EQ(text[line + (text.find('^') - caret)], 'Y');
}

TEST(Diagnostics, NearestNames) {
  EXPECT_EQ(did_you_mean("chalenge", {"accept", "challenge", "reject"}), "did you mean `challenge`?");
  EXPECT_EQ(did_you_mean("zzz", {"accept", "challenge"}), "");
  EXPECT_EQ(one_of({"a", "b", "c"}), "`a`, `b` or `c`");
}

}  // namespace
}  // namespace tamis::policy
