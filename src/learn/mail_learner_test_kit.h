// Messages as features, and a learner in a folder of its own, for the tests of the mail learner.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "learn/mail_learner.h"

namespace tamis::learn {

inline constexpr int64_t kDayMs = 86'400'000;
inline constexpr int64_t kNowMs = 20'000 * kDayMs;

// Messages of two kinds: most features are those of their kind, some their own.
inline std::vector<model::FeatureId> message(uint64_t n, bool spam) {
  std::vector<model::FeatureId> out;
  for (uint64_t i = 0; i < 30; ++i)
    out.push_back(model::feature_id(model::Place::kBody, (spam ? 1000 : 2000) + (n + i) % 40));
  for (uint64_t i = 0; i < 10; ++i) out.push_back(model::feature_id(model::Place::kHeader, 100'000 + n * 10 + i));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

class LearnerTest : public testing::Test {
 protected:
  explicit LearnerTest(const std::string& name)
      : folder_(
            (std::filesystem::temp_directory_path() / ("tamis-" + name + "-" + std::to_string(::getpid()))).string()) {
    std::filesystem::remove_all(folder_);
    options_.folder = folder_;
    options_.model.slots_log2 = 14;
    options_.model.examples_max = 256;
  }
  ~LearnerTest() override {
    learner_.reset();
    std::filesystem::remove_all(folder_);
  }
  // Opens the learner, again if it was open.
  void open(int64_t now_ms = kNowMs) {
    learner_.reset();
    auto opened = MailLearner::open(options_, now_ms);
    ASSERT_TRUE(opened) << opened.error().message;
    learner_ = std::move(*opened);
  }

  std::string folder_;
  MailLearnerOptions options_;
  std::unique_ptr<MailLearner> learner_;
};

}  // namespace tamis::learn
