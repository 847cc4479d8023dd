#include "learn/day_keys.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace tamis::learn {
namespace {

namespace fs = std::filesystem;

class DayKeysTest : public testing::Test {
 protected:
  DayKeysTest() : folder_((fs::temp_directory_path() / ("tamis-keys-" + std::to_string(::getpid()))).string()) {
    fs::remove_all(folder_);
  }
  ~DayKeysTest() override { fs::remove_all(folder_); }
  std::string folder_;
};

TEST_F(DayKeysTest, OpensWhatItSealedAndNothingElse) {
  auto keys = DayKeys::open(folder_);
  ASSERT_TRUE(keys);
  std::string sealed, plain;
  ASSERT_TRUE((*keys)->seal(20'000, "some text", "about it", sealed));
  EXPECT_EQ(sealed.size(), 9 + DayKeys::kOverhead);
  EXPECT_EQ(sealed.find("text"), std::string::npos);
  ASSERT_TRUE((*keys)->open(sealed, "about it", plain));
  EXPECT_EQ(plain, "some text");
  EXPECT_EQ((*keys)->open(sealed, "about another", plain).error().code, base::Code::kInvalid);
  for (size_t at = 4; at < sealed.size(); ++at) {  // the first four bytes are the day
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE((*keys)->open(changed, "about it", plain)) << at;
    EXPECT_FALSE((*keys)->open(sealed.substr(0, at), "about it", plain)) << at;
  }
}

TEST_F(DayKeysTest, KeysAreFilesOfTheirOwnerAndEndWithTheirDay) {
  std::string old_one, new_one, plain;
  {
    auto keys = DayKeys::open(folder_);
    ASSERT_TRUE((*keys)->seal(20'000, "a", "", old_one));
    ASSERT_TRUE((*keys)->seal(20'001, "b", "", new_one));
  }
  struct stat found {};
  ASSERT_EQ(::stat((folder_ + "/" + day_name(20'000) + ".key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  auto keys = DayKeys::open(folder_);
  ASSERT_TRUE((*keys)->open(old_one, "", plain));
  EXPECT_EQ((*keys)->destroy_before(20'001).value(), 1u);
  EXPECT_EQ((*keys)->open(old_one, "", plain).error().code, base::Code::kNotFound);
  ASSERT_TRUE((*keys)->open(new_one, "", plain));
  EXPECT_EQ(plain, "b");
  EXPECT_FALSE(fs::exists(folder_ + "/" + day_name(20'000) + ".key"));
}

TEST_F(DayKeysTest, AKeyThatIsCutOffIsAnError) {
  fs::create_directories(folder_);
  ASSERT_TRUE(base::write_file_atomically(folder_ + "/" + day_name(20'000) + ".key", "short"));
  auto keys = DayKeys::open(folder_);
  std::string sealed;
  EXPECT_EQ((*keys)->seal(20'000, "a", "", sealed).error().code, base::Code::kInvalid);
  EXPECT_TRUE(sealed.empty());
}

TEST(Days, NamesAndNumbers) {
  EXPECT_EQ(day_name(0), "1970-01-01");
  EXPECT_EQ(day_name(20'779), "2026-11-22");
  EXPECT_EQ(day_of(1'795'305'600'000), 20'779);
  EXPECT_EQ(day_of(-1), -1);
  int32_t day = 0;
  for (const char* bad : {"", "2026-13-01", "2026-02-30", "2026-1-01", "20261101aa", "2026-11-22.key"}) {
    EXPECT_FALSE(day_from(bad, day)) << bad;
  }
  EXPECT_TRUE(rc::check("a day's name gives the day", [] {
    const auto number = *rc::gen::inRange<int32_t>(0, 100'000);
    int32_t back = 0;
    RC_ASSERT(day_from(day_name(number), back));
    RC_ASSERT(back == number);
  }));
}

}  // namespace
}  // namespace tamis::learn
