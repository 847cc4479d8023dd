#include "cel/regex.h"

#include <gtest/gtest.h>

namespace tamis::cel {
namespace {

TEST(Regex, SearchesAnywhere) {
  auto regex = Regex::compile("b+[0-9]$");
  ASSERT_TRUE(regex);
  EXPECT_TRUE(regex->search("abb7"));
  EXPECT_FALSE(regex->search("abb7x"));
  EXPECT_EQ(regex->pattern(), "b+[0-9]$");
}

TEST(Regex, RefusesWhatItCannotRun) {
  auto broken = Regex::compile("a(b");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("missing"), std::string::npos) << broken.error().message;
  EXPECT_FALSE(Regex::compile(std::string(20'000, 'a')));
  EXPECT_FALSE(Regex::compile("((a{100}){100}){100}"));
  EXPECT_FALSE(Regex::compile("(?<=a)b"));
}

TEST(Regex, CacheServesManyPatterns) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 200; ++i) {
      std::string pattern = "^x" + std::to_string(i) + "$";
      CachedRegex found = cached_regex(pattern);
      ASSERT_NE(found.regex, nullptr);
      EXPECT_TRUE(found.regex->search("x" + std::to_string(i)));
      EXPECT_FALSE(found.regex->search("x" + std::to_string(i) + "y"));
    }
    CachedRegex broken = cached_regex("(");
    EXPECT_EQ(broken.regex, nullptr);
    EXPECT_FALSE(broken.error.empty());
    EXPECT_EQ(cached_regex(std::string(100'000, 'a')).regex, nullptr);
  }
}

}  // namespace
}  // namespace tamis::cel
