// What is asked of DNS and what it answers, as values. Shared by those who ask (net/resolver.h) and those who need to
// know and never ask themselves (mail/spf.h, mail/authentication.h). Nothing here opens a socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/value.h"

namespace tamis::event {

enum class DnsType : uint8_t { kA, kAaaa, kMx, kTxt, kPtr };
std::string_view name_of(DnsType type);  // "AAAA"

enum class DnsStatus : uint8_t {
  kOk,       // at least one record of the type
  kNoName,   // NXDOMAIN: no records of any type
  kNoData,   // the name exists, but has no record of this type
  kFailed,   // SERVFAIL, REFUSED, a malformed answer, no server that could be reached, too many questions under way
  kTimeout,  // nobody answered in the time that was given
  kOff,      // DNS is switched off: nobody was asked
};
std::string_view name_of(DnsStatus status);  // "no name"

// No answer now, but perhaps later: what RFC 7208 and RFC 8601 call a temporary error.
inline bool is_temporary(DnsStatus status) { return status == DnsStatus::kFailed || status == DnsStatus::kTimeout; }

struct DnsQuestion {
  DnsType type = DnsType::kA;
  std::string name;  // without the last dot; in any case of letters: a name is the same in each

  bool operator==(const DnsQuestion&) const = default;
};

// A name as DNS takes it: labels of 1 to 63 bytes, at most 253 bytes in all, printable ASCII (spaces
// too) without backslashes. Whoever builds names from a
// message asks this first; a resolver answers anything else with kNoName and asks nobody.
bool is_dns_name(std::string_view name);

// "4.3.2.1.in-addr.arpa" of 1.2.3.4, and the 32 nibbles of IPv6 under ip6.arpa: the name of a PTR question. For DNS
// lists the same digits stand before the list's zone: dns_reversed() gives them without a suffix.
std::string dns_reversed(const IpData& ip);
std::string dns_pointer_name(const IpData& ip);

// Records are those of the asked type at the end of the chain of CNAMEs, in the order of the answer; of the vectors
// only the one of the question's type is filled.
struct DnsAnswer {
  DnsStatus status = DnsStatus::kFailed;
  uint32_t ttl_s = 0;  // least of the records and CNAMEs; of kNoName and kNoData the negative time (RFC 2308)
  std::vector<IpData> addresses;   // A, AAAA; prefix 32 or 128
  std::vector<std::string> texts;  // TXT: the strings of each record joined without space
  struct Exchange {
    uint16_t preference = 0;
    std::string host;
  };
  std::vector<Exchange> exchanges;  // MX, lowest preference first
  std::vector<std::string> names;   // PTR
  std::string reason;               // of kFailed: what went wrong, for logs
};

}  // namespace tamis::event
