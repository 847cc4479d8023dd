#include "event/ip.h"

#include <cstring>

namespace tamis::event {

namespace {

// A dotted quad that is the whole of [at, end). One pass, at most 15 characters.
bool read_quad(const char* at, const char* end, uint8_t* out) {
  size_t size = static_cast<size_t>(end - at);
  if (size < 7 || size > 15) return false;
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && (at == end || *at++ != '.')) return false;
    if (at == end) return false;
    unsigned number = static_cast<unsigned char>(*at++) - '0';
    if (number > 9) return false;
    unsigned digit = 0;
    if (at != end && (digit = static_cast<unsigned char>(*at) - '0') <= 9) {
      if (number == 0) return false;
      number = number * 10 + digit;
      if (++at != end && (digit = static_cast<unsigned char>(*at) - '0') <= 9) {
        number = number * 10 + digit;
        ++at;
        if (number > 255) return false;
      }
    }
    out[part] = static_cast<uint8_t>(number);
  }
  return at == end;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct V6Reader {
  uint8_t bytes[16] = {};
  int filled = 0;
  int gap = -1;  // where "::" stands, in bytes
  bool dotted = false;

  // One group of up to four hex digits; leaves `at` behind it.
  bool take_group(const char*& at, const char* end) {
    unsigned number = 0;
    int digits = 0;
    for (int digit; at != end && digits < 4 && (digit = hex_digit(*at)) >= 0; ++at, ++digits) {
      number = number << 4 | static_cast<unsigned>(digit);
    }
    if (digits == 0 || filled > 14) return false;
    bytes[filled++] = static_cast<uint8_t>(number >> 8);
    bytes[filled++] = static_cast<uint8_t>(number);
    return true;
  }

  bool read(const char* at, const char* end) {
    if (end - at < 2) return false;
    if (at[0] == ':' && at[1] != ':') return false;
    if (at[0] == ':') {
      gap = 0;
      at += 2;
    }
    while (at != end) {
      if (filled == 16) return false;
      const char* group = at;
      if (!take_group(at, end)) return false;
      if (at == end) break;
      if (*at == '.') {
        filled -= 2;
        if (filled > 12 || !read_quad(group, end, bytes + filled)) return false;
        filled += 4;
        dotted = true;
        break;
      }
      if (*at++ != ':') return false;
      if (at == end) return false;  // a single trailing colon
      if (*at == ':') {
        if (gap >= 0) return false;
        gap = filled;
        ++at;
      }
    }
    return spread();
  }

  // Moves what stands behind the gap to the end. A gap replaces at least one group.
  bool spread() {
    if (gap < 0) return filled == 16;
    if (filled > 14) return false;
    int behind = filled - gap;
    std::memmove(bytes + 16 - behind, bytes + gap, behind);
    std::memset(bytes + gap, 0, 16 - filled);
    return true;
  }
};

bool is_mapped(const uint8_t* bytes) {
  static constexpr uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(bytes, kPrefix, 12) == 0;
}

// Reads an address without folding mapped ones into IPv4.
IpForm read_plain(std::string_view text, IpData& out) {
  const char* at = text.data();
  const char* end = at + text.size();
  uint8_t quad[4];
  if (read_quad(at, end, quad)) {
    std::memset(out.bytes, 0, 12);
    std::memcpy(out.bytes + 12, quad, 4);
    out.is_v6 = 0;
    out.prefix = 32;
    return IpForm::kV4;
  }
  if (text.size() > 64) return IpForm::kInvalid;
  size_t zone = text.find('%');
  V6Reader reader;
  if (!reader.read(at, zone == text.npos ? end : at + zone)) return IpForm::kInvalid;
  if (zone != text.npos) return IpForm::kZone;
  std::memcpy(out.bytes, reader.bytes, 16);
  out.is_v6 = 1;
  out.prefix = 128;
  if (!is_mapped(out.bytes)) return IpForm::kV6;
  return reader.dotted ? IpForm::kMappedDotted : IpForm::kMappedHex;
}

void fold_mapped(IpData& ip) {
  std::memset(ip.bytes, 0, 12);
  ip.is_v6 = 0;
  ip.prefix = static_cast<uint8_t>(ip.prefix - 96);
}

bool is_mapped_form(IpForm form) { return form == IpForm::kMappedHex || form == IpForm::kMappedDotted; }

char* put_decimal(char* at, unsigned number) {
  if (number >= 100) *at++ = static_cast<char>('0' + number / 100);
  if (number >= 10) *at++ = static_cast<char>('0' + number / 10 % 10);
  *at++ = static_cast<char>('0' + number % 10);
  return at;
}

char* put_quad(char* at, const uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *at++ = '.';
    at = put_decimal(at, bytes[i]);
  }
  return at;
}

