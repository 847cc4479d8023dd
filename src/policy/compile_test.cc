// What the compiler leaves behind: slots, reads, updates, rules and tests.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "policy/policy.h"

namespace tamis::policy {
namespace {

Loaded load(std::string text) { return load_files({{"p.yaml", std::move(text)}}); }

std::string all(const Loaded& loaded) {
  std::string out;
  for (const Diagnostic& d : loaded.diagnostics) out += to_string(d) + "\n";
  return out;
}

std::shared_ptr<const Policy> good(const std::string& text) {
  Loaded loaded = load(text);
  EXPECT_NE(loaded.policy, nullptr) << all(loaded);
  return loaded.policy != nullptr ? loaded.policy : std::make_shared<Policy>();
}

constexpr const char* kEvents = R"(
event: signup
fields: {ip: ip, email: email, account: account, form_ms: int, device: {type: device, path: client.fp}}
---
event: login
fields: {account: account, ip: ip, success: bool}
---
)";

// A world of its own for evaluating expressions of a type.
struct World : cel::Host {
  bool list_contains(int64_t list, Value value) const override {
    return list == 0 && value.is(event::Kind::kString) && value.str() == "192.0.2.1";
  }
  Value labels_of(int64_t kind, Value value, base::Arena& to) const override {
    Value* names = to.allocate_array<Value>(1);
    names[0] = Value::string(to.copy(kinds->at(static_cast<size_t>(kind)) + "/" + std::string(value.str())));
    return Value::list({names, 1});
  }
  explicit World(const Policy& policy, const EventType& of)
      : kinds(&policy.entity_kinds), type(&of), slots(static_cast<size_t>(of.slot_count)) {}
  Value eval(NodeId node) {
    cel::Frame frame(type->plan);
    frame.begin(slots.data(), arena, this);
    return type->plan.eval(node, frame);
  }
  const std::vector<std::string>* kinds;
  const EventType* type;
  std::vector<Value> slots;
  base::Arena arena;
};

TEST(Compile, WhatMayBeToldToACustomerStandsAsItIsWritten) {
  auto policy = good(std::string(kEvents) + R"(
rules:
  - {id: a, on: login, when: success, then: reject, say: Please choose a new password., mode: live}
  - {id: b, on: login, when: success, then: reject, mode: live}
)");
  const EventType* login = policy->find_type("login");
  ASSERT_NE(login, nullptr);
  EXPECT_EQ(login->rules[0].say, "Please choose a new password.");
  EXPECT_EQ(login->rules[1].say, "");
  Loaded braces = load(std::string(kEvents) + R"(
rules: [{id: a, on: login, when: success, then: reject, say: "from {ip}"}]
)");
  EXPECT_EQ(braces.policy, nullptr);
  EXPECT_NE(all(braces).find("nothing in braces is filled in"), std::string::npos) << all(braces);
  Loaded endless = load(std::string(kEvents) + "rules: [{id: a, on: login, when: success, then: reject, say: " +
                        std::string(501, 'x') + "}]\n");
  EXPECT_NE(all(endless).find("at most 500"), std::string::npos) << all(endless);
}

TEST(Compile, OnlyWhatIsReadHasASlot) {
  auto policy = good(std::string(kEvents) + R"(
features:
  per_net: {count: signup, by: ip.net24, over: [1h, 1d]}
  per_asn: {count: signup, by: ip.asn, over: 1h}
---
rules:
  - {id: a, on: signup, when: per_net_1d > 3 && email.domain == "x"}
)");
  const EventType& signup = *policy->find_type("signup");
  ASSERT_EQ(signup.schema.fields.size(), 5u);
  EXPECT_EQ(signup.schema.fields[4].path, (std::vector<std::string>{"client", "fp"}));
  EXPECT_NE(signup.schema.fingerprint, 0u);
  // ip.asn (fed by), ip.net24 (key) and email.domain.
  ASSERT_EQ(signup.schema.derived.size(), 3u);
  for (const event::Derived& d : signup.schema.derived) EXPECT_GE(d.slot, 5);
  ASSERT_EQ(signup.reads.size(), 1u);
  EXPECT_EQ(signup.reads[0].name, "per_net_1d");
  EXPECT_EQ(signup.reads[0].window, 1u);
  EXPECT_EQ(signup.reads[0].slot, 8);
  EXPECT_EQ(signup.updates.size(), 2u);
  EXPECT_EQ(signup.points_slot, 9);
  EXPECT_EQ(signup.slot_count, 10);
  EXPECT_EQ(signup.time_slot, -1);
  // Nothing of signups is read or fed by logins.
  const EventType& login = *policy->find_type("login");
  EXPECT_TRUE(login.reads.empty());
  EXPECT_TRUE(login.updates.empty());
  EXPECT_TRUE(login.schema.derived.empty());
  EXPECT_EQ(policy->find_type("logout"), nullptr);
}

TEST(Compile, AFeatureIsReadWhereverItsKeyCanBeMade) {
  auto policy = good(std::string(kEvents) + R"(
features:
  signups: {count: signup, by: ip, over: 1h, include_self: true}
rules:
  - {id: a, on: login, when: signups > 3}
)");
  const EventType& login = *policy->find_type("login");
  ASSERT_EQ(login.reads.size(), 1u);
  EXPECT_TRUE(login.reads[0].include_self);
  World world(*policy, login);
  world.slots[1] = Value::string("192.0.2.9");
  EXPECT_EQ(world.eval(login.reads[0].by.at(0)).str(), "192.0.2.9");
}

TEST(Compile, EachMemberOfAListIsAKey) {
  const std::string events = R"y(
event: send
fields: {account: account, links: list(string), domain: string, counts: "map(string, int)"}
---
event: login
fields: {account: account}
---
)y";
  auto policy = good(events + R"(
features:
  senders: {distinct: account, of: send, by: domain, each: links, over: 1d}
rules:
  - {id: a, on: send, when: senders > 3}
)");
  const EventType& send = *policy->find_type("send");
  EXPECT_TRUE(send.reads.at(0).each);
  EXPECT_TRUE(send.updates.at(0).each);
  EXPECT_EQ(send.updates[0].by.size(), 2u);  // the list is the last part of the key
  // Another list, and a key of the list as a whole, are other features.
  const auto fingerprint = [&](const std::string& feature) {
    return good(events + "features:\n  senders: " + feature + "\nrules: []\n")->features.at(0).fingerprint;
  };
  EXPECT_NE(policy->features[0].fingerprint,
            fingerprint("{distinct: account, of: send, by: domain, each: 'links.map(x, x + \"\")', over: 1d}"));
  EXPECT_EQ(policy->features[0].fingerprint,
            fingerprint("{distinct: account, of: send, by: domain, each: links, over: 1d}"));
  const auto bad = [&](const std::string& feature, const std::string& why, const std::string& on = "send") {
    Loaded loaded = load(events + "features:\n  senders: " + feature + "\nrules:\n  - {id: a, on: " + on +
                         ", when: senders > 3}\n");
    EXPECT_EQ(loaded.policy, nullptr) << feature;
    EXPECT_NE(all(loaded).find(why), std::string::npos) << all(loaded);
  };
  bad("{count: send, each: domain, over: 1d}", "`each` is a list of single values, and this is string");
  bad("{count: send, each: counts, over: 1d}", "`each` is a list of single values");
  bad("{count: send, each: '[links]', over: 1d}", "`each` is a list of single values");
  bad("{set: account, of: send, each: links, over: 1d}", "must give a number");
  bad("{first_seen: send, each: links}", "must give a number");
  bad("{count: send, by: links, over: 1d}", "`by` is a single value");
  bad("{count: send, each: links, over: 1d}", "links", "login");
}

