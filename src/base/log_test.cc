#include "base/log.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tamis::base {
namespace {

class Log : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([this](std::string_view line) { lines_.emplace_back(line); });
  }
  void TearDown() override {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kInfo);
    set_log_format(LogFormat::kText);
  }
  std::string without_time(size_t line) { return lines_.at(line).substr(25); }

  std::vector<std::string> lines_;
};

TEST_F(Log, TextLine) {
  TAMIS_LOG(kInfo, "door", "listening on {} addresses", 2)
      .field("address", "[::1]:80")
      .field("tls", true)
      .field("n", 3);
  ASSERT_EQ(lines_.size(), 1u);
  std::string shape = lines_[0].substr(0, 24);
  for (char& c : shape)
    if (c >= '0' && c <= '9') c = '0';
  EXPECT_EQ(shape, "0000-00-00T00:00:00.000Z");
  EXPECT_EQ(without_time(0), "info door: listening on 2 addresses address=[::1]:80 tls=true n=3\n");
}

TEST_F(Log, NothingFromOutsideForgesALine) {
  TAMIS_LOG(kWarn, "door", "bad {}", "x\ny\x1b[31m").field("path", "a b\"\n2026 error").field("empty", "");
  EXPECT_EQ(without_time(0), "warn door: bad x\\ny\\u001b[31m path=\"a b\\\"\\n2026 error\" empty=\"\"\n");
}

TEST_F(Log, JsonLine) {
  set_log_format(LogFormat::kJson);
  TAMIS_LOG(kError, "net", "say \"hi\"\n").field("who", "a\\b").field("ratio", 0.5).field("ok", false);
  std::string& line = lines_.at(0);
  EXPECT_EQ(line.substr(0, 9), "{\"time\":\"");
  EXPECT_EQ(
      line.substr(line.find("\",\"level\"")),
      "\",\"level\":\"error\",\"room\":\"net\",\"message\":\"say \\\"hi\\\"\\n\",\"who\":\"a\\\\b\",\"ratio\":0.5,"
      "\"ok\":false}\n");
}

TEST_F(Log, LevelsBelowTheThresholdEvaluateNothing) {
  int evaluated = 0;
  auto count = [&] { return ++evaluated; };
  TAMIS_LOG(kDebug, "a", "{}", count());
  set_log_level(LogLevel::kOff);
  TAMIS_LOG(kError, "a", "{}", count());
  EXPECT_EQ(evaluated, 0);
  EXPECT_TRUE(lines_.empty());
  set_log_level(LogLevel::kDebug);
  TAMIS_LOG(kDebug, "a", "{}", count());
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(Log, SecretsAreHidden) {
  TAMIS_LOG(kInfo, "a", "x")
      .field("Session_Token", "abc")
      .field("password", "hunter")
      .field("key", "k")
      .field("keys", 3);
  EXPECT_EQ(without_time(0), "info a: x Session_Token=*** password=*** key=*** keys=3\n");
}

TEST_F(Log, ARepeatingCallSiteIsLimitedAndTellsWhatItLeftOut) {
  auto site = [](int i) { TAMIS_LOG(kInfo, "a", "again {}", i); };
  for (int i = 0; i < 1000; ++i) site(i);
  EXPECT_GE(lines_.size(), 20u);
  EXPECT_LT(lines_.size(), 60u);
  TAMIS_LOG(kInfo, "a", "another call site");
  EXPECT_EQ(lines_.back().substr(25), "info a: another call site\n");
  lines_.clear();
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  site(0);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find("suppressed=9"), std::string::npos) << lines_[0];
}

TEST_F(Log, WorksInAnUnbracedIf) {
  if (lines_.empty())
    TAMIS_LOG(kInfo, "a", "yes");
  else
    TAMIS_LOG(kInfo, "a", "no");
  EXPECT_EQ(without_time(0), "info a: yes\n");
}

TEST_F(Log, ThreadsDoNotTearLines) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) TAMIS_LOG(kInfo, "a", "from a thread");
    });
  for (auto& thread : threads) thread.join();
  ASSERT_GE(lines_.size(), 20u);
  for (const std::string& line : lines_) EXPECT_EQ(line.back(), '\n');
}

TEST(LogLevels, Parse) {
  EXPECT_EQ(parse_log_level("warn"), LogLevel::kWarn);
  EXPECT_EQ(parse_log_level("loud"), std::nullopt);
}

}  // namespace
}  // namespace tamis::base
