// Internet addresses and networks as text and bytes: IPv4 dotted quads, IPv6 (RFC 4291 section 2.2), networks with a
// prefix length. Canonical text is RFC 5952. IPv4-mapped IPv6 (::ffff:192.0.2.1) is read as IPv4, so that one client
// has one identity.
//
// Strict on purpose: no leading zeros, no missing parts, no zone, no white space: two readers of the same text must not
// see different addresses. No allocation but for results in the arena. Cost: a dotted quad under 15 ns.
#pragma once

#include <string_view>

#include "base/arena.h"
#include "event/value.h"

namespace tamis::event {

// How text failed to be an address, for messages and for callers that refuse mapped addresses.
enum class IpForm : uint8_t {
  kInvalid,
  kV4,
  kV6,
  kMappedHex,     // "::ffff:c000:201": read as IPv4
  kMappedDotted,  // "::ffff:192.0.2.1": read as IPv4
  kZone,          // "fe80::1%eth0": invalid, but told apart
};

// Fills `out` for the forms kV4, kV6 and the mapped ones; the prefix is then the full length, 32 or 128.
IpForm read_ip(std::string_view text, IpData& out);
// As read_ip for "address/length"; the form is that of the address. Host bits are kept. A mapped network of at least
// /96 becomes IPv4, a wider one stays IPv6.
IpForm read_cidr(std::string_view text, IpData& out);

bool parse_ip(std::string_view text, IpData& out);
bool parse_cidr(std::string_view text, IpData& out);  // host bits may be set
std::string_view format_ip(const IpData& ip, base::Arena& arena);
std::string_view format_cidr(const IpData& cidr, base::Arena& arena);
IpData mask_ip(const IpData& ip, int prefix);  // host bits cleared, prefix set (and clamped to the family's range)

inline constexpr int kIpTextBytesMax = 48;  // "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" and "/128"
std::string_view format_ip(const IpData& ip, char (&out)[kIpTextBytesMax]);
std::string_view format_cidr(const IpData& cidr, char (&out)[kIpTextBytesMax]);

inline int ip_bits(const IpData& ip) { return ip.is_v6 ? 128 : 32; }
// The bytes that count, in network order: 4 or 16.
inline std::string_view ip_bytes(const IpData& ip) {
  const char* at = reinterpret_cast<const char*>(ip.bytes);
  return ip.is_v6 ? std::string_view(at, 16) : std::string_view(at + 12, 4);
}
bool same_ip(const IpData& a, const IpData& b);    // family and address, whatever the prefix
bool same_cidr(const IpData& a, const IpData& b);  // family, address with its host bits, and prefix
// True if the address lies in the network. Families do not mix.
bool cidr_contains(const IpData& cidr, const IpData& ip);

}  // namespace tamis::event
