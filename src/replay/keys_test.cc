#include "replay/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"

namespace tamis::replay {
namespace {

class Keys : public ::testing::Test {
 protected:
  Keys() {
    std::string name = (std::filesystem::temp_directory_path() / "tamis-keys-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~Keys() override { std::filesystem::remove_all(folder_); }
  mode_t mode(const std::string& path) const {
    struct stat facts {};
    EXPECT_EQ(::stat((folder_ + path).c_str(), &facts), 0) << path;
    return facts.st_mode & 0777;
  }
  std::string folder_;
};

TEST_F(Keys, TheStateKeyIsMadeOnceAndForTheOwnerAlone) {
  auto none = kept_state_key(folder_);
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, base::SipKey{});
  auto made = make_state_key(folder_);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->is_new);
  EXPECT_NE(made->key, base::SipKey{});
  EXPECT_EQ(mode("/keys"), 0700u);
  EXPECT_EQ(mode("/keys/state.key"), 0600u);
  auto again = make_state_key(folder_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->is_new);
  EXPECT_EQ(again->key, made->key);
  EXPECT_EQ(*kept_state_key(folder_), made->key);
  // Keys of days go, the one of the state stays.
  EXPECT_EQ(key_of_day(folder_, "2026-01-05").size(), 32u);
  EXPECT_EQ(destroy_keys(folder_, "2026-02-01"), 1u);
  EXPECT_TRUE(kept_keys(folder_).empty());
  EXPECT_EQ(*kept_state_key(folder_), made->key);
}

TEST_F(Keys, AStateKeyThatIsNoneIsToldAndLeftAsItIs) {
  ASSERT_TRUE(make_state_key(folder_));
  ASSERT_TRUE(base::write_file_atomically(folder_ + "/keys/state.key", "short"));
  auto damaged = make_state_key(folder_);
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message.find("keys/state.key: expected 16 bytes, found 5"), std::string::npos);
  EXPECT_EQ(base::read_file(folder_ + "/keys/state.key", 100).value_or(""), "short");
}

}  // namespace
}  // namespace tamis::replay
