#include "replay/backtest.h"

#include "event/json_event.h"
#include "replay/past_test_kit.h"

namespace tamis::replay {
namespace {

constexpr int64_t kDay = 86'400'000;

constexpr const char* kHead = R"y(
policy: test
time: {at: t, format: ms}
---
event: login
verdicts: [accept, challenge, reject]
fields:
  account: {type: string, entity: account}
  amount: int
---
)y";

// 100 events a day for three days: amounts 0 to 99.
class BacktestTest : public testing::Test {
 protected:
  void SetUp() override {
    past_.use(kHead + std::string(R"y(
rules:
  - {id: big, on: login, when: amount >= 90, then: {verdict: challenge}, mode: live}
  - {id: even, on: login, when: amount % 2 == 0, then: {points: 1}}
)y"));
    for (int i = 0; i < 300; ++i) {
      int64_t t = kDay + i / 100 * kDay + i;
      past_.decide(R"({"id":"e)" + std::to_string(i) + R"(","t":)" + std::to_string(t) + R"(,"account":"a)" +
                       std::to_string(i % 10) + R"(","amount":)" + std::to_string(i % 100) + "}",
                   t);
    }
  }

  BacktestResult run(const std::string& rules, const std::string& rule, const Truth* truth = nullptr) {
    BacktestRequest request;
    request.policy = kit::compile(kHead + rules);
    request.rule = rule;
    request.truth = truth;
    request.always_replay = replay_;
    request.samples = 3;
    request.class_field = class_field_;
    auto result = backtest(request, past_.source(), {});
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result ? *result : BacktestResult{};
  }

  kit::Past past_;
  bool replay_ = false;
  std::string class_field_;
};

TEST_F(BacktestTest, CountsDaysSamplesAndOverlap) {
  std::string rules = R"y(
rules:
  - {id: big, on: login, when: amount >= 80, then: {verdict: reject}, mode: live}
  - {id: even, on: login, when: amount % 2 == 0, then: {points: 1}}
)y";
  for (bool replay : {false, true}) {
    replay_ = replay;
    BacktestResult result = run(rules, "big");
    EXPECT_EQ(result.columnar, !replay);
    EXPECT_EQ(result.events, 300u);
    EXPECT_EQ(result.matched, 60u);
    EXPECT_EQ(result.gained, 60u);
    EXPECT_EQ(result.lost, 0u);
    ASSERT_EQ(result.per_day.size(), 3u);
    EXPECT_EQ(result.per_day[1].day_ms, 2 * kDay);
    EXPECT_EQ(result.per_day[1].events, 100u);
    EXPECT_EQ(result.per_day[1].matched, 20u);
    ASSERT_EQ(result.overlap.size(), 1u);
    EXPECT_EQ(result.overlap[0].rule, "even");
    EXPECT_EQ(result.overlap[0].both, 30u);
    const auto& gained = result.samples[BacktestResult::kGained];
    ASSERT_EQ(gained.size(), 3u);
    EXPECT_TRUE(result.samples[BacktestResult::kLost].empty());
    EXPECT_EQ(gained[0].id, "e" + std::to_string(gained[0].record - 1));
    EXPECT_EQ(gained[0].new_verdict, "reject");
    ASSERT_EQ(gained[0].values.size(), 1u);
    EXPECT_EQ(gained[0].values[0].first, "amount");
    EXPECT_EQ(gained[0].values[0].second, std::to_string((gained[0].record - 1) % 100));
  }
}

TEST_F(BacktestTest, LostAndTheWholePolicy) {
  std::string rules = "rules: [{id: big, on: login, when: amount >= 95, then: {verdict: challenge}, mode: live}]";
  BacktestResult rule = run(rules, "big"), whole = run(rules, "");
  EXPECT_EQ(rule.lost, 15u);
  EXPECT_EQ(whole.lost, 15u);
  EXPECT_EQ(whole.matched, 15u);
  EXPECT_EQ(whole.gained, 0u);
  EXPECT_TRUE(whole.overlap.empty());
}

TEST_F(BacktestTest, PrecisionAndRecallAgainstTruth) {
  Truth truth;
  // Bad: amounts 80 to 99 of the first day; good: amounts 0 to 89 of the second one.
  for (int i = 80; i < 100; ++i) truth.add_event("login", "e" + std::to_string(i), "fraud");
  for (int i = 100; i < 190; ++i) truth.add_event("login", "e" + std::to_string(i), "good");
  std::string rules = "rules: [{id: big, on: login, when: amount >= 85, then: {verdict: reject}}]";
  for (bool replay : {false, true}) {
    replay_ = replay;
    BacktestResult result = run(rules, "big", &truth);
    EXPECT_EQ(result.precision.part, 15u);
    EXPECT_EQ(result.precision.of, 20u);  // and five good ones of the second day
    EXPECT_EQ(result.recall.part, 15u);
    EXPECT_EQ(result.recall.of, 20u);
    EXPECT_EQ(result.known_bad, 20u);
    EXPECT_EQ(result.known_good, 90u);
    EXPECT_EQ(result.samples[BacktestResult::kMissedBad].size(), 3u);
    EXPECT_EQ(result.samples[BacktestResult::kMatchedGood].size(), 3u);
  }
  Truth accounts;
  accounts.add_entity("account", "a5", "bad");
  BacktestResult result = run(rules, "big", &accounts);
  EXPECT_EQ(result.recall.of, 30u);
  EXPECT_EQ(result.recall.part, 6u);
  EXPECT_EQ(result.precision.value(), 1.0);
}

