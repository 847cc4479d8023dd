// Near-duplicate digests: 64-bit simhashes (Charikar 2002; Manku, Jain and Das Sarma 2007) of text and of structure.
// Messages of one campaign differ in names, numbers and links; their digests differ in few bits. Two digests are near
// at a Hamming distance of kNearBits or less: unrelated texts lie about 32 apart.
//
// To find near ones by equality alone, a table keeps the four 16-bit bands of a digest: two digests at a distance of
// three or less share at least one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "mail/text.h"

namespace tamis::mail {

inline constexpr int kNearBits = 10;

inline int digest_distance(uint64_t a, uint64_t b) { return __builtin_popcountll(a ^ b); }
inline bool digests_near(uint64_t a, uint64_t b) { return digest_distance(a, b) <= kNearBits; }

// Counts, for each bit, the weight of the hashes that have it: eight bits a step, in lanes of one byte that are emptied
// before they can overflow.
class Simhash {
 public:
  void add(uint64_t hash, unsigned weight = 1);  // weight: 1 to 8
  uint64_t finish();
  size_t count() const { return count_; }

 private:
  void empty_lanes();

  std::array<uint64_t, 8> lanes_{};
  std::array<uint32_t, 64> ones_{};
  uint64_t weight_ = 0;
  unsigned in_lanes_ = 0;
  size_t count_ = 0;
};

struct TextDigest {
  uint64_t value = 0;     // 0: fewer than five words, too little to compare
  uint64_t of_words = 0;  // the same of words between spaces alone: what models have learned of alternatives
};
// Of folded text (mail/text.h): single words and pairs of neighbours, words of digits counted by their length only,
// words with an @ or a dot inside left out. Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between
// words: there it is pairs and triples of characters, or triples and fours of letters; two characters, or four letters,
// count as a word. Cost: about 25 ns a character of these scripts.
TextDigest text_digest(WordCursor text, size_t words_max);

// Of the order of elements: the tags of HTML by threes, then the kinds of parts. 0: nothing to compare.
uint64_t structure_digest(std::span<const uint32_t> tags, std::span<const uint64_t> parts);

}  // namespace tamis::mail
