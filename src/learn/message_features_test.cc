#include "learn/message_features.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace tamis::learn {
namespace {

TEST(MessageFeatures, EveryPlaceOfTheMailRoomHasOneOfTheModel) {
  for (size_t place = 0; place < mail::kPlaces; ++place) {
    EXPECT_LT(static_cast<size_t>(model_place(static_cast<mail::Place>(place))), model::kPlaces);
  }
  EXPECT_EQ(model_place(mail::Place::kBody), model::Place::kBody);
  EXPECT_EQ(model_place(mail::Place::kTrace), model::Place::kHeader);
}

TEST(MessageFeatures, AMessageBecomesAFeatureSet) {
  const std::string message =
      "From: Anna <anna@example.org>\nTo: b@example.net\nSubject: lunch today\n\nsee you at http://example.com/menu\n";
  mail::Analyser analyser;
  model::FeatureCollector collector;
  collect_message_features(analyser.analyse(message), {}, collector);
  const model::FeatureSpan set = collector.finish();
  ASSERT_TRUE(model::is_feature_set(set));
  for (const auto place : {model::Place::kHeader, model::Place::kSubject, model::Place::kBody, model::Place::kLink,
                           model::Place::kGram, model::Place::kStructure}) {
    EXPECT_TRUE(std::any_of(set.begin(), set.end(), [&](model::FeatureId id) {
      return model::place_of(id) == static_cast<size_t>(place);
    })) << model::place_name(place);
  }
}

}  // namespace
}  // namespace tamis::learn
