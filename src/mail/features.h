// A message as features for a classifier: 64-bit hashes, each with the place where it stands. The same word in the
// subject, in the body and in hidden text gives three features. Hashes are stable: of the place, a kind and the bytes
// by XXH3, the same on every machine and release, so models keep (kFeatureVersion changes when they do not).
//
//   for_each_feature(analysis, {}, [&](uint64_t hash, Place place) { ... });
//
// Features come in message order, may repeat (a model that wants a set drops repetitions), and are at most
// limits.features_max. Raw and text n-grams come last, so that a bound cuts them first. Nothing is kept: hashes are not
// invertible in a useful sense, but short words can be guessed; who stores them encrypts them.
//
// Cost: 5 to 8 ns a feature; a message of 4 KB gives about 5 000 with the n-grams, 1 500 without.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mail/facts.h"

namespace tamis::mail {

inline constexpr uint32_t kFeatureVersion = 1;

enum class Place : uint8_t {
  kHeaderName,  // which headers there are, and pairs of neighbours
  kHeaderWord,  // words of other headers, by header
  kSubject,     // words and pairs of the subject
  kFrom,        // display name, address and domains of From
  kRecipient,   // addresses of To and Cc
  kTrace,       // Received and authentication headers
  kBody,        // words of the visible text
  kBodyPair,    // sparse pairs: a word with each of the four behind it
  kHidden,      // words that cannot be seen
  kHtml,        // elements, by threes, and what is counted of them
  kLink,        // hosts, domains, pieces of paths, tricks
  kAttachment,  // names, extensions, kinds, members
  kStructure,   // types of parts, encodings, anomalies, sizes
  kFacts,       // counted facts, in bins
  kText4,       // four bytes of subject and visible text, folded
  kRaw4,        // four bytes of the message as it came
  kCount
};
inline constexpr size_t kPlaces = static_cast<size_t>(Place::kCount);
std::string_view name_of(Place place);

constexpr uint32_t bit(Place place) { return 1u << static_cast<unsigned>(place); }
inline constexpr uint32_t kAllPlaces = (1u << kPlaces) - 1;

struct FeatureOptions {
  uint32_t places = kAllPlaces;
  // Headers (lower case) that give no features, for measurements across sources: the whole field is left out of every
  // place. Names that end in "*" are prefixes.
  std::span<const std::string_view> masked_headers;
};

struct Feature {
  uint64_t hash;
  Place place;
};

// Appends to `out`. With `texts`, also what each feature stands for, as a person reads it ("subject: free"), in step.
void collect_features(const Analysis& analysis, const FeatureOptions& options, std::vector<Feature>& out,
                      std::vector<std::string>* texts = nullptr);

template <class Visitor>
void for_each_feature(const Analysis& analysis, const FeatureOptions& options, Visitor&& visitor) {
  thread_local std::vector<Feature> features;
  features.clear();
  collect_features(analysis, options, features);
  for (const Feature& feature : features) visitor(feature.hash, feature.place);
}

}  // namespace tamis::mail
