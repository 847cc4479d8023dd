// What people do and ask: exact undo, listings, truth, repeated deliveries, erasure.
#include <gtest/gtest.h>

#include <map>

#include "engine/act.h"
#include "engine/engine.h"
#include "event/json_writer.h"

namespace tamis::engine {
namespace {

constexpr const char* kPolicy = R"y(
policy: test
time: {at: t, format: ms}
unique: 1h
---
event: login
fields:
  account: {type: string, entity: account}
  ip: ip
---
event: ping
unique: 0s
fields: {account: {type: string, entity: account}}
---
features:
  n: {count: login, by: account, over: 1d}
  pairs: {count: login, by: [account, ip], over: 1d}
  all: {count: login, over: 1d}
lists:
  blocked: {kind: string, values: [root], managed: true}
  nets: {kind: network, managed: true}
  fixed: {kind: string, values: [a]}
rules:
  - {id: r, on: login, when: n >= 0 && pairs >= 0 && all >= 0, then: {points: 1}, mode: live}
  - {id: lists, on: login, when: account in list.blocked || account in list.fixed || ip in list.nets, then: {points: 1}}
  - {id: listed, on: login, when: account == 'listme', then: {list: {add: blocked, value: account, for: 1h}}, mode: live}
)y";

class PeopleTest : public testing::Test {
 protected:
  void SetUp() override {
    policy::Loaded loaded = policy::load_files({{"policy.yaml", kPolicy}});
    for (const policy::Diagnostic& d : loaded.diagnostics) ADD_FAILURE() << policy::to_string(d);
    ASSERT_NE(loaded.policy, nullptr);
    engine_.activate(loaded.policy);
  }
  bool prepare(std::string_view type, const std::string& json) {
    return event_.prepare(engine_.policy(), type, json, nullptr).has_value();
  }
  const Decision& decide(std::string_view type, const std::string& json, uint64_t record = 0) {
    EXPECT_TRUE(prepare(type, json));
    return engine_.decide(event_, Engine::kNoReceiveTime, Engine::Explain::kNo, record);
  }
  int64_t feature(const Decision& decision, std::string_view name) {
    for (const auto& [key, value] : decision.features) {
      if (key == name) return value.i;
    }
    return -1;
  }
  base::Status act(const std::string& json) {
    auto parsed = parse_act(json, 1000);
    if (!parsed) return tl::unexpected(parsed.error());
    // Through the journal and back: the same act.
    auto again = parse_act(to_json(*parsed), 999'999);
    EXPECT_TRUE(again.has_value() && *again == *parsed) << to_json(*parsed);
    return apply(engine_, *again);
  }

  Engine engine_;
  PreparedEvent event_;
};

TEST_F(PeopleTest, ARepeatIsKnownByTypeAndIdWithinItsTime) {
  ASSERT_TRUE(prepare("login", R"({"id":"x","t":1000,"account":"a"})"));
  EXPECT_EQ(engine_.repeat_of(event_), 0u);
  EXPECT_EQ(decide("login", R"({"id":"x","t":1000,"account":"a"})", 41).record, 41u);
  EXPECT_EQ(decide("login", R"({"id":"y","t":2000,"account":"a"})").record, 2u);
  ASSERT_TRUE(prepare("login", R"({"id":"x","t":1000,"account":"a"})"));
  EXPECT_EQ(engine_.repeat_of(event_), 41u);
  ASSERT_TRUE(prepare("login", R"({"t":1000,"account":"a"})"));  // without an id every event is its own
  EXPECT_EQ(engine_.repeat_of(event_), 0u);
  decide("ping", R"({"id":"x","t":1000,"account":"a"})");
  ASSERT_TRUE(prepare("ping", R"({"id":"x","t":1000,"account":"a"})"));
  EXPECT_EQ(engine_.repeat_of(event_), 0u);  // not unique
  engine_.tick(1000 + 3'600'000 + 3000);
  ASSERT_TRUE(prepare("login", R"({"id":"x","t":1000,"account":"a"})"));
  EXPECT_EQ(engine_.repeat_of(event_), 0u);
}

TEST_F(PeopleTest, TheDefaultAndTheSettingsOfUnique) {
  EXPECT_EQ(engine_.policy()->find_type("login")->unique_ms, 3'600'000);
  EXPECT_EQ(engine_.policy()->find_type("ping")->unique_ms, 0);
  policy::Loaded plain = policy::load_files({{"p.yaml", "event: e\nfields: {n: int}\n"}});
  ASSERT_NE(plain.policy, nullptr);
  EXPECT_EQ(plain.policy->types[0].unique_ms, 86'400'000);
  EXPECT_EQ(policy::load_files({{"p.yaml", "event: e\nunique: 91d\nfields: {n: int}\n"}}).policy, nullptr);
}

TEST_F(PeopleTest, LabelsAreTakenBackExactly) {
  ASSERT_TRUE(act(R"({"act":"label_set","on":"account","value":"a","name":"busy","author":"ann","reason":"r",
                      "since":"1970-01-01T00:00:02Z","expires":"2030-01-01T00:00:00Z"})"));
  const std::vector<state::Label> before = engine_.labels("account", "a");
  ASSERT_TRUE(act(R"({"act":"label_set","on":"account","value":"a","name":"busy","author":"bob","batch":"b1"})"));
  EXPECT_NE(engine_.labels("account", "a"), before);
  ASSERT_TRUE(act(R"({"act":"label_restore","on":"account","value":"a","name":"busy","author":"ann","reason":"r",
                      "since":"1970-01-01T00:00:02Z","expires":"2030-01-01T00:00:00Z","batch":"b2"})"));
  EXPECT_EQ(engine_.labels("account", "a"), before);
}

TEST_F(PeopleTest, ListEntriesAreTakenBackExactly) {
  ASSERT_TRUE(act(R"({"act":"list_add","list":"nets","value":"10.0.0.0/8","author":"ann","reason":"r","for":"1h"})"));
  const auto before = engine_.list_entry("nets", "10.0.0.0/8");
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(*before, (state::ListEntry{"10.0.0.0/8", 3'601'000, "r", "ann", 1000}));
  ASSERT_TRUE(act(R"({"act":"list_add","list":"nets","value":"10.0.0.0/8","author":"bob"})"));
  EXPECT_EQ(engine_.list_entry("nets", "10.0.0.0/8")->author, "bob");
  Act undo;
  undo.kind = Act::Kind::kListRestore;
  undo.list = "nets";
  undo.value = before->value;
  undo.author = before->author;
  undo.reason = before->note;
  undo.since_ms = before->since_ms;
  undo.expires_ms = before->expires_ms;
  ASSERT_TRUE(act(to_json(undo)));
  EXPECT_EQ(engine_.list_entry("nets", "10.0.0.0/8"), before);
  EXPECT_FALSE(engine_.list_entry("nets", "11.0.0.0/8").has_value());
  EXPECT_FALSE(act(R"({"act":"list_restore","list":"fixed","value":"x"})").has_value());
  decide("login", R"({"t":5000,"account":"listme"})");
  EXPECT_EQ(engine_.list_entry("blocked", "listme"), (state::ListEntry{"listme", 3'605'000, "", "rule:listed", 5000}));
}

TEST_F(PeopleTest, EventsCarryLabelsAndTruthChangesNothing) {
  EXPECT_TRUE(act(R"({"act":"label_set","on":"event:login","value":"x","name":"revised:accept"})"));
  EXPECT_EQ(engine_.labels("event:login", "x").size(), 1u);
  base::Status unknown = act(R"({"act":"label_set","on":"event:logon","value":"x","name":"l"})");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("event:TYPE"), std::string::npos);
  const uint64_t digest = engine_.digest();
  EXPECT_TRUE(act(R"({"act":"truth","on":"account","value":"a","name":"bad","author":"support"})"));
  EXPECT_TRUE(act(R"({"act":"truth","on":"event:ping","value":"1","name":"spam","author":"reports"})"));
  EXPECT_EQ(engine_.digest(), digest);
  EXPECT_TRUE(act(R"({"act":"truth_clear","on":"account","value":"a","author":"support"})"));
  EXPECT_FALSE(act(R"({"act":"truth_clear","on":"account","value":"a","name":"bad"})").has_value());
  EXPECT_FALSE(act(R"({"act":"truth","on":"acount","value":"a","name":"bad"})").has_value());
  EXPECT_FALSE(act(R"({"act":"truth","on":"account","value":"a"})").has_value());
  EXPECT_FALSE(act(R"({"act":"truth","on":"account","value":"a","name":"bad","for":"1h"})").has_value());
  EXPECT_FALSE(
      act(R"({"act":"truth","on":"account","value":"a","name":"bad","reason":")" + std::string(2000, 'x') + "\"}")
          .has_value());
}

