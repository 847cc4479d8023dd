#include "learn/shown_names.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "cel/utf8.h"
#include "mail/text.h"

namespace tamis::learn {
namespace {

constexpr size_t kNamesMax = 12, kBytesMax = 96;

bool is_blank(uint32_t point) {
  return point <= 0x20 || point == 0xa0 || (point >= 0x2000 && point <= 0x200a) || point == 0x202f || point == 0x205f ||
         point == 0x3000;
}

void append(std::string& out, uint32_t point) {
  std::array<char, 4> bytes{};
  out.append(bytes.data(), cel::encode_code_point(point, bytes.data()));
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view outside = " \"'.,;:-";
  const size_t begin = text.find_first_not_of(outside);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(outside) + 1 - begin));
}

// One blank between words, and nothing that cannot be seen.
std::string seen_of(std::string_view name) {
  std::string out;
  for (size_t at = 0; at < name.size() && out.size() < kBytesMax;) {
    const uint32_t point = cel::decode_code_point(name, at);
    if (!is_blank(point)) {
      if (!mail::fold_point(point).dropped) append(out, point);
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  return trimmed(out);
}

// Letters as the Latin ones that they look like, capitals where they were.
std::string plain_of(std::string_view name) {
  std::string out;
  for (size_t at = 0; at < name.size();) {
    const mail::FoldedPoint folded = mail::fold_point(cel::decode_code_point(name, at));
    if (folded.dropped) continue;
    const uint32_t point = folded.look_alike != 0 ? folded.look_alike : folded.point;
    append(out, folded.upper && point < 0x80 ? static_cast<uint32_t>(std::toupper(static_cast<int>(point))) : point);
  }
  return out;
}

struct Names {
  std::vector<std::string> found;

  void add(std::string name) {
    for (const std::string& one : {plain_of(name), name}) {
      if (one.empty() || one.size() > kBytesMax || found.size() == kNamesMax) continue;
      if (std::find(found.begin(), found.end(), one) == found.end()) found.push_back(one);
    }
  }
  // "Holm, Lars" and "lars.holm" as well.
  void add_ways_round(const std::string& name) {
    add(name);
    if (const size_t comma = name.find(", "); comma != std::string::npos) {
      add(trimmed(name.substr(0, comma)));  // "Lars Holm, CEO"
      add(trimmed(name.substr(comma + 2) + " " + name.substr(0, comma)));
    }
    const std::string local = name.substr(0, name.find('@'));
    if (local.empty() || local.find(' ') != std::string::npos) return;
    std::string words = local;
    std::replace_if(
        words.begin(), words.end(), [](char c) { return c == '.' || c == '_' || c == '-'; }, ' ');
    if (words != name) add(trimmed(words));
  }
};

}  // namespace

std::vector<std::string> shown_names(std::string_view display_name) {
  Names names;
  const std::string name = seen_of(display_name);
  names.add_ways_round(name);
  size_t end = name.find_first_of("|([{/<;*");
  for (const std::string_view title :
       {" - ", " \xe2\x80\x93 ", " \xe2\x80\x94 ", " via ", " \xc2\xb7 ", " \xe2\x80\xa2 "})
    end = std::min(end, name.find(title));
  if (end != std::string::npos && end > 0) names.add_ways_round(trimmed(name.substr(0, end)));
  return std::move(names.found);
}

}  // namespace tamis::learn
