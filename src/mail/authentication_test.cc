#include "mail/authentication.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "event/ip.h"

namespace tamis::mail {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

// RFC 8463 appendix A.
constexpr char kKey[] = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
constexpr char kMessage[] =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    "\r\n"
    "Hi.\r\n"
    "\r\n"
    "We lost the game.  Are you hungry yet?\r\n"
    "\r\n"
    "Joe.\r\n";

class Zone {
 public:
  Zone& txt(const std::string& name, const std::string& text) {
    auto& answer = table_[{DnsType::kTxt, name}];
    answer.status = DnsStatus::kOk;
    answer.texts.push_back(text);
    return *this;
  }
  Zone& a(const std::string& name, const std::string& text) {
    auto& answer = table_[{DnsType::kA, name}];
    answer.status = DnsStatus::kOk;
    event::IpData ip{};
    EXPECT_TRUE(event::parse_ip(text, ip));
    answer.addresses.push_back(ip);
    return *this;
  }
  Zone& status(DnsType type, const std::string& name, DnsStatus status) {
    table_[{type, name}] = {};
    table_[{type, name}].status = status;
    return *this;
  }
  std::shared_ptr<const DnsAnswer> ask(const DnsQuestion& question) const {
    const auto found = table_.find({question.type, question.name});
    DnsAnswer answer;
    answer.status = DnsStatus::kNoName;
    return std::make_shared<const DnsAnswer>(found == table_.end() ? answer : found->second);
  }

