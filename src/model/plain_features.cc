#include "model/plain_features.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "base/hash.h"

namespace tamis::model {
namespace {

constexpr size_t kMessageBytesMax = 400'000;
constexpr size_t kTextBytesMax = 20'000;
constexpr size_t kRawBytesMax = 3'500;
constexpr size_t kHeadersMax = 200;
constexpr size_t kPartsMax = 200;
constexpr int kDepthMax = 8;

// Seeds that keep apart what would otherwise hash alike.
enum Kind : uint64_t {
  kName = 1,
  kNamePair,
  kNameTriple,
  kNameCase,
  kShape,
  kBoundary,
  kReceived,
  kWord,
  kAddress,
  kDomain,
  kType,
  kTypeEncoding,
  kCharset,
  kExtension,
  kFileWord,
  kMagic,
  kTag,
  kAttribute,
  kScheme,
  kHost,
  kHostNumber,
  kPort,
  kUser,
  kPath,
  kSize,
  kGram,
  kUpper,
  kToken,
  kEncodedWord,
};

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
bool is_alpha(unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
bool is_word(unsigned char c) {
  return is_digit(c) || is_alpha(c) || c >= 0x80 || c == '\'' || c == '$' || c == '-' || c == '_' || c == '!';
}
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}
bool equal_fold(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

template <class Visit>
void for_each_word(std::string_view text, Visit visit) {
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && !is_word(static_cast<unsigned char>(text[i]))) ++i;
    const size_t begin = i;
    while (i < text.size() && is_word(static_cast<unsigned char>(text[i]))) ++i;
    if (i > begin) visit(text.substr(begin, std::min<size_t>(i - begin, 40)));
  }
}
template <class Visit>
void for_each_token(std::string_view text, Visit visit) {
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && static_cast<unsigned char>(text[i]) <= 32) ++i;
    const size_t begin = i;
    while (i < text.size() && static_cast<unsigned char>(text[i]) > 32) ++i;
    if (i > begin) visit(text.substr(begin, std::min<size_t>(i - begin, 60)));
  }
}

// "Ab9-" for "Hello42-": classes of bytes, runs cut to two.
std::string shape_of(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const char kind = is_digit(byte)         ? '9'
                      : c >= 'a' && c <= 'z' ? 'a'
                      : c >= 'A' && c <= 'Z' ? 'A'
                      : byte >= 0x80         ? 'x'
                                             : c;
    const size_t n = out.size();
    if (n < 2 || out[n - 1] != kind || out[n - 2] != kind) out += kind;
    if (n > 200) break;
  }
  return out;
}

std::string decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const uint32_t value = c >= 'A' && c <= 'Z'   ? static_cast<uint32_t>(c - 'A')
                           : c >= 'a' && c <= 'z' ? static_cast<uint32_t>(c - 'a' + 26)
                           : c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0' + 52)
                           : c == '+'             ? 62
                           : c == '/'             ? 63
                                                  : 64;
    if (value == 64) continue;
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 255);
    }
  }
  return out;
}

int hex_value(char c) {
  if (is_digit(static_cast<unsigned char>(c))) return c - '0';
  c = to_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string decode_quoted(std::string_view text, bool header) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest[0] == '=' && rest.substr(1, 1) == "\n") {
      i += 1;
    } else if (rest[0] == '=' && rest.substr(1, 2) == "\r\n") {
      i += 2;
    } else if (rest[0] == '=' && rest.size() > 2 && hex_value(rest[1]) >= 0 && hex_value(rest[2]) >= 0) {
      out += static_cast<char>(hex_value(rest[1]) * 16 + hex_value(rest[2]));
      i += 2;
    } else {
      out += header && rest[0] == '_' ? ' ' : rest[0];
    }
  }
  return out;
}

struct Header {
  std::string_view name;
  std::string_view value;  // folded as it came
};

// The headers, and in `body` where they end.
std::vector<Header> split_headers(std::string_view text, size_t& body) {
  std::vector<Header> headers;
  size_t at = 0;
  body = 0;
  while (at < text.size() && headers.size() < kHeadersMax) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t next = std::min(end + 1, text.size());
    if (line.empty()) {
      body = next;
      break;
    }
    if ((line[0] == ' ' || line[0] == '\t') && !headers.empty()) {
      const char* begin = headers.back().value.data();
      headers.back().value = {begin, static_cast<size_t>(line.data() + line.size() - begin)};
    } else {
      const size_t colon = line.find(':');
      const bool named =
          colon != std::string_view::npos && colon > 0 && line.substr(0, colon).find(' ') == std::string_view::npos;
      if (named) {
        headers.push_back({line.substr(0, colon), line.substr(colon + 1)});
      } else if (line.substr(0, 5) == "From ") {
        headers.push_back({"From_", line.substr(5)});
      } else {
        body = at;
        break;
      }
    }
    at = next;
    body = at;
  }
  return headers;
}

