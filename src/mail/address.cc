// Addresses and dates of header fields.
#include <algorithm>
#include <charconv>

#include "event/domain.h"
#include "mail/ascii.h"
#include "mail/header.h"

namespace tamis::mail {
namespace {

// One mailbox is gathered as ranges of the text; this is how far reading has come.
struct MailboxReader {
  std::string_view text;
  size_t at = 0;
  std::string_view comment, angle;
  bool has_angle = false, broken = false;
  size_t begin = 0, phrase_end = 0;

  void start() {
    comment = angle = {};
    has_angle = false;
    begin = at;
    phrase_end = 0;
  }

  void read_comment() {
    const size_t open = at;
    size_t depth = 0;
    for (; at < text.size(); ++at) {
      if (text[at] == '\\') {
        ++at;
      } else if (text[at] == '(') {
        ++depth;
      } else if (text[at] == ')' && --depth == 0) {
        break;
      }
    }
    at = std::min(at, text.size());
    comment = text.substr(open + 1, at - std::min(at, open + 1));
    if (at < text.size()) {
      ++at;
    } else {
      broken = true;
    }
  }

  void read_quoted() {
    ++at;
    while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
    broken |= at >= text.size();
    at = std::min(at + 1, text.size());
  }

  void read_angle() {
    if (!has_angle) phrase_end = at;
    const size_t open = ++at;
    while (at < text.size() && text[at] != '>') {
      if (text[at] == '"') {
        read_quoted();
      } else {
        ++at;
      }
    }
    const std::string_view inside = text.substr(open, at - open);
    // The last pair of brackets leads: the one before may be part of a deceiving display name.
    if (has_angle) broken = true;
    angle = inside;
    if (has_angle) phrase_end = open - 1;
    has_angle = true;
    broken |= at >= text.size();
    at = std::min(at + 1, text.size());
  }
};

std::string_view without_quotes(std::string_view text, base::Arena& arena) {
  text = trim(text);
  if (text.find_first_of("\"\\") == std::string_view::npos) return text;
  char* out = arena.allocate_array<char>(text.size());
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') continue;
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out[size++] = text[i];
  }
  return trim({out, size});
}

Address make_address(const MailboxReader& reader, std::string_view bare, std::string_view charset, const Limits& limits,
                     CharsetConverter& converter, base::Arena& arena, AnomalySet& anomalies) {
  Address address;
  std::string_view name;
  if (reader.has_angle) {
    address.email = trim(reader.angle);
    name = without_quotes(bare, arena);
    if (name.empty()) name = trim(reader.comment);
  } else {
    address.email = trim(bare);
    name = trim(reader.comment);
  }
  if (address.email.find("=?") != std::string_view::npos) {
    address.email = decode_text(address.email, charset, limits, converter, arena, anomalies);
  }
  // Source routes: "@relay,@other:user@host".
  if (address.email.starts_with('@')) {
    const size_t colon = address.email.find(':');
    if (colon != std::string_view::npos) address.email = address.email.substr(colon + 1);
  }
  address.name = decode_text(name, charset, limits, converter, arena, anomalies);
  address.email = converter.to_utf8(address.email, charset, event::kEmailBytesMax, arena).text;
  event::EmailParts parts;
  if (event::parse_email(address.email, arena, parts)) {
    address.local = parts.local;
    address.domain = parts.domain;
  } else if (!address.email.empty()) {
    anomalies.add(Anomaly::kAddressBroken);
    if (!reader.has_angle && address.name.empty()) {
      address.name = decode_text(address.email, charset, limits, converter, arena, anomalies);
    }
  }
  return address;
}

constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};

struct ZoneName {
  std::string_view name;
  int offset_min;
};
constexpr ZoneName kZones[] = {{"est", -300}, {"edt", -240}, {"cst", -360}, {"cdt", -300},
                               {"mst", -420}, {"mdt", -360}, {"pst", -480}, {"pdt", -420}};

