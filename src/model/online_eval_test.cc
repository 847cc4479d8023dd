#include "model/online_eval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "model/plain_features.h"

namespace tamis::model {
namespace {

class OnlineEval : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/online_eval_test";
    std::filesystem::remove_all(root_);
    ASSERT_TRUE(base::make_folders(root_));
    std::string index;
    for (int i = 0; i < 60; ++i) {
      const bool spam = i % 3 == 0;
      const std::string name = std::to_string(i) + ".eml";
      const std::string word = "word" + std::to_string(i % 7);
      ASSERT_TRUE(base::write_file_atomically(
          root_ + "/" + name, "Subject: " + word + "\n\n" + (spam ? "win money now " : "see you at lunch ") + word));
      index += name + "\t" + (spam ? "spam" : "ham") + "\t" + std::to_string(i) + "\n";
    }
    write_index(index);
    options_.index = root_ + "/index.tsv";
    options_.root = root_;
    options_.out = root_ + "/scores.tsv";
    model_options_.slots_log2 = 12;
    model_options_.examples_max = 64;
  }
  void write_index(const std::string& text) { ASSERT_TRUE(base::write_file_atomically(root_ + "/index.tsv", text)); }
  base::Result<EvalSummary> run() {
    SpamModel model(model_options_);
    return evaluate_online(options_, find_plain_features, model);
  }
  std::string scores() { return base::read_file(options_.out, 1 << 20).value_or(""); }

  std::string root_;
  EvalOptions options_;
  SpamOptions model_options_;
};

TEST_F(OnlineEval, LearnsFromEachMessageAfterItsVerdict) {
  const auto summary = run();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->tested, 60u);
  const uint64_t errors = summary->ham_as_spam + summary->spam_as_ham;
  EXPECT_GE(errors, 1u);  // the first message is spam and nothing is known
  EXPECT_LE(errors, 5u);
  const std::string text = scores();
  EXPECT_EQ(text.substr(0, text.find('\t', 6)), "0.eml\tspam");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 60);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\t'), 240);
}

TEST_F(OnlineEval, TestsTheSecondPartWithoutFeedback) {
  options_.split = 30;
  const auto summary = run();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->tested, 30u);
  EXPECT_EQ(summary->ham_as_spam + summary->spam_as_ham, 0u);
  EXPECT_EQ(scores().substr(0, 6), "30.eml");
}

TEST_F(OnlineEval, LearnsLate) {
  options_.delay = 60;
  const auto summary = run();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->spam_as_ham, 20u);  // nothing was learned in time
}

TEST_F(OnlineEval, SaysWhatIsWrongWithAnIndex) {
  write_index("0.eml\tham\t0\n1.eml\teggs\t1\n");
  const auto summary = run();
  ASSERT_FALSE(summary);
  EXPECT_NE(summary.error().message.find("index.tsv:2: expected path, label"), std::string::npos);
  write_index("missing.eml\tham\t0\n");
  EXPECT_EQ(run().error().code, base::Code::kNotFound);
}

}  // namespace
}  // namespace tamis::model
