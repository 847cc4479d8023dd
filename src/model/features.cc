#include "model/features.h"

#include <algorithm>
#include <utility>

namespace tamis::model {

std::string_view place_name(Place place) {
  static constexpr std::array<std::string_view, kPlaces> kNames = {"header",    "structure", "subject", "body",
                                                                   "body_pair", "link",      "gram",    "other"};
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

namespace {

// The ids are of one place, so their upper four bits are the same: a radix sort of 28 bits, several times faster than a
// sort by comparison on the thousands of features that a message has.
void sort_unique(std::vector<FeatureId>& found, std::vector<FeatureId>& spare) {
  constexpr uint32_t kDigitBits = 10;
  constexpr size_t kDigits = size_t{1} << kDigitBits;
  if (found.size() < 300) {
    std::sort(found.begin(), found.end());
  } else {
    spare.resize(found.size());
    for (uint32_t shift = 0; shift < 28; shift += kDigitBits) {
      std::array<uint32_t, kDigits> at{};
      for (const FeatureId id : found) ++at[((id & kFeatureHashMask) >> shift) % kDigits];
      uint32_t before = 0;
      for (uint32_t& count : at) before += std::exchange(count, before);
      for (const FeatureId id : found) spare[at[((id & kFeatureHashMask) >> shift) % kDigits]++] = id;
      found.swap(spare);
    }
  }
  found.erase(std::unique(found.begin(), found.end()), found.end());
}

// Leaves the `keep` smallest, sorted and without duplicates. Hashes are spread evenly, so where there are many more
// than wanted, those below a bound that holds twice as many are sorted first; four times as many where most of them
// were repetitions, as the four-byte grams of long texts are; and all of them only if that was too few as well.
void keep_smallest(std::vector<FeatureId>& found, size_t keep, std::vector<FeatureId>& low,
                   std::vector<FeatureId>& spare) {
  for (const size_t times : {2, 4}) {
    if (found.size() <= (times + 1) * keep || keep == 0) break;
    const uint64_t share = (uint64_t{kFeatureHashMask} + 1) * times * keep / found.size();
    const FeatureId bound = (found.front() & ~kFeatureHashMask) + static_cast<FeatureId>(share);
    low.clear();
    for (const FeatureId id : found) {
      if (id < bound) low.push_back(id);
    }
    sort_unique(low, spare);
    if (low.size() >= keep) {
      low.resize(keep);
      found.swap(low);
      return;
    }
  }
  sort_unique(found, spare);
  if (found.size() > keep) found.resize(keep);
}

}  // namespace

FeatureSpan FeatureCollector::finish() {
  constexpr auto kPair = static_cast<size_t>(Place::kBodyPair);
  constexpr auto kGram = static_cast<size_t>(Place::kGram);
  size_t left = kFeaturesMax;
  for (size_t place = 0; place < kPlaces; ++place) {
    if (place == kPair || place == kGram) continue;
    keep_smallest(found_[place], kPlaceShare[place], low_, spare_);
    left -= found_[place].size();
  }
  keep_smallest(found_[kGram], left, low_, spare_);
  const size_t pairs_most = left - std::min(found_[kGram].size(), left - left / 3);
  keep_smallest(found_[kPair], pairs_most, low_, spare_);
  auto& pairs = found_[kPair];
  auto& grams = found_[kGram];
  if (grams.size() > left - pairs.size()) grams.resize(left - pairs.size());
  set_.clear();
  for (const auto& place : found_) set_.insert(set_.end(), place.begin(), place.end());
  return set_;
}

}  // namespace tamis::model
