#include "model/taste.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"

namespace tamis::model {
namespace {

// A newsletter of one sender: the sender's marks are the same each time, most words are not.
std::vector<FeatureId> letter(uint64_t sender, uint64_t number) {
  FeatureCollector collector;
  for (uint64_t i = 0; i < 12; ++i) collector.add(Place::kHeader, base::mix64(sender * 100 + i));
  for (uint64_t i = 0; i < 60; ++i) collector.add(Place::kHeader, base::mix64(7'000 + i));  // as of any message
  for (uint64_t i = 0; i < 100; ++i) collector.add(Place::kBody, base::mix64(sender * 977 + number * 31 + i * 3));
  const FeatureSpan set = collector.finish();
  return {set.begin(), set.end()};
}

TEST(Taste, ThreeCorrectionsAreEnoughForOneRecipientAndTouchNoOther) {
  Taste taste;
  constexpr float kCommon = 1.0f;  // the common model holds the letter for spam, in doubt
  EXPECT_EQ(taste.logit_of(1, letter(5, 0)), 0);
  for (uint64_t i = 0; i < 3; ++i) taste.learn(1, letter(5, i), kCommon, false);
  EXPECT_LT(kCommon + taste.logit_of(1, letter(5, 9)), 0);
  EXPECT_NEAR(taste.logit_of(2, letter(5, 9)), 0, 0.2f);
  // Another sender's letter to the same recipient moves less.
  EXPECT_GT(taste.logit_of(1, letter(6, 9)), taste.logit_of(1, letter(5, 9)));
}

TEST(Taste, ManyRecipientsOfOppositeTasteShareOneTable) {
  Taste taste(16);
  int wrong_at_first = 0;
  int wrong_after_four = 0;
  for (uint64_t recipient = 1; recipient <= 100; ++recipient) {
    const bool wants = recipient % 2 == 0;
    for (uint64_t i = 0; i < 12; ++i) {
      const auto features = letter(recipient % 5, i);
      const float common = 0.3f;
      const bool spam = common + taste.logit_of(recipient, features) > 0;
      (i < 4 ? wrong_at_first : wrong_after_four) += spam == wants;
      taste.learn(recipient, features, common, !wants);
    }
  }
  EXPECT_GT(wrong_at_first, 40);  // nobody's taste is known before
  EXPECT_LT(wrong_after_four, 20) << "of 800";
}

TEST(Taste, ItsReachIsBoundedAndNobodyHasNone) {
  Taste taste(8);
  for (uint64_t i = 0; i < 2'000; ++i) taste.learn(1, letter(5, i % 3), 12, false);
  EXPECT_GE(taste.logit_of(1, letter(5, 0)), -Taste::kReach);
  taste.learn(0, letter(5, 0), 12, false);
  EXPECT_EQ(taste.logit_of(0, letter(5, 0)), 0);
  EXPECT_TRUE(std::isfinite(taste.logit_of(3, {})));
}

TEST(Taste, GoesOnWhereItWasSaved) {
  Taste taste(8);
  for (uint64_t i = 0; i < 50; ++i) taste.learn(i % 4, letter(i, i), 0.5f, i % 2 == 0);
  const std::string bytes = taste.save();
  const auto loaded = Taste::load(bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->save(), bytes);
  for (size_t at = 0; at < bytes.size(); at += 37) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(Taste::load(damaged)) << at;
    EXPECT_FALSE(Taste::load(bytes.substr(0, at))) << at;
  }
}

}  // namespace
}  // namespace tamis::model
