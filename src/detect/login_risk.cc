#include "detect/login_risk.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
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
constexpr float kWeights[kLoginFactors] = {0.8f, 0.45f, 1.3f, 0.9f, 1, 1.8f, -1.5f};

constexpr int kCampaignKeys = 8;

uint32_t hash2(std::string_view a, std::string_view b = {}) {
  if (a.empty() && b.empty()) return 0;
  return static_cast<uint32_t>(base::combine64(base::hash64(a), base::hash64(b))) | 1u;
}

float familiarity_of(const LoginProfile& p) { return p.events; }

class LoginRiskImpl final : public LoginRisk {
 public:
  explicit LoginRiskImpl(const LoginRiskOptions& options)
      : options_(options),
        profiles_(options.accounts_max),
        campaign_(options.campaign_keys_max),
        usual_({1e6, 1e5, 2000, 100, 8000, 300, 30, 8, 100, 20, 1e6}, kNetClasses, options.values_max) {}

  LoginScore login(const Login& login) override;
  void signup(const Signup& signup) override;
  void confirm(std::string_view account, bool was_owner, int64_t t_ms) override;
  bool erase(std::string_view account) override;
  uint64_t bytes() const override { return profiles_.bytes() + campaign_.bytes() + usual_.bytes(); }
  void save(const PieceSink& sink) const override;
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  uint64_t digest() const override;

 private:
  using Profile = LoginProfile;

  LoginFacts facts_of(const Client& client, std::string_view account, int64_t t_ms) const;
  uint32_t own(const LoginFacts& f, int attribute) const {
    const uint32_t v = f.value[size_t(attribute)];
    return v == 0 ? 0 : static_cast<uint32_t>(base::combine64(v ^ options_.secret, f.account)) | 1u;
  }
  // Minus the log-likelihood under the user plus that under anyone, going down a hierarchy from fine to coarse.
  double surprise(const Profile& p, const LoginFacts& f, const int* levels, int count, double targeted) const;
  double cookie_factor(const Profile& p, const LoginFacts& f, bool is_session, bool* known, bool* bound) const;
  double tls_factor(const LoginFacts& f) const;
  std::array<uint64_t, kCampaignKeys> campaign_keys(const LoginFacts& f) const;
  double campaign_factor(const LoginFacts& f) const;
  void touch_campaign(const LoginFacts& f);
  void teach(Profile& p, const std::array<uint32_t, kLogAttributes>& own_value, float weight);
  void teach_usual(const LoginFacts& f);
  void bind(Profile& p, const LoginFacts& f);
  void settle(Profile& p, int64_t t_ms);
  void decay(int64_t t_ms);

  LoginRiskOptions options_;
  KeyedTable<Profile> profiles_;
  KeyedTable<CampaignEntry> campaign_;
  Frequencies usual_;
  // Honest unfamiliar attempts by class: learned slowly, from those that nothing else spoke against.
  std::array<double, kNetClasses> unfamiliar_{};
  std::array<std::array<double, 4>, kNetClasses> novelty_{};  // of network levels: how often new, among confirmed
  std::array<double, kNetClasses> seen_{};
  int64_t begun_ms_ = 0, now_ms_ = 0;
};

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
      return log_odds + std::log((1 - share) * anyone + share) - std::log(mine);
    }
    // Escape (Witten and Bell, 1991), with the class's own rate of novelty as prior.
    double rate = 0.3;
    if (a <= kLogCountry) {
      const auto c = size_t(f.net);
      rate = (novelty_[c][size_t(a)] + 2 * 0.3) / (seen_[c] + 2);
    }
    const double novel = distinct + 3 * rate + 0.02;
    const double escape = novel / (n + novel);  // 1 if nothing is known of the account
    log_odds -= std::log(std::min(1.0, escape));
  }
  return log_odds;
}

