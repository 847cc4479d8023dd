#include "detect/signup_facts.h"

#include <algorithm>
#include <initializer_list>

#include "base/hash.h"
#include "detect/fast_math.h"
#include "detect/lexical.h"
#include "event/domain.h"
#include "event/ip.h"

namespace tamis::detect {
namespace {

uint32_t hash_of(std::initializer_list<std::string_view> parts) {
  bool given = false;
  uint64_t h = 0x7461;
  for (std::string_view part : parts) {
    given = given || !part.empty();
    h = base::combine64(h, base::hash64(part));
  }
  return given ? static_cast<uint32_t>(h) | 1u : 0;
}

constexpr uint64_t kKindSeed = 580;  // parts the usual names of kinds

// A client says what its round trip was. What takes longer is none, and must not weigh in the mean of a country.
constexpr uint32_t kRoundTripMsMax = 10'000;

float log_ms(uint32_t ms) { return ms == 0 ? -1.0f : static_cast<float>(fast_log(ms)); }

uint16_t country_of(std::string_view country) {
  if (country.empty()) return 0;
  if (country.size() != 2) return static_cast<uint16_t>(base::hash64(country)) | 0x8080u;
  return static_cast<uint16_t>((country[0] & 0x7f) << 8 | (country[1] & 0x7f));
}

// Who owns a domain has as many names below it as wanted: the registrable one counts.
uint32_t domain_of(std::string_view address) {
  std::string_view domain = address.substr(address.rfind('@') + 1);
  std::array<char, event::kDomainBytesMax> lower;
  if (domain.size() <= lower.size()) {
    std::transform(domain.begin(), domain.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    domain = {lower.data(), domain.size()};
    const std::string_view registered = event::registered_domain(domain);
    if (!registered.empty()) domain = registered;
  }
  return hash_of({domain});
}

// "Anna.Bell+x@Mail.example" and "annabell@mail.example" are one mailbox at most providers; so they are here.
uint32_t mailbox_of(std::string_view address) {
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos) return 0;
  uint64_t h = 5;
  for (char c : address.substr(0, at)) {
    if (c == '+') break;
    if (c == '.') continue;
    h = base::combine64(h, static_cast<unsigned char>(c | 0x20));
  }
  return static_cast<uint32_t>(base::combine64(h, base::hash64(address.substr(at)))) | 1u;
}

}  // namespace

std::string_view net_class_name(NetClass net) {
  constexpr std::string_view kNames[] = {"residential", "mobile", "business", "hosting", "vpn", "tor"};
  return kNames[static_cast<int>(net)];
}

std::string_view view_name(View view) {
  constexpr std::string_view kNames[] = {"name", "device", "network", "locale", "recovery", "behaviour", "reuse"};
  return kNames[view];
}

AccountKeys account_keys(const base::SipKey& key, std::string_view account) {
  const std::array<uint64_t, 2> hash = base::siphash128(key, account);
  return {hash[0] | 1u, hash[1]};
}

SignupFacts signup_facts(const Signup& s) {
  SignupFacts f;
  f.t_ms = s.t_ms;
  const NameShape name = name_shape(s.local);
  f.value[kShape] = name.shape;
  f.value[kFine] = name.fine;
  f.value[kStyle] = name.style;
  f.value[kStem] = name.stem;
  f.value[kDevice] = hash_of({s.client.device});
  const char cores[2] = {static_cast<char>('0' + s.cores % 64), 0};
  // Without canvas and agent: those are what whoever randomises fingerprints changes first. The TLS client stays.
  f.value[kHardware] = hash_of({s.screen, s.gpu, std::string_view(cores, s.cores > 0), s.client.tls});
  f.value[kAgent] = hash_of({s.client.user_agent, s.client.tls});
  if (s.client.has_ip) {
    const event::IpData net = event::mask_ip(s.client.ip, s.client.ip.is_v6 ? 48 : 24);
    f.value[kNetwork] = hash_of({event::ip_bytes(net)});
  }
  f.country = country_of(s.client.country);
  f.value[kAsn] = s.client.asn == 0 ? 0 : static_cast<uint32_t>(base::combine64(s.client.asn, f.country)) | 1u;
  f.value[kLocale] = hash_of({s.client.language, s.client.time_zone});
  f.value[kRecovery] = s.recovery.empty() ? kNoRecovery : domain_of(s.recovery);
  f.value[kMailbox] = mailbox_of(s.recovery);
  f.kind = static_cast<uint8_t>(base::hash64(s.captcha, kKindSeed) % kCaptchaKinds);
  f.value[kForm] = s.pasted ? 3 : 5;
  f.value[kTries] = s.captcha_tries == 0 ? 0 : 1 + (s.captcha_tries < 4 ? s.captcha_tries : 4);
  f.value[kCookie] = hash_of({s.client.cookie});
  f.measure = {log_ms(s.fill_ms), log_ms(s.captcha_ms), log_ms(std::min(s.client.rtt_ms, kRoundTripMsMax))};
  f.net = s.client.net;
  return f;
}

}  // namespace tamis::detect
