// Detectors in the fold: they watch in the order of the journal, their state is the engine's, and what they find comes
// back as events that rules act on.
#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"
#include "detect/signup_facts.h"
#include "engine/act.h"
#include "engine/backfill.h"
#include "engine/engine.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::engine {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int64_t kMinute = 60'000;

constexpr const char* kEvents = R"y(
policy: test
id: {at: id}
time: {at: t, format: ms}
verdicts: [allow, challenge, hold]
---
event: client
abstract: true
fields:
  account: {type: account, path: acct}
  ip: ip
  asn: int
  country: {type: string, path: cc}
  net_class: {type: string, path: net, default: res}
  user_agent: {type: user_agent, path: ua}
  device: {type: device, path: fp}
  language: {type: string, path: lang}
  time_zone: {type: string, path: tz}
  local: string
  screen: {type: string, path: scr}
  gpu: string
  captcha: {type: string, path: cap}
  captcha_ms: {type: int, path: cap_ms}
  fill_ms: int
---
event: signup
extends: client
lateness: 10m
show: {acct: account, cluster: signup_clusters.cluster}
score: signup_clusters.score
---
event: login
extends: client
score: login_risk.score
---
event: send
score: signup_clusters.score
fields:
  account: {type: account, path: acct}
---
detectors:
  signup_clusters:
    on: {signup: signup, login: login, send: send}
    inputs: {net: net_class}
    limits: {accounts_max: 5000, keys_max: 100000, values_max: 100000, clusters_max: 64}
  login_risk:
    on: {signup: signup, login: login}
    inputs: {net: net_class, success: "true"}
    limits: {accounts_max: 5000, values_max: 100000, campaign_keys_max: 10000}
)y";

constexpr const char* kRules = R"y(
---
event: finding
show: {cluster: cluster, finding: finding}
fields: {cluster: {type: int, entity: cluster}, finding: string, size: double, views: int, actionable: bool, cause: string, account: account, depth: int}
---
rules:
  - {id: of-cluster, on: signup, when: signup_clusters.score > 0.5 && signup_clusters.cluster_actionable, then: {verdict: challenge}, mode: live}
  - {id: marked, on: signup, when: "'seen' in labels(signup_clusters.cluster)", then: {verdict: hold}, mode: live}
  - {id: cleared, on: signup, when: signup_clusters.cluster_cleared, then: {points: 1}, mode: live}
  - {id: odd, on: login, when: login_risk.score > 0.5 && login_risk.factors.client > 0.0, then: {verdict: challenge}, mode: live}
  - {id: sender, on: send, when: signup_clusters.score > 0.5, then: {verdict: hold}, mode: live}
  - {id: tell, on: finding, when: finding == 'actionable' && actionable, then: {verdict: challenge, label: {on: cluster, name: seen, for: 1d}}, mode: live}
)y";

std::shared_ptr<const policy::Policy> compile(const std::string& yaml) {
  policy::Loaded loaded = policy::load_files({{"policy.yaml", yaml}});
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    if (d.severity == policy::Diagnostic::Severity::kError) ADD_FAILURE() << policy::to_string(d);
  }
  return loaded.policy;
}

const std::shared_ptr<const policy::Policy>& test_policy() {
  static const std::shared_ptr<const policy::Policy> policy = compile(std::string(kEvents) + kRules);
  return policy;
}

