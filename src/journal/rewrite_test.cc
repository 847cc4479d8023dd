#include "journal/rewrite.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "journal/journal.h"

namespace tamis::journal {
namespace {

namespace fs = std::filesystem;

class Rewriting : public ::testing::Test {
 protected:
  Rewriting()
      : folder_(fs::temp_directory_path() /
                ("tamis-rewrite-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(folder_);
  }
  ~Rewriting() override { fs::remove_all(folder_); }

  std::string path() const { return folder_.string(); }
  // Lines "record N of WHO"; WHO is bob for every third. A new segment after each ten.
  void fill(int records) {
    auto writer = JournalWriter::open(path());
    ASSERT_TRUE(writer) << writer.error().message;
    for (int i = 1; i <= records; ++i) {
      ASSERT_TRUE((*writer)->append("record " + std::to_string(i) + (i % 3 == 0 ? " of bob" : " of anna")));
      if (i % 10 == 0) {
        ASSERT_TRUE((*writer)->sync());
        (*writer)->roll();
      }
    }
    ASSERT_TRUE((*writer)->sync());
  }
  std::vector<std::string> lines() {
    auto reader = JournalReader::open(path());
    EXPECT_TRUE(reader);
    std::vector<std::string> out;
    std::string_view line;
    while (true) {
      auto more = (*reader)->next(line);
      EXPECT_TRUE(more) << more.error().message;
      if (!more || !*more) return out;
      out.emplace_back(line);
    }
  }
  fs::path folder_;
};

base::Result<bool> without_bob(std::string_view line, std::string& replacement) {
  if (line.find("bob") == std::string_view::npos) return false;
  replacement = "gone";
  return true;
}

TEST_F(Rewriting, ReplacesRecordsInTheirPlaces) {
  fill(35);
  auto done = rewrite_journal(path(), 31, without_bob);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->records, 30u);
  EXPECT_EQ(done->replaced, 10u);
  EXPECT_EQ(done->segments, 3u);
  std::vector<std::string> after = lines();
  ASSERT_EQ(after.size(), 35u);
  EXPECT_EQ(after[0], "record 1 of anna");
  EXPECT_EQ(after[2], "gone");
  EXPECT_EQ(after[29], "gone");
  EXPECT_EQ(after[32], "record 33 of bob");  // its segment begins at 31
  // Once more finds nothing left to do, and a writer goes on behind.
  done = rewrite_journal(path(), 31, without_bob);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->segments, 0u);
  auto writer = JournalWriter::open(path());
  ASSERT_TRUE(writer);
  EXPECT_EQ((*writer)->next_number(), 36u);
}

TEST_F(Rewriting, WhatACrashLeftIsPassedOverAndRemoved) {
  fill(5);
  std::string left = path() + "/0000000000000001.jsonl.zst.tmp.77.0";
  std::ofstream(left) << "half";
  EXPECT_EQ(lines().size(), 5u);
  ASSERT_TRUE(rewrite_journal(path(), 6, [](std::string_view, std::string&) { return base::Result<bool>(false); }));
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(Rewriting, AnErrorLeavesTheSegmentAsItWas) {
  fill(5);
  auto failing = [](std::string_view line, std::string& replacement) -> base::Result<bool> {
    replacement = "x";
    if (line.find("4") != std::string_view::npos) return base::invalid("no");
    return true;
  };
  EXPECT_FALSE(rewrite_journal(path(), 6, failing));
  EXPECT_EQ(lines()[0], "record 1 of anna");
}

TEST_F(Rewriting, DamageIsTold) {
  fill(5);
  std::string segment = path() + "/0000000000000001.jsonl.zst";
  std::ofstream(segment, std::ios::app) << "junk";
  auto done = rewrite_journal(path(), 6, without_bob);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("damaged at byte"), std::string::npos);
}

}  // namespace
}  // namespace tamis::journal
