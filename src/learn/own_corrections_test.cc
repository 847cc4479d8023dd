#include "learn/own_corrections.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tamis::learn {
namespace {

using model::feature_id;
using model::FeatureId;
using model::Place;

constexpr uint64_t kAnn = 11, kBob = 12;

// A message whose words and headers are numbered: from `words` on, and of those `headers`.
std::vector<FeatureId> message(uint64_t words, size_t count, uint64_t headers) {
  std::vector<FeatureId> out;
  for (uint64_t i = 0; i < count; ++i) out.push_back(feature_id(Place::kBody, 1000 + words + i));
  for (uint64_t i = 0; i < 12; ++i) out.push_back(feature_id(Place::kHeader, 50'000 + headers + i));
  for (uint64_t i = 0; i < 50; ++i) out.push_back(feature_id(Place::kGram, 90'000 + words * 50 + i));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

TEST(OwnCorrections, AMessageIsWhatItsRecipientSaid) {
  OwnCorrections own;
  const auto letter = message(0, 60, 0);
  EXPECT_EQ(own.says(kAnn, 1, letter), std::nullopt);
  own.put(kAnn, kAnn, 1, letter, true, 100);
  EXPECT_EQ(own.says(kAnn, 1, letter), true);
  EXPECT_EQ(own.says(kAnn, 1, {}), true) << "by its key alone";
  EXPECT_EQ(own.says(kBob, 1, letter), std::nullopt);
  EXPECT_EQ(own.says(0, 1, letter), std::nullopt);
  own.put(kAnn, kAnn, 1, letter, false, 100);
  EXPECT_EQ(own.says(kAnn, 1, letter), false);
  EXPECT_EQ(own.size(), 1u);
}

TEST(OwnCorrections, NearCopiesAreKnown) {
  OwnCorrections own;
  own.put(kAnn, kAnn, 1, message(0, 100, 0), true, 100);
  EXPECT_EQ(own.says(kAnn, 2, message(4, 100, 0)), true);     // 96 of 104 words in common
  EXPECT_EQ(own.says(kAnn, 2, message(4, 100, 1000)), true);  // spam comes from anywhere
  EXPECT_EQ(own.says(kAnn, 2, message(60, 100, 0)), std::nullopt);
  EXPECT_EQ(own.says(kAnn, 2, message(500, 100, 0)), std::nullopt);
  // Wanted mail comes from where it came from.
  own.put(kAnn, kAnn, 3, message(5000, 100, 0), false, 100);
  EXPECT_EQ(own.says(kAnn, 4, message(5004, 100, 2)), false);
  EXPECT_EQ(own.says(kAnn, 4, message(5004, 100, 1000)), std::nullopt);
  // Of a few words the headers must tell the rest.
  own.put(kAnn, kAnn, 5, message(9000, 3, 40), true, 100);
  EXPECT_EQ(own.says(kAnn, 6, message(9000, 3, 41)), true);
  EXPECT_EQ(own.says(kAnn, 6, message(9000, 3, 2000)), std::nullopt);
  // The nearest decides.
  own.put(kAnn, kAnn, 7, message(0, 92, 0), false, 100);
  EXPECT_EQ(own.says(kAnn, 8, message(0, 92, 0)), false);
  EXPECT_EQ(own.says(kAnn, 8, message(0, 100, 0)), true);
}

TEST(OwnCorrections, WithoutWordsNothingIsANearCopy) {
  OwnCorrections own;
  own.put(kAnn, kAnn, 1, message(0, 0, 0), true, 100);
  EXPECT_EQ(own.says(kAnn, 2, message(0, 0, 0)), std::nullopt);
  own.put(kAnn, kAnn, 1, {}, true, 100);
  EXPECT_EQ(own.says(kAnn, 2, {}), std::nullopt);
}

TEST(OwnCorrections, CanBeTakenBackErasedAndForgotten) {
  OwnCorrections own;
  const auto letter = message(0, 60, 0), other = message(700, 60, 300);
  own.put(kAnn, kBob, 1, letter, true, 100);  // Bob's desk, in the name of Ann
  own.put(kAnn, kAnn, 2, other, true, 101);
  own.put(0, kBob, 1, letter, false, 101);  // and thinks again
  EXPECT_EQ(own.says(kAnn, 1, letter), false);
  own.take_back(kBob, 2);
  EXPECT_EQ(own.size(), 2u);
  own.take_back(kBob, 1);
  EXPECT_EQ(own.says(kAnn, 1, letter), std::nullopt);
  own.put(kAnn, kBob, 1, letter, true, 100);
  own.take_back(kBob, 0);
  EXPECT_EQ(own.size(), 1u);
  own.erase(0, {2});
  EXPECT_EQ(own.size(), 0u);
  own.put(kAnn, kBob, 1, letter, true, 100);
  own.put(kBob, kBob, 2, other, true, 101);
  own.forget_before(101);
  EXPECT_EQ(own.says(kAnn, 1, letter), std::nullopt);
  EXPECT_EQ(own.says(kBob, 2, other), true);
  own.erase(kBob, {});
  EXPECT_EQ(own.size(), 0u);
}

TEST(OwnCorrections, AreBounded) {
  OwnCorrections own;
  for (uint64_t i = 0; i < 200; ++i) own.put(kAnn, kAnn, 1 + i, message(i * 500, 30, i * 100), true, 100);
  EXPECT_EQ(own.size(), OwnCorrections::kEachMax);
  EXPECT_EQ(own.says(kAnn, 200, {}), true);
  EXPECT_EQ(own.says(kAnn, 100, {}), std::nullopt);
  const auto letter = message(0, 30, 0);
  for (uint64_t i = 0; i < OwnCorrections::kAllMax + 5'000; ++i) own.put(1000 + i, kAnn, 7, letter, true, 100);
  EXPECT_EQ(own.size(), OwnCorrections::kAllMax);
  EXPECT_EQ(own.says(kAnn, 200, {}), std::nullopt) << "the oldest go";
  // Over and over the same: what is noted of their order is bounded as well.
  for (uint64_t i = 0; i < 200'000; ++i) own.put(kBob, kBob, 1 + i % 3, letter, true, 100);
  EXPECT_EQ(own.says(kBob, 1, {}), true);
}

}  // namespace
}  // namespace tamis::learn