TEST(Compile, LetsTemplatesPointsAndScore) {
  auto policy = good(std::string(kEvents) + R"(
rules:
  - id: a
    on: signup
    let: {twice: form_ms * 2, more: twice + 1}
    when: more > 10
    value: string(more)
    then: {points: more * 0.5}
    reason: "{{{form_ms} ms, {more}: {'}'}"
)");
  const EventType& type = *policy->find_type("signup");
  const Rule& rule = type.rules.at(0);
  World world(*policy, type);
  world.slots[3] = Value::integer(5);
  EXPECT_TRUE(world.eval(rule.when).is_true());
  EXPECT_EQ(world.eval(rule.value).str(), "11");
  EXPECT_EQ(world.eval(rule.points).d, 5.5);
  ASSERT_EQ(rule.reason.size(), 6u);
  EXPECT_EQ(rule.reason[0].literal, "{");
  EXPECT_EQ(world.eval(rule.reason[1].node).i, 5);
  EXPECT_EQ(rule.reason[2].literal, " ms, ");
  EXPECT_EQ(world.eval(rule.reason[3].node).i, 11);
  EXPECT_EQ(world.eval(rule.reason[5].node).str(), "}");
  EXPECT_EQ(rule.when_text, "more > 10");
  EXPECT_EQ(rule.mode, Mode::kShadow);
  // The default score: 10 points are one half.
  world.slots[static_cast<size_t>(type.points_slot)] = Value::real(10);
  EXPECT_EQ(world.eval(type.score).d, 0.5);
  world.slots[static_cast<size_t>(type.points_slot)] = Value::real(-5);
  EXPECT_EQ(world.eval(type.score).d, 0);
}