TEST_F(PeopleTest, EverythingInForceIsListedInPages) {
  for (int i = 0; i < 100; ++i) {
    std::string n = std::to_string(i);
    ASSERT_TRUE(act(R"({"act":"label_set","on":"account","value":")" + n + R"(","name":"l"})"));
    ASSERT_TRUE(act(R"({"act":"list_add","list":"blocked","value":")" + n + "\"}"));
  }
  std::map<std::string, int> labels, entries;
  uint64_t cursor = 0;
  int pages = 0;
  do {
    cursor = engine_.visit_labels(cursor, 30, [&](std::string_view, std::string_view value, const state::Label&) {
      ++labels[std::string(value)];
    });
    ++pages;
  } while (cursor != 0);
  EXPECT_EQ(pages, 4);
  do {
    auto next = engine_.visit_list("blocked", cursor, 30, [&](const state::ListEntry& e) { ++entries[e.value]; });
    ASSERT_TRUE(next.has_value());
    cursor = *next;
  } while (cursor != 0);
  EXPECT_EQ(labels.size(), 100u);
  EXPECT_EQ(entries, labels);
  EXPECT_FALSE(engine_.visit_list("none", 0, 1, [](const state::ListEntry&) {}).has_value());
}

TEST_F(PeopleTest, APersonIsErasedFromLabelsListsAndFeatures) {
  const std::string event = R"({"id":"e1","t":5000,"account":"ann","ip":"10.0.0.1"})";
  decide("login", event);
  decide("login", R"({"id":"e2","t":6000,"account":"bob","ip":"10.0.0.1"})");
  ASSERT_TRUE(act(R"({"act":"label_set","on":"account","value":"ann","name":"l"})"));
  ASSERT_TRUE(act(R"({"act":"label_set","on":"account","value":"ann","name":"m"})"));
  ASSERT_TRUE(act(R"({"act":"list_add","list":"blocked","value":"ann"})"));
  ASSERT_TRUE(act(R"({"act":"list_add","list":"blocked","value":"ann eve"})"));  // of both
  ASSERT_TRUE(act(R"({"act":"list_add","list":"blocked","value":"eve joann ann"})"));
  ASSERT_TRUE(act(R"({"act":"list_add","list":"blocked","value":"joann annie"})"));
  Engine::Erased erased = engine_.erase_entity("account", "ann");
  EXPECT_EQ(erased.labels, 2u);
  EXPECT_EQ(erased.list_entries, 3u);
  EXPECT_TRUE(engine_.on_list("blocked", "joann annie"));
  EXPECT_FALSE(engine_.on_list("blocked", "ann eve"));
  EXPECT_TRUE(engine_.labels("account", "ann").empty());
  ASSERT_TRUE(prepare("login", event));
  EXPECT_EQ(engine_.forget_keys(event_, "ann").keys, 2u);  // by account, and by account and ip
  ASSERT_TRUE(prepare("login", event));
  EXPECT_EQ(engine_.forget_keys(event_, "ann").keys, 0u);
  EXPECT_EQ(engine_.repeat_of(event_), 0u);
  const Decision& again = decide("login", event);
  EXPECT_EQ(feature(again, "n"), 0);
  EXPECT_EQ(feature(again, "pairs"), 0);
  EXPECT_EQ(feature(again, "all"), 1);  // of all together, he is not told from the others
  EXPECT_EQ(feature(decide("login", R"({"t":7000,"account":"bob","ip":"10.0.0.1"})"), "n"), 1);
}

