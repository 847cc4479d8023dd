#include "journal/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace tamis::journal {
namespace {

namespace fs = std::filesystem;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tamis-journal-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<JournalWriter> open(JournalOptions options = {}) {
    auto writer = JournalWriter::open(folder_, options);
    EXPECT_TRUE(writer.has_value()) << writer.error().message;
    return writer ? std::move(*writer) : nullptr;
  }

  // All lines; empty with `error_` set if the reader finds damage.
  std::vector<std::string> read() {
    std::vector<std::string> lines;
    error_.clear();
    auto reader = JournalReader::open(folder_);
    EXPECT_TRUE(reader.has_value());
    std::string_view line;
    while (true) {
      auto more = (*reader)->next(line);
      if (!more) {
        error_ = more.error().message;
        return {};
      }
      if (!*more) break;
      lines.emplace_back(line);
      EXPECT_EQ((*reader)->number(), lines.size());
    }
    dropped_ = (*reader)->dropped_bytes();
    return lines;
  }

  std::vector<fs::path> segments() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".zst") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  fs::path folder_;
  std::string error_;
  uint64_t dropped_ = 0;
};

TEST_F(JournalTest, GivesBackWhatWasAppendedAcrossSegmentsAndRestarts) {
  JournalOptions options;
  options.segment_bytes = 300;
  options.frame_bytes_max = 100;
  std::vector<std::string> expected;
  for (int run = 0; run < 3; ++run) {
    auto writer = open(options);
    EXPECT_EQ(writer->next_number(), expected.size() + 1);
    for (int i = 0; i < 200; ++i) {
      expected.push_back("{\"n\":" + std::to_string(expected.size() * 7919) + "}");
      ASSERT_TRUE(writer->append(expected.back()).has_value());
    }
    ASSERT_TRUE(writer->sync().has_value());
  }
  EXPECT_GT(segments().size(), 3u);
  EXPECT_EQ(read(), expected);
}

TEST_F(JournalTest, SyncMakesDurableWhatWasAppended) {
  JournalOptions options;
  options.sync_ms = 60'000;
  auto writer = open(options);
  ASSERT_TRUE(writer->append("one").has_value());
  ASSERT_TRUE(writer->sync().has_value());
  EXPECT_EQ(read(), std::vector<std::string>{"one"});
}

TEST_F(JournalTest, ATornTailIsToldAndCutOff) {
  {
    auto writer = open();
    ASSERT_TRUE(writer->append("first").has_value());
    ASSERT_TRUE(writer->sync().has_value());
    ASSERT_TRUE(writer->append("second, which a crash will tear").has_value());
  }
  fs::path segment = segments().back();
  fs::resize_file(segment, fs::file_size(segment) - 5);
  EXPECT_EQ(read(), std::vector<std::string>{"first"});
  EXPECT_GT(dropped_, 0u);
  auto writer = open();
  EXPECT_GT(writer->dropped_bytes(), 0u);
  EXPECT_EQ(writer->next_number(), 2u);
  ASSERT_TRUE(writer->append("again").has_value());
  ASSERT_TRUE(writer->sync().has_value());
  EXPECT_EQ(read(), (std::vector<std::string>{"first", "again"}));
}

