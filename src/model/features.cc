#include "model/features.h"

#include <algorithm>

namespace tamis::model {

std::string_view place_name(Place place) {
  static constexpr std::array<std::string_view, kPlaces> kNames = {"header",    "structure", "subject",  "body",
                                                                   "body_pair", "link",      "raw_gram", "other"};
  const auto index = static_cast<size_t>(place);
  return index < kPlaces ? kNames[index] : "unknown";
}

bool is_feature_set(FeatureSpan features) {
  if (features.size() > kFeaturesMax) return false;
  for (size_t i = 0; i < features.size(); ++i) {
    if (place_of(features[i]) >= kPlaces || (i > 0 && features[i] <= features[i - 1])) return false;
  }
  return true;
}

void FeatureCollector::clear() {
  for (auto& place : found_) place.clear();
}

void FeatureCollector::add(Place place, uint64_t hash) {
  auto& found = found_[static_cast<size_t>(place)];
  if (found.size() < kCandidatesMax) found.push_back(feature_id(place, hash));
}

namespace {

void sort_unique(std::vector<FeatureId>& found) {
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
}

// Leaves the `keep` smallest, sorted and without duplicates. Hashes are spread evenly, so where there are many more
// than wanted, those below a bound that holds twice as many are sorted first, and all of them only if that was too few.
void keep_smallest(std::vector<FeatureId>& found, size_t keep, std::vector<FeatureId>& spare) {
  if (found.size() > 4 * keep && keep > 0) {
    const uint64_t share = (uint64_t{kFeatureHashMask} + 1) * 2 * keep / found.size();
    const FeatureId bound = (found.front() & ~kFeatureHashMask) + static_cast<FeatureId>(share);
    spare.clear();
    for (const FeatureId id : found) {
      if (id < bound) spare.push_back(id);
    }
    sort_unique(spare);
    if (spare.size() >= keep) {
      spare.resize(keep);
      found.swap(spare);
      return;
    }
  }
  sort_unique(found);
  if (found.size() > keep) found.resize(keep);
}

}  // namespace

FeatureSpan FeatureCollector::finish() {
  constexpr auto kPair = static_cast<size_t>(Place::kBodyPair);
  constexpr auto kGram = static_cast<size_t>(Place::kRawGram);
  size_t left = kFeaturesMax;
  for (size_t place = 0; place < kPlaces; ++place) {
    if (place == kPair || place == kGram) continue;
    keep_smallest(found_[place], kPlaceShare[place], spare_);
    left -= found_[place].size();
  }
  keep_smallest(found_[kPair], left, spare_);
  keep_smallest(found_[kGram], left, spare_);
  auto& pairs = found_[kPair];
  auto& grams = found_[kGram];
  const size_t grams_least = std::min(grams.size(), left - left / 3);
  if (pairs.size() > left - grams_least) pairs.resize(left - grams_least);
  if (grams.size() > left - pairs.size()) grams.resize(left - pairs.size());
  set_.clear();
  for (const auto& place : found_) set_.insert(set_.end(), place.begin(), place.end());
  return set_;
}

}  // namespace tamis::model
