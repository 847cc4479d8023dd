#include "learn/reporters.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace tamis::learn {
namespace {

constexpr int64_t kDay = 86'400'000;

TEST(Reporters, AStrangerCountsALittleAndTrustIsEarned) {
  Reporters reporters;
  EXPECT_FLOAT_EQ(reporters.trust_of(1), 0.25f);
  reporters.confirm(1, true);
  EXPECT_GT(reporters.trust_of(1), 0.25f);
  for (int i = 0; i < 40; ++i) reporters.confirm(1, true);
  EXPECT_GT(reporters.trust_of(1), 0.8f);
  for (int i = 0; i < 40; ++i) reporters.confirm(2, false);
  EXPECT_EQ(reporters.trust_of(2), 0);
  for (int i = 0; i < 40; ++i) reporters.confirm(3, i % 2 == 0);
  EXPECT_LT(reporters.trust_of(3), 0.05f) << "right half of the time is what a coin gets";
  reporters.forget(2);
  EXPECT_FLOAT_EQ(reporters.trust_of(2), 0.25f);
  reporters.forget(77);
}

TEST(Reporters, OldTrustFades) {
  Reporters reporters;
  for (int i = 0; i < 10'000; ++i) reporters.confirm(1, true);
  int wrong = 0;
  while (reporters.trust_of(1) > 0.1f && wrong < 1'000) {
    reporters.confirm(1, false);
    ++wrong;
  }
  EXPECT_LT(wrong, 200);
}

TEST(Reporters, WhatOneDayTeachesIsCapped) {
  ReporterOptions options;
  options.reporter_day_max = 3;
  options.network_day_max = 4;
  options.campaign_day_max = 2;
  Reporters reporters(options);
  for (uint64_t who = 1; who <= 3; ++who) {
    for (int i = 0; i < 100; ++i) reporters.confirm(who, true);
  }
  const auto sum = [&](uint64_t who, uint64_t network, uint64_t campaign, int64_t now) {
    float total = 0;
    for (int i = 0; i < 50; ++i) total += reporters.weight_of({who, network, campaign, now, 0});
    return total;
  };
  EXPECT_NEAR(sum(1, 0, 0, 0), 3, 1e-4) << "reporter";
  EXPECT_EQ(sum(1, 0, 0, kDay - 1), 0);
  EXPECT_NEAR(sum(1, 9, 0, kDay), 3, 1e-4) << "the next day";
  EXPECT_NEAR(sum(2, 9, 0, kDay), 1, 1e-4) << "network, shared with the one before";
  EXPECT_NEAR(sum(3, 0, 5, kDay), 2, 1e-4) << "campaign";
}

TEST(Reporters, AStrangerOverturnsNoConfidentVerdict) {
  Reporters reporters;
  EXPECT_GT(reporters.weight_of({1, 0, 0, 0, 1.5f}), 0);
  EXPECT_EQ(reporters.weight_of({1, 0, 0, 0, 2.5f}), 0);
  EXPECT_GT(reporters.weight_of({1, 0, 0, 0, -9}), 0) << "the model agrees";
  for (int i = 0; i < 20; ++i) reporters.confirm(1, true);
  EXPECT_GT(reporters.weight_of({1, 0, 0, 0, 9}), 0.5f);
}

TEST(Reporters, IsBoundedAndKeepsTheNewest) {
  ReporterOptions options;
  options.tracked_max = 10;
  Reporters reporters(options);
  for (uint64_t who = 1; who <= 100; ++who) {
    for (int i = 0; i < 9; ++i) reporters.confirm(who, true);
    (void)reporters.weight_of({who, who, who, 0, 0});
  }
  EXPECT_EQ(reporters.reporters(), 10u);
  EXPECT_FLOAT_EQ(reporters.trust_of(1), 0.25f);
  EXPECT_GT(reporters.trust_of(100), 0.5f);
}

TEST(Reporters, GoesOnWhereItWasSaved) {
  Reporters reporters;
  const auto step = [](Reporters& to, uint64_t i) {
    const uint64_t who = base::mix64(i) % 50;
    if (i % 3 == 0) to.confirm(who, base::mix64(i + 7) % 4 != 0);
    return to.weight_of({who, who % 7, i % 11, static_cast<int64_t>(i) * 600'000, 0});
  };
  for (uint64_t i = 0; i < 1'000; ++i) step(reporters, i);
  const std::string bytes = reporters.save();
  auto loaded = Reporters::load(bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->save(), bytes);
  for (uint64_t i = 1'000; i < 1'500; ++i) ASSERT_EQ(step(reporters, i), step(*loaded, i));
  for (size_t at = 0; at < bytes.size(); at += 13) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_FALSE(Reporters::load(damaged)) << at;
    EXPECT_FALSE(Reporters::load(bytes.substr(0, at))) << at;
  }
  ReporterOptions few;
  few.tracked_max = 3;
  EXPECT_EQ(Reporters::load(bytes, few)->reporters(), 3u);
}

}  // namespace
}  // namespace tamis::learn
