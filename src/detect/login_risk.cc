#include "detect/login_risk.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "detect/fast_math.h"
#include "detect/login_impl.h"
#include "detect/signup_facts.h"
#include "event/ip.h"
#include "event/user_agent.h"

namespace tamis::detect {
namespace {

constexpr double kHour = 3.6e6, kDay = 8.64e7;
constexpr double kFastHalf = 6 * kHour, kSlowHalf = 3 * kDay;
constexpr float kFamiliar = -4.5f;  // log-odds below which a success teaches at once
constexpr double kConfirmedAfter = 3 * kDay;
constexpr double kConfirmedAfterFactor = kDay / 2;  // if a second factor was given: it may have been relayed
constexpr float kCampaignDoubt = 3;                 // campaign evidence that time alone does not outweigh
constexpr double kConfirmedAfterDoubt = 14 * kDay;

// The factors are not independent: a new device is unknown as a device and as a cookie. What each adds beyond the
// others, by logistic regression on simulated logins, rounded. What goes on from a login that was told of already is
// the same incident, not one more.
constexpr float kWeights[kLoginFactors] = {0.8f, 0.45f, 1.3f, 0.9f, 1, 1.8f, -1.5f, 1};

// Of what goes on from an unconfirmed login: log-odds for a day without a word against it, and for how many.
constexpr float kQuietWorth = 1, kQuietDays = 2.5f;

constexpr int kCampaignKeys = 8;

uint32_t hash2(std::string_view a, std::string_view b = {}) {
  if (a.empty() && b.empty()) return 0;
  return static_cast<uint32_t>(base::combine64(base::hash64(a), base::hash64(b))) | 1u;
}

class LoginRiskImpl final : public LoginRisk {
 public:
  explicit LoginRiskImpl(const LoginRiskOptions& options)
      : options_(options),
        index_(options.accounts_max),
        campaign_(options.campaign_keys_max),
        usual_({1e6, 1e5, 2000, 100, 8000, 300, 30, 8, 100, 20, 1e6}, kNetClasses, options.values_max) {}

  LoginScore login(const Login& login) override;
  LoginScore change(const Change& change) override;
  void signup(const Signup& signup) override;
  void confirm(std::string_view account, bool was_owner, int64_t t_ms) override;
  bool erase(std::string_view account) override;
  uint64_t bytes() const override { return index_.bytes() + profiles_.bytes() + campaign_.bytes() + usual_.bytes(); }
  uint64_t profiles() const override { return index_.size(); }
  uint64_t digest() const override;
  void begin_snapshot(state::PieceWriter& out, uint32_t part) override;
  bool snapshot_piece() override;
  void end_snapshot() override;
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  base::Status finish_restore() override;

 private:
  using Profile = LoginProfile;

  LoginFacts facts_of(const Client& client, std::string_view account, int64_t t_ms) const;
  uint32_t own(const LoginFacts& f, int attribute) const {
    const uint32_t v = f.value[size_t(attribute)];
    return v == 0 ? 0 : static_cast<uint32_t>(base::combine64(v ^ options_.secret, f.account)) | 1u;
  }
  // One event, before its factors are weighed. `origin`: the place of the unconfirmed login that it goes on from, or
  // -1.
  struct Judged {
    LoginFacts facts;
    Profile* profile = nullptr;  // null: nothing is known of the account
    LoginScore out;
    double campaign = 0;
    bool is_unfamiliar = false;
    int origin = -1;
  };
  Judged judge(const Client& client, std::string_view account, bool is_session);
  static void weigh(LoginScore& out);
  void go_on(const Profile::Pending& from, LoginScore& out) const;
  // Minus the log-likelihood under the user plus that under anyone, going down a hierarchy from fine to coarse.
  double surprise(const Profile& p, const LoginFacts& f, const int* levels, int count, double targeted) const;
  double cookie_factor(const Profile& p, const LoginFacts& f, bool is_session, bool* known, bool* bound) const;
  double bound_factor(const Profile::Binding& b, const LoginFacts& f, bool same_place, bool* bound) const;
  double tls_factor(const LoginFacts& f) const;
  std::array<uint64_t, kCampaignKeys> campaign_keys(const LoginFacts& f) const;
  double campaign_factor(const LoginFacts& f) const;
  void touch_campaign(const LoginFacts& f);
  void teach(Profile& p, const std::array<uint32_t, kLogAttributes>& own_value, float weight);
  void teach_usual(const LoginFacts& f);
  void bind(Profile& p, const LoginFacts& f);
  void settle(Profile& p, int64_t t_ms);
  void decay(int64_t t_ms);

