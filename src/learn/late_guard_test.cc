#include "learn/late_guard.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace tamis::learn {
namespace {

// Messages of one feature each, scanned in order, their labels told `delay` messages late.
class Stream {
 public:
  explicit Stream(size_t delay) : delay_(delay) {}
  void take(bool spam, float logit) {
    const std::vector<model::FeatureId> features{model::feature_id(model::Place::kBody, ++number_)};
    guard_.scanned(features);
    waiting_.push_back({features, spam, logit});
    if (waiting_.size() <= delay_) return;
    guard_.learned(waiting_.front().features, waiting_.front().spam, waiting_.front().logit);
    waiting_.pop_front();
  }
  float logit() const { return guard_.logit(); }

 private:
  struct Told {
    std::vector<model::FeatureId> features;
    bool spam;
    float logit;
  };
  size_t delay_;
  uint64_t number_ = 0;
  std::deque<Told> waiting_;
  LateGuard guard_;
};

TEST(LateGuard, LeavesTheThresholdToTheModelWhereFeedbackIsPrompt) {
  Stream stream(30);
  for (int i = 0; i < 600; ++i) {
    stream.take(true, 4);
    ASSERT_EQ(stream.logit(), 0);
  }
}

TEST(LateGuard, AsksForWhatMostSpamsHaveWhereLateFeedbackIsOfSpamAlone) {
  Stream stream(300);
  for (int i = 0; i < 600; ++i) stream.take(true, i % 10 == 0 ? 0.5f : 4);
  EXPECT_NEAR(stream.logit(), 4, 0.1);  // one of ten lies lower: that is less than one of five
}

TEST(LateGuard, EndsWithWantedMailAmongTheLateFeedback) {
  Stream stream(300);
  for (int i = 0; i < 600; ++i) stream.take(true, 4);
  ASSERT_GT(stream.logit(), 3);
  for (int i = 0; i < 320; ++i) stream.take(i % 3 != 0, 4);
  EXPECT_EQ(stream.logit(), 0);
}

TEST(LateGuard, EndsWhenFeedbackBecomesPrompt) {
  LateGuard guard;
  std::vector<std::vector<model::FeatureId>> old;
  for (uint64_t i = 0; i < 200; ++i) {
    old.push_back({model::feature_id(model::Place::kBody, i)});
    guard.scanned(old.back());
  }
  for (size_t i = 0; i < 100; ++i) guard.learned(old[i], true, 4);
  ASSERT_GT(guard.logit(), 3);
  for (uint64_t i = 1000; i < 1020; ++i) {
    const std::vector<model::FeatureId> one{model::feature_id(model::Place::kBody, i)};
    guard.scanned(one);
    guard.learned(one, true, 4);
  }
  EXPECT_EQ(guard.logit(), 0);
}

TEST(LateGuard, IgnoresMailThatWasNeverScannedAndReportsOfMissedSpam) {
  LateGuard offline;
  for (uint64_t i = 0; i < 500; ++i) {
    const std::vector<model::FeatureId> one{model::feature_id(model::Place::kBody, i)};
    offline.learned(one, true, 4);
  }
  EXPECT_EQ(offline.logit(), 0);
  Stream missed(300);
  for (int i = 0; i < 600; ++i) missed.take(true, -2);
  EXPECT_EQ(missed.logit(), 0);
}

}  // namespace
}  // namespace tamis::learn