 private:
  std::map<std::pair<DnsType, std::string>, DnsAnswer> table_;
};

Zone good_zone() {
  Zone zone;
  zone.txt("brisbane._domainkey.football.example.com", kKey)
      .txt("football.example.com", "v=spf1 ip4:192.0.2.0/24 -all")
      .txt("_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; pct=40");
  return zone;
}

AuthEnvelope envelope_of(const char* client, const char* sender) {
  AuthEnvelope envelope;
  envelope.client_ip = client;
  envelope.helo = "mail.example.org";
  envelope.sender = sender;
  envelope.has_sender = true;
  return envelope;
}

const AuthEnvelope kGood = envelope_of("192.0.2.1", "bounce@football.example.com");

struct Ran {
  MailAuthResults results;
  size_t rounds = 0;
};

Ran run(const Zone& zone, const std::string& raw, const AuthEnvelope& envelope = kGood,
        const AuthSettings& settings = {}, uint32_t shuffle = 0) {
  auto analyser = std::make_unique<Analyser>();
  auto text = std::make_unique<std::string>(raw);
  Authentication check(settings, analyser->analyse(*text), envelope);
  // Nothing of the message is held.
  analyser.reset();
  std::fill(text->begin(), text->end(), '?');
  text.reset();
  Ran ran;
  std::mt19937 random(shuffle);
  std::vector<DnsQuestion> open;
  while (!check.finished()) {
    for (DnsQuestion& question : check.take_questions()) open.push_back(std::move(question));
    EXPECT_FALSE(open.empty());
    if (open.empty() || ++ran.rounds > 500) break;
    if (shuffle != 0) std::swap(open.back(), open[random() % open.size()]);
    const std::vector<DnsQuestion> now(shuffle != 0 ? open.end() - 1 : open.begin(), open.end());
    open.resize(open.size() - now.size());
    for (const DnsQuestion& question : now) check.answer(question, zone.ask(question));
  }
  ran.results = check.results();
  return ran;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Authentication, EverythingPasses) {
  const Ran ran = run(good_zone(), kMessage);
  const MailAuthResults& r = ran.results;
  EXPECT_EQ(ran.rounds, 1u);  // all questions were asked side by side
  EXPECT_EQ(r.spf.result, SpfResult::kPass);
  EXPECT_EQ(r.spf.domain, "football.example.com");
  EXPECT_TRUE(r.spf.aligned);
  ASSERT_EQ(r.dkim.size(), 1u);
  EXPECT_EQ(r.dkim[0].result, DkimResult::kPass) << r.dkim[0].reason;
  EXPECT_EQ(r.dkim[0].selector, "brisbane");
  EXPECT_TRUE(r.dkim[0].aligned);
  EXPECT_EQ(r.dmarc.result, DmarcResult::kPass);
  EXPECT_EQ(r.dmarc.policy, DmarcPolicy::kQuarantine);  // of the organisation's record, for what is below
  EXPECT_EQ(r.dmarc.applied, DmarcPolicy::kNone);
  EXPECT_EQ(r.dmarc.domain, "example.com");
  EXPECT_EQ(r.arc.result, ArcResult::kNone);
  EXPECT_EQ(r.questions, 4u);
  EXPECT_EQ(r.to_authentication_results("mx.example.net", " "),
            "mx.example.net; spf=pass smtp.mailfrom=bounce@football.example.com smtp.remote-ip=192.0.2.1; "
            "dkim=pass header.d=football.example.com header.i=@football.example.com header.s=brisbane "
            "header.a=ed25519-sha256 header.b=\"/gCrinpc\"; "
            "dmarc=pass (p=quarantine dis=none) header.from=football.example.com");
}

TEST(Authentication, NothingPasses) {
  AuthEnvelope envelope = envelope_of("198.51.100.1", "bounce@football.example.com");
  envelope.chance = 39;
  const std::string forged = replaced(kMessage, "We lost", "We won");
  MailAuthResults r = run(good_zone(), forged, envelope).results;
  EXPECT_EQ(r.spf.result, SpfResult::kFail);
  EXPECT_EQ(r.spf.reason, "'-all' of football.example.com");
  EXPECT_EQ(r.dkim[0].result, DkimResult::kFail);
  EXPECT_EQ(r.dmarc.result, DmarcResult::kFail);
  EXPECT_EQ(r.dmarc.applied, DmarcPolicy::kQuarantine);
  envelope.chance = 40;  // spared by pct=40
  r = run(good_zone(), forged, envelope).results;
  EXPECT_EQ(r.dmarc.result, DmarcResult::kFail);
  EXPECT_EQ(r.dmarc.applied, DmarcPolicy::kNone);
  EXPECT_EQ(eased_policy(DmarcPolicy::kReject, 0, 0), DmarcPolicy::kQuarantine);
}

TEST(Authentication, DmarcRecords) {
  const auto dmarc = [](Zone zone) {
    return run(zone.txt("brisbane._domainkey.football.example.com", kKey), kMessage).results.dmarc;
  };
  EXPECT_EQ(dmarc(Zone()).result, DmarcResult::kNone);
  EXPECT_EQ(dmarc(Zone().txt("_dmarc.football.example.com", "v=DMARC1; p=reject")).domain, "football.example.com");
  EXPECT_EQ(dmarc(Zone().txt("_dmarc.football.example.com", "v=DMARC1; p=reject")).policy, DmarcPolicy::kReject);
  const Zone twice =
      Zone().txt("_dmarc.example.com", "v=DMARC1; p=none").txt("_dmarc.example.com", "v=DMARC1; p=reject");
  EXPECT_EQ(dmarc(twice).result, DmarcResult::kNone);
  EXPECT_EQ(dmarc(twice).reason, "there is more than one record");
  EXPECT_EQ(dmarc(Zone().txt("_dmarc.example.com", "v=DMARC1; p=often")).result, DmarcResult::kPermError);
  EXPECT_EQ(dmarc(Zone().txt("_dmarc.example.com", "hello").txt("_dmarc.example.com", " v = DMARC1 ; p=none")).result,
            DmarcResult::kPass);
  EXPECT_EQ(dmarc(Zone().status(DnsType::kTxt, "_dmarc.football.example.com", DnsStatus::kFailed)).result,
            DmarcResult::kTempError);
  // The nearer record counts, whatever the farther one's fate is.
  EXPECT_EQ(dmarc(Zone()
                      .txt("_dmarc.football.example.com", "v=DMARC1; p=none")
                      .status(DnsType::kTxt, "_dmarc.example.com", DnsStatus::kTimeout))
                .result,
            DmarcResult::kPass);
}

// A message from a file: nobody knows who sent it, so nobody failed.
TEST(Authentication, UnknownEnvelope) {
  const std::string unsigned_mail = replaced(kMessage, "DKIM-Signature", "X-Signature");
  for (const AuthEnvelope& envelope : {AuthEnvelope{}, envelope_of("", "ann@football.example.com")}) {
    const MailAuthResults r = run(good_zone(), unsigned_mail, envelope).results;
    EXPECT_EQ(r.spf.result, SpfResult::kNone);
    EXPECT_EQ(r.dmarc.result, DmarcResult::kNone);
    EXPECT_EQ(r.dmarc.policy, DmarcPolicy::kQuarantine);
    EXPECT_EQ(run(good_zone(), kMessage, envelope).results.dmarc.result, DmarcResult::kPass);
  }
}

TEST(Authentication, AlignmentFollowsTheRecord) {
  Zone zone = good_zone();
  zone.txt("bounce.example.com", "v=spf1 +all");
  const std::string unsigned_mail = replaced(kMessage, "DKIM-Signature", "X-Signature");
  const AuthEnvelope other = envelope_of("192.0.2.1", "x@bounce.example.com");
  EXPECT_EQ(run(zone, unsigned_mail, other).results.dmarc.result, DmarcResult::kPass);
  zone.txt("_dmarc.football.example.com", "v=DMARC1; p=reject; aspf=s");
  EXPECT_EQ(run(zone, unsigned_mail, other).results.dmarc.result, DmarcResult::kFail);
  EXPECT_FALSE(run(zone, unsigned_mail, other).results.spf.aligned);
}

TEST(Authentication, TemporaryErrorsStayWhereTheyAre) {
  Zone zone = good_zone();
  zone.status(DnsType::kTxt, "brisbane._domainkey.football.example.com", DnsStatus::kTimeout);
  MailAuthResults r = run(zone, kMessage).results;
  EXPECT_EQ(r.dkim[0].result, DkimResult::kTempError);
  EXPECT_EQ(r.dmarc.result, DmarcResult::kPass);  // SPF is enough
  EXPECT_EQ(r.questions_failed, 1u);
  // Without SPF the signature might have saved it.
  r = run(zone, kMessage, envelope_of("198.51.100.1", "bounce@football.example.com")).results;
  EXPECT_EQ(r.dmarc.result, DmarcResult::kTempError);
  EXPECT_EQ(r.dmarc.applied, DmarcPolicy::kNone);
  zone = good_zone();
  zone.status(DnsType::kTxt, "football.example.com", DnsStatus::kFailed);
  r = run(zone, replaced(kMessage, "DKIM-Signature", "X-Signature")).results;
  EXPECT_EQ(r.spf.result, SpfResult::kTempError);
  EXPECT_EQ(r.dmarc.result, DmarcResult::kTempError);
}

TEST(Authentication, OutOfTime) {
  Analyser analyser;
  const AuthSettings settings;
  const Zone zone = good_zone();
  const Analysis& analysis = analyser.analyse(kMessage);
  Authentication check(settings, analysis, kGood);
  for (const DnsQuestion& question : check.take_questions()) {
    if (question.name != "football.example.com") check.answer(question, zone.ask(question));
  }
  EXPECT_FALSE(check.finished());
  check.give_up();
  ASSERT_TRUE(check.finished());
  EXPECT_TRUE(check.results().out_of_time);
  EXPECT_EQ(check.results().spf.result, SpfResult::kTempError);
  EXPECT_EQ(check.results().dkim[0].result, DkimResult::kPass);
  EXPECT_EQ(check.results().dmarc.result, DmarcResult::kPass);
  // What comes later changes nothing.
  check.answer({DnsType::kTxt, "football.example.com"}, zone.ask({DnsType::kTxt, "football.example.com"}));
  EXPECT_EQ(check.results().spf.result, SpfResult::kTempError);
}

TEST(Authentication, DnsOff) {
  Analyser analyser;
  const AuthSettings settings;
  const Analysis& analysis = analyser.analyse(kMessage);
  Authentication check(settings, analysis, kGood);
  auto off = std::make_shared<DnsAnswer>();
  off->status = DnsStatus::kOff;
  check.answer(check.take_questions().at(0), off);
  ASSERT_TRUE(check.finished());
  EXPECT_TRUE(check.results().dns_off);
  EXPECT_EQ(check.results().dkim[0].result, DkimResult::kNone);
  EXPECT_EQ(check.results().to_authentication_results("mx", " "), "mx; none");
}

TEST(Authentication, SeveralDomainsInFrom) {
  const std::string two = replaced(kMessage, "From: Joe", "From: Eve <eve@evil.example>\r\nFrom: Joe");
  EXPECT_EQ(run(good_zone(), two).results.dmarc.result, DmarcResult::kPermError);
  const std::string same =
      replaced(kMessage, "<joe@football.example.com>", "<joe@football.example.com>, ann@Football.example.com");
  EXPECT_EQ(run(good_zone(), same).results.dmarc.result, DmarcResult::kPass);  // by SPF
  const std::string none = replaced(kMessage, "From: Joe SixPack <joe@football.example.com>", "From: nobody");
  EXPECT_EQ(run(good_zone(), none).results.dmarc.result, DmarcResult::kNone);
}

TEST(Authentication, ManySignatures) {
  std::string raw;
  const std::string one = std::string(kMessage).substr(0, std::string(kMessage).find("From:"));
  for (int i = 0; i < 20; ++i) raw += replaced(one, "s=brisbane", "s=no" + std::to_string(i));
  raw += kMessage;
  const MailAuthResults r = run(good_zone(), raw).results;
  EXPECT_EQ(r.dkim.size(), 8u);
  EXPECT_EQ(r.dkim_left_out, 13u);
  EXPECT_EQ(r.dkim[7].reason, "there is no key");
  AuthSettings few;
  few.questions_max = 3;
  const MailAuthResults limited = run(good_zone(), raw, kGood, few).results;
  EXPECT_EQ(limited.questions, 3u);
  EXPECT_EQ(limited.spf.result, SpfResult::kTempError);
}

TEST(Authentication, DnsLists) {
  AuthSettings settings;
  for (const char* text : {"zen ip zen.example 127.0.0.2=sbl 127.0.0.4/30=xbl", "any ip any.example",
                           "multi domain multi.example &2=grey &8=phish", "dbl domain dbl.example"}) {
    auto list = parse_dns_list(text);
    ASSERT_TRUE(list) << list.error().message;
    settings.dns_lists.push_back(*list);
  }
  Zone zone = good_zone();
  zone.a("77.113.0.203.zen.example", "127.0.0.2")
      .a("77.113.0.203.zen.example", "127.0.0.6")
      .a("77.113.0.203.any.example", "127.255.255.254")  // an error of the list
      .a("evil.test.multi.example", "127.0.0.10")
      .a("evil.test.dbl.example", "203.0.113.9")  // the zone has another owner
      .a("example.com.dbl.example", "127.0.1.2")
      .status(DnsType::kA, "example.com.multi.example", DnsStatus::kTimeout);
  const std::string raw = replaced(kMessage, "Joe.\r\n", "See http://www.evil.test/x and http://192.0.2.7/\r\n");
  const MailAuthResults r = run(zone, raw, envelope_of("203.0.113.77", "x@mail.example.com"), settings).results;
  ASSERT_EQ(r.dns_list_hits.size(), 5u);
  const auto text = [&r](size_t i) {
    const auto& hit = r.dns_list_hits[i];
    return hit.list + " " + hit.item + " " + hit.where + " " + hit.meaning;
  };
  EXPECT_EQ(text(0), "zen 203.0.113.77 client sbl");
  EXPECT_EQ(text(1), "zen 203.0.113.77 client xbl");
  EXPECT_EQ(text(2), "multi evil.test link grey");
  EXPECT_EQ(text(3), "multi evil.test link phish");
  EXPECT_EQ(text(4), "dbl example.com sender listed");
  EXPECT_EQ(r.dns_lists_unknown, 1u);
  // Private addresses are nobody's business.
  EXPECT_EQ(dns_list_name(settings.dns_lists[0],
                          [] {
                            event::IpData ip{};
                            event::parse_ip("10.1.2.3", ip);
                            return ip;
                          }()),
            "");
  event::IpData v6{};
  event::parse_ip("2001:db8::1", v6);
  EXPECT_EQ(dns_list_name(settings.dns_lists[0], v6),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example");
}

TEST(DnsLists, FormsThatAreRefused) {
  for (const char* bad :
       {"", "zen", "zen ip", "zen ipv4 zen.example", "zen ip zen..example", "zen ip zen.example 127.0.0.2",
        "zen ip zen.example 10.0.0.1=x", "zen ip zen.example &0=x", "zen ip zen.example &256=x",
        "zen ip zen.example 127.0.0.2=", "zen ip zen.example 127.0.0.0/4=x", "a;b ip zen.example"}) {
    EXPECT_FALSE(parse_dns_list(bad)) << bad;
  }
}

// The order in which answers arrive decides nothing.
TEST(Authentication, AnyOrderOfAnswers) {
  Zone zone = good_zone();
  zone.txt("many.example.com", "v=spf1 a include:inc.example.com a:b.example.com exists:c.example.com -all")
      .txt("inc.example.com", "v=spf1 a:d.example.com ?all")
      .a("many.example.com", "203.0.113.1")
      .a("d.example.com", "203.0.113.2")
      .status(DnsType::kA, "b.example.com", DnsStatus::kTimeout)
      .a("c.example.com", "203.0.113.3");
  for (const char* client : {"203.0.113.1", "203.0.113.2", "203.0.113.9"}) {
    const AuthEnvelope envelope = envelope_of(client, "a@many.example.com");
    const std::string expected = run(zone, kMessage, envelope).results.to_authentication_results("mx");
    for (uint32_t seed = 1; seed < 50; ++seed) {
      EXPECT_EQ(run(zone, kMessage, envelope, {}, seed).results.to_authentication_results("mx"), expected);
    }
  }
}

TEST(AuthenticationResults, WhatSendersWriteStaysInItsPlace) {
  MailAuthResults r;
  r.spf.domain = "example.com";
  r.spf.result = SpfResult::kPass;
  r.spf.sender = "\"a; dmarc=pass\"@example.com";
  r.dkim.push_back({});
  r.dkim[0].result = DkimResult::kPass;
  r.dkim[0].domain = "example.com";
  r.dkim[0].identity = "x;dkim=pass\r\nX: y@example.com";
  r.dkim[0].selector = "a\r\nb";
  r.dkim[0].signature_start = "\";a\\";
  r.dmarc.from_domain =
      "b\xc3\xbc"
      "cher.example";
  EXPECT_EQ(r.to_authentication_results("mx.example.net"),
            "mx.example.net;\r\n\tspf=pass smtp.mailfrom=example.com;\r\n\tdkim=pass header.d=example.com "
            "header.i=example.com header.b=\"\\\";a\\\\\";\r\n\tdmarc=none");
}

TEST(AuthenticationResults, QuotedStringsAreOneWord) {
  base::Arena arena;
  std::vector<AuthResult> found;
  parse_authentication_results(
      R"(mx; spf=fail reason="x\"; dkim=pass header.d=a" (c \) ; dmarc=pass) smtp.mailfrom=b.example; dmarc=fail)", 64,
      arena, found);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].method, "spf");
  EXPECT_EQ(found[0].domain, "b.example");
  EXPECT_EQ(found[1].result, "fail");
}

TEST(AuthenticationResults, ForgedOnes) {
  const std::string raw =
      "Authentication-Results: other.example; spf=pass\r\n"
      "Authentication-Results: MX.example.net; spf=pass\r\n"
      "Authentication-results: (a (comment) )\r\n \"mx.example.net\" 1; spf=pass\r\n"
      "Subject: x\r\n"
      "AUTHENTICATION-RESULTS:mx.example.net;none\r\n"
      "Authentication-Results: (open; spf=pass\r\n"
      "Authentication-Results: mx.example.net.evil.example; spf=pass\r\n"
      "\r\n";
  base::Arena arena;
  MessageReader reader;
  Message message;
  reader.read(raw, arena, message);
  EXPECT_EQ(forged_authentication_results(message, "mx.example.NET"), (std::vector<uint32_t>{2, 3, 4, 5}));
}

}  // namespace
}  // namespace tamis::mail
