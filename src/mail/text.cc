#include "mail/text.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "mail/ascii.h"
#include "mail/charset.h"

namespace tamis::mail {
namespace {

struct LookAlike {
  uint16_t point;
  char latin;
};
// Sorted by point. Lower and upper case fold to the lower-case Latin letter.
constexpr LookAlike kLookAlikes[] = {
    {0x0391, 'a'}, {0x0392, 'b'}, {0x0395, 'e'}, {0x0396, 'z'}, {0x0397, 'h'}, {0x0399, 'i'}, {0x039a, 'k'},
    {0x039c, 'm'}, {0x039d, 'n'}, {0x039f, 'o'}, {0x03a1, 'p'}, {0x03a4, 't'}, {0x03a5, 'y'}, {0x03a7, 'x'},
    {0x03b1, 'a'}, {0x03b3, 'y'}, {0x03b5, 'e'}, {0x03b9, 'i'}, {0x03ba, 'k'}, {0x03bd, 'v'}, {0x03bf, 'o'},
    {0x03c1, 'p'}, {0x03c4, 't'}, {0x03c5, 'u'}, {0x03c7, 'x'}, {0x0405, 's'}, {0x0406, 'i'}, {0x0408, 'j'},
    {0x0410, 'a'}, {0x0412, 'b'}, {0x0415, 'e'}, {0x041a, 'k'}, {0x041c, 'm'}, {0x041d, 'h'}, {0x041e, 'o'},
    {0x0420, 'p'}, {0x0421, 'c'}, {0x0422, 't'}, {0x0423, 'y'}, {0x0425, 'x'}, {0x0430, 'a'}, {0x0435, 'e'},
    {0x043a, 'k'}, {0x043e, 'o'}, {0x0440, 'p'}, {0x0441, 'c'}, {0x0443, 'y'}, {0x0445, 'x'}, {0x0455, 's'},
    {0x0456, 'i'}, {0x0458, 'j'}, {0x0475, 'v'}, {0x04bb, 'h'}, {0x04cf, 'l'}, {0x0501, 'd'}, {0x051b, 'q'},
    {0x051d, 'w'},
};

uint32_t look_alike_of(uint32_t point) {
  if (point < 0x391 || point > 0x51d) return 0;
  const auto* end = std::end(kLookAlikes);
  const auto* found = std::lower_bound(std::begin(kLookAlikes), end, point,
                                       [](const LookAlike& entry, uint32_t p) { return entry.point < p; });
  return found != end && found->point == point ? static_cast<uint32_t>(found->latin) : 0;
}

// Letters that are plain ones in another dress; 0: not of them. `upper` says their case.
uint32_t plain_of(uint32_t p, bool& upper) {
  upper = false;
  if (p >= 0xff01 && p <= 0xff5e) {  // full width
    const uint32_t plain = p - 0xff01 + '!';
    upper = plain >= 'A' && plain <= 'Z';
    return plain;
  }
  if (p >= 0x1d400 && p <= 0x1d6a3) {  // mathematical letters: alphabets of 52
    const uint32_t letter = (p - 0x1d400) % 52;
    upper = letter < 26;
    return 'A' + letter % 26;
  }
  if (p >= 0x1d7ce && p <= 0x1d7ff) return '0' + (p - 0x1d7ce) % 10;
  if (p >= 0x24b6 && p <= 0x24cf) {
    upper = true;
    return 'A' + (p - 0x24b6);
  }
  if (p >= 0x24d0 && p <= 0x24e9) return 'A' + (p - 0x24d0);
  for (const uint32_t begin : {0x1f130u, 0x1f150u, 0x1f170u}) {  // squared and negative letters
    if (p >= begin && p < begin + 26) {
      upper = true;
      return 'A' + (p - begin);
    }
  }
  return 0;
}

bool is_zero_width(uint32_t p) {
  return p == 0xad || p == 0x34f || p == 0x61c || p == 0x180e || (p >= 0x200b && p <= 0x200f) ||
         (p >= 0x2060 && p <= 0x2064) || p == 0xfeff || (p >= 0xfe00 && p <= 0xfe0f) ||
         (p >= 0xe0000 && p <= 0xe0fff) || p == 0x115f || p == 0x1160 || p == 0x3164;
}
bool is_bidi(uint32_t p) { return (p >= 0x202a && p <= 0x202e) || (p >= 0x2066 && p <= 0x2069); }
bool is_combining(uint32_t p) {
  return (p >= 0x300 && p <= 0x36f) || (p >= 0x1ab0 && p <= 0x1aff) || (p >= 0x20d0 && p <= 0x20ff);
}
bool is_wide_space(uint32_t p) {
  return p == 0xa0 || (p >= 0x2000 && p <= 0x200a) || p == 0x202f || p == 0x205f || p == 0x3000 || p == 0x2028 ||
         p == 0x2029 || p == 0x85;
}
bool is_emoji(uint32_t p) { return (p >= 0x1f300 && p <= 0x1faff) || (p >= 0x2600 && p <= 0x27bf); }
bool is_currency(uint32_t p) { return p == '$' || (p >= 0xa2 && p <= 0xa5) || (p >= 0x20a0 && p <= 0x20cf); }

Script script_of(uint32_t p) {
  if (p < 0x250 || (p >= 0x1e00 && p <= 0x1eff)) return Script::kLatin;
  if (p >= 0x370 && p <= 0x3ff) return Script::kGreek;
  if (p >= 0x400 && p <= 0x52f) return Script::kCyrillic;
  if (p >= 0x590 && p <= 0x5ff) return Script::kHebrew;
  if ((p >= 0x600 && p <= 0x77f) || (p >= 0xfb50 && p <= 0xfefc)) return Script::kArabic;
  if (p >= 0x900 && p <= 0xdff) return Script::kIndic;
  if (p >= 0xe00 && p <= 0xe7f) return Script::kThai;
  if (p >= 0x3040 && p <= 0x30ff) return Script::kKana;
  if ((p >= 0xac00 && p <= 0xd7a3) || (p >= 0x1100 && p <= 0x11ff)) return Script::kHangul;
  if ((p >= 0x3400 && p <= 0x9fff) || (p >= 0xf900 && p <= 0xfaff) || (p >= 0x20000 && p <= 0x2ffff))
    return Script::kHan;
  return Script::kOther;
}

// Simple case folding of the scripts that have case, as far as a rule does it.
uint32_t lower_of(uint32_t p) {
  if (p < 0x80) return p >= 'A' && p <= 'Z' ? p + 32 : p;
  if (p >= 0xc0 && p <= 0xde && p != 0xd7) return p + 32;
  if (p == 0x130) return 'i';
  if (p == 0x178) return 0xff;
  if ((p >= 0x100 && p <= 0x137) || (p >= 0x14a && p <= 0x177) || (p >= 0x1e00 && p <= 0x1eff)) return p | 1;
  if ((p >= 0x139 && p <= 0x148) || (p >= 0x179 && p <= 0x17e)) return p & 1 ? p + 1 : p;
  if (p >= 0x391 && p <= 0x3a9) return p + 32;
  if (p >= 0x410 && p <= 0x42f) return p + 32;
  if (p >= 0x400 && p <= 0x40f) return p + 80;
  if (p >= 0x460 && p <= 0x481) return p | 1;
  return p;
}

bool is_letter(uint32_t p, Script script) {
  if (p < 0x80) return is_alpha(static_cast<char>(p));
  if (p < 0xc0) return p == 0xaa || p == 0xb5 || p == 0xba;
  if (p == 0xd7 || p == 0xf7) return false;
  return script != Script::kOther && !(p >= 0x3000 && p < 0x3040);
}

constexpr bool is_inner(char c) {
  return c == '.' || c == '-' || c == '\'' || c == '_' || c == '@' || c == '$' || c == '%';
}
constexpr bool is_word_byte(char c) { return is_alnum(c) || (c & 0x80) != 0; }
constexpr ByteSet kBeginsWord([](char c) { return is_word_byte(c) || c == '$'; });
constexpr ByteSet kInWord([](char c) { return is_word_byte(c) || is_inner(c); });

// Writes a text word by word: whether a letter is a look-alike shows only when its word is known.
struct Folder {
  char* out;
  TextCounts& counts;
  size_t size = 0;
  // Of the current word. `places` are those of its look-alikes, as far as they matter.
  size_t word_begin = 0;
  uint32_t latin = 0, look_alikes = 0, other_letters = 0, uppers = 0, letters = 0;
  uint32_t single_letters = 0;  // words of one letter in a row