std::string_view header_of(const std::vector<Header>& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (equal_fold(header.name, name)) return header.value;
  }
  return {};
}

std::string parameter(std::string_view value, std::string_view name) {
  const std::string low = lower(value);
  const std::string key = std::string(name) + "=";
  for (size_t at = low.find(key); at != std::string::npos; at = low.find(key, at + 1)) {
    const auto before = static_cast<unsigned char>(at == 0 ? ' ' : low[at - 1]);
    if (is_alpha(before) || is_digit(before)) continue;
    const size_t begin = at + key.size();
    if (begin < value.size() && value[begin] == '"') {
      return std::string(value.substr(begin + 1, value.find('"', begin + 1) - begin - 1));
    }
    return std::string(value.substr(begin, value.find_first_of("; \t\r\n", begin) - begin));
  }
  return {};
}

class Finder {
 public:
  explicit Finder(FeatureCollector& to) : to_(to) {}
  void find(std::string_view message);

 private:
  void add(Place place, Kind kind, std::string_view text, uint64_t tag = 0) {
    to_.add(place, base::hash64(text, tag * 64 + kind));
  }
  void add_number(Place place, Kind kind, uint64_t number) { to_.add(place, base::mix64(number * 64 + kind)); }
  void top_headers(const std::vector<Header>& headers);
  void words_of(const Header& header, std::string_view value, uint64_t tag);
  void addresses_of(std::string_view value, uint64_t tag);
  std::string decode_words(std::string_view value);
  void entity(std::string_view text, int depth);
  void part(std::string_view body, const std::vector<Header>& headers, int depth);
  bool multipart(std::string_view body, std::string_view type, int depth);
  void html(std::string_view text);
  size_t tag(std::string_view text, size_t at);
  void attributes(std::string_view inside, std::string_view name);
  size_t entity_character(std::string_view text, size_t at);
  void link(std::string_view url, uint64_t tag);
  void text_features(size_t message_bytes);

  FeatureCollector& to_;
  std::string text_;
  size_t parts_ = 0;
};

std::string Finder::decode_words(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size();) {
    if (value.substr(i, 2) == "=?") {
      const size_t charset = value.find('?', i + 2);
      const size_t end = charset == std::string_view::npos ? charset : value.find("?=", charset + 3);
      if (end != std::string_view::npos && value[charset + 2] == '?') {
        add(Place::kStructure, kEncodedWord, lower(value.substr(i, charset + 2 - i)));
        const std::string_view inside = value.substr(charset + 3, end - charset - 3);
        out += to_lower(value[charset + 1]) == 'b' ? decode_base64(inside) : decode_quoted(inside, true);
        i = end + 2;
        continue;
      }
    }
    out += value[i++];
  }
  return out;
}

void Finder::words_of(const Header& header, std::string_view value, uint64_t tag) {
  const bool subject = equal_fold(header.name, "subject");
  uint64_t before = 0;
  uint64_t before_that = 0;
  for_each_word(value, [&](std::string_view word) {
    const uint64_t hash = base::hash64(lower(word), kWord);
    to_.add(subject ? Place::kSubject : Place::kHeader, base::combine64(tag, hash));
    if (subject) {
      if (before != 0) to_.add(Place::kSubject, base::combine64(before, hash));
      if (before_that != 0) to_.add(Place::kSubject, base::combine64(before_that + 1, hash));
      to_.add(Place::kBody, hash);
      before_that = before;
      before = hash;
    }
  });
}

void Finder::addresses_of(std::string_view value, uint64_t tag) {
  for_each_token(value, [&](std::string_view token) {
    const std::string low = lower(token);
    add(Place::kHeader, kAddress, low, tag);
    const size_t at = low.rfind('@');
    if (at == std::string::npos) return;
    std::string_view domain = std::string_view(low).substr(at + 1);
    while (!domain.empty() && !is_alpha(static_cast<unsigned char>(domain.back())) &&
           !is_digit(static_cast<unsigned char>(domain.back()))) {
      domain.remove_suffix(1);
    }
    while (!domain.empty()) {
      add(Place::kHeader, kDomain, domain, tag);
      const size_t dot = domain.find('.');
      domain = dot == std::string_view::npos ? std::string_view{} : domain.substr(dot + 1);
    }
  });
}

