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

void FeatureCollector::clear() {
  for (auto& place : found_) place.clear();
}

namespace {

// Sorts the first `count` of `found`, of one place and all below `bound`, into `found` and drops repetitions. Hashes
// are spread evenly, so one pass puts each nearly where it belongs, and a sort by insertion does the rest. Who sends
// hashes that are not spread pays no more than an ordinary sort.
void sort_unique(std::vector<FeatureId>& found, size_t count, uint64_t bound, std::vector<FeatureId>& spare) {
  constexpr size_t kBucketsMax = size_t{1} << 14;
  const size_t buckets = std::min(std::bit_ceil(count + 1), kBucketsMax);
  const uint64_t scale = (uint64_t{buckets} << 32) / bound;
  const auto bucket_of = [&](FeatureId id) { return ((id & kFeatureHashMask) * scale) >> 32; };
  static thread_local std::array<uint16_t, kBucketsMax> at;
  std::fill_n(at.begin(), buckets, uint16_t{0});
  for (size_t i = 0; i < count; ++i) ++at[bucket_of(found[i])];
  uint16_t before = 0;
  for (size_t i = 0; i < buckets; ++i) before = static_cast<uint16_t>(before + std::exchange(at[i], before));
  spare.resize(std::max(spare.size(), count));
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
  for (size_t i = 0; i < count; ++i) {
    if (kept == 0 || found[kept - 1] != spare[i]) found[kept++] = spare[i];
  }
  found.resize(kept);
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
    low.resize(found.size());
    size_t count = 0;
    for (const FeatureId id : found) {
      low[count] = id;
      count += id < bound;
    }
    sort_unique(low, count, share, spare);
    if (low.size() >= keep) {
      low.resize(keep);
      found.swap(low);
      return;
    }
  }
  sort_unique(found, found.size(), uint64_t{kFeatureHashMask} + 1, spare);
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
