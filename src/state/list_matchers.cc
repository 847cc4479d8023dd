#include "state/list_matchers.h"

#include <charconv>
#include <cstring>

#include "base/hash.h"
#include "event/ip.h"

namespace tamis::state {

using event::IpData;
using event::Kind;

namespace {

constexpr size_t kTextBytesMax = 4096;

base::Status check_text(std::string_view text) {
  if (text.empty()) return base::invalid("an entry is empty");
  if (text.size() > kTextBytesMax) return base::invalid("an entry is longer than 4096 bytes");
  return {};
}

}  // namespace

// --- text ---

base::Result<std::string> TextMatcher::canonical(std::string_view text) {
  TAMIS_CHECK(check_text(text));
  return std::string(text);
}

base::Status TextMatcher::insert(const ListEntries& entries, uint32_t number) {
  index_.insert(base::hash64(entries.text(number)), number);
  return {};
}

void TextMatcher::erase(const ListEntries& entries, uint32_t number) {
  index_.erase(base::hash64(entries.text(number)), number);
}

uint32_t TextMatcher::find_exact(const ListEntries& entries, std::string_view key) const {
  return index_.find(base::hash64(key), [&](uint32_t number) { return entries.text(number) == key; });
}

uint32_t TextMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(Kind::kString)) return ListEntries::kNone;
  uint32_t number = find_exact(entries, value.str());
  return number != ListEntries::kNone && entries.live(number, now_ms) ? number : ListEntries::kNone;
}

// --- integers ---

base::Result<std::string> IntMatcher::canonical(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return base::invalid("\"" + std::string(text.substr(0, 100)) + "\" is not an integer of 64 bits");
  }
  return std::to_string(number);
}

uint32_t IntMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (value.is(Kind::kUint) && value.u <= uint64_t{INT64_MAX}) value = Value::integer(static_cast<int64_t>(value.u));
  if (!value.is(Kind::kInt)) return ListEntries::kNone;
  char text[24];
  char* end = std::to_chars(text, text + sizeof(text), value.i).ptr;
  return text_.match(entries, Value::string({text, static_cast<size_t>(end - text)}), now_ms);
}

// --- domains ---

base::Result<std::string> DomainMatcher::canonical(std::string_view text) {
  if (text.substr(0, 2) == "*.") text.remove_prefix(2);  // a common way to write the same
  if (!text.empty() && text.front() == '.') text.remove_prefix(1);
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  TAMIS_CHECK(check_text(text));
  std::string name(text);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c == ' ' || c == '/' || c == '@') {
      return base::invalid("\"" + std::string(text.substr(0, 100)) + "\" is not a domain name");
    }
  }
  return name;
}

