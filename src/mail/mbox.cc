#include "mail/mbox.h"

#include <algorithm>
#include <array>
#include <vector>

#include "mail/ascii.h"

namespace tamis::mail {
namespace {

constexpr std::string_view kFrom = "From ";
constexpr size_t kSeparatorBytesMax = 1000;  // of a line, as in RFC 5322; a longer one is text
constexpr size_t kWordsMax = 32;
constexpr size_t kFieldNameBytesMax = 100;

bool is_number(std::string_view word, size_t digits_min, size_t digits_max) {
  return word.size() >= digits_min && word.size() <= digits_max &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

template <size_t kCount>
bool is_one_of(std::string_view word, const std::array<std::string_view, kCount>& names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return equals_lower(word, name); });
}

bool is_weekday(std::string_view word) {
  constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  return is_one_of(word, kDays);
}

bool is_month(std::string_view word) {
  constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                        "jul", "aug", "sep", "oct", "nov", "dec"};
  return is_one_of(word, kMonths);
}

bool is_day(std::string_view word) { return is_number(word, 1, 2); }
bool is_year(std::string_view word) { return is_number(word, 4, 4) || is_number(word, 2, 2); }

// "9:05", "09:05:30", "09:05:30.123".
bool is_time(std::string_view word) {
  const size_t first = word.find(':');
  if (first == std::string_view::npos || !is_number(word.substr(0, first), 1, 2)) return false;
  std::string_view rest = word.substr(first + 1);
  const size_t second = rest.find(':');
  if (second == std::string_view::npos) return is_number(rest, 2, 2);
  if (!is_number(rest.substr(0, second), 2, 2)) return false;
  rest.remove_prefix(second + 1);
  const size_t dot = rest.find('.');
  return is_number(rest.substr(0, dot), 2, 2) &&
         (dot == std::string_view::npos || is_number(rest.substr(dot + 1), 1, 9));
}

// "+0200", "-05:30", "CEST", "(CEST)", "Z", "GMT+1".
bool is_zone(std::string_view word) {
  if (word.size() > 2 && word.front() == '(' && word.back() == ')') word = word.substr(1, word.size() - 2);
  size_t letters = 0;
  while (letters < word.size() && is_alpha(word[letters])) ++letters;
  if (letters > 5) return false;
  word.remove_prefix(letters);
  if (word.empty()) return letters > 0;
  if (word[0] != '+' && word[0] != '-') return false;
  word.remove_prefix(1);
  if (word.size() == 5 && word[2] == ':') return is_number(word.substr(0, 2), 2, 2) && is_number(word.substr(3), 2, 2);
  return is_number(word, letters > 0 ? 1 : 4, 4);
}

// "2026-11-02", and with a time behind a T "2026-11-02T10:00:00Z".
bool is_iso_date(std::string_view word, bool& has_time) {
  has_time = false;
  if (word.size() < 10 || word[4] != '-' || word[7] != '-' || !is_number(word.substr(0, 4), 4, 4) ||
      !is_number(word.substr(5, 2), 2, 2) || !is_number(word.substr(8, 2), 2, 2)) {
    return false;
  }
  if (word.size() == 10) return true;
  if (word[10] != 'T' && word[10] != 't') return false;
  word.remove_prefix(11);
  const size_t zone = word.find_first_of("Zz+-");
  has_time = is_time(word.substr(0, zone)) && (zone == std::string_view::npos || is_zone(word.substr(zone)));
  return has_time;
}

using Words = std::vector<std::string_view>;

// Takes words that fit, and says whether there was at least one that must.
class Taker {
 public:
  Taker(const Words& words, size_t at) : words_(words), at_(at) {}
  bool take(bool (*fits)(std::string_view)) {
    if (at_ == words_.size() || !fits(words_[at_])) return false;
    ++at_;
    return true;
  }
  void take_all(bool (*fits)(std::string_view), size_t count_max) {
    for (size_t i = 0; i < count_max && take(fits); ++i) {
    }
  }
  // The end of the line, or "remote from HOST" before it.
  bool at_end() const {
    if (at_ == words_.size()) return true;
    return words_.size() - at_ == 3 && words_[at_] == "remote" && words_[at_ + 1] == "from";
  }

 private:
  const Words& words_;
  size_t at_;
};

// "Mon Nov  2 10:00:00 2026", with up to two zones before or behind the year.
bool is_asctime(const Words& words, size_t at) {
  Taker date(words, at);
  if (!date.take(is_weekday) || !date.take(is_month) || !date.take(is_day) || !date.take(is_time)) return false;
  if (!date.take(is_year)) {
    date.take_all(is_zone, 2);
    if (!date.take(is_year)) return false;
  }
  date.take_all(is_zone, 2);
  return date.at_end();
}

