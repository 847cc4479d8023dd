#include "model/neighbours.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr size_t kNearest = 15;
constexpr size_t kAhead = 32;  // the processor fetches buckets this many features ahead

bool is_text(size_t place) {
  return place == static_cast<size_t>(Place::kSubject) || place == static_cast<size_t>(Place::kBody) ||
         place == static_cast<size_t>(Place::kLink);
}
// Pairs and grams are many and say little more about likeness.
bool is_seen(size_t place) {
  return place != static_cast<size_t>(Place::kBodyPair) && place != static_cast<size_t>(Place::kGram);
}

}  // namespace

Neighbours::Neighbours(uint32_t examples_max)
    : examples_max_(examples_max),
      buckets_(size_t{1} << kBucketsLog2),
      sizes_(examples_max),
      text_sizes_(examples_max) {}

void Neighbours::insert(uint64_t sequence, FeatureSpan features) {
  for (const FeatureId id : features) {
    if (!is_seen(place_of(id))) continue;
    Bucket& bucket = buckets_[bucket_of(id)];
    bucket.newest[bucket.added % kEntries] = static_cast<uint32_t>(sequence + 1);
    ++bucket.added;
  }
  set_sizes(sequence, features);
}

void Neighbours::set_sizes(uint64_t sequence, FeatureSpan features) {
  uint32_t all = 0;
  uint32_t text = 0;
  for (const FeatureId id : features) {
    all += is_seen(place_of(id));
    text += is_text(place_of(id));
  }
  sizes_[sequence % examples_max_] = std::sqrt(static_cast<float>(all) + 1);
  text_sizes_[sequence % examples_max_] = std::sqrt(static_cast<float>(text) + 1);
}

void Neighbours::save(std::string& out) const {
  out.append(reinterpret_cast<const char*>(buckets_.data()), saved_bytes());
}

bool Neighbours::load(std::string_view bytes) {
  if (bytes.size() != saved_bytes()) return false;
  std::memcpy(buckets_.data(), bytes.data(), bytes.size());
  return true;
}

NeighbourLogits Neighbours::find(FeatureSpan features, const ExampleStore& examples, float doubt,
                                 NeighbourScratch& scratch) const {
  const uint64_t end = examples.end();
  const auto held = static_cast<uint32_t>(end - examples.begin());
  if (held == 0) return {};
  scratch.all.assign(examples_max_, 0.0f);
  scratch.text.assign(examples_max_, 0.0f);
  const auto newest = static_cast<uint32_t>((end - 1) % examples_max_);
  auto& seen = scratch.seen;
  seen.clear();
  for (const FeatureId id : features) {
    if (is_seen(place_of(id))) seen.push_back(id);
  }
  const auto fetch = [&](FeatureId id) { __builtin_prefetch(&buckets_[bucket_of(id)], 0, 2); };
  for (size_t i = 0; i < std::min(kAhead, seen.size()); ++i) fetch(seen[i]);
  // What a message with just these features would be alike: the sum of their rarities.
  float self_all = 0, self_text = 0;
  uint32_t texts = 0;
  const float rarest = plain_log(static_cast<float>(held + 1));
  for (size_t i = 0; i < seen.size(); ++i) {
    if (i + kAhead < seen.size()) fetch(seen[i + kAhead]);
    const FeatureId id = seen[i];
    const bool text = is_text(place_of(id));
    self_all += rarest;
    if (text) self_text += rarest, ++texts;
    const Bucket& bucket = buckets_[bucket_of(id)];
    std::array<uint32_t, kEntries> ages;
    uint32_t found = 0;
    uint32_t entry = bucket.added % kEntries;
    for (uint32_t e = 0; e < kEntries && e < bucket.added; ++e) {
      entry = entry == 0 ? kEntries - 1 : entry - 1;
      const uint32_t age = static_cast<uint32_t>(end) - bucket.newest[entry];
      if (age >= held) break;
      ages[found++] = age;
    }
    if (found == 0) continue;
    // Messages in the store that had it: counted, or once the bucket is full estimated from the reach of its entries.
    float had = static_cast<float>(found);
    if (found == kEntries) had *= static_cast<float>(held) / static_cast<float>(ages[found - 1] + 1);
    if (had * 4 > static_cast<float>(held) + 8) continue;
    const float rarity = plain_log(static_cast<float>(held + 1) / had);
    self_all += rarity - rarest;
    if (text) self_text += rarity - rarest;
    for (uint32_t e = 0; e < found; ++e) {
      const uint32_t at = newest >= ages[e] ? newest - ages[e] : newest + examples_max_ - ages[e];
      scratch.all[at] += rarity;
      if (text) scratch.text[at] += rarity;
    }
  }
  const auto pseudo_vote = [doubt](float self, size_t size) {
    return doubt * self * self / static_cast<float>(size + 1);
  };
  return {vote(scratch.all, sizes_, examples, pseudo_vote(self_all, seen.size()), scratch),
          vote(scratch.text, text_sizes_, examples, pseudo_vote(self_text, texts), scratch)};
}

float Neighbours::vote(std::vector<float>& similarity, const std::vector<float>& sizes, const ExampleStore& examples,
                       float pseudo_vote, NeighbourScratch& scratch) const {
  auto& best = scratch.best;
  best.clear();
  const auto held = static_cast<uint32_t>(examples.end() - examples.begin());
  float* const likenesses = similarity.data();
  // A slot that never held a message has nothing to divide: its similarity is 0, and so it stays.
  for (size_t i = 0; i < examples_max_; ++i) likenesses[i] /= std::max(sizes[i], 1.0f);
  // Newest first, through the ring; nearly all are no better than the worst of the best so far.
  float enough = 0;
  const auto newest = static_cast<uint32_t>((examples.end() - 1) % examples_max_);
  const auto look = [&](uint32_t at) {
    const float likeness = likenesses[at];
    if (likeness <= enough) return;
    const uint32_t age = newest >= at ? newest - at : newest + examples_max_ - at;
    if (!examples.at(examples.end() - 1 - age).alive) return;
    if (best.size() == kNearest) best.pop_back();
    // The most alike first; of equals the newest first.
    auto place = best.end();
    while (place != best.begin() && (place - 1)->first < likeness) --place;
    best.insert(place, {likeness, age});
    if (best.size() == kNearest) enough = best.back().first;
  };
  for (uint32_t at = newest + 1; at-- > (held > newest ? 0 : newest + 1 - held);) look(at);
  if (held > newest + 1) {
    for (uint32_t at = examples_max_; at-- > newest + 1;) look(at);
  }
  float votes[2] = {0, 0};
  for (const auto& [likeness, age] : best) {
    votes[examples.at(examples.end() - 1 - age).spam ? 1 : 0] += likeness * likeness;
  }
  const float doubt = 0.02f * (votes[0] + votes[1]) + 1e-9f + pseudo_vote;
  return plain_log((votes[1] + doubt) / (votes[0] + doubt));
}

}  // namespace tamis::model