  // The account's profile for writing; null if there is none.
  Profile* find_profile(uint64_t account) {
    const uint32_t* place = index_.find(account);
    return place == nullptr ? nullptr : &profiles_.change(*place);
  }
  Profile& profile(uint64_t account);
  void release(uint32_t place);
  void put_head(std::string& out) const;
  template <class Visit>
  void each_table(const Visit& visit);

  LoginRiskOptions options_;
  KeyedTable<uint32_t> index_;  // places of profiles by account
  SegmentedArray<Profile> profiles_;
  uint32_t free_ = 0;  // the first profile that is not in use, + 1
  uint64_t restored_ = 0;
  KeyedTable<CampaignEntry> campaign_;
  Frequencies usual_;
  // Honest unfamiliar attempts by class: learned slowly, from those that nothing else spoke against.
  std::array<double, kNetClasses> unfamiliar_{};
  std::array<std::array<double, 4>, kNetClasses> novelty_{};  // of network levels: how often new, among confirmed
  std::array<double, kNetClasses> seen_{};
  int64_t begun_ms_ = 0, now_ms_ = 0;
};

// The account's profile, a new one if it has none. When there is room for no more, the least familiar go.
LoginProfile& LoginRiskImpl::profile(uint64_t account) {
  if (Profile* known = find_profile(account)) return *known;
  uint32_t& place = index_.at(
      account, [this](uint32_t p) { return profiles_[p].events; }, [this](uint32_t p) { release(p); });
  if (free_ != 0) {
    place = free_ - 1;
    Profile& p = profiles_.change(place);
    free_ = p.next_free;
    p = Profile{};
    return p;
  }
  place = static_cast<uint32_t>(profiles_.size());
  profiles_.push_back(Profile{});
  return profiles_.change(place);
}

void LoginRiskImpl::release(uint32_t place) {
  Profile& p = profiles_.change(place);
  p = Profile{};
  p.next_free = free_;
  free_ = place + 1;
}

LoginFacts LoginRiskImpl::facts_of(const Client& c, std::string_view account, int64_t t_ms) const {
  LoginFacts f;
  f.t_ms = t_ms;
  f.account = account_key(account);
  f.net = c.net;
  if (c.has_ip) {
    // An IPv6 client has a /64 to itself.
    f.value[kLogIp] = hash2(event::ip_bytes(event::mask_ip(c.ip, c.ip.is_v6 ? 64 : 32)));
    f.value[kLogNet] = hash2(event::ip_bytes(event::mask_ip(c.ip, c.ip.is_v6 ? 48 : 24)), "n");
  }
  f.value[kLogAsn] = c.asn == 0 ? 0 : static_cast<uint32_t>(base::mix64(c.asn)) | 1u;
  f.value[kLogCountry] = hash2(c.country);
  f.value[kLogDevice] = hash2(c.device);
  const event::UserAgent agent = event::parse_user_agent(c.user_agent);
  f.value[kLogAgent] = hash2(c.user_agent);
  f.value[kLogFamily] = hash2(agent.family, agent.os);
  f.value[kLogSystem] = hash2(agent.os);
  f.value[kLogLocale] = hash2(c.language, c.time_zone);
  f.value[kLogTls] = c.tls.empty() || c.user_agent.empty()
                         ? 0
                         : static_cast<uint32_t>(base::combine64(base::hash64(c.tls), f.value[kLogFamily])) | 1u;
  f.value[kLogCookie] = hash2(c.cookie);
  return f;
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
      const double mine = static_cast<double>(e.count) / (n + distinct);
      // Who aims at this account can know its country and imitate its browser; not its address.
      const double anyone = usual_.p(a, int(f.net), f.value[size_t(a)]);
      const double share = l == 0 ? (count == 1 ? 0.05 : 0.002) : targeted * double(l) / double(count - 1);
      return log_odds + fast_log((1 - share) * anyone + share) - fast_log(mine);
    }
    // Escape (Witten and Bell, 1991), with the class's own rate of novelty as prior.
    double rate = 0.3;
    if (a <= kLogCountry) {
      const auto c = size_t(f.net);
      rate = (novelty_[c][size_t(a)] + 2 * 0.3) / (seen_[c] + 2);
    }
    const double novel = distinct + 3 * rate + 0.02;
    const double escape = novel / (n + novel);  // 1 if nothing is known of the account
    log_odds -= fast_log(std::min(1.0, escape));
  }
  return log_odds;
}