TEST_F(JournalTest, EveryFlippedByteIsFoundOrDropsOnlyTheTail) {
  std::vector<std::string> written;
  {
    auto writer = open();
    for (int i = 0; i < 3; ++i) {
      written.push_back("record number " + std::to_string(i));
      ASSERT_TRUE(writer->append(written.back()).has_value());
      ASSERT_TRUE(writer->sync().has_value());
    }
  }
  fs::path segment = segments().back();
  std::string bytes;
  {
    std::ifstream in(segment, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  size_t harmless = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    std::ofstream(segment, std::ios::binary | std::ios::trunc) << damaged;
    std::vector<std::string> lines = read();
    if (!error_.empty()) {
      EXPECT_NE(error_.find(segment.string()), std::string::npos) << error_;
      EXPECT_NE(error_.find("damaged at byte"), std::string::npos) << error_;
      continue;
    }
    // One bit of a frame's header means nothing (RFC 8878, "Unused bit"): then nothing is lost.
    if (lines == written) {
      ++harmless;
      continue;
    }
    // A broken length can look like a frame that was cut off: then what came before is whole, and the rest is told.
    ASSERT_LT(lines.size(), written.size()) << "byte " << i;
    EXPECT_GT(dropped_, 0u) << "byte " << i;
    EXPECT_TRUE(std::equal(lines.begin(), lines.end(), written.begin()));
  }
  EXPECT_LE(harmless, written.size());
}

TEST_F(JournalTest, AMissingSegmentIsAnError) {
  JournalOptions options;
  options.segment_bytes = 1;
  {
    auto writer = open(options);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(writer->append("x").has_value());
      ASSERT_TRUE(writer->sync().has_value());
    }
  }
  ASSERT_EQ(segments().size(), 3u);
  fs::remove(segments()[1]);
  read();
  EXPECT_NE(error_.find("missing"), std::string::npos) << error_;
  EXPECT_NE(error_.find(segments()[1].string() + " begins with record 3, expected 2"), std::string::npos) << error_;
}

TEST_F(JournalTest, ReadsFromAnyRecordOnWithoutTouchingEarlierSegments) {
  JournalOptions options;
  options.segment_bytes = 400;
  options.frame_bytes_max = 100;
  constexpr uint64_t kRecords = 500;
  {
    auto writer = open(options);
    for (uint64_t i = 1; i <= kRecords; ++i) ASSERT_TRUE(writer->append("record " + std::to_string(i)).has_value());
    ASSERT_TRUE(writer->sync().has_value());
  }
  ASSERT_GT(segments().size(), 3u);
  // Damage in the first segment is not seen by whoever begins behind it.
  std::ofstream(segments().front(), std::ios::binary | std::ios::trunc) << "garbage";
  uint64_t second = std::stoull(segments()[1].filename().string());
  for (uint64_t first = second; first <= kRecords + 1; ++first) {
    auto reader = JournalReader::open(folder_, first);
    ASSERT_TRUE(reader.has_value());
    std::string_view line;
    uint64_t number = first;
    while (true) {
      auto more = (*reader)->next(line);
      ASSERT_TRUE(more.has_value()) << more.error().message;
      if (!*more) break;
      ASSERT_EQ(line, "record " + std::to_string(number));
      ASSERT_EQ((*reader)->number(), number++);
    }
    ASSERT_EQ(number, kRecords + 1);
  }
  std::string_view line;
  auto more = (*JournalReader::open(folder_, kRecords + 2))->next(line);
  ASSERT_FALSE(more.has_value());
  EXPECT_NE(more.error().message.find("ends with record 500"), std::string::npos) << more.error().message;
}

TEST_F(JournalTest, RollingBeginsANewSegmentAtTheNextRecord) {
  std::vector<std::string> written;
  std::vector<uint64_t> borders = {1};
  {
    auto writer = open();
    writer->roll();  // before the first record: it begins one anyway
    for (int i = 0; i < 300; ++i) {
      if (i % 50 == 49) {
        borders.push_back(writer->next_number());
        writer->roll();
        writer->roll();
      }
      written.push_back(std::to_string(i));
      ASSERT_TRUE(writer->append(written.back()).has_value());
      if (i % 70 == 0) {
        ASSERT_TRUE(writer->sync().has_value());
      }
    }
    writer->roll();  // without a record behind it: no segment
  }
  std::vector<uint64_t> firsts;
  for (const fs::path& segment : segments()) firsts.push_back(std::stoull(segment.filename().string()));
  EXPECT_EQ(firsts, borders);
  EXPECT_EQ(read(), written);
  EXPECT_EQ(open()->next_number(), 301u);
}

