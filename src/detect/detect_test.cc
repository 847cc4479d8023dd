#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "detect/account_json.h"
#include "detect/lexical.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"
#include "event/ip.h"
#include "state/pieces.h"

namespace tamis::detect {
namespace {

constexpr int64_t kStart = 1'700'000'000'000, kHourMs = 3'600'000;

// A signup with its own texts. Honest ones differ in all that people differ in, by a hash of their number.
struct Person {
  std::string account, ip, device, agent, cookie, local, gpu, recovery, zone = "Europe/Berlin", language = "de-DE",
                                                                        country = "DE";
  NetClass net = NetClass::kResidential;
  uint32_t asn = 3320, fill_ms = 0, captcha_ms = 0;
  int64_t t_ms = 0;

  Signup signup() const {
    Signup s;
    s.t_ms = t_ms;
    s.account = account;
    s.client.has_ip = event::parse_ip(ip, s.client.ip);
    s.client.asn = asn, s.client.country = country, s.client.net = net;
    s.client.user_agent = agent, s.client.device = device, s.client.tls = "t13";
    s.client.language = language, s.client.time_zone = zone, s.client.cookie = cookie, s.client.rtt_ms = 40;
    s.local = local, s.domain = "mail.example", s.gpu = gpu, s.screen = "1920x1080", s.cores = 8;
    s.recovery = recovery, s.captcha = "img", s.captcha_tries = 1, s.captcha_ms = captcha_ms, s.fill_ms = fill_ms;
    return s;
  }
};

uint64_t draw(uint64_t number, uint64_t what) { return base::combine64(number, what); }
std::string word(uint64_t h, size_t letters) {
  std::string out;
  for (size_t i = 0; i < letters; ++i) out += static_cast<char>('a' + (h >> (5 * i)) % 26);
  return out;
}

Person honest(uint64_t n, int64_t t_ms) {
  Person p;
  p.t_ms = t_ms;
  p.account = "h" + std::to_string(n);
  p.ip = "10." + std::to_string(draw(n, 1) % 200) + "." + std::to_string(draw(n, 2) % 250) + "." +
         std::to_string(1 + draw(n, 3) % 250);
  p.asn = 3000 + static_cast<uint32_t>(draw(n, 4) % 8);
  p.device = "d" + std::to_string(draw(n, 5) % 3000);
  p.gpu = "g" + std::to_string(draw(n, 5) % 300);
  p.agent = "Mozilla/5.0 (Windows NT 10.0) Chrome/" + std::to_string(130 + draw(n, 6) % 12) + ".0.0.0";
  p.cookie = "c" + std::to_string(n);
  const uint64_t kind = draw(n, 7) % 4;
  p.local = word(draw(n, 8), 3 + draw(n, 9) % 6);
  if (kind == 1) p.local += "." + word(draw(n, 10), 5);
  if (kind >= 2) p.local += std::to_string(draw(n, 11) % (kind == 2 ? 100 : 10000));
  if (draw(n, 12) % 2) p.recovery = word(draw(n, 13), 6) + "@gmail.example";
  p.fill_ms = static_cast<uint32_t>(8000 + draw(n, 14) % 80'000);
  p.captcha_ms = static_cast<uint32_t>(4000 + draw(n, 15) % 50'000);
  if (draw(n, 16) % 3 == 0) p.zone = "Europe/Paris", p.language = "fr-FR", p.country = "FR";
  return p;
}

// One campaign: addresses and cookies never repeat; names, devices and times come from the same machine.
Person farmed(uint64_t n, int64_t t_ms) {
  Person p = honest(1'000'000 + n, t_ms);
  p.account = "f" + std::to_string(n);
  p.local = word(draw(n, 20), 5) + "." + word(draw(n, 21), 6) + std::to_string(10 + draw(n, 22) % 90);
  p.device = "farm" + std::to_string(n % 4);
  p.gpu = "farm" + std::to_string(n % 4);
  p.fill_ms = static_cast<uint32_t>(5000 + draw(n, 23) % 900);
  p.captcha_ms = static_cast<uint32_t>(9000 + draw(n, 24) % 1500);
  p.zone = "Asia/Kolkata", p.language = "en-US";
  return p;
}

// An office registers its people within an hour: one address, otherwise people.
Person employed(uint64_t n, int64_t t_ms) {
  Person p = honest(2'000'000 + n, t_ms);
  p.account = "o" + std::to_string(n);
  p.ip = "192.0.2.7", p.asn = 64500, p.net = NetClass::kBusiness;
  p.local = word(draw(n, 30), 5) + word(draw(n, 31), 6);
  return p;
}

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
}

TEST(NameShape, takes_any_bytes) {
  EXPECT_TRUE(rc::check([](const std::string& text) {
    const NameShape shape = name_shape(text);
    RC_ASSERT(shape.bytes <= 64);
    RC_ASSERT(shape.shape == name_shape(text).shape);
  }));
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
    reached += a.score > 0.9 && a.at_ms <= last;
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

struct OwnPiece {
  uint32_t kind;
  std::string body;
};
// Takes the snapshot apart that is under way; `between` runs after each piece.
template <class Detector, class Between>
std::vector<OwnPiece> pieces_of(Detector& d, const Between& between) {
  state::PieceWriter out;
  d.begin_snapshot(out, 3);
  while (d.snapshot_piece()) between();
  d.end_snapshot();
  std::string bytes;
  while (out.bytes() > 0) out.take(bytes, 1 << 20);
  state::PieceReader reader;
  reader.feed(bytes);
  std::vector<OwnPiece> pieces;
  for (state::Piece p; reader.next(p).value_or(false);) pieces.push_back({p.kind, std::string(p.body)});
  return pieces;
}
template <class Detector>
std::vector<OwnPiece> pieces_of(Detector& d) {
  return pieces_of(d, [] {});
}
template <class Detector>
bool restore(Detector& d, const std::vector<OwnPiece>& pieces) {
  for (const OwnPiece& p : pieces)
    if (!d.restore_piece(p.kind, p.body)) return false;
  return d.finish_restore().has_value();
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
  for (uint64_t i = 0; i < next; ++i) of_farm[account_key("f" + std::to_string(i))] = false;
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

// Logins.

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
  float sum = -8;
  for (float f : theirs.factor) sum += f;
  EXPECT_NEAR(sum, theirs.log_odds, 1e-3);  // the factors explain it all
  // It is not learned from: the intruder stays a stranger, the owner stays the owner.
  EXPECT_GT(h.risk->login(from(stranger, h.now += 1000, true)).score, 0.5);
  EXPECT_LT(h.risk->login(from(owner, h.now += 1000)).score, 0.05);
  // But what the owner vouches for is known then.
  h.risk->confirm(owner.account, true, h.now);
  EXPECT_LT(h.risk->login(from(stranger, h.now += 1000, true)).log_odds, theirs.log_odds - 3);
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
    return risk.login(from(p, h.now + int64_t(n) * 60'000)).score;
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