constexpr const char* kRemembering = R"y(
policy: test
time: {at: t, format: ms}
raw: 3d
---
event: login
fields:
  account: account
  ip: ip
  device: device
  note: {type: string, private: token}
  lang: string
---
features:
  last_ip: {last: ip, of: login, by: device, over: 30d}
  notes: {set: note, of: login, by: ip.net24, over: 30d}
  accounts: {set: account, of: login, by: device, over: 30d}
  langs: {set: lang, of: login, by: device, over: 30d}
  logins: {count: login, by: device, over: 30d}
rules:
  - {id: r, on: login, when: has(last_ip) && size(notes) + size(accounts) + size(langs) + logins > 0, then: {points: 1}}
)y";

class RememberingTest : public testing::Test {
 protected:
  void SetUp() override {
    policy::Loaded loaded = policy::load_files({{"policy.yaml", kRemembering}});
    ASSERT_NE(loaded.policy, nullptr) << policy::to_string(loaded.diagnostics.at(0));
    engine_.activate(loaded.policy);
  }
  std::map<std::string, std::string> decide(const std::string& json) {
    EXPECT_TRUE(event_.prepare(engine_.policy(), "login", json, nullptr).has_value());
    std::map<std::string, std::string> features;
    for (const auto& [name, value] : engine_.decide(event_, Engine::kNoReceiveTime).features) {
      event::JsonWriter(features[std::string(name)]).value(value);
    }
    return features;
  }
  Engine engine_;
  PreparedEvent event_;
};

