#include "mail/spf.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "event/ip.h"
#include "mail/ascii.h"
#include "mail/spf_record.h"

namespace tamis::mail {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

event::IpData ip(std::string_view text) {
  event::IpData out{};
  EXPECT_TRUE(event::parse_ip(text, out)) << text;
  return out;
}

// A zone of the suite: names with records, where TIMEOUT stands for every type that has none.
class Zone {
 public:
  void add(const std::string& name, const YAML::Node& records) {
    Name& entry = names_[lower(name)];
    std::vector<std::string> spf;
    bool txt_told = false;
    for (const YAML::Node& record : records) {
      if (record.IsScalar()) {
        entry.timeout = true;
        continue;
      }
      const auto type = record.begin()->first.as<std::string>();
      const YAML::Node value = record.begin()->second;
      if (type == "SPF") {
        spf.push_back(joined(value));
      } else if (type == "TXT") {
        txt_told = true;
        if (!(value.IsScalar() && value.as<std::string>() == "NONE")) {
          entry.answers[DnsType::kTxt].texts.push_back(joined(value));
        }
      } else if (type == "MX") {
        entry.answers[DnsType::kMx].exchanges.push_back({value[0].as<uint16_t>(), value[1].as<std::string>()});
      } else if (type == "CNAME") {
        entry.alias = lower(value.as<std::string>());
        if (entry.alias.ends_with('.')) entry.alias.pop_back();
      } else if (type == "PTR") {
        entry.answers[DnsType::kPtr].names.push_back(value.as<std::string>());
      } else {
        ASSERT_TRUE(type == "A" || type == "AAAA") << type;
        entry.answers[type == "A" ? DnsType::kA : DnsType::kAaaa].addresses.push_back(ip(value.as<std::string>()));
      }
    }
    // Records of type 99 stand for TXT records where the suite tells none.
    if (!txt_told && !spf.empty()) entry.answers[DnsType::kTxt].texts = spf;
  }

  DnsAnswer ask(const DnsQuestion& question) const {
    DnsAnswer answer;
    auto name = names_.find(lower(question.name));
    for (int links = 0; name != names_.end() && !name->second.alias.empty(); ++links) {
      if (links == 8) return answer;  // a loop: failed
      name = names_.find(name->second.alias);
    }
    if (name == names_.end()) {
      answer.status = DnsStatus::kNoName;
      return answer;
    }
    const auto found = name->second.answers.find(question.type);
    if (found != name->second.answers.end()) {
      answer = found->second;
      answer.status = DnsStatus::kOk;
    } else {
      answer.status = name->second.timeout ? DnsStatus::kTimeout : DnsStatus::kNoData;
    }
    return answer;
  }

 private:
  struct Name {
    std::map<DnsType, DnsAnswer> answers;
    std::string alias;
    bool timeout = false;
  };
  static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), to_lower);
    return text;
  }
  static std::string joined(const YAML::Node& value) {
    if (value.IsScalar()) return value.as<std::string>();
    std::string out;
    for (const YAML::Node& piece : value) out += piece.as<std::string>();
    return out;
  }
  std::map<std::string, Name> names_;
};

struct Outcome {
  SpfVerdict verdict;
  size_t rounds = 0, questions = 0;
};

Outcome check(const Zone& zone, const SpfQuery& query) {
  Outcome out;
  DnsAnswers answers;
  for (;;) {
    std::vector<DnsQuestion> missing;
    out.verdict = evaluate_spf(query, answers, missing);
    out.questions = answers.size();
    if (missing.empty()) return out;
    EXPECT_LE(++out.rounds, 64u);
    if (out.rounds > 64) return out;
    for (const DnsQuestion& question : missing) {
      EXPECT_EQ(answers.find(question), nullptr) << question.name;
      answers.set(question, zone.ask(question));
    }
  }
}

