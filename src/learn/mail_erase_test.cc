// Erasing a person: what was sealed is opened again here, so that nothing can hide in it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "learn/mail_learner_test_kit.h"
#include "learn/mail_memory.h"

namespace tamis::learn {
namespace {

namespace fs = std::filesystem;
using model::FeatureId;

class MailEraseTest : public LearnerTest {
 protected:
  MailEraseTest() : LearnerTest("erase") {}
  // All that the corrections of all days hold, opened.
  std::string corrections() const {
    auto keys = DayKeys::open(folder_ + "/keys");
    std::string all, plain;
    for (const auto& entry : fs::directory_iterator(folder_ + "/corrections")) {
      const std::string text = *base::read_file(entry.path().string(), 1 << 24);
      for (size_t at = 0; at + 4 <= text.size();) {
        const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(text[at + i])); };
        const size_t bytes = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
        EXPECT_TRUE((*keys)->open(std::string_view(text).substr(at + 4, bytes), "tamis correction 1", plain));
        all += plain;
        at += 4 + bytes;
      }
    }
    return all;
  }
  float logit(const std::vector<FeatureId>& features, std::string_view recipient = {}) const {
    model::SpamModel::Scratch scratch;
    MailLearner::Scored scored;
    learner_->score(features, scratch, scored, recipient);
    return scored.score.logit;
  }
};

TEST_F(MailEraseTest, NothingOfAPersonIsLeft) {
  open();
  const std::string person = "Planted@our.example";
  for (uint64_t n = 0; n < 40; ++n) {
    const bool spam = n % 2 == 0;
    const std::string id = "m" + std::to_string(n);
    ASSERT_TRUE(learner_->remember(id, 1 + n, message(n, spam), kNowMs));
    const MailLabel label = spam ? MailLabel::kSpam : MailLabel::kHam;
    // On two days, by two reporters; the first ten messages went to the person.
    const int64_t now = kNowMs + (n < 20 ? 0 : kDayMs);
    ASSERT_TRUE(
        learner_->learn_by_id(id, label, n % 4 == 0 ? person : "other", n < 10 ? "planted@our.example" : "", now));
  }
  // A taste of its own: this person wants what others call spam.
  for (uint64_t n = 50; n < 60; ++n) {
    ASSERT_TRUE(learner_->learn(n, message(n, true), MailLabel::kHam, person, person, kNowMs + kDayMs));
  }
  ASSERT_TRUE(learner_->learn_truth_soon("m0", MailLabel::kSpam, "desk", kNowMs + kDayMs));
  ASSERT_TRUE(learner_->put_golden(1 + 7, message(7, false), MailLabel::kHam, kNowMs + kDayMs));
  const auto other = message(90, true);
  const float before = logit(other);
  EXPECT_NE(logit(message(95, true), person), logit(message(95, true)));
  EXPECT_NE(corrections().find(person), std::string::npos) << "the test would prove nothing";
  std::vector<uint64_t> ids;
  for (uint64_t n = 0; n < 10; ++n) ids.push_back(MailMemory::hash_of("m" + std::to_string(n)));
  std::string of_first;
  append_features(message(3, false), of_first);
  EXPECT_NE(corrections().find(of_first), std::string::npos);

  const auto erased = learner_->erase("planted@our.example", ids, kNowMs + kDayMs);
  ASSERT_TRUE(erased) << erased.error().message;
  EXPECT_GT(*erased, 20u);
  for (const bool again : {false, true}) {
    if (again) open(kNowMs + kDayMs);
    EXPECT_EQ(corrections().find(person), std::string::npos);
    EXPECT_EQ(corrections().find(of_first), std::string::npos);
    EXPECT_EQ(logit(message(95, true), person), logit(message(95, true)));
    EXPECT_EQ(logit(other), before) << "what was learned stays";
    for (uint64_t n = 0; n < 10; ++n) {
      EXPECT_EQ(learner_->learn_by_id("m" + std::to_string(n), MailLabel::kHam, "x", "", kNowMs).error().code,
                base::Code::kNotFound);
    }
    EXPECT_EQ(learner_->golden().result.ham, 0u);
    EXPECT_EQ(learner_->stats().reporters, 0u);
    EXPECT_FALSE(learner_->learn_by_id("m12", MailLabel::kSpam, "other", "", kNowMs + kDayMs)->changed)
        << "others stay";
  }
  EXPECT_EQ(*learner_->erase("planted@our.example", ids, kNowMs + kDayMs), 0u) << "once more does nothing";
  EXPECT_EQ(learner_->take_back(person, kNowMs + kDayMs)->votes, 0u);
  // Corrections go on behind it.
  ASSERT_TRUE(learner_->learn(500, message(500, true), MailLabel::kSpam, "other", "", kNowMs + kDayMs));
  const float after = logit(other);
  open(kNowMs + kDayMs);
  EXPECT_EQ(logit(other), after);
}

TEST_F(MailEraseTest, WithoutAFolder) {
  options_.folder.clear();
  open();
  ASSERT_TRUE(learner_->remember("m", 7, message(1, true), kNowMs));
  ASSERT_TRUE(learner_->learn_by_id("m", MailLabel::kSpam, "anna", "", kNowMs));
  EXPECT_EQ(*learner_->erase("anna", {MailMemory::hash_of("m")}, kNowMs), 2u);
  EXPECT_FALSE(learner_->learn_by_id("m", MailLabel::kSpam, "anna", "", kNowMs));
}

}  // namespace
}  // namespace tamis::learn
