#include "model/neighbours.h"

#include <algorithm>
#include <cmath>

#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr size_t kNearest = 15;

bool is_text(size_t place) {
  return place == static_cast<size_t>(Place::kSubject) || place == static_cast<size_t>(Place::kBody) ||
         place == static_cast<size_t>(Place::kLink);
}
// Pairs and grams are many and say little more about likeness.
bool is_seen(size_t place) {
  return place != static_cast<size_t>(Place::kBodyPair) && place != static_cast<size_t>(Place::kRawGram);
}

}  // namespace

Neighbours::Neighbours(uint32_t examples_max)
    : examples_max_(examples_max), buckets_(size_t{1} << kBucketsLog2), sizes_(examples_max) {}

void Neighbours::insert(uint64_t sequence, FeatureSpan features) {
  uint32_t all = 0;
  uint32_t text = 0;
  for (const FeatureId id : features) {
    if (!is_seen(place_of(id))) continue;
    ++all;
    text += is_text(place_of(id));
    Bucket& bucket = buckets_[bucket_of(id)];
    bucket.newest[bucket.added % kEntries] = static_cast<uint32_t>(sequence + 1);
    ++bucket.added;
  }
  sizes_[sequence % examples_max_] = {std::sqrt(static_cast<float>(all) + 1), std::sqrt(static_cast<float>(text) + 1)};
}

NeighbourLogits Neighbours::find(FeatureSpan features, const ExampleStore& examples, NeighbourScratch& scratch) const {
  const uint64_t end = examples.end();
  const auto held = static_cast<uint32_t>(end - examples.begin());
  if (held == 0) return {};
  scratch.all.assign(examples_max_, 0.0f);
  scratch.text.assign(examples_max_, 0.0f);
  for (const FeatureId id : features) {
    const size_t place = place_of(id);
    if (!is_seen(place)) continue;
    const Bucket& bucket = buckets_[bucket_of(id)];
    std::array<uint32_t, kEntries> ages;
    uint32_t found = 0;
    for (uint32_t i = 0; i < kEntries && i < bucket.added; ++i) {
      const uint32_t age = static_cast<uint32_t>(end) - bucket.newest[(bucket.added - 1 - i) % kEntries];
      if (age >= held) break;
      ages[found++] = age;
    }
    if (found == 0) continue;
    // Messages in the store that had it: counted, or once the bucket is full estimated from the reach of its entries.
    float had = static_cast<float>(found);
    if (found == kEntries) had *= static_cast<float>(held) / static_cast<float>(ages[found - 1] + 1);
    if (had * 4 > static_cast<float>(held) + 8) continue;
    const float rarity = plain_log(static_cast<float>(held + 1) / had);
    const bool text = is_text(place);
    for (uint32_t i = 0; i < found; ++i) {
      const size_t at = static_cast<size_t>((end - 1 - ages[i]) % examples_max_);
      scratch.all[at] += rarity;
      if (text) scratch.text[at] += rarity;
    }
  }
  return {vote(scratch.all, false, examples, scratch), vote(scratch.text, true, examples, scratch)};
}

float Neighbours::vote(const std::vector<float>& similarity, bool text, const ExampleStore& examples,
                       NeighbourScratch& scratch) const {
  auto& best = scratch.best;
  best.clear();
  for (uint64_t sequence = examples.begin(); sequence < examples.end(); ++sequence) {
    const auto at = static_cast<uint32_t>(sequence % examples_max_);
    if (similarity[at] <= 0 || !examples.at(sequence).alive) continue;
    const float likeness = similarity[at] / (text ? sizes_[at].text : sizes_[at].all);
    best.emplace_back(-likeness, static_cast<uint32_t>(examples.end() - sequence));
  }
  const size_t nearest = std::min(kNearest, best.size());
  std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(nearest), best.end());
  float votes[2] = {0, 0};
  for (size_t i = 0; i < nearest; ++i) {
    votes[examples.at(examples.end() - best[i].second).spam] += best[i].first * best[i].first;
  }
  const float doubt = 0.02f * (votes[0] + votes[1]) + 1e-9f;
  return plain_log((votes[1] + doubt) / (votes[0] + doubt));
}

}  // namespace tamis::model
