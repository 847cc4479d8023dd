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
  bool all_hex = !local.empty(), has_hex_letter = false;
  int alternations = 0, most_alternations = 0;
  int consonants = 0;  // in a row, digits between them or not
  bool is_random = false;
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
  size_t letters = local.size();
  while (letters > 0 && is_digit(local[letters - 1])) --letters;
  if (letters >= 3 && letters < local.size() && !out.is_hex)
    out.stem = static_cast<uint32_t>(base::hash64(local.substr(0, letters), 3)) | 1u;
  return out;
}

}  // namespace tamis::detect
