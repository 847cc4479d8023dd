// The golden set in the learner: what is refused, that nothing of it stays, and that it is shown.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/hash.h"
#include "learn/mail_learner_test_kit.h"

namespace tamis::learn {
namespace {

namespace fs = std::filesystem;
using model::FeatureId;

MailLabel label_of(bool spam) { return spam ? MailLabel::kSpam : MailLabel::kHam; }

class MailGuardTest : public LearnerTest {
 protected:
  MailGuardTest() : LearnerTest("guard") {}
  // Taught, and with twenty golden messages of each label.
  void prepare() {
    open();
    for (uint64_t n = 0; n < 30; ++n) {
      for (const bool spam : {false, true}) vote(n * 2 + spam + 1, message(n, spam), spam, "carl");
    }
    for (uint64_t n = 500; n < 520; ++n) {
      for (const bool spam : {false, true}) {
        ASSERT_TRUE(learner_->put_golden(n * 2 + spam, message(n, spam), label_of(spam), kNowMs));
      }
    }
  }
  void vote(uint64_t key, const std::vector<FeatureId>& features, bool spam, std::string_view who,
            int64_t now_ms = kNowMs) {
    auto done = learner_->learn_soon(key, features, label_of(spam), who, "", now_ms);
    ASSERT_TRUE(done) << done.error().message;
  }
  std::vector<float> logits() const {
    std::vector<float> out;
    model::SpamModel::Scratch scratch;
    for (uint64_t n = 0; n < 60; ++n) {
      MailLearner::Scored scored;
      learner_->score(message(n * 7, n % 2 == 0), scratch, scored);
      out.push_back(scored.score.logit);
    }
    return out;
  }
  static std::vector<MailLearner::BatchItem> batch(uint64_t first, uint64_t count, bool spam, bool lie) {
    std::vector<MailLearner::BatchItem> items;
    for (uint64_t n = first; n < first + count; ++n) {
      items.push_back({n * 2 + spam, message(n, spam), label_of(spam != lie), ""});
    }
    return items;
  }
};

TEST_F(MailGuardTest, ABatchThatMakesItWorseIsRefusedAndLeavesNothingBehind) {
  prepare();
  ASSERT_TRUE(learner_->checkpoint(kNowMs));
  const auto before = logits();
  auto bad = learner_->learn_batch(batch(1'000, 60, false, true), "mallory", kNowMs);
  ASSERT_TRUE(bad) << bad.error().message;
  EXPECT_TRUE(bad->judged);
  EXPECT_FALSE(bad->verdict.accepted);
  EXPECT_EQ(bad->learned, 0u);
  EXPECT_EQ(bad->before.errors(), 0u);
  EXPECT_GT(bad->after.ham_as_spam, 2u);
  EXPECT_EQ(logits(), before) << "not a bit of the model is another";
  auto good = learner_->learn_batch(batch(2'000, 60, false, false), "anna", kNowMs);
  ASSERT_TRUE(good);
  EXPECT_TRUE(good->judged && good->verdict.accepted);
  EXPECT_EQ(good->learned, 60u);
  EXPECT_NE(logits(), before);
  const auto after = logits();
  open();
  EXPECT_EQ(logits(), after);
  const auto shown = learner_->golden();
  ASSERT_EQ(shown.refusals.size(), 1u) << "kept over a start";
  EXPECT_EQ(shown.refusals[0].reporter, "mallory");
  EXPECT_EQ(shown.refusals[0].messages, 60u);
  EXPECT_FALSE(shown.refusals[0].was_learned);
  EXPECT_EQ(shown.refusals[0].why.find("wanted mail taken for spam went from 0 to "), 0u);
  EXPECT_EQ(shown.result.ham, 20u);
  EXPECT_EQ(shown.result.errors(), 0u);
}

TEST_F(MailGuardTest, WithoutAGoldenSetABatchIsLearned) {
  open();
  auto done = learner_->learn_batch(batch(0, 20, true, false), "anna", kNowMs);
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->judged);
  EXPECT_EQ(done->learned, 20u);
  EXPECT_EQ(learner_->stats().spam_learned, 20u);
  EXPECT_FALSE(learner_->learn_batch({{1, message(1, true), MailLabel::kForget, ""}}, "anna", kNowMs));
}

// What mallory told one by one goes, what others told meanwhile stays, and the model is the one that never met mallory.
TEST_F(MailGuardTest, ReportsThatCameOneByOneAreTakenOutExactly) {
  std::vector<float> without_mallory;
  for (const bool with_mallory : {false, true}) {
    fs::remove_all(folder_);
    prepare();
    for (uint64_t n = 0; n < 60; ++n) {
      vote(10'000 + n * 2, message(1'000 + n, n % 2 == 0), n % 2 == 0, n % 3 == 0 ? "anna" : "bert");
      if (with_mallory) vote(20'001 + n * 2, message(2'000 + n, false), true, "mallory");
    }
    auto refused = learner_->guard(kNowMs + 1, true);
    ASSERT_TRUE(refused) << refused.error().message;
    EXPECT_EQ(*refused, with_mallory ? 60u : 0u);
    if (!with_mallory) without_mallory = logits();
  }
  EXPECT_EQ(logits(), without_mallory);
  const auto shown = learner_->golden();
  ASSERT_EQ(shown.refusals.size(), 1u);
  EXPECT_EQ(shown.refusals[0].reporter, "mallory");
  EXPECT_TRUE(shown.refusals[0].was_learned);
  EXPECT_EQ(shown.result.errors(), 0u);
  EXPECT_EQ(learner_->stats().batches_refused, 1u);
  // No vote of mallory counts any more, neither now nor after a start, with and without the model's file.
  open();
  EXPECT_EQ(logits(), without_mallory);
  EXPECT_EQ(learner_->take_back("mallory", kNowMs)->votes, 0u);
  EXPECT_EQ(learner_->take_back("bert", kNowMs)->votes, 40u);
}

TEST_F(MailGuardTest, TwoLiarsAreBothFound) {
  prepare();
  for (uint64_t n = 0; n < 40; ++n) {
    vote(10'000 + n * 2, message(1'000 + n, n % 2 == 0), n % 2 == 0, "anna");
    vote(20'001 + n * 2, message(2'000 + n, false), true, n % 2 == 0 ? "mallory" : "oscar");
  }
  const auto refused = learner_->guard(kNowMs + 1, true);
  ASSERT_TRUE(refused);
  EXPECT_GE(*refused, 20u);
  EXPECT_EQ(learner_->golden().result.errors(), 0u);
  for (const GoldenRefusal& refusal : learner_->golden().refusals) EXPECT_NE(refusal.reporter, "anna");
}

TEST_F(MailGuardTest, SmallStepsOfADayAreOneBatch) {
  prepare();
  uint64_t refused = 0;
  for (uint64_t n = 0; n < 24; ++n) {
    vote(20'001 + n * 2, message(2'000 + n, false), true, "mallory");
    auto done = learner_->guard(kNowMs + static_cast<int64_t>(n), true);
    ASSERT_TRUE(done);
    refused += *done;
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LE(learner_->golden().result.ham_as_spam, 1u);
}

TEST_F(MailGuardTest, TruthIsNotRefusedAndWhatNobodyExplainsIsShown) {
  prepare();
  for (uint64_t n = 0; n < 80; ++n) {
    const std::string id = "m" + std::to_string(n);
    ASSERT_TRUE(learner_->remember(id, 20'001 + n * 2, message(2'000 + n, false), kNowMs));
    ASSERT_TRUE(learner_->learn_truth_soon(id, MailLabel::kSpam, "desk", kNowMs));
  }
  const auto refused = learner_->guard(kNowMs + 1, true);
  ASSERT_TRUE(refused);
  EXPECT_EQ(*refused, 0u);
  const auto shown = learner_->golden();
  ASSERT_EQ(shown.refusals.size(), 1u);
  EXPECT_EQ(shown.refusals[0].reporter, "");
  EXPECT_GT(shown.result.errors(), 2u);
  ASSERT_TRUE(learner_->guard(kNowMs + 2, true));
  EXPECT_EQ(learner_->golden().refusals.size(), 1u) << "told once";
}

