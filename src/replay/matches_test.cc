#include "replay/matches.h"

#include <rapidcheck.h>

#include "replay/maker_test_kit.h"

namespace tamis::replay {
namespace {

using kit::kHead;
using kit::Maker;
using kit::Past;
using kit::Rows;
using kit::yaml_of;

struct Found {
  MatchSummary summary;
  std::map<uint64_t, Rows::Row> rows;
};

Found find(const MatchRequest& request, const MatchSource& source) {
  Rows rows;
  auto summary = find_matches(request, source, rows, {});
  EXPECT_TRUE(summary.has_value()) << summary.error().message;
  return summary ? Found{*summary, rows.all()} : Found{};
}

Found find(Past& past, const std::string& yaml, const std::string& rule, bool always_replay = false) {
  MatchRequest request;
  request.policy = kit::compile(yaml);
  request.rule = rule;
  request.always_replay = always_replay;
  return find(request, past.source());
}

void decide_some(Past& past) {
  past.decide(R"({"type":"login","id":"x1","t":1000,"account":"a1","amount":5,"ip":"192.0.2.1"})", 1000);
  past.decide(R"({"type":"login","id":"x2","t":2000,"account":"b","amount":15,"ip":"192.0.2.1"})", 2000);
  past.decide(R"({"type":"login","id":"x3","t":3000,"account":"b","amount":30,"ip":"192.0.2.7"})", 3000);
  past.decide(R"({"type":"note","id":"x4","t":4000,"account":"b","amount":30})", 4000);
  past.decide(R"({"type":"login","id":"x5","t":90000000,"account":"c","ip":"192.0.2.7"})", 90000000);
}

TEST(Matches, ARuleTakesThePlaceOfWhatItWas) {
  Past past;
  std::string before = kHead + std::string(R"y(
rules:
  - {id: big, on: login, when: amount > 10, then: {verdict: challenge}, mode: live}
  - {id: more, on: login, when: amount > 20, then: {points: 10}, mode: live}
)y");
  past.use(before);
  decide_some(past);
  Found same = find(past, before, "big");
  EXPECT_TRUE(same.summary.columnar) << same.summary.replayed_because;
  EXPECT_EQ(same.summary.events, 4u);  // of its type alone
  EXPECT_EQ(same.summary.types, std::vector<std::string>{"login"});
  ASSERT_EQ(same.rows.size(), 4u);
  EXPECT_TRUE(same.rows[2].matched && same.rows[3].matched && !same.rows[1].matched && !same.rows[5].matched);
  for (const auto& [n, row] : same.rows) EXPECT_EQ(row.change, 0) << n;

  std::string harsher = before;
  harsher.replace(harsher.find("amount > 10, then: {verdict: challenge}"), 39, "amount > 20, then: {verdict: reject}");
  for (bool replay : {false, true}) {
    Found found = find(past, harsher, "big", replay);
    EXPECT_EQ(found.summary.columnar, !replay);
    EXPECT_EQ(found.rows[2].change, -1);  // it was challenged by the rule alone
    EXPECT_EQ(found.rows[2].new_verdict, "accept");
    EXPECT_EQ(found.rows[3].change, 1);
    EXPECT_EQ(found.rows[3].new_verdict, "reject");
    EXPECT_EQ(found.rows[1].change, 0);
  }
}

TEST(Matches, ShadowIsTestedAsLiveAndOtherChangesSinceDoNotCount) {
  Past past;
  past.use(kHead + std::string(R"y(
rules:
  - {id: gone, on: login, when: amount > 10, then: {verdict: challenge}, mode: live}
  - {id: other, on: login, when: amount > 20, then: {verdict: reject}, mode: live}
)y"));
  decide_some(past);
  std::string now = kHead + std::string(R"y(
rules:
  - {id: fresh, on: login, when: amount > 1, then: {verdict: challenge}}
  - {id: other, on: login, when: amount > 20, then: {verdict: accept}, mode: live}
)y");
  Found found = find(past, now, "fresh");
  EXPECT_TRUE(found.summary.columnar);
  EXPECT_EQ(found.rows[1].change, 1);  // amount 5: nothing acted
  EXPECT_EQ(found.rows[2].change, 0);  // challenged by a rule that is gone
  EXPECT_EQ(found.rows[3].change, 0);  // rejected by one that says something else now
  EXPECT_EQ(found.rows[3].new_verdict, "reject");
  Found whole = find(past, now, "");
  EXPECT_EQ(whole.rows[2].change, -1);
  EXPECT_EQ(whole.rows[3].new_verdict, "accept");
}

TEST(Matches, PointsOfRulesThatNobodyKnowsAnyMoreAreWhatTheStoredSumLeaves) {
  Past past;
  past.use(kHead + std::string(R"y(
rules:
  - {id: gone, on: login, when: amount > 10, then: {points: 9}, mode: live}
)y"));
  decide_some(past);
  past.policies.clear();
  Found found = find(past, kHead + std::string(R"y(
rules:
  - {id: fresh, on: login, when: amount > 1, then: {points: 1}}
)y"),
                     "fresh");
  EXPECT_EQ(found.rows[1].new_verdict, "accept");
  EXPECT_EQ(found.rows[2].new_verdict, "challenge");
  EXPECT_EQ(found.rows[2].change, 1);
}

TEST(Matches, WhatIsNotStoredIsReplayed) {
  Past past;
  past.use(kHead + std::string(R"y(
rules:
  - {id: a, on: login, when: n >= 1, then: {verdict: challenge}, mode: live}
)y"));
  decide_some(past);
  auto why = [&](const std::string& rule, const std::string& id = "r") {
    Found found = find(past, kHead + rule, id);
    EXPECT_EQ(found.summary.columnar, found.summary.replayed_because.empty());
    return found.summary.replayed_because;
  };
  EXPECT_EQ(why("rules: [{id: r, on: login, when: n >= 1 && account in list.staff, then: {verdict: reject}}]"), "");
  EXPECT_NE(why("rules: [{id: r, on: login, when: spent > 3, then: {verdict: reject}}]").find("spent"),
            std::string::npos);
  EXPECT_NE(why("rules: [{id: r, on: login, when: account in list.blocked}]").find("blocked"), std::string::npos);
  EXPECT_NE(why("rules: [{id: r, on: login, when: \"'x' in labels(account)\"}]").find("labels"), std::string::npos);
  EXPECT_NE(why(R"y(rules:
  - {id: r, on: login, when: amount > 1, then: {label: {on: account, name: x}}}
  - {id: s, on: login, when: "'x' in labels(account)", then: {verdict: reject}, mode: live})y")
                .find("sets labels"),
            std::string::npos);

  Found found = find(past, kHead + std::string(R"y(rules:
  - {id: r, on: login, when: amount > 1, then: {label: {on: account, name: x}}}
  - {id: s, on: login, when: "'x' in labels(account)", then: {verdict: reject}, mode: live})y"),
                     "r");
  EXPECT_EQ(found.rows[3].new_verdict, "reject");  // by the label that the rule set on the event before
  EXPECT_FALSE(found.rows[5].matched);             // no amount

  MatchRequest request;
  request.policy = kit::compile(kHead + std::string("rules: [{id: r, on: login, when: spent > 3}]"));
  request.rule = "r";
  MatchSource source = past.source();
  source.what_if = nullptr;
  Rows rows;
  auto refused = find_matches(request, source, rows, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("spent"), std::string::npos);
}

TEST(Matches, WindowsTypesImportsStopsAndWrongNames) {
  Past past;
  std::string yaml = kHead + std::string("rules: [{id: big, when: amount > 10, then: {points: 12}, mode: live}]");
  past.use(yaml);
  decide_some(past);
  past.import(R"({"type":"login","id":"old","t":500,"amount":99})", 500);
  MatchRequest request;
  request.policy = kit::compile(yaml);
  request.rule = "big";
  request.ids = true;
  Found all = find(request, past.source());
  EXPECT_EQ(all.rows.size(), 6u);
  EXPECT_EQ(all.rows[2].id, "x2");
  EXPECT_EQ(all.rows[6].id, "old");
  EXPECT_EQ(all.rows[6].new_verdict, "challenge");
  EXPECT_EQ(all.rows[6].change, 0);  // nothing was decided that it could differ from
  request.from_ms = 2000;
  request.to_ms = 4000;
  EXPECT_EQ(find(request, past.source()).rows.size(), 2u);
  request.from_ms = INT64_MIN, request.to_ms = INT64_MAX;
  request.types = {"note"};
  EXPECT_EQ(find(request, past.source()).rows.size(), 1u);
  for (int threads : {1, 3}) {
    request.types.clear();
    request.threads = threads;
    EXPECT_EQ(find(request, past.source()).rows.size(), 6u);
  }
  Rows rows;
  auto stopped = find_matches(request, past.source(), rows, [](uint64_t, uint64_t) { return false; });
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, base::Code::kUnavailable);
  request.types = {"nothing"};
  EXPECT_EQ(find_matches(request, past.source(), rows, {}).error().code, base::Code::kNotFound);
  request.types.clear();
  request.rule = "bigg";
  EXPECT_NE(find_matches(request, past.source(), rows, {}).error().message.find("\"big\""), std::string::npos);
}

// What the engine itself gives for the same events under a policy: verdicts, and whether a rule matched.
std::map<uint64_t, std::pair<std::string, bool>> engine_says(Past& past, const std::string& yaml,
                                                             const std::string& id) {
  std::map<uint64_t, std::pair<std::string, bool>> said;
  auto policy = kit::compile(yaml);
  base::Status done = past.what_if()(policy, [&](const Replayed& event) {
    bool matched = event.decision->verdict > 0;
    if (!id.empty()) {
      matched = false;
      for (const engine::Match& m : event.decision->matches) matched |= event.decision->type->rules[m.rule].id == id;
    }
    said[event.record] = {std::string(event.decision->verdict_name()), matched};
    return true;
  });
  EXPECT_TRUE(done.has_value());
  return said;
}

void expect_as_engine(const Found& found, const std::map<uint64_t, std::pair<std::string, bool>>& said, bool rule) {
  for (const auto& [n, row] : found.rows) {
    RC_LOG() << "record " << n << " was " << row.old_verdict << "\n";
    RC_ASSERT(row.new_verdict == said.at(n).first);
    RC_ASSERT(row.matched == said.at(n).second);
    RC_ASSERT((row.change == 0) == (row.new_verdict == row.old_verdict));
  }
  RC_ASSERT(rule || found.rows.size() == said.size());
}

TEST(MatchesProperty, TheVerdictOfABacktestIsTheLiveVerdictOnEveryEvent) {
  EXPECT_TRUE(rc::check("backtest = live", [](uint32_t seed) {
    Maker maker(seed);
    Past past;
    std::vector<std::string> rules = maker.rules(seed % 3 == 0);
    past.use(yaml_of(rules));
    int64_t now = 1000;
    for (size_t i = 0; i < 250; ++i) past.decide(maker.event(i, now), now);

    for (bool replay : {false, true}) {
      Found whole = find(past, yaml_of(rules), "", replay);
      RC_ASSERT(whole.rows.size() == 250);
      for (const auto& [n, row] : whole.rows) RC_ASSERT(row.change == 0 && row.new_verdict == row.old_verdict);
      for (size_t i = 0; i < rules.size(); ++i) {
        Found found = find(past, yaml_of(rules), "r" + std::to_string(i), replay);
        std::vector<std::string> as_live = rules;
        size_t mode = as_live[i].find("mode: ");
        bool was_live = as_live[i].substr(mode) == "mode: live}\n";
        as_live[i].replace(mode, std::string::npos, "mode: live}\n");
        RC_LOG() << as_live[i] << "columnar " << found.summary.columnar << "\n";
        expect_as_engine(found, engine_says(past, yaml_of(as_live), "r" + std::to_string(i)), true);
        for (const auto& [n, row] : found.rows) RC_ASSERT(!was_live || row.change == 0);
      }
      RC_LOG() << kit::yaml_of(rules).substr(std::string(kHead).size()) << "replay " << replay << "\n";
      std::vector<std::string> changed = rules;
      size_t number = maker.below(rules.size() + 1);  // one of them, or a new one
      changed.resize(std::max(changed.size(), number + 1));
      changed[number] = maker.rule(number, "live");
      std::string id = "r" + std::to_string(number);
      RC_LOG() << "now " << changed[number] << "\n";
      expect_as_engine(find(past, yaml_of(changed), id, replay), engine_says(past, yaml_of(changed), id), true);
      expect_as_engine(find(past, yaml_of(changed), "", replay), engine_says(past, yaml_of(changed), ""), false);
    }
  }));
}

}  // namespace
}  // namespace tamis::replay
