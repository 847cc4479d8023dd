#include "door/challenge.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

namespace tamis::door {
namespace {

using Outcome = Challenges::Outcome;

std::vector<uint64_t> solve(const Challenge& challenge) {
  std::vector<uint64_t> out;
  for (uint32_t i = 0; i < challenge.count; ++i) {
    uint64_t n = 0;
    while (!is_solution(challenge.text, i, n, challenge.bits)) ++n;
    out.push_back(n);
  }
  return out;
}

ChallengeOptions easy() {
  ChallengeOptions options;
  options.count = 3, options.bits_min = 3, options.bits_max = 9, options.lasts_ms = 1000, options.solved_max = 4;
  return options;
}

TEST(Challenges, ASolutionCountsOnceAndOnlyForWhatItWasIssuedFor) {
  Challenges challenges(easy());
  const ChallengeFor what{"account", "a1", "signup", "e7"};
  const Challenge one = challenges.issue(what, 0.5, 100);
  EXPECT_EQ(6u, one.bits);
  EXPECT_EQ(1100, one.expires_ms);
  const auto solution = solve(one);
  EXPECT_EQ(Outcome::kOther, challenges.verify(one.text, solution, {"account", "a2", "signup", "e7"}, 200));
  EXPECT_EQ(Outcome::kOther, challenges.verify(one.text, solution, {"account", "a1s", "ignup", "e7"}, 200));
  EXPECT_EQ(Outcome::kExpired, challenges.verify(one.text, solution, what, 1100));
  EXPECT_EQ(Outcome::kPassed, challenges.verify(one.text, solution, what, 1099));
  EXPECT_EQ(Outcome::kRepeated, challenges.verify(one.text, solution, what, 1099));
  EXPECT_EQ(1u, challenges.issued());
  EXPECT_EQ(1u, challenges.solved());
}

TEST(Challenges, WorkIsMeasured) {
  Challenges challenges(easy());
  const Challenge one = challenges.issue({}, 1, 0);
  auto solution = solve(one);
  solution.pop_back();
  EXPECT_EQ(Outcome::kWrong, challenges.verify(one.text, solution, {}, 1));
  uint64_t wrong = 0;
  while (is_solution(one.text, 2, wrong, one.bits)) ++wrong;
  solution.push_back(wrong);
  EXPECT_EQ(Outcome::kWrong, challenges.verify(one.text, solution, {}, 1));
  EXPECT_EQ(3u, challenges.issue({}, -1, 0).bits);
  EXPECT_EQ(9u, challenges.issue({}, 7, 0).bits);
  EXPECT_EQ(3u, challenges.issue({}, std::numeric_limits<double>::quiet_NaN(), 0).bits);
}

TEST(Challenges, AnotherKeyIsForeign) {
  Challenges ours(easy()), theirs(easy());
  const Challenge one = theirs.issue({}, 0, 0);
  EXPECT_EQ(Outcome::kForeign, ours.verify(one.text, solve(one), {}, 1));
  for (const char* text : {"", ".", "tamis1", "tamis1.1.1.1.1.1.1", "tamis1......", "x.1.1.9.a.b.c"}) {
    EXPECT_EQ(Outcome::kForeign, ours.verify(text, {}, {}, 1)) << text;
  }
}

TEST(Challenges, ChangedByOneCharacterIsForeign) {
  EXPECT_TRUE(rc::check([] {
    Challenges challenges(easy());
    const Challenge one = challenges.issue({"ip", "192.0.2.1", "", ""}, 0, 0);
    std::string text = one.text;
    const auto place = *rc::gen::inRange<size_t>(0, text.size());
    text[place] = static_cast<char>(text[place] ^ *rc::gen::inRange(1, 8));
    RC_ASSERT(challenges.verify(text, solve(one), {"ip", "192.0.2.1", "", ""}, 1) == Outcome::kForeign);
  }));
}

TEST(Challenges, TheMemoryOfWhatWasSolvedIsBounded) {
  Challenges challenges(easy());
  std::vector<Challenge> all;
  for (int i = 0; i < 5; ++i) all.push_back(challenges.issue({}, 0, 0));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Outcome::kPassed, challenges.verify(all[i].text, solve(all[i]), {}, 10));
  EXPECT_EQ(Outcome::kFull, challenges.verify(all[4].text, solve(all[4]), {}, 10));
  EXPECT_EQ(Outcome::kRepeated, challenges.verify(all[0].text, solve(all[0]), {}, 10));
  const Challenge later = challenges.issue({}, 0, 1000);
  EXPECT_EQ(Outcome::kPassed, challenges.verify(later.text, solve(later), {}, 1010));
  EXPECT_EQ(Outcome::kExpired, challenges.verify(all[0].text, solve(all[0]), {}, 1010));
}

}  // namespace
}  // namespace tamis::door