TEST(Compile, LabelsAndListsKnowWhatTheyAreAskedFor) {
  auto policy = good(std::string(kEvents) + R"(
lists:
  tor: {kind: network, values: [192.0.2.1]}
rules:
  - id: a
    on: signup
    when: "'network/192.0.2.0/24' in labels( ip.net24 ) && ip in list.tor && ip(ip) in list.tor == false"
    then: {label: [{on: ip.net24, name: x, for: 1h}, {on: form_ms, kind: account, name: y, for: forever}]}
  - id: b
    on: signup
    when: "'account/x' in labels('account', 'x') && labels(kind.domain, email.domain) != []"
)");
  const EventType& type = *policy->find_type("signup");
  World world(*policy, type);
  world.slots[0] = Value::string("192.0.2.1");
  for (const event::Derived& d : type.schema.derived) {
    world.slots[static_cast<size_t>(d.slot)] =
        Value::string(d.attribute == event::Attribute::kNet24 ? "192.0.2.0/24" : "a.example");
  }
  EXPECT_TRUE(world.eval(type.rules[0].when).is_true()) << event::debug_string(world.eval(type.rules[0].when));
  EXPECT_TRUE(world.eval(type.rules[1].when).is_true());
  EXPECT_EQ(type.rules[0].labels.at(0).entity_kind, "network");
  EXPECT_EQ(type.rules[0].labels.at(0).for_ms, 3'600'000);
  EXPECT_EQ(type.rules[0].labels.at(1).entity_kind, "account");
  EXPECT_EQ(type.rules[0].labels.at(1).for_ms, kForever);
}

TEST(Compile, WhatIsAbsentIsInNoList) {
  auto policy = good(std::string(kEvents) + R"yaml(
event: other
fields: {country: string, plan: {type: string, default: free}, urls: list(string)}
---
lists: {tor: {kind: network, values: [192.0.2.1]}, some: [a]}
rules:
  - {id: a, on: login, when: ip in list.tor}
  - {id: b, on: login, when: "!(ip in list.tor) && (success || !(  ip  in  list.tor  ))"}
  - {id: c, on: other, when: plan in list.some}
  - {id: d, on: other, when: "urls.exists(country, country in list.some)"}
)yaml");
  const EventType& login = *policy->find_type("login");
  World world(*policy, login);
  EXPECT_TRUE(world.eval(login.rules[0].when).is_false());
  EXPECT_TRUE(world.eval(login.rules[1].when).is_true());
  world.slots[1] = Value::string("192.0.2.1");
  EXPECT_TRUE(world.eval(login.rules[0].when).is_true());
  EXPECT_TRUE(world.eval(login.rules[1].when).is_false());
  EXPECT_EQ(login.rules[1].when_text, "!(ip in list.tor) && (success || !(  ip  in  list.tor  ))");
  // A field with a default is never absent, so nothing is asked.
  const EventType& other = *policy->find_type("other");
  EXPECT_EQ(other.plan.text(other.rules[0].when), "plan in list.some");
  World apart(*policy, other);
  const Value urls[] = {Value::string("192.0.2.9")};
  apart.slots[2] = Value::list(urls);
  EXPECT_TRUE(apart.eval(other.rules[1].when).is_false());
}

