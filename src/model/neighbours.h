// Which past messages resemble this one: nearest neighbours by shared features, rare ones counting more.
//
// An index of fixed size: each bucket of feature hashes remembers the newest 15 messages that had it. A feature that is
// common keeps only its newest messages and, being common, adds little; so the cost of a search is bounded by the
// number of features, not by the number of messages. Campaigns, which come in bursts of near-copies, are what it finds
// first. How often a bucket is met is estimated from how far its entries reach back.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/example_store.h"
#include "model/features.h"
#include "model/huge_pages.h"

namespace tamis::model {

struct NeighbourScratch {
  std::vector<float> all;                        // similarity by slot of the ring
  std::vector<float> text;                       // the same by features of the text alone
  std::vector<std::pair<float, uint32_t>> best;  // likeness, age
  std::vector<FeatureId> seen;                   // the features that are looked up
};

struct NeighbourLogits {
  float all = 0;
  float text = 0;
};

class Neighbours {
 public:
  explicit Neighbours(uint32_t examples_max);

  void insert(uint64_t sequence, FeatureSpan features);
  // Logits of spam among the 15 nearest, weighed by the square of their similarity; 0 where there is none. `doubt`: the
  // vote of either label that is added, as a share of what the message itself would have, were it in the store.
  NeighbourLogits find(FeatureSpan features, const ExampleStore& examples, float doubt,
                       NeighbourScratch& scratch) const;

  // For model files: the index as bytes of a fixed number, and the sizes of one message of the store that is loaded.
  void save(std::string& out) const;
  size_t saved_bytes() const { return buckets_.size() * sizeof(Bucket); }
  bool load(std::string_view bytes);
  void set_sizes(uint64_t sequence, FeatureSpan features);
  size_t memory_bytes() const { return buckets_.capacity() * sizeof(Bucket) + 2 * sizes_.capacity() * sizeof(float); }

 private:
  static constexpr uint32_t kBucketsLog2 = 17;
  static constexpr size_t kEntries = 15;
  struct alignas(64) Bucket {
    std::array<uint32_t, kEntries> newest{};  // sequence + 1, as 32 bits; a ring
    uint32_t added = 0;
  };
  static size_t bucket_of(FeatureId id) { return (id * 0x85ebca6bu) >> (32 - kBucketsLog2); }
  float vote(std::vector<float>& similarity, const std::vector<float>& sizes, const ExampleStore& examples,
             float pseudo_vote, NeighbourScratch& scratch) const;

  uint32_t examples_max_;
  TableOf<Bucket> buckets_;
  // By slot of the ring, each in a row of its own: square roots of the numbers of features.
  std::vector<float> sizes_;
  std::vector<float> text_sizes_;
};

}  // namespace tamis::model