TEST_F(JournalTest, OldSegmentsGoAndTheJournalThenBeginsLater) {
  auto writer = open();
  for (int i = 1; i <= 40; ++i) {
    if (i % 10 == 1) writer->roll();
    ASSERT_TRUE(writer->append(std::to_string(i)).has_value());
  }
  ASSERT_TRUE(writer->sync().has_value());
  ASSERT_EQ(segments().size(), 4u);
  EXPECT_EQ(*writer->remove_before(20), 1u);  // record 20 is in the second
  EXPECT_EQ(*writer->remove_before(21), 1u);
  EXPECT_EQ(*writer->remove_before(21), 0u);
  EXPECT_EQ(*writer->remove_before(1000), 1u);  // never the last
  ASSERT_TRUE(writer->append("41").has_value());
  ASSERT_TRUE(writer->sync().has_value());
  auto reader = JournalReader::open(folder_);
  std::string_view line;
  ASSERT_TRUE(*(*reader)->next(line));
  EXPECT_EQ(line, "31");
  EXPECT_EQ((*reader)->number(), 31u);
  auto early = JournalReader::open(folder_, 30);
  ASSERT_FALSE(early.has_value());
  EXPECT_NE(early.error().message.find("begins with record 31"), std::string::npos) << early.error().message;
  writer.reset();
  EXPECT_EQ(open()->next_number(), 42u);
}

TEST_F(JournalTest, AFolderThatCannotBeWrittenIsToldAndCanStillBeRead) {
  {
    auto writer = open();
    ASSERT_TRUE(writer->append("one").has_value());
  }
  // A folder in the place of the lock cannot be opened for writing by anyone, root included.
  fs::remove(folder_ / "lock");
  fs::create_directory(folder_ / "lock");
  auto refused = JournalWriter::open(folder_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("cannot write in " + folder_.string()), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(read(), std::vector<std::string>{"one"});
}

TEST_F(JournalTest, ANewSegmentThatCannotBeMadeIsTriedAgain) {
  auto writer = open();
  ASSERT_TRUE(writer->append("one").has_value());
  ASSERT_TRUE(writer->sync().has_value());
  // A folder in the place of the next segment stands for a disk that refuses new files.
  fs::path next = folder_ / "0000000000000002.jsonl.zst";
  fs::create_directory(next);
  writer->roll();
  ASSERT_TRUE(writer->append("two").has_value());
  base::Status refused = writer->sync();
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find(next.string()), std::string::npos) << refused.error().message;
  ASSERT_TRUE(writer->append("three").has_value());
  fs::remove(next);
  ASSERT_TRUE(writer->sync().has_value());
  EXPECT_EQ(segments().size(), 2u);
  EXPECT_EQ(read(), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(JournalTest, OneWriterAFolder) {
  auto writer = open();
  auto second = JournalWriter::open(folder_);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
}

TEST_F(JournalTest, AFullDiskIsToldAndNothingIsLostOnceThereIsRoom) {
  JournalOptions options;
  options.pending_bytes_max = 4096;
  auto writer = open(options);
  ASSERT_TRUE(writer->append("before").has_value());
  ASSERT_TRUE(writer->sync().has_value());
  // The limit on file sizes stands in for a full disk.
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit none = old;
  none.rlim_cur = fs::file_size(segments().back());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  ASSERT_TRUE(writer->append("during").has_value());
  base::Status refused = writer->sync();
  size_t more = 0;
  while (more < 1000 && writer->append(std::string(100, 'x'))) ++more;
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("could not be written"), std::string::npos) << refused.error().message;
  EXPECT_LT(more, 60u);  // the bound on what waits
  ASSERT_TRUE(writer->sync().has_value());
  std::vector<std::string> lines = read();
  ASSERT_EQ(lines.size(), 2 + more);
  EXPECT_EQ(lines[1], "during");
}

}  // namespace
}  // namespace tamis::journal
