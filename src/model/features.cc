#include "model/features.h"

#include <algorithm>
#include <bit>
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

FeatureCollector::FeatureCollector() : low_(kCandidatesMax), spare_(kCandidatesMax) {
  for (auto& place : found_) place.resize(kCandidatesMax);
  set_.reserve(kFeaturesMax);
}

namespace {

// Sorts the first `count` of `found`, of one place and all below `bound`, and drops repetitions; returns how many are
// left. Hashes are spread evenly, so one pass puts each nearly where it belongs, and a sort by insertion does the rest.
// Who sends hashes that are not spread makes it an ordinary sort.
size_t sort_unique(std::vector<FeatureId>& found, size_t count, uint64_t bound, std::vector<FeatureId>& spare) {
  if (count == 0) return 0;
  constexpr size_t kBucketsMax = size_t{1} << 14;
  const size_t buckets = std::min(2 * std::bit_ceil(count), kBucketsMax);
  const uint64_t scale = (uint64_t{buckets} << 32) / bound;
  const auto bucket_of = [&](FeatureId id) { return ((id & kFeatureHashMask) * scale) >> 32; };
  thread_local std::array<uint16_t, kBucketsMax> at;
  std::fill_n(at.begin(), buckets, uint16_t{0});
  for (size_t i = 0; i < count; ++i) ++at[bucket_of(found[i])];
  uint16_t before = 0;
  for (size_t i = 0; i < buckets; ++i) before = static_cast<uint16_t>(before + std::exchange(at[i], before));
  for (size_t i = 0; i < count; ++i) spare[at[bucket_of(found[i])]++] = found[i];

  size_t moves_left = 8 * count;
  for (size_t i = 1; i < count; ++i) {
    const FeatureId id = spare[i];
    size_t to = i;
    for (; to > 0 && spare[to - 1] > id; --to) spare[to] = spare[to - 1];
    spare[to] = id;
    if (i - to > moves_left) {
      std::sort(spare.begin(), spare.begin() + static_cast<std::ptrdiff_t>(count));
      break;
    }
    moves_left -= i - to;
  }
  size_t kept = 0;
  found[kept++] = spare[0];
  for (size_t i = 1; i < count; ++i) {
    found[kept] = spare[i];
    kept += spare[i] != spare[i - 1];
  }
  return kept;
}

}  // namespace

// Where there are many more than wanted, those below a bound that holds twice as many are sorted first; four times as
// many where most of them were repetitions, as the four-byte grams of long texts are; and all of them only if that was
// too few as well.
void FeatureCollector::keep_smallest(size_t place, size_t keep) {
  auto& found = found_[place];
  size_t& count = count_[place];
  for (const size_t times : {2, 4}) {
    if (count <= (times + 1) * keep || keep == 0) break;
    const uint64_t share = (uint64_t{kFeatureHashMask} + 1) * times * keep / count;
    const FeatureId bound = (found[0] & ~kFeatureHashMask) + static_cast<FeatureId>(share);
    size_t below = 0;
    for (size_t i = 0; i < count; ++i) {
      low_[below] = found[i];
      below += found[i] < bound;
    }
    below = sort_unique(low_, below, share, spare_);
    if (below >= keep) {
      found.swap(low_);
      count = keep;
      return;
    }
  }
  count = std::min(keep, sort_unique(found, count, uint64_t{kFeatureHashMask} + 1, spare_));
}

FeatureSpan FeatureCollector::finish() {
  constexpr auto kPair = static_cast<size_t>(Place::kBodyPair);
  constexpr auto kGram = static_cast<size_t>(Place::kGram);
  size_t left = kFeaturesMax;
  for (size_t place = 0; place < kPlaces; ++place) {
    if (place == kPair || place == kGram) continue;
    keep_smallest(place, kPlaceShare[place]);
    left -= count_[place];
  }
  keep_smallest(kGram, left);
  keep_smallest(kPair, left - std::min(count_[kGram], left - left / 3));
  count_[kGram] = std::min(count_[kGram], left - count_[kPair]);
  set_.clear();
  for (size_t place = 0; place < kPlaces; ++place) {
    const auto begin = found_[place].begin();
    set_.insert(set_.end(), begin, begin + static_cast<std::ptrdiff_t>(count_[place]));
  }
  return set_;
}

}  // namespace tamis::model
