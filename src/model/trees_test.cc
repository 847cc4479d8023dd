#include "model/trees.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <limits>
#include <vector>

namespace tamis::model {
namespace {

constexpr std::string_view kModel =
    "tamis-trees 1\n"
    "features age pace\n"
    "base 0.5\n"
    "scale 2 -1\n"
    "tree\n"
    "0 0 10 1 2 2\n"
    "1 leaf -1\n"
    "2 1 0.25 3 4 3\n"
    "3 leaf 0.125\n"
    "4 leaf 4\n"
    "tree\n"
    "0 leaf 0.0625\n";

TEST(Trees, adds_up_the_leaves_that_a_row_falls_into) {
  const auto trees = Trees::parse(kModel);
  ASSERT_TRUE(trees) << trees.error().message;
  const float none = std::numeric_limits<float>::quiet_NaN();
  const auto score = [&](float age, float pace) { return trees->score(std::array{age, pace}); };
  EXPECT_EQ(score(9.99f, 1), 0.5f - 1 + 0.0625f);
  EXPECT_EQ(score(10, 0.25f), 0.5f + 4 + 0.0625f);  // the threshold itself goes right
  EXPECT_EQ(score(10, 0.2f), 0.5f + 0.125f + 0.0625f);
  EXPECT_EQ(score(none, none), 0.5f + 0.125f + 0.0625f);  // where the node sends what is missing
  EXPECT_EQ(trees->scaled(std::array{0.0f, 0.0f}), 2 * (0.5 - 1 + 0.0625) - 1);
  EXPECT_EQ(trees->trees(), 2u);
  EXPECT_EQ(trees->nodes(), 6u);
}

TEST(Trees, says_what_is_wrong_with_a_model) {
  const auto error = [](std::string text, std::string_view from, std::string_view to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    const auto trees = Trees::parse(text);
    return trees ? std::string("taken") : trees.error().message;
  };
  const std::string model(kModel);
  EXPECT_NE(error(model, "tamis-trees 1", "tamis-trees 2").find("line 1"), std::string::npos);
  EXPECT_NE(error(model, "features age pace", "features").find("line 2"), std::string::npos);
  EXPECT_NE(error(model, "base 0.5", "base nan").find("line 3"), std::string::npos);
  EXPECT_NE(error(model, "scale 2 -1", "scale 2").find("line 4"), std::string::npos);
  EXPECT_NE(error(model, "0 0 10 1 2 2", "0 0 10 0 2 2").find("line 6"), std::string::npos);  // a circle
  EXPECT_NE(error(model, "0 0 10 1 2 2", "0 2 10 1 2 2").find("line 6"), std::string::npos);  // no such feature
  EXPECT_NE(error(model, "0 0 10 1 2 2", "0 0 10 1 2 4").find("line 6"), std::string::npos);
  EXPECT_NE(error(model, "0 0 10 1 2 2", "0 0 10 1 9 9").find("line 11"), std::string::npos);  // no such node
  EXPECT_NE(error(model, "1 leaf -1", "7 leaf -1").find("line 7"), std::string::npos);
  EXPECT_NE(error(model, "1 leaf -1", "1 leaf -1 3").find("line 7"), std::string::npos);
  EXPECT_FALSE(Trees::parse(""));
  EXPECT_FALSE(Trees::parse("tamis-trees 1\nfeatures a\nbase 0\n"));
  EXPECT_FALSE(Trees::parse("tamis-trees 1\nfeatures a\nbase 0\ntree\n"));
}

TEST(Trees, any_text_that_is_taken_can_be_scored) {
  EXPECT_TRUE(rc::check([](uint32_t at, char with) {
    std::string text(kModel);
    text[at % text.size()] = with;
    if (const auto trees = Trees::parse(text))
      trees->score(std::vector<float>(trees->features().size(), std::numeric_limits<float>::quiet_NaN()));
  }));
}

}  // namespace
}  // namespace tamis::model
