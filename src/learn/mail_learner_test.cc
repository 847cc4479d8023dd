#include "learn/mail_learner_test_kit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>

#include "base/hash.h"

namespace tamis::learn {
namespace {

namespace fs = std::filesystem;
using model::FeatureId;

class MailLearnerTest : public LearnerTest {
 protected:
  MailLearnerTest() : LearnerTest("learner") {}
  MailLearner& open(int64_t now_ms = kNowMs) {
    LearnerTest::open(now_ms);
    return *learner_;
  }
  float logit(const std::vector<FeatureId>& features) const {
    model::SpamModel::Scratch scratch;
    MailLearner::Scored scored;
    learner_->score(features, scratch, scored);
    return scored.score.logit;
  }
  void teach(uint64_t count, std::string_view reporter = "carl") {
    for (uint64_t n = 0; n < count; ++n) {
      for (const bool spam : {false, true}) {
        auto done = learner_->learn_soon(n * 2 + spam + 1, message(n, spam), spam ? MailLabel::kSpam : MailLabel::kHam,
                                         reporter, "", kNowMs);
        ASSERT_TRUE(done) << done.error().message;
      }
    }
  }
};

TEST_F(MailLearnerTest, TheThresholdRisesWhileLateFeedbackIsOfSpamAlone) {
  // That the model is asked for a weight is no scan.
  options_.weigh = [](const MailVote&, const model::SpamScore&) { return 1.0f; };
  MailLearner& learner = open();
  model::SpamModel::Scratch scratch;
  MailLearner::Scored scored;
  auto learn = [&](uint64_t n, bool spam) {
    const auto label = spam ? MailLabel::kSpam : MailLabel::kHam;
    ASSERT_TRUE(learner.learn_soon(n + 1, message(n, spam), label, "carl", "", kNowMs));
  };
  for (uint64_t n = 0; n < 300; ++n) {
    learner.score(message(n, true), scratch, scored);
    ASSERT_EQ(scored.threshold, 0.5f) << n;
  }
  for (uint64_t n = 0; n < 200; ++n) learn(n, true);
  learner.score(message(301, true), scratch, scored);
  EXPECT_GT(scored.threshold, 0.6f);
  EXPECT_LE(scored.threshold, 0.9934f);  // log-odds of 5
  EXPECT_EQ(scored.score.spam, scored.score.probability > scored.threshold);
  for (uint64_t n = 1000; n < 1020; ++n) {
    learner.score(message(n, false), scratch, scored);
    learn(n, false);
  }
  learner.score(message(301, true), scratch, scored);
  EXPECT_EQ(scored.threshold, 0.5f);
}

TEST_F(MailLearnerTest, AModelFromElsewhereSaysSoAndHowOftenItWasCorrectedHere) {
  model::SpamModel::Scratch scratch;
  MailLearner::Scored scored;
  {
    MailLearner& learner = open();
    teach(40);
    learner.score(message(301, true), scratch, scored);
    EXPECT_FALSE(scored.from_elsewhere);
    EXPECT_EQ(scored.corrections, 80u);
    options_.starter = learner.save_model("a model of another place");
  }
  options_.folder += "/elsewhere";
  MailLearner& learner = open();
  learner.score(message(301, true), scratch, scored);
  EXPECT_TRUE(scored.from_elsewhere);
  EXPECT_EQ(scored.corrections, 0u);
  teach(10);
  ASSERT_TRUE(learner.sync());
  for (const bool restarted : {false, true}) {
    MailLearner& now = restarted ? open() : learner;
    now.score(message(301, true), scratch, scored);
    EXPECT_TRUE(scored.from_elsewhere);
    EXPECT_EQ(scored.corrections, 20u);
  }
}

TEST_F(MailLearnerTest, TheNewestVoteCountsAndCanBeTakenBack) {
  MailLearner& learner = open();
  teach(20);
  const auto text = message(50, false);
  auto vote = [&](const char* who, MailLabel label) {
    auto done = learner.learn(777, text, label, who, "", kNowMs);
    EXPECT_TRUE(done) << done.error().message;
    return *done;
  };
  EXPECT_TRUE(vote("anna", MailLabel::kHam).changed);
  EXPECT_FALSE(vote("anna", MailLabel::kHam).changed);
  EXPECT_FALSE(vote("bert", MailLabel::kHam).changed);
  EXPECT_EQ(learner.stats().ham_learned, 21u);
  const auto wrong = vote("carl", MailLabel::kSpam);
  EXPECT_EQ(wrong.before, MailLabel::kHam);
  EXPECT_EQ(wrong.after, MailLabel::kSpam);
  EXPECT_EQ(learner.stats().ham_learned, 20u);
  EXPECT_EQ(vote("carl", MailLabel::kForget).after, MailLabel::kHam);
  EXPECT_EQ(learner.stats().ham_learned, 21u);
  EXPECT_LT(logit(text), 0);
  EXPECT_EQ(vote("anna", MailLabel::kForget).after, MailLabel::kHam);  // bert still says so
  EXPECT_EQ(vote("bert", MailLabel::kForget).after, MailLabel::kForget);
  EXPECT_EQ(learner.stats().ham_learned, 20u);
  EXPECT_EQ(learner.learn(777, text, MailLabel::kForget, "bert", "", kNowMs).error().code, base::Code::kNotFound);
}

TEST_F(MailLearnerTest, ById) {
  MailLearner& learner = open();
  teach(20);
  const auto text = message(60, true);
  ASSERT_TRUE(learner.remember("m-1", 4711, text, kNowMs));
  EXPECT_TRUE(learner.learn_by_id("m-1", MailLabel::kHam, "anna", "", kNowMs)->changed);
  // The same message by its text: the two know of each other.
  EXPECT_EQ(learner.learn(4711, text, MailLabel::kSpam, "anna", "", kNowMs)->before, MailLabel::kHam);
  EXPECT_EQ(learner.stats().spam_learned, 21u);
  EXPECT_EQ(learner.learn_by_id("m-2", MailLabel::kHam, "anna", "", kNowMs).error().code, base::Code::kNotFound);
}

TEST_F(MailLearnerTest, StartsAgainWithTheSameBits) {
  open();
  teach(30);
  ASSERT_TRUE(learner_->checkpoint(kNowMs));
  for (uint64_t n = 100; n < 140; ++n) {
    ASSERT_TRUE(learner_->learn_soon(n, message(n, n % 3 == 0), n % 3 == 0 ? MailLabel::kSpam : MailLabel::kHam, "dora",
                                     "", kNowMs));
  }
  ASSERT_TRUE(learner_->learn_soon(100, message(100, false), MailLabel::kSpam, "eve", "", kNowMs));
  ASSERT_TRUE(learner_->take_back("eve", kNowMs));
  std::vector<float> before;
  for (uint64_t n = 0; n < 50; ++n) before.push_back(logit(message(n * 7, n % 2 == 0)));
  const auto stats = learner_->stats();
  open();  // the file of the model, and what came behind it
  std::vector<float> after;
  for (uint64_t n = 0; n < 50; ++n) after.push_back(logit(message(n * 7, n % 2 == 0)));
  EXPECT_EQ(before, after);
  EXPECT_EQ(learner_->stats().corrections, stats.corrections);
  EXPECT_EQ(learner_->stats().ham_learned, stats.ham_learned);
  fs::remove(folder_ + "/model");
  open();  // all of it from the corrections
  after.clear();
  for (uint64_t n = 0; n < 50; ++n) after.push_back(logit(message(n * 7, n % 2 == 0)));
  EXPECT_EQ(before, after);
  // A vote that was kept is known: saying it again is nothing new.
  EXPECT_FALSE(learner_->learn(139, message(139, false), MailLabel::kHam, "dora", "", kNowMs)->changed);
}

TEST_F(MailLearnerTest, ALogThatIsCutOffGoesOn) {
  open();
  teach(5);
  learner_.reset();
  const std::string log = folder_ + "/corrections/" + day_name(20'000);
  const auto bytes = fs::file_size(log);
  fs::resize_file(log, bytes - 3);
  open();
  EXPECT_EQ(learner_->stats().corrections, 9u);
  ASSERT_TRUE(learner_->learn(99, message(99, true), MailLabel::kSpam, "carl", "", kNowMs));
  open();
  EXPECT_EQ(learner_->stats().corrections, 10u);
}

TEST_F(MailLearnerTest, ADamagedLogIsAnErrorThatSaysWhere) {
  open();
  teach(2);
  learner_.reset();
  const std::string log = folder_ + "/corrections/" + day_name(20'000);
  FILE* file = std::fopen(log.c_str(), "r+");
  ASSERT_NE(file, nullptr);
  std::fseek(file, 40, SEEK_SET);
  std::fputc(0x55, file);
  std::fputc(0xaa, file);
  std::fclose(file);
  auto opened = MailLearner::open(options_, kNowMs);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find(log + ": byte 0: "), std::string::npos) << opened.error().message;
}

TEST_F(MailLearnerTest, AllOfOneReporterIsTakenBack) {
  open();
  teach(30);
  const auto victim = message(70, false);
  const float honest = logit(victim);
  for (uint64_t n = 70; n < 90; ++n) {
    ASSERT_TRUE(learner_->learn_soon(5000 + n, message(n, false), MailLabel::kSpam, "mallory", "", kNowMs));
  }
  ASSERT_TRUE(learner_->learn_soon(1, message(0, false), MailLabel::kSpam, "mallory", "", kNowMs));  // carl: ham
  const float poisoned = logit(victim);
  EXPECT_GT(poisoned, honest);
  auto taken = learner_->take_back("mallory", kNowMs);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->votes, 21u);
  EXPECT_EQ(taken->corrected + taken->out_of_reach, 21u);
  EXPECT_EQ(learner_->stats().spam_learned, 30u);
  EXPECT_EQ(learner_->take_back("mallory", kNowMs)->votes, 0u);
  // The counts are those of before at once; what the regressions took fades as others are learned.
  for (uint64_t n = 200; n < 240; ++n) {
    for (const bool spam : {false, true}) {
      ASSERT_TRUE(learner_->learn_soon(n * 2 + spam, message(n, spam), spam ? MailLabel::kSpam : MailLabel::kHam,
                                       "carl", "", kNowMs));
    }
  }
  EXPECT_LT(logit(victim), poisoned);
  EXPECT_LT(logit(victim), 0);
}

TEST_F(MailLearnerTest, AVoteWithoutWeightIsNotedAndNotLearned) {
  options_.weigh = [](const MailVote& vote, const model::SpamScore&) { return vote.reporter == "eve" ? 0.0f : 1.0f; };
  open();
  teach(5);
  auto done = learner_->learn(99, message(99, false), MailLabel::kSpam, "eve", "", kNowMs);
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->changed);
  EXPECT_EQ(done->weight, 0);
  EXPECT_EQ(learner_->stats().spam_learned, 5u);
  EXPECT_EQ(learner_->stats().corrections, 11u);
  EXPECT_TRUE(learner_->learn(99, message(99, false), MailLabel::kHam, "anna", "", kNowMs)->changed);
}

TEST_F(MailLearnerTest, WhatIsTooOldCannotBeOpenedAnyMore) {
  options_.remember_days = 3;
  open();
  teach(10);
  ASSERT_TRUE(learner_->remember("m-1", 4711, message(60, true), kNowMs));
  const float before = logit(message(3, true));
  ASSERT_TRUE(learner_->tidy(kNowMs + 4 * kDayMs));
  EXPECT_FALSE(fs::exists(folder_ + "/keys/" + day_name(20'000) + ".key"));
  EXPECT_FALSE(fs::exists(folder_ + "/corrections/" + day_name(20'000)));
  EXPECT_EQ(learner_->learn_by_id("m-1", MailLabel::kHam, "a", "", kNowMs).error().code, base::Code::kNotFound);
  // What it taught stays; only that it was like the messages, whose features are gone, is not known any more.
  const float after = logit(message(3, true));
  EXPECT_NEAR(after, before, 2);
  EXPECT_GT(after, 2);
  open(kNowMs + 4 * kDayMs);
  EXPECT_EQ(logit(message(3, true)), after);
  EXPECT_EQ(learner_->stats().corrections, 20u);
  // A server that was away for longer than the keys live still has its model.
  open(kNowMs + 40 * kDayMs);
  EXPECT_EQ(logit(message(3, true)), after);
}

// Nobody corrects anything for weeks: what was saved must not lose its key.
TEST_F(MailLearnerTest, WithoutCorrectionsItIsSealedAnewEachDay) {
  options_.remember_days = 3;
  open();
  ASSERT_TRUE(learner_->put_golden(1, message(1, true), MailLabel::kSpam, kNowMs));
  const float before = logit(message(3, true));
  ASSERT_TRUE(learner_->checkpoint(kNowMs));
  for (int day = 0; day < 9; ++day) ASSERT_TRUE(learner_->tidy(kNowMs + day * kDayMs));
  open(kNowMs + 9 * kDayMs);
  EXPECT_EQ(logit(message(3, true)), before);
  EXPECT_EQ(learner_->golden().result.spam, 1u);
  ASSERT_TRUE(learner_->tidy(kNowMs + 40 * kDayMs));  // the clock may jump, too
  open(kNowMs + 40 * kDayMs);
  EXPECT_EQ(learner_->golden().result.spam, 1u);
}

TEST_F(MailLearnerTest, WithoutItsKeysItBeginsAnewAndSaysSo) {
  open();
  teach(10);
  ASSERT_TRUE(learner_->remember("m-1", 4711, message(60, true), kNowMs));
  ASSERT_TRUE(learner_->checkpoint(kNowMs));
  fs::remove_all(folder_ + "/keys");  // as a backup has it
  open();
  ASSERT_TRUE(learner_->remember("m-2", 4712, message(61, true), kNowMs));
  EXPECT_FALSE(learner_->learn_by_id("m-1", MailLabel::kHam, "a", "", kNowMs));
  EXPECT_EQ(learner_->stats().corrections, 0u);
  EXPECT_TRUE(fs::exists(folder_ + "/model.without-key"));
  teach(3);
  open();
  EXPECT_EQ(learner_->stats().corrections, 6u);
  EXPECT_TRUE(learner_->learn_by_id("m-2", MailLabel::kSpam, "a", "", kNowMs));
  ASSERT_TRUE(learner_->tidy(kNowMs + 400 * kDayMs));
  for (const auto& file : fs::directory_iterator(folder_ + "/corrections")) ADD_FAILURE() << file.path();
}

TEST_F(MailLearnerTest, ScoresAndLearnsFromManyThreads) {
  open();
  teach(5);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      model::SpamModel::Scratch scratch;
      MailLearner::Scored scored;
      for (uint64_t n = 0; n < 60; ++n) {
        const auto text = message(1000 * t + n, n % 2 == 0);
        learner_->score(text, scratch, scored);
        const std::string id = std::to_string(t) + "-" + std::to_string(n);
        EXPECT_TRUE(learner_->remember(id, 1'000'000 + 1000 * t + n, text, kNowMs));
        EXPECT_TRUE(learner_->learn_by_id_soon(id, n % 2 == 0 ? MailLabel::kSpam : MailLabel::kHam, "r", "", kNowMs));
        if (n % 20 == 0) {
          EXPECT_TRUE(learner_->sync());
        }
        if (n == 30) {
          EXPECT_TRUE(learner_->checkpoint(kNowMs));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(learner_->stats().corrections, 10u + 180u);
  EXPECT_EQ(learner_->stats().ham_learned + learner_->stats().spam_learned, 190u);
}

TEST_F(MailLearnerTest, ARecipientHasATasteThatOutlivesARestart) {
  MailLearner* learner = &open();
  teach(40);
  // Spam to all others; with the words of one that she gets and other headers, so that it is no near-copy of that.
  const auto letter = message(47, true);
  const auto logit_for = [&](std::string_view who) {
    model::SpamModel::Scratch scratch;
    MailLearner::Scored scored;
    learner->score(letter, scratch, scored, who);
    EXPECT_EQ(scored.score.spam, scored.score.logit > 0);
    return scored.score.logit;
  };
  EXPECT_EQ(logit_for("ann@example.net"), logit_for(""));
  for (uint64_t n = 0; n < 4; ++n) {
    ASSERT_TRUE(learner->learn(5'000 + n, message(7 + n, true), MailLabel::kHam, "ann", "Ann@Example.net", kNowMs));
  }
  const float common = logit_for("");
  const float ann = logit_for("ann@example.net");
  EXPECT_LT(ann, common - 0.5f) << "and the case of the address does not matter";
  EXPECT_NEAR(logit_for("bob@example.net"), common, 0.3f);
  // From the log alone, and from the files of a checkpoint.
  learner = &open();
  EXPECT_EQ(logit_for("ann@example.net"), ann);
  EXPECT_EQ(logit_for(""), common);
  ASSERT_TRUE(learner->checkpoint(kNowMs));
  learner = &open();
  EXPECT_EQ(logit_for("ann@example.net"), ann);
  ASSERT_TRUE(learner->learn(6'000, message(30, true), MailLabel::kHam, "ann", "ann@example.net", kNowMs));
  const float more = logit_for("ann@example.net");
  learner = &open();
  EXPECT_EQ(logit_for("ann@example.net"), more);
}

TEST_F(MailLearnerTest, AMessageIsWhatItsRecipientSaidForHimAlone) {
  options_.weigh_reports = true;  // a stranger's word weighs little for others, and all for himself
  MailLearner* learner = &open();
  for (uint64_t n = 0; n < 40; ++n) {
    ASSERT_TRUE(learner->remember("m" + std::to_string(n), 100 + n, message(n, n % 2 == 1), kNowMs));
    const auto label = n % 2 == 1 ? MailLabel::kSpam : MailLabel::kHam;
    ASSERT_TRUE(learner->learn_truth_soon("m" + std::to_string(n), label, "desk", kNowMs));
  }
  const auto scored_for = [&](std::string_view who, uint64_t key, const std::vector<model::FeatureId>& letter) {
    model::SpamModel::Scratch scratch;
    MailLearner::Scored scored;
    learner->score(letter, scratch, scored, who, key);
    EXPECT_EQ(scored.score.spam, scored.score.logit > 0);
    return scored;
  };
  const auto spam = message(7, true), wanted = message(8, false);
  const float before = scored_for("", 7, spam).score.logit;
  EXPECT_TRUE(scored_for("ann@x.example", 7, spam).score.spam);
  ASSERT_TRUE(learner->learn(7, spam, MailLabel::kHam, "ann", "ann@x.example", kNowMs));
  ASSERT_TRUE(learner->learn(8, wanted, MailLabel::kSpam, "ann", "Ann@x.example", kNowMs));
  auto stays = [&] {
    const auto said = scored_for("ann@x.example", 7, spam);
    EXPECT_EQ(said.own_word, false);
    EXPECT_LE(said.score.logit, -3);
    EXPECT_GE(scored_for("ann@x.example", 8, wanted).score.logit, 3);
    EXPECT_EQ(scored_for("bob@x.example", 7, spam).own_word, std::nullopt);
    EXPECT_TRUE(scored_for("bob@x.example", 7, spam).score.spam);
    EXPECT_FALSE(scored_for("", 8, wanted).score.spam);
    // A near-copy under another key; with two words less and another header of ten.
    auto copy = spam;
    copy.erase(copy.begin());
    copy.pop_back();
    EXPECT_EQ(scored_for("ann@x.example", 77, copy).own_word, false);
  };
  stays();
  learner = &open();  // from the log
  stays();
  ASSERT_TRUE(learner->checkpoint(kNowMs));
  learner = &open();  // with the model's file
  stays();
  ASSERT_TRUE(learner->learn(7, spam, MailLabel::kForget, "ann", "ann@x.example", kNowMs));
  EXPECT_EQ(scored_for("ann@x.example", 7, spam).own_word, std::nullopt);
  EXPECT_NEAR(scored_for("", 7, spam).score.logit, before, 1.0f);
  ASSERT_TRUE(learner->take_back("ann", kNowMs));
  EXPECT_EQ(scored_for("ann@x.example", 8, wanted).own_word, std::nullopt);
  learner = &open();
  EXPECT_EQ(scored_for("ann@x.example", 8, wanted).own_word, std::nullopt);
}

TEST_F(MailLearnerTest, WhoContradictedConfirmedTruthTeachesNoMore) {
  options_.weigh_reports = true;
  MailLearner* learner = &open();
  // Twenty messages whose truth is confirmed: the honest said the same before, the liar the contrary.
  for (uint64_t n = 0; n < 20; ++n) {
    const std::string id = "m" + std::to_string(n);
    const bool spam = n % 2 == 1;
    const auto label = spam ? MailLabel::kSpam : MailLabel::kHam;
    ASSERT_TRUE(learner->remember(id, 100 + n, message(n, spam), kNowMs));
    ASSERT_TRUE(learner->learn_by_id(id, label, "honest", "", kNowMs));
    ASSERT_TRUE(learner->learn_by_id(id, spam ? MailLabel::kHam : MailLabel::kSpam, "liar", "", kNowMs));
    auto truth = learner->learn_truth_soon(id, label, "moderator", kNowMs);
    ASSERT_TRUE(truth);
    EXPECT_EQ(truth->after, label);
    EXPECT_EQ(truth->weight, 1);
  }
  const auto believed = [&](std::string_view who) {
    int count = 0;
    for (uint64_t n = 0; n < 20; ++n) {
      // What is new to the model, so that nothing is contradicted.
      std::vector<FeatureId> letter;
      for (uint64_t i = 0; i < 20; ++i)
        letter.push_back(model::feature_id(model::Place::kHeader, n * 1000 + i + 7'000'000));
      std::sort(letter.begin(), letter.end());
      auto told = learner->learn(base::hash64(who) + n, letter, MailLabel::kSpam, who, "", kNowMs + kDayMs);
      EXPECT_TRUE(told);
      count += told && told->changed;
    }
    return count;
  };
  learner = &open();  // the log has what was confirmed
  EXPECT_GE(believed("honest"), 14);
  EXPECT_EQ(believed("liar"), 0);
  EXPECT_LE(believed("stranger"), 12);
  EXPECT_GE(learner->stats().not_believed, 20u);
  EXPECT_GE(learner->stats().reporters, 2u);
}

TEST_F(MailLearnerTest, FeaturesInTheModelEndWithTheirDays) {
  options_.remember_days = 3;
  MailLearner* learner = &open();
  teach(20);
  const auto text = message(3, true);
  const auto size_of_model = [&] {
    EXPECT_TRUE(learner->checkpoint(kNowMs));
    return fs::file_size(folder_ + "/model");
  };
  const auto with_examples = size_of_model();
  const float before = logit(text);
  const auto learned = learner->stats().spam_learned;
  // Within the days nothing goes; one message is voted on again and stays longer.
  ASSERT_TRUE(learner->tidy(kNowMs + 3 * kDayMs));
  EXPECT_EQ(fs::file_size(folder_ + "/model"), with_examples);
  ASSERT_TRUE(learner->learn(2, message(0, true), MailLabel::kSpam, "dora", "", kNowMs + 3 * kDayMs));
  ASSERT_TRUE(learner->tidy(kNowMs + 4 * kDayMs));
  const auto after = fs::file_size(folder_ + "/model");
  EXPECT_LT(after + 39 * 30 * sizeof(FeatureId), with_examples + 100) << "39 of 40 feature sets are gone";
  EXPECT_GT(logit(text), 0) << "what they taught is not";
  EXPECT_LT(std::abs(logit(text) - before), 4);
  EXPECT_EQ(learner->stats().spam_learned, learned);
  const float now = logit(text);
  learner = &open(kNowMs + 4 * kDayMs);
  EXPECT_EQ(logit(text), now);
}

}  // namespace
}  // namespace tamis::learn
