// Names on the Internet as text: mail addresses, domain names, URLs. Lenient where the world is sloppy, strict where
// leniency would let two readers see different hosts. Nothing here resolves or fetches anything.
//
// Domains are compared in one form: lower case, no trailing dot. Names in other scripts stay as they come, as UTF-8 or
// "xn--": they are not converted. Results point into the input, the arena, or constants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace tamis::event {

inline constexpr size_t kDomainBytesMax = 253;
inline constexpr size_t kEmailBytesMax = 1024;  // RFC 5321 allows 254; lists in the wild hold longer ones
inline constexpr size_t kUrlBytesMax = 16 * 1024;

// The one form of a domain name, or empty: no name (empty labels, labels over 63 bytes, white space, characters that no
// host has), too long, or an address. A name of one label ("localhost") is one.
std::string_view normalise_domain(std::string_view text, base::Arena& arena);

// Of a domain in the one form: the public suffix ("co.uk", for unknown ones the last label), and the registrable
// domain, one label more ("example.co.uk"); empty for a name that is itself a public suffix. By the Public Suffix List,
// its private part included (x.github.io is registrable), as built into libpsl.
// Cost: 100 to 150 ns a label.
std::string_view public_suffix(std::string_view domain);
std::string_view registered_domain(std::string_view domain);
std::string_view registered_domain(std::string_view domain, std::string_view suffix);  // where the suffix is known
// Whether the list itself has it as a public suffix, by a rule of its own.
bool is_public_suffix(std::string_view domain);

// RFC 5322 addr-spec, without judging the local part. White space around it and angle brackets with a display name are
// dropped. False: no @, an empty part, or a domain that is neither a name nor an address literal "[192.0.2.1]".
struct EmailParts {
  std::string_view local;       // before the last @
  std::string_view domain;      // after it, in the one form; literals with their brackets
  std::string_view base_local;  // lower case, without +tag, dots and quotes; `local` in lower case if nothing is left
};
bool parse_email(std::string_view text, base::Arena& arena, EmailParts& out);

// The parts of a URL as browsers see them (WHATWG URL), as far as fraud uses the differences: tabs and line ends inside
// are dropped, "\" is "/" where a scheme of the web says so, user information goes before the last @ of the authority,
// %-escapes of the host are decoded, hosts that end in a number are IPv4 in decimal, hexadecimal or octal, full-width
// dots are dots. Text without a scheme is taken as host and path if it begins like a host. False: not a URL.
struct UrlParts {
  std::string_view scheme;  // lower case; empty if none was written
  std::string_view host;    // in the one form; addresses canonical, IPv6 without brackets; empty if there is none
  int32_t port = -1;        // as written, else the scheme's default; -1: unknown
  std::string_view path;    // as written; "/" where a host has none
  std::string_view query;   // without "?"; empty if there is none
  bool host_is_address = false;
};
bool parse_url(std::string_view text, base::Arena& arena, UrlParts& out);

}  // namespace tamis::event
