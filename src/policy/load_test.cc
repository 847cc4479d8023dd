#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"

#include "policy/policy.h"

namespace tamis::policy {
namespace {

std::string all(const Loaded& loaded) {
  std::string out;
  for (const Diagnostic& d : loaded.diagnostics) out += to_string(d) + "\n";
  return out;
}

const std::string kTestdata = std::string(TAMIS_SOURCE_DIR) + "/src/policy/testdata/";

TEST(Load, TheSamplesOfTheDesign) {
  Loaded loaded = load_folder(kTestdata + "good/design");
  ASSERT_NE(loaded.policy, nullptr) << all(loaded);
  EXPECT_EQ(loaded.diagnostics.size(), 2u) << all(loaded);  // two features are only shown, not read
}

TEST(Load, TheReadyPolicies) {
  Loaded loaded = load_folder(std::string(TAMIS_SOURCE_DIR) + "/policies/accounts");
  ASSERT_NE(loaded.policy, nullptr) << all(loaded);
  EXPECT_EQ(all(loaded), "");
}

std::string read(const std::string& path) {
  auto text = base::read_file(path, 1 << 20);
  return text ? *text : std::string();
}

// Each bad policy beside what is said of it. TAMIS_WRITE_EXPECTED=1 writes the expectations anew, to be looked at.
class BadPolicies : public testing::TestWithParam<std::string> {};

TEST_P(BadPolicies, AreToldAsExpected) {
  std::string path = kTestdata + "bad/" + GetParam();
  Loaded loaded = load_files({{GetParam() + ".yaml", read(path + ".yaml")}});
  EXPECT_EQ(loaded.policy, nullptr);
  std::string said;
  for (const Diagnostic& d : loaded.diagnostics) said += to_string(d) + "\n";
  if (getenv("TAMIS_WRITE_EXPECTED") != nullptr) {
    ASSERT_TRUE(base::write_file_atomically(path + ".expected", said));
  }
  EXPECT_EQ(said, read(path + ".expected"));
}

INSTANTIATE_TEST_SUITE_P(Files, BadPolicies,
                         testing::Values("yaml", "shapes", "features", "detectors", "rules", "tests", "lists"),
                         [](const auto& file) { return file.param; });

}  // namespace
}  // namespace tamis::policy