TEST_F(MailGuardTest, AGoldenMessageIsHeldBack) {
  prepare();
  const auto before = logits();
  const uint64_t golden_spam = 505 * 2 + 1;
  auto done = learner_->learn(golden_spam, message(505, true), MailLabel::kHam, "eve", "", kNowMs);
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->changed);
  EXPECT_EQ(logits(), before);
  // One that had been learned is forgotten.
  const auto learned = learner_->stats().spam_learned;
  ASSERT_TRUE(learner_->put_golden(2, message(0, true), MailLabel::kSpam, kNowMs));
  EXPECT_EQ(learner_->stats().spam_learned, learned - 1);
  const auto after = logits();
  open();
  EXPECT_EQ(logits(), after) << "and a start does not learn it again";
  EXPECT_EQ(learner_->golden().result.spam, 21u);
  ASSERT_TRUE(learner_->put_golden(2, {}, MailLabel::kForget, kNowMs));
  EXPECT_EQ(learner_->golden().result.spam, 20u);
  EXPECT_EQ(learner_->put_golden(2, {}, MailLabel::kForget, kNowMs).error().code, base::Code::kNotFound);
  EXPECT_EQ(learner_->put_golden_by_id("unknown", MailLabel::kHam, kNowMs).error().code, base::Code::kNotFound);
}