// The suite writes the digits of addresses in upper case.
bool same(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

// The suite of the people who wrote SPF: test/data/spf, under its own licence.
TEST(Spf, SuiteOfRfc7208) {
  size_t tests = 0;
  for (const YAML::Node& scenario :
       YAML::LoadAllFromFile(std::string(TAMIS_SOURCE_DIR) + "/test/data/spf/rfc7208-tests.yml")) {
    Zone zone;
    for (const auto& name : scenario["zonedata"]) zone.add(name.first.as<std::string>(), name.second);
    for (const auto& test : scenario["tests"]) {
      const auto name = test.first.as<std::string>();
      SCOPED_TRACE(scenario["description"].as<std::string>() + ": " + name);
      SpfQuery query;
      query.client = ip(test.second["host"].as<std::string>());
      query.helo = test.second["helo"].as<std::string>();
      query.sender = test.second["mailfrom"].as<std::string>();
      query.receiver_name = "receiver.example";
      const Outcome outcome = check(zone, query);
      ++tests;
      std::vector<std::string> allowed;
      const YAML::Node& result = test.second["result"];
      if (result.IsScalar()) {
        allowed.push_back(result.as<std::string>());
      } else {
        for (const YAML::Node& one : result) allowed.push_back(one.as<std::string>());
      }
      EXPECT_NE(std::find(allowed.begin(), allowed.end(), name_of(outcome.verdict.result)), allowed.end())
          << name_of(outcome.verdict.result) << " (" << outcome.verdict.reason << "), expected " << allowed.front();
      const YAML::Node& explanation = test.second["explanation"];
      if (explanation && outcome.verdict.result == SpfResult::kFail) {
        const auto expected = explanation.as<std::string>();
        // DEFAULT is what a receiver says of its own.
        EXPECT_TRUE(same(outcome.verdict.explanation, expected == "DEFAULT" ? "" : expected))
            << outcome.verdict.explanation << ", expected " << expected;
      }
    }
  }
  EXPECT_GE(tests, 200u);
}

Zone zone_of(const char* yaml) {
  Zone zone;
  for (const auto& name : YAML::Load(yaml)) zone.add(name.first.as<std::string>(), name.second);
  return zone;
}

SpfQuery query_of(const char* client, const char* sender) {
  SpfQuery query;
  query.client = ip(client);
  query.helo = "mail.example.net";
  query.sender = sender;
  return query;
}

TEST(Spf, TermsAreAskedSideBySide) {
  const Zone zone = zone_of(R"(
    example.com: [{TXT: "v=spf1 a mx a:other.example.com include:sub.example.com exists:x.example.com -all"}, {A: 192.0.2.1}, {MX: [10, mx.example.com]}]
    other.example.com: [{A: 192.0.2.2}]
    mx.example.com: [{A: 192.0.2.3}]
    sub.example.com: [{TXT: "v=spf1 a:deep.example.com -all"}]
    deep.example.com: [{A: 192.0.2.4}]
  )");
  const Outcome far = check(zone, query_of("192.0.2.4", "a@example.com"));
  EXPECT_EQ(far.verdict.result, SpfResult::kPass);
  EXPECT_EQ(far.verdict.reason, "'include:sub.example.com' of example.com");
  EXPECT_EQ(far.rounds, 3u);  // the record; its terms; what MX and include led to
  EXPECT_EQ(far.questions, 8u);
  const Outcome near = check(zone, query_of("192.0.2.1", "a@example.com"));
  EXPECT_EQ(near.verdict.result, SpfResult::kPass);
  EXPECT_EQ(near.rounds, 2u);
}

// Speculation must not change what counts: a term behind a match is never an error.
TEST(Spf, WhatStandsBehindAMatchDoesNotCount) {
  const Zone zone = zone_of(R"(
    example.com: [{TXT: "v=spf1 a include:gone.example.com -all"}, {A: 192.0.2.1}]
    late.example.com: [{TXT: "v=spf1 a a:v1.example a:v2.example a:v3.example -all"}, {A: 192.0.2.1}]
    slow.example.com: [TIMEOUT]
    many.example.com: [{TXT: "v=spf1 a a:slow.example.com a a a a a a a a a a a -all"}, {A: 192.0.2.1}]
  )");
  EXPECT_EQ(check(zone, query_of("192.0.2.1", "a@example.com")).verdict.result, SpfResult::kPass);
  EXPECT_EQ(check(zone, query_of("192.0.2.9", "a@example.com")).verdict.result, SpfResult::kPermError);
  EXPECT_EQ(check(zone, query_of("192.0.2.1", "a@late.example.com")).verdict.result, SpfResult::kPass);
  const SpfVerdict late = check(zone, query_of("192.0.2.9", "a@late.example.com")).verdict;
  EXPECT_EQ(late.result, SpfResult::kPermError);
  EXPECT_EQ(late.reason, "more than 2 DNS lookups without a record");
  EXPECT_EQ(check(zone, query_of("192.0.2.1", "a@many.example.com")).verdict.result, SpfResult::kPass);
  EXPECT_EQ(check(zone, query_of("192.0.2.9", "a@many.example.com")).verdict.result, SpfResult::kTempError);
  EXPECT_EQ(check(zone, query_of("192.0.2.9", "a@slow.example.com")).verdict.result, SpfResult::kTempError);
}

// Each include asks for two more names: questions stay bounded, and so does the work.
TEST(Spf, EndlessRecordsEnd) {
  struct Endless {
    static DnsAnswer ask(const DnsQuestion& question) {
      DnsAnswer answer;
      answer.status = DnsStatus::kOk;
      if (question.type == DnsType::kTxt) {
        answer.texts.push_back("v=spf1 include:a." + question.name + " include:b." + question.name + " mx ptr -all");
      } else if (question.type == DnsType::kMx) {
        for (uint16_t i = 0; i < 10; ++i) answer.exchanges.push_back({i, std::to_string(i) + "." + question.name});
      } else if (question.type == DnsType::kPtr) {
        for (int i = 0; i < 1000; ++i) answer.names.push_back(std::to_string(i) + ".example.org");
      }
      return answer;
    }
  };
  DnsAnswers answers;
  for (int rounds = 0;; ++rounds) {
    ASSERT_LT(rounds, 200);
    std::vector<DnsQuestion> missing;
    const SpfVerdict verdict = evaluate_spf(query_of("192.0.2.1", "a@example.com"), answers, missing);
    if (missing.empty()) {
      EXPECT_EQ(verdict.result, SpfResult::kPermError);
      EXPECT_EQ(verdict.reason, "more than 10 DNS lookups");
      break;
    }
    for (const DnsQuestion& question : missing) answers.set(question, Endless::ask(question));
    ASSERT_LE(answers.size(), kSpfQuestionsMax);
  }
}

TEST(Spf, SendersWithoutDomain) {
  const Zone zone = zone_of("{mail.example.net: [{TXT: 'v=spf1 a -all'}, {A: 192.0.2.1}]}");
  SpfQuery query = query_of("192.0.2.1", "");
  SpfVerdict verdict = check(zone, query).verdict;
  EXPECT_EQ(verdict.result, SpfResult::kPass);
  EXPECT_TRUE(verdict.of_helo);
  EXPECT_EQ(verdict.domain, "mail.example.net");
  for (const char* helo : {"", "[192.0.2.1]", "localhost", "a..b", "a b.example", "\xc3\xa4.example"}) {
    query.helo = helo;
    EXPECT_EQ(check(zone, query).verdict.result, SpfResult::kNone) << helo;
    EXPECT_EQ(check(zone, query).verdict.domain, "") << helo;
  }
  EXPECT_EQ(check(zone, query_of("192.0.2.1", "mail.example.net")).verdict.result, SpfResult::kPass);
  EXPECT_EQ(check(zone, query_of("192.0.2.1", "a@MAIL.example.NET.")).verdict.result, SpfResult::kPass);
}

TEST(SpfRecord, Forms) {
  EXPECT_TRUE(is_spf_record("V=SPF1 -all"));
  EXPECT_TRUE(is_spf_record("v=spf1"));
  EXPECT_FALSE(is_spf_record("v=spf10"));
  EXPECT_FALSE(is_spf_record(" v=spf1"));
  const SpfRecord r = parse_spf_record("v=spf1 ?a:b.example/24//64 ~ip6:2001:db8::/32 x-y=%{l}% redirect=c.example");
  EXPECT_EQ(r.error, "'x-y=%{l}%' is malformed");
  const SpfRecord good = parse_spf_record("v=spf1  ?a:b.example/24//64 ~ip6:2001:db8::/32 x-y=%{l} redirect=c.example");
  ASSERT_EQ(good.error, "");
  ASSERT_EQ(good.terms.size(), 2u);
  EXPECT_EQ(good.terms[0].domain, "b.example");
  EXPECT_EQ(good.terms[0].prefix4, 24);
  EXPECT_EQ(good.terms[0].prefix6, 64);
  EXPECT_EQ(good.terms[1].qualifier, '~');
  EXPECT_EQ(good.redirect, "c.example");
  for (const char* bad :
       {"all:x", "a:", "a/33", "a/024", "mx//129", "ip4:1.2.3", "ip4:1.2.3.4/33", "ip6:1.2.3.4", "ptr/8", "include",
        "include:x", "exists:a.123", "foo", "=x", "redirect=", "a:%{z}.example", "a\t-all"}) {
    EXPECT_NE(parse_spf_record(std::string("v=spf1 ") + bad).error, "") << bad;
  }
  EXPECT_NE(parse_spf_record("v=spf1 " + std::string(9000, 'a')).error, "");
}

// The examples of RFC 7208 section 7.4.
TEST(SpfRecord, Macros) {
  SpfMacroValues values;
  values.sender = "strong-bad@email.example.com";
  values.local = "strong-bad";
  values.sender_domain = values.domain = "email.example.com";
  values.helo = "mx.example.org";
  values.client = ip("192.0.2.3");
  const auto expand = [&](const char* text, bool explanation = false) {
    std::string out;
    return expand_spf_macros(text, values, explanation, out) ? out : std::string("malformed");
  };
  EXPECT_EQ(expand("%{s}"), "strong-bad@email.example.com");
  EXPECT_EQ(expand("%{d4}"), "email.example.com");
  EXPECT_EQ(expand("%{d2}"), "example.com");
  EXPECT_EQ(expand("%{dr}"), "com.example.email");
  EXPECT_EQ(expand("%{d2r}"), "example.email");
  EXPECT_EQ(expand("%{l-}"), "strong.bad");
  EXPECT_EQ(expand("%{lr-}"), "bad.strong");
  EXPECT_EQ(expand("%{l1r-}"), "strong");
  EXPECT_EQ(expand("%{ir}.%{v}._spf.%{d2}"), "3.2.0.192.in-addr._spf.example.com");
  EXPECT_EQ(expand("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}"), "bad.strong.lp.3.2.0.192.in-addr._spf.example.com");
  EXPECT_EQ(expand("%{S}%_%%%-"), "strong-bad%40email.example.com %%20");
  EXPECT_EQ(expand("%{c}"), "malformed");
  EXPECT_EQ(expand("%{c}", true), "192.0.2.3");
  EXPECT_EQ(expand("%{d0}"), "malformed");
  EXPECT_EQ(expand("%{d"), "malformed");
  EXPECT_EQ(expand("%"), "malformed");
  values.client = ip("2001:db8::cb01");
  EXPECT_EQ(expand("%{ir}.%{v}._spf.%{d2}"),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
  EXPECT_EQ(spf_target_name(std::string(200, 'a') + "." + std::string(60, 'b') + ".example"),
            std::string(60, 'b') + ".example");
  EXPECT_EQ(spf_target_name("example.com."), "example.com");
}

}  // namespace
}  // namespace tamis::mail
