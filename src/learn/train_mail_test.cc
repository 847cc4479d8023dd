#include "learn/train_mail.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "learn/message_features.h"
#include "model/spam_model.h"

namespace tamis::learn {
namespace {

// Two small corpora in a folder of their own.
class TrainMail : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tamis_train_mail_test";
    std::filesystem::remove_all(folder_);
    for (const char* corpus : {"a", "b"}) write_corpus(corpus);
    options_.slots_log2 = 14;
    options_.indexes = {folder_ + "/a/index.tsv", folder_ + "/b/index.tsv"};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write_corpus(const std::string& name) const {
    std::filesystem::create_directories(folder_ + "/" + name);
    std::ofstream index(folder_ + "/" + name + "/index.tsv");
    for (int i = 0; i < 30; ++i) {
      const bool spam = i % 3 == 0;
      const std::string path = std::to_string(i) + ".eml";
      std::ofstream(folder_ + "/" + name + "/" + path) << message(spam, i);
      index << path << '\t' << (spam ? "spam" : "ham") << '\t' << i << '\n';
    }
  }
  static std::string message(bool spam, int number) {
    return std::string("Subject: ") + (spam ? "cheap pills offer " : "minutes of the meeting ") +
           std::to_string(number) + "\n\n" + (spam ? "Order your pills now, best offer " : "Please find the minutes ") +
           std::to_string(number * 7 % 11) + "\n";
  }

  std::string folder_;
  TrainMailOptions options_;
};

TEST_F(TrainMail, TheSameFilesGiveTheSameBytesAndAModelThatKnowsThem) {
  uint64_t told = 0;
  const auto first = train_mail(options_, [&](uint64_t, uint64_t all) { told = all; });
  const auto second = train_mail(options_);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second);
  EXPECT_EQ(first->bytes, second->bytes);
  EXPECT_EQ(first->ham, 40u);
  EXPECT_EQ(first->spam, 20u);
  EXPECT_NE(first->card.find("{ham: 20, spam: 10, digest: "), std::string::npos) << first->card;
  const auto loaded = model::SpamModel::load(first->bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->card, first->card);
  EXPECT_EQ(loaded->model.options().learners, model::SpamOptions{}.learners);
  EXPECT_EQ(loaded->model.options().examples_max, model::SpamOptions{}.examples_max);
  mail::Analyser analyser;
  model::FeatureCollector collector;
  model::SpamModel::Scratch scratch;
  for (const bool spam : {false, true}) {
    collect_message_features(analyser.analyse(message(spam, 99)), {}, collector);
    EXPECT_EQ(loaded->model.score(collector.finish(), scratch).spam, spam);
  }
}

TEST_F(TrainMail, AChangedMessageChangesTheCard) {
  const auto first = train_mail(options_);
  std::ofstream(folder_ + "/a/3.eml") << message(true, 4);
  const auto second = train_mail(options_);
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  EXPECT_NE(first->card, second->card);
}

TEST_F(TrainMail, SaysWhatIsMissing) {
  options_.indexes.clear();
  EXPECT_NE(train_mail(options_).error().message.find("nothing to learn from"), std::string::npos);
  options_.indexes = {folder_ + "/none.tsv"};
  EXPECT_FALSE(train_mail(options_));
  std::ofstream(folder_ + "/empty.tsv").close();
  options_.indexes = {folder_ + "/empty.tsv"};
  EXPECT_NE(train_mail(options_).error().message.find("names no message"), std::string::npos);
  options_.indexes = {folder_ + "/a/index.tsv"};
  std::filesystem::remove(folder_ + "/a/7.eml");
  EXPECT_NE(train_mail(options_).error().message.find("7.eml"), std::string::npos);
  options_.slots_log2 = 40;
  EXPECT_EQ(train_mail(options_).error().code, base::Code::kInvalid);
}

}  // namespace
}  // namespace tamis::learn
