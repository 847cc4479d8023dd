#include "learn/mail_memory.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace tamis::learn {
namespace {

namespace fs = std::filesystem;
using model::FeatureId;

constexpr int64_t kDayMs = 86'400'000;

std::vector<FeatureId> features(uint64_t seed, size_t count = 50) {
  std::vector<FeatureId> out;
  for (size_t i = 0; i < count; ++i) {
    out.push_back(model::feature_id(static_cast<model::Place>((seed + i) % model::kPlaces), seed * 1000 + i));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

class MailMemoryTest : public testing::Test {
 protected:
  MailMemoryTest() : folder_((fs::temp_directory_path() / ("tamis-memory-" + std::to_string(::getpid()))).string()) {
    fs::remove_all(folder_);
    open();
  }
  ~MailMemoryTest() override {
    memory_.reset();
    fs::remove_all(folder_);
  }
  void open() {
    memory_.reset();
    if (keys_ == nullptr) keys_ = *DayKeys::open(folder_ + "/keys");
    MailMemoryOptions options = options_;
    options.folder = folder_ + "/remembered";
    auto opened = MailMemory::open(options, *keys_);
    ASSERT_TRUE(opened) << opened.error().message;
    memory_ = std::move(*opened);
  }
  bool knows(uint64_t n) {
    auto found = memory_->recall(MailMemory::hash_of("id" + std::to_string(n)));
    if (!found) {
      EXPECT_EQ(found.error().code, base::Code::kNotFound);
    }
    return found && found->text_key == n && found->features == features(n);
  }
  void remember(uint64_t n, int64_t now_ms = kDayMs) {
    auto done = memory_->remember("id" + std::to_string(n), n, features(n), now_ms);
    ASSERT_TRUE(done) << done.error().message;
  }

  std::string folder_;
  MailMemoryOptions options_;
  std::unique_ptr<DayKeys> keys_;
  std::unique_ptr<MailMemory> memory_;
};

TEST_F(MailMemoryTest, RemembersOverARestart) {
  for (uint64_t n = 0; n < 100; ++n) remember(n);
  EXPECT_TRUE(knows(7));
  EXPECT_FALSE(knows(100));
  const uint64_t bytes = memory_->bytes();
  open();
  EXPECT_EQ(memory_->messages(), 100u);
  EXPECT_EQ(memory_->bytes(), bytes);
  for (uint64_t n = 0; n < 100; ++n) EXPECT_TRUE(knows(n)) << n;
  remember(100);
  EXPECT_TRUE(knows(100));
}

TEST_F(MailMemoryTest, WhatACrashCutOffIsLeftOut) {
  for (uint64_t n = 0; n < 3; ++n) remember(n);
  memory_.reset();
  for (const auto& entry : fs::directory_iterator(folder_ + "/remembered")) {
    fs::resize_file(entry.path(), fs::file_size(entry.path()) - 5);
  }
  open();
  EXPECT_TRUE(knows(0));
  EXPECT_TRUE(knows(1));
  EXPECT_FALSE(knows(2));
  remember(3);
  open();
  EXPECT_TRUE(knows(3));
  EXPECT_EQ(memory_->messages(), 3u);
}

TEST_F(MailMemoryTest, TheOldestMakeRoom) {
  options_.file_bytes_max = 2'000;
  options_.bytes_max = 10'000;
  open();
  for (uint64_t n = 0; n < 500; ++n) remember(n);
  EXPECT_LE(memory_->bytes(), 10'000u);
  EXPECT_FALSE(knows(0));
  EXPECT_TRUE(knows(499));
  EXPECT_LT(memory_->messages(), 100u);
  uint64_t on_disk = 0;
  for (const auto& entry : fs::directory_iterator(folder_ + "/remembered")) on_disk += fs::file_size(entry.path());
  EXPECT_EQ(on_disk, memory_->bytes());
}

TEST_F(MailMemoryTest, DaysEnd) {
  remember(1, kDayMs);
  remember(2, 2 * kDayMs);
  remember(3, kDayMs);  // a clock that went back
  memory_->forget_before(2);
  EXPECT_FALSE(knows(1));
  EXPECT_TRUE(knows(2));
  EXPECT_TRUE(knows(3));
  ASSERT_TRUE(keys_->destroy_before(2));
  EXPECT_TRUE(knows(2));
  EXPECT_FALSE(knows(3));  // it was sealed under the key of its own day
}

TEST(Features, InBytesAndBack) {
  EXPECT_TRUE(rc::check("a set of features comes back", [] {
    auto set = *rc::gen::container<std::vector<FeatureId>>(rc::gen::inRange<FeatureId>(0, UINT32_C(1) << 31));
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    std::string bytes;
    append_features(set, bytes);
    bytes += "rest";
    std::string_view view = bytes;
    std::vector<FeatureId> back;
    RC_ASSERT(read_features(view, back));
    RC_ASSERT(back == set);
    RC_ASSERT(view == "rest");
  }));
  EXPECT_TRUE(rc::check("any bytes are a set or refused", [] {
    const auto bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    std::string_view view = bytes;
    std::vector<FeatureId> out;
    if (read_features(view, out)) RC_ASSERT(model::is_feature_set(out));
  }));
}

}  // namespace
}  // namespace tamis::learn