  void end_word() {
    const size_t bytes = size - word_begin;
    if (letters > 0 || bytes > 0) {
      if (look_alikes > 0 && latin > 0) {
        ++counts.mixed_script_words;
        make_latin();
      } else if (look_alikes > 2 && other_letters == 0) {
        ++counts.look_alike_words;
      }
      if (letters >= 3 && uppers == letters && bytes == letters) ++counts.upper_words;
      if (bytes > 40) ++counts.long_words;
      ++counts.words;
      if (bytes == 1 && letters == 1) {
        if (++single_letters == 4) ++counts.spaced_words;
      } else {
        single_letters = 0;
      }
    }
    latin = look_alikes = other_letters = uppers = letters = 0;
  }

  void make_latin() {
    size_t from = word_begin, to = word_begin;
    while (from < size) {
      const uint32_t point = next_code_point({out, size}, from);
      const uint32_t latin_letter = look_alike_of(point);
      to += put_code_point(latin_letter != 0 ? latin_letter : point, out + to);
    }
    size = to;
  }

  void put_space(char c) {
    end_word();
    out[size++] = c;
    word_begin = size;
  }

  void put_ascii(char c) {
    if (is_space(c)) {
      if (c == '\n') ++counts.lines;
      put_space(c == '\r' ? ' ' : c);
      return;
    }
    if (is_alpha(c)) {
      const bool upper = c <= 'Z';
      ++latin;
      ++letters;
      uppers += upper;
      counts.upper_letters += upper;
      ++counts.letters;
      ++counts.scripts[static_cast<size_t>(Script::kLatin)];
      out[size++] = to_lower(c);
      return;
    }
    counts.digits += is_digit(c);
    counts.exclamations += c == '!';
    counts.currency += c == '$';
    if (!is_digit(c) && !is_inner(c)) {
      end_word();
      out[size++] = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
      word_begin = size;
      return;
    }
    out[size++] = c;
  }

