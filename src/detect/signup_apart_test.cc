#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>

#include "detect/detect_test_kit.h"
#include "detect/signup_split.h"

namespace tamis::detect {
namespace {

SignupClusterOptions small() {
  SignupClusterOptions o;
  o.accounts_max = 20'000, o.keys_max = 200'000, o.single_slots_log2 = 16, o.values_max = 200'000;
  o.clusters_max = 512, o.shared_max = 50'000;
  return o;
}

// Of one tool, with the same names and mail domain for recovery; each campaign has its own devices and its own pace.
Person of_tool(uint64_t n, uint64_t campaign, int64_t t_ms) {
  Person p = honest(1'000'000 * campaign + n, t_ms);
  p.account = "t" + std::to_string(campaign) + "_" + std::to_string(n);
  p.local = word(draw(n, 20 + campaign), 5) + "." + word(draw(n, 40 + campaign), 6) + std::to_string(10 + n % 90);
  p.recovery = word(draw(n, 50 + campaign), 7) + "@tool.example";
  p.gpu = p.device = "farm" + std::to_string(3 * campaign + n % 3);
  p.fill_ms = static_cast<uint32_t>((campaign == 1 ? 6000 : 16'000) + draw(n, 23) % 900);
  return p;
}

// Honest people, and the campaigns among them in turn.
std::vector<Person> with_campaigns(uint64_t campaigns, size_t members) {
  std::vector<Person> all;
  for (size_t i = 0; i < 2400; ++i) all.push_back(honest(i, kStart + int64_t(i) * kHourMs / 12));
  for (size_t i = 0; i < members; ++i)
    for (uint64_t c = 1; c <= campaigns; ++c)
      all.push_back(of_tool(i, c, kStart + 4 * 24 * kHourMs + int64_t(i) * kHourMs / 3));
  std::stable_sort(all.begin(), all.end(), [](const Person& a, const Person& b) { return a.t_ms < b.t_ms; });
  return all;
}

// By campaign, the clusters of its members as they came, from the `from`th on.
using Clusters = std::map<char, std::map<uint64_t, size_t>>;
Clusters clusters_of(SignupClusters& detector, const std::vector<Person>& all, size_t from) {
  Clusters out;
  for (const Person& p : all) {
    const SignupScore score = detector.signup(p.signup());
    if (p.account[0] == 't' && std::stoul(p.account.substr(3)) >= from) ++out[p.account[1]][score.cluster];
  }
  return out;
}

std::pair<uint64_t, size_t> most(const std::map<uint64_t, size_t>& clusters) {
  return *std::max_element(clusters.begin(), clusters.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
}

TEST(SignupApart, two_campaigns_of_one_tool_become_two_clusters_while_they_go_on) {
  const auto all = with_campaigns(2, 180);
  auto detector = SignupClusters::make(small());
  const Clusters found = clusters_of(*detector, all, 120);
  const auto [one, of_one] = most(found.at('1'));
  const auto [other, of_other] = most(found.at('2'));
  EXPECT_NE(one, other);
  EXPECT_GE(of_one, 55u);
  EXPECT_GE(of_other, 55u);
  // Both are campaigns as they were together, and each is found with what it shares.
  EXPECT_GE(detector->facts(one)->score, 0.9);
  EXPECT_GE(detector->facts(other)->score, 0.9);
  EXPECT_GT(detector->facts(other)->acted_ms, 0);
  EXPECT_GE(detector->account("t1_170").score, 0.9);
  EXPECT_GE(detector->account("t2_170").score, 0.9);
}

TEST(SignupApart, one_campaign_with_three_devices_stays_one_cluster) {
  auto detector = SignupClusters::make(small());
  const Clusters found = clusters_of(*detector, with_campaigns(1, 180), 60);
  EXPECT_GE(most(found.at('1')).second, 115u);
}

TEST(SignupApart, what_was_cleared_stays_so_in_both) {
  const auto all = with_campaigns(2, 180);
  auto detector = SignupClusters::make(small());
  std::map<uint64_t, size_t> suppressed;
  size_t seen = 0;
  for (const Person& p : all) {
    const SignupScore score = detector->signup(p.signup());
    if (p.account[0] != 't') continue;
    if (score.cluster != 0 && ++seen == 20) {
      EXPECT_TRUE(detector->suppress(score.cluster, kStart + 1000 * 24 * kHourMs));
    }
    if (seen > 240) suppressed[score.cluster] += score.is_suppressed;
  }
  std::erase_if(suppressed, [](const auto& c) { return c.second < 40; });
  EXPECT_EQ(suppressed.size(), 2u);
}

// A snapshot is taken wherever in the work of comparing members, and somebody is erased in the middle of it.
TEST(SignupApart, goes_on_the_same_after_a_restart) {
  const auto all = with_campaigns(2, 150);
  EXPECT_TRUE(rc::check([&](uint32_t place) {
    const size_t cut = 1000 + place % (all.size() - 1000);
    auto first = SignupClusters::make(small());
    const auto step = [&](SignupClusters& detector, size_t i) {
      if (i % 97 == 0) detector.erase(all[i / 2].account);
      return detector.signup(all[i].signup());
    };
    for (size_t i = 0; i < cut; ++i) step(*first, i);
    auto second = SignupClusters::make(small());
    RC_ASSERT(restore(*second, pieces_of(*first)));
    RC_ASSERT(first->digest() == second->digest());
    for (size_t i = cut; i < all.size(); ++i) {
      const SignupScore a = step(*first, i), b = step(*second, i);
      RC_ASSERT(a.score == b.score && a.cluster == b.cluster);
    }
    RC_ASSERT(first->digest() == second->digest());
  }));
}

std::vector<SplitRow> rows_of(uint64_t campaigns, size_t members) {
  std::vector<SplitRow> rows;
  for (size_t i = 0; i < members; ++i) {
    const Person p = of_tool(i, 1 + i % campaigns, kStart);
    rows.push_back(SplitRow::of(signup_facts(p.signup())));
  }
  return rows;
}

TEST(Splitting, finds_the_same_however_the_work_is_cut) {
  const auto rows = rows_of(2, 160);
  Splitting whole(rows);
  EXPECT_TRUE(whole.work(SIZE_MAX));
  ASSERT_EQ(whole.sides().size(), rows.size());
  size_t wrong = 0;
  for (size_t i = 0; i < rows.size(); ++i) wrong += (whole.sides()[i] == whole.sides()[0]) != (i % 2 == 0);
  EXPECT_LE(wrong, 2u);
  EXPECT_TRUE(rc::check([&](const std::vector<uint8_t>& cuts) {
    Splitting cut(rows);
    for (size_t i = 0; !cut.is_done(); ++i) cut.work(cuts.empty() ? 7 : 1 + cuts[i % cuts.size()]);
    RC_ASSERT(cut.sides() == whole.sides());
  }));
}

TEST(Splitting, what_differs_in_one_thing_belongs_together) {
  Splitting split(rows_of(1, 160));
  split.work(SIZE_MAX);
  EXPECT_TRUE(split.sides().empty());
}

TEST(Splitting, takes_any_rows) {
  EXPECT_TRUE(rc::check([](const std::vector<std::pair<uint8_t, uint16_t>>& draws) {
    std::vector<SplitRow> rows;
    for (const auto& [value, x] : draws) {
      SplitRow row;
      row.value.fill(value % 5);
      row.value[1] = x % 3;
      row.x = {static_cast<float>(x % 20) - 1, static_cast<float>(value % 7)};
      rows.push_back(row);
    }
    Splitting split(rows);
    for (int i = 0; !split.is_done(); ++i) {
      RC_ASSERT(i < 1'000'000);
      split.work(50);
    }
    RC_ASSERT(split.sides().empty() || split.sides().size() == rows.size());
  }));
}

}  // namespace
}  // namespace tamis::detect
