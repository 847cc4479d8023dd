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

}  // namespace
}  // namespace tamis::mail