int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct DateReader {
  int day = 0, month = 0, year = -1, hour = -1, minute = 0, second = 0, zone_min = 0;
  bool zone_seen = false;

  void read_time(std::string_view word) {
    int parts[3] = {0, 0, 0};
    size_t part = 0;
    for (const char c : word) {
      if (c == ':' || c == '.') {
        if (++part == 3) break;
      } else if (is_digit(c)) {
        parts[part] = std::min(parts[part] * 10 + (c - '0'), 1000);
      } else {
        break;
      }
    }
    hour = parts[0];
    minute = parts[1];
    second = parts[2];
  }

  void read_number(std::string_view word) {
    int value = 0;
    size_t digits = 0;
    while (digits < word.size() && is_digit(word[digits]) && digits < 6) value = value * 10 + (word[digits++] - '0');
    if (day == 0 && digits <= 2) {
      day = value;
    } else if (year < 0) {
      year = digits <= 2 ? value + (value < 50 ? 2000 : 1900) : digits == 3 ? value + 1900 : value;
    }
  }

  void read_zone(std::string_view word) {
    if ((word[0] == '+' || word[0] == '-') && word.size() >= 5) {
      int value = 0;
      for (size_t i = 1; i < 5; ++i) {
        if (!is_digit(word[i])) return;
        value = value * 10 + (word[i] - '0');
      }
      const int minutes = value / 100 * 60 + value % 100;
      if (minutes <= 24 * 60) zone_min = word[0] == '-' ? -minutes : minutes;
      zone_seen = true;
      return;
    }
    for (const ZoneName& zone : kZones) {
      if (equals_lower(word, zone.name)) {
        zone_min = zone.offset_min;
        zone_seen = true;
      }
    }
  }

  bool read_month(std::string_view word) {
    if (month != 0 || word.size() < 3) return false;
    for (size_t i = 0; i < 12; ++i) {
      if (starts_lower(word, kMonths[i])) {
        month = static_cast<int>(i) + 1;
        return true;
      }
    }
    return false;
  }

  void read_word(std::string_view word) {
    if (is_digit(word[0])) {
      if (word.find(':') != std::string_view::npos) {
        if (hour < 0) read_time(word);
      } else {
        read_number(word);
      }
    } else if (!read_month(word) && !zone_seen && hour >= 0) {
      read_zone(word);
    }
  }
};

}  // namespace

size_t parse_addresses(std::string_view value, std::string_view charset, const Limits& limits,
                       CharsetConverter& converter, base::Arena& arena, AnomalySet& anomalies,
                       std::vector<Address>& out) {
  MailboxReader reader;
  reader.text = unfold(value.substr(0, limits.header_bytes_max), arena);
  size_t count = 0;
  const auto finish = [&](size_t end) {
    const std::string_view phrase = reader.has_angle
                                        ? reader.text.substr(reader.begin, reader.phrase_end - reader.begin)
                                        : reader.text.substr(reader.begin, end - reader.begin);
    std::string_view bare = trim(phrase);
    // A comment is no part of what stands before the brackets, or of a bare address.
    const size_t open = bare.find('(');
    if (open != std::string_view::npos && !reader.comment.empty() && bare.find('"') == std::string_view::npos) {
      bare = trim(bare.ends_with(')') || open > 0 ? bare.substr(0, open) : bare);
      if (bare.empty()) {  // "(name) user@host"
        const size_t close = phrase.rfind(')');
        if (close != std::string_view::npos) bare = trim(phrase.substr(close + 1));
      }
    }
    if (bare.empty() && !reader.has_angle) return;
    if (++count <= limits.addresses_max) {
      out.push_back(make_address(reader, bare, charset, limits, converter, arena, anomalies));
    } else {
      anomalies.add(Anomaly::kAddressesTooMany);
    }
  };
  reader.start();
  while (reader.at < reader.text.size()) {
    const char c = reader.text[reader.at];
    if (c == '(') {
      reader.read_comment();
    } else if (c == '"') {
      reader.read_quoted();
    } else if (c == '<') {
      reader.read_angle();
    } else if (c == ',' || c == ';') {
      finish(reader.at);
      ++reader.at;
      reader.start();
    } else if (c == ':' && !reader.has_angle &&
               reader.text.substr(reader.begin, reader.at - reader.begin).find('@') == std::string_view::npos) {
      ++reader.at;  // the name of a group
      reader.start();
    } else {
      ++reader.at;
    }
  }
  finish(reader.text.size());
  if (reader.broken) anomalies.add(Anomaly::kAddressBroken);
  return count;
}

bool parse_date(std::string_view value, int64_t& unix_s) {
  DateReader date;
  value = value.substr(0, 256);
  size_t at = 0;
  while (at < value.size()) {
    if (value[at] == '(') break;  // "(CEST)" and what follows
    if (is_space(value[at]) || value[at] == ',' || (value[at] == '-' && at > 0 && date.hour < 0)) {
      ++at;
      continue;
    }
    const size_t begin = at++;
    while (at < value.size() && !is_space(value[at]) && value[at] != ',' && value[at] != '(' &&
           !(value[at] == '-' && date.hour < 0)) {
      ++at;
    }
    date.read_word(value.substr(begin, at - begin));
  }
  if (date.day < 1 || date.day > 31 || date.month == 0 || date.year < 1900 || date.year > 9999) return false;
  if (date.hour > 24 || date.minute > 59 || date.second > 61) return false;
  unix_s = days_from_civil(date.year, date.month, date.day) * 86400 + std::max(date.hour, 0) * 3600 + date.minute * 60 +
           date.second - date.zone_min * 60;
  return true;
}

}  // namespace tamis::mail
