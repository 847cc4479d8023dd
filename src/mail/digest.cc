#include "mail/digest.h"

#include <algorithm>

#include "base/hash.h"
#include "mail/charset.h"
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

namespace {

// What words are counted in: so that texts whose words nobody can tell apart are measured by their characters.
constexpr size_t kUnitsOfWord = 4, kUnitsOfSyllable = 2, kUnitsOfLetter = 1;
constexpr size_t kUnitsMin = 5 * kUnitsOfWord;

enum class Kind : uint8_t {
  kOther,     // of a script with spaces, or ASCII
  kSyllable,  // a character of Chinese or Japanese
  kLetter,    // a letter or vowel sign of Thai, Lao, Khmer or Burmese
  kDigit,     // of these
  kMark       // punctuation and pictures, over which runs go on
};

bool is_between(uint32_t point, uint32_t first, uint32_t last) { return point >= first && point <= last; }

Kind kind_of(uint32_t p) {
  if (p < 0xe00) return Kind::kOther;
  if (p <= 0xeff) {
    if (is_between(p, 0xe50, 0xe59) || is_between(p, 0xed0, 0xed9)) return Kind::kDigit;
    return p == 0xe3f || p == 0xe4f || p == 0xe5a || p == 0xe5b ? Kind::kMark : Kind::kLetter;
  }
  if (is_between(p, 0x1000, 0x109f)) {
    if (is_between(p, 0x1040, 0x1049) || is_between(p, 0x1090, 0x1099)) return Kind::kDigit;
    return is_between(p, 0x104a, 0x104f) ? Kind::kMark : Kind::kLetter;
  }
  if (is_between(p, 0x1780, 0x17ff)) {
    if (is_between(p, 0x17e0, 0x17e9)) return Kind::kDigit;
    return is_between(p, 0x17d4, 0x17db) ? Kind::kMark : Kind::kLetter;
  }
  if (is_between(p, 0xa9e0, 0xa9fe) || is_between(p, 0xaa60, 0xaa7f)) return Kind::kLetter;
  if (is_between(p, 0x3005, 0x3007) || is_between(p, 0x3041, 0x30fa) || is_between(p, 0x30fc, 0x312f) ||
      is_between(p, 0x31f0, 0x31ff) || is_between(p, 0x3400, 0x9fff) || is_between(p, 0xf900, 0xfaff) ||
      is_between(p, 0xff66, 0xff9f) || is_between(p, 0x20000, 0x3ffff)) {
    return Kind::kSyllable;
  }
  if (is_between(p, 0x2000, 0x2e7f) || is_between(p, 0x3000, 0x303f) || p == 0x30fb || is_between(p, 0xfe30, 0xfe4f) ||
      is_between(p, 0xff5f, 0xff65) || is_between(p, 0x1f000, 0x1faff)) {
    return Kind::kMark;
  }
  return Kind::kOther;
}

bool has_runs(std::string_view word) {
  // All of these scripts lie at U+0E00 and above, in three bytes or four.
  const auto high = [](char c) { return static_cast<unsigned char>(c) >= 0xe0; };
  size_t at = static_cast<size_t>(std::find_if(word.begin(), word.end(), high) - word.begin());
  while (at < word.size()) {
    const Kind kind = kind_of(next_code_point(word, at));
    if (kind != Kind::kOther && kind != Kind::kMark) return true;
  }
  return false;
}

// Reads a text word by word into a simhash. Words of scripts with spaces count as they are; runs of the others give all
// that stands side by side, over spaces, line ends and punctuation, since these fall where a program wraps lines: two
// and three characters of Chinese and Japanese, three and four letters of the rest.
class TextReader {
 public:
  explicit TextReader(size_t words_max) : units_max_(words_max * kUnitsOfWord) {}

  bool full() const { return units_ >= units_max_; }
  uint64_t finish() { return units_ < kUnitsMin ? 0 : std::max<uint64_t>(simhash_.finish(), 1); }

