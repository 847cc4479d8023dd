#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "detect/account_json.h"
#include "detect/detect_test_kit.h"
#include "detect/signup_facts.h"

namespace tamis::detect {
namespace {

Login from(const Person& p, int64_t t_ms, bool is_session = false) {
  const Signup s = p.signup();
  Login l;
  l.t_ms = t_ms, l.account = p.account, l.client = s.client, l.is_session = is_session;
  return l;
}

struct House {
  std::unique_ptr<LoginRisk> risk = LoginRisk::make();
  std::vector<Person> owners;
  int64_t now = kStart;
  House() {
    for (uint64_t n = 0; n < 150; ++n) owners.push_back(honest(n, kStart));
    for (int day = 0; day < 10; ++day)
      for (Person& p : owners) risk->login(from(p, now += 60'000));
  }
};

TEST(LoginRisk, knows_its_owner_and_not_the_stranger) {
  House h;
  const Person& owner = h.owners[7];
  Person stranger = honest(777'777, 0);
  stranger.account = owner.account;
  stranger.agent = "curl/8.0";
  stranger.zone = "Asia/Tokyo", stranger.language = "ja-JP", stranger.country = "JP", stranger.asn = 9;
  const double mine = h.risk->login(from(owner, h.now += 1000)).score;
  const LoginScore theirs = h.risk->login(from(stranger, h.now += 1000));
  EXPECT_LT(mine, 0.05);
  EXPECT_GT(theirs.score, 0.5);
  float sum = theirs.base;
  for (float f : theirs.factor) sum += f;
  EXPECT_NEAR(sum, theirs.log_odds, 1e-3);  // the factors explain it all
  // It is not learned from: the intruder stays a stranger, the owner stays the owner.
  EXPECT_GT(h.risk->login(from(stranger, h.now += 1000, true)).score, 0.5);
  EXPECT_LT(h.risk->login(from(owner, h.now += 1000)).score, 0.05);
  // But what the owner vouches for is known then.
  h.risk->confirm({h.now, owner.account, {}, true});
  EXPECT_LT(h.risk->login(from(stranger, h.now += 1000, true)).log_odds, theirs.log_odds - 3);
}

// A stranger and a new device of the owner's, both unconfirmed.
struct Two : House {
  Person owner = owners[7], stranger = honest(777'777, 0), phone = honest(888'888, 0);
  Two() {
    for (Person* p : {&stranger, &phone}) p->account = owner.account;
    stranger.language = "ja-JP", stranger.zone = "Asia/Tokyo", phone.language = "pt-BR", phone.zone = "America/Belem";
    stranger.agent = "curl/8.0", stranger.country = "JP", stranger.asn = 9;
    phone.agent = "Dalvik/2.1.0 (Linux; U; Android 14)", phone.country = "BR", phone.asn = 11;
  }
  Client client(const Person& p) const { return from(p, now).client; }
  float odds(const Person& p, bool is_session = false) {
    return risk->login(from(p, now += 1000, is_session)).log_odds;
  }
};

TEST(LoginRisk, who_vouches_for_one_client_says_nothing_of_another) {
  Two h;
  const float first = h.odds(h.stranger);
  h.odds(h.phone);
  h.risk->confirm({h.now, h.owner.account, h.client(h.phone), true});
  EXPECT_LT(h.odds(h.phone), -3);
  // Nor does a proof from the owner's own device, which is not waiting for one.
  h.risk->confirm({h.now, h.owner.account, h.client(h.owner), true});
  EXPECT_GT(h.odds(h.stranger), first - 3);
  h.risk->confirm({h.now, h.owner.account, h.client(h.stranger), true});
  EXPECT_LT(h.odds(h.stranger), -3);
}

TEST(LoginRisk, a_proof_may_come_before_the_login) {
  Two h, other;
  h.risk->confirm({h.now, h.owner.account, h.client(h.phone), true});
  EXPECT_LT(h.odds(h.phone), other.odds(other.phone) - 3);
  Client cookie_alone;
  cookie_alone.cookie = h.stranger.cookie;
  h.risk->confirm({h.now, h.owner.account, cookie_alone, true});
  EXPECT_LT(h.odds(h.stranger), other.odds(other.stranger) + 0.5f) << "a cookie alone is bound to nothing";
}

// A release changes fingerprint, build and TLS client of all who use a browser, within days.
TEST(LoginRisk, a_release_of_a_browser_locks_nobody_out) {
  House h;
  int odd = 0;
  for (size_t i = 0; i < 100; ++i) {
    Person& p = h.owners[i];
    p.device = "new" + std::to_string(i);
    p.agent =
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 "
        "Safari/537.36";
    Login l = from(p, h.now += 60'000, true);
    l.client.tls = "t13-of-another-kind";
    odd += h.risk->login(l).score > 0.5;
    l.is_session = false, l.t_ms = h.now += 60'000;
    odd += h.risk->login(l).score > 0.5;
  }
  EXPECT_EQ(odd, 0);
}

TEST(LoginRisk, silence_confirms_who_came_in) {
  constexpr int64_t kDay = 86'400'000;
  // `session_ms`: when a session goes on from the odd login; 0: none does.
  const auto later = [](int64_t session_ms, bool fails, int days) {
    Two h;
    EXPECT_GT(h.odds(h.stranger), 3.3f) << "a proof is asked for";
    if (fails) h.risk->confirm({h.now, h.owner.account, h.client(h.stranger), false});
    const int64_t begun = h.now;
    if (session_ms != 0) h.now += session_ms, h.odds(h.stranger, true);
    h.now = begun + kDay * days;
    return h.odds(h.stranger);
  };
  EXPECT_LT(later(2 * kDay, false, 4), -3);
  EXPECT_GT(later(0, false, 4), -3) << "it was asked for a proof, and went away";
  EXPECT_GT(later(1'000, false, 4), -3) << "its session was asked for one as well";
  EXPECT_LT(later(0, false, 15), -3);
  EXPECT_GT(later(2 * kDay, true, 4), 0) << "the proof was not given";
  EXPECT_GT(later(2 * kDay, true, 15), 0);
}

TEST(LoginRisk, a_stolen_cookie_on_another_system_stands_out) {
  House h;
  Person thief = h.owners[3];
  thief.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  thief.device = "other", thief.ip = "198.51.100.7", thief.asn = 77, thief.country = "NL";
  thief.zone = "America/Lima", thief.language = "en-US";
  const LoginScore s = h.risk->login(from(thief, h.now += 1000, true));
  EXPECT_GT(s.factor[kLoginCookie], 5);
  EXPECT_GT(s.score, 0.5);
  // A new version of the same browser does not.
  Person updated = h.owners[4];
  updated.device = "newer", updated.agent = "Mozilla/5.0 (Windows NT 10.0) Chrome/199.0.0.0";
  EXPECT_LT(h.risk->login(from(updated, h.now += 1000, true)).score, 0.3);
}

// A fingerprint that changes says little where it always changes, much where it never did.
TEST(LoginRisk, a_change_is_as_odd_as_it_is_for_the_account) {
  House h;
  Person steady = h.owners[5], restless = h.owners[6];
  for (int i = 0; i < 12; ++i) {
    h.risk->login(from(steady, h.now += 3'600'000, true));
    restless.device = "r" + std::to_string(i);
    h.risk->login(from(restless, h.now += 3'600'000, true));
  }
  const auto elsewhere = [&](Person p) {
    p.device = "another", p.ip = "198.51.100.7", p.asn = 77;
    return h.risk->login(from(p, h.now += 1000, true)).factor[kLoginCookie];
  };
  const float of_steady = elsewhere(steady), of_restless = elsewhere(restless);
  EXPECT_GT(of_steady, 2);
  EXPECT_LT(of_restless, of_steady - 1.5f);
}

// Who steals a session has its cookie; a login with an unknown one is what an intruder's looks like.
// The same as Two::odds, under a name by which truth may come.
struct Told : Two {
  using Truth = LoginRisk::Truth;
  std::vector<std::string> names;
  float odds(const Person& p, const std::string& name, bool is_session = false) {
    Login l = from(p, now += 1000, is_session);
    l.event = name;
    return risk->login(l).log_odds;
  }
};

TEST(LoginRisk, what_was_not_the_owner_is_never_learned) {
  Told h, other;
  const float first = h.odds(h.stranger, "login:1");
  EXPECT_FALSE(h.risk->truth("session:1", Told::Truth::kBad, h.now));
  EXPECT_TRUE(h.risk->truth("login:1", Told::Truth::kBad, h.now));
  EXPECT_GT(h.odds(h.stranger, "session:2", true), first);
  // It is not learned by time, however often it comes, and nobody else of the account is taken for it.
  for (Told* at : {&h, &other}) {
    at->odds(at->stranger, "login:3");
    for (int day = 0; day < 20; ++day) {
      at->now += 86'400'000;
      at->odds(at->owner, "o");
      if (day == 10) at->odds(at->stranger, "session:4", true);
    }
  }
  EXPECT_GT(h.odds(h.stranger, "login:5"), first);
  EXPECT_LT(other.odds(other.stranger, "login:5"), first - 3) << "without a word it was learned";
  EXPECT_LT(h.odds(h.owner, "login:6"), -6);
  EXPECT_NEAR(h.odds(h.phone, "login:7"), other.odds(other.phone, "login:7"), 1.5);
  // The word can be taken back.
  EXPECT_TRUE(h.risk->truth("login:1", Told::Truth::kNone, h.now));
  EXPECT_LT(h.odds(h.stranger, "login:8"), first + 1);
}

TEST(LoginRisk, what_was_learned_is_taken_back) {
  Told h, never;
  never.odds(never.phone, "login:0");
  const float first = h.odds(h.stranger, "login:1");
  h.odds(h.stranger, "session:2", true);
  h.now += 15 * int64_t(86'400'000);
  EXPECT_LT(h.odds(h.stranger, "login:3"), first - 3);
  EXPECT_TRUE(h.risk->truth("login:1", Told::Truth::kBad, h.now));
  EXPECT_GT(h.odds(h.stranger, "login:4"), first - 1);
  EXPECT_LT(h.odds(h.owner, "login:5"), -6);
}

TEST(LoginRisk, what_was_the_owner_is_known) {
  Told h;
  const float first = h.odds(h.phone, "login:1");
  EXPECT_GT(first, 0);
  EXPECT_TRUE(h.risk->truth("login:1", Told::Truth::kGood, h.now));
  EXPECT_LT(h.odds(h.phone, "login:2"), -4.5f);
  EXPECT_GT(h.odds(h.stranger, "login:3"), 0);
  // Whoever said the opposite before is overruled.
  EXPECT_TRUE(h.risk->truth("login:3", Told::Truth::kBad, h.now));
  EXPECT_TRUE(h.risk->truth("login:3", Told::Truth::kGood, h.now));
  EXPECT_LT(h.odds(h.stranger, "login:4"), -4.5f);
}

// The cookie is the owner's, the machine is not.
TEST(LoginRisk, a_stolen_session_that_is_disowned_does_not_lock_its_owner_out) {
  Told h;
  h.stranger.cookie = h.owner.cookie;
  const float first = h.odds(h.stranger, "session:1", true);
  EXPECT_GT(first, 3);
  EXPECT_TRUE(h.risk->truth("session:1", Told::Truth::kBad, h.now));
  EXPECT_GT(h.odds(h.stranger, "session:2", true), first + 3);
  EXPECT_LT(h.odds(h.owner, "session:3", true), -6);
  const Change turn{h.now += 1000, h.owner.account, h.client(h.owner), ChangeKind::kPassword, "change:4"};
  EXPECT_LT(h.risk->change(turn).log_odds, -6) << "the owner puts things right";
  const Change theirs{h.now += 1000, h.owner.account, h.client(h.stranger), ChangeKind::kForwarding, "change:5"};
  EXPECT_GT(h.risk->change(theirs).log_odds, 6);
}

// Who shares something with what was an intruder is likelier one; one account's word counts once.
TEST(LoginRisk, a_login_that_was_an_intruder_s_speaks_against_its_like_on_other_accounts) {
  const auto campaign = [](int words) {
    Told h;
    Person tool = honest(888'888, 0);
    tool.ip = "203.0.113.9", tool.device = "kit", tool.net = NetClass::kHosting;
    for (int n = 0; n < 3; ++n) {
      tool.account = h.owner.account, tool.cookie = "k" + std::to_string(n);
      h.odds(tool, "login:" + std::to_string(n));
    }
    for (int n = 0; n < words; ++n) h.risk->truth("login:" + std::to_string(n), Told::Truth::kBad, h.now);
    for (int n = 0; n < words; ++n) h.risk->truth("login:" + std::to_string(n), Told::Truth::kBad, h.now);
    tool.account = h.owners[20].account, tool.cookie = "k9";
    return h.risk->login(from(tool, h.now += 1000)).factor[kLoginCampaign];
  };
  EXPECT_GT(campaign(1), campaign(0) + 0.5f);
  EXPECT_EQ(campaign(3), campaign(1));
}

TEST(LoginRisk, single_logins_are_remembered_within_bounds_and_go_with_their_account) {
  LoginRiskOptions few;
  few.told_max = 2000;
  Told h;
  h.risk = LoginRisk::make(few);
  for (int day = 0; day < 3; ++day)
    for (Person& p : h.owners) h.risk->login(from(p, h.now += 60'000));
  h.odds(h.stranger, "login:old");
  uint64_t most = 0;
  for (int n = 0; n < 20'000; ++n) {
    Person p = h.phone;
    p.account = h.owners[size_t(n) % 150].account;
    p.cookie = "c" + std::to_string(n);
    h.odds(p, "login:" + std::to_string(n));
    if (n == 10'000) most = h.risk->bytes();
  }
  EXPECT_EQ(h.risk->bytes(), most);
  EXPECT_FALSE(h.risk->truth("login:old", Told::Truth::kBad, h.now)) << "the oldest go";
  const std::string last = "login:" + std::to_string(19'957);  // of owner 7
  auto copy = LoginRisk::make(few);
  ASSERT_TRUE(restore(*copy, pieces_of(*h.risk)));
  EXPECT_TRUE(copy->truth(last, Told::Truth::kBad, h.now));
  EXPECT_TRUE(h.risk->erase(h.owners[7].account));
  EXPECT_FALSE(h.risk->truth(last, Told::Truth::kBad, h.now));
}

// A service may send of a change no more than its cookie and address.
TEST(LoginRisk, a_change_that_shows_no_machine_is_not_taken_for_another_one) {
  Two h;
  const auto change = [&](const Person& p) {
    Client bare = h.client(p);
    bare.user_agent = bare.device = bare.tls = bare.language = bare.time_zone = {};
    return h.risk->change({h.now += 1000, h.owner.account, bare, ChangeKind::kForwarding, {}}).log_odds;
  };
  EXPECT_LT(change(h.owner), -6);
  // With a stolen cookie: the session that it came with was another machine, and so is the change.
  h.stranger.cookie = h.owner.cookie;
  EXPECT_GT(h.odds(h.stranger, true), 3);
  EXPECT_GT(change(h.stranger), 3);
}

TEST(LoginRisk, an_unknown_cookie_speaks_against_logins_not_against_sessions) {
  House h;
  Person elsewhere = h.owners[8];
  elsewhere.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  elsewhere.zone = "America/Lima";
  elsewhere.cookie = "new", elsewhere.device = "new", elsewhere.ip = "198.51.100.7", elsewhere.asn = 77;
  const LoginScore session = h.risk->login(from(elsewhere, h.now += 1000, true));
  elsewhere.cookie = "newer", elsewhere.device = "newer";
  const LoginScore login = h.risk->login(from(elsewhere, h.now += 1000));
  EXPECT_LT(session.factor[kLoginCookie], 0);
  EXPECT_GT(login.factor[kLoginCookie], 0);
  // But it goes on from that login.
  const LoginScore after = h.risk->login(from(elsewhere, h.now += 1000, true));
  EXPECT_GT(after.factor[kLoginCookie], 0);
}

// Whoever comes through Tor for the first time has a new address, provider and country, and that is one change.
TEST(LoginRisk, a_first_time_through_an_exit_is_one_change) {
  House h;
  const auto through = [](Person p, NetClass net, uint64_t exit) {
    p.net = net;
    p.ip = "203.0." + std::to_string(draw(exit, 1) % 250) + "." + std::to_string(1 + draw(exit, 2) % 250);
    p.asn = 900 + static_cast<uint32_t>(draw(exit, 3) % 40);
    p.country = std::array{"NL", "SE", "CH", "RO", "US", "IS"}[draw(exit, 4) % 6];
    return p;
  };
  for (uint64_t day = 0; day < 10; ++day)
    for (uint64_t n = 0; n < 30; ++n) {
      Person regular = honest(5000 + n, kStart);
      h.risk->login(from(through(regular, NetClass::kTor, day * 30 + n), h.now += 60'000));
    }
  const auto first_time = [&](size_t owner, NetClass net) {
    return h.risk->login(from(through(h.owners[owner], net, 77'777), h.now += 1000, true)).factor[kLoginNetwork];
  };
  const float tor = first_time(9, NetClass::kTor), residential = first_time(10, NetClass::kResidential);
  EXPECT_GT(tor, 0.5);
  EXPECT_GT(residential, tor + 1.5f);
}

// Whoever has the password tries it once more, and again: no success of that kind makes the next one the owner's. That
// of each is told as less odd than the first, and some then as so familiar that a first one would have taught.
TEST(LoginRisk, to_try_again_confirms_nothing) {
  House h;
  int near = 0;
  for (size_t i = 0; i < h.owners.size(); ++i) {
    Person thief = h.owners[i];
    thief.cookie = "other", thief.device = "other", thief.ip = "198." + std::to_string(i + 20) + ".100.1";
    const float first = h.risk->login(from(thief, h.now += 1000)).log_odds;
    if (first < -4.5f) continue;
    near += first < -3.5f;
    for (int again = 0; again < 5; ++again) EXPECT_GT(h.risk->login(from(thief, h.now += 60'000)).log_odds, first - 3);
  }
  EXPECT_GT(near, 0);
}

TEST(LoginRisk, attempts_on_many_accounts_speak_against_each) {
  House h;
  Person tool = honest(888'888, 0);
  tool.ip = "203.0.113.9", tool.device = "kit", tool.net = NetClass::kHosting;
  const auto attempt = [&](size_t victim) {
    tool.account = h.owners[victim].account;
    tool.cookie = "k" + std::to_string(victim);
    return h.risk->login(from(tool, h.now += 1000));
  };
  const LoginScore alone = attempt(0);
  for (size_t v = 1; v < 30; ++v) attempt(v);
  const LoginScore among_many = attempt(31);
  EXPECT_GT(among_many.factor[kLoginCampaign], alone.factor[kLoginCampaign] + 3);
  EXPECT_GT(among_many.score, 0.9);
}

TEST(LoginRisk, forgets_who_is_erased) {
  House h;
  EXPECT_TRUE(h.risk->erase(h.owners[5].account));
  EXPECT_FALSE(h.risk->erase("nobody"));
  const LoginScore s = h.risk->login(from(h.owners[5], h.now += 1000));
  EXPECT_NEAR(s.factor[kLoginNetwork], 0, 0.01);  // nothing known, nothing to hold against it
}

TEST(LoginRisk, any_clients_give_finite_scores) {
  EXPECT_TRUE(rc::check([](const std::vector<std::tuple<uint8_t, uint8_t, bool, bool>>& steps) {
    auto risk = LoginRisk::make();
    int64_t t = kStart;
    for (const auto& [who, client, ok, session] : steps) {
      Person p = honest(client, 0);
      p.account = "a" + std::to_string(who % 5);
      p.net = static_cast<NetClass>(client % kNetClasses);
      if (client % 7 == 0) p.cookie = p.device = p.agent = p.ip = "";
      Login l = from(p, t += client * 1000, session);
      l.ok = ok || session;
      l.account_exists = who != 255;
      const LoginScore s = risk->login(l);
      RC_ASSERT(s.score >= 0 && s.score <= 1);
    }
  }));
}

TEST(LoginRisk, restored_ones_go_on_the_same) {
  House h;
  const uint64_t then = h.risk->digest();
  const auto step = [&](LoginRisk& risk, uint64_t n) {
    Person p = n % 3 ? h.owners[n % h.owners.size()] : honest(900'000 + n, 0);
    p.account = n % 7 == 0 ? "new" + std::to_string(n) : h.owners[n % h.owners.size()].account;
    if (n == 40) risk.erase(h.owners[9].account);
    const std::string name = "login:" + std::to_string(n), before = "login:" + std::to_string(n - n % 5);
    Login l = from(p, h.now + int64_t(n) * 60'000);
    l.event = name;
    const double score = risk.login(l).score;
    if (n % 5 == 4) risk.truth(before, n % 2 ? LoginRisk::Truth::kBad : LoginRisk::Truth::kGood, l.t_ms);
    return score;
  };
  std::vector<double> meanwhile;
  const auto pieces = pieces_of(*h.risk, [&] {
    if (meanwhile.size() < 100) meanwhile.push_back(step(*h.risk, meanwhile.size()));
  });
  while (meanwhile.size() < 100) meanwhile.push_back(step(*h.risk, meanwhile.size()));
  auto second = LoginRisk::make();
  ASSERT_TRUE(restore(*second, pieces));
  EXPECT_EQ(second->digest(), then);
  for (uint64_t n = 0; n < 100; ++n) EXPECT_EQ(step(*second, n), meanwhile[n]);
  EXPECT_EQ(h.risk->digest(), second->digest());
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto less = LoginRisk::make();
    for (size_t k = 0; k < pieces.size(); ++k)
      if (k != i) (void)less->restore_piece(pieces[k].kind, pieces[k].body);
    EXPECT_FALSE(less->finish_restore());
    auto damaged = LoginRisk::make();
    if (i > 0) {
      ASSERT_TRUE(damaged->restore_piece(pieces[0].kind, pieces[0].body));
    }
    EXPECT_FALSE(damaged->restore_piece(pieces[i].kind, pieces[i].body + "x"));
  }
  EXPECT_FALSE(second->restore_piece(99, "abcd"));
}

// Version 4 knew of no single logins: one count less in its head, and no pieces of them.
TEST(LoginRisk, a_snapshot_of_before_is_read) {
  House h;
  auto pieces = pieces_of(*h.risk);
  std::string& head = pieces[0].body;
  const uint32_t version = 4;
  std::memcpy(head.data(), &version, sizeof version);
  head.erase(2 * sizeof(uint32_t) + 4 * sizeof(uint64_t), sizeof(uint64_t));
  auto second = LoginRisk::make();
  ASSERT_TRUE(restore(*second, pieces));
  EXPECT_EQ(second->digest(), h.risk->digest());
}

TEST(LoginRisk, keeps_no_more_profiles_than_it_may) {
  LoginRiskOptions o;
  o.accounts_max = 2000, o.values_max = 20'000, o.campaign_keys_max = 5000;
  auto risk = LoginRisk::make(o);
  uint64_t most = 0;
  for (uint64_t n = 0; n < 20'000; ++n) {
    risk->login(from(honest(n, 0), kStart + int64_t(n) * 1000));
    most = std::max(most, risk->bytes());
  }
  EXPECT_LE(risk->profiles(), 2600u);
  EXPECT_EQ(risk->bytes(), most);  // places are used again
}

TEST(LoginRisk, an_erased_account_leaves_no_profile) {
  auto risk = LoginRisk::make();
  for (uint64_t n = 0; n < 200; ++n) risk->login(from(honest(n, 0), kStart + int64_t(n) * 1000));
  auto never = LoginRisk::make();
  EXPECT_TRUE(risk->erase("h7"));
  EXPECT_FALSE(risk->erase("h7"));
  EXPECT_FALSE(risk->erase("nobody"));
  EXPECT_EQ(risk->profiles(), 199u);
  for (uint64_t n = 0; n < 200; ++n) {
    EXPECT_EQ(risk->erase("h" + std::to_string(n)), n != 7);
  }
  EXPECT_EQ(risk->profiles(), 0u);
  const uint64_t bytes = risk->bytes();
  for (uint64_t n = 0; n < 200; ++n) risk->login(from(honest(n, 0), kStart + int64_t(300 + n) * 1000));
  EXPECT_EQ(risk->profiles(), 200u);
  EXPECT_EQ(risk->bytes(), bytes);  // places are used again
  auto copy = LoginRisk::make();
  EXPECT_TRUE(restore(*copy, pieces_of(*risk)));
  EXPECT_EQ(copy->digest(), risk->digest());
}

// Under another key the same profile has no byte that tells it is the same.
TEST(LoginRisk, profiles_are_kept_under_the_key_of_the_state) {
  LoginRiskOptions keyed;
  keyed.key = {11, 12};
  auto one = LoginRisk::make(), other = LoginRisk::make(keyed);
  const Person person = honest(1, 0);
  for (int i = 0; i < 20; ++i) {
    Login login = from(person, kStart + i * kHourMs);
    login.event = "login:1";
    EXPECT_EQ(one->login(login).log_odds, other->login(login).log_odds);
  }
  const auto state_of = [](LoginRisk& risk) {
    std::string all;
    for (const OwnPiece& piece : pieces_of(risk)) all += piece.body;
    return all;
  };
  // Whoever knows how names are hashed finds the account where there is no key, and nowhere else.
  const uint64_t plain = account_keys({}, honest(1, 0).account).find;
  const std::string name(reinterpret_cast<const char*>(&plain), sizeof plain);
  EXPECT_NE(state_of(*one).find(name), std::string::npos);
  EXPECT_EQ(state_of(*other).find(name), std::string::npos);
  // What goes into hashes of values stands in neither.
  for (const base::SipKey& key : {base::SipKey{}, keyed.key}) {
    const uint64_t values = account_keys(key, honest(1, 0).account).values;
    const std::string of_values(reinterpret_cast<const char*>(&values), sizeof values);
    EXPECT_EQ((state_of(*one) + state_of(*other)).find(of_values), std::string::npos);
  }
}

TEST(AccountJson, reads_events_and_says_what_is_wrong) {
  AccountJsonReader reader;
  ASSERT_TRUE(reader.load_intel("prefix,tag\n198.51.100.0/24,vpn\n2001:db8::/32,dc\n"));
  auto read = reader.read(
      R"({"id":4,"t":1700000000000,"type":"signup","acct":"ab","ip":"198.51.100.9","net":"res","local":"kim7","fill_ms":900})");
  ASSERT_TRUE(read);
  const auto* s = std::get_if<Signup>(&read->event);
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->client.net, NetClass::kVpn);  // the list knows better
  EXPECT_EQ(s->local, "kim7");
  EXPECT_EQ(s->fill_ms, 900u);
  EXPECT_FALSE(reader.read("[]"));
  EXPECT_FALSE(reader.read(R"({"id":1,"type":"signup","acct":"a"})"));
  EXPECT_NE(reader.read(R"({"id":1,"t":5,"type":"dance","acct":"a"})").error().message.find("dance"),
            std::string::npos);
  EXPECT_NE(reader.load_intel("prefix,tag\nx,vpn\n").error().message.find("line 2"), std::string::npos);
}

}  // namespace
}  // namespace tamis::detect
