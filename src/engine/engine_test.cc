#include "engine/engine.h"

#include <gtest/gtest.h>

#include "engine/act.h"
#include "engine/backfill.h"
#include "engine/policy_tests.h"

namespace tamis::engine {
namespace {

std::shared_ptr<const policy::Policy> compile(const std::string& yaml) {
  policy::Loaded loaded = policy::load_files({{"policy.yaml", yaml}});
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    if (d.severity == policy::Diagnostic::Severity::kError) ADD_FAILURE() << policy::to_string(d);
  }
  return loaded.policy;
}

constexpr const char* kHead = R"y(
policy: test
time: {at: t, format: ms}
---
event: login
verdicts: [accept, challenge, reject]
override: accept
thresholds: {challenge: 10, reject: 20}
fields:
  account: {type: string, entity: account}
  ip: ip
  amount: {type: int, default: 0}
  success: {type: bool, default: true}
---
)y";

class EngineTest : public testing::Test {
 protected:
  void use(const std::string& rest) { use_whole(kHead + rest); }
  void use_whole(const std::string& yaml) {
    policy_ = compile(yaml);
    ASSERT_NE(policy_, nullptr);
    engine_.activate(policy_);
  }

  // The decision for an event as JSON, `t` being its time in ms.
  std::string decide(const std::string& json, int64_t receive_ms = Engine::kNoReceiveTime,
                     Engine::Explain explain = Engine::Explain::kNo) {
    base::Status ready = event_.prepare(policy_, "login", json, nullptr);
    if (!ready) return "refused: " + ready.error().message;
    last_ = &engine_.decide(event_, receive_ms, explain);
    std::string out;
    write_json(*last_, out);
    return out;
  }
  std::string verdict(const std::string& json, int64_t receive_ms = Engine::kNoReceiveTime) {
    std::string out = decide(json, receive_ms);
    return out.rfind("refused", 0) == 0 ? out : std::string(last_->verdict_name());
  }
  int64_t feature(std::string_view name) const {
    for (const auto& [key, value] : last_->features) {
      if (key == name) return value.is(event::Kind::kInt) ? value.i : -1;
    }
    return -2;
  }

  std::shared_ptr<const policy::Policy> policy_;
  Engine engine_;
  PreparedEvent event_;
  const Decision* last_ = nullptr;
};

constexpr const char* kSends = R"y(
policy: test
time: {at: t, format: ms}
---
event: login
verdicts: [accept, reject]
fields:
  account: {type: string, entity: account}
  links: {type: list(string), default: []}
  amount: {type: int, default: 0}
---
)y";
constexpr const char* kEach = R"y(
features:
  senders: {distinct: account, of: login, each: links, over: 1h}
  sends: {count: login, each: links, over: 1h}
  own: {sum: amount, of: login, by: account, each: links, over: 1h, include_self: true}
rules: [{id: a, on: login, when: senders > 90 || sends > 90 || own > 90, mode: live}]
)y";

std::string send(int t, const std::string& account, const std::string& links, int amount = 1) {
  return R"({"t":)" + std::to_string(t) + R"(,"account":")" + account + R"(","links":)" + links + R"(,"amount":)" +
         std::to_string(amount) + "}";
}