// "Mon, 2 Nov 2026 10:00:00 +0000", the weekday as may be.
bool is_rfc5322_date(const Words& words, size_t at) {
  Taker date(words, at);
  (void)date.take(
      [](std::string_view word) { return word.ends_with(',') && is_weekday(word.substr(0, word.size() - 1)); });
  if (!date.take(is_day) || !date.take(is_month) || !date.take(is_year) || !date.take(is_time)) return false;
  date.take_all(is_zone, 2);
  return date.at_end();
}

bool is_iso(const Words& words, size_t at) {
  bool has_time = false;
  if (at == words.size() || !is_iso_date(words[at], has_time)) return false;
  Taker date(words, at + 1);
  if (!has_time && !date.take(is_time)) return false;
  date.take_all(is_zone, 1);
  return date.at_end();
}

// A sender in quotes may have blanks in it; it is one word.
bool split_words(std::string_view line, Words& words) {
  for (size_t at = 0; at < line.size();) {
    if (line[at] == ' ' || line[at] == '\t') {
      ++at;
      continue;
    }
    size_t end = at;
    bool quoted = false;
    for (; end < line.size() && (quoted || (line[end] != ' ' && line[end] != '\t')); ++end) {
      if (line[end] == '"') quoted = !quoted;
    }
    if (words.size() == kWordsMax) return false;
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return true;
}

std::string_view line_at(std::string_view text, size_t at) {
  std::string_view line = text.substr(at, text.find('\n', at) - at);
  while (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// "Name: ...", or a separator that somebody quoted where he stored a message again.
bool is_field(std::string_view line) {
  if (line.starts_with(">From ")) return true;
  const size_t colon = line.substr(0, kFieldNameBytesMax).find(':');
  return colon != std::string_view::npos && colon > 0 &&
         std::all_of(line.begin(), line.begin() + static_cast<ptrdiff_t>(colon),
                     [](char c) { return c > ' ' && c < 0x7f; });
}

// No word, or one that is no word of a sentence by what follows it.
bool is_bare(std::string_view behind_from) {
  Words words;
  return behind_from.size() <= kSeparatorBytesMax && split_words(behind_from, words) && words.size() <= 1;
}

}  // namespace

bool is_mbox(std::string_view text) { return text.starts_with(kFrom); }

bool is_dated_separator(std::string_view behind_from) {
  while (behind_from.ends_with('\r')) behind_from.remove_suffix(1);
  if (behind_from.size() > kSeparatorBytesMax) return false;
  Words words;
  if (!split_words(behind_from, words)) return false;
  // A sender of no word, of one, or of three ("user at host").
  const bool is_spelled = words.size() > 3 && words[1] == "at";
  for (const size_t at : {size_t{0}, size_t{1}, size_t{3}}) {
    if (at >= words.size() || (at == 3 && !is_spelled)) continue;
    if (is_asctime(words, at) || is_rfc5322_date(words, at) || is_iso(words, at)) return true;
  }
  return false;
}

MboxReader::MboxReader(std::string_view text) : text_(text) {
  const std::string_view first = line_at(text_, 0);
  undated_ = first.starts_with(kFrom) && !is_dated_separator(first.substr(kFrom.size()));
  begin_ = std::min(text_.find('\n'), text_.size() - 1) + 1;
}

bool MboxReader::is_separator(size_t line) const {
  const std::string_view behind = line_at(text_, line).substr(kFrom.size());
  if (is_dated_separator(behind)) return true;
  if (!undated_ || !is_bare(behind)) return false;
  const size_t next = text_.find('\n', line);
  return next != std::string_view::npos && is_field(line_at(text_, next + 1));
}

size_t MboxReader::separator_of(size_t at) const {
  constexpr std::string_view kLine = "\nFrom ";
  for (at -= 1; (at = text_.find(kLine, at)) != std::string_view::npos; ++at) {
    const bool behind_empty = at > 0 && (text_[at - 1] == '\n' || (at > 1 && text_.substr(at - 2, 2) == "\n\r"));
    if (behind_empty && is_separator(at + 1)) return at + 1;
  }
  return at;
}

bool MboxReader::next(std::string& message) {
  if (begin_ >= text_.size()) return false;
  const size_t separator = separator_of(begin_);
  const std::string_view part = text_.substr(begin_, separator - begin_);
  message.clear();
  for (size_t at = 0; at < part.size();) {
    const size_t end = std::min(part.find('\n', at), part.size() - 1) + 1;
    std::string_view line = part.substr(at, end - at);
    const size_t quotes = line.find_first_not_of('>');
    if (quotes != 0 && quotes != std::string_view::npos && line.substr(quotes, kFrom.size()) == kFrom) {
      line.remove_prefix(1);
    }
    message += line;
    at = end;
  }
  const size_t line_end = separator == std::string_view::npos ? separator : text_.find('\n', separator);
  begin_ = line_end == std::string_view::npos ? text_.size() : line_end + 1;
  return true;
}

}  // namespace tamis::mail
