#include "replay/class_rates.h"

#include <gtest/gtest.h>

namespace tamis::replay {
namespace {

using Outcome = RateCheck::Result;

const std::vector<std::string> kTypes = {"login", "signup"};

RateBound bound(const std::string& text) {
  base::Result<RateBound> read = read_rate_bound(text, kTypes);
  EXPECT_TRUE(read.has_value()) << text;
  return read ? *read : RateBound{};
}

ClassCell honest(uint64_t good, uint64_t hit) { return {good, hit, 0, 0}; }

TEST(ClassRates, BoundsAreReadForAllTypesOrOne) {
  EXPECT_EQ(bound("tor=0.5%").type, "");
  EXPECT_EQ(bound("tor=0.5%").name, "tor");
  EXPECT_DOUBLE_EQ(bound("tor=0.5%").most, 0.005);
  EXPECT_DOUBLE_EQ(bound("tor=1").most, 1);
  EXPECT_EQ(bound("signup/tor=0.005").type, "signup");
  EXPECT_EQ(bound("signup/tor=0.005").name, "tor");
  // Classes have slashes, too.
  EXPECT_EQ(bound("Europe/Berlin=1%").type, "");
  EXPECT_EQ(bound("Europe/Berlin=1%").name, "Europe/Berlin");
  EXPECT_EQ(bound("login/Europe/Berlin=1%").name, "Europe/Berlin");
  EXPECT_EQ(bound("a=b=0").name, "a=b");
}

TEST(ClassRates, WhatIsNoBoundIsSaid) {
  for (const char* text : {"tor", "=1%", "tor=", "tor=x", "tor=1%%", "tor=-1%", "tor=nan", "signup/=1%", ""}) {
    EXPECT_FALSE(read_rate_bound(text, kTypes).has_value()) << text;
  }
  // Somebody forgot the percent sign.
  base::Result<RateBound> large = read_rate_bound("tor=5", kTypes);
  ASSERT_FALSE(large.has_value());
  EXPECT_NE(large.error().message.find("at most 1, or 100%"), std::string::npos);
  EXPECT_TRUE(check_bounds({bound("tor=1%"), bound("signup/tor=1%"), bound("vpn=1%")}).has_value());
  EXPECT_FALSE(check_bounds({bound("tor=1%"), bound("tor=2%")}).has_value());
  EXPECT_FALSE(check_bounds({bound("login/tor=1%"), bound("login/tor=1%")}).has_value());
}

// Together they have 0.02 % and would pass; most of that is of the type with many events.
TEST(ClassRates, ATypeWithManyEventsHidesNone) {
  std::map<std::string, ClassCells> by_type;
  by_type["login"]["tor"] = honest(100'000, 10);
  by_type["signup"]["tor"] = honest(1'000, 12);
  const std::vector<RateCheck> checks = check_rates({bound("tor=0.5%")}, by_type);
  ASSERT_EQ(checks.size(), 2u);
  EXPECT_EQ(checks[0].where(), "login/tor");
  EXPECT_EQ(checks[0].result, Outcome::kHolds);
  EXPECT_TRUE(checks[0].sure);
  EXPECT_EQ(checks[1].where(), "signup/tor");
  EXPECT_EQ(checks[1].result, Outcome::kExceeds);
  EXPECT_TRUE(checks[1].sure);
  EXPECT_EQ(checks[1].words(),
            "signup/tor: 1.200 % of honest events are treated harshly, at most 0.500 % may be "
            "(12 of 1000; 95 %: 0.688 % to 2.086 %)");
}

TEST(ClassRates, ABoundOfOneTypeGoesBeforeOneOfAll) {
  std::map<std::string, ClassCells> by_type;
  by_type["login"]["tor"] = honest(1'000, 8);
  by_type["signup"]["tor"] = honest(1'000, 8);
  std::vector<RateCheck> checks = check_rates({bound("tor=0.5%"), bound("login/tor=2%")}, by_type);
  ASSERT_EQ(checks.size(), 2u);
  EXPECT_EQ(checks[0].where(), "signup/tor");
  EXPECT_EQ(checks[0].result, Outcome::kExceeds);
  EXPECT_EQ(checks[1].where(), "login/tor");
  EXPECT_EQ(checks[1].result, Outcome::kHolds);
  // All types have bounds of their own: that of all is not unknown, it is not needed.
  checks = check_rates({bound("tor=0.5%"), bound("login/tor=2%"), bound("signup/tor=2%")}, by_type);
  ASSERT_EQ(checks.size(), 2u);
}

TEST(ClassRates, NoHonestEventsAreNoAnswer) {
  std::map<std::string, ClassCells> by_type;
  by_type["login"]["tor"] = {0, 0, 50, 40};
  for (const char* text : {"tor=1%", "login/tor=1%", "moon=1%", "signup/tor=1%"}) {
    const std::vector<RateCheck> checks = check_rates({bound(text)}, by_type);
    ASSERT_EQ(checks.size(), 1u) << text;
    EXPECT_EQ(checks[0].result, Outcome::kUnknown) << text;
    EXPECT_FALSE(checks[0].sure);
  }
  EXPECT_EQ(check_rates({bound("signup/tor=1%")}, by_type)[0].words(),
            "signup/tor: there are no honest events of it, so nothing is known");
}

TEST(ClassRates, TooFewEventsAreTold) {
  std::map<std::string, ClassCells> by_type;
  by_type["signup"]["tor"] = honest(56, 0);
  RateCheck few = check_rates({bound("tor=0.5%")}, by_type)[0];
  EXPECT_EQ(few.result, Outcome::kHolds);
  EXPECT_FALSE(few.sure);
  EXPECT_EQ(few.sure_from, 765u);
  EXPECT_NE(few.words().find("too few to tell, it may be more: at this rate it takes 765"), std::string::npos);
  // The number is the first that does.
  for (uint64_t n : {764u, 765u}) {
    by_type["signup"]["tor"] = honest(n, 0);
    EXPECT_EQ(check_rates({bound("tor=0.5%")}, by_type)[0].sure, n == 765) << n;
  }
  // One of few is above the bound, and may be chance.
  by_type["signup"]["tor"] = honest(56, 1);
  few = check_rates({bound("tor=0.5%")}, by_type)[0];
  EXPECT_EQ(few.result, Outcome::kExceeds);
  EXPECT_FALSE(few.sure);
  EXPECT_NE(few.words().find("it may be less"), std::string::npos);
  const uint64_t times = few.sure_from / 56 + 1;
  by_type["signup"]["tor"] = honest(56 * times, times);
  EXPECT_TRUE(check_rates({bound("tor=0.5%")}, by_type)[0].sure);
  // None at all cannot be shown.
  by_type["signup"]["tor"] = honest(1'000'000, 0);
  few = check_rates({bound("tor=0")}, by_type)[0];
  EXPECT_EQ(few.result, Outcome::kHolds);
  EXPECT_FALSE(few.sure);
  EXPECT_EQ(few.sure_from, 0u);
}

TEST(ClassRates, ClassesAreBounded) {
  ClassCells cells;
  for (int i = 0; i < 200; ++i) cell_of(cells, "c" + std::to_string(i)).add(false, i % 2 == 0);
  EXPECT_EQ(cells.size(), kClassesMax + 1);
  EXPECT_EQ(cells.at("(others)").good, 200 - kClassesMax);
  std::string room;
  EXPECT_EQ(class_name(event::Value::absent(), room), "(none)");
  EXPECT_EQ(class_name(event::Value::string("tor"), room), "tor");
  EXPECT_EQ(class_name(event::Value::integer(7), room), "7");
}

}  // namespace
}  // namespace tamis::replay
