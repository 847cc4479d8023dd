#include "model/features.h"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <algorithm>

#include "base/hash.h"

namespace tamis::model {
namespace {

size_t count_of(FeatureSpan set, Place place) {
  return static_cast<size_t>(
      std::count_if(set.begin(), set.end(), [&](FeatureId id) { return place_of(id) == static_cast<size_t>(place); }));
}

TEST(FeatureCollector, KeepsEverythingOfASmallMessage) {
  FeatureCollector collector;
  for (int round = 0; round < 2; ++round) {  // a feature that is met again counts once
    for (uint64_t i = 0; i < 20; ++i) collector.add(Place::kBody, base::mix64(i));
    collector.add(Place::kHeader, 7);
  }
  const FeatureSpan set = collector.finish();
  EXPECT_EQ(set.size(), 21u);
  EXPECT_TRUE(is_feature_set(set));
}

TEST(FeatureCollector, FillsUpWithPairsAndGrams) {
  FeatureCollector collector;
  for (uint64_t i = 0; i < 100; ++i) collector.add(Place::kBody, base::mix64(i));
  for (uint64_t i = 0; i < 5'000; ++i) {
    collector.add(Place::kBodyPair, base::mix64(i));
    collector.add(Place::kGram, base::mix64(i));
  }
  const FeatureSpan set = collector.finish();
  EXPECT_EQ(set.size(), kFeaturesMax);
  EXPECT_EQ(count_of(set, Place::kBody), 100u);
  EXPECT_EQ(count_of(set, Place::kBodyPair), 308u);
  EXPECT_EQ(count_of(set, Place::kGram), 616u);
}

TEST(FeatureCollector, CutsEachPlaceToItsShare) {
  FeatureCollector collector;
  for (uint64_t i = 0; i < 40'000; ++i) collector.add(Place::kHeader, base::mix64(i));
  EXPECT_EQ(collector.finish().size(), kPlaceShare[static_cast<size_t>(Place::kHeader)]);
}

RC_GTEST_PROP(FeatureCollector, KeepsTheSameFeaturesWhateverTheOrder,
              (std::vector<std::pair<uint8_t, uint16_t>> seen)) {
  FeatureCollector forward;
  FeatureCollector backward;
  for (int i = 0; i < 8; ++i) {
    for (const auto& [place, hash] : seen) {
      forward.add(static_cast<Place>(place % kPlaces), base::mix64(hash + static_cast<uint64_t>(i) * 65'536));
    }
  }
  for (int i = 7; i >= 0; --i) {
    for (auto it = seen.rbegin(); it != seen.rend(); ++it) {
      backward.add(static_cast<Place>(it->first % kPlaces),
                   base::mix64(it->second + static_cast<uint64_t>(i) * 65'536));
    }
  }
  const FeatureSpan a = forward.finish();
  const FeatureSpan b = backward.finish();
  RC_ASSERT(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  RC_ASSERT(is_feature_set(a));
}

// The bound that spares sorting everything must not show.
RC_GTEST_PROP(FeatureCollector, KeepsTheSmallestOfAPlace, (uint64_t seed)) {
  const size_t count = *rc::gen::inRange<size_t>(0, 5'000);
  const uint64_t distinct = *rc::gen::inRange<uint64_t>(1, 6'000);
  const bool crowded = *rc::gen::arbitrary<bool>();  // hashes that somebody chose to lie side by side
  FeatureCollector collector;
  std::vector<FeatureId> all;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t nth = base::mix64(seed ^ i) % distinct;
    const uint64_t hash = crowded ? nth * 0xf1de83e19937733du * 16 : base::mix64(nth);
    collector.add(Place::kHeader, hash);
    all.push_back(feature_id(Place::kHeader, hash));
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  all.resize(std::min<size_t>(all.size(), kPlaceShare[static_cast<size_t>(Place::kHeader)]));
  const FeatureSpan set = collector.finish();
  RC_ASSERT(std::equal(set.begin(), set.end(), all.begin(), all.end()));
}

TEST(FeatureSet, RefusesWhatIsNone) {
  const FeatureId sorted[] = {1, 2, 3};
  const FeatureId twice[] = {1, 1};
  const FeatureId unsorted[] = {2, 1};
  const FeatureId nowhere[] = {0xf0000000u};
  EXPECT_TRUE(is_feature_set(sorted));
  EXPECT_TRUE(is_feature_set({}));
  EXPECT_FALSE(is_feature_set(twice));
  EXPECT_FALSE(is_feature_set(unsorted));
  EXPECT_FALSE(is_feature_set(nowhere));
  EXPECT_FALSE(is_feature_set(std::vector<FeatureId>(kFeaturesMax + 1)));
}

}  // namespace
}  // namespace tamis::model