TEST_F(BacktestTest, FalsePositivesByClass) {
  Truth truth;
  for (int i = 80; i < 100; ++i) truth.add_event("login", "e" + std::to_string(i), "fraud");
  for (int i = 100; i < 190; ++i) truth.add_event("login", "e" + std::to_string(i), "good");
  std::string rules = "rules: [{id: big, on: login, when: amount >= 85, then: {verdict: reject}}]";
  class_field_ = "account";
  std::string jsons[2];
  for (bool replay : {false, true}) {
    replay_ = replay;
    BacktestResult result = run(rules, "big", &truth);
    EXPECT_EQ(result.class_field, "account");
    ASSERT_EQ(result.per_class.size(), 10u);
    uint64_t good = 0, matched = 0;
    for (const auto& row : result.per_class) {
      EXPECT_EQ(row.type, "login");
      // Of each account nine good ones, one of them at 85 to 89 for five accounts, and two bad ones.
      const bool hit = row.name >= "a5";
      EXPECT_EQ(row.false_positives.of, 9u) << row.name;
      EXPECT_EQ(row.false_positives.part, hit ? 1u : 0u) << row.name;
      EXPECT_EQ(row.recall.of, 2u) << row.name;
      EXPECT_EQ(row.recall.part, hit ? 2u : 1u) << row.name;
      good += row.false_positives.of, matched += row.false_positives.part;
    }
    EXPECT_EQ(good, result.known_good);
    EXPECT_EQ(matched, result.precision.of - result.precision.part);
    result.seconds = result.evaluation_seconds = 0;
    write_json(result, jsons[replay]);
  }
  EXPECT_NE(jsons[0].find(R"("class":"account","per_class":[{"type":"login","class":"a0","good":9,"matched_good":0,)"
                          R"("false_positives":0.0,"false_positives_interval":[0.0,)"),
            std::string::npos)
      << jsons[0];
  // Many classes are the first ones and the others; a field that there is not, or no truth, gives none.
  class_field_ = "amount";
  const BacktestResult many = run(rules, "big", &truth);
  EXPECT_LE(many.per_class.size(), kClassesMax + 1);
  uint64_t told = 0, others = 0;
  for (const auto& row : many.per_class) {
    told += row.false_positives.of + row.recall.of;
    others += row.name == "(others)" ? 1 : 0;
  }
  EXPECT_EQ(told, many.known_good + many.known_bad);
  EXPECT_EQ(others, 1u);
  class_field_ = "ip_class";
  EXPECT_TRUE(run(rules, "big", &truth).per_class.empty());
  class_field_ = "account";
  EXPECT_TRUE(run(rules, "big").per_class.empty());
}

TEST_F(BacktestTest, JsonHasWhatWasPromised) {
  std::string rules = "rules: [{id: big, on: login, when: amount >= 85, then: {verdict: reject}}]";
  std::string without, with;
  write_json(run(rules, "big"), without);
  Truth truth;
  truth.add_entity("account", "a5", "bad");
  write_json(run(rules, "big", &truth), with);
  base::Arena arena;
  auto json = event::JsonReader::to_value(with, arena);
  ASSERT_TRUE(json.has_value()) << with;
  for (const char* key : {"rule",
                          "policy",
                          "types",
                          "events",
                          "matched",
                          "gained",
                          "lost",
                          "precision",
                          "precision_interval",
                          "recall",
                          "recall_interval",
                          "per_day",
                          "overlap",
                          "samples",
                          "columnar",
                          "seconds",
                          "cost_us_per_event",
                          "truth",
                          "class",
                          "per_class",
                          "from",
                          "to"}) {
    EXPECT_NE(event::map_find(*json->map, event::Value::string(key)), nullptr) << key;
  }
  EXPECT_NE(without.find(R"("precision":null,"precision_interval":null)"), std::string::npos) << without;
  EXPECT_NE(with.find(R"("precision":1.0,"precision_interval":[)"), std::string::npos) << with;
  EXPECT_NE(with.find(R"({"day":"1970-01-02","events":100,"matched":15,"gained":15,"lost":0})"), std::string::npos);
}

TEST_F(BacktestTest, TheSameWhateverTheThreads) {
  BacktestRequest request;
  request.policy =
      kit::compile(kHead + std::string("rules: [{id: big, on: login, when: amount >= 85, then: {verdict: reject}}]"));
  request.rule = "big";
  std::string first;
  for (int threads : {1, 2, 5}) {
    request.threads = threads;
    auto result = backtest(request, past_.source(), {});
    ASSERT_TRUE(result.has_value());
    result->seconds = result->evaluation_seconds = 0;
    std::string json;
    write_json(*result, json);
    if (first.empty()) first = json;
    EXPECT_EQ(json, first);
  }
}

TEST(Share, WilsonIntervals) {
  Share half{50, 100};
  auto [low, high] = half.interval();
  EXPECT_NEAR(low, 0.4038, 1e-4);  // as in published tables
  EXPECT_NEAR(high, 0.5962, 1e-4);
  auto [none_low, none_high] = Share{0, 10}.interval();
  EXPECT_EQ(none_low, 0.0);
  EXPECT_NEAR(none_high, 0.2775, 1e-4);
  auto [all_low, all_high] = Share{10, 10}.interval();
  EXPECT_NEAR(all_low, 0.7225, 1e-4);
  EXPECT_EQ(all_high, 1.0);
  EXPECT_FALSE((Share{0, 0}.known()));
}

}  // namespace
}  // namespace tamis::replay
