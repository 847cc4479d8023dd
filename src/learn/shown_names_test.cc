#include "learn/shown_names.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

namespace tamis::learn {
namespace {

bool shows(const std::string& name, const std::string& wanted) {
  const auto names = shown_names(name);
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

TEST(ShownNames, a_name_that_is_written_otherwise_is_the_same_to_a_reader) {
  for (const char* name :
       {"Lars Holm", "Lars  Holm", " Lars\xc2\xa0Holm ", "La\xe2\x80\x8brs Holm", "Lars Holm | CEO", "Lars Holm, CEO",
        "Holm, Lars", "Holm,  Lars (CEO)", "L\xd0\xb0rs Holm", "Lars Holm - Director",
        "Lars Holm \xe2\x80\x93 Director", "\"Lars Holm\"", "Lars Holm <lars@our.example>", "Lars Holm via DocuSign"})
    EXPECT_TRUE(shows(name, "Lars Holm")) << name;
  EXPECT_TRUE(shows("lars.holm@our.example", "lars holm"));
  EXPECT_TRUE(shows("lars_holm", "lars holm"));
  EXPECT_TRUE(shows("J\xc3\xb6rg  M\xc3\xbcller", "J\xc3\xb6rg M\xc3\xbcller"));
  EXPECT_FALSE(shows("Lars Holmberg", "Lars Holm"));
  EXPECT_FALSE(shows("Lars", "Lars Holm"));
  EXPECT_TRUE(shown_names("").empty());
  EXPECT_TRUE(shown_names(" \xe2\x80\x8b ").empty());
}

TEST(ShownNames, are_few_and_short_whatever_the_name) {
  EXPECT_TRUE(rc::check("bounds", [] {
    const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        " ", ",", ", ", "|", "a", "\xd0\xb0", "\xff", "@", ".", "\xe2\x80\x8b", "xxxxxxxxxxxxxxxx"));
    std::string name;
    for (const std::string& piece : pieces) name += piece;
    const auto names = shown_names(name);
    RC_ASSERT(names.size() <= 12u);
    for (const std::string& one : names) RC_ASSERT(!one.empty() && one.size() <= 96u);
  }));
}

}  // namespace
}  // namespace tamis::learn
