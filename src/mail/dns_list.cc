#include "mail/dns_list.h"

#include <algorithm>
#include <charconv>

#include "event/domain.h"
#include "event/ip.h"
#include "mail/ascii.h"

namespace tamis::mail {
namespace {

constexpr uint32_t kLoopback = 0x7f000000, kLoopbackMask = 0xff000000;  // 127.0.0.0/8
constexpr uint32_t kErrors = 0x7fffff00, kErrorsMask = 0xffffff00;      // 127.255.255.0/24

uint32_t v4_bits(const event::IpData& ip) {
  uint32_t bits = 0;
  for (const char c : event::ip_bytes(ip)) bits = bits << 8 | static_cast<uint8_t>(c);
  return bits;
}

// "127.0.0.2", "127.0.0.4/30", "&8".
bool read_code(std::string_view text, DnsListCode& code) {
  if (text.starts_with('&')) {
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), bits);
    if (error != std::errc() || end != text.data() + text.size() || bits == 0 || bits > 255) return false;
    // Bits may come together in one answer, so only these are looked at.
    code.address = kLoopback | bits;
    code.mask = kLoopbackMask | bits;
    return true;
  }
  event::IpData network{};
  if (text.find('/') == std::string_view::npos ? !event::parse_ip(text, network) : !event::parse_cidr(text, network)) {
    return false;
  }
  if (network.is_v6 || network.prefix < 8) return false;
  code.mask = network.prefix == 32 ? 0xffffffff : ~(0xffffffffu >> network.prefix);
  code.address = v4_bits(network) & code.mask;
  return (code.address & kLoopbackMask) == kLoopback;
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

bool is_public(const event::IpData& ip) {
  constexpr std::string_view nowhere[] = {"0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",  "127.0.0.0/8",
                                          "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
                                          "::/127",         "fc00::/7",      "fe80::/10",      "ff00::/8"};
  return std::none_of(std::begin(nowhere), std::end(nowhere), [&ip](std::string_view text) {
    event::IpData network{};
    return event::parse_cidr(text, network) && event::cidr_contains(network, ip);
  });
}

std::string_view next_word(std::string_view& rest) {
  rest = trim(rest);
  const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

}  // namespace

base::Result<DnsList> parse_dns_list(std::string_view text) {
  const auto wrong = [text](const std::string& what) {
    return base::invalid("DNS list '" + std::string(text) + "': " + what);
  };
  std::string_view rest = text;
  DnsList list;
  list.name = next_word(rest);
  const std::string_view of = next_word(rest), zone = next_word(rest);
  if (!is_word(list.name)) return wrong("expected NAME ip|domain ZONE [CODE=MEANING]...");
  if (of != "ip" && of != "domain") return wrong("'" + std::string(of) + "' is neither ip nor domain");
  list.of = of == "ip" ? DnsListOf::kAddresses : DnsListOf::kDomains;
  base::Arena arena(1024);
  list.zone = event::normalise_domain(zone, arena);
  if (list.zone.empty() || list.zone.size() > 180) return wrong("'" + std::string(zone) + "' is no zone");
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
    const size_t equals = word.find('=');
    DnsListCode code;
    if (equals == std::string_view::npos || !read_code(word.substr(0, equals), code) ||
        !is_word(word.substr(equals + 1))) {
      return wrong("'" + std::string(word) +
                   "', expected CODE=MEANING with an address or network of 127.0.0.0/8, or &BITS");
    }
    if (list.codes.size() == kDnsListCodesMax) return wrong("too many codes");
    code.meaning = word.substr(equals + 1);
    list.codes.push_back(std::move(code));
  }
  return list;
}

std::string dns_list_name(const DnsList& list, const event::IpData& address) {
  if (list.of != DnsListOf::kAddresses || !is_public(address)) return {};
  std::string name = event::dns_reversed(address) + "." + list.zone;
  return event::is_dns_name(name) ? name : std::string();
}

std::string dns_list_name(const DnsList& list, std::string_view domain) {
  event::IpData ip{};
  if (list.of != DnsListOf::kDomains || domain.find('.') == std::string_view::npos || event::parse_ip(domain, ip)) {
    return {};
  }
  std::string name = std::string(domain) + "." + list.zone;
  return event::is_dns_name(name) ? name : std::string();
}

std::vector<std::string> dns_list_meanings(const DnsList& list, const event::DnsAnswer& answer) {
  std::vector<std::string> out;
  if (answer.status != event::DnsStatus::kOk) return out;
  const auto any = [&answer](const auto& fits) {
    return std::any_of(answer.addresses.begin(), answer.addresses.end(), [&](const event::IpData& ip) {
      const uint32_t bits = ip.is_v6 ? 0 : v4_bits(ip);
      return (bits & kLoopbackMask) == kLoopback && fits(bits);
    });
  };
  if (list.codes.empty() && any([](uint32_t bits) { return (bits & kErrorsMask) != kErrors; })) out.push_back("listed");
  for (const DnsListCode& code : list.codes) {
    // Bits of a list's errors mean nothing unless the code names them whole.
    const bool whole = (code.mask & kErrorsMask) == kErrorsMask;
    if (any([&](uint32_t bits) {
          return (bits & code.mask) == code.address && (whole || (bits & kErrorsMask) != kErrors);
        }) &&
        std::find(out.begin(), out.end(), code.meaning) == out.end()) {
      out.push_back(code.meaning);
    }
  }
  return out;
}

}  // namespace tamis::mail
