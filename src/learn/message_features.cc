#include "learn/message_features.h"

#include <array>

namespace tamis::learn {

namespace {

constexpr model::Place place_in_model(mail::Place place) {
  using From = mail::Place;
  using To = model::Place;
  switch (place) {
    case From::kHeaderWord:
    case From::kFrom:
    case From::kRecipient:
    case From::kTrace:
      return To::kHeader;
    case From::kHeaderName:
    case From::kHtml:
    case From::kStructure:
      return To::kStructure;
    case From::kSubject:
      return To::kSubject;
    case From::kBody:
      return To::kBody;
    case From::kBodyPair:
      return To::kBodyPair;
    case From::kLink:
    case From::kAttachment:
      return To::kLink;
    case From::kText4:
    case From::kRaw4:
      return To::kGram;
    case From::kHidden:
    case From::kFacts:
    case From::kCount:
      break;
  }
  return To::kOther;
}

constexpr auto kModelPlaces = [] {
  std::array<model::Place, mail::kPlaces + 1> places{};
  for (size_t i = 0; i < places.size(); ++i) places[i] = place_in_model(static_cast<mail::Place>(i));
  return places;
}();

}  // namespace

model::Place model_place(mail::Place place) { return kModelPlaces[static_cast<size_t>(place)]; }

void collect_message_features(const mail::Analysis& analysis, const mail::FeatureOptions& options,
                              model::FeatureCollector& collector) {
  collector.clear();
  mail::for_each_feature(analysis, options, [&](uint64_t hash, mail::Place place) {
    collector.add(kModelPlaces[static_cast<size_t>(place)], hash);
  });
}

}  // namespace tamis::learn