  void add_word(const Word& word) {
    if (word.address || word.text.size() > 40) return;  // what campaigns vary: links, addresses, codes
    units_ += kUnitsOfWord;
    const uint64_t hash = word.digit ? base::mix64(word.text.size()) : word.hash;
    simhash_.add(hash, word.digit ? 1 : 2);
    if (before_ != 0) simhash_.add(base::combine64(before_, hash), 1);
    before_ = hash;
    run_ = 0;
  }

  // A word that has runs: they, and what stands between them.
  void add_mixed(std::string_view word) {
    before_ = 0;
    size_t digits = 0, other_begin = 0, at = 0;
    while (at < word.size() && !full()) {
      const size_t begin = at;
      const uint32_t point = next_code_point(word, at);
      const Kind kind = kind_of(point);
      if (kind == Kind::kOther) continue;
      add_other(word.substr(other_begin, begin - other_begin));
      other_begin = at;
      if (kind == Kind::kDigit) {
        ++digits;
        continue;
      }
      add_digits(digits);
      digits = 0;
      if (kind != Kind::kMark) add_character(point, kind);
    }
    add_digits(digits);
    add_other(word.substr(other_begin));
  }

 private:
  void add_digits(size_t count) {
    if (count == 0) return;
    simhash_.add(base::mix64(count), 1);
    units_ += kUnitsOfLetter;
    run_ = 0;
  }

  void add_other(std::string_view text) {
    const auto inner = [](char c) { return c == '.' || c == '-' || c == '\'' || c == '_' || c == '@'; };
    while (!text.empty() && inner(text.front())) text.remove_prefix(1);
    while (!text.empty() && inner(text.back())) text.remove_suffix(1);
    if (text.empty()) return;
    run_ = 0;
    if (text.size() > 40 || text.find_first_of("@._") != std::string_view::npos) return;
    if (text.find_first_of("0123456789") != std::string_view::npos) {
      simhash_.add(base::mix64(text.size()), 1);
      units_ += kUnitsOfLetter;
      return;
    }
    simhash_.add(base::hash64(text), 2);
    units_ += kUnitsOfWord;
  }

  // Heavier than words: what stands between runs is mostly names and pieces of links, which campaigns vary.
  void add_character(uint32_t point, Kind kind) {
    constexpr unsigned kWeight = 4;
    const bool syllable = kind == Kind::kSyllable;
    units_ += syllable ? kUnitsOfSyllable : kUnitsOfLetter;
    const uint64_t three_before = last_;
    last_ = (last_ << 21 | point) & ((uint64_t{1} << 63) - 1);
    ++run_;
    const uint64_t two = last_ & ((uint64_t{1} << 42) - 1);
    const size_t shorter = syllable ? 2 : 3;
    if (run_ >= shorter) simhash_.add(base::mix64(syllable ? two : last_), kWeight);
    if (run_ > shorter) simhash_.add(syllable ? base::mix64(last_) : base::combine64(three_before, point), kWeight);
  }

  Simhash simhash_;
  size_t units_ = 0, units_max_;
  uint64_t before_ = 0;  // the word before, where it is the pair's first
  uint64_t last_ = 0;    // the last three characters, 21 bits each
  size_t run_ = 0;       // how many there are side by side
};

uint64_t digest_of(WordCursor text, size_t words_max, bool split, bool& has_run) {
  TextReader reader(words_max);
  while (!reader.full()) {
    const Word word = text.next();
    if (word.text.empty()) break;
    if (split && has_runs(word.text)) {
      has_run = true;
      reader.add_mixed(word.text);
    } else {
      reader.add_word(word);
    }
  }
  return reader.finish();
}

}  // namespace

TextDigest text_digest(WordCursor text, size_t words_max) {
  bool has_run = false;
  TextDigest digest;
  digest.value = digest_of(text, words_max, true, has_run);
  digest.of_words = has_run ? digest_of(text, words_max, false, has_run) : digest.value;
  return digest;
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
