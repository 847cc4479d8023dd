#include "event/domain.h"

#include <libpsl.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/hash.h"
#include "event/ip.h"

namespace tamis::event {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string_view lowered(std::string_view text, base::Arena& arena) {
  bool is_lower = true;
  for (const char c : text) is_lower &= c == lower(c);
  if (is_lower) return text;
  char* copy = static_cast<char*>(arena.allocate(text.size(), 1));
  for (size_t i = 0; i < text.size(); ++i) copy[i] = lower(text[i]);
  return {copy, text.size()};
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Bytes that no host name has (WHATWG "forbidden domain code points"), and the comma.
constexpr std::array<bool, 256> kForbidden = [] {
  std::array<bool, 256> table{};
  for (size_t byte = 0; byte <= ' '; ++byte) table[byte] = true;
  table[0x7F] = true;
  for (const char c : std::string_view("#%/:<>?@[\\]^|,\"`{}()&;$*!'=+~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

bool is_forbidden(char c) { return kForbidden[static_cast<unsigned char>(c)]; }

// Labels between dots, none empty, none longer than 63 bytes.
bool has_good_labels(std::string_view name) {
  size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else {
      if (is_forbidden(c) || ++label > 63) return false;
    }
  }
  return label > 0;
}

// The list works on C strings; a domain is short enough for the stack.
struct CString {
  explicit CString(std::string_view text) {
    std::memcpy(bytes.data(), text.data(), text.size());
    bytes[text.size()] = '\0';
  }
  std::array<char, kDomainBytesMax + 1> bytes;
};

// One event or message names the same few domains again and again, and the list is searched once for each label of
// each. What a thread asked last stays with it: 256 names, 68 KB, allocated once.
constexpr size_t kKnownSuffixes = 256;

struct KnownSuffix {
  std::array<char, kDomainBytesMax> bytes;
  uint16_t size = 0;  // of the domain; 0: nothing is known here
  uint16_t at = 0;    // where its suffix begins; at its end: it has none

  bool is_of(std::string_view domain) const { return domain == std::string_view(bytes.data(), size); }
};

}  // namespace

std::string_view normalise_domain(std::string_view text, base::Arena& arena) {
  text = trimmed(text);
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty() || text.size() > kDomainBytesMax || !has_good_labels(text)) return {};
  IpData ip;
  if (parse_ip(text, ip)) return {};
  return lowered(text, arena);
}

std::string_view public_suffix(std::string_view domain) {
  if (domain.empty() || domain.size() > kDomainBytesMax) return {};
  thread_local std::vector<KnownSuffix> known(kKnownSuffixes);
  KnownSuffix& place = known[base::hash64(domain) % kKnownSuffixes];
  if (!place.is_of(domain)) {
    const CString name(domain);
    // Points into the name, or is null.
    const char* suffix = psl_unregistrable_domain(psl_builtin(), name.bytes.data());
    std::memcpy(place.bytes.data(), domain.data(), domain.size());
    place.size = static_cast<uint16_t>(domain.size());
    place.at = suffix == nullptr ? place.size : static_cast<uint16_t>(suffix - name.bytes.data());
  }
  return place.at == place.size ? std::string_view() : domain.substr(place.at);
}

bool is_public_suffix(std::string_view domain) {
  if (domain.empty() || domain.size() > kDomainBytesMax) return false;
  const CString name(domain);
  return psl_is_public_suffix2(psl_builtin(), name.bytes.data(), PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE) != 0;
}

std::string_view registered_domain(std::string_view domain) { return registered_domain(domain, public_suffix(domain)); }

std::string_view registered_domain(std::string_view domain, std::string_view suffix) {
  if (suffix.empty() || suffix.size() >= domain.size()) return {};
  const size_t dot = domain.size() - suffix.size() - 1;  // in front of the suffix
  const size_t before = dot == 0 ? std::string_view::npos : domain.rfind('.', dot - 1);
  return domain.substr(before == std::string_view::npos ? 0 : before + 1);
}

namespace {

std::string_view base_local_of(std::string_view local, base::Arena& arena) {
  std::string_view text = local;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  const std::string_view untagged = text.substr(0, text.find('+'));
  char* out = static_cast<char*>(arena.allocate(local.size(), 1));
  size_t bytes = 0;
  for (const char c : untagged) {
    if (c != '.') out[bytes++] = lower(c);
  }
  return bytes == 0 ? lowered(local, arena) : std::string_view(out, bytes);
}

bool is_address_literal(std::string_view domain) {
  if (domain.size() < 3 || domain.front() != '[' || domain.back() != ']') return false;
  std::string_view text = domain.substr(1, domain.size() - 2);
  if (text.size() > 5 && (text.starts_with("IPv6:") || text.starts_with("ipv6:"))) text.remove_prefix(5);
  IpData ip;
  return parse_ip(text, ip);
}

}  // namespace

bool parse_email(std::string_view text, base::Arena& arena, EmailParts& out) {
  out = {};
  text = trimmed(text);
  if (!text.empty() && text.back() == '>') {
    const size_t open = text.rfind('<');
    if (open == std::string_view::npos) return false;
    text = trimmed(text.substr(open + 1, text.size() - open - 2));
  }
  const size_t at = text.rfind('@');
  if (text.size() > kEmailBytesMax || at == std::string_view::npos || at == 0) return false;
  const std::string_view domain = text.substr(at + 1);
  out.domain = is_address_literal(domain) ? lowered(domain, arena) : normalise_domain(domain, arena);
  if (out.domain.empty()) return false;
  out.local = text.substr(0, at);
  out.base_local = base_local_of(out.local, arena);
  return true;
}

}  // namespace tamis::event