TEST(Compile, FingerprintsFollowMeaningNotLayout) {
  auto print = [](const std::string& feature) {
    return good(std::string(kEvents) + "features:\n  f: " + feature).get()->features.at(0).fingerprint;
  };
  uint64_t base = print("{count: login, by: [account, ip.net24], where: '!success', over: [1h, 1d]}");
  EXPECT_EQ(print("{over: [1d, 1h], count: [login], by: [account, ip.net24], where: '! ( success )', doc: d}"), base);
  EXPECT_EQ(print("{count: login, by: [account, ip.net24], where: '!success', over: [1h, 1d], include_self: true}"),
            base);
  EXPECT_NE(print("{count: login, by: [ip.net24, account], where: '!success', over: [1h, 1d]}"), base);
  EXPECT_NE(print("{count: login, by: [account, ip.net24], where: success, over: [1h, 1d]}"), base);
  EXPECT_NE(print("{count: login, by: [account, ip.net24], where: '!success', over: [1h, 2d]}"), base);
  EXPECT_NE(print("{count: [login, signup], by: [account, ip.net24], over: [1h, 1d]}"), base);
  EXPECT_NE(print("{first_seen: login, by: [account, ip.net24], where: '!success', over: [1h, 1d]}"), base);
}

TEST(Compile, OnlyStringsCanIgnoreLetterCase) {
  for (const std::string kind : {"int", "network", "regex", "domain"}) {
    Loaded loaded = load_files(
        {{"p.yaml", std::string(kEvents) + "lists: {a: {kind: " + kind + ", ignore_case: true, managed: true}}"}});
    EXPECT_EQ(loaded.policy, nullptr) << kind;
    ASSERT_FALSE(loaded.diagnostics.empty()) << kind;
    EXPECT_NE(to_string(loaded.diagnostics[0]).find("only a list of strings"), std::string::npos);
  }
  Loaded loaded = load_files({{"p.yaml", std::string(kEvents) + "lists: {a: {ignore_case: true, values: [PayPal]}}"}});
  ASSERT_NE(loaded.policy, nullptr);
  EXPECT_TRUE(loaded.policy->lists[0].ignore_case);
}

