#include "door/jobs.h"

#include <gtest/gtest.h>

#include <chrono>

namespace tamis::door {
namespace {

constexpr int64_t kNowMs = 1'780'000'000'000;

std::string shown(const Jobs& jobs, uint64_t id) {
  std::string out;
  base::Status known = jobs.write(id, out);
  return known ? out : known.error().message;
}

// Waits until the job has ended, and shows it.
std::string ended(const Jobs& jobs, uint64_t id) {
  for (int i = 0; i < 10'000; ++i) {
    std::string out = shown(jobs, id);
    if (out.find("\"running\"") == std::string::npos) return out;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return "it does not end";
}

// Work that goes on until somebody stops it.
base::Result<std::string> endless(Jobs::Handle& handle) {
  uint64_t done = 0;
  while (handle.progress(++done, 0)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return base::fail(base::Code::kUnavailable, "stopped");
}

TEST(Jobs, TellHowTheyWent) {
  Jobs jobs;
  auto good = jobs.start("find", "ann", kNowMs, [](Jobs::Handle& handle) -> base::Result<std::string> {
    handle.progress(3, 4);
    return std::string("{\"count\":7}");
  });
  auto bad = jobs.start("act \"x\"", "o\"neil", kNowMs,
                        [](Jobs::Handle&) -> base::Result<std::string> { return base::invalid("no rule \"x\""); });
  ASSERT_TRUE(good && bad);
  EXPECT_EQ(ended(jobs, *good),
            R"({"job":1,"kind":"find","author":"ann","started":"2026-05-28T20:26:40.000Z","state":"done","done":3,)"
            R"("total":4,"result":{"count":7}})");
  EXPECT_EQ(ended(jobs, *bad),
            R"({"job":2,"kind":"act \"x\"","author":"o\"neil","started":"2026-05-28T20:26:40.000Z","state":"failed",)"
            R"("done":0,"total":0,"error":"no rule \"x\""})");
  std::string all;
  jobs.write_all(all);
  EXPECT_EQ(all.find("{\"jobs\":[{\"job\":2,"), 0u) << all;
  EXPECT_EQ(all.find("count"), std::string::npos) << "a list has no results";
}

TEST(Jobs, CanBeStopped) {
  Jobs jobs;
  auto id = jobs.start("backtest", "ann", kNowMs, endless);
  ASSERT_TRUE(id);
  EXPECT_NE(shown(jobs, *id).find("\"running\""), std::string::npos);
  EXPECT_TRUE(jobs.stop(*id));
  EXPECT_NE(ended(jobs, *id).find("\"state\":\"stopped\""), std::string::npos);
  EXPECT_TRUE(jobs.stop(*id)) << "once more does no harm";
}

TEST(Jobs, ThatNobodyKnowsAreNamed) {
  Jobs jobs;
  EXPECT_EQ(shown(jobs, 7), "no job 7");
  EXPECT_EQ(jobs.stop(7).error().code, base::Code::kNotFound);
  std::string all;
  jobs.write_all(all);
  EXPECT_EQ(all, "{\"jobs\":[]}");
}

TEST(Jobs, AreNotTooManyAtOnce) {
  Jobs jobs(2);
  auto one = jobs.start("a", "x", kNowMs, endless), two = jobs.start("b", "x", kNowMs, endless);
  ASSERT_TRUE(one && two);
  auto three = jobs.start("c", "x", kNowMs, endless);
  ASSERT_FALSE(three);
  EXPECT_EQ(three.error().code, base::Code::kUnavailable);
  EXPECT_TRUE(jobs.stop(*one));
  ended(jobs, *one);
  auto again = jobs.start("c", "x", kNowMs, endless);
  EXPECT_TRUE(again) << again.error().message;
  // The destructor stops what runs.
}

TEST(Jobs, OldResultsGiveWay) {
  Jobs jobs(1, 3);
  for (uint64_t i = 1; i <= 10; ++i) {
    auto id = jobs.start("n", "x", kNowMs, [](Jobs::Handle&) -> base::Result<std::string> { return std::string("1"); });
    ASSERT_TRUE(id);
    ASSERT_EQ(*id, i);
    ended(jobs, *id);
  }
  EXPECT_EQ(shown(jobs, 1), "no job 1");
  EXPECT_NE(shown(jobs, 10).find("\"result\":1"), std::string::npos);
}

}  // namespace
}  // namespace tamis::door
