#include "detect/lexical.h"

#include <array>

#include "base/hash.h"

namespace tamis::detect {
namespace {

constexpr size_t kBytesMax = 64;
constexpr int kRunsMax = 5;  // of letters and digits without a separator, beyond which the part is a random string
// Consonants in a row that names hardly have, whatever their language, and letters drawn at random nearly always.
constexpr int kConsonantsMax = 4;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_vowel(char c) { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'; }
bool is_separator(char c) { return c == '.' || c == '_' || c == '-' || c == '+'; }

// What ways of making names leave behind wherever it falls ("4nn4b3ll" and "m1k3s0n" have no shape in common): digits
// between letters, tokens of one character, consonants and vowels in turn, letters that nobody can speak, capitals,
// digits first, how many digits end it, how many separators of which kind.
class Style {
 public:
  void put(char c) {
    if (is_separator(c)) {
      separators_[size_t(c == '.' ? 0 : c == '_' ? 1 : c == '-' ? 2 : 3)] += 1;
      end_token();
      return;
    }
    const bool digit = is_digit(c);
    const bool letter = lower(c) >= 'a' && lower(c) <= 'z';
    if (digit && tokens_ == 0 && length_ == 0) leading_digit_ = true;
    if (!digit && digits_ > 0 && length_ > digits_) digit_inside_ = true;
    has_capital_ = has_capital_ || (c >= 'A' && c <= 'Z');
    digits_ = digit ? digits_ + 1 : 0;
    if (letter) {
      const int vowel = is_vowel(lower(c)) ? 1 : 0;
      in_turn_ = in_turn_ && vowel != last_vowel_;
      last_vowel_ = vowel;
      ++letters_;
    } else {
      in_turn_ = in_turn_ && digit;
    }
    ++length_;
  }
  uint32_t hash(bool is_random) {
    const int final_digits = digits_ == 0 ? 0 : digits_ < 3 ? 1 : digits_ < 5 ? 2 : 3;
    end_token();
    uint64_t h = 4;
    for (int n : separators_) h = base::combine64(h, uint64_t(n < 3 ? n : 3));
    const bool turns = in_turn_ && letters_ >= kTurnsMin;
    for (bool b : {digit_inside_, tokens_ >= 3 && longest_ == 1, turns, is_random, has_capital_, leading_digit_})
      h = base::combine64(h, b ? 1 : 0);
    return static_cast<uint32_t>(base::combine64(h, uint64_t(final_digits))) | 1u;
  }

 private:
  static constexpr int kTurnsMin = 6;  // letters: fewer are in turn in many names
  void end_token() {
    tokens_ += length_ > 0 ? 1 : 0;
    longest_ = length_ > longest_ ? length_ : longest_;
    length_ = digits_ = 0;
  }
  std::array<int, 4> separators_{};
  int length_ = 0, digits_ = 0, letters_ = 0, tokens_ = 0, longest_ = 0, last_vowel_ = -1;
  bool digit_inside_ = false, has_capital_ = false, leading_digit_ = false, in_turn_ = true;
};

// Text of bounded length.
struct Short {
  std::array<char, 4 * kBytesMax> text{};
  size_t bytes = 0;
  void put(char c) {
    if (bytes < text.size()) text[bytes++] = c;
  }
  uint32_t hash(uint64_t seed) const { return static_cast<uint32_t>(base::hash64(text.data(), bytes, seed)) | 1u; }
};

}  // namespace

NameShape name_shape(std::string_view local) {
  if (local.size() > kBytesMax) local = local.substr(0, kBytesMax);
  NameShape out;
  out.bytes = static_cast<uint8_t>(local.size());
  Short shape, fine;
  Style style;
  for (char c : local) style.put(c);
  bool all_hex = !local.empty(), has_hex_letter = false;
  int alternations = 0, most_alternations = 0;
  int consonants = 0;  // in a row, digits between them or not
  bool is_random = false, any_unspeakable = false;
  for (size_t at = 0; at < local.size();) {
    const char c = local[at];
    size_t end = at + 1;
    if (is_separator(c)) {
      shape.put(c), fine.put(c);
      all_hex = false;
      alternations = consonants = 0;
      at = end;
      continue;
    }
    const bool digit = is_digit(c);
    while (end < local.size() && !is_separator(local[end]) && is_digit(local[end]) == digit) ++end;
    int in_run = 0;
    bool unspeakable = false;
    for (size_t i = at; i < end && !digit; ++i) {
      const char letter = lower(local[i]);
      const bool consonant = letter >= 'a' && letter <= 'z' && !is_vowel(letter);
      in_run = consonant ? in_run + 1 : 0;
      consonants = consonant ? consonants + 1 : 0;
      unspeakable = unspeakable || in_run > kConsonantsMax;
      is_random = is_random || (consonants > kConsonantsMax && alternations > 1);
      const bool hex = letter >= 'a' && letter <= 'f';
      all_hex = all_hex && hex;
      has_hex_letter = has_hex_letter || hex;
    }
    const auto run = static_cast<char>(end - at);
    const char kind = digit ? 'd' : unspeakable ? 'q' : 'w';
    any_unspeakable = any_unspeakable || unspeakable;
    shape.put(kind), fine.put(kind);
    if (kind != 'w') shape.put(run), fine.put(run);
    if (kind == 'w') fine.put(static_cast<char>(run / 3));
    if (digit) out.digits = static_cast<uint8_t>(out.digits + run);
    ++out.runs;
    most_alternations = ++alternations > most_alternations ? alternations : most_alternations;
    at = end;
  }
  out.is_hex = all_hex && has_hex_letter && out.digits > 0 && local.size() >= 6;
  if (out.is_hex || is_random || most_alternations >= kRunsMax || (all_hex && out.runs == 1 && out.digits >= 8)) {
    shape.bytes = 0;
    shape.put(all_hex ? 'x' : 'r');
    shape.put(static_cast<char>(local.size()));
    fine = shape;
  }
  out.shape = shape.hash(1);
  out.fine = fine.hash(2);
  out.style = style.hash(is_random || any_unspeakable || out.is_hex);
  size_t letters = local.size();
  while (letters > 0 && is_digit(local[letters - 1])) --letters;
  if (letters >= 3 && letters < local.size() && !out.is_hex)
    out.stem = static_cast<uint32_t>(base::hash64(local.substr(0, letters), 3)) | 1u;
  return out;
}

}  // namespace tamis::detect
