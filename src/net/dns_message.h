// The answer of a DNS server taken apart (RFC 1035, 2308): only what net/resolver.h gives out. For the resolver and its
// tests. Bytes from the network: never trusted, never read beyond their end, names and chains bounded.
#pragma once

#include <string_view>

#include "event/dns.h"

namespace tamis::net {

// The records of the question's type, at the end of at most kDnsAliasesMax CNAMEs. kFailed with a reason: malformed,
// cut off, of another question, an error of the server, or a loop of aliases. Records whose names cannot stand as text
// (event::is_dns_name) are left out.
inline constexpr int kDnsAliasesMax = 16;
event::DnsAnswer read_dns_message(std::string_view bytes, const event::DnsQuestion& question);

}  // namespace tamis::net
