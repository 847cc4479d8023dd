#include "event/dns.h"

#include "event/ip.h"

namespace tamis::event {

std::string_view name_of(DnsType type) {
  constexpr std::string_view names[] = {"A", "AAAA", "MX", "TXT", "PTR"};
  return names[static_cast<size_t>(type)];
}

std::string_view name_of(DnsStatus status) {
  constexpr std::string_view names[] = {"ok", "no name", "no data", "failed", "timeout", "off"};
  return names[static_cast<size_t>(status)];
}

bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  size_t label_bytes = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label_bytes == 0) return false;
      label_bytes = 0;
      continue;
    }
    // A backslash would begin an escape in the text form of names.
    if (c < ' ' || c > '~' || c == '\\' || ++label_bytes > 63) return false;
  }
  return label_bytes > 0;
}

std::string dns_reversed(const IpData& ip) {
  constexpr char digits[] = "0123456789abcdef";
  const std::string_view bytes = ip_bytes(ip);
  std::string out;
  out.reserve(64);
  for (size_t i = bytes.size(); i-- > 0;) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (!out.empty()) out += '.';
    if (ip.is_v6) {
      out += digits[byte & 15];
      out += '.';
      out += digits[byte >> 4];
    } else {
      out += std::to_string(byte);
    }
  }
  return out;
}

std::string dns_pointer_name(const IpData& ip) { return dns_reversed(ip) + (ip.is_v6 ? ".ip6.arpa" : ".in-addr.arpa"); }

}  // namespace tamis::event
