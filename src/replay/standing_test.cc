#include "replay/standing.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tamis::replay {
namespace {

constexpr int64_t kNow = 1'763'700'000'000;  // 21 November 2025, 04:40 UTC
constexpr int64_t kDay = 86'400'000;

Mark label(std::string name, int64_t since_ms, int64_t expires_ms, std::string by = "rule:secret-rule") {
  Mark mark;
  mark.on = "account";
  mark.value = "anna";
  mark.name = std::move(name);
  mark.by = std::move(by);
  mark.reason = "secret-reason";
  mark.since_ms = since_ms;
  mark.expires_ms = expires_ms;
  return mark;
}

Standing standing_of_anna() {
  Standing standing;
  standing.on = "account";
  standing.value = "anna";
  standing.now_ms = kNow;
  standing.window_ms = 30 * kDay;
  return standing;
}

std::string all(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += word + "\n";
  return out;
}

std::string json_for(const Standing& standing, Reader reader) {
  std::string out;
  write_json(standing, reader, out);
  return out;
}

TEST(Standing, NothingInForceIsSaid) {
  EXPECT_EQ(all(customer_words(standing_of_anna())), "At present nothing is in force on this account.\n");
}

TEST(Standing, WhatIsInForceIsSaidWithoutItsName) {
  Standing standing = standing_of_anna();
  standing.labels.push_back(label("secret-label", kNow - 2 * kDay, kNow + kDay));
  standing.around.push_back(label("secret-label", kNow - 3 * kDay, kNow));
  EXPECT_EQ(all(customer_words(standing)),
            "Since 18 November 2025 our systems have taken a note about this account into account.\n"
            "It ends by itself on 22 November 2025, 04:40 UTC.\n");
  standing.labels[0].expires_ms = state::kNeverExpires;
  standing.labels[0].say = "Please choose a new password.";
  EXPECT_EQ(all(customer_words(standing)),
            "Since 18 November 2025 our systems have taken a note about this account into account.\n"
            "It stays until a member of our team takes it back.\n"
            "Please choose a new password.\n");
}

TEST(Standing, NobodyIsToldForHowLongARuleSlowsHimDown) {
  Standing standing = standing_of_anna();
  standing.labels = {label("held", kNow - 1000, kNow + 3'600'000, "rule:login-intruder")};
  standing.labels[0].say = "Use account recovery.";
  const std::string words = all(customer_words(standing));
  EXPECT_EQ(words.find("ends by itself"), std::string::npos) << words;
  EXPECT_NE(words.find("Use account recovery.\n"), std::string::npos) << words;
  standing.labels.push_back(label("watched", kNow - 1000, kNow + 3'600'000, "eve"));
  EXPECT_NE(all(customer_words(standing)).find("ends by itself"), std::string::npos) << "what people set";
}

TEST(Standing, OfAnEventIsSaidWhatWasDone) {
  Standing standing;
  standing.on = "event:mail", standing.value = "m1", standing.now_ms = kNow, standing.intervened = 1;
  EXPECT_EQ(all(customer_words(standing)), "We have no record of this message; it may be too long ago.\n");
  standing.events = 1;
  EXPECT_EQ(all(customer_words(standing)), "Our automatic checks let this message through.\n");
  PastDecision decision;
  decision.type = "mail", decision.verdict = "tag", decision.time_ms = kNow;
  standing.decisions = {decision};
  const std::string words = all(customer_words(standing));
  EXPECT_NE(words.find("looked at this message and marked it as probably unwanted; it was delivered."),
            std::string::npos)
      << words;
  EXPECT_NE(words.find("the checks learn from it"), std::string::npos);
  standing.decisions[0].revised = "accept";
  EXPECT_NE(all(customer_words(standing)).find("now they would have let it through"), std::string::npos);
}

TEST(Standing, WhatHurtMostIsSaidFirst) {
  Standing standing = standing_of_anna();
  standing.labels = {label("odd", kNow, kNow + 1), label("held", kNow, kNow + 1)};
  standing.labels[0].say = "Nothing to do.", standing.labels[1].say = "It waits.";
  PastDecision mild, hard;
  mild.type = hard.type = "login", mild.time_ms = hard.time_ms = kNow;
  mild.verdict = "notify", mild.say = {"Nothing to do."};
  hard.verdict = "lock", hard.say = {"Nothing to do.", "We closed all sessions."};
  standing.decisions = {mild, hard};
  const std::string words = all(customer_words(standing));
  EXPECT_NE(words.find("We closed all sessions.\nIt waits.\n"), std::string::npos) << words;
  EXPECT_EQ(words.find("Nothing to do."), std::string::npos) << words;
}

TEST(Standing, NothingIsSaidOfWhatIsOver) {
  Standing standing = standing_of_anna();
  PastDecision before, since;
  before.type = since.type = "send", before.verdict = since.verdict = "hold";
  before.time_ms = kNow - 1000, before.say = {"Messages wait."}, before.is_over = true;
  standing.decisions = {before}, standing.intervened = 1, standing.settled_ms = kNow;
  const std::string words = all(customer_words(standing));
  EXPECT_EQ(words.find("wait"), std::string::npos) << words;
  EXPECT_NE(words.find("What was held against it was taken back on "), std::string::npos) << words;
  const std::string support = json_for(standing, Reader::kSupport);
  EXPECT_EQ(support.find("Messages wait."), std::string::npos) << support;
  EXPECT_NE(support.find("\"over\":true"), std::string::npos) << support;
  standing.truth = "good";
  EXPECT_EQ(all(customer_words(standing)).find("taken back"), std::string::npos) << "it was in order all along";
  // Nor of a mark that a rule set before that, which policies heed no more.
  standing.labels = {label("held", kNow - 1000, kNow + 1000)};
  standing.labels[0].say = "The account waits.", standing.labels[0].is_over = true;
  EXPECT_NE(all(customer_words(standing)).find("nothing is in force"), std::string::npos);
  EXPECT_EQ(json_for(standing, Reader::kSupport).find("The account waits."), std::string::npos);
  // What came later is told.
  since.time_ms = kNow + 1000, since.say = {"One message waits."};
  standing.decisions = {since, before};
  EXPECT_NE(all(customer_words(standing)).find("One message waits.\n"), std::string::npos);
  // Of the event itself, too.
  Standing event = standing;
  event.on = "event:send", event.value = "s1", event.events = 1, event.decisions = {before};
  EXPECT_NE(all(customer_words(event)).find("held it back.\nThe account was looked at since"), std::string::npos)
      << all(customer_words(event));
  EXPECT_EQ(all(customer_words(event)).find("Messages wait."), std::string::npos);
}

// Whatever there is, a customer hears none of it.
TEST(Standing, ACustomerNeverHearsASecret) {
  rc::check([] {
    Standing standing = standing_of_anna();
    auto mark = [] {
      Mark m = label("secret-label", *rc::gen::inRange<int64_t>(0, kNow), *rc::gen::inRange<int64_t>(kNow, 2 * kNow));
      if (*rc::gen::arbitrary<bool>()) {
        m.name.clear();
        m.list = "secret-list";
        m.value = "secret-entry";
        m.of_policy = *rc::gen::arbitrary<bool>();
      }
      return m;
    };
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) standing.labels.push_back(mark());
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) standing.entries.push_back(mark());
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) standing.around.push_back(mark());
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
      PastDecision decision;
      decision.type = decision.id = decision.verdict = decision.policy = "secret-decision";
      decision.rules = decision.reasons = {"secret-text"};
      decision.time_ms = kNow;
      decision.points = 424242;
      standing.decisions.push_back(decision);
      ++standing.intervened;
    }
    PastAct act{"label_set", "", "secret-label", "secret-person", "secret-reason", "", kNow};
    standing.acts.push_back(act);
    standing.truth = *rc::gen::element<std::string>("", "good", "bad", "secret-class");
    for (const std::string& text : {all(customer_words(standing)), json_for(standing, Reader::kCustomer)}) {
      RC_ASSERT(text.find("secret") == std::string::npos);
      RC_ASSERT(text.find("424242") == std::string::npos);
    }
    RC_ASSERT(customer_words(standing).size() <= 5);
  });
}

