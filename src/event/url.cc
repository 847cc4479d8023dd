#include <algorithm>
#include <array>
#include <cstring>

#include "event/domain.h"
#include "event/ip.h"
#include "event/json_fault.h"

namespace tamis::event {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

struct Special {
  std::string_view scheme;
  int32_t port;
};
// The schemes for which browsers read "\" as "/" and need no slashes.
constexpr std::array<Special, 5> kSpecial = {{{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}, {"ftp", 21}}};

const Special* special_of(std::string_view scheme) {
  for (const Special& special : kSpecial) {
    if (special.scheme == scheme) return &special;
  }
  return nullptr;
}

// Without tabs and line ends, and without what browsers strip at both sides.
std::string_view cleaned(std::string_view text, base::Arena& arena) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  const auto is_dropped = [](char c) { return c == '\t' || c == '\n' || c == '\r'; };
  if (std::none_of(text.begin(), text.end(), is_dropped)) return text;
  char* out = static_cast<char*>(arena.allocate(text.size(), 1));
  size_t bytes = 0;
  for (const char c : text) {
    if (!is_dropped(c)) out[bytes++] = c;
  }
  return {out, bytes};
}

// One part of an IPv4 address as browsers read it: decimal, 0x hexadecimal, 0 octal. False: not a number.
bool read_ipv4_number(std::string_view text, uint64_t& number) {
  if (text.empty()) return false;
  int base = 10;
  if (text.size() >= 2 && text[0] == '0' && lower(text[1]) == 'x') {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() >= 2 && text[0] == '0') {
    base = 8;
    text.remove_prefix(1);
  }
  number = 0;
  for (const char c : text) {
    const int digit = hex_value(c);
    if (digit < 0 || digit >= base) return false;
    number = std::min<uint64_t>(number * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit), uint64_t{1} << 40);
  }
  return true;
}

// WHATWG "ends in a number": then the host is an IPv4 address or nothing.
bool ends_in_number(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  uint64_t number;
  return (!last.empty() && std::all_of(last.begin(), last.end(), is_digit)) || read_ipv4_number(last, number);
}

bool read_ipv4(std::string_view host, IpData& ip) {
  uint64_t parts[4] = {};
  size_t count = 0;
  for (size_t at = 0; at <= host.size(); ++count) {
    const size_t dot = std::min(host.find('.', at), host.size());
    if (count == 4 || !read_ipv4_number(host.substr(at, dot - at), parts[count])) return false;
    at = dot + 1;
  }
  uint64_t address = parts[count - 1];
  if (address >= uint64_t{1} << (8 * (5 - count))) return false;
  for (size_t i = 0; i + 1 < count; ++i) {
    if (parts[i] > 255) return false;
    address |= parts[i] << (8 * (3 - i));
  }
  ip = {};
  ip.prefix = 32;
  for (size_t i = 0; i < 4; ++i) ip.bytes[12 + i] = static_cast<uint8_t>(address >> (8 * (3 - i)));
  return true;
}

// Decodes %-escapes and the dots of other scripts (U+3002, U+FF0E, U+FF61).
std::string_view decoded_host(std::string_view raw, base::Arena& arena) {
  if (raw.find_first_of("%\xE3\xEF") == std::string_view::npos) return raw;
  char* out = static_cast<char*>(arena.allocate(raw.size(), 1));
  size_t bytes = 0;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '%' && i + 2 < raw.size() && hex_value(raw[i + 1]) >= 0 && hex_value(raw[i + 2]) >= 0) {
      out[bytes++] = static_cast<char>(hex_value(raw[i + 1]) * 16 + hex_value(raw[i + 2]));
      i += 2;
    } else {
      out[bytes++] = raw[i];
    }
    for (const std::string_view dot : {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1"}) {
      if (bytes >= 3 && std::memcmp(out + bytes - 3, dot.data(), 3) == 0) {
        bytes -= 3;
        out[bytes++] = '.';
      }
    }
  }
  return {out, bytes};
}

class UrlReader {
 public:
  UrlReader(std::string_view text, base::Arena& arena, UrlParts& out) : rest_(text), arena_(arena), out_(out) {}

  bool read() {
    if (rest_.empty()) return false;
    if (read_scheme()) {
      special_ = special_of(out_.scheme);
      if (special_ != nullptr) {
        while (!rest_.empty() && is_slash(rest_[0])) rest_.remove_prefix(1);
        return read_authority() && !out_.host.empty() && read_path();
      }
      if (!rest_.starts_with("//")) return read_path();  // mailto:, data:, javascript:
      rest_.remove_prefix(2);
      return read_authority() && read_path();
    }
    if (rest_.size() >= 2 && is_slash(rest_[0]) && is_slash(rest_[1])) {
      rest_.remove_prefix(2);
      return read_authority() && !out_.host.empty() && read_path();
    }
    if (!begins_like_host()) return read_path();
    return read_authority() && read_path();
  }