// A known cookie. Its browser may change its fingerprint by design, and its build by an update at a place that the
// account uses; another fingerprint, build and TLS client elsewhere are another machine.
double LoginRiskImpl::bound_factor(const Profile::Binding& b, const LoginFacts& f, bool same_place, bool* bound) const {
  const auto same = [&](uint32_t was, int attribute) {
    const uint32_t is = own(f, attribute);
    return was == is || was == 0 || is == 0;
  };
  const bool same_family = b.family == own(f, kLogFamily), same_system = b.system == own(f, kLogSystem);
  const bool same_locale = b.locale == own(f, kLogLocale);
  const bool same_agent = same(b.agent, kLogAgent), same_tls = same(b.tls, kLogTls);
  if (b.device == own(f, kLogDevice)) {
    *bound = true;
    return -4;
  }
  if (!same_family) return (same_system ? (same_locale ? 5 : 7) : (same_locale ? 6 : 8)) + (same_place ? 0 : 1.5);
  if (same_agent && same_tls) {
    *bound = same_place;
    return same_place ? (same_locale ? -2.5 : -1.5) : (same_locale ? 1.5 : 2.5);
  }
  *bound = same_place && same_locale && same_tls;
  if (*bound) return -2.5;
  return (same_tls ? 3.4 : 5) + (same_place ? 0 : 2.5) + (same_locale ? 0 : 0.5);
}

double LoginRiskImpl::cookie_factor(const Profile& p, const LoginFacts& f, bool is_session, bool* known,
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
    return bound_factor(b, f, same_place, bound);
  }
  // A cookie that came with a login which is not confirmed yet is bound as well.
  for (const Profile::Pending& q : p.pending) {
    if (q.t_ms == 0 || q.value[kLogCookie] != cookie || q.value[kLogFamily] == own(f, kLogFamily)) continue;
    return q.value[kLogSystem] == own(f, kLogSystem) ? 6 : 7;
  }
  const double n = static_cast<double>(p.events);
  return (is_session ? 1.5 : 2) * n / (n + 1);
}

double LoginRiskImpl::tls_factor(const LoginFacts& f) const {
  if (f.value[kLogTls] == 0) return 0;
  const double pair = usual_.p(kLogTls, int(f.net), f.value[kLogTls]);
  const double family = usual_.p(kLogFamily, int(f.net), f.value[kLogFamily]);
  return std::clamp(fast_log(0.02 / std::min(1.0, pair / family)), 0.0, 4.0);
}