double LoginRiskImpl::cookie_factor(const Profile& p, const LoginFacts& f, bool is_session, bool* known,
                                    bool* bound) const {
  *known = *bound = false;
  const uint32_t cookie = own(f, kLogCookie);
  if (cookie == 0) return 0;
  for (const Profile::Binding& b : p.bindings) {
    if (b.cookie != cookie) continue;
    *known = true;
    // The same browser on the same system is bound; a new version changes the device's fingerprint, not these.
    const bool same_device = b.device == own(f, kLogDevice), same_family = b.family == own(f, kLogFamily);
    const bool same_system = b.system == own(f, kLogSystem), same_locale = b.locale == own(f, kLogLocale);
    *bound = same_device || (same_family && same_locale);
    if (same_device) return -4;
    if (same_family && same_locale) return -2.5;
    if (same_family) {
      // Some browsers change their fingerprint and locale by design: then this account has shown many.
      const double changing = static_cast<double>(p.distinct[kLogDevice]) / static_cast<double>(p.events + 1);
      return 3.4 * std::max(0.0, 1 - 3 * changing);
    }
    return same_system ? (same_locale ? 5 : 7) : (same_locale ? 6 : 8);
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
  return std::clamp(std::log(0.02 / std::min(1.0, pair / family)), 0.0, 4.0);
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
  const double slow_ms = kSlowHalf / M_LN2 * (1 - std::exp2(-age_ms / kSlowHalf));
  const double fast_ms = kFastHalf / M_LN2 * (1 - std::exp2(-age_ms / kFastHalf));
  double best = 0;
  for (size_t k = 0; k < kCampaignKeys; ++k) {
    if (keys[k] == 0) continue;
    const CampaignEntry* e = campaign_.find(keys[k]);
    if (e == nullptr) continue;
    const double idle_ms = std::max(0.0, double(f.t_ms) - double(e->seen_s) * 1e3);
    const double mine = e->last_account == static_cast<uint32_t>(f.account) ? 1 : 0;
    const double slow = static_cast<double>(e->slow) * std::exp2(-idle_ms / kSlowHalf) - mine;
    const double fast = static_cast<double>(e->fast) * std::exp2(-idle_ms / kFastHalf) - mine;
    const double expected = expected_slow[k];
    best = std::max(best, std::log((slow + 0.15) / (expected + 0.15)));
    best = std::max(best, std::log((fast + 0.15) / (expected * fast_ms / slow_ms + 0.15)));
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
    e.fast = e.fast * static_cast<float>(std::exp2(-idle_ms / kFastHalf)) + 1;
    e.slow = e.slow * static_cast<float>(std::exp2(-idle_ms / kSlowHalf)) + 1;
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
    *to = {q.value[kLogCookie], q.value[kLogDevice], q.value[kLogFamily],
           q.value[kLogSystem], q.value[kLogLocale], static_cast<uint32_t>(t_ms / int64_t(kHour))};
    q = {};
  }
}

void LoginRiskImpl::decay(int64_t t_ms) {
  if (begun_ms_ == 0) begun_ms_ = now_ms_ = t_ms;
  if (t_ms <= now_ms_) return;
  const double factor = std::exp2(-double(t_ms - now_ms_) / kSlowHalf);
  for (double& u : unfamiliar_) u *= factor;
  now_ms_ = t_ms;
}

LoginScore LoginRiskImpl::login(const Login& login) {
  decay(login.t_ms);
  const LoginFacts f = facts_of(login.client, login.account, now_ms_);
  constexpr int kNetworkLevels[] = {kLogIp, kLogNet, kLogAsn, kLogCountry};
  constexpr int kClientLevels[] = {kLogDevice, kLogAgent, kLogFamily, kLogSystem};
  constexpr int kLocaleLevels[] = {kLogLocale};
  LoginScore out;
  Profile* p = profiles_.find(f.account);
  Profile fresh;
  if (p == nullptr) p = &fresh;
  settle(*p, now_ms_);
  bool known = false, bound = false;
  auto& g = out.factor;
  g[kLoginNetwork] = static_cast<float>(std::clamp(surprise(*p, f, kNetworkLevels, 4, 0.3), -5.0, 6.0));
  g[kLoginClient] = static_cast<float>(std::clamp(surprise(*p, f, kClientLevels, 4, 0.3), -5.0, 6.0));
  g[kLoginLocale] = static_cast<float>(std::clamp(surprise(*p, f, kLocaleLevels, 1, 0.3), -3.0, 3.0));
  g[kLoginCookie] = static_cast<float>(cookie_factor(*p, f, login.is_session, &known, &bound));
  g[kLoginTls] = static_cast<float>(tls_factor(f));
  bool device_known = false;
  for (const Profile::Entry& e : p->known[kLogDevice])
    device_known = device_known || (e.count > 0 && e.value == own(f, kLogDevice));
  const bool unfamiliar = !bound && !(device_known && !known);
  double campaign = 0;
  if (unfamiliar) campaign = campaign_factor(f);
  g[kLoginCampaign] = static_cast<float>(campaign);
  // A session may go on from an unconfirmed login. Nothing of that was learned, so it is as unfamiliar as that was.
  const uint32_t cookie = own(f, kLogCookie), device = own(f, kLogDevice);
  const Profile::Pending* origin = nullptr;
  for (const Profile::Pending& q : p->pending) {
    if (q.t_ms == 0 || known) continue;  // what the owner's own cookie brings along is judged by itself
    if ((cookie != 0 && q.value[kLogCookie] == cookie) || (device != 0 && q.value[kLogDevice] == device))
      if (origin == nullptr || q.log_odds > origin->log_odds) origin = &q;
  }
  g[kLoginOrigin] = origin != nullptr && origin->campaign != 0 ? 1.0f : 0.0f;
  double log_odds = -8;
  for (size_t i = 0; i < kLoginFactors; ++i) {
    g[i] *= kWeights[i];
    log_odds += static_cast<double>(g[i]);
  }
  out.log_odds = static_cast<float>(log_odds);
  out.score = 1 / (1 + std::exp(-log_odds / 3));

  // What goes on from a login that was counted is not counted again.
  if (unfamiliar && origin == nullptr) touch_campaign(f);
  if (!login.account_exists) return out;
  if (unfamiliar && origin == nullptr) unfamiliar_[size_t(f.net)] += campaign < 1.5 ? 1 : 0.3;
  if (!login.ok) return out;
  if (p == &fresh) {
    // The first that is seen of an account is taken for its owner's.
    p = &profiles_.at(f.account, familiarity_of);
    *p = fresh;
  }
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
  } else if (origin == nullptr) {
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

void LoginRiskImpl::signup(const Signup& signup) {
  decay(signup.t_ms);
  const LoginFacts f = facts_of(signup.client, signup.account, now_ms_);
  Profile& p = profiles_.at(f.account, familiarity_of);
  std::array<uint32_t, kLogAttributes> value{};
  for (int a = 0; a < kLogAttributes; ++a) value[size_t(a)] = own(f, a);
  teach(p, value, 1);
  bind(p, f);
}

void LoginRiskImpl::confirm(std::string_view account, bool was_owner, int64_t t_ms) {
  decay(t_ms);
  Profile* p = profiles_.find(account_key(account));
  if (p == nullptr) return;
  for (Profile::Pending& q : p->pending) {
    if (q.t_ms == 0) continue;
    if (was_owner) teach(*p, q.value, 1);
    q = {};
  }
}

bool LoginRiskImpl::erase(std::string_view account) {
  Profile* p = profiles_.find(account_key(account));
  if (p == nullptr) return false;
  *p = Profile{};
  return true;
}

enum LoginPiece : uint32_t { kHead = 1, kProfilePart = 32, kCampaignPart, kUsualPart };

void LoginRiskImpl::save(const PieceSink& sink) const {
  std::string body;
  state::put_number(body, uint32_t{1});
  state::put_number(body, begun_ms_);
  state::put_number(body, now_ms_);
  state::put_number(body, unfamiliar_);
  state::put_number(body, novelty_);
  state::put_number(body, seen_);
  sink(kHead, body);
  const auto shards = [&](uint32_t kind, uint32_t count, const auto& save_one) {
    for (uint32_t i = 0; i < count; ++i) {
      body.clear();
      state::put_number(body, i);
      save_one(i);
      sink(kind, body);
    }
  };
  shards(kProfilePart, KeyedTable<Profile>::kShards, [&](uint32_t i) { profiles_.save_shard(i, body); });
  shards(kCampaignPart, KeyedTable<CampaignEntry>::kShards, [&](uint32_t i) { campaign_.save_shard(i, body); });
  shards(kUsualPart, Frequencies::kPieces, [&](uint32_t i) { usual_.save(i, body); });
}

base::Status LoginRiskImpl::restore_piece(uint32_t kind, std::string_view body) {
  state::ByteReader in(body);
  const auto number = in.number<uint32_t>();
  const bool is_shard = in.ok() && number < KeyedTable<Profile>::kShards;
  bool ok = false;
  switch (kind) {
    case kHead:
      begun_ms_ = in.number<int64_t>();
      now_ms_ = in.number<int64_t>();
      unfamiliar_ = in.number<decltype(unfamiliar_)>();
      novelty_ = in.number<decltype(novelty_)>();
      seen_ = in.number<decltype(seen_)>();
      ok = number == 1;
      break;
    case kProfilePart:
      ok = is_shard && profiles_.load_shard(number, in);
      break;
    case kCampaignPart:
      ok = is_shard && campaign_.load_shard(number, in);
      break;
    case kUsualPart:
      ok = in.ok() && number < Frequencies::kPieces && usual_.load(number, in);
      break;
    default:
      break;
  }
  if (ok && in.ok() && in.left() == 0) return {};
  return base::invalid("snapshot of login risk: a piece of kind " + std::to_string(kind) + " is damaged or unknown");
}

uint64_t LoginRiskImpl::digest() const {
  uint64_t h = 0;
  save([&h](uint32_t kind, std::string_view body) { h = base::combine64(h, base::hash64(body, kind)); });
  return h;
}

}  // namespace

std::string_view login_factor_name(LoginFactor factor) {
  constexpr std::string_view kNames[] = {"network", "client", "locale", "cookie", "tls", "campaign", "origin"};
  return kNames[factor];
}

std::unique_ptr<LoginRisk> LoginRisk::make(const LoginRiskOptions& options) {
  return std::make_unique<LoginRiskImpl>(options);
}

}  // namespace tamis::detect
