// Who honestly shares much (machines of a library, a mail domain, a version of an app), and who does what nobody does
// honestly (one cookie on many machines).
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "detect/background.h"
#include "detect/detect_test_kit.h"
#include "detect/lexical.h"

namespace tamis::detect {
namespace {

SignupClusterOptions small() {
  SignupClusterOptions o;
  o.accounts_max = 20'000, o.keys_max = 200'000, o.single_slots_log2 = 16, o.values_max = 200'000;
  o.clusters_max = 512, o.shared_max = 50'000;
  return o;
}

// Scores of those whose account begins with the letter, among 300 honest people a day for a week.
std::vector<double> scores_among_people(std::vector<Person> these, char letter) {
  for (size_t i = 0; i < 2100; ++i) these.push_back(honest(i, kStart + int64_t(i) * 24 * kHourMs / 300));
  std::stable_sort(these.begin(), these.end(), [](const Person& a, const Person& b) { return a.t_ms < b.t_ms; });
  auto clusters = SignupClusters::make(small());
  std::vector<double> scores;
  for (const Person& p : these) {
    const double score = clusters->signup(p.signup()).score;
    if (p.account[0] == letter) scores.push_back(score);
  }
  return scores;
}

double share_above(const std::vector<double>& scores, double threshold) {
  return double(std::count_if(scores.begin(), scores.end(), [&](double s) { return s >= threshold; })) /
         double(scores.size());
}

Person someone(size_t i, const char* letter, double day) {
  Person p = honest(3'000'000 + i, kStart + static_cast<int64_t>(day * 24 * kHourMs));
  p.account = letter + std::to_string(i);
  return p;
}

TEST(SignupPlaces, machines_of_a_library_keep_their_cookies) {
  std::vector<Person> readers;
  for (size_t i = 0; i < 60; ++i) {
    Person& p = readers.emplace_back(someone(i, "l", 3 + double(i) / 20));
    p.ip = "192.0.2.9", p.asn = 64500, p.net = NetClass::kBusiness;
    const std::string machine = std::to_string(draw(i, 40) % 4);
    p.device = p.gpu = "library" + machine;
    p.cookie = "library-cookie" + machine;
  }
  EXPECT_LE(share_above(scores_among_people(readers, 'l'), 0.9), 0.1);
}

TEST(SignupPlaces, a_cookie_on_many_machines_is_no_browsers) {
  std::vector<Person> carriers;
  for (size_t i = 0; i < 120; ++i)
    carriers.emplace_back(someone(i, "c", 2 + double(i) / 30)).cookie = "jar" + std::to_string(i % 8);
  EXPECT_GE(share_above(scores_among_people(carriers, 'c'), 0.9), 0.7);
}

// What one mail domain is to many people says that they belong together, not that they are up to something; how many
// names are below it does not matter.
TEST(SignupPlaces, a_domain_for_recovery_is_one_whatever_is_below_it) {
  const Person person = honest(1, kStart);
  Signup s = person.signup();
  const auto domain = [&s](const std::string& address) {
    s.recovery = address;
    return signup_facts(s).value[kRecovery];
  };
  EXPECT_EQ(domain("a@one.campaign.example"), domain("b@Two.three.Campaign.EXAMPLE"));
  EXPECT_NE(domain("a@one.campaign.example"), domain("a@one.another.example"));
  EXPECT_NE(domain("a@one.co.uk"), domain("a@two.co.uk"));
  EXPECT_NE(domain("a@192.0.2.1"), domain(""));
  EXPECT_EQ(domain(""), kNoRecovery);
  EXPECT_EQ(domain("@"), 0u);  // says nothing
  EXPECT_NE(domain(std::string(300, 'a') + "@" + std::string(2000, 'b')), 0u);
}

TEST(SignupPlaces, customers_of_one_mail_provider_are_one_view) {
  std::vector<Person> customers;
  for (size_t i = 0; i < 150; ++i)
    customers.emplace_back(someone(i, "p", 3 + double(i) / 100)).recovery =
        "p" + std::to_string(i) + "@provider.example";
  EXPECT_LE(share_above(scores_among_people(customers, 'p'), 0.97), 0.1);
}

TEST(SignupPlaces, a_release_of_an_app_is_none) {
  std::vector<Person> users;
  for (size_t i = 0; i < 300; ++i)
    users.emplace_back(someone(i, "a", 3 + double(i) / 100)).agent = "OurMail/5.0 (Android 16)";
  EXPECT_LE(share_above(scores_among_people(users, 'a'), 0.9), 0.03);
}

TEST(SignupPlaces, a_usual_round_trip_speaks_for_nobody) {
  Background background(10'000);
  const Person person = honest(1, kStart);
  Signup s = person.signup();
  for (uint32_t i = 0; i < 400; ++i) {
    s.client.rtt_ms = 30 + i % 21;
    const SignupFacts facts = signup_facts(s);
    background.learn(facts, background_keys(facts), 1);
  }
  s.client.rtt_ms = 40;
  const SignupFacts usual = signup_facts(s);
  // Within about a third of the usual; a density over the logarithm, so above one.
  EXPECT_GT(background.density_of_rtt(usual, 0.0), 1.0);
  EXPECT_LT(background.density_of_rtt(usual, 1.5), 0.05);
}

TEST(NameStyle, is_what_a_way_of_making_names_leaves_behind) {
  const auto style = [](std::string_view local) { return name_shape(local).style; };
  EXPECT_EQ(style("4nn4b3ll"), style("4l3x4nd3r"));
  EXPECT_NE(style("4nn4b3ll"), style("annabell"));
  EXPECT_EQ(style("a.n.n.a"), style("p.e.t.r.a"));
  EXPECT_NE(style("a.n.n.a"), style("a.n.na"));
  EXPECT_EQ(style("AnnaBell7"), style("KimNovak3"));
  EXPECT_NE(style("AnnaBell7"), style("annabell7"));
  EXPECT_EQ(style("katomive"), style("relosaku"));  // consonants and vowels in turn
  EXPECT_NE(style("katomive"), style("schmidts"));
  EXPECT_EQ(style("anna"), style("kim"));
  EXPECT_NE(style("anna"), 0u);
  EXPECT_NE(style(""), 0u);
}

}  // namespace
}  // namespace tamis::detect
