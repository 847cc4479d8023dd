#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

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
  EXPECT_EQ(all(loaded), "");
}

}  // namespace
}  // namespace tamis::policy
