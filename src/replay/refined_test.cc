#include "replay/refined.h"

#include <gtest/gtest.h>

#include "event/json_event.h"

namespace tamis::replay {
namespace {

constexpr int64_t kStart = 1'772'409'600'000;

// Members of two campaigns of one tool: they share machine and place, and differ in name, form and pace.
std::vector<detect::SignupFacts> members(uint64_t count) {
  std::vector<detect::SignupFacts> all;
  for (uint64_t n = 0; n < count; ++n) {
    detect::SignupFacts f;
    const bool second = n % 3 == 0;
    f.account = 1000 + n;
    f.t_ms = kStart + static_cast<int64_t>(n) * 60'000;
    f.value[detect::kShape] = second ? 11 : 12;
    f.value[detect::kForm] = second ? 21 : 22;
    f.value[detect::kHardware] = f.value[detect::kAgent] = f.value[detect::kDevice] = 31;
    f.value[detect::kAsn] = f.value[detect::kLocale] = 41;
    f.measure[detect::kFill] = (second ? 8.5f : 7.2f) + 0.01f * static_cast<float>(n % 7);
    f.measure[detect::kCaptcha] = (second ? 7.0f : 6.1f) + 0.01f * static_cast<float>(n % 5);
    all.push_back(f);
  }
  return all;
}

TEST(Refined, says_how_many_there_are_and_what_each_shares) {
  const FoundParts found = describe(part(members(90)));
  ASSERT_EQ(found.parts.size(), 2u);
  EXPECT_EQ(found.parts[0].size, 60u);
  EXPECT_EQ(found.parts[1].size, 30u);
  EXPECT_EQ(found.size(), 90u);
  EXPECT_EQ(found.parts[1].first_ms, kStart);
  for (const FoundPart& one : found.parts) {
    EXPECT_EQ(one.shares, "name_shape, form");
    EXPECT_EQ(one.seen.size(), kSeenMax);
  }
}

TEST(Refined, a_part_is_found_again_when_the_other_has_outgrown_it) {
  const FoundParts told = describe(part(members(90)));
  std::vector<detect::SignupFacts> now = members(300);
  // From now on almost only the second one comes: it is the larger one then.
  for (size_t i = 90; i < now.size(); ++i) {
    const detect::SignupFacts like = now[i % 15 == 0 ? 1 : 0];
    now[i].value = like.value, now[i].measure = like.measure;
  }
  const PartedMembers grown = part(now);
  ASSERT_EQ(describe(grown).parts.size(), 2u);
  const auto places = find_again(told, grown);
  EXPECT_EQ(places, (std::vector<std::optional<uint32_t>>{1, 0}));
  // Where the members are gone by which it was known, it is not guessed at.
  for (detect::SignupFacts& f : now) f.t_ms += 7;
  EXPECT_EQ(find_again(told, part(now)), (std::vector<std::optional<uint32_t>>{std::nullopt, std::nullopt}));
}

TEST(Refined, parts_that_have_become_one_are_not_told_apart) {
  const FoundParts told = describe(part(members(90)));
  std::vector<detect::SignupFacts> alike = members(90);
  for (detect::SignupFacts& f : alike) f.value = alike[0].value, f.measure = alike[0].measure;
  EXPECT_EQ(find_again(told, part(alike)), (std::vector<std::optional<uint32_t>>{std::nullopt, std::nullopt}));
}

TEST(Refined, its_events_are_read_by_the_type_of_findings) {
  policy::Loaded loaded = policy::load_files({{"p.yaml", R"(
policy: p
type: {at: kind}
id: {at: head.id}
time: {at: head.t, format: s}
---
event: finding
fields:
  what: {type: string, path: finding}
  cluster: {type: int, entity: cluster}
  size: double
  actionable: bool
  parts: int
  part: int
  shares: string
  seen: string
  cause: string
)"}});
  ASSERT_NE(loaded.policy, nullptr);
  const auto columns = refined_columns(*loaded.policy);
  ASSERT_TRUE(columns);
  EXPECT_EQ(columns->finding, "\"what\"");
  FoundParts found = describe(part(members(90)));
  found.look = "split-7";
  detect::ClusterFacts facts;
  facts.id = 7, facts.score = 0.9, facts.members = 90, facts.acted_ms = kStart;
  const std::vector<std::string> events = finding_events(*columns->type, facts, found, kStart + 5'000);
  ASSERT_EQ(events.size(), 3u);
  engine::PreparedEvent prepared;
  for (size_t i = 0; i < events.size(); ++i) {
    ASSERT_TRUE(prepared.prepare(loaded.policy, "finding", events[i], nullptr).has_value()) << events[i];
    EXPECT_EQ(prepared.event().time_ms, kStart + 5'000);
    EXPECT_EQ(prepared.event().id, i == 0 ? "split-7" : "split-7." + std::to_string(i - 1));
    EXPECT_EQ(prepared.event().slots[1].i, i == 2 ? 1'000'000'000'007 : 7);
    EXPECT_EQ(prepared.event().slots[4].i, 2);
  }
  loaded =
      policy::load_files({{"p.yaml", "policy: p\n---\nevent: finding\nfields: {finding: string, cluster: int}\n"}});
  ASSERT_NE(loaded.policy, nullptr);
  EXPECT_FALSE(refined_columns(*loaded.policy));
}

}  // namespace
}  // namespace tamis::replay
