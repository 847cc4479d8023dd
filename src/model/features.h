// What a message is to the model: a set of at most 1 024 hashed features, each with the place it was seen at. It holds
// no text, no order and no counts; this is also all that is kept of a message until corrections for it can come.
//
// The mail room finds the features, a FeatureCollector takes them and keeps a fair share of each place, the spam model
// scores and learns the set. A set of features is a sorted vector of FeatureId without duplicates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tamis::model {

// Where a feature stands in its message.
enum class Place : uint8_t {
  kHeader,     // words, addresses and domains of the headers, tagged with the name of the header
  kStructure,  // names and order of headers, MIME types, HTML tags, shapes of ids, sizes: what is not text
  kSubject,    // words and pairs of words of the subject
  kBody,       // words of the text as a reader sees it
  kBodyPair,   // sparse pairs of words of that text
  kLink,       // domains and paths of links, names of attachments
  kGram,       // four bytes in a row, of the raw message and of its text
  kOther,      // anything else, such as results of authentication
};
inline constexpr size_t kPlaces = 8;
std::string_view place_name(Place place);

inline constexpr size_t kFeaturesMax = 1024;

// The place in the upper four bits, 28 bits of hash below. The place is part of the identity of a feature.
using FeatureId = uint32_t;
inline constexpr uint32_t kFeatureHashMask = (1u << 28) - 1;
inline FeatureId feature_id(Place place, uint64_t hash) {
  return static_cast<uint32_t>(place) << 28 | static_cast<uint32_t>((hash * 0x9e3779b97f4a7c15u) >> 36);
}
inline size_t place_of(FeatureId id) { return id >> 28; }

using FeatureSpan = std::span<const FeatureId>;
// Sorted, without duplicates, at most kFeaturesMax, places that exist.
bool is_feature_set(FeatureSpan features);

// How many features of a place are kept. What these leave free of the 1 024, which is 224 or more, is shared by the
// pairs (one third) and the grams (the rest), of which there are always more than wanted.
inline constexpr std::array<uint16_t, kPlaces> kPlaceShare = {256, 128, 48, 256, 0, 64, 0, 48};

// Gathers the features of one message. Of a place that has too many, those with the smallest hashes stay: the same
// features of every message, so that what is learned of them meets them again. Reuse one per thread: it allocates only
// while it grows. Bounded: beyond 16 384 features a place ignores further ones.
class FeatureCollector {
 public:
  FeatureCollector();
  void clear() { count_ = {}; }
  void add(Place place, uint64_t hash) {  // thousands a message
    const auto at = static_cast<size_t>(place);
    if (count_[at] < kCandidatesMax) found_[at][count_[at]++] = feature_id(place, hash);
  }
  // The set; valid until the next clear() or add().
  FeatureSpan finish();

 private:
  static constexpr size_t kCandidatesMax = 16'384;
  // Leaves the `keep` smallest of a place, sorted and without duplicates.
  void keep_smallest(size_t place, size_t keep);

  std::array<std::vector<FeatureId>, kPlaces> found_;  // each has room for all
  std::array<size_t, kPlaces> count_{};
  std::vector<FeatureId> set_;
  std::vector<FeatureId> low_;  // these two of the same size
  std::vector<FeatureId> spare_;
};

}  // namespace tamis::model