// Honest signups of many kinds, every fifth event a login, and from the 600th on every other one of a machine.
std::string event_json(uint64_t n, int64_t* time_ms = nullptr) {
  constexpr std::string_view kAgents[] = {
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 "
      "Mobile/15E148 Safari/604.1"};
  constexpr std::string_view kPlaces[][3] = {
      {"DE", "de-DE", "Europe/Berlin"}, {"FR", "fr-FR", "Europe/Paris"}, {"US", "en-US", "America/Chicago"}};
  constexpr std::string_view kNames[] = {"anna", "bruno", "chidi", "dora", "emil", "fatima", "goran", "hana"};
  auto draw = [&, k = uint64_t{0}](uint64_t below) mutable { return base::mix64(n * 64 + ++k) % below; };
  const bool machine = n >= 600 && n % 2 == 0;
  const int64_t t = kStart + static_cast<int64_t>(std::min<uint64_t>(n, 600)) * 15 * kMinute +
                    (n > 600 ? static_cast<int64_t>(n - 600) * kMinute : 0);
  if (time_ms != nullptr) *time_ms = t;
  const bool login = !machine && n % 5 == 4;
  const uint64_t who = login ? n - 1 - draw(2) : n;
  const auto& place = kPlaces[draw(3)];
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("id").string("e" + std::to_string(n)).key("t").integer(t);
  json.key("type").string(login ? "login" : "signup").key("acct").string("a" + std::to_string(who));
  json.key("ip").string(machine ? "203.0.113.7"
                                : "198." + std::to_string(18 + draw(2)) + "." + std::to_string(draw(250)) + "." +
                                      std::to_string(1 + draw(250)));
  json.key("asn").integer(machine ? 64'500 : 64'510 + static_cast<int64_t>(draw(12)));
  json.key("cc").string(machine ? "NL" : place[0]).key("net").string("res");
  json.key("ua").string(kAgents[machine ? 1 : draw(3)]).key("fp").string("d" + std::to_string(machine ? 1 : who));
  json.key("lang").string(machine ? "en-US" : place[1]).key("tz").string(machine ? "UTC" : place[2]);
  std::string local = machine ? "q" + std::to_string(draw(90'000) + 10'000) + "xz"
                              : std::string(kNames[draw(8)]) + "." + std::string(kNames[draw(8)]);
  if (!machine && draw(2) == 0) local += std::to_string(draw(100));
  json.key("local").string(local).key("scr").string(machine ? "800x600" : draw(2) == 0 ? "1920x1080" : "390x844");
  json.key("gpu").string(machine ? "soft" : "g" + std::to_string(draw(40))).key("cap").string(machine ? "pow" : "img");
  json.key("cap_ms").integer(machine ? 400 + static_cast<int64_t>(draw(9)) : 3000 + static_cast<int64_t>(draw(9000)));
  json.key("fill_ms").integer(machine ? 700 + static_cast<int64_t>(draw(20))
                                      : 9000 + static_cast<int64_t>(draw(60000)));
  json.end_object();
  return out;
}

struct Told {
  std::string decision;
  std::vector<std::string> findings;
  bool operator==(const Told&) const = default;
};

class World {
 public:
  explicit World(const std::shared_ptr<const policy::Policy>& policy = test_policy()) { engine.activate(policy); }

  Told decide(const std::string& json, int64_t receive_ms = Engine::kNoReceiveTime) {
    EXPECT_TRUE(event_.prepare(engine.policy(), {}, json, nullptr));
    Told told;
    write_json(engine.decide(event_, receive_ms), told.decision);
    for (size_t i = 0; i < engine.finding_count(); ++i) {
      write_json(engine.finding(i).decision, told.findings.emplace_back());
    }
    return told;
  }
  std::vector<Told> run(uint64_t from, uint64_t to) {
    std::vector<Told> all;
    for (uint64_t n = from; n < to; ++n) all.push_back(decide(event_json(n)));
    return all;
  }

  Engine engine;

 private:
  PreparedEvent event_;
};

size_t with(const std::vector<Told>& all, std::string_view text) {
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [&](const Told& t) { return t.decision.find(text) != std::string::npos; }));
}

