// The text of an SPF record taken apart (RFC 7208 sections 4.6.1, 5, 6 and 12), and its macros expanded (section 7).
// For mail/spf.cc and its tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/value.h"

namespace tamis::mail {

enum class SpfMechanism : uint8_t { kAll, kInclude, kA, kMx, kPtr, kIp4, kIp6, kExists };
std::string_view name_of(SpfMechanism mechanism);

struct SpfTerm {
  SpfMechanism mechanism = SpfMechanism::kAll;
  char qualifier = '+';
  std::string_view text;     // the whole term
  std::string_view domain;   // domain-spec with its macros; empty: the domain that is checked
  uint8_t network[16] = {};  // ip4 (first four bytes), ip6
  int prefix4 = 32, prefix6 = 128;
};

struct SpfRecord {
  std::vector<SpfTerm> terms;
  std::string_view redirect, explanation;  // domain-specs; empty: not there
  std::string error;                       // what is malformed; empty: nothing
};

inline constexpr size_t kSpfRecordBytesMax = 8192;
inline constexpr size_t kSpfTermsMax = 256;

// Whether a TXT record is an SPF record: "v=spf1" alone or with a space behind it, in any case of letters.
bool is_spf_record(std::string_view text);
// `text` is one, and outlives the result.
SpfRecord parse_spf_record(std::string_view text);

// What macros stand for. `validated_name` is asked for only where %{p} occurs.
struct SpfMacroValues {
  std::string sender, local, sender_domain, domain, helo, receiver_name, validated_name;
  event::IpData client;
  int64_t now_s = 0;
};

// Whether a text uses %{p}.
bool spf_uses_validated_name(std::string_view text);

// Appends the expansion; false: a macro is malformed. `explanation` allows %{c}, %{r} and %{t}, and spaces.
// `out` never grows beyond kSpfExpandedBytesMax; what is behind is cut.
inline constexpr size_t kSpfExpandedBytesMax = 4096;
bool expand_spf_macros(std::string_view text, const SpfMacroValues& values, bool explanation, std::string& out);

// Of an expanded domain-spec: without its last dot, and cut from the left to at most 253 bytes (section 7.3).
std::string spf_target_name(std::string expanded);

}  // namespace tamis::mail