 private:
  bool is_slash(char c) const { return c == '/' || (c == '\\' && (special_ != nullptr || out_.scheme.empty())); }

  bool read_scheme() {
    size_t end = 0;
    while (end < rest_.size() && (is_letter(rest_[end]) ||
                                  (end > 0 && (is_digit(rest_[end]) || std::strchr("+-.", rest_[end]) != nullptr)))) {
      ++end;
    }
    if (end == 0 || end >= rest_.size() || rest_[end] != ':') return false;
    const std::string_view behind = rest_.substr(end + 1);
    char* scheme = static_cast<char*>(arena_.allocate(end, 1));
    for (size_t i = 0; i < end; ++i) scheme[i] = lower(rest_[i]);
    const std::string_view name(scheme, end);
    // "example.com:8080/x" and "localhost:80" name a host and its port.
    const size_t digits = behind.find_first_not_of("0123456789");
    const bool is_port = digits != 0 && !behind.empty() &&
                         (digits == std::string_view::npos || std::strchr("/?#", behind[digits]) != nullptr);
    if (special_of(name) == nullptr && !behind.starts_with("//") && (is_port || name.find('.') != name.npos)) {
      return false;
    }
    out_.scheme = name;
    rest_ = behind;
    return true;
  }

  // Text without a scheme: "example.com/x", "192.0.2.1", "[::1]:80", "localhost:80".
  bool begins_like_host() const {
    if (is_slash(rest_[0])) return false;
    const std::string_view first = rest_.substr(0, rest_.find_first_of("/?#\\"));
    return first.find_first_of(".:") != std::string_view::npos || first == "localhost" || rest_ == first;
  }

  bool read_authority() {
    size_t end = 0;
    while (end < rest_.size() && !is_slash(rest_[end]) && rest_[end] != '?' && rest_[end] != '#') ++end;
    std::string_view authority = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
    std::string_view host = authority;
    std::string_view port;
    if (authority.starts_with("[")) {
      const size_t close = authority.find(']');
      if (close == std::string_view::npos) return false;
      host = authority.substr(0, close + 1);
      if (close + 1 < authority.size() && authority[close + 1] != ':') return false;
      port = close + 1 < authority.size() ? authority.substr(close + 2) : std::string_view{};
    } else if (const size_t colon = authority.rfind(':'); colon != std::string_view::npos) {
      host = authority.substr(0, colon);
      port = authority.substr(colon + 1);
    }
    if (special_ != nullptr) out_.port = special_->port;
    return read_port(port) && (host.empty() || read_host(host));
  }

  bool read_port(std::string_view port) {
    if (port.empty()) return true;
    int32_t number = 0;
    for (const char c : port) {
      if (!is_digit(c)) return false;
      number = number * 10 + (c - '0');
      if (number > 65535) return false;
    }
    out_.port = number;
    return true;
  }

  bool read_host(std::string_view raw) {
    IpData ip;
    if (raw.front() == '[') {
      // Only IPv6 is written in brackets, though a mapped address is read as IPv4.
      const std::string_view inside = raw.substr(1, raw.size() - 2);
      if (inside.find(':') == std::string_view::npos || !parse_ip(inside, ip)) return false;
      out_.host = format_ip(ip, arena_);
      out_.host_is_address = true;
      return true;
    }
    std::string_view host = decoded_host(raw, arena_);
    if (!host.empty() && host.back() == '.') host.remove_suffix(1);
    // %-escapes can make any bytes; what is kept as text must be UTF-8.
    if (host.empty() || find_invalid_utf8(host) != std::string_view::npos) return false;
    if (ends_in_number(host)) {
      if (!read_ipv4(host, ip)) return false;
      out_.host = format_ip(ip, arena_);
      out_.host_is_address = true;
      return true;
    }
    out_.host = normalise_domain(host, arena_);
    return !out_.host.empty();
  }

  bool read_path() {
    const std::string_view before_fragment = rest_.substr(0, rest_.find('#'));
    const size_t question = before_fragment.find('?');
    out_.path = before_fragment.substr(0, question);
    if (question != std::string_view::npos) out_.query = before_fragment.substr(question + 1);
    if (out_.path.empty() && !out_.host.empty()) out_.path = "/";
    return true;
  }

  std::string_view rest_;
  base::Arena& arena_;
  UrlParts& out_;
  const Special* special_ = nullptr;
};

}  // namespace

bool parse_url(std::string_view text, base::Arena& arena, UrlParts& out) {
  out = {};
  if (text.size() > kUrlBytesMax) return false;
  if (UrlReader(cleaned(text, arena), arena, out).read()) return true;
  out = {};
  return false;
}

}  // namespace tamis::event
