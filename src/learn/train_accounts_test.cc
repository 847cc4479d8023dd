#include "learn/train_accounts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"
#include "model/trees.h"

namespace tamis::learn {
namespace {

double unit(uint64_t a, uint64_t b) { return double(base::combine64(a, b) >> 11) / 9007199254740992.0; }

// Bad ones differ in two features; each kind in one more of its own.
std::vector<SignupRow> rows() {
  std::vector<SignupRow> all;
  for (uint64_t i = 0; i < 4000; ++i) {
    SignupRow row;
    row.is_bad = i % 8 == 0;
    const uint64_t kind = i / 8 % 4;
    row.kind = row.is_bad ? "kind" + std::to_string(kind) : i % 3 ? "people" : "travellers";
    for (uint64_t f = 0; f < detect::kSignupFeatures; ++f) row.feature[f] = static_cast<float>(unit(i, f));
    if (row.is_bad) row.feature[3] += 0.7f, row.feature[9] += 0.7f, row.feature[12 + kind] += 5;
    if (i % 11 == 0) row.feature[5] = std::nanf("");
    row.log_odds = static_cast<float>(-6 + 3 * unit(i, 99) + (row.is_bad ? 1 : 0));
    all.push_back(row);
  }
  return all;
}

TEST(TrainAccounts, trees_know_kinds_that_they_were_not_shown) {
  if (const auto there = boost_available(); !there) GTEST_SKIP() << there.error().message;
  BoostOptions options;
  options.rounds = 40;
  const auto all = rows();
  const auto report = train_account_head(all, options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->rows, 4000u);
  EXPECT_EQ(report->bad, 500u);
  EXPECT_EQ(report->kinds.size(), 6u);
  for (const HeadKind& kind : report->kinds) {
    if (kind.is_bad) {
      EXPECT_GT(kind.both, kind.detector + 0.2) << kind.kind;
    }
    if (!kind.is_bad) {
      EXPECT_LT(kind.both, 0.004) << kind.kind;
    }
  }
  const auto trees = model::Trees::parse(report->model);
  ASSERT_TRUE(trees);
  EXPECT_EQ(trees->trees(), 40u);
  EXPECT_EQ(train_account_head(all, options)->model, report->model);  // the same rows, the same model
  // The detector takes it.
  auto clusters = detect::SignupClusters::make();
  EXPECT_TRUE(clusters->use_head(std::make_shared<const model::Trees>(*trees)));
  const auto other = model::Trees::parse("tamis-trees 1\nfeatures a\nbase 0\ntree\n0 leaf 1\n");
  EXPECT_FALSE(clusters->use_head(std::make_shared<const model::Trees>(*other)));
  EXPECT_NE(head_table(*report).find("kind2"), std::string::npos);
}

TEST(TrainAccounts, refuses_what_it_cannot_learn_from) {
  auto few = rows();
  few.resize(200);
  EXPECT_FALSE(train_account_head(few));
  EXPECT_FALSE(boost({"a"}, {}, {}));
  std::vector<SignupRow> none;
  EXPECT_FALSE(collect_signup_rows(
      "/nowhere/events.jsonl", "", [](std::string_view) { return nullptr; }, none));
}

}  // namespace
}  // namespace tamis::learn
