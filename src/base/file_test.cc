#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/clock.h"

namespace tamis::base {
namespace {

class File : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tamis_file_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST_F(File, WritesAndReadsBack) {
  std::string content(100'000, 'x');
  content[5] = '\0';
  ASSERT_TRUE(write_file_atomically(at("a"), content));
  EXPECT_EQ(read_file(at("a"), 100'000).value(), content);
  ASSERT_TRUE(write_file_atomically(at("a"), ""));
  EXPECT_EQ(read_file(at("a"), 0).value(), "");
  EXPECT_EQ(list_files(folder_).value().size(), 1u) << "no temporary file is left";
}

TEST_F(File, KeepsTheModeOfWhatItReplaces) {
  ASSERT_TRUE(write_file_atomically(at("secret"), "1"));
  ASSERT_EQ(::chmod(at("secret").c_str(), 0600), 0);
  ASSERT_TRUE(write_file_atomically(at("secret"), "2"));
  struct stat facts;
  ASSERT_EQ(::stat(at("secret").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600u);
}

TEST_F(File, ErrorsNamePathAndReason) {
  const auto missing = read_file(at("none"), 10);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().message, "cannot open " + at("none") + ": No such file or directory");
  ASSERT_TRUE(write_file_atomically(at("big"), "0123456789"));
  const auto big = read_file(at("big"), 9);
  ASSERT_FALSE(big);
  EXPECT_EQ(big.error().code, Code::kLimit);
  EXPECT_EQ(big.error().message, at("big") + " has more than the allowed 9 bytes");
  const auto folder = read_file(folder_, 10);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, "cannot read " + folder_ + ": Is a directory");
  const auto nowhere = write_file_atomically(at("no/such/file"), "x");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Code::kNotFound);
  ASSERT_TRUE(make_folders(at("dir")));
  EXPECT_FALSE(write_file_atomically(at("dir"), "x"));
  EXPECT_EQ(list_files(folder_).value().size(), 1u) << "failures leave nothing behind";
}

TEST_F(File, ReadsPipesToTheirEndWithinTheLimit) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "hello", 5), 5);
  ::close(ends[1]);
  EXPECT_EQ(read_file("/dev/fd/" + std::to_string(ends[0]), 5).value(), "hello");
  ::close(ends[0]);
  const auto device = read_file("/dev/zero", 10'000);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().message, "cannot read /dev/zero: it is a device, expected a file");
  EXPECT_EQ(read_file("/dev/null", 0).value(), "");
}

TEST_F(File, DoesNotWaitForSomebodyToWriteToAPipe) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("pipe", at("link").c_str()), 0);
  for (const char* name : {"pipe", "link"}) {
    const auto pipe = read_file(at(name), 10);
    ASSERT_FALSE(pipe);
    EXPECT_EQ(pipe.error().code, Code::kInvalid);
    EXPECT_EQ(pipe.error().message, "cannot read " + at(name) + ": it is a pipe, expected a file");
  }
}

TEST_F(File, DevicesAndPipesAreWrittenToAndStay) {
  // A file in the place of /dev/null would break the machine for everybody, so a pipe stands for all of them here.
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const int reader = ::open(at("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(write_file_atomically(at("pipe"), "hello"));
  char got[8] = {};
  EXPECT_EQ(::read(reader, got, sizeof got), 5);
  EXPECT_STREQ(got, "hello");
  ::close(reader);
  struct stat facts;
  ASSERT_EQ(::lstat(at("pipe").c_str(), &facts), 0);
  EXPECT_TRUE(S_ISFIFO(facts.st_mode));
  EXPECT_EQ(list_files(folder_).value().size(), 0u) << "no temporary file is left";
  if (::stat("/dev/full", &facts) == 0 && S_ISCHR(facts.st_mode)) {
    const Status full = write_file_atomically("/dev/full", "x");
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().message, "cannot write /dev/full: No space left on device");
    ASSERT_EQ(::stat("/dev/full", &facts), 0);
    EXPECT_TRUE(S_ISCHR(facts.st_mode));
  }
}

TEST_F(File, ListsInOrderOfPath) {
  ASSERT_TRUE(make_folders(at("b/deep/er")));
  ASSERT_TRUE(make_folders(at("b/deep/er")));
  for (const char* name : {"c", "b/deep/er/x", "b/2", "a", ".hidden", "b/10"}) {
    ASSERT_TRUE(write_file_atomically(at(name), name));
  }
  std::filesystem::create_directory_symlink(folder_, at("b/loop"));
  std::filesystem::create_symlink(at("a"), at("link"));
  const auto found = list_files(folder_);
  ASSERT_TRUE(found) << found.error().message;
  std::vector<std::string> names;
  for (const FoundFile& file : *found) names.push_back(file.path.substr(folder_.size() + 1));
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b/10", "b/2", "b/deep/er/x", "c", "link"}));
  EXPECT_EQ((*found)[3].bytes, 11u);
  EXPECT_GT((*found)[3].modified_ns, 0);

  ListOptions options;
  options.files_max = 5;
  EXPECT_EQ(list_files(folder_, options).error().code, Code::kLimit);
  options = {};
  options.depth_max = 3;
  EXPECT_EQ(list_files(folder_, options).error().code, Code::kLimit);
  EXPECT_EQ(list_files(at("none")).error().code, Code::kNotFound);
  EXPECT_FALSE(make_folders(at("a/x")));
}

TEST(Clock, ManualTimeMovesWhenTold) {
  ManualClock clock(1000);
  clock.advance_ms(5);
  EXPECT_EQ(clock.now_ms(), 1005);
  EXPECT_EQ(clock.steady_ns(), 5'000'000);
  clock.set_ms(10);
  EXPECT_EQ(clock.now_ms(), 10);
  EXPECT_EQ(clock.steady_ns(), 5'000'000);
  const SystemClock system;
  EXPECT_GT(system.now_ms(), 1'600'000'000'000);
  const int64_t before = system.steady_ns();
  EXPECT_GE(system.steady_ns(), before);
}

}  // namespace
}  // namespace tamis::base