TEST(Standing, SupportSeesNeitherPointsNorWhatRulesSayToAnalysts) {
  Standing standing = standing_of_anna();
  standing.labels.push_back(label("watched", kNow, kNow + 1));
  standing.labels.push_back(label("vip", kNow, kNow + 1, "eve"));
  standing.labels[1].reason = "board member";
  PastDecision decision;
  decision.reasons = {"7 signups from 192.0.2.0/24"};
  decision.rules = {"many-signups"};
  decision.points = 80;
  standing.decisions.push_back(decision);
  std::string analyst = json_for(standing, Reader::kAnalyst), support = json_for(standing, Reader::kSupport);
  for (const char* hidden : {"7 signups", "\"points\"", "secret-reason", "many-signups"}) {
    EXPECT_NE(analyst.find(hidden), std::string::npos) << hidden;
    EXPECT_EQ(support.find(hidden), std::string::npos) << hidden;
  }
  EXPECT_NE(support.find("board member"), std::string::npos);
}

TEST(Standing, ValuesAreFoundInAnySpelling) {
  EXPECT_EQ(canonical_value("ip", "2001:DB8:0::1").value(), "2001:db8::1");
  EXPECT_EQ(canonical_value("network", "192.0.2.77/24").value(), "192.0.2.0/24");
  EXPECT_EQ(canonical_value("domain", "Example.COM.").value(), "example.com");
  EXPECT_EQ(canonical_value("account", "Anna").value(), "Anna");
  EXPECT_FALSE(canonical_value("ip", "banana"));
  EXPECT_FALSE(canonical_value("network", "192.0.2.1"));
  EXPECT_FALSE(canonical_value("account", ""));
}

}  // namespace
}  // namespace tamis::replay