std::array<uint64_t, kCampaignKeys> LoginRiskImpl::campaign_keys(const LoginFacts& f) const {
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

void LoginRiskImpl::touch_campaign(const LoginFacts& f) {
  const auto now_s = static_cast<uint32_t>(f.t_ms / 1000);
  for (uint64_t key : campaign_keys(f)) {
    if (key == 0) continue;
    CampaignEntry& e =
        campaign_.at(key, [](const CampaignEntry& c) { return c.slow + static_cast<float>(c.seen_s) * 1e-9f; });
    if (e.last_account == static_cast<uint32_t>(f.account)) continue;
    const double idle_ms = e.seen_s == 0 ? 0 : std::max(0.0, double(now_s - e.seen_s) * 1e3);
    e.fast = e.fast * static_cast<float>(half_life(idle_ms, kFastHalf)) + 1;
    e.slow = e.slow * static_cast<float>(half_life(idle_ms, kSlowHalf)) + 1;
    e.seen_s = now_s;
    e.last_account = static_cast<uint32_t>(f.account);
  }
}

void LoginRiskImpl::teach(Profile& p, const std::array<uint32_t, kLogAttributes>& value, float weight) {
  // Old habits fade: about the last hundred logins count.
  if (p.events > 100) {
    p.events *= 0.98f;
    for (auto& known : p.known)
      for (auto& e : known) e.count *= 0.98f;
  }
  p.events += weight;
  for (size_t a = 0; a < p.known.size(); ++a) {
    if (value[a] == 0) continue;
    Profile::Entry* to = nullptr;
    Profile::Entry* least = &p.known[a][0];
    for (Profile::Entry& e : p.known[a]) {
      if (e.value == value[a]) to = &e;
      if (e.count < least->count) least = &e;
    }
    if (to == nullptr) {
      to = least;
      *to = {value[a], 0};
      p.distinct[a] = p.distinct[a] * 0.98f + 1;
    }
    to->count += weight;
  }
}

void LoginRiskImpl::teach_usual(const LoginFacts& f) {
  for (int a = 0; a < kLogCookie; ++a)
    if (f.value[size_t(a)] != 0) usual_.learn(a, int(f.net), f.value[size_t(a)], 1);
}

void LoginRiskImpl::bind(Profile& p, const LoginFacts& f) {
  const uint32_t cookie = own(f, kLogCookie);
  if (cookie == 0) return;
  Profile::Binding* to = &p.bindings[0];
  for (Profile::Binding& b : p.bindings) {
    if (b.cookie == cookie) {
      to = &b;
      break;
    }
    if (b.used < to->used) to = &b;
  }
  *to = {cookie,
         own(f, kLogDevice),
         own(f, kLogAgent),
         own(f, kLogTls),
         own(f, kLogFamily),
         own(f, kLogSystem),
         own(f, kLogLocale),
         static_cast<uint32_t>(f.t_ms / int64_t(kHour))};
}

// What has waited long enough without a word against it was the owner.
void LoginRiskImpl::settle(Profile& p, int64_t t_ms) {
  for (Profile::Pending& q : p.pending) {
    if (q.t_ms == 0) continue;
    const double after = q.campaign != 0        ? kConfirmedAfterDoubt
                         : q.second_factor != 0 ? kConfirmedAfterFactor
                                                : kConfirmedAfter;
    if (double(t_ms - q.t_ms) < after) continue;
    teach(p, q.value, 1);
    Profile::Binding* to = &p.bindings[0];
    for (Profile::Binding& b : p.bindings)
      if (b.used < to->used) to = &b;
    *to = {q.value[kLogCookie], q.value[kLogDevice], q.value[kLogAgent],  q.value[kLogTls],
           q.value[kLogFamily], q.value[kLogSystem], q.value[kLogLocale], static_cast<uint32_t>(t_ms / int64_t(kHour))};
    q = {};
  }
}

void LoginRiskImpl::decay(int64_t t_ms) {
  if (begun_ms_ == 0) begun_ms_ = now_ms_ = t_ms;
  if (t_ms <= now_ms_) return;
  const double factor = half_life(double(t_ms - now_ms_), kSlowHalf);
  for (double& u : unfamiliar_) u *= factor;
  now_ms_ = t_ms;
}

// How odd what a client does in the account's name is. Changes nothing but what has waited long enough.
LoginRiskImpl::Judged LoginRiskImpl::judge(const Client& client, std::string_view account, bool is_session) {
  constexpr int kNetworkLevels[] = {kLogIp, kLogNet, kLogAsn, kLogCountry};
  constexpr int kClientLevels[] = {kLogDevice, kLogAgent, kLogFamily, kLogSystem};
  constexpr int kLocaleLevels[] = {kLogLocale};
  static const Profile kNobody;
  Judged j;
  j.facts = facts_of(client, account, now_ms_);
  const LoginFacts& f = j.facts;
  j.profile = find_profile(f.account);
  if (j.profile != nullptr) settle(*j.profile, now_ms_);
  const Profile& p = j.profile != nullptr ? *j.profile : kNobody;
  bool known = false;
  auto& g = j.out.factor;
  g[kLoginNetwork] = static_cast<float>(std::clamp(surprise(p, f, kNetworkLevels, 4, 0.3), -5.0, 6.0));
  g[kLoginClient] = static_cast<float>(std::clamp(surprise(p, f, kClientLevels, 4, 0.3), -5.0, 6.0));
  g[kLoginLocale] = static_cast<float>(std::clamp(surprise(p, f, kLocaleLevels, 1, 0.3), -3.0, 3.0));
  bool bound = false;
  g[kLoginCookie] = static_cast<float>(cookie_factor(p, f, is_session, &known, &bound));
  g[kLoginTls] = static_cast<float>(tls_factor(f));
  bool device_known = false;
  for (const Profile::Entry& e : p.known[kLogDevice])
    device_known = device_known || (e.count > 0 && e.value == own(f, kLogDevice));
  j.is_unfamiliar = !bound && !(device_known && !known);
  if (j.is_unfamiliar) j.campaign = campaign_factor(f);
  g[kLoginCampaign] = static_cast<float>(j.campaign);
  // A session may go on from an unconfirmed login. Nothing of that was learned, so it is as unfamiliar as that was.
  const uint32_t cookie = own(f, kLogCookie), device = own(f, kLogDevice);
  for (const Profile::Pending& q : p.pending) {
    if (q.t_ms == 0 || known) continue;  // what the owner's own cookie brings along is judged by itself
    if ((cookie != 0 && q.value[kLogCookie] == cookie) || (device != 0 && q.value[kLogDevice] == device)) {
      const bool is_worse = j.origin < 0 || q.log_odds > p.pending[size_t(j.origin)].log_odds;
      if (is_worse) j.origin = static_cast<int>(&q - p.pending.data());
    }
  }
  g[kLoginOrigin] = j.origin >= 0 && p.pending[size_t(j.origin)].campaign != 0 ? 1.0f : 0.0f;
  return j;
}

void LoginRiskImpl::weigh(LoginScore& out) {
  double log_odds = -8;
  for (size_t i = 0; i < kLoginFactors; ++i) {
    out.factor[i] *= kWeights[i];
    log_odds += static_cast<double>(out.factor[i]);
  }
  out.log_odds = static_cast<float>(log_odds);
  out.score = logistic(log_odds / 3);
}

// What goes on from an unconfirmed login is less odd the longer nobody has complained.
void LoginRiskImpl::go_on(const Profile::Pending& from, LoginScore& out) const {
  const auto days = static_cast<float>(std::max(0.0, double(now_ms_ - from.t_ms)) / kDay);
  const float less = std::min(kQuietDays, days) * kQuietWorth;
  out.factor[kLoginOrigin] -= less;
  out.log_odds -= less;
  out.score = logistic(static_cast<double>(out.log_odds) / 3);
}

LoginScore LoginRiskImpl::login(const Login& login) {
  decay(login.t_ms);
  Judged j = judge(login.client, login.account, login.is_session);
  weigh(j.out);
  if (j.origin >= 0) go_on(j.profile->pending[size_t(j.origin)], j.out);
  const LoginScore& out = j.out;
  const LoginFacts& f = j.facts;
  const double campaign = j.campaign, log_odds = static_cast<double>(out.log_odds);
  const bool unfamiliar = j.is_unfamiliar, is_origin_known = j.origin >= 0;

  // What goes on from a login that was counted is not counted again.
  if (unfamiliar && !is_origin_known) touch_campaign(f);
  if (!login.account_exists) return out;
  if (unfamiliar && !is_origin_known) unfamiliar_[size_t(f.net)] += campaign < 1.5 ? 1 : 0.3;
  if (!login.ok) return out;
  // The first that is seen of an account is taken for its owner's.
  Profile* p = j.profile != nullptr ? j.profile : &profile(f.account);
  const auto c = size_t(f.net);
  if (log_odds < static_cast<double>(kFamiliar) ||
      (p->events < 0.5f && campaign < static_cast<double>(kCampaignDoubt))) {
    std::array<uint32_t, kLogAttributes> value{};
    for (int a = 0; a < kLogAttributes; ++a) value[size_t(a)] = own(f, a);
    seen_[c] += 1;
    for (size_t a = 0; a <= kLogCountry; ++a) {
      bool is_known = false;
      for (const Profile::Entry& e : p->known[a]) is_known = is_known || e.value == value[a];
      novelty_[c][a] += !is_known;
    }
    teach(*p, value, 1);
    bind(*p, f);
    teach_usual(f);
  } else if (!is_origin_known) {
    Profile::Pending* to = &p->pending[0];
    for (Profile::Pending& q : p->pending)
      if (q.t_ms < to->t_ms) to = &q;
    for (int a = 0; a < kLogAttributes; ++a) to->value[size_t(a)] = own(f, a);
    to->t_ms = f.t_ms;
    to->log_odds = static_cast<float>(log_odds);
    to->net = f.net;
    to->second_factor = login.has_second_factor ? 1 : 0;
    to->campaign = campaign > static_cast<double>(kCampaignDoubt) ? 1 : 0;
  }
  return out;
}

// What keeps the owner out, or in the dark, is what an intruder does first.
LoginScore LoginRiskImpl::change(const Change& change) {
  decay(change.t_ms);
  Judged j = judge(change.client, change.account, true);
  j.out.factor[kLoginOrigin] = 0;  // it is another act, not the same one again
  if (j.profile != nullptr && change.kind != ChangeKind::kOther) {
    float worst = kFamiliar;
    for (const Profile::Pending& q : j.profile->pending) {
      if (q.t_ms != 0 && double(now_ms_ - q.t_ms) < kDay) worst = std::max(worst, q.log_odds);
    }
    if (j.origin >= 0) worst = std::max(worst, j.profile->pending[size_t(j.origin)].log_odds + 2);
    j.out.factor[kLoginChange] = std::clamp(0.5f * (worst - kFamiliar), 0.0f, 5.0f);
  }
  weigh(j.out);
  if (j.origin >= 0 && j.out.log_odds > 0 && change.kind != ChangeKind::kOther) {
    Profile::Pending& q = j.profile->pending[size_t(j.origin)];
    j.out.is_takeover = q.told == 0;
    q.told = 1;
  }
  return j.out;
}

void LoginRiskImpl::signup(const Signup& signup) {
  decay(signup.t_ms);
  const LoginFacts f = facts_of(signup.client, signup.account, now_ms_);
  Profile& p = profile(f.account);
  std::array<uint32_t, kLogAttributes> value{};
  for (int a = 0; a < kLogAttributes; ++a) value[size_t(a)] = own(f, a);
  teach(p, value, 1);
  bind(p, f);
}

void LoginRiskImpl::confirm(std::string_view account, bool was_owner, int64_t t_ms) {
  decay(t_ms);
  Profile* p = find_profile(account_key(account));
  if (p == nullptr) return;
  for (Profile::Pending& q : p->pending) {
    if (q.t_ms == 0) continue;
    if (was_owner) teach(*p, q.value, 1);
    q = {};
  }
}

bool LoginRiskImpl::erase(std::string_view account) {
  Profile* p = find_profile(account_key(account));
  if (p == nullptr) return false;
  *p = Profile{};
  return true;
}

enum LoginPiece : uint32_t { kIndexPart = 32, kProfilePart, kCampaignPart, kUsualPart };
constexpr uint32_t kVersion = 3;

template <class Visit>
void LoginRiskImpl::each_table(const Visit& visit) {
  visit(index_, kIndexPart);
  visit(profiles_, kProfilePart);
  visit(campaign_, kCampaignPart);
  visit(usual_.counts(), kUsualPart);
}

void LoginRiskImpl::put_head(std::string& out) const {
  state::put_number(out, kVersion);
  state::put_number(out, free_);
  for (uint64_t n : {uint64_t(index_.segments()), uint64_t(profiles_.size()), uint64_t(campaign_.segments()),
                     uint64_t(usual_.counts().segments())})
    state::put_number(out, n);
  state::put_number(out, begun_ms_);
  state::put_number(out, now_ms_);
  state::put_number(out, unfamiliar_);
  state::put_number(out, novelty_);
  state::put_number(out, seen_);
  usual_.save_head(out);
}

void LoginRiskImpl::begin_snapshot(state::PieceWriter& out, uint32_t part) {
  put_head(out.begin(state::kHeadPiece, part));
  out.end();
  each_table([&](auto& table, uint32_t kind) { table.begin_copy(out, part, kind); });
}

bool LoginRiskImpl::snapshot_piece() {
  bool wrote = false;
  each_table([&](auto& table, uint32_t) { wrote = wrote || table.copy_next(); });
  return wrote;
}

void LoginRiskImpl::end_snapshot() {
  each_table([](auto& table, uint32_t) { table.end_copy(); });
}

base::Status LoginRiskImpl::restore_piece(uint32_t kind, std::string_view body) {
  state::ByteReader in(body);
  base::Status damaged =
      base::invalid("snapshot of login risk: a piece of kind " + std::to_string(kind) + " is damaged or unknown");
  if (kind == state::kHeadPiece) {
    const auto version = in.number<uint32_t>();
    free_ = in.number<uint32_t>();
    std::array<uint64_t, 4> n{};
    for (uint64_t& v : n) v = in.number<uint64_t>();
    if (!in.ok() || version != kVersion || restored_ != 0 || !index_.begin_load(n[0]) ||
        n[1] > 2 * options_.accounts_max + 1000 || !campaign_.begin_load(n[2]) || !usual_.counts().begin_load(n[3]))
      return damaged;
    profiles_.grow(n[1]);
    begun_ms_ = in.number<int64_t>();
    now_ms_ = in.number<int64_t>();
    unfamiliar_ = in.number<decltype(unfamiliar_)>();
    novelty_ = in.number<decltype(novelty_)>();
    seen_ = in.number<decltype(seen_)>();
    restored_ = 1;
    return usual_.load_head(in) && in.left() == 0 ? base::Status{} : damaged;
  }
  if (restored_ == 0) return base::invalid("snapshot of login risk: its head must come first");
  const auto segment = in.number<uint32_t>();
  bool ok = false;
  each_table([&](auto& table, uint32_t of) {
    if (of == kind) ok = in.ok() && table.load(segment, in);
  });
  restored_ += ok;
  return ok && in.left() == 0 ? base::Status{} : damaged;
}

// References that would lead outside are refused, whatever the checksums said.
base::Status LoginRiskImpl::finish_restore() {
  uint64_t segments = 1;
  each_table([&](auto& table, uint32_t) { segments += table.segments(); });
  if (restored_ != segments) return base::invalid("snapshot of login risk: pieces are missing");
  bool ok = index_.finish_load() && campaign_.finish_load() && usual_.counts().finish_load();
  std::vector<bool> used(profiles_.size());
  const auto take = [&](uint32_t place) {
    ok = ok && place < used.size() && !used[place];
    if (ok) used[place] = true;
  };
  index_.for_each([&](uint64_t, uint32_t place) { take(place); });
  for (uint32_t f = free_; f != 0 && ok;) {
    take(f - 1);
    if (ok) f = profiles_[f - 1].next_free;
  }
  for (size_t i = 0; i < profiles_.size() && ok; ++i)
    for (const Profile::Pending& q : profiles_[i].pending) ok = ok && static_cast<int>(q.net) < kNetClasses;
  return ok ? base::Status{} : base::invalid("snapshot of login risk: its tables do not fit each other");
}

uint64_t LoginRiskImpl::digest() const {
  std::string body;
  put_head(body);
  uint64_t h = base::hash64(body);
  auto& self = const_cast<LoginRiskImpl&>(*this);  // only reads
  self.each_table([&](auto& table, uint32_t kind) {
    for (size_t i = 0; i < table.segments(); ++i) {
      body.clear();
      table.save(i, body);
      h = base::combine64(h, base::hash64(body, kind));
    }
  });
  return h;
}

}  // namespace

std::string_view login_factor_name(LoginFactor factor) {
  constexpr std::string_view kNames[] = {"network", "client",   "locale", "cookie",
                                         "tls",     "campaign", "origin", "change"};
  return kNames[factor];
}

std::unique_ptr<LoginRisk> LoginRisk::make(const LoginRiskOptions& options) {
  return std::make_unique<LoginRiskImpl>(options);
}

}  // namespace tamis::detect