TEST(Detectors, ScoreInTheOrderOfTheJournalAndFindingsFollowTheirCause) {
  World world;
  const std::vector<Told> all = world.run(0, 900);
  std::vector<std::string> findings;
  size_t proven_at = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    for (const std::string& finding : all[i].findings) {
      if (finding.find("\"tell\"") != std::string::npos && proven_at == 0) proven_at = i;
      EXPECT_NE(finding.find("\"id\":\"f" + std::to_string(i + 1) + "."), std::string::npos) << finding;
      findings.push_back(finding);
    }
  }
  ASSERT_GT(proven_at, 600u);
  // The rule on the finding has labelled the cluster: its next members are held, the one that caused it was not.
  EXPECT_EQ(all[proven_at].decision.find("\"marked\""), std::string::npos);
  EXPECT_GT(with({all.begin() + static_cast<long>(proven_at) + 1, all.end()}, "\"verdict\":\"hold\""), 20u);
  EXPECT_EQ(with({all.begin(), all.begin() + 600}, "\"verdict\":\"hold\""), 0u);
  EXPECT_GT(with(all, "\"acct\":\"a"), 700u);
  EXPECT_GT(with(all, "\"cluster\":"), 50u);
  EXPECT_GT(with(all, "\"login_risk.score\":0."), 50u);
  const auto hindsight = world.engine.hindsight("a898");
  ASSERT_TRUE(hindsight);
  EXPECT_GT(hindsight->score, 0.5);
  EXPECT_GT(hindsight->cluster, 0u);
}

Value at(Value map, std::string_view key) {
  const Value* found = map.is(event::Kind::kMap) ? event::map_find(*map.map, Value::string(key)) : nullptr;
  return found == nullptr ? Value::absent() : *found;
}

// What "log_odds" of an object is off the sum of its "factors".
double off(Value of, size_t* factors = nullptr) {
  double sum = 0, before = HUGE_VAL;
  for (Value factor : at(of, "factors").list_items()) {
    const double one = at(factor, "log_odds").d;
    EXPECT_LE(std::abs(one), before);  // the weightiest first
    before = std::abs(one);
    EXPECT_GT(at(factor, "words").str().size(), 8u);
    sum += one;
    if (factors != nullptr) ++*factors;
  }
  return std::abs(sum - at(of, "log_odds").d);
}

TEST(Detectors, TheirFactorsAddUpToTheScoreOfEveryEvent) {
  World world;
  PreparedEvent prepared;
  size_t signups = 0, logins = 0, sends = 0, compared = 0, known = 0;
  for (uint64_t n = 0; n < 1'000; ++n) {
    std::vector<std::string> lines = {event_json(n)};
    // Accounts do something later, members of the cluster and others; of some people find out what they are.
    const int64_t t = kStart + static_cast<int64_t>(std::min<uint64_t>(n, 600)) * 15 * kMinute +
                      (n > 600 ? static_cast<int64_t>(n - 600) * kMinute : 0);
    const std::string whose = std::to_string(n - n % 7);
    lines.push_back(R"({"id":"s)" + std::to_string(n) + R"(","t":)" + std::to_string(t) +
                    R"(,"type":"send","acct":"a)" + whose + R"("})");
    if (n % 90 == 80) {
      ASSERT_TRUE(world.engine.set_truth("account", "a" + whose, n % 180 == 80 ? "good" : "bad"));
    }
    for (const std::string& line : lines) {
      ASSERT_TRUE(prepared.prepare(world.engine.policy(), {}, line, nullptr));
      std::string out, plain;
      const Decision& d = world.engine.decide(prepared, Engine::kNoReceiveTime, Engine::Explain::kYes);
      write_json(d, out);
      base::Arena arena;
      const auto decision = event::JsonReader::to_value(out, arena);
      ASSERT_TRUE(decision) << out;
      const Value all = at(*decision, "explanation");
      if (!all.is(event::Kind::kList)) continue;
      for (Value said : all.list_items()) {
        size_t factors = 0;
        EXPECT_LT(off(said, &factors), 1e-3) << out;
        EXPECT_EQ(factors, at(said, "detector").str() == "login_risk" ? 9u : 10u);
        EXPECT_NEAR(1 / (1 + std::exp(-at(said, "log_odds").d / at(said, "score_of").d)), at(said, "score").d, 1e-3);
        EXPECT_EQ(d.score, at(said, "score").d);
        (d.type->schema.name == "login" ? logins : d.type->schema.name == "send" ? sends : signups) += 1;
        if (Value likeness = at(said, "likeness"); likeness.is(event::Kind::kMap)) {
          EXPECT_LT(off(likeness), 1e-3) << out;
          ++compared;
        }
        for (Value factor : at(said, "factors").list_items()) {
          known += at(factor, "factor").str() == "parts.truth" && at(factor, "log_odds").d != 0;
        }
      }
    }
  }
  EXPECT_GT(signups, 700u);
  EXPECT_GT(logins, 100u);
  EXPECT_GT(sends, 700u);
  EXPECT_GT(compared, 300u);
  EXPECT_GT(known, 5u);
}

