#include "detect/signup_parts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "detect/cluster_model.h"
#include "detect/detect_test_kit.h"

namespace tamis::detect {
namespace {

std::vector<uint32_t> parts_of(const std::vector<SignupFacts>& facts) {
  std::vector<const SignupFacts*> members;
  for (const SignupFacts& one : facts) members.push_back(&one);
  return part_members(members);
}

// Of a campaign: names of one make, three devices that have nothing to do with the times.
SignupFacts of_campaign(uint64_t n, uint64_t campaign) {
  Person p = honest(n + 1000 * campaign, kStart + static_cast<int64_t>(n) * kHourMs);
  p.local = word(draw(n, campaign), 6) + (campaign == 1 ? "" : "_") + std::to_string(100 + draw(n, 30) % 900);
  p.gpu = "farm" + std::to_string(3 * campaign + n % 3);
  p.fill_ms = static_cast<uint32_t>((campaign == 1 ? 6000 : 19'000) + draw(n, 31) % 900);
  p.captcha_ms = static_cast<uint32_t>(9000 + draw(n, 32) % 9000);
  return signup_facts(p.signup());
}

TEST(SignupParts, one_campaign_with_three_devices_stays_whole) {
  std::vector<SignupFacts> facts;
  for (uint64_t n = 0; n < 150; ++n) facts.push_back(of_campaign(n, 1));
  EXPECT_EQ(parts_of(facts), std::vector<uint32_t>(facts.size(), 0));
}

TEST(SignupParts, two_campaigns_that_differ_in_more_than_one_thing_are_told_apart) {
  std::vector<SignupFacts> facts;
  for (uint64_t n = 0; n < 150; ++n) {
    facts.push_back(of_campaign(n, 1));
    if (n % 2 == 0) facts.push_back(of_campaign(n, 2));
  }
  const std::vector<uint32_t> parts = parts_of(facts);
  EXPECT_EQ(std::set<uint32_t>(parts.begin(), parts.end()), (std::set<uint32_t>{0, 1}));
  size_t wrong = 0;
  for (size_t i = 0, n = 0; n < 150; ++n) {
    wrong += parts[i++] != 0;
    if (n % 2 == 0) wrong += parts[i++] != 1;
  }
  EXPECT_LE(wrong, 2u);
  EXPECT_EQ(parts_of(facts), parts);
}

TEST(SignupParts, pieces_of_one_campaign_by_device_are_not_apart_and_two_campaigns_are) {
  std::vector<SignupFacts> facts;
  for (uint64_t n = 0; n < 180; ++n) facts.push_back(of_campaign(n, 1 + n / 120));
  const auto where = [&](auto&& chosen) {
    std::vector<const SignupFacts*> some;
    for (uint64_t n = 0; n < facts.size(); ++n)
      if (chosen(n)) some.push_back(&facts[n]);
    return some;
  };
  const auto device = [&](uint64_t d) { return where([d](uint64_t n) { return n < 120 && n % 3 == d; }); };
  EXPECT_FALSE(are_apart(device(0), device(1)));
  EXPECT_FALSE(are_apart(device(0), device(2)));
  EXPECT_TRUE(are_apart(device(0), where([](uint64_t n) { return n >= 120; })));
}

TEST(SignupParts, a_piece_has_the_number_of_its_campaign) {
  ClusterParts parts;
  parts.number[5] = 7 + ClusterParts::kPartNumbers;
  parts.joined[7 + ClusterParts::kPartNumbers] = 3;
  parts.joined[9] = 3;
  EXPECT_EQ(parts.of(5, 7), 3u);
  EXPECT_EQ(parts.of(6, 7), 7u);
  EXPECT_EQ(parts.of(6, 9), 3u);
  EXPECT_EQ(parts.of(5, 9), 3u);  // it is not of the cluster that was parted
}

TEST(SignupParts, honest_people_and_few_of_any_kind_stay_together) {
  std::vector<SignupFacts> facts;
  EXPECT_TRUE(parts_of(facts).empty());
  for (uint64_t n = 0; n < 8; ++n) facts.push_back(of_campaign(n, 1 + n % 2));
  EXPECT_EQ(parts_of(facts), std::vector<uint32_t>(facts.size(), 0));
  // Nothing is given of anybody.
  EXPECT_EQ(parts_of(std::vector<SignupFacts>(50)), std::vector<uint32_t>(50, 0));
}

TEST(ClusterModel, what_a_member_alone_has_does_not_speak_for_itself) {
  Background background(10'000);
  ClusterModel model;
  const auto learn = [&](const SignupFacts& facts) {
    const Expected expected = expected_of(background, facts, background_keys(facts));
    model.add(facts, expected, model.likelihood(facts, expected), 1);
  };
  for (uint64_t n = 0; n < 400; ++n) {
    const SignupFacts facts = signup_facts(honest(5000 + n, kStart).signup());
    background.learn(facts, background_keys(facts), 1);
  }
  for (uint64_t n = 0; n < 12; ++n) {
    Person p = farmed(n, kStart);
    p.cookie = "jar" + std::to_string(n % 3);  // so cookies tell something in this cluster
    learn(signup_facts(p.signup()));
  }
  const SignupFacts guest = signup_facts(honest(1, kStart).signup());
  const Expected expected = expected_of(background, guest, background_keys(guest));
  const float before = model.likelihood(guest, expected).total;
  learn(guest);
  const Likelihood with = model.likelihood(guest, expected), without = model.likelihood(guest, expected, true);
  EXPECT_GT(with.view[kReuse], 2.0f);
  EXPECT_LT(without.view[kReuse], 0.1f);
  EXPECT_LT(without.total - before, (with.total - before) / 2);
  // What others share counts for a member as before.
  Person of = farmed(3, kStart);
  of.cookie = "jar0";
  const SignupFacts member = signup_facts(of.signup());
  const Expected usual = expected_of(background, member, background_keys(member));
  EXPECT_GT(model.likelihood(member, usual, true).view[kReuse], 2.0f);
}

}  // namespace
}  // namespace tamis::detect
