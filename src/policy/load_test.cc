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

// A model is part of the policy: of its files and its version, and checked as all of it.
TEST(Load, AModelOverADetector) {
  const std::string names =
      "log_odds prior name device network locale recovery behaviour reuse cluster_size mean_name mean_device "
      "mean_network mean_locale mean_recovery mean_behaviour mean_reuse key_surprise rare_fill rare_form rare_device "
      "rare_locale rare_name aftermath two_views unexplained";
  const std::string trees = "tamis-trees 1\nfeatures " + names + "\nbase 0\ntree\n0 leaf 0.5\n";
  const auto policy = [](const std::string& model) {
    return SourceFile{
        "p.yaml",
        "event: signup\nfields: {account: account}\n---\ndetectors:\n  signup_clusters: {model: " + model + "}\n"};
  };
  const Loaded good = load_files({policy("m/a.trees"), {"m/a.trees", trees}});
  ASSERT_NE(nullptr, good.policy) << (good.diagnostics.empty() ? "" : to_string(good.diagnostics[0]));
  EXPECT_EQ("m/a.trees", good.policy->detectors[0].model_file);
  EXPECT_NE(nullptr, good.policy->detectors[0].model);
  EXPECT_EQ(2u, good.files.size());
  const Loaded other = load_files({policy("m/a.trees"), {"m/a.trees", trees + "tree\n0 leaf 0.25\n"}});
  ASSERT_NE(nullptr, other.policy);
  EXPECT_NE(good.policy->version, other.policy->version);
  EXPECT_EQ(good.policy->detectors[0].fingerprint, other.policy->detectors[0].fingerprint);
  const auto error = [&](const std::string& name, const std::string& text) {
    const Loaded bad = load_files({policy(name), {"m/a.trees", text}});
    return bad.policy != nullptr || bad.diagnostics.empty() ? "" : bad.diagnostics[0].message;
  };
  EXPECT_EQ("m/b.trees: the file did not come along", error("m/b.trees", trees));
  EXPECT_EQ("`../a.trees`: files lie in the policy's folder and are named from there", error("../a.trees", trees));
  EXPECT_NE(std::string::npos, error("m/a.trees", "tamis-trees 1\n").find("m/a.trees: "));
  std::string foreign = trees;
  foreign.replace(foreign.find("prior"), 5, "moon_");
  EXPECT_EQ("m/a.trees: the trees read `moon_`, where `signup_clusters` gives `prior`", error("m/a.trees", foreign));
  const Loaded none =
      load_files({{"p.yaml", "event: login\nfields: {account: account}\n---\ndetectors:\n  login_risk: {model: a}\n"}});
  ASSERT_FALSE(none.diagnostics.empty());
  EXPECT_EQ("`login_risk` takes no model", none.diagnostics[0].message);
}

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