// What the engine would not take is told before it is asked to.
TEST(Compile, EntriesOfListFilesAreProven) {
  const std::vector<std::array<std::string, 3>> bad = {{"domain", "good.example\nnot a name\n", "is not a domain name"},
                                                       {"domain", std::string(300, 'a') + "\n", "at most 255 bytes"},
                                                       {"regex", "good\n(bad\n", "l.txt: "},
                                                       {"network", "192.0.2.1\nx\n", "is not an address or network"},
                                                       {"int", "7\nseven\n", "is not a whole number"},
                                                       {"string", std::string(5'000, 'a') + "\n", "longer than 4096"}};
  for (const auto& [kind, text, message] : bad) {
    const std::string yaml = std::string(kEvents) + "lists: {a: {kind: " + kind + ", file: l.txt}}";
    Loaded loaded = load_files({{"p.yaml", yaml}, {"l.txt", text}});
    EXPECT_EQ(loaded.policy, nullptr) << kind;
    ASSERT_FALSE(loaded.diagnostics.empty()) << kind;
    EXPECT_NE(to_string(loaded.diagnostics[0]).find(message), std::string::npos) << to_string(loaded.diagnostics[0]);
  }
  const std::string yaml = std::string(kEvents) + "lists: {a: {kind: domain, file: l.txt}}";
  EXPECT_NE(load_files({{"p.yaml", yaml}, {"l.txt", "\xef\xbb\xbf# mine\r\n*.good.example\r\n"}}).policy, nullptr);
}

TEST(Compile, VersionsFollowContent) {
  std::string text = std::string(kEvents) + "lists: {a: [x]}";
  auto version = [](std::vector<SourceFile> files) {
    Loaded loaded = load_files(files);
    return loaded.policy == nullptr ? all(loaded) : loaded.policy->version;
  };
  std::string one = version({{"a.yaml", text}, {"b.yaml", "rules: []"}});
  EXPECT_EQ(one.size(), 16u);
  EXPECT_EQ(version({{"b.yaml", "rules: []"}, {"a.yaml", text}}), one);
  EXPECT_NE(version({{"a.yaml", text}, {"c.yaml", "rules: []"}}), one);
  EXPECT_NE(version({{"a.yaml", text + " "}, {"b.yaml", "rules: []"}}), one);
}

TEST(Compile, TypesInheritFromEachOtherAndThePolicy) {
  auto policy = good(R"(
policy: base
type: {at: kind}
time: {at: meta.t, format: ms}
verdicts: [fine, odd, bad]
thresholds: {odd: 10, bad: 50}
override: fine
---
event: client
abstract: true
fields: {ip: ip, agent: string}
lateness: 5m
---
event: signup
extends: client
fields: {agent: user_agent, n: int}
overload: {fail: closed}
score: points / 100.0
---
event: other
fields: {n: {type: int, default: 3}}
verdicts: [pass, stop]
thresholds: {stop: 1}
override: pass
id: key
)");
  EXPECT_EQ(policy->name, "base");
  EXPECT_EQ(policy->type_path, (std::vector<std::string>{"kind"}));
  ASSERT_EQ(policy->types.size(), 2u);  // the abstract one is none
  const EventType& signup = *policy->find_type("signup");
  ASSERT_EQ(signup.schema.fields.size(), 3u);
  EXPECT_EQ(signup.schema.fields[1].semantic, event::Semantic::kUserAgent);
  EXPECT_EQ(signup.schema.lateness_ms, 300'000);
  EXPECT_EQ(signup.schema.time_path, (std::vector<std::string>{"meta", "t"}));
  EXPECT_EQ(signup.schema.time_format, event::TimeFormat::kMillis);
  EXPECT_EQ(signup.override_verdict, 0);
  EXPECT_EQ(signup.thresholds, (std::vector<std::pair<double, int32_t>>{{10, 1}, {50, 2}}));
  EXPECT_EQ(signup.overload, FailMode::kClosed);
  EXPECT_EQ(signup.overload_verdict, "bad");
  EXPECT_TRUE(signup.schema.fields[0].token);
  EXPECT_FALSE(signup.schema.fields[2].token);
  const EventType& other = *policy->find_type("other");
  EXPECT_EQ(other.ladder, (std::vector<std::string>{"pass", "stop"}));
  EXPECT_EQ(other.overload_verdict, "pass");
  EXPECT_EQ(other.schema.id_path, (std::vector<std::string>{"key"}));
  EXPECT_EQ(other.schema.fields[0].fallback->i, 3);
}

TEST(Compile, ModelsAreNumbersThatComeWithTheEvent) {
  auto policy = good(std::string(kEvents) + R"(
models:
  risk: {on: signup, default: 0.5}
  unused: {}
rules:
  - {id: a, on: signup, when: model.risk > 0.7 && event.type == "signup" && event.time > timestamp(0)}
)");
  const EventType& type = *policy->find_type("signup");
  ASSERT_EQ(type.schema.fields.size(), 6u);
  EXPECT_EQ(type.schema.fields[5].name, "model.risk");
  EXPECT_EQ(type.schema.fields[5].path, (std::vector<std::string>{"model", "risk"}));
  EXPECT_EQ(type.schema.fields[5].fallback->d, 0.5);
  ASSERT_GE(type.time_slot, 6);
  World world(*policy, type);
  world.slots[5] = Value::real(0.9);
  world.slots[static_cast<size_t>(type.time_slot)] = Value::timestamp(5, 0);
  EXPECT_TRUE(world.eval(type.rules.at(0).when).is_true());
}

TEST(Compile, CanariesGoByTheFirstEntity) {
  auto policy = good(std::string(kEvents) + R"(
rules:
  - {id: a, on: login, when: success, mode: canary 12.5%}
  - {id: b, on: login, when: success, canary: {share: 3, by: ip}}
  - {id: c, on: login, when: success, mode: {share: 4%, by: ip}}
  - {id: d, on: login, when: success, mode: canary, canary: 7%}
)");
  const EventType& login = *policy->find_type("login");
  World world(*policy, login);
  world.slots[0] = Value::string("acc");
  world.slots[1] = Value::string("192.0.2.1");
  const double shares[] = {12.5, 3, 4, 7};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(login.rules[i].mode, Mode::kCanary);
    EXPECT_EQ(login.rules[i].canary_percent, shares[i]);
    bool by_ip = i == 1 || i == 2;
    EXPECT_EQ(world.eval(login.rules[i].canary_by).str(), by_ip ? "192.0.2.1" : "acc");
  }
}

TEST(Compile, TestsGiveTypedValues) {
  auto policy = good(std::string(kEvents) + R"(
lists: {seen: {kind: string, managed: true}}
features:
  nets: {set: ip.net24, of: login, by: account, over: 1d}
  last: {last: event.time, of: login, by: account, over: 1d}
rules:
  - id: a
    on: [signup, login]
    when: size(nets) > 1 && last < event.time && account in list.seen
    value: size(nets)
    then: {verdict: challenge}
    tests:
      - given: {account: 17, nets: [a, b], last: 2026-01-01T00:00:00Z, event.time: 2026-01-01T00:00:01.5Z}
        labels: {ip: [x, y], account: z}
        lists: {seen: 17}
        expect: {verdict: challenge, value: 2}
      - {given: {success: true}, expect: error}
)");
  const Rule& on_signup = policy->find_type("signup")->rules.at(0);
  const Rule& on_login = policy->find_type("login")->rules.at(0);
  ASSERT_EQ(on_signup.tests.size(), 1u);
  ASSERT_EQ(on_login.tests.size(), 1u);  // only logins have `success`
  const RuleTest& test = on_signup.tests[0];
  EXPECT_EQ(test.given.at("account").str(), "17");
  EXPECT_EQ(test.given.at("nets").list_items().size(), 2u);
  EXPECT_TRUE(event::equal(test.given.at("event.time"), Value::timestamp(1'767'225'601, 500'000'000)));
  EXPECT_EQ(test.labels.at(0), (std::pair<std::string, std::vector<std::string>>{"ip", {"x", "y"}}));
  EXPECT_EQ(test.lists.at(0), (std::pair<uint32_t, std::vector<std::string>>{0, {"17"}}));
  EXPECT_EQ(test.expect, "challenge");
  EXPECT_TRUE(test.has_expect_value);
  EXPECT_EQ(test.expect_value.i, 2);
  EXPECT_EQ(on_login.tests[0].expect, "error");
}

TEST(Compile, TestEventsBecomeJson) {
  auto policy = good(std::string(kEvents) + R"(
features: {n: {count: signup, by: ip, over: 1h}}
rules:
  - {id: a, on: signup, when: n > 1, then: {verdict: challenge}, mode: live, reason: r}
tests:
  - name: t
    steps:
      - {type: signup, event: {account: 12, form_ms: 3, client: {fp: 7}, extra: [1, true, x, null]}, times: 2, after: 1m}
      - {type: login, event: '{"id": "x"}', expect: accept}
      - type: signup
        event: {id: 9, time: 5, account: "u{n}"}
        expect: {verdict: accept, rules: [], features: {n: 0}}
)");
  const PolicyTest& test = policy->tests.at(0);
  ASSERT_EQ(test.steps.size(), 4u);
  EXPECT_EQ(test.steps[0].event_json, R"({"type":"signup","id":"1","time":"2026-01-01T00:01:00.000Z",)"
                                      R"("account":"12","form_ms":3,"client":{"fp":"7"},"extra":[1,true,"x",null]})");
  EXPECT_NE(test.steps[1].event_json.find("00:02:00"), std::string::npos);
  EXPECT_EQ(test.steps[2].event_json, R"({"id": "x"})");
  EXPECT_EQ(test.steps[2].expect_verdict, "accept");
  EXPECT_EQ(test.steps[3].event_json, R"({"type":"signup","id":9,"time":5,"account":"u1"})");
  EXPECT_TRUE(test.steps[3].has_rules);
  EXPECT_EQ(test.steps[3].expect_features.at("n").i, 0);
}

TEST(Compile, WarningsDoNotRefuse) {
  Loaded loaded = load(std::string(kEvents) + R"(
features:
  kept: {count: signup, by: email, over: 30d}
lists: {unused: [a]}
rules:
  - {id: a, on: signup, when: 1 > 2 && form_ms > 3, mode: live, then: {verdict: reject, label: {on: ip, name: x}}}
)");
  ASSERT_NE(loaded.policy, nullptr) << all(loaded);
  std::string said = all(loaded);
  for (const char* part : {"nothing reads feature `kept`", "nothing uses list `unused`", "this condition is never true",
                           "label `x` never expires", "is live and gives no `reason`"}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << "\n" << said;
  }
  for (const Diagnostic& d : loaded.diagnostics) EXPECT_EQ(d.severity, Diagnostic::Severity::kWarning);
}

TEST(Compile, AFeatureInErrorIsToldOnce) {
  const std::pair<const char*, size_t> kBroken[] = {{"{cnt: signup, by: email, over: 1h}", 2},
                                                    {"{count: signup, by: emial, over: 1h}", 1},
                                                    {"{count: signup, by: email, over: banana}", 1},
                                                    {"{count: sinup, by: email, over: [1h, 2h]}", 1},
                                                    {"{sum: nothing, of: signup, by: email, over: 1h}", 1},
                                                    {"7", 1}};
  for (const auto& [declaration, errors] : kBroken) {
    Loaded loaded = load(std::string(kEvents) + "features:\n  bad: " + declaration + R"(
rules:
  - {id: a, on: signup, when: bad > 3, then: {verdict: reject}}
  - {id: b, on: signup, when: "bad > 3 && bad_1h > bad", then: {verdict: reject}}
)");
    EXPECT_EQ(loaded.policy, nullptr);
    size_t told = 0;
    for (const Diagnostic& d : loaded.diagnostics) told += d.severity == Diagnostic::Severity::kError;
    EXPECT_EQ(told, errors) << declaration << "\n" << all(loaded);
  }
}

TEST(Compile, ManyErrorsAreBounded) {
  std::string text = std::string(kEvents) + "rules:\n";
  for (int i = 0; i < 500; ++i) text += "  - {id: r" + std::to_string(i) + ", on: signup, when: form_mss > 1}\n";
  Loaded loaded = load(text);
  EXPECT_EQ(loaded.policy, nullptr);
  EXPECT_EQ(loaded.diagnostics.size(), 101u);
}

TEST(Compile, TestsDoNotGrowWithoutBound) {
  std::string text = std::string(kEvents) + "tests:\n";
  for (int i = 0; i < 30; ++i) {
    text += "  - {name: t" + std::to_string(i) + ", steps: [{type: signup, event: {}, times: 10000}]}\n";
  }
  Loaded loaded = load(text);
  EXPECT_EQ(loaded.policy, nullptr);
  EXPECT_NE(all(loaded).find("more than 100000 events"), std::string::npos) << all(loaded);
}

TEST(Compile, NothingIsNoPolicy) {
  EXPECT_EQ(load("").policy, nullptr);
  EXPECT_EQ(load("rules: []").policy, nullptr);
  EXPECT_EQ(load_folder("/nonexistent/folder").policy, nullptr);
  EXPECT_FALSE(load_folder("/nonexistent/folder").diagnostics.empty());
}

}  // namespace
}  // namespace tamis::policy
