// What is odd about a login or session: its factors, each as log-odds, before they are weighed.
#include <algorithm>
#include <cmath>

#include "detect/fast_math.h"
#include "detect/login_impl.h"
#include "detect/signup_facts.h"
#include "event/ip.h"
#include "event/user_agent.h"

namespace tamis::detect {
namespace {

constexpr int kMachine[] = {kLogDevice, kLogAgent, kLogFamily, kLogSystem, kLogTls};

uint32_t hash2(std::string_view a, std::string_view b = {}) {
  if (a.empty() && b.empty()) return 0;
  return static_cast<uint32_t>(base::combine64(base::hash64(a), base::hash64(b))) | 1u;
}

bool shows_machine(const LoginFacts& f) {
  return std::any_of(std::begin(kMachine), std::end(kMachine), [&f](int a) { return f.value[size_t(a)] != 0; });
}

// Where nearly all show the same (Tor's browser, its language and zone), it comes with the network, whose novelty is
// counted apart.
double with_network(double typical) { return typical * typical * typical * typical; }

}  // namespace

AgentHashes::Hashes AgentHashes::of(std::string_view user_agent) {
  if (user_agent.empty()) return {};
  const uint64_t hash = base::hash64(user_agent);
  Slot& slot = slots_[hash % kSlots];
  if (slot.text == user_agent) return slot.hashes;
  const event::UserAgent agent = event::parse_user_agent(user_agent);
  const Hashes hashes = {hash2(user_agent), hash2(agent.family, agent.os), hash2(agent.os)};
  if (user_agent.size() <= kBytesMax) {
    slot.text = user_agent;
    slot.hashes = hashes;
  }
  return hashes;
}

LoginFacts LoginRiskImpl::facts_of(const Client& c, std::string_view account, int64_t t_ms) {
  LoginFacts f;
  f.t_ms = t_ms;
  const AccountKeys keys = account_keys(options_.key, account);
  f.account = keys.find;
  f.values_key = keys.values;
  f.net = c.net;
  if (c.has_ip) {
    // An IPv6 client has a /64 to itself.
    f.value[kLogIp] = hash2(event::ip_bytes(event::mask_ip(c.ip, c.ip.is_v6 ? 64 : 32)));
    f.value[kLogNet] = hash2(event::ip_bytes(event::mask_ip(c.ip, c.ip.is_v6 ? 48 : 24)), "n");
  }
  f.value[kLogAsn] = c.asn == 0 ? 0 : static_cast<uint32_t>(base::mix64(c.asn)) | 1u;
  f.value[kLogCountry] = hash2(c.country);
  f.value[kLogDevice] = hash2(c.device);
  const AgentHashes::Hashes agent = agents_.of(c.user_agent);
  f.value[kLogAgent] = agent.agent;
  f.value[kLogFamily] = agent.family;
  f.value[kLogSystem] = agent.system;
  f.value[kLogLocale] = hash2(c.language, c.time_zone);
  f.value[kLogZone] = hash2(c.time_zone);
  f.value[kLogTls] = c.tls.empty() || c.user_agent.empty()
                         ? 0
                         : static_cast<uint32_t>(base::combine64(base::hash64(c.tls), f.value[kLogFamily])) | 1u;
  f.value[kLogCookie] = hash2(c.cookie);
  return f;
}

// Exits of VPN and Tor stand where they stand: one that is new to an account mostly brings a new provider and country,
// too, which is the same change and not one more. Of other networks how far away they are does tell.
double LoginRiskImpl::along_with_exit(NetClass net, int attribute) const {
  constexpr double kPrior = 5, kPriorRate = 0.3;
  if (net != NetClass::kVpn && net != NetClass::kTor) return 0;
  const auto& novelty = novelty_[size_t(net)];
  const double finer = novelty[size_t(attribute) - 1];
  return std::min(1.0, (novelty[size_t(attribute)] + kPrior * kPriorRate) / (finer + kPrior));
}

double LoginRiskImpl::surprise(const Profile& p, const LoginFacts& f, const int* levels, int count,
                               double targeted) const {
  const double n = static_cast<double>(p.events);
  double log_odds = 0;
  for (int l = 0; l < count; ++l) {
    const int a = levels[l];
    const uint32_t value = own(f, a);
    if (value == 0) continue;
    const auto& known = p.known[size_t(a)];
    const double distinct = static_cast<double>(p.distinct[size_t(a)]);
    for (const Profile::Entry& e : known) {
      if (e.value != value || e.count <= 0) continue;
      double mine = static_cast<double>(e.count) / (n + distinct);
      // Who aims at this account can know its country and imitate its browser; not its address.
      const double anyone = usual_.p(a, int(f.net), f.value[size_t(a)]);
      if (a > kLogCountry) mine += (1 - mine) * with_network(anyone);
      const double share = l == 0 ? (a == kLogLocale ? 0.05 : 0.002) : targeted * double(l) / double(count - 1);
      return log_odds + fast_log((1 - share) * anyone + share) - fast_log(mine);
    }
    // Escape (Witten and Bell, 1991), with the class's own rate of novelty as prior.
    double rate = 0.3;
    if (a <= kLogCountry) {
      const auto c = size_t(f.net);
      rate = (novelty_[c][size_t(a)] + 2 * 0.3) / (seen_[c] + 2);
    }
    const double novel = distinct + 3 * rate + 0.02;
    double escape = novel / (n + novel);  // 1 if nothing is known of the account
    if (a > kLogIp && a <= kLogCountry) escape = std::max(escape, along_with_exit(f.net, a));
    if (a > kLogCountry) escape += (1 - escape) * with_network(usual_.p(a, int(f.net), f.value[size_t(a)]));
    log_odds -= fast_log(std::min(1.0, escape));
  }
  return log_odds;
}

bool LoginRiskImpl::is_at_home(const Profile& p, const LoginFacts& f) const {
  const bool is_shared = f.net == NetClass::kTor || f.net == NetClass::kVpn || f.net == NetClass::kMobile;
  const uint32_t ip = own(f, kLogIp);
  if (is_shared || ip == 0) return false;
  const auto& known = p.known[kLogIp];
  return std::any_of(known.begin(), known.end(), [ip](const auto& e) { return e.count >= 1 && e.value == ip; });
}

// A known cookie. Its browser may change its fingerprint by design, and its build by an update at a place that the
// account uses; another fingerprint, build and TLS client elsewhere are another machine.
double LoginRiskImpl::bound_factor(const Profile& p, const Profile::Binding& b, const LoginFacts& f, bool same_place,
                                   bool* bound) const {
  const auto same = [&](uint32_t was, int attribute) {
    const uint32_t is = own(f, attribute);
    return was == is || was == 0 || is == 0;
  };
  const bool same_family = same(b.family, kLogFamily), same_system = same(b.system, kLogSystem);
  const bool same_zone = same(b.zone, kLogZone);
  const bool same_agent = same(b.agent, kLogAgent), same_tls = same(b.tls, kLogTls);
  if (b.device == own(f, kLogDevice)) {
    *bound = true;
    return -4;
  }
  // A release of a browser changes fingerprint, build and TLS client of all who use it, at once.
  if (same_family && same_zone && is_at_home(p, f)) {
    *bound = true;
    return -2.5;
  }
  if (!same_family) return (same_system ? (same_zone ? 5 : 7) : (same_zone ? 6 : 8)) + (same_place ? 0 : 1.5);
  if (same_agent && same_tls) {
    *bound = same_place && same_zone;
    if (same_place && same_zone) return -2.5;
    const auto& devices = p.known[kLogDevice];
    const uint32_t device = own(f, kLogDevice);
    if (std::any_of(devices.begin(), devices.end(), [&](const auto& e) { return e.count > 0 && e.value == device; })) {
      *bound = same_zone;
      return same_zone ? -2.5 : 0;
    }
    // Elsewhere: as odd as a change is for the account.
    const double n = static_cast<double>(p.events), changes = static_cast<double>(p.distinct[kLogDevice]);
    const double odd = std::clamp(-2 * fast_log((changes + 0.9) / (n + 3)), -0.5, 4.5);
    return same_zone ? odd : (same_place ? 2 : 4) + odd / 2;
  }
  *bound = same_place && same_zone;
  if (*bound) return same_tls ? -2.5 : 1;
  return (same_tls ? 3.4 : 5) + (same_place ? 0 : 2.5) + (same_zone ? 0 : 0.5);
}

// A known cookie, and nothing of the machine that shows it: where an odd login that nobody has vouched for showed the
// same one it is taken for that machine, else it says nothing.
double LoginRiskImpl::bare_factor(const Profile& p, const LoginFacts& f, bool same_place, bool* bound) const {
  const uint32_t cookie = own(f, kLogCookie);
  const bool is_odd = std::any_of(p.pending.begin(), p.pending.end(),
                                  [cookie](const auto& q) { return q.t_ms != 0 && q.value[kLogCookie] == cookie; });
  *bound = same_place && !is_odd;
  if (!is_odd) return 0;
  return same_place ? 5 : 6.5;
}

double LoginRiskImpl::cookie_factor(const Profile& p, const LoginFacts& f, double unknown, bool* known,
                                    bool* bound) const {
  *known = *bound = false;
  const uint32_t cookie = own(f, kLogCookie);
  if (cookie == 0) return 0;
  for (const Profile::Binding& b : p.bindings) {
    if (b.cookie != cookie) continue;
    *known = true;
    // Two changes at once, the browser's and the provider's, are what an update does not bring along.
    const uint32_t provider = own(f, kLogAsn);
    const auto& providers = p.known[kLogAsn];
    const bool same_place = provider == 0 || std::any_of(providers.begin(), providers.end(), [&](const auto& e) {
                              return e.count > 0 && e.value == provider;
                            });
    return shows_machine(f) ? bound_factor(p, b, f, same_place, bound) : bare_factor(p, f, same_place, bound);
  }
  const double n = static_cast<double>(p.events);
  // A cookie that came with a login which is not confirmed yet is bound as well.
  for (const Profile::Pending& q : p.pending) {
    if (q.t_ms == 0 || q.value[kLogCookie] != cookie) continue;
    if (q.value[kLogFamily] == own(f, kLogFamily)) return 1.5 * n / (n + 1);
    return q.value[kLogSystem] == own(f, kLogSystem) ? 6 : 7;
  }
  return unknown * n / (n + 1);
}

double LoginRiskImpl::tls_factor(const LoginFacts& f) const {
  if (f.value[kLogTls] == 0) return 0;
  const double pair = usual_.p(kLogTls, int(f.net), f.value[kLogTls]);
  const double family = usual_.p(kLogFamily, int(f.net), f.value[kLogFamily]);
  return std::clamp(fast_log(0.02 / std::min(1.0, pair / family)), 0.0, 4.0);
}

std::array<uint64_t, LoginRiskImpl::kCampaignKeys> LoginRiskImpl::campaign_keys(const LoginFacts& f) const {
  constexpr uint8_t kParts[kCampaignKeys][2] = {
      {kLogIp, kLogIp},        {kLogNet, kLogNet},    {kLogDevice, kLogDevice}, {kLogDevice, kLogLocale},
      {kLogAgent, kLogLocale}, {kLogAsn, kLogDevice}, {kLogAsn, kLogAgent},     {kLogTls, kLogAgent}};
  std::array<uint64_t, kCampaignKeys> keys{};
  for (size_t k = 0; k < kCampaignKeys; ++k) {
    const uint32_t a = f.value[kParts[k][0]], b = f.value[kParts[k][1]];
    if (a != 0 && b != 0) keys[k] = base::combine64(k + 1, (uint64_t{a} << 32) | b) | 1u;
  }
  return keys;
}

double LoginRiskImpl::campaign_factor(const LoginFacts& f) const {
  const auto own_p = [&](int a) { return usual_.p(a, int(f.net), f.value[size_t(a)]); };
  const auto any_p = [&](int a) { return usual_.p_all(a, f.value[size_t(a)]); };
  double honest = 1;
  for (double u : unfamiliar_) honest += u;
  const double in_class = 0.2 + unfamiliar_[size_t(f.net)];
  // Networks are of one class; devices and browsers come through all of them, but some mostly through one.
  const double asn = own_p(kLogAsn), agent_here = own_p(kLogAgent),
               locale = std::max(own_p(kLogLocale), any_p(kLogLocale));
  const double device = std::max(honest * any_p(kLogDevice), in_class * own_p(kLogDevice));
  const double agent = std::max(honest * any_p(kLogAgent), in_class * agent_here);
  const double tls = std::min(1.0, any_p(kLogTls) / any_p(kLogFamily));
  const double expected_slow[kCampaignKeys] = {in_class * own_p(kLogIp),
                                               in_class * own_p(kLogNet),
                                               device,
                                               device * locale,
                                               agent * locale,
                                               asn * device,
                                               in_class * asn * agent_here,
                                               tls * agent};
  const auto keys = campaign_keys(f);
  // Honest unfamiliar attempts to expect within the windows.
  const double age_ms = std::max(double(now_ms_ - begun_ms_), kHour);
  const double slow_ms = kSlowHalf / M_LN2 * (1 - half_life(age_ms, kSlowHalf));
  const double fast_ms = kFastHalf / M_LN2 * (1 - half_life(age_ms, kFastHalf));
  double best = 0;
  for (size_t k = 0; k < kCampaignKeys; ++k) {
    if (keys[k] == 0) continue;
    const CampaignEntry* e = campaign_.find(keys[k]);
    if (e == nullptr) continue;
    const double idle_ms = std::max(0.0, double(f.t_ms) - double(e->seen_s) * 1e3);
    const double mine = e->last_account == static_cast<uint32_t>(f.account) ? 1 : 0;
    const double slow = static_cast<double>(e->slow) * half_life(idle_ms, kSlowHalf) - mine;
    const double fast = static_cast<double>(e->fast) * half_life(idle_ms, kFastHalf) - mine;
    const double expected = expected_slow[k];
    best = std::max(best, fast_log((slow + 0.15) / (expected + 0.15)));
    best = std::max(best, fast_log((fast + 0.15) / (expected * fast_ms / slow_ms + 0.15)));
  }
  return std::min(best, 8.0);
}

}  // namespace tamis::detect