constexpr const char* kAnna = R"({"t":1000,"account":"ann","ip":"10.0.0.1","device":"d1","note":"hers","lang":"de"})";

// Another private value of the person, under a key that is not made of him.
TEST_F(RememberingTest, ErasureReachesValuesUnderKeysOfOthers) {
  decide(kAnna);
  decide(R"({"t":2000,"account":"bob","ip":"10.0.9.9","device":"d2","note":"his","lang":"en"})");
  ASSERT_TRUE(event_.prepare(engine_.policy(), "login", kAnna, nullptr).has_value());
  const Engine::Forgotten forgotten = engine_.forget_keys(event_, "ann");
  EXPECT_EQ(forgotten.keys, 0u);         // nothing is keyed by account
  EXPECT_EQ(forgotten.others_keys, 3u);  // last_ip and accounts of d1, notes of the network
  auto now = decide(R"({"t":3000,"account":"carl","ip":"10.0.0.2","device":"d1","note":"x","lang":"fr"})");
  EXPECT_EQ(now.at("notes"), "[]");
  EXPECT_EQ(now.at("accounts"), "[]");
  EXPECT_EQ(now.at("langs"), "[\"de\"]") << "it names nobody";
  EXPECT_EQ(now.at("logins"), "1") << "a number names nobody";
  now = decide(R"({"t":4000,"account":"carl","ip":"10.0.9.2","device":"d2","note":"x","lang":"fr"})");
  EXPECT_EQ(now.at("notes"), "[\"his\"]");
}

TEST_F(RememberingTest, RetentionTakesPrivateValuesAndNothingElse) {
  decide(kAnna);
  const uint64_t before = engine_.digest();
  EXPECT_EQ(engine_.forget_before(1000, 0, 1), 0u);
  EXPECT_EQ(engine_.digest(), before);
  EXPECT_EQ(engine_.forget_before(1001, 0, 1), 2u);  // last_ip, notes; accounts are not private
  auto now = decide(R"({"t":5000,"account":"carl","ip":"10.0.0.2","device":"d1","note":"x","lang":"fr"})");
  EXPECT_EQ(now.at("notes"), "[]");
  EXPECT_EQ(now.at("accounts"), "[\"ann\"]");
  EXPECT_EQ(now.at("logins"), "1");
}

TEST_F(RememberingTest, RetentionTakesLabelsThatExpiredThoughTheEnginesTimeStoodStill) {
  decide(kAnna);
  ASSERT_TRUE(engine_.set_label("ip", "10.0.0.1", {"hot", "ann", "", 1000, 50'000}));
  ASSERT_TRUE(engine_.set_label("ip", "10.0.0.2", {"hot", "ann", "", 1000, 500'000}));
  engine_.forget_before(100'000, 0, 1);
  EXPECT_TRUE(engine_.labels("ip", "10.0.0.1").empty());
  EXPECT_EQ(engine_.labels("ip", "10.0.0.2").size(), 1u);
}

}  // namespace
}  // namespace tamis::engine
