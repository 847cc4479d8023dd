#include "mail/digest.h"

#include "base/hash.h"
#include "mail/ascii.h"
#include "mail/text.h"

namespace tamis::mail {

void Simhash::add(uint64_t hash, int weight) {
  ++count_;
  for (size_t bit = 0; bit < 64; ++bit) sums_[bit] += ((hash >> bit) & 1) != 0 ? weight : -weight;
}

uint64_t Simhash::finish() const {
  uint64_t result = 0;
  for (size_t bit = 0; bit < 64; ++bit) result |= static_cast<uint64_t>(sums_[bit] > 0) << bit;
  return result;
}

uint64_t text_digest(std::string_view folded, size_t words_max) {
  Simhash simhash;
  size_t at = 0, words = 0;
  uint64_t before = 0;
  while (words < words_max) {
    const std::string_view word = next_word(folded, at);
    if (word.empty()) break;
    bool digit = false, address = false;
    for (const char c : word) {
      digit |= is_digit(c);
      address |= c == '@' || c == '.' || c == '_';
    }
    if (address || word.size() > 40) continue;  // what campaigns vary: links, addresses, codes
    ++words;
    const uint64_t hash = digit ? base::mix64(word.size()) : base::hash64(word);
    simhash.add(hash, digit ? 1 : 2);
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
