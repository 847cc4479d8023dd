// DNS lists of addresses (DNSBL, RFC 5782) and of domains (RHSBL, URIBL): which names to ask, and what the answers
// mean. No list is asked unless an operator names it. Nothing here asks DNS.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/dns.h"

namespace tamis::mail {

// What an answer means: the codes (code & mask) == (answer & mask) of 127.0.0.0/8.
struct DnsListCode {
  uint32_t address = 0, mask = 0xffffffff;  // host order
  std::string meaning;                      // "sbl", "exploited"
};

enum class DnsListOf : uint8_t { kAddresses, kDomains };

struct DnsList {
  std::string name;  // as rules see it, "zen"
  std::string zone;  // "zen.example.org"
  DnsListOf of = DnsListOf::kAddresses;
  // Empty: any answer in 127.0.0.0/8 but 127.255.255.0/24 (where lists put errors: over quota, blocked resolver) means
  // "listed". Else only these; an answer outside of 127.0.0.0/8 never means anything: the zone has other owners now.
  std::vector<DnsListCode> codes;
};

inline constexpr size_t kDnsListsMax = 32;
inline constexpr size_t kDnsListCodesMax = 64;

// "NAME ip|domain ZONE [CODE=MEANING]...", words parted by blanks; CODE is 127.0.0.2, a network 127.0.0.4/30, or bits
// &8 of the last byte, as lists of several kinds use them. Errors name the word.
base::Result<DnsList> parse_dns_list(std::string_view text);

// The name to ask for type A, empty if there is none to ask (a private address, a name that grows too long).
std::string dns_list_name(const DnsList& list, const event::IpData& address);
std::string dns_list_name(const DnsList& list, std::string_view domain);

// Meanings of an answer, each once, in the order of the list's codes; empty: not listed.
std::vector<std::string> dns_list_meanings(const DnsList& list, const event::DnsAnswer& answer);

}  // namespace tamis::mail
