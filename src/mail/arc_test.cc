#include "mail/arc.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <map>

namespace tamis::mail {
namespace {

struct TableOfKeys final : ArcKeys {
  std::map<std::string, std::string> keys;
  std::string key_of(const std::string& name) override { return keys[name]; }
};

std::string with_line_ends(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' && !out.ends_with('\r')) out += '\r';
    out += c;
  }
  return out;
}

// The suite of ValiMail, which is not part of this project: TAMIS_ARC_SUITE names its arc-draft-validation-tests.yml.
TEST(Arc, SuiteOfRfc8617) {
  const char* path = std::getenv("TAMIS_ARC_SUITE");
  if (path == nullptr) GTEST_SKIP() << "TAMIS_ARC_SUITE is not set";
  size_t tests = 0;
  for (const YAML::Node& scenario : YAML::LoadAllFromFile(path)) {
    if (!scenario["tests"]) continue;
    TableOfKeys keys;
    for (const auto& record : scenario["txt-records"]) {
      std::string value = record.second.as<std::string>();
      keys.keys[record.first.as<std::string>()] = value;
    }
    for (const auto& test : scenario["tests"]) {
      SCOPED_TRACE(scenario["description"].as<std::string>() + ": " + test.first.as<std::string>());
      const std::string raw = with_line_ends(test.second["message"].as<std::string>());
      const auto expected = test.second["cv"].as<std::string>();
      base::Arena arena;
      MessageReader reader;
      Message message;
      reader.read(raw, arena, message);
      const ArcVerdict verdict = verify_arc(message, keys, arena);
      ++tests;
      // An empty one: the chain says itself that it is broken, and nobody seals it further.
      const ArcResult wanted = expected == "Pass"   ? ArcResult::kPass
                               : expected == "None" ? ArcResult::kNone
                                                    : ArcResult::kFail;
      EXPECT_EQ(verdict.result, wanted) << name_of(verdict.result) << " (" << verdict.reason << "), expected "
                                        << expected << "\n"
                                        << test.second["description"].as<std::string>();
    }
  }
  EXPECT_GT(tests, 100u);
}

// Forms that no key is needed to judge: sets of one header each, changed one at a time.
struct Set {
  std::string results = "i=1; mx.example; dmarc=pass";
  std::string signature =
      "i=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1; h=from; bh=2jmj7l5rSw0yVb/vlWAYkK/YBwk=; b=AAAA";
  std::string seal = "i=1; a=rsa-sha256; cv=none; d=example.org; s=s1; b=AAAA";
};

ArcVerdict judge(const Set& set, const std::string& more = "") {
  const std::string raw = more + "ARC-Seal: " + set.seal + "\r\nARC-Message-Signature: " + set.signature +
                          "\r\nARC-Authentication-Results: " + set.results + "\r\nFrom: a@example.org\r\n\r\n";
  base::Arena arena;
  MessageReader reader;
  Message message;
  reader.read(raw, arena, message);
  const PreparedArc arc = prepare_arc(message, arena);
  EXPECT_TRUE(arc.verdict.result == ArcResult::kFail || !arc.seals.empty());
  return arc.verdict;
}

TEST(Arc, FormsOfSets) {
  const auto seal = [](const std::string& text) {
    Set set;
    set.seal = text;
    return std::string(judge(set).reason);
  };
  // The body hash above is not that of the empty body: all else is well.
  EXPECT_EQ(judge({}).reason, "the newest message signature does not verify");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=pass; d=example.org; s=s1; b=AAAA"), "a seal says that the chain was broken");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=fail; d=example.org; s=s1; b=AAAA"), "a seal says that the chain was broken");
  EXPECT_EQ(seal("i=1; a=rsa-sha1; cv=none; d=example.org; s=s1; b=AAAA"), "the algorithm of a seal is unknown");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=none; d=example.org; s=s1; b=AAAA; h=from"), "a seal is malformed");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=none; d=example.org; s=s1; b="), "a seal is malformed");
  EXPECT_EQ(seal("i=1;; a=rsa-sha256; cv=none; d=example.org; s=s1; b=AAAA"), "a seal is malformed");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=none; d=example.org; s=s 1; b=AAAA; t=now"), "a seal is malformed");
  EXPECT_EQ(seal("i=1; a=rsa-sha256; cv=none; s=s1; b=AAAA"), "a seal is malformed");
  for (const char* instance : {"i=0", "i=51", "i=x", "i=", "j=1", "i=2", "i=99999999999999999999"}) {
    EXPECT_EQ(seal(std::string(instance) + "; a=rsa-sha256; cv=none; d=example.org; s=s1; b=AAAA"),
              "a set is doubled, missing or malformed")
        << instance;
  }
  Set late;
  late.results = "mx.example; i=1; dmarc=pass";
  EXPECT_EQ(judge(late).reason, "a set is doubled, missing or malformed");
  EXPECT_EQ(judge({}, "ARC-Seal: i=1; cv=none\r\n").reason, "a set is doubled, missing or malformed");
  EXPECT_EQ(judge({}, "ARC-Seal: i=2; cv=none\r\n").sets, 2u);
  Set covering;
  covering.signature = "i=1; a=rsa-sha256; d=example.org; s=s1; h=from:ARC-Seal; bh=AA==; b=AAAA";
  EXPECT_EQ(judge(covering).reason, "a message signature covers a seal");
}

}  // namespace
}  // namespace tamis::mail
