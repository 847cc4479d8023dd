#include "learn/golden.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tamis::learn {
namespace {

std::vector<model::FeatureId> message(uint64_t n, bool spam) {
  std::vector<model::FeatureId> out;
  for (uint64_t i = 0; i < 30; ++i)
    out.push_back(model::feature_id(model::Place::kBody, (spam ? 1000 : 2000) + (n + i) % 40));
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Golden, RefusesWhatMakesItWorseAndSaysWhy) {
  const GoldenResult before{1'000, 1, 500, 10};
  EXPECT_TRUE(judge_batch(before, before).accepted);
  EXPECT_TRUE(judge_batch(before, {1'000, 0, 500, 12}).accepted);
  EXPECT_TRUE(judge_batch(before, {1'000, 3, 500, 14}).accepted) << "chance explains it";
  const auto worse = judge_batch(before, {1'000, 9, 500, 10});
  EXPECT_FALSE(worse.accepted);
  EXPECT_EQ(worse.why, "wanted mail taken for spam went from 1 to 9 of 1000 in the golden set");
  EXPECT_FALSE(judge_batch(before, {1'000, 1, 500, 40}).accepted);
}

TEST(Golden, KeepsTheNewestOfEachLabel) {
  GoldenSet golden;
  EXPECT_TRUE(golden.empty());
  for (uint64_t n = 0; n < GoldenSet::kEachMax + 20; ++n) golden.put(n, message(n, true), true);
  golden.put(90'000, message(1, false), false);
  EXPECT_EQ(golden.counts().spam, GoldenSet::kEachMax);
  EXPECT_EQ(golden.counts().ham, 1u);
  EXPECT_FALSE(golden.is_spam(3)) << "the oldest made room";
  EXPECT_EQ(golden.is_spam(GoldenSet::kEachMax), std::optional<bool>(true));
  golden.put(90'000, message(1, false), true);
  EXPECT_EQ(golden.counts().ham, 0u) << "the newest label counts";
  EXPECT_TRUE(golden.remove(90'000));
  EXPECT_FALSE(golden.remove(90'000));
}

TEST(Golden, CountsWhatAModelGetsWrong) {
  model::SpamOptions options;
  options.slots_log2 = 14;
  model::SpamModel model(options);
  model::SpamModel::Scratch scratch;
  for (uint64_t n = 0; n < 20; ++n) {
    ASSERT_TRUE(model.learn(2 * n + 1, message(n, false), false));
    ASSERT_TRUE(model.learn(2 * n + 2, message(n, true), true));
  }
  GoldenSet golden;
  for (uint64_t n = 0; n < 5; ++n) golden.put(n, message(n + 7, n % 2 == 0), n % 2 == 0);
  EXPECT_EQ(golden.judge(model, scratch).errors(), 0u);
  golden.put(77, message(3, true), false);
  const GoldenResult result = golden.judge(model, scratch);
  EXPECT_EQ(result.ham, 3u);
  EXPECT_EQ(result.ham_as_spam, 1u);
  EXPECT_EQ(result.spam_as_ham, 0u);
}

TEST(Golden, ComesBackFromItsBytesAndRefusesDamage) {
  GoldenSet golden;
  for (uint64_t n = 0; n < 10; ++n) golden.put(n, message(n, n % 2 == 0), n % 2 == 0);
  golden.note({17, "mallory", 3, true, "worse"});
  golden.note({18, "", 0, false, std::string(5'000, 'x')});
  const std::string bytes = golden.save();
  auto back = GoldenSet::load(bytes);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->counts().ham, 5u);
  ASSERT_EQ(back->refusals().size(), 2u);
  EXPECT_EQ(back->refusals()[0].reporter, "mallory");
  EXPECT_EQ(back->refusals()[0].messages, 3u);
  EXPECT_TRUE(back->refusals()[0].was_learned);
  EXPECT_EQ(back->refusals()[1].why.size(), 1'024u);
  EXPECT_TRUE(back->forget_reporter("mallory"));
  EXPECT_EQ(back->save().find("mallory"), std::string::npos);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_FALSE(GoldenSet::load(damaged)) << at;
    EXPECT_FALSE(GoldenSet::load(bytes.substr(0, at))) << at;
  }
}

TEST(Golden, KeepsTheNewestRefusals) {
  GoldenSet golden;
  for (int64_t n = 0; n < 80; ++n) golden.note({n, "r", 1, true, "w"});
  ASSERT_EQ(golden.refusals().size(), GoldenSet::kRefusalsMax);
  EXPECT_EQ(golden.refusals().front().time_ms, 30);
}

}  // namespace
}  // namespace tamis::learn