TEST_F(EngineTest, UnderEachTheEventCountsOnceForEachKeyAndReadsTheLargest) {
  use_whole(std::string(kSends) + kEach);
  decide(send(1000, "a", R"(["x","y","x"])"));
  EXPECT_EQ(feature("senders"), 0);
  EXPECT_EQ(feature("own"), 1);  // itself, once: "x" stands there twice
  decide(send(2000, "b", R"(["z","y"])"));
  EXPECT_EQ(feature("senders"), 1);  // y
  decide(send(3000, "c", R"(["y"])"));
  EXPECT_EQ(feature("senders"), 2);
  EXPECT_EQ(feature("sends"), 2);
  decide(send(4000, "a", R"(["z","x","y"])", 5));
  EXPECT_EQ(feature("senders"), 3);  // of x one, of z one, of y three
  EXPECT_EQ(feature("own"), 6);
  decide(send(5000, "a", R"(["new"])"));
  EXPECT_EQ(feature("senders"), 0);
  // Without a member there is no key, so there is nothing to read and nothing is fed.
  decide(send(6000, "a", "[]"));
  EXPECT_EQ(feature("senders"), -1);
  // Not more than sixteen different ones.
  std::string many = "[";
  for (int i = 0; i < 40; ++i) many += (i > 0 ? ",\"m" : "\"m") + std::to_string(i / 2) + "\"";
  decide(send(7000, "a", many + "]"));
  decide(send(8000, "b", R"(["m15"])"));
  EXPECT_EQ(feature("sends"), 1);
  decide(send(9000, "b", R"(["m16"])"));
  EXPECT_EQ(feature("sends"), 0);
  // Of a person who is forgotten the keys go that are made of the person, and those that are not stay.
  decide(send(10'000, "a", R"(["y"])"));
  EXPECT_EQ(feature("own"), 7);
  ASSERT_TRUE(event_.prepare(policy_, "login", send(11'000, "a", R"(["y"])"), nullptr));
  EXPECT_GE(engine_.forget_keys(event_, "a").keys, 1u);
  decide(send(12'000, "a", R"(["y"])"));
  EXPECT_EQ(feature("own"), 1);
  EXPECT_EQ(feature("sends"), 5);
}

TEST_F(EngineTest, FeaturesUnderEachAreFilledFromThePastAsTheyWouldHaveGrown) {
  std::vector<std::string> events;
  for (int n = 0; n < 400; ++n) {
    std::string links = "[";
    for (int k = 0; k < n * 7 % 5; ++k) links += (k > 0 ? ",\"d" : "\"d") + std::to_string(n * (k + 3) % 23) + "\"";
    events.push_back(send(1000 * (n + 1), "a" + std::to_string(n * 13 % 37), links + "]", n % 9));
  }
  use_whole(std::string(kSends) + kEach);
  std::vector<std::string> whole;
  for (const std::string& event : events) whole.push_back(decide(event));
  Engine late;
  auto plain = compile(std::string(kSends) + "rules: []\n");
  late.activate(plain);
  for (int n = 0; n < 300; ++n) {
    ASSERT_TRUE(event_.prepare(plain, "login", events[size_t(n)], nullptr));
    late.decide(event_, Engine::kNoReceiveTime);
  }
  Engine::PreparedPointer next = Engine::build(policy_, {});
  Backfill backfill(late, *next);
  for (int n = 0; n < 300; ++n) {
    ASSERT_TRUE(event_.prepare(policy_, "login", events[size_t(n)], nullptr));
    backfill.feed(event_, 1000 * (n + 1));
  }
  late.activate(std::move(next));
  for (int n = 300; n < 400; ++n) {
    ASSERT_TRUE(event_.prepare(policy_, "login", events[size_t(n)], nullptr));
    std::string out;
    write_json(late.decide(event_, Engine::kNoReceiveTime), out);
    EXPECT_EQ(out, whole[size_t(n)]);
  }
}

TEST_F(EngineTest, TheWorstVerdictWinsPointsAddUpAndTheOverrideWinsOverAll) {
  use(R"y(
rules:
  - {id: a, on: login, when: amount > 10, then: {verdict: challenge}, mode: live}
  - {id: b, on: login, when: amount > 20, then: {verdict: reject}, mode: live}
  - {id: c, on: login, when: amount < 0, then: {points: 6}, mode: live}
  - {id: d, on: login, when: amount < -5, then: {points: 7}, mode: live}
  - {id: e, on: login, when: account == 'root', then: {verdict: accept}, mode: live}
)y");
  EXPECT_EQ(verdict(R"({"t":1,"amount":5})"), "accept");
  EXPECT_EQ(verdict(R"({"t":1,"amount":15})"), "challenge");
  EXPECT_EQ(verdict(R"({"t":1,"amount":25})"), "reject");
  EXPECT_EQ(verdict(R"({"t":1,"amount":-1})"), "accept");
  EXPECT_EQ(verdict(R"({"t":1,"amount":-9})"), "challenge");
  EXPECT_EQ(last_->points, 13);
  EXPECT_EQ(verdict(R"({"t":1,"amount":25,"account":"root"})"), "accept");
}

TEST_F(EngineTest, ShadowAndOffDoNothingAndTheDefaultIsShadow) {
  use(R"y(
rules:
  - {id: live, on: login, when: amount > 10, then: {points: 1}, mode: live}
  - {id: quiet, on: login, when: amount > 10, then: {verdict: reject}}
  - {id: "off", on: login, when: amount > 10, then: {verdict: reject}, mode: "off"}
)y");
  std::string json = decide(R"({"id":"7","t":1,"amount":15})");
  EXPECT_NE(json.find(R"("verdict":"accept","points":1.0)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("rules":["live"])"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("shadow":["quiet"])"), std::string::npos) << json;
  EXPECT_EQ(engine_.rule_stats()[0][1].shadow, 1u);
  EXPECT_EQ(engine_.rule_stats()[0][2].shadow, 0u);
}

TEST_F(EngineTest, ACanaryGoesByEntityAndGrowsByAddingEntities) {
  size_t in_10 = 0, in_50 = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string account = "a" + std::to_string(i);
    bool small = in_canary("rule", Value::string(account), 10), large = in_canary("rule", Value::string(account), 50);
    in_10 += small;
    in_50 += large;
    EXPECT_TRUE(!small || large);
    EXPECT_EQ(small, in_canary("rule", Value::string(account), 10));
  }
  EXPECT_NEAR(static_cast<double>(in_10), 1000, 150);
  EXPECT_NEAR(static_cast<double>(in_50), 5000, 250);
  EXPECT_FALSE(in_canary("rule", Value::absent(), 100));

  use("rules: [{id: c, on: login, when: amount > 0, then: {verdict: reject}, mode: canary 50%}]");
  size_t rejected = 0;
  for (int i = 0; i < 400; ++i) {
    std::string json = R"({"t":1,"amount":1,"account":"x)" + std::to_string(i) + "\"}";
    std::string first = verdict(json);
    EXPECT_EQ(first, verdict(json));
    rejected += first == "reject";
  }
  EXPECT_NEAR(static_cast<double>(rejected), 200, 60);
}

TEST_F(EngineTest, FeaturesCountEarlierEventsAndNotTheEventItself) {
  use(R"y(
features:
  n_1h: {count: login, by: account, over: 1h}
  with_self: {count: login, by: account, over: 1h, include_self: true}
  spent: {sum: amount, of: login, by: account, where: success, over: 10m}
---
rules:
  - {id: r, on: login, when: n_1h >= 2 && with_self > 0 && spent >= 0, then: {verdict: challenge}, mode: live}
)y");
  EXPECT_EQ(verdict(R"({"t":1000,"account":"a","amount":5})"), "accept");
  EXPECT_EQ(feature("n_1h"), 0);
  EXPECT_EQ(feature("with_self"), 1);
  verdict(R"({"t":2000,"account":"b"})");
  EXPECT_EQ(feature("n_1h"), 0);
  verdict(R"({"t":3000,"account":"a","amount":7,"success":false})");
  EXPECT_EQ(feature("n_1h"), 1);
  EXPECT_EQ(feature("spent"), 5);
  EXPECT_EQ(verdict(R"({"t":4000,"account":"a"})"), "challenge");
  EXPECT_EQ(feature("spent"), 5);
  verdict(R"({"t":3601000,"account":"a"})");  // the first lies at t-w, and so outside of (t-w, t]
  EXPECT_EQ(feature("n_1h"), 2);
}

TEST_F(EngineTest, LateEventsAreDecidedAndUpdateNothing) {
  use(R"y(
features:
  n: {count: login, by: account, over: 1d, lateness: 1h}
---
lists: {odd: {managed: true}}
rules:
  - id: r
    on: login
    when: n >= 0
    then:
      points: 1
      label: {on: account, name: seen, for: 1h}
      list: {add: odd, value: account, for: 1h}
      notify: {channel: team, message: hi}
    mode: live
)y");
  EXPECT_NE(decide(R"({"t":100000000,"account":"a"})").find("\"labels\""), std::string::npos);
  EXPECT_EQ(last_->effects.size(), 3u);
  std::string late = decide(R"({"t":90000000,"account":"b"})");
  EXPECT_NE(late.find("\"late\":true"), std::string::npos) << late;
  EXPECT_EQ(late.find("\"labels\""), std::string::npos) << late;
  ASSERT_EQ(last_->effects.size(), 1u);  // people are told all the same
  EXPECT_EQ(last_->effects[0].kind, Effect::Kind::kNotify);
  EXPECT_TRUE(engine_.labels("account", "b").empty());
  decide(R"({"t":90000000,"account":"a"})");
  verdict(R"({"t":100000001,"account":"a"})");
  EXPECT_EQ(feature("n"), 1);
}

TEST_F(EngineTest, AnEventFromTheFutureCountsAtItsReceiveTime) {
  use("rules: [{id: r, on: login, when: amount > 0, then: {points: 1}, mode: live}]");
  decide(R"({"t":5000,"amount":1})", 1000);
  EXPECT_EQ(last_->time_ms, 1000);
  EXPECT_EQ(engine_.now_ms(), 1000);
  decide(R"({"amount":1})", 1500);
  EXPECT_EQ(last_->time_ms, 1500);
}

TEST_F(EngineTest, LabelsAndListEntriesOfRulesAreSeenByLaterEventsAndExpire) {
  use(R"y(
lists:
  blocked: {kind: string, managed: true}
---
rules:
  - id: mark
    on: login
    when: amount > 100
    then: {label: {on: ip.net24, name: big, for: 1h}, list: {add: blocked, value: account, for: 2h}}
    mode: live
  - {id: labelled, on: login, when: "'big' in labels(ip.net24)", then: {verdict: challenge}, mode: live}
  - {id: listed, on: login, when: account in list.blocked, then: {verdict: reject}, mode: live}
)y");
  EXPECT_EQ(verdict(R"({"t":1000,"account":"a","ip":"192.0.2.1","amount":200})"), "accept");
  EXPECT_EQ(verdict(R"({"t":2000,"account":"b","ip":"192.0.2.77"})"), "challenge");
  EXPECT_EQ(verdict(R"({"t":2000,"account":"a","ip":"198.51.100.1"})"), "reject");
  EXPECT_EQ(verdict(R"({"t":3700000,"account":"b","ip":"192.0.2.77"})"), "accept");
  EXPECT_EQ(verdict(R"({"t":3700000,"account":"a","ip":"198.51.100.1"})"), "reject");
  EXPECT_EQ(verdict(R"({"t":7300000,"account":"a","ip":"198.51.100.1"})"), "accept");
}

TEST_F(EngineTest, ActsOfPeopleChangeListsAndLabels) {
  use(R"y(
lists:
  blocked: {kind: network, managed: true}
---
rules: [{id: r, on: login, when: ip in list.blocked, then: {verdict: reject}, mode: live}]
)y");
  auto act = parse_act(R"({"value":"192.0.2.0/24","for":"1h","author":"anna"})", 1000, "blocked");
  ASSERT_TRUE(act.has_value()) << act.error().message;
  auto again = parse_act(to_json(*act), 999'999);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(again->expires_ms, 1000 + 3'600'000);
  ASSERT_TRUE(apply(engine_, *again).has_value());
  EXPECT_EQ(verdict(R"({"t":2000,"ip":"192.0.2.9"})"), "reject");
  EXPECT_FALSE(parse_act(R"({"value":"x","for":"soon"})", 0, "blocked").has_value());
  EXPECT_FALSE(apply(engine_, *parse_act(R"({"value":"not a network"})", 0, "blocked")).has_value());
  EXPECT_FALSE(apply(engine_, *parse_act(R"({"value":"1.2.3.4"})", 0, "nowhere")).has_value());
}

TEST_F(EngineTest, AListBeginsToIgnoreLetterCaseWithTheEntriesThatItHas) {
  const std::string before = R"y(
lists:
  watched: {kind: string, values: [Carl], managed: true}
---
rules: [{id: r, on: login, when: account in list.watched, then: {verdict: reject}, mode: live}]
)y";
  use(before);
  ASSERT_TRUE(apply(engine_, *parse_act(R"({"value":"Anna"})", 1000, "watched")).has_value());
  ASSERT_TRUE(apply(engine_, *parse_act(R"({"value":"anna"})", 1000, "watched")).has_value());
  ASSERT_TRUE(apply(engine_, *parse_act(R"({"value":"BERT"})", 1000, "watched")).has_value());
  EXPECT_EQ(verdict(R"({"t":2000,"account":"bert"})"), "accept");
  EXPECT_EQ(verdict(R"({"t":2000,"account":"carl"})"), "accept");
  std::string after = before;
  after.replace(after.find("kind: string"), 12, "kind: string, ignore_case: true");
  use(after);
  for (const char* account : {"anna", "ANNA", "bert", "BERT", "carl"}) {
    EXPECT_EQ(verdict(R"({"t":3000,"account":")" + std::string(account) + "\"}"), "reject") << account;
  }
  ASSERT_TRUE(engine_.remove_list_entry("watched", "aNNa").has_value());
  EXPECT_EQ(verdict(R"({"t":4000,"account":"anna"})"), "accept");
  use(before);  // and back
  EXPECT_EQ(verdict(R"({"t":5000,"account":"BERT"})"), "reject");
  EXPECT_EQ(verdict(R"({"t":5000,"account":"bert"})"), "accept");
}

TEST_F(EngineTest, AReloadKeepsTheStateOfWhatDidNotChange) {
  std::string before = R"y(
features:
  kept: {count: login, by: account, over: 1h}
  changed: {count: login, by: account, over: 1h}
---
rules: [{id: r, on: login, when: kept >= 0 && changed >= 0, then: {points: 1}, mode: live}]
)y";
  use(before);
  verdict(R"({"t":1000,"account":"a"})");
  verdict(R"({"t":2000,"account":"a"})");
  std::string after = before;
  after.replace(after.find("changed: {count: login, by: account, over: 1h}"), 46,
                "changed: {count: login, by: account, over: 2h}");
  use(after);
  verdict(R"({"t":3000,"account":"a"})");
  EXPECT_EQ(feature("kept"), 2);
  EXPECT_EQ(feature("changed"), 0);
  EXPECT_EQ(engine_.rule_stats()[0][0].matched, 3u);
}

TEST(Engine, BeforeAPolicyIsActiveThereIsNothingToFind) {
  Engine engine;
  EXPECT_EQ(engine.policy(), nullptr);
  EXPECT_TRUE(engine.rule_stats().empty());
  EXPECT_TRUE(engine.feature_stats().empty());
  EXPECT_TRUE(engine.list_matches("x").empty());
  EXPECT_EQ(engine.clusters(), nullptr);
  EXPECT_EQ(engine.add_list_entry("blocked", {}).error().code, base::Code::kNotFound);
  EXPECT_EQ(engine.remove_list_entry("blocked", "x").error().code, base::Code::kNotFound);
  EXPECT_EQ(engine.check_entity_kind("account").error().code, base::Code::kNotFound);
  EXPECT_EQ(engine.digest(), Engine().digest());
  EXPECT_EQ(engine.forget_before(0, 0, engine.forget_parts()), 0u);
}

TEST_F(EngineTest, ErrorsAreNotMatchedAndCounted) {
  use(R"y(
rules:
  - {id: divides, on: login, when: 10 / amount > 1, then: {verdict: reject}, mode: live}
  - {id: absent, on: login, when: account == 'x' && amount > 1000, then: {verdict: reject}, mode: live}
)y");
  EXPECT_EQ(verdict(R"({"t":1,"amount":0,"account":"y"})"), "accept");
  EXPECT_EQ(engine_.rule_stats()[0][0].errors, 1u);
  EXPECT_EQ(verdict(R"({"t":1,"amount":2000})"), "accept");
  EXPECT_EQ(engine_.rule_stats()[0][1].errors, 1u);
  EXPECT_EQ(verdict(R"({"t":1,"amount":5})"), "reject");
  EXPECT_EQ(engine_.rule_stats()[0][1].errors, 1u);  // false absorbs the absent field
}

TEST_F(EngineTest, ReasonsSayTimesAndNumbersAsPeopleReadThem) {
  use(R"y(
rules:
  - {id: r, on: login, when: amount > 10, then: {points: 1}, mode: live,
     reason: "{timestamp(amount)} {duration('90s')} {uint(amount)} {amount} {string(amount)} {[amount]}"}
)y");
  std::string json = decide(R"({"t":1,"amount":15,"account":"a"})");
  EXPECT_NE(json.find(R"("reasons":["1970-01-01T00:00:15Z 90s 15 15 15 [15]"])"), std::string::npos) << json;
}

TEST_F(EngineTest, ExplanationsNameWhatMadeARuleTrue) {
  use(R"y(
rules:
  - {id: r, on: login, when: "(amount > 10 && account == 'a') || amount > 1000", then: {points: 1}, mode: live,
     reason: "{amount} by {account}"}
)y");
  std::string json = decide(R"({"t":1,"amount":15,"account":"a"})", Engine::kNoReceiveTime, Engine::Explain::kYes);
  EXPECT_NE(json.find(R"("reasons":["15 by a"])"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("when":"amount > 10","read":{"amount":15})"), std::string::npos) << json;
  EXPECT_EQ(json.find("1000"), std::string::npos) << json;
}

TEST_F(EngineTest, BadEventsAreRefusedWithAReason) {
  use("rules: [{id: r, on: login, when: amount > 0, then: {points: 1}, mode: live}]");
  EXPECT_NE(decide(R"({"amount":"many"})").find("amount"), std::string::npos);
  EXPECT_EQ(decide("[1]").rfind("refused", 0), 0u);
  EXPECT_EQ(decide(R"({"amount":)").rfind("refused", 0), 0u);
  EXPECT_EQ(event_.prepare(policy_, "logn", "{}", nullptr).error().code, base::Code::kNotFound);
}

TEST(PolicyTests, PassAndFailWithAReason) {
  auto policy = compile(std::string(kHead) + R"y(
rules:
  - id: r
    on: login
    when: amount > 10
    then: {verdict: reject}
    tests:
      - {given: {amount: 11}, expect: reject}
      - {given: {amount: 10}, expect: no match}
      - {given: {amount: 9}, expect: reject}
)y");
  ASSERT_NE(policy, nullptr);
  std::vector<TestResult> results = run_policy_tests(policy);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_TRUE(results[0].passed) << results[0].failure;
  EXPECT_TRUE(results[1].passed) << results[1].failure;
  EXPECT_FALSE(results[2].passed);
  EXPECT_NE(results[2].failure.find("expected reject"), std::string::npos) << results[2].failure;
}

}  // namespace
}  // namespace tamis::engine
