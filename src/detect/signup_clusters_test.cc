#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "detect/account_json.h"
#include "detect/background.h"
#include "detect/detect_test_kit.h"
#include "detect/lexical.h"

namespace tamis::detect {
namespace {

std::vector<Person> people(size_t days, size_t per_day) {
  std::vector<Person> all;
  for (size_t i = 0; i < days * per_day; ++i)
    all.push_back(honest(i, kStart + int64_t(i) * 24 * kHourMs / int64_t(per_day)));
  return all;
}

SignupClusterOptions small() {
  SignupClusterOptions o;
  o.accounts_max = 20'000, o.keys_max = 200'000, o.single_slots_log2 = 16, o.values_max = 200'000;
  o.clusters_max = 512, o.shared_max = 50'000;
  return o;
}

double share_above(const std::vector<double>& scores, double threshold) {
  if (scores.empty()) return 0;
  return double(std::count_if(scores.begin(), scores.end(), [&](double s) { return s >= threshold; })) /
         double(scores.size());
}

TEST(NameShape, tells_generators_apart) {
  EXPECT_EQ(name_shape("anna.bell92").shape, name_shape("kim.novak07").shape);
  EXPECT_NE(name_shape("anna.bell92").shape, name_shape("anna.bell921").shape);
  EXPECT_NE(name_shape("anna.bell92").shape, name_shape("anna_bell92").shape);
  EXPECT_EQ(name_shape("2922f54c2a").shape, name_shape("b2a2f67ab1").shape);
  EXPECT_TRUE(name_shape("2922f54c2a").is_hex);
  EXPECT_EQ(name_shape("cleverly2455").stem, name_shape("cleverly9369").stem);
  EXPECT_NE(name_shape("cleverly2455").stem, 0u);
  EXPECT_EQ(name_shape("anna").stem, 0u);
  EXPECT_EQ(name_shape("Anna7").digits, 1);
  // Letters drawn at random are not those of a name, whatever its language.
  EXPECT_EQ(name_shape("qsvccitsfka").shape, name_shape("mfltbriqpwe").shape);
  EXPECT_NE(name_shape("qsvccitsfka").shape, name_shape("annabellson").shape);
  EXPECT_NE(name_shape("qsvccitsfka").shape, name_shape("qsvccitsfkam").shape);  // as long as the generator makes them
  EXPECT_EQ(name_shape("qsvccitsfka1987").shape, name_shape("mfltbriqpwe2001").shape);
  EXPECT_EQ(name_shape("k7qzmx4wtpla").shape, name_shape("x2ttkbq7hzra").shape);  // the digits may stand anywhere
  for (const char* spoken :
       {"schmidt", "krzysztof", "grzegorz", "szczepan", "nguyen", "wright", "ghyslaine", "wojciech"})
    EXPECT_EQ(name_shape(spoken).shape, name_shape("anna").shape) << spoken;
}

TEST(NameShape, takes_any_bytes) {
  EXPECT_TRUE(rc::check([](const std::string& text) {
    const NameShape shape = name_shape(text);
    RC_ASSERT(shape.bytes <= 64);
    RC_ASSERT(shape.shape == name_shape(text).shape);
  }));
}

TEST(Background, a_round_trip_that_is_none_hardly_moves_the_mean_of_its_country) {
  Background background(10'000);
  const auto someone = honest(1, kStart);
  Signup signup = someone.signup();
  const auto learn = [&](uint32_t rtt_ms, int times) {
    signup.client.rtt_ms = rtt_ms;
    const SignupFacts facts = signup_facts(signup);
    for (int i = 0; i < times; ++i) background.learn(facts, background_keys(facts), 1);
    return background.usual_rtt(facts, background_keys(facts));
  };
  const double usual = learn(40, 20);
  EXPECT_NEAR(usual, std::log(40), 0.01);
  // As one of ten seconds does, not as one of seven weeks: that would be 0.88.
  EXPECT_NEAR(learn(4'000'000'000, 1) - usual, std::log(10'000.0 / 40) / 21, 0.01);
  signup.client.rtt_ms = 4'294'967'295;
  const SignupFacts huge = signup_facts(signup);
  signup.client.rtt_ms = 10'000;
  EXPECT_EQ(huge.measure, signup_facts(signup).measure);
}

// Its people give addresses of its own mail domain for recovery, as honest people hardly ever share one.
TEST(SignupClusters, an_organisation_with_a_mail_domain_of_its_own_is_none) {
  auto clusters = SignupClusters::make(small());
  auto all = people(6, 300);
  for (size_t i = 0; i < 60; ++i) {
    all.push_back(employed(i, kStart + 5 * 24 * kHourMs + int64_t(i) * 60'000));
    all.back().recovery = "p" + std::to_string(i) + "@office.example";
  }
  std::stable_sort(all.begin(), all.end(), [](const Person& a, const Person& b) { return a.t_ms < b.t_ms; });
  std::vector<double> office;
  for (const Person& p : all) {
    const double score = clusters->signup(p.signup()).score;
    if (p.account[0] == 'o') office.push_back(score);
  }
  EXPECT_LE(share_above(office, 0.9), 0.05);
}

TEST(SignupClusters, finds_a_campaign_that_never_repeats_an_address) {
  auto clusters = SignupClusters::make(small());
  auto all = people(6, 300);
  for (size_t i = 0; i < 120; ++i) all.push_back(farmed(i, kStart + 4 * 24 * kHourMs + int64_t(i) * kHourMs / 4));
  for (size_t i = 0; i < 50; ++i) all.push_back(employed(i, kStart + 5 * 24 * kHourMs + int64_t(i) * 60'000));
  std::stable_sort(all.begin(), all.end(), [](const Person& a, const Person& b) { return a.t_ms < b.t_ms; });
  std::vector<double> good, bad, office;
  std::map<uint64_t, int> of_farm;
  int64_t last = 0;
  for (const Person& p : all) {
    const SignupScore s = clusters->signup(p.signup());
    last = p.t_ms;
    EXPECT_GE(s.score, 0);
    EXPECT_LE(s.score, 1);
    if (p.account[0] == 'f') bad.push_back(s.score), ++of_farm[s.cluster];
    if (p.account[0] == 'o') office.push_back(s.score);
    if (p.account[0] == 'h' && p.t_ms > kStart + 2 * 24 * kHourMs) good.push_back(s.score);
  }
  // Half of the score's range parts them; the first few of the campaign cannot be known.
  EXPECT_GE(share_above(bad, 0.9), 0.9);
  EXPECT_LE(share_above(good, 0.9), 0.002);
  EXPECT_EQ(share_above(office, 0.9), 0);
  int most = 0;
  for (const auto& [id, n] : of_farm) most = id != 0 ? std::max(most, n) : most;
  EXPECT_GE(most, 100);
  // Hindsight reaches the first ones, too, and says when they could have been acted on.
  size_t reached = 0;
  for (size_t i = 0; i < 10; ++i) {
    const AccountScore a = clusters->account("f" + std::to_string(i));
    reached += a.score > 0.9 && a.at_ms > 0 && a.at_ms <= last;
  }
  EXPECT_GE(reached, 8u);
  EXPECT_EQ(clusters->account("nobody").cluster, 0u);
  bool known = false;
  clusters->visit_clusters([&](const ClusterFacts& c) {
    known = known || (c.members > 100 && c.view[kDeviceView] > 2 && c.view[kBehaviour] > 1 && c.acted_ms != 0);
  });
  EXPECT_TRUE(known);
}

// The first trap of such detectors: what comes in a burst must not become what is expected.
TEST(SignupClusters, a_burst_does_not_raise_its_own_expectation) {
  auto clusters = SignupClusters::make(small());
  for (const Person& p : people(5, 300)) clusters->signup(p.signup());
  double last = 0;
  for (size_t i = 0; i < 600; ++i) {
    const double score = clusters->signup(farmed(i, kStart + 5 * 24 * kHourMs + int64_t(i) * 5'000).signup()).score;
    if (i > 300) {
      EXPECT_GE(score, 0.9) << i;
    }
    last = score;
  }
  EXPECT_GE(last, 0.95);
}

// The second trap: people of one network class look alike by design, and are honest.
TEST(SignupClusters, tor_users_are_not_a_campaign) {
  auto clusters = SignupClusters::make(small());
  auto all = people(10, 300);
  for (size_t i = 0; i < 300; ++i) {
    Person p = honest(3'000'000 + i, kStart + int64_t(i) * 10 * 24 * kHourMs / 300);
    p.account = "t" + std::to_string(i);
    p.net = NetClass::kTor;
    p.device = "tor-browser", p.gpu = "none", p.agent = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Firefox/140.0";
    p.language = "en-US", p.zone = "UTC", p.country = "NL";
    all.push_back(p);
  }
  std::stable_sort(all.begin(), all.end(), [](const Person& a, const Person& b) { return a.t_ms < b.t_ms; });
  std::vector<double> tor;
  for (const Person& p : all) {
    const double score = clusters->signup(p.signup()).score;
    if (p.account[0] == 't') tor.push_back(score);
  }
  EXPECT_EQ(share_above(tor, 0.9), 0);
}

TEST(SignupClusters, sleepers_that_wake_together_are_found) {
  auto clusters = SignupClusters::make(small());
  for (const Person& p : people(8, 300)) clusters->signup(p.signup());
  const int64_t wake = kStart + 9 * 24 * kHourMs;
  const std::string_view link[] = {"new-shop.example"};
  for (uint64_t i = 0; i < 40; ++i) {
    const std::string account = "h" + std::to_string(i * 20);
    Send s;
    s.t_ms = wake + int64_t(i) * 120'000;
    s.account = account;
    s.recipients = 20, s.new_recipients = 20;
    s.body_simhash = 0x1234'5678'9abc'def0u ^ (uint64_t{1} << (i % 4));
    s.link_domains = link;
    clusters->send(s);
  }
  size_t found = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    const AccountScore a = clusters->account("h" + std::to_string(i * 20));
    found += a.score > 0.5 && a.cluster != 0 && a.at_ms >= wake && a.at_ms <= wake + 24 * kHourMs;
  }
  EXPECT_GE(found, 38u);
  // Who was not among them is not touched.
  EXPECT_LT(clusters->account("h1").score, 0.5);
}

TEST(SignupClusters, what_is_done_alike_makes_one_cluster_that_can_be_acted_on) {
  auto clusters = SignupClusters::make(small());
  for (const Person& p : people(8, 300)) clusters->signup(p.signup());
  const std::string_view links[][1] = {{"new-shop.example"}, {"other-shop.example"}};
  for (uint64_t i = 0; i < 80; ++i) {
    const std::string account = "h" + std::to_string(i % 40 * 20);
    Send s;
    s.t_ms = kStart + 9 * 24 * kHourMs + int64_t(i) * 120'000;
    s.account = account;
    s.recipients = 20, s.new_recipients = 20;
    // A second link and a second text, by the same accounts.
    s.body_simhash = (i < 40 ? 0x1234'5678'9abc'def0u : 0x0fed'cba9'8765'4321u) ^ (uint64_t{1} << (i % 4));
    s.link_domains = links[i / 40];
    clusters->send(s);
  }
  size_t by_deeds = 0;
  clusters->visit_clusters([&](const ClusterFacts& facts) {
    if (facts.acted_ms == 0) return;
    ++by_deeds;
    EXPECT_GE(facts.members, 38);
    EXPECT_GT(facts.score, 0.9);
    EXPECT_GE(std::count_if(facts.view.begin(), facts.view.end(), [](float v) { return v > 1; }), 2);
  });
  EXPECT_EQ(by_deeds, 1u);
}

TEST(SignupClusters, friends_who_share_a_link_are_not_sleepers) {
  auto clusters = SignupClusters::make(small());
  for (const Person& p : people(8, 300)) clusters->signup(p.signup());
  const std::string_view link[] = {"holiday-pictures.example"};
  for (uint64_t i = 0; i < 20; ++i) {
    const std::string account = "h" + std::to_string(2000 + i);
    Send s;
    s.t_ms = kStart + 8 * 24 * kHourMs + int64_t(i) * 600'000;
    s.account = account;
    s.recipients = 3, s.new_recipients = 0;
    s.body_simhash = base::mix64(i);
    s.link_domains = link;
    clusters->send(s);
    EXPECT_LT(clusters->account(account).score, 0.5);
  }
}

// Accounts that say nearly the same to strangers, and link to the same, one every `apart_ms`.
double joined_of(SignupClusters& clusters, const std::vector<std::string>& accounts, int64_t from_ms,
                 int64_t apart_ms) {
  const std::string_view link[] = {"go-round.example"};
  for (size_t i = 0; i < accounts.size(); ++i) {
    Send s;
    s.t_ms = from_ms + int64_t(i) * apart_ms;
    s.account = accounts[i];
    s.recipients = s.new_recipients = 6;
    s.body_simhash = 0x1234'5678'9abc'def0u ^ (uint64_t{1} << (i % 4));
    s.link_domains = link;
    clusters.send(s);
  }
  double joined = 0;
  for (const std::string& account : accounts) joined += clusters.account(account).score > 0.5;
  return joined / static_cast<double>(accounts.size());
}

// A burst is not its own past, however long it takes.
TEST(SignupClusters, sleepers_that_wake_one_by_one_over_a_week_are_found) {
  for (int64_t apart_ms : {kHourMs / 2, 2 * kHourMs, 4 * kHourMs}) {
    auto clusters = SignupClusters::make(small());
    for (const Person& p : people(8, 300)) clusters->signup(p.signup());
    std::vector<std::string> accounts;
    for (uint64_t i = 0; i < 45; ++i) accounts.push_back("h" + std::to_string(i * 20));
    EXPECT_GE(joined_of(*clusters, accounts, kStart + 9 * 24 * kHourMs, apart_ms), 0.95) << apart_ms;
  }
}

// As many established accounts, and such as are older than the memory, say the same: it is in everybody's mouth.
TEST(SignupClusters, what_goes_round_among_people_joins_nobody) {
  for (const bool is_known : {true, false}) {
    auto clusters = SignupClusters::make(small());
    for (const Person& p : people(8, 300)) clusters->signup(p.signup());
    std::vector<std::string> accounts, young;
    for (uint64_t i = 0; i < 60; ++i) {
      if (i % 3 == 0) young.push_back("h" + std::to_string(i * 20));
      accounts.push_back(i % 3 == 0 || is_known ? "h" + std::to_string(i * 20) : "old" + std::to_string(i));
    }
    for (uint64_t i = 0; i < 60 * 6; ++i) {
      if (i % 60 % 3 == 0) continue;
      Send s;
      s.t_ms = kStart + 9 * 24 * kHourMs + int64_t(i) * kHourMs / 2;
      s.account = accounts[i % 60];
      s.recipients = 1, s.new_recipients = 0;
      s.body_simhash = base::mix64(i);
      clusters->send(s);
    }
    EXPECT_EQ(joined_of(*clusters, accounts, kStart + 18 * 24 * kHourMs, 20 * 60'000), 0) << is_known;
    // The same people alone are a campaign.
    auto alone = SignupClusters::make(small());
    for (const Person& p : people(8, 300)) alone->signup(p.signup());
    EXPECT_GE(joined_of(*alone, young, kStart + 18 * 24 * kHourMs, 3'600'000), 0.9);
  }
}

TEST(SignupClusters, restored_ones_go_on_the_same) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    SignupClusterOptions o = small();
    o.accounts_max = 150, o.clusters_max = 8, o.single_slots_log2 = 10, o.keys_max = 4000;  // all limits are met
    auto first = SignupClusters::make(o);
    const auto step = [&](SignupClusters& c, uint64_t i) {
      const int64_t t = kStart + int64_t(i) * kHourMs / 2;
      return c.signup((i % 3 ? honest(seed + i, t) : farmed(i, t)).signup()).score;
    };
    for (uint64_t i = 0; i < 300; ++i) step(*first, i);
    const uint64_t then = first->digest();
    // Between the pieces events go on: what is written is the state as of the begin.
    std::vector<double> meanwhile;
    uint64_t next = 300;
    const auto pieces = pieces_of(*first, [&] {
      if (next < 380) meanwhile.push_back(step(*first, next++));
    });
    while (next < 380) meanwhile.push_back(step(*first, next++));
    auto second = SignupClusters::make(o);
    RC_ASSERT(restore(*second, pieces));
    RC_ASSERT(second->digest() == then);
    for (uint64_t i = 300; i < 380; ++i) RC_ASSERT(step(*second, i) == meanwhile[i - 300]);
    RC_ASSERT(first->digest() == second->digest());
    for (uint64_t i = 380; i < 420; ++i) RC_ASSERT(step(*first, i) == step(*second, i));
    RC_ASSERT(first->digest() == second->digest());
  }));
}

TEST(SignupClusters, damaged_pieces_are_refused) {
  SignupClusterOptions o = small();
  o.accounts_max = 150, o.single_slots_log2 = 12;
  auto first = SignupClusters::make(o);
  for (uint64_t i = 0; i < 200; ++i) first->signup(honest(i, kStart + int64_t(i) * kHourMs).signup());
  const auto pieces = pieces_of(*first);
  EXPECT_FALSE(SignupClusters::make(o)->restore_piece(pieces[1].kind, pieces[1].body));  // the head is missing
  EXPECT_FALSE(SignupClusters::make(o)->finish_restore());
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto c = SignupClusters::make(o);
    if (i > 0) {
      ASSERT_TRUE(c->restore_piece(pieces[0].kind, pieces[0].body));
    }
    std::string_view body = pieces[i].body;
    if (body.size() > 4) {
      EXPECT_FALSE(c->restore_piece(pieces[i].kind, body.substr(0, body.size() - 1)));
    }
    EXPECT_FALSE(SignupClusters::make(o)->restore_piece(pieces[i].kind, body.substr(0, 3)));
    // One that is missing is noticed, too.
    auto less = SignupClusters::make(o);
    for (size_t k = 0; k < pieces.size(); ++k)
      if (k != i) (void)less->restore_piece(pieces[k].kind, pieces[k].body);
    EXPECT_FALSE(less->finish_restore());
  }
  EXPECT_FALSE(SignupClusters::make(o)->restore_piece(99, ""));
}

TEST(SignupClusters, people_can_look_at_a_cluster_and_clear_or_confirm_it) {
  auto clusters = SignupClusters::make(small());
  for (const Person& p : people(5, 300)) clusters->signup(p.signup());
  const int64_t begin = kStart + 5 * 24 * kHourMs;
  uint64_t next = 0;
  const auto farm = [&] {
    const Person p = farmed(next, begin + int64_t(next) * 60'000);
    ++next;
    return clusters->signup(p.signup());
  };
  SignupScore s;
  for (int i = 0; i < 80; ++i) s = farm();
  ASSERT_NE(s.cluster, 0u);
  float sum = 0;
  for (float part : s.part) sum += part;
  EXPECT_NEAR(sum, s.log_odds, 1e-4);
  EXPECT_NEAR(s.score, 1 / (1 + std::exp(-static_cast<double>(s.log_odds))), 1e-6);

  const auto page = clusters->cluster(s.cluster);
  ASSERT_TRUE(page);
  EXPECT_FALSE(clusters->cluster(999'999));
  EXPECT_GT(page->facts.members, 60);
  EXPECT_GT(page->facts.per_day, 200);
  EXPECT_NEAR(page->by_class[0], page->facts.members, 1);
  EXPECT_EQ(page->exemplars.size(), 8u);
  const auto of = [&](std::string_view name) {
    for (const ClusterShare& share : page->shared)
      if (share.attribute == name) return share;
    return ClusterShare{};
  };
  EXPECT_GT(of("device").observed, 20 * of("device").expected);
  EXPECT_EQ(of("device").values, 4);
  EXPECT_GT(of("locale").observed, 0.9 * of("locale").of);
  EXPECT_LT(of("locale").expected, 0.2 * of("locale").of);
  ASSERT_FALSE(page->times.empty());
  EXPECT_NEAR(page->times[0].typical_ms, 5450, 300);

  // All members, page by page, are of the farm, and most of the farm are members.
  std::map<uint64_t, bool> of_farm;
  for (uint64_t i = 0; i < next; ++i) of_farm[account_keys({}, "f" + std::to_string(i)).find] = false;
  uint64_t from = 0;
  do {
    const MemberPage members = clusters->members(s.cluster, from, 10);
    EXPECT_LE(members.members.size(), 10u);
    for (const ClusterMember& m : members.members) {
      if (of_farm.count(m.account) != 0) of_farm[m.account] = true;
    }
    from = members.next;
  } while (from != 0);
  EXPECT_GE(std::count_if(of_farm.begin(), of_farm.end(), [](const auto& f) { return f.second; }), 70);

  // Cleared for an hour: its next members are let in, and after that no more.
  EXPECT_FALSE(clusters->suppress(999'999, 1));
  ASSERT_TRUE(clusters->suppress(s.cluster, begin + int64_t(next) * 60'000 + kHourMs));
  const SignupScore cleared = farm();
  EXPECT_TRUE(cleared.is_suppressed);
  EXPECT_LT(cleared.score, 0.01);
  EXPECT_LT(clusters->account("f40").score, 0.01);
  EXPECT_GT(clusters->cluster(s.cluster)->facts.suppressed_until_ms, 0);
  while (next < 160) s = farm();
  EXPECT_FALSE(s.is_suppressed);
  EXPECT_GT(s.score, 0.9);
  const double doubted = clusters->cluster(s.cluster)->facts.score;
  ASSERT_TRUE(clusters->confirm(s.cluster));
  EXPECT_GE(farm().score, s.score);
  EXPECT_GE(clusters->cluster(s.cluster)->facts.score, std::max(doubted, 0.99));
  EXPECT_TRUE(clusters->cluster(s.cluster)->facts.is_confirmed);
}

}  // namespace
}  // namespace tamis::detect