// What only explains is no part of the answer, and nothing of a detector that nobody heeds is looked at.
TEST(Detectors, WhatExplainsIsQuiet) {
  const policy::EventType* signup = test_policy()->find_type("signup");
  size_t quiet = 0;
  for (const policy::DetectorRead& read : signup->detector_reads) {
    EXPECT_EQ(read.detector, 0u) << read.name;
    quiet += read.is_quiet;
  }
  EXPECT_GT(quiet, 15u);
  World world;
  EXPECT_EQ(world.decide(event_json(1)).decision.find("parts."), std::string::npos);
  EXPECT_EQ(world.decide(event_json(2)).decision.find("explanation"), std::string::npos);
}

TEST(Detectors, TheSameEventsGiveTheSameBytes) {
  World one, other;
  EXPECT_EQ(one.run(0, 800), other.run(0, 800));
  EXPECT_EQ(one.engine.digest(), other.engine.digest());
}

std::string snapshot_of(Engine& engine, const std::function<void()>& between) {
  std::string all, piece;
  engine.begin_snapshot();
  while (engine.snapshot_piece(piece, 1 << 12)) {
    all += piece;
    piece.clear();
    between();
  }
  return all;
}

TEST(Detectors, ASnapshotWhileEventsGoOnIsTheStateAsOfItsBeginning) {
  World world;
  world.run(0, 700);
  const uint64_t then = world.engine.digest();
  uint64_t n = 700;
  std::vector<Told> after;
  std::string bytes = snapshot_of(world.engine, [&] {
    if (n < 900) after.push_back(world.decide(event_json(n++)));
  });
  while (n < 900) after.push_back(world.decide(event_json(n++)));
  World restored;
  bool given = false;
  ASSERT_TRUE(restored.engine.restore([&](std::string& piece) -> base::Result<bool> {
    if (given) return false;
    piece = bytes;
    return given = true;
  }));
  EXPECT_EQ(restored.engine.digest(), then);
  EXPECT_EQ(restored.run(700, 900), after);
  EXPECT_EQ(restored.engine.digest(), world.engine.digest());
}