  void put_other(uint32_t point) {
    if (is_zero_width(point)) {
      ++counts.zero_width;
      return;
    }
    if (is_bidi(point)) {
      ++counts.bidi_controls;
      return;
    }
    if (is_combining(point)) {
      ++counts.combining;
      return;
    }
    if (is_wide_space(point)) {
      put_space(' ');
      return;
    }
    counts.emoji += is_emoji(point);
    counts.currency += is_currency(point);
    const FoldedPoint folded = fold_point(point);
    if (folded.styled) {
      ++counts.styled_letters;
      if (folded.point < 0x80) {
        put_ascii(static_cast<char>(folded.upper ? folded.point - 32 : folded.point));
        return;
      }
    }
    if (folded.letter) {
      ++letters;
      ++counts.letters;
      uppers += folded.upper;
      counts.upper_letters += folded.upper;
      ++counts.scripts[static_cast<size_t>(folded.script)];
      if (folded.look_alike != 0) {
        ++look_alikes;
      } else if (folded.script == Script::kLatin) {
        ++latin;
      } else {
        ++other_letters;
      }
    }
    size += put_code_point(folded.point, out + size);
  }
};

struct Language {
  std::string_view code;
  std::string_view words;  // frequent, short, and rare in the others
};
constexpr Language kLanguages[] = {
    {"en", " the and you for this that with your have are from will not can our was "},
    {"de", " der die und das ist nicht sie mit f\u00fcr auf ein eine den wir ihr zu von werden "},
    {"fr", " les des vous est une pour dans votre pas nous qui sur avec et du au ce "},
    {"es", " los las que una para por con su del est\u00e1 como sus este y el m\u00e1s "},
    {"it", " che di il della per non una con sono questo gli nel alla \u00e8 le dei "},
    {"pt", " que n\u00e3o uma para com voc\u00ea seu os mais sua por dos em foi da as "},
    {"nl", " het een van dat niet voor met zijn u op aan wij naar ook uw deze "},
    {"sv", " och att det som f\u00f6r inte med \u00e4r den har till av ett p\u00e5 kan "},
    {"da", " og det ikke til er af vi med for den kan dig har du ikke som "},
    {"pl", " nie jest si\u0119 na \u017ce do to w z jak dla oraz przez tego od "},
    {"cs", " je se na \u017ee to jsem v\u00e1m pro jako ale nebo jsme tak byl jeho "},
    {"tr", " ve bir i\u00e7in bu ile olarak de daha sizin olan \u00e7ok en gibi "},
    {"ro", " \u0219i \u00een de pe nu este la cu pentru o care mai din "},
    {"hu", " a az \u00e9s hogy nem egy is ez meg vagy \u00f6n "},
    {"fi", " ja on ei ett\u00e4 se ole my\u00f6s kun olla voi tai jos "},
    {"id", " yang dan di untuk dengan ini anda dari tidak dalam itu pada "},
    {"vi", " v\u00e0 c\u1ee7a c\u00f3 kh\u00f4ng l\u00e0 cho \u0111\u01b0\u1ee3c v\u1edbi c\u00e1c "},
};

constexpr uint32_t word_hash(std::string_view word) {
  uint32_t hash = 2166136261u;
  for (const char c : word) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

// The frequent words of all languages: of each the set of languages that have it.
struct LanguageWords {
  static constexpr size_t kSlots = 1024;
  struct Slot {
    std::string_view word;
    uint32_t languages = 0;
  };
  std::array<Slot, kSlots> slots{};

  constexpr LanguageWords() {
    for (size_t i = 0; i < std::size(kLanguages); ++i) {
      std::string_view rest = kLanguages[i].words.substr(1);
      while (!rest.empty()) {
        const std::string_view word = rest.substr(0, rest.find(' '));
        size_t slot = word_hash(word) % kSlots;
        while (!slots[slot].word.empty() && slots[slot].word != word) slot = (slot + 1) % kSlots;
        slots[slot].word = word;
        slots[slot].languages |= 1u << i;
        rest.remove_prefix(word.size() + 1);
      }
    }
  }
  uint32_t find(std::string_view word) const {
    size_t slot = word_hash(word) % kSlots;
    for (; !slots[slot].word.empty(); slot = (slot + 1) % kSlots) {
      if (slots[slot].word == word) return slots[slot].languages;
    }
    return 0;
  }
};
constexpr LanguageWords kLanguageWords;

}  // namespace

std::string_view name_of(Script script) {
  constexpr std::string_view names[] = {"latin", "cyrillic", "greek", "arabic", "hebrew", "indic",
                                        "thai",  "han",      "kana",  "hangul", "other"};
  return names[static_cast<size_t>(script)];
}

void TextCounts::add(const TextCounts& other) {
  bytes += other.bytes;
  words += other.words;
  letters += other.letters;
  upper_letters += other.upper_letters;
  digits += other.digits;
  lines += other.lines;
  upper_words += other.upper_words;
  zero_width += other.zero_width;
  bidi_controls += other.bidi_controls;
  combining += other.combining;
  styled_letters += other.styled_letters;
  mixed_script_words += other.mixed_script_words;
  look_alike_words += other.look_alike_words;
  spaced_words += other.spaced_words;
  long_words += other.long_words;
  emoji += other.emoji;
  currency += other.currency;
  exclamations += other.exclamations;
  for (size_t i = 0; i < scripts.size(); ++i) scripts[i] += other.scripts[i];
}

FoldedPoint fold_point(uint32_t point) {
  FoldedPoint result{};
  result.dropped = is_zero_width(point) || is_bidi(point) || is_combining(point);
  bool upper = false;
  const uint32_t plain = plain_of(point, upper);
  if (plain != 0) {
    result.styled = true;
    result.point = lower_of(plain);
    result.upper = upper;
    result.script = Script::kLatin;
    result.letter = is_alpha(static_cast<char>(plain));
    return result;
  }
  result.point = lower_of(point);
  result.upper = result.point != point;
  result.script = script_of(point);
  result.letter = is_letter(point, result.script);
  result.look_alike = look_alike_of(point);
  return result;
}

std::string_view fold_text(std::string_view text, base::Arena& arena, TextCounts& counts) {
  char* out = arena.allocate_array<char>(text.size() + 8);
  Folder folder{out, counts};
  counts.bytes += static_cast<uint32_t>(std::min<size_t>(text.size(), 0xffffffff - counts.bytes));
  size_t at = 0;
  while (at < text.size()) {
    if ((text[at] & 0x80) == 0) {
      folder.put_ascii(text[at++]);
    } else {
      folder.put_other(next_code_point(text, at));
    }
  }
  folder.end_word();
  return {out, folder.size};
}

std::string_view next_word(std::string_view folded, size_t& at) {
  while (at < folded.size() && !kBeginsWord.has(folded[at])) ++at;
  const size_t begin = at;
  while (at < folded.size() && kInWord.has(folded[at])) ++at;
  size_t end = at;
  while (end > begin && is_inner(folded[end - 1]) && folded[end - 1] != '$' && folded[end - 1] != '%') --end;
  if (at < folded.size() && folded[at] == '!' && end == at && end > begin) end = ++at;
  return folded.substr(begin, end - begin);
}

namespace {

enum ByteMark : uint8_t { kMarkIn = 1, kMarkInner = 2, kMarkDigit = 4, kMarkAddress = 8, kMarkBegins = 16 };
constexpr std::array<uint8_t, 256> make_marks() {
  std::array<uint8_t, 256> marks{};
  for (size_t i = 0; i < marks.size(); ++i) {
    const char c = static_cast<char>(static_cast<unsigned char>(i));
    marks[i] = static_cast<uint8_t>(
        (kInWord.has(c) ? kMarkIn : 0) | (is_word_byte(c) ? 0 : kMarkInner) | (is_digit(c) ? kMarkDigit : 0) |
        (c == '@' || c == '.' || c == '_' ? kMarkAddress : 0) | (kBeginsWord.has(c) ? kMarkBegins : 0));
  }
  return marks;
}
constexpr std::array<uint8_t, 256> kMarks = make_marks();
uint8_t marks_of(char c) { return kMarks[static_cast<unsigned char>(c)]; }

// As next_word(), and what its bytes are.
Word read_word(std::string_view folded, size_t& at) {
  size_t i = at;
  while (i < folded.size() && (marks_of(folded[i]) & kMarkBegins) == 0) ++i;
  const size_t begin = i;
  uint8_t marks = 0;
  for (uint8_t mark; i < folded.size() && ((mark = marks_of(folded[i])) & kMarkIn) != 0; ++i) marks |= mark;
  size_t end = i;
  while (end > begin && is_inner(folded[end - 1]) && folded[end - 1] != '$' && folded[end - 1] != '%') --end;
  if (end < i) {
    marks = 0;
    for (const char c : folded.substr(begin, end - begin)) marks |= marks_of(c);
  } else if (i < folded.size() && folded[i] == '!' && end > begin) {
    end = ++i;
    marks |= kMarkInner;
  }
  at = i;
  const std::string_view text = folded.substr(begin, end - begin);
  return {text, base::hash64(text), (marks & kMarkInner) != 0, (marks & kMarkDigit) != 0, (marks & kMarkAddress) != 0};
}

}  // namespace

void find_words(std::string_view folded, size_t words_max, std::vector<Word>& out, size_t& at) {
  for (size_t count = 0; count < words_max; ++count) {
    const Word word = read_word(folded, at);
    if (word.text.empty()) break;
    out.push_back(word);
  }
}

Word WordCursor::next() {
  if (known_.empty()) return read_word(folded_, at_);
  const Word word = known_.front();
  known_ = known_.subspan(1);
  return word;
}

std::string_view guess_language(WordCursor text, const TextCounts& counts, size_t words_max) {
  const auto letters = [&](Script script) { return counts.scripts[static_cast<size_t>(script)]; };
  if (counts.letters < 12) return "";
  const uint32_t half = counts.letters / 2;
  if (letters(Script::kKana) * 8 > counts.letters) return "ja";
  const struct {
    Script script;
    std::string_view code;
  } by_script[] = {{Script::kHan, "zh"},    {Script::kHangul, "ko"}, {Script::kCyrillic, "ru"}, {Script::kGreek, "el"},
                   {Script::kArabic, "ar"}, {Script::kHebrew, "he"}, {Script::kThai, "th"},     {Script::kIndic, "hi"}};
  for (const auto& entry : by_script) {
    if (letters(entry.script) > half / 2) return entry.code;
  }
  std::array<uint32_t, std::size(kLanguages)> hits{};
  size_t words = 0;
  while (words < std::min<size_t>(words_max, 400)) {
    const std::string_view word = text.next().text;
    if (word.empty()) break;
    ++words;
    if (word.size() > 10) continue;
    for (uint32_t found = kLanguageWords.find(word); found != 0; found &= found - 1) {
      ++hits[static_cast<size_t>(__builtin_ctz(found))];
    }
  }
  const auto best = std::max_element(hits.begin(), hits.end());
  if (*best < 2 || *best * 20 < words) return "";
  return kLanguages[best - hits.begin()].code;
}

}  // namespace tamis::mail