TEST_F(MailGuardTest, AGoldenMessageJudgesItsReporters) {
  options_.weigh_reports = true;
  prepare();
  const auto known = learner_->stats().reporters;
  for (uint64_t n = 500; n < 510; ++n) vote(n * 2 + 1, message(n, true), true, "anna");
  EXPECT_EQ(learner_->stats().reporters, known + 1);
}

TEST_F(MailGuardTest, SomeConfirmedTruthIsHeldBackByItself) {
  options_.weigh_reports = true;
  open();
  for (uint64_t n = 0; n < 400; ++n) {
    const std::string id = "m" + std::to_string(n);
    ASSERT_TRUE(learner_->remember(id, 1 + n, message(n, n % 2 == 0), kNowMs));
    ASSERT_TRUE(learner_->learn_truth_soon(id, label_of(n % 2 == 0), "desk", kNowMs));
  }
  const auto held = learner_->golden().result;
  EXPECT_GT(held.ham + held.spam, 25u);
  EXPECT_LT(held.ham + held.spam, 80u);
  const auto stats = learner_->stats();
  EXPECT_EQ(stats.ham_learned + stats.spam_learned, 400 - held.ham - held.spam);
  // Truth that says otherwise later wins.
  for (uint64_t n = 0; n < 400; ++n) {
    if (n % 2 != 0) continue;
    ASSERT_TRUE(learner_->learn_truth_soon("m" + std::to_string(n), MailLabel::kHam, "desk", kNowMs));
  }
  EXPECT_EQ(learner_->golden().result.spam, 0u);
}

TEST_F(MailGuardTest, TheSetOutlivesTheKeysOfItsDay) {
  prepare();
  learner_->tidy(kNowMs);
  for (int day = 1; day < 20; ++day) ASSERT_TRUE(learner_->tidy(kNowMs + day * kDayMs));
  open(kNowMs + 20 * kDayMs);
  EXPECT_EQ(learner_->golden().result.ham, 20u);
}

TEST_F(MailGuardTest, NetworksAreCapped) {
  options_.weigh_reports = true;
  options_.reporters.network_day_max = 5;
  open();
  const uint64_t network = network_hash("192.0.2.7");
  EXPECT_EQ(network, network_hash("192.0.2.200"));
  EXPECT_NE(network, network_hash("192.0.3.7"));
  EXPECT_EQ(network_hash("2001:db8:1::1"), network_hash("2001:db8:1:ffff::2"));
  EXPECT_NE(network_hash("2001:db8:1::1"), network_hash("2001:db8:2::1"));
  EXPECT_EQ(network_hash("x"), 0u);
  EXPECT_EQ(network_hash(""), 0u);
  const auto learned = [&](uint64_t first, uint64_t of_network) {
    for (uint64_t n = first; n < first + 100; ++n) {
      const std::string who = "stranger" + std::to_string(n);  // a new account for each
      EXPECT_TRUE(learner_->learn_soon(n, message(n, true), MailLabel::kSpam, who, "", kNowMs, of_network));
    }
    return learner_->stats().spam_learned;
  };
  const auto capped = learned(0, network);
  EXPECT_LE(capped, 30u);
  EXPECT_EQ(learned(1'000, network), capped) << "the network has said all it may today";
  EXPECT_GT(learned(2'000, 0), capped + 8);
}

TEST_F(MailGuardTest, VotesAndGuardsFromManyThreads) {
  prepare();
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      for (uint64_t n = 0; n < 60; ++n) {
        const bool spam = n % 2 == 0;
        vote(100'000 * (t + 1) + n, message(3'000 + n * 3 + t, spam), spam, "r" + std::to_string(t));
      }
    });
  }
  threads.emplace_back([this] {
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(learner_->guard(kNowMs + i, true));
  });
  threads.emplace_back([this] {
    for (uint64_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(learner_->learn_batch(batch(5'000 + 100 * i, 20, i % 2 == 0, i == 3), "b", kNowMs));
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(learner_->golden().result.errors(), 2u);
}

}  // namespace
}  // namespace tamis::learn