// A snapshot that has fallen into wrong hands gives nothing without the key; nor does one in right hands.
TEST(Detectors, AnotherStateKeyKnowsNobodyAndTheRestOfTheStateStays) {
  Engine first, same, other;
  const auto run = [](Engine& engine, uint64_t from, uint64_t to) {
    PreparedEvent event;
    std::vector<std::string> told;
    for (uint64_t n = from; n < to; ++n) {
      EXPECT_TRUE(event.prepare(engine.policy(), {}, event_json(n), nullptr));
      write_json(engine.decide(event, Engine::kNoReceiveTime), told.emplace_back());
    }
    return told;
  };
  first.use_state_key({1, 2}), same.use_state_key({1, 2}), other.use_state_key({1, 3});
  World unkeyed;
  for (Engine* engine : {&first, &same, &other}) engine->activate(test_policy());
  const auto so_far = run(first, 0, 700);
  EXPECT_EQ(so_far, run(unkeyed.engine, 0, 700));  // a key changes nothing that is decided
  EXPECT_NE(first.digest(), unkeyed.engine.digest());
  const std::string bytes = snapshot_of(first, [] {});
  for (Engine* engine : {&same, &other}) {
    bool given = false;
    ASSERT_TRUE(engine->restore([&](std::string& piece) -> base::Result<bool> {
      if (given) return false;
      piece = bytes;
      return given = true;
    }));
  }
  EXPECT_EQ(same.digest(), first.digest());
  EXPECT_GT(same.clusters()->accounts(), 400u);
  EXPECT_EQ(other.clusters()->accounts(), 0u);
  EXPECT_EQ(other.decided(), first.decided());
  EXPECT_EQ(run(same, 700, 800), run(first, 700, 800));
}

TEST(Detectors, ForgetAnErasedAccount) {
  World world;
  world.run(0, 700);
  const std::string account = [] {
    const std::string json = event_json(3);
    const size_t at = json.find("\"acct\":\"") + 8;
    return json.substr(at, json.find('"', at) - at);
  }();
  ASSERT_GT(world.engine.hindsight(account)->score, 0);
  (void)world.engine.erase_entity("account", account);
  EXPECT_EQ(world.engine.hindsight(account)->score, 0);
  EXPECT_EQ(world.engine.hindsight(account)->cluster, 0u);
  // What is kept of the others goes on, and comes back from a snapshot.
  const std::string bytes = snapshot_of(world.engine, [] {});
  World restored;
  bool given = false;
  ASSERT_TRUE(restored.engine.restore([&](std::string& piece) -> base::Result<bool> {
    if (given) return false;
    piece = bytes;
    return given = true;
  }));
  EXPECT_EQ(restored.run(700, 900), world.run(700, 900));
  EXPECT_EQ(restored.engine.digest(), world.engine.digest());
}

TEST(Detectors, KeepTheirStateOverAReloadUnlessTheirLimitsChange) {
  World world, same, other;
  const std::vector<Told> expected = [&] {
    world.run(0, 700);
    return world.run(700, 800);
  }();
  same.run(0, 700);
  same.engine.activate(compile(std::string(kEvents) + kRules + "  - {id: new, on: send, when: 'true', mode: live}\n"));
  std::vector<Told> kept = same.run(700, 800);
  for (size_t i = 0; i < kept.size(); ++i) {
    auto without_policy = [](const std::string& text) { return text.substr(0, text.find("\"policy\"")); };
    EXPECT_EQ(without_policy(kept[i].decision), without_policy(expected[i].decision));
  }
  other.run(0, 700);
  std::string changed = std::string(kEvents) + kRules;
  changed.replace(changed.find("clusters_max: 64"), 16, "clusters_max: 65");
  other.engine.activate(compile(changed));
  EXPECT_EQ(other.engine.clusters()->accounts(), 0u);
  EXPECT_GT(same.engine.clusters()->accounts(), 400u);
}

TEST(Detectors, AreFilledFromThePastWhenAPolicyAddsThem) {
  World whole;
  whole.run(0, 700);
  std::string plain = kEvents;
  plain = plain.substr(0, plain.find("detectors:"));
  for (const char* of : {"show: {acct: account, cluster: signup_clusters.cluster}\n", "score: signup_clusters.score\n",
                         "score: login_risk.score\n", "score: signup_clusters.score\n"}) {
    plain.replace(plain.find(of), std::string_view(of).size(), "");
  }
  World late(compile(plain + "rules: []\n"));
  for (uint64_t n = 0; n < 700; ++n) late.decide(event_json(n));
  Engine::PreparedPointer next = Engine::build(test_policy(), {});
  Backfill backfill(late.engine, *next);
  ASSERT_TRUE(backfill.needed());
  PreparedEvent event;
  for (uint64_t n = 0; n < 700; ++n) {
    int64_t t = 0;
    const std::string json = event_json(n, &t);
    ASSERT_TRUE(event.prepare(backfill.policy(), {}, json, nullptr));
    backfill.feed(event, t);
  }
  late.engine.activate(std::move(next));
  auto scores = [](World& world) {
    std::vector<std::string> all;
    for (const Told& told : world.run(700, 760)) {
      const size_t at = told.decision.find("\"score\"");
      all.push_back(told.decision.substr(at, told.decision.find(',', at) - at));
    }
    return all;
  };
  EXPECT_EQ(scores(late), scores(whole));
}