char* put_hex(char* at, unsigned number) {
  constexpr char kDigits[] = "0123456789abcdef";
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    unsigned digit = number >> shift & 15;
    if (digit == 0 && !started && shift > 0) continue;
    started = true;
    *at++ = kDigits[digit];
  }
  return at;
}

// RFC 5952: lower case, no leading zeros, the first longest run of at least two zero groups becomes "::".
char* put_v6(char* at, const uint8_t* bytes) {
  unsigned groups[8];
  for (int i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i]) << 8 | bytes[2 * i + 1];
  int best = -1, best_size = 1;
  for (int i = 0; i < 8;) {
    int run = i;
    while (run < 8 && groups[run] == 0) ++run;
    if (run - i > best_size) {
      best = i;
      best_size = run - i;
    }
    i = run == i ? i + 1 : run;
  }
  if (is_mapped(bytes)) {
    std::memcpy(at, "::ffff:", 7);
    return put_quad(at + 7, bytes + 12);
  }
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      *at++ = ':';
      *at++ = ':';
      i += best_size - 1;
      continue;
    }
    if (i > 0 && at[-1] != ':') *at++ = ':';
    at = put_hex(at, groups[i]);
  }
  return at;
}

char* put_ip(char* at, const IpData& ip) { return ip.is_v6 ? put_v6(at, ip.bytes) : put_quad(at, ip.bytes + 12); }

}  // namespace

IpForm read_ip(std::string_view text, IpData& out) {
  IpForm form = read_plain(text, out);
  if (is_mapped_form(form)) fold_mapped(out);
  return form;
}

IpForm read_cidr(std::string_view text, IpData& out) {
  size_t slash = text.rfind('/');
  if (slash == text.npos) return IpForm::kInvalid;
  std::string_view length = text.substr(slash + 1);
  if (length.empty() || length.size() > 3 || (length.size() > 1 && length[0] == '0')) return IpForm::kInvalid;
  int prefix = 0;
  for (char c : length) {
    if (c < '0' || c > '9') return IpForm::kInvalid;
    prefix = prefix * 10 + (c - '0');
  }
  IpForm form = read_plain(text.substr(0, slash), out);
  if (form == IpForm::kInvalid || form == IpForm::kZone) return form;
  if (prefix > ip_bits(out)) return IpForm::kInvalid;
  out.prefix = static_cast<uint8_t>(prefix);
  if (is_mapped_form(form) && prefix >= 96) fold_mapped(out);
  return form;
}

bool parse_ip(std::string_view text, IpData& out) {
  IpForm form = read_ip(text, out);
  return form != IpForm::kInvalid && form != IpForm::kZone;
}

bool parse_cidr(std::string_view text, IpData& out) {
  IpForm form = read_cidr(text, out);
  return form != IpForm::kInvalid && form != IpForm::kZone;
}

std::string_view format_ip(const IpData& ip, char (&out)[kIpTextBytesMax]) {
  return {out, static_cast<size_t>(put_ip(out, ip) - out)};
}

std::string_view format_cidr(const IpData& cidr, char (&out)[kIpTextBytesMax]) {
  char* at = put_ip(out, cidr);
  *at++ = '/';
  at = put_decimal(at, cidr.prefix);
  return {out, static_cast<size_t>(at - out)};
}

std::string_view format_ip(const IpData& ip, base::Arena& arena) {
  char text[kIpTextBytesMax];
  return arena.copy(format_ip(ip, text));
}

std::string_view format_cidr(const IpData& cidr, base::Arena& arena) {
  char text[kIpTextBytesMax];
  return arena.copy(format_cidr(cidr, text));
}

IpData mask_ip(const IpData& ip, int prefix) {
  int bits = ip_bits(ip);
  prefix = prefix < 0 ? 0 : prefix > bits ? bits : prefix;
  IpData out = ip;
  out.prefix = static_cast<uint8_t>(prefix);
  int keep = prefix + 128 - bits;  // bits of all sixteen bytes; the first twelve of IPv4 are zero anyway
  for (int i = 0; i < 16; ++i) {
    int here = keep - 8 * i;
    if (here >= 8) continue;
    out.bytes[i] = here <= 0 ? 0 : static_cast<uint8_t>(ip.bytes[i] & (0xff00u >> here));
  }
  return out;
}

bool same_ip(const IpData& a, const IpData& b) { return a.is_v6 == b.is_v6 && std::memcmp(a.bytes, b.bytes, 16) == 0; }

bool same_cidr(const IpData& a, const IpData& b) { return a.prefix == b.prefix && same_ip(a, b); }

bool cidr_contains(const IpData& cidr, const IpData& ip) {
  return cidr.is_v6 == ip.is_v6 && same_ip(mask_ip(cidr, cidr.prefix), mask_ip(ip, cidr.prefix));
}

}  // namespace tamis::event
