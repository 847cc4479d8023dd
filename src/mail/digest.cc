#include "mail/digest.h"

#include "base/hash.h"
#include "mail/ascii.h"
#include "mail/text.h"

namespace tamis::mail {

namespace {

// The bits of a byte as eight bytes of 0 or 1.
constexpr std::array<uint64_t, 256> make_spread() {
  std::array<uint64_t, 256> table{};
  for (size_t byte = 0; byte < 256; ++byte) {
    for (size_t i = 0; i < 8; ++i) table[byte] |= static_cast<uint64_t>(byte >> i & 1) << (8 * i);
  }
  return table;
}
constexpr std::array<uint64_t, 256> kSpread = make_spread();

}  // namespace

void Simhash::add(uint64_t hash, unsigned weight) {
  if (in_lanes_ + weight > 255) empty_lanes();
  for (size_t i = 0; i < 8; ++i) lanes_[i] += kSpread[hash >> (8 * i) & 255] * weight;
  in_lanes_ += weight;
  weight_ += weight;
  ++count_;
}

void Simhash::empty_lanes() {
  for (size_t bit = 0; bit < 64; ++bit) ones_[bit] += static_cast<uint32_t>(lanes_[bit / 8] >> (bit % 8 * 8) & 255);
  lanes_ = {};
  in_lanes_ = 0;
}

uint64_t Simhash::finish() {
  empty_lanes();
  uint64_t result = 0;
  for (size_t bit = 0; bit < 64; ++bit) result |= static_cast<uint64_t>(2 * uint64_t{ones_[bit]} > weight_) << bit;
  return result;
}

uint64_t text_digest(WordCursor text, size_t words_max) {
  Simhash simhash;
  size_t words = 0;
  uint64_t before = 0;
  while (words < words_max) {
    const Word word = text.next();
    if (word.text.empty()) break;
    if (word.address || word.text.size() > 40) continue;  // what campaigns vary: links, addresses, codes
    ++words;
    const uint64_t hash = word.digit ? base::mix64(word.text.size()) : word.hash;
    simhash.add(hash, word.digit ? 1 : 2);
    if (before != 0) simhash.add(base::combine64(before, hash), 1);
    before = hash;
  }
  if (words < 5) return 0;
  const uint64_t digest = simhash.finish();
  return digest == 0 ? 1 : digest;
}

uint64_t structure_digest(std::span<const uint32_t> tags, std::span<const uint64_t> parts) {
  Simhash simhash;
  for (size_t i = 0; i + 2 < tags.size(); ++i) {
    simhash.add(base::mix64(base::combine64(tags[i], tags[i + 1]) ^ tags[i + 2]));
  }
  for (const uint64_t part : parts) simhash.add(base::mix64(part), 3);
  if (simhash.count() == 0) return 0;
  const uint64_t digest = simhash.finish();
  return digest == 0 ? 1 : digest;
}

}  // namespace tamis::mail