uint32_t DomainMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(Kind::kString) || value.size == 0 || value.size > 255) return ListEntries::kNone;
  char lower[256];
  for (size_t i = 0; i < value.size; ++i) {
    char c = value.text[i];
    lower[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  std::string_view name(lower, value.size);
  if (name.back() == '.') name.remove_suffix(1);
  while (!name.empty()) {
    uint32_t number = text_.match(entries, Value::string(name), now_ms);
    if (number != ListEntries::kNone) return number;
    size_t dot = name.find('.');
    if (dot == std::string_view::npos) break;
    name.remove_prefix(dot + 1);
  }
  return ListEntries::kNone;
}

// --- networks ---

namespace {

uint64_t network_hash(const IpData& masked, int length) {
  uint64_t high = 0, low = 0;
  std::memcpy(&high, masked.bytes, 8);
  std::memcpy(&low, masked.bytes + 8, 8);
  return base::combine64(base::combine64(high, low), static_cast<uint64_t>(length) | (masked.is_v6 ? 256u : 0u));
}

uint16_t first_16_bits(const IpData& ip) {
  const uint8_t* at = ip.is_v6 ? ip.bytes : ip.bytes + 12;
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}

bool read_entry(std::string_view text, IpData& network) {
  if (text.find('/') == std::string_view::npos) {
    if (!event::parse_ip(text, network)) return false;
    network.prefix = network.is_v6 ? 128 : 32;
    return true;
  }
  if (!event::parse_cidr(text, network)) return false;
  network = event::mask_ip(network, network.prefix);
  return true;
}

}  // namespace

base::Result<std::string> NetworkMatcher::canonical(std::string_view text) {
  IpData network;
  if (!read_entry(text, network)) {
    return base::invalid("\"" + std::string(text.substr(0, 100)) +
                         "\" is not an address or a network like 192.0.2.0/24 or 2001:db8::/32");
  }
  char out[event::kIpTextBytesMax];
  return std::string(event::format_cidr(network, out));
}

base::Status NetworkMatcher::insert(const ListEntries& entries, uint32_t number) {
  IpData network;
  if (!read_entry(entries.text(number), network)) return base::invalid("not a network");
  Family& family = network.is_v6 ? v6_ : v4_;
  ++family.count[network.prefix];
  if (network.prefix >= 16) {
    if (!family.by_first_16_bits) family.by_first_16_bits = std::make_unique<Lengths[]>(65536);
    Lengths& lengths = family.by_first_16_bits[first_16_bits(network)];
    if (network.prefix < 64)
      lengths.low |= uint64_t{1} << network.prefix;
    else if (network.prefix < 128)
      lengths.high |= uint64_t{1} << (network.prefix - 64);
    else
      lengths.full = true;
  }
  index_.insert(network_hash(network, network.prefix), number);
  return {};
}

void NetworkMatcher::erase(const ListEntries& entries, uint32_t number) {
  IpData network;
  if (!read_entry(entries.text(number), network)) return;
  --(network.is_v6 ? v6_ : v4_).count[network.prefix];
  index_.erase(network_hash(network, network.prefix), number);
}

uint32_t NetworkMatcher::find_exact(const ListEntries& entries, std::string_view key) const {
  IpData network;
  if (!read_entry(key, network)) return ListEntries::kNone;
  return index_.find(network_hash(network, network.prefix),
                     [&](uint32_t number) { return entries.text(number) == key; });
}

uint32_t NetworkMatcher::probe(const ListEntries& entries, const IpData& ip, int length, int64_t now_ms) const {
  IpData masked = event::mask_ip(ip, length);
  char text[event::kIpTextBytesMax];
  std::string_view key;
  return index_.find(network_hash(masked, length), [&](uint32_t number) {
    if (key.empty()) key = event::format_cidr(masked, text);
    return entries.text(number) == key && entries.live(number, now_ms);
  });
}

uint32_t NetworkMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  IpData ip;
  if (value.is(Kind::kIp)) {
    ip = *value.ip;
  } else if (!value.is(Kind::kString) || !event::parse_ip(value.str(), ip)) {
    return ListEntries::kNone;
  }
  const Family& family = ip.is_v6 ? v6_ : v4_;
  if (family.by_first_16_bits) {
    const Lengths& lengths = family.by_first_16_bits[first_16_bits(ip)];
    if (lengths.full) {
      if (uint32_t number = probe(entries, ip, 128, now_ms); number != ListEntries::kNone) return number;
    }
    for (int half = 1; half >= 0; --half) {
      for (uint64_t bits = half ? lengths.high : lengths.low; bits != 0;) {
        int top = 63 - __builtin_clzll(bits);
        bits &= ~(uint64_t{1} << top);
        uint32_t number = probe(entries, ip, top + 64 * half, now_ms);
        if (number != ListEntries::kNone) return number;
      }
    }
  }
  for (int length = 15; length >= 0; --length) {
    if (family.count[static_cast<size_t>(length)] == 0) continue;
    uint32_t number = probe(entries, ip, length, now_ms);
    if (number != ListEntries::kNone) return number;
  }
  return ListEntries::kNone;
}

}  // namespace tamis::state