TEST(Detectors, ALateEventIsDecidedAndWatchedByNobody) {
  World world;
  world.run(0, 300);
  const size_t accounts = world.engine.clusters()->accounts();
  const Told told = world.decide(event_json(3), kStart + 300 * 15 * kMinute);  // of two days before
  EXPECT_NE(told.decision.find("\"late\":true"), std::string::npos) << told.decision;
  EXPECT_NE(told.decision.find("\"signup_clusters.score\":null"), std::string::npos) << told.decision;
  EXPECT_EQ(world.engine.clusters()->accounts(), accounts);
}

TEST(Detectors, WithoutTheEventTypeNothingIsFound) {
  std::string rules = kRules;
  const size_t begin = rules.find("---\nevent: finding"), end = rules.find("---\nrules:");
  rules.erase(begin, end - begin);
  rules.erase(rules.find("  - {id: tell"));
  World world(compile(std::string(kEvents) + rules));
  for (const Told& told : world.run(0, 800)) EXPECT_TRUE(told.findings.empty());
}

// What people say of a cluster is a label on it, so it is journaled, undone and expires as every label.
TEST(Detectors, AClusterThatPeopleRefuteSpeaksAgainstNobody) {
  World world;
  world.run(0, 800);
  const auto before = world.engine.hindsight("a798");
  ASSERT_TRUE(before && before->cluster != 0);
  const std::string id = std::to_string(before->cluster);
  auto act = parse_act(R"({"act":"label_set","on":"cluster","value":")" + id + R"(","name":"refuted","for":"30d"})",
                       world.engine.now_ms());
  ASSERT_TRUE(act) << act.error().message;
  ASSERT_TRUE(apply(world.engine, *act));
  Told told = world.decide(event_json(800));
  EXPECT_NE(told.decision.find("\"cleared\""), std::string::npos) << told.decision;
  EXPECT_EQ(told.decision.find("\"of-cluster\""), std::string::npos) << told.decision;
  EXPECT_TRUE(world.engine.clear_label("cluster", id, "refuted"));
  told = world.decide(event_json(802));
  EXPECT_NE(told.decision.find("\"of-cluster\""), std::string::npos) << told.decision;
  ASSERT_TRUE(world.engine.set_label("cluster", id, {"confirmed", "eve", "", world.engine.now_ms(), INT64_MAX}));
  EXPECT_TRUE(world.engine.clusters()->facts(before->cluster)->is_confirmed);
}

// What somebody finds out about one account settles that account, and tells of its cluster.
TEST(Detectors, HearTheTruthAboutAccounts) {
  World world;
  world.run(0, 800);
  const auto before = world.engine.hindsight("a798");
  ASSERT_TRUE(before && before->cluster != 0);
  EXPECT_GT(before->score, 0.5);
  const auto say = [&](const std::string& account, const std::string& name) {
    auto act = parse_act(R"({"act":"truth","on":"account","value":")" + account + R"(","name":")" + name + "\"}",
                         world.engine.now_ms());
    ASSERT_TRUE(act) << act.error().message;
    ASSERT_TRUE(apply(world.engine, *act));
  };
  const double cluster = world.engine.clusters()->facts(before->cluster)->score;
  for (int n = 700; n < 800; n += 2) say("a" + std::to_string(n), "good");
  EXPECT_LT(world.engine.hindsight("a798")->score, 0.01);
  const auto doubted = world.engine.clusters()->facts(before->cluster);
  EXPECT_LT(doubted->score, cluster);
  EXPECT_GT(doubted->good, 10);
  EXPECT_EQ(doubted->bad, 0);
  say("a798", "bad");
  EXPECT_GT(world.engine.hindsight("a798")->score, 0.99);
  EXPECT_EQ(world.engine.clusters()->facts(before->cluster)->bad, 1);
  say("a798", "unclear");
  EXPECT_EQ(world.engine.clusters()->facts(before->cluster)->bad, 0);
  EXPECT_FALSE(world.engine.set_truth("moon", "a", "bad"));
}

