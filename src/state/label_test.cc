#include "state/label.h"

#include <gtest/gtest.h>

namespace tamis::state {
namespace {

TEST(Labels, AreSetReadAndCleared) {
  auto store = LabelStore::make();
  base::Arena arena;
  ASSERT_TRUE(store->set("ip", "192.0.2.1", {"burst", "rule:r1", "", 10, 100}).has_value());
  ASSERT_TRUE(store->set("ip", "192.0.2.1", {"tor", "anna", "known exit", 20, INT64_MAX}).has_value());
  event::Value names = store->names("ip", "192.0.2.1", 50, arena);
  ASSERT_EQ(names.size, 2u);
  EXPECT_EQ(names.items[0].str(), "burst");
  EXPECT_EQ(names.items[1].str(), "tor");
  EXPECT_EQ(store->names("ip", "192.0.2.1", 100, arena).size, 1u);
  EXPECT_EQ(store->names("account", "192.0.2.1", 50, arena).size, 0u);
  EXPECT_TRUE(store->clear("ip", "192.0.2.1", "tor"));
  EXPECT_FALSE(store->clear("ip", "192.0.2.1", "tor"));
}

TEST(Labels, SettingAgainKeepsSinceAndExtends) {
  auto store = LabelStore::make();
  ASSERT_TRUE(store->set("ip", "a", {"x", "r", "", 10, 100}).has_value());
  ASSERT_TRUE(store->set("ip", "a", {"x", "r", "", 50, 80}).has_value());
  ASSERT_TRUE(store->set("ip", "a", {"x", "r", "", 60, 200}).has_value());
  std::vector<Label> labels = store->get("ip", "a", 0);
  ASSERT_EQ(labels.size(), 1u);
  EXPECT_EQ(labels[0].since_ms, 10);
  EXPECT_EQ(labels[0].expires_ms, 200);
}

TEST(Labels, ExpiredOnesAreFreedAndCapsAreErrors) {
  auto store = LabelStore::make(2);
  ASSERT_TRUE(store->set("ip", "a", {"x", "r", "", 0, 100}).has_value());
  ASSERT_TRUE(store->set("ip", "b", {"x", "r", "", 0, 100}).has_value());
  EXPECT_EQ(store->set("ip", "c", {"x", "r", "", 0, 100}).error().code, base::Code::kLimit);
  uint64_t before = store->digest();
  store->advance(100);
  EXPECT_EQ(store->entities(), 0u);
  EXPECT_NE(store->digest(), before);
  EXPECT_TRUE(store->set("ip", "c", {"x", "r", "", 0, 200}).has_value());
  for (int i = 1; i < 64; ++i)
    EXPECT_TRUE(store->set("ip", "c", {"x" + std::to_string(i), "r", "", 0, 200}).has_value());
  EXPECT_FALSE(store->set("ip", "c", {"one more", "r", "", 0, 200}).has_value());
}

}  // namespace
}  // namespace tamis::state