void Finder::top_headers(const std::vector<Header>& headers) {
  static constexpr std::string_view kShaped[] = {"message-id",  "content-type", "date",    "from",
                                                 "to",          "x-mailer",     "subject", "reply-to",
                                                 "return-path", "in-reply-to"};
  static constexpr std::string_view kAddressed[] = {"from",   "reply-to", "return-path", "to",       "cc",
                                                    "sender", "list-id",  "message-id",  "received", "errors-to"};
  uint64_t before = 0;
  uint64_t before_that = 0;
  uint64_t received = 0;
  for (const Header& header : headers) {
    const std::string name = lower(header.name);
    const uint64_t tag = base::hash64(name);
    add(Place::kStructure, kName, name);
    add(Place::kStructure, kNameCase, header.name);
    to_.add(Place::kStructure, base::combine64(before + kNamePair, tag));
    to_.add(Place::kStructure, base::combine64(base::combine64(before_that + kNameTriple, before), tag));
    before_that = before;
    before = tag;
    received += name == "received";
    const std::string value = decode_words(header.value.substr(0, 8'000));
    words_of(header, value, tag);
    if (std::find(std::begin(kShaped), std::end(kShaped), name) != std::end(kShaped)) {
      add(Place::kStructure, kShape, shape_of(value), tag);
    }
    if (name == "content-type") {
      const std::string boundary = parameter(header.value, "boundary");
      if (!boundary.empty()) add(Place::kStructure, kBoundary, shape_of(boundary));
    }
    if (std::find(std::begin(kAddressed), std::end(kAddressed), name) != std::end(kAddressed)) addresses_of(value, tag);
  }
  add_number(Place::kStructure, kReceived, std::min<uint64_t>(received, 12));
}

void Finder::link(std::string_view url, uint64_t tag) {
  const std::string low = lower(url.substr(0, 200));
  std::string_view rest = low;
  const size_t scheme = rest.find("://");
  add(Place::kLink, kScheme, scheme == std::string_view::npos ? "" : rest.substr(0, scheme), tag);
  if (scheme != std::string_view::npos) rest.remove_prefix(scheme + 3);
  if (rest.substr(0, 7) == "mailto:") {
    const size_t at = rest.find('@');
    rest.remove_prefix(at == std::string_view::npos ? 7 : at + 1);
  }
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view host = rest.substr(0, end);
  if (const size_t at = host.rfind('@'); at != std::string_view::npos) {
    add(Place::kLink, kUser, "");
    host.remove_prefix(at + 1);
  }
  if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    add(Place::kLink, kPort, host.substr(colon));
    host = host.substr(0, colon);
  }
  if (!host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos) {
    add(Place::kLink, kHostNumber, "");
  }
  while (!host.empty()) {
    add(Place::kLink, kHost, host);
    const size_t dot = host.find('.');
    host = dot == std::string_view::npos ? std::string_view{} : host.substr(dot + 1);
  }
  if (end < rest.size()) {
    const std::string_view path = rest.substr(end);
    for_each_word(path, [&](std::string_view word) { add(Place::kLink, kPath, word); });
    add(Place::kLink, kShape, std::string_view(shape_of(path)).substr(0, 20));
  }
}

void Finder::attributes(std::string_view inside, std::string_view name) {
  for (size_t at = 0; at < inside.size();) {
    while (at < inside.size() && !is_alpha(static_cast<unsigned char>(inside[at]))) ++at;
    const size_t begin = at;
    while (at < inside.size() && (is_alpha(static_cast<unsigned char>(inside[at])) || inside[at] == '-')) ++at;
    if (at == begin) return;
    const std::string attribute = lower(inside.substr(begin, at - begin));
    std::string_view value;
    if (at < inside.size() && inside[at] == '=') {
      ++at;
      const bool quoted = at < inside.size() && (inside[at] == '"' || inside[at] == '\'');
      const size_t from = quoted ? at + 1 : at;
      size_t end = quoted ? inside.find(inside[at], from) : inside.find_first_of(" \t\r\n", from);
      end = std::min(end, inside.size());
      value = inside.substr(std::min(from, inside.size()), end - std::min(from, end));
      at = std::min(end + 1, inside.size());
    }
    if (attribute == "href" || attribute == "src" || attribute == "action" || attribute == "background") {
      link(value, base::hash64(name));
    } else {
      add(Place::kStructure, kAttribute, std::string(name) + " " + attribute + "=" + lower(value.substr(0, 30)));
    }
  }
}

// Reads the tag at `at`; returns where the text goes on.
size_t Finder::tag(std::string_view text, size_t at) {
  if (text.substr(at, 4) == "<!--") {
    add(Place::kStructure, kTag, "!--");
    const size_t end = text.find("-->", at + 4);
    return end == std::string_view::npos ? text.size() : end + 3;
  }
  const size_t end = std::min(text.find('>', at), text.size());
  const std::string_view inside = text.substr(at + 1, end - at - 1);
  size_t length = 0;
  while (length < inside.size() && (is_alpha(static_cast<unsigned char>(inside[length])) || inside[length] == '/' ||
                                    is_digit(static_cast<unsigned char>(inside[length])))) {
    ++length;
  }
  const std::string name = lower(inside.substr(0, length));
  add(Place::kStructure, kTag, name);
  attributes(inside.substr(length), name);
  if (name == "style" || name == "script") {
    for (size_t close = text.find("</", end); close != std::string_view::npos; close = text.find("</", close + 2)) {
      if (equal_fold(text.substr(close + 2, name.size()), name)) return close;
    }
    return text.size();
  }
  static constexpr std::string_view kBreaks[] = {"br", "p", "td", "tr", "div", "li", "/p", "table"};
  if (std::find(std::begin(kBreaks), std::end(kBreaks), name) != std::end(kBreaks)) text_ += ' ';
  return std::min(end + 1, text.size());
}

size_t Finder::entity_character(std::string_view text, size_t at) {
  const size_t end = text.substr(0, at + 10).find(';', at);
  if (end == std::string_view::npos) {
    text_ += '&';
    return at + 1;
  }
  const std::string_view name = text.substr(at + 1, end - at - 1);
  if (name == "amp") {
    text_ += '&';
  } else if (name == "lt") {
    text_ += '<';
  } else if (name == "gt") {
    text_ += '>';
  } else if (name == "quot") {
    text_ += '"';
  } else if (name.size() > 1 && name[0] == '#') {
    int code = 0;
    for (const char c : name.substr(1)) code = is_digit(static_cast<unsigned char>(c)) ? code * 10 + (c - '0') : 0;
    text_ += code > 0 && code < 256 ? static_cast<char>(code) : static_cast<char>(0x80);
  } else {
    text_ += ' ';
  }
  return end + 1;
}

void Finder::html(std::string_view text) {
  for (size_t at = 0; at < text.size() && text_.size() < 3 * kTextBytesMax;) {
    if (text[at] == '<') {
      at = tag(text, at);
    } else if (text[at] == '&') {
      at = entity_character(text, at);
    } else {
      text_ += text[at++];
    }
  }
}

bool Finder::multipart(std::string_view body, std::string_view type, int depth) {
  const std::string boundary = "--" + parameter(type, "boundary");
  if (boundary.size() <= 2) return false;
  size_t open = std::string_view::npos;  // where the part that is being read begins
  for (size_t at = body.find(boundary); at != std::string_view::npos; at = body.find(boundary, at + boundary.size())) {
    if (at > 0 && body[at - 1] != '\n') continue;
    if (open != std::string_view::npos) entity(body.substr(open, at - std::min(open, at)), depth);
    const size_t line = std::min(body.find('\n', at), body.size());
    if (body.substr(at + boundary.size(), 2) == "--") return true;
    open = std::min(line + 1, body.size());
  }
  if (open == std::string_view::npos) return false;
  entity(body.substr(open), depth);
  return true;
}

void Finder::part(std::string_view body, const std::vector<Header>& headers, int depth) {
  const std::string_view content_type = header_of(headers, "content-type");
  const std::string_view disposition = header_of(headers, "content-disposition");
  std::string type = lower(content_type);
  type.erase(0, std::min(type.find_first_not_of(" \t\r\n"), type.size()));
  type.resize(std::min(type.find_first_of("; \t\r\n"), type.size()));
  std::string encoding;
  for (const char c : header_of(headers, "content-transfer-encoding")) {
    if (static_cast<unsigned char>(c) > 32) encoding += to_lower(c);
  }
  add(Place::kStructure, kType, type, static_cast<uint64_t>(depth));
  add(Place::kStructure, kTypeEncoding, type + "|" + encoding);
  add(Place::kStructure, kCharset, lower(parameter(content_type, "charset")));
  std::string file = lower(parameter(disposition, "filename"));
  if (file.empty()) file = lower(parameter(content_type, "name"));
  if (!file.empty()) {
    const size_t dot = file.rfind('.');
    add(Place::kStructure, kExtension, dot == std::string::npos ? "" : std::string_view(file).substr(dot));
    for_each_word(file, [&](std::string_view word) { add(Place::kLink, kFileWord, word); });
  }
  const bool many = type.substr(0, 10) == "multipart/";
  if (many && depth < kDepthMax && multipart(body, content_type, depth + 1)) return;
  if (type == "message/rfc822" && depth < kDepthMax) return entity(body, depth + 1);
  const std::string decoded = encoding == "base64"             ? decode_base64(body)
                              : encoding == "quoted-printable" ? decode_quoted(body, false)
                                                               : std::string(body);
  if (!many && !type.empty() && type.substr(0, 5) != "text/") {
    add(Place::kStructure, kMagic, std::string_view(decoded).substr(0, 8));
    return;
  }
  const std::string head = lower(std::string_view(decoded).substr(0, 2'000));
  const bool is_html = type == "text/html" || head.find("<html") != std::string::npos ||
                       head.find("<body") != std::string::npos || head.find("<table") != std::string::npos;
  if (is_html) {
    html(decoded);
  } else {
    text_ += std::string_view(decoded).substr(0, 2 * kTextBytesMax);
  }
  text_ += '\n';
}

void Finder::entity(std::string_view text, int depth) {
  if (++parts_ > kPartsMax) return;
  size_t body = 0;
  const auto headers = split_headers(text, body);
  part(text.substr(body), headers, depth);
}

void Finder::text_features(size_t message_bytes) {
  const std::string_view text = std::string_view(text_).substr(0, kTextBytesMax);
  uint64_t before[4] = {0, 0, 0, 0};
  uint64_t words = 0;
  uint64_t shouted = 0;
  for_each_word(text, [&](std::string_view word) {
    ++words;
    const std::string low = lower(word);
    const uint64_t hash = base::hash64(low, kWord);
    to_.add(Place::kBody, hash);
    const bool has_upper = low != word;
    const bool has_lower = std::any_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (has_upper && !has_lower && word.size() > 2) {
      ++shouted;
      add(Place::kBody, kUpper, low);
    }
    for (uint64_t gap = 0; gap < 4; ++gap) {
      if (before[gap] != 0) to_.add(Place::kBodyPair, base::combine64(before[gap] + gap, hash));
    }
    std::copy_backward(before, before + 3, before + 4);
    before[0] = hash;
  });
  for_each_token(text, [&](std::string_view token) {
    if (token.size() < 3 || token.find_first_of("0123456789$%@.!*#=-_/") == std::string_view::npos) return;
    add(Place::kBody, kToken, lower(token));
    add(Place::kBody, kShape, std::string_view(shape_of(token)).substr(0, 12));
  });
  for (size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at + 3)) {
    size_t begin = at;
    while (begin > 0 && is_alpha(static_cast<unsigned char>(text[begin - 1]))) --begin;
    size_t end = at + 3;
    while (end < text.size() && static_cast<unsigned char>(text[end]) > 32 &&
           std::string_view("<>\"')").find(text[end]) == std::string_view::npos) {
      ++end;
    }
    link(text.substr(begin, end - begin), 0);
  }
  add_number(Place::kStructure, kSize, std::bit_width(message_bytes));
  add_number(Place::kStructure, kSize, 100 + std::bit_width(words));
  add_number(Place::kStructure, kSize, 200 + (words == 0 ? 0 : 20 * shouted / words));
}

void Finder::find(std::string_view message) {
  message = message.substr(0, kMessageBytesMax);
  size_t body = 0;
  const auto headers = split_headers(message, body);
  top_headers(headers);
  part(message.substr(body), headers, 0);
  text_features(message.size());
  const std::string_view raw = message.substr(0, kRawBytesMax);
  for (size_t i = 0; i + 4 <= raw.size(); ++i) add(Place::kGram, kGram, raw.substr(i, 4));
}

}  // namespace

void find_plain_features(std::string_view message, FeatureCollector& collector) {
  collector.clear();
  Finder(collector).find(message);
}

}  // namespace tamis::model