// What somebody finds out about one login reaches the detector of logins, by the login's id.
TEST(Detectors, HearTheTruthAboutALogin) {
  World world, other;
  const auto login = [](World& to, const std::string& id, const std::string& account, bool at_home, int64_t t_ms) {
    const std::string client =
        at_home ? R"("ip":"192.0.2.1","asn":64501,"cc":"DE","fp":"own","lang":"de-DE","tz":"Europe/Berlin")"
                : R"("ip":"203.0.113.5","asn":64666,"cc":"BR","fp":"far","lang":"en-US","tz":"UTC")";
    const Told told =
        to.decide(R"({"id":")" + id + R"(","type":"login","acct":")" + account + "\"," + client + "}", t_ms);
    const size_t at = told.decision.find("\"score\":");
    return std::strtod(told.decision.c_str() + at + 8, nullptr);
  };
  const auto say = [](World& to, const std::string& on, const std::string& id, const std::string& name) {
    auto act = parse_act(R"({"act":")" + std::string(name.empty() ? "truth_clear" : "truth") + R"(","on":")" + on +
                             R"(","value":")" + id + "\"" + (name.empty() ? "" : R"(,"name":")" + name + "\"") + "}",
                         to.engine.now_ms());
    ASSERT_TRUE(act) << act.error().message;
    ASSERT_TRUE(apply(to.engine, *act));
  };
  int64_t t = 0;
  for (World* to : {&world, &other}) {
    to->run(0, 300);
    t = to->engine.now_ms();
    for (int n = 0; n < 20; ++n) login(*to, "h" + std::to_string(n), "a1000", true, t += 6 * 60 * kMinute);
  }
  const double first = login(world, "odd", "a1000", false, t += kMinute);
  EXPECT_EQ(login(other, "odd", "a1000", false, t), first);
  ASSERT_GT(first, 0.5);
  say(world, "event:signup", "odd", "bad");  // another event of that id
  EXPECT_EQ(world.engine.digest(), other.engine.digest());
  say(world, "event:login", "odd", "takeover");  // whatever is not good is bad
  EXPECT_NE(world.engine.digest(), other.engine.digest());
  EXPECT_GT(login(world, "odd2", "a1000", false, t += kMinute), first);
  EXPECT_LT(login(other, "odd2", "a1000", false, t), first);
  EXPECT_LT(login(world, "mine", "a1000", true, t += kMinute), 0.1);
  // A restored engine has heard it, too, and still knows which login is meant.
  World restored;
  bool given = false;
  ASSERT_TRUE(
      restored.engine.restore([&, bytes = snapshot_of(world.engine, [] {})](std::string& piece) -> base::Result<bool> {
        if (given) return false;
        piece = bytes;
        return given = true;
      }));
  t += kMinute;
  for (World* to : {&world, &restored}) {
    say(*to, "event:login", "odd", "");
    say(*to, "event:login", "odd2", "good");
    EXPECT_LT(login(*to, "odd3", "a1000", false, t), 0.3);
  }
  EXPECT_EQ(world.engine.digest(), restored.engine.digest());
}

}  // namespace
}  // namespace tamis::engine
