#include "detect/login_risk.h"

#include <algorithm>
#include <cmath>

#include "detect/fast_math.h"
#include "detect/login_impl.h"
#include "detect/signup_facts.h"

namespace tamis::detect {
namespace {

constexpr double kDayMs = 8.64e7;
constexpr float kFamiliar = -4.5f;  // log-odds below which a success teaches at once
constexpr double kConfirmedAfter = 3 * kDayMs;
constexpr double kConfirmedAfterFactor = kDayMs / 2;  // if a second factor was given: it may have been relayed
constexpr float kCampaignDoubt = 3;                   // campaign evidence that time alone does not outweigh
constexpr double kConfirmedAfterDoubt = 14 * kDayMs;
constexpr float kAsked = 3.3f;  // log-odds from which policies ask for a proof (a score of 0.75)

// The factors are not independent: a new device is unknown as a device and as a cookie. What each adds beyond the
// others, by logistic regression on simulated logins, rounded. What goes on from a login that was told of already is
// the same incident, not one more.
constexpr float kWeights[kLoginFactors] = {0.8f, 0.45f, 1.3f, 0.9f, 1, 1.8f, -1.5f, 1};

constexpr float kBase = -8;  // log-odds of anyone

// Of what goes on from an unconfirmed login: log-odds, for it is the same incident; for a day without a word against
// it, and for how many days.
constexpr float kSameIncident = 1;
constexpr float kQuietWorth = 1, kQuietDays = 2.5f;

// Of a client of which people have said that it is not the owner's; and how much odder it is at least than when they
// were asked, whatever it may have taught in the meantime.
constexpr float kOfDisowned = 6, kOdderThanThen = 2;
float of_disowned(const LoginProfile::Pending& then, float log_odds) {
  return std::max(kOfDisowned, then.log_odds + kOdderThanThen - log_odds);
}

// Log-odds of a cookie that nobody has seen. A stolen session brings its cookie along: one without goes on from a login
// that was not seen either.
constexpr double kUnknownInLogin = 2, kUnknownInSession = -2, kUnknownInChange = 1.5;

}  // namespace

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

void LoginRiskImpl::touch_campaign(const LoginFacts& f, float weight) {
  const auto now_s = static_cast<uint32_t>(f.t_ms / 1000);
  for (uint64_t key : campaign_keys(f)) {
    if (key == 0) continue;
    CampaignEntry& e =
        campaign_.at(key, [](const CampaignEntry& c) { return c.slow + static_cast<float>(c.seen_s) * 1e-9f; });
    if (weight == 0 && e.last_account == static_cast<uint32_t>(f.account)) continue;
    const float more = weight == 0 ? 1 : weight;
    const double idle_ms = e.seen_s == 0 ? 0 : std::max(0.0, double(now_s - e.seen_s) * 1e3);
    e.fast = e.fast * static_cast<float>(half_life(idle_ms, kFastHalf)) + more;
    e.slow = e.slow * static_cast<float>(half_life(idle_ms, kSlowHalf)) + more;
    e.seen_s = now_s;
    e.last_account = static_cast<uint32_t>(f.account);
  }
}

void LoginRiskImpl::teach(Profile& p, const OwnValues& value, float weight) {
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

void LoginRiskImpl::bind(Profile& p, const LoginFacts& f) { bind(p, own_values(f), f.t_ms); }

void LoginRiskImpl::bind(Profile& p, const OwnValues& value, int64_t t_ms) {
  const uint32_t cookie = value[kLogCookie];
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
         value[kLogDevice],
         value[kLogAgent],
         value[kLogTls],
         value[kLogFamily],
         value[kLogSystem],
         value[kLogZone],
         static_cast<uint32_t>(t_ms / int64_t(kHour))};
}

// Where a login waits until it is confirmed: of the places in use the oldest, and not one that keeps an intruder out.
LoginProfile::Pending& LoginRiskImpl::place_to_wait(Profile& p) {
  Profile::Pending* to = &p.pending[0];
  const auto rank = [](const Profile::Pending& q) { return std::pair(q.has(Profile::kDisowned), q.t_ms); };
  for (Profile::Pending& q : p.pending)
    if (rank(q) < rank(*to)) to = &q;
  return *to;
}

// By its cookie and its device; where neither can be compared by its address. A stolen cookie comes on another device.
bool LoginRiskImpl::is_same_client(const Profile::Pending& q, const OwnValues& value) {
  bool is_known = false;
  for (int a : {kLogCookie, kLogDevice}) {
    const uint32_t is = value[size_t(a)], was = q.value[size_t(a)];
    if (is == 0 || was == 0) continue;
    if (is != was) return false;
    is_known = true;
  }
  return is_known || (value[kLogIp] != 0 && value[kLogIp] == q.value[kLogIp]);
}

// How long silence has to last. Where something speaks against the login, or where it was so odd that a proof was asked
// for and nothing tells that whoever it was came in, silence says little.
double LoginRiskImpl::confirmed_after(const Profile::Pending& q) {
  if (q.campaign != 0 || q.has(Profile::kTold | Profile::kDenied)) return kConfirmedAfterDoubt;
  if (q.log_odds < kAsked) return q.second_factor != 0 ? kConfirmedAfterFactor : kConfirmedAfter;
  return q.has(Profile::kUsed) ? kConfirmedAfter : kConfirmedAfterDoubt;
}

// What has waited long enough without a word against it was the owner.
void LoginRiskImpl::settle(Profile& p, int64_t t_ms) {
  for (Profile::Pending& q : p.pending) {
    if (q.t_ms == 0 || double(t_ms - q.t_ms) < confirmed_after(q)) continue;
    if (q.has(Profile::kDenied)) {
      q = {};
      continue;
    }
    teach(p, q.value, 1);
    Profile::Binding* to = &p.bindings[0];
    for (Profile::Binding& b : p.bindings)
      if (b.used < to->used) to = &b;
    *to = {q.value[kLogCookie], q.value[kLogDevice], q.value[kLogAgent], q.value[kLogTls],
           q.value[kLogFamily], q.value[kLogSystem], q.value[kLogZone],  static_cast<uint32_t>(t_ms / int64_t(kHour))};
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
LoginRiskImpl::Judged LoginRiskImpl::judge(const Client& client, std::string_view account, double unknown_cookie) {
  constexpr int kNetworkLevels[] = {kLogIp, kLogNet, kLogAsn, kLogCountry};
  constexpr int kClientLevels[] = {kLogDevice, kLogAgent, kLogFamily, kLogSystem};
  constexpr int kLocaleLevels[] = {kLogLocale, kLogZone};
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
  g[kLoginLocale] = static_cast<float>(std::clamp(surprise(p, f, kLocaleLevels, 2, 0.3), -3.0, 3.0));
  bool bound = false;
  g[kLoginCookie] = static_cast<float>(cookie_factor(p, f, unknown_cookie, &known, &bound));
  // Who has stolen a cookie knows the language and the time zone that go with it.
  if (known && g[kLoginCookie] > 1) g[kLoginLocale] = std::max(g[kLoginLocale], -0.5f);
  g[kLoginTls] = static_cast<float>(tls_factor(f));
  bool device_known = false;
  for (const Profile::Entry& e : p.known[kLogDevice])
    device_known = device_known || (e.count > 0 && e.value == own(f, kLogDevice));
  // Who aims at many accounts does not sit where each of their owners does.
  j.is_unfamiliar = !bound && !(device_known && !known) && !is_at_home(p, f);
  if (j.is_unfamiliar) j.campaign = campaign_factor(f);
  g[kLoginCampaign] = static_cast<float>(j.campaign);
  // A session may go on from an unconfirmed login. Nothing of that was learned, so it is as unfamiliar as that was.
  const uint32_t cookie = own(f, kLogCookie), device = own(f, kLogDevice);
  const OwnValues value = own_values(f);
  for (const Profile::Pending& q : p.pending) {
    if (q.t_ms != 0 && q.has(Profile::kDisowned) && is_same_client(q, value)) {
      j.disowned = &j.profile->pending[size_t(&q - p.pending.data())];
    }
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
  double log_odds = static_cast<double>(out.base = kBase);
  for (size_t i = 0; i < kLoginFactors; ++i) {
    out.factor[i] *= kWeights[i];
    log_odds += static_cast<double>(out.factor[i]);
  }
  out.log_odds = static_cast<float>(log_odds);
  out.score = logistic(log_odds / kScoreOf);
}

void LoginRiskImpl::add(LoginScore& out, LoginFactor factor, float log_odds) {
  out.factor[factor] += log_odds;
  out.log_odds += log_odds;
  out.score = logistic(static_cast<double>(out.log_odds) / kScoreOf);
}

// What goes on from an unconfirmed login is less odd the longer nobody has complained.
void LoginRiskImpl::go_on(const Profile::Pending& from, LoginScore& out) const {
  if (from.has(Profile::kDenied | Profile::kDisowned)) return;
  const auto days = static_cast<float>(std::max(0.0, double(now_ms_ - from.t_ms)) / kDay);
  add(out, kLoginOrigin, -(kSameIncident + std::min(kQuietDays, days) * kQuietWorth));
}

LoginScore LoginRiskImpl::login(const Login& login) {
  decay(login.t_ms);
  Judged j = judge(login.client, login.account, login.is_session ? kUnknownInSession : kUnknownInLogin);
  weigh(j.out);
  if (j.disowned != nullptr) add(j.out, kLoginOrigin, of_disowned(*j.disowned, j.out.log_odds));
  // Whether it teaches is asked of it as the first time: to try again confirms nothing.
  const double campaign = j.campaign, log_odds = static_cast<double>(j.out.log_odds);
  if (j.origin >= 0) {
    Profile::Pending& from = j.profile->pending[size_t(j.origin)];
    go_on(from, j.out);
    if (login.is_session && j.out.log_odds < kAsked) from.flags |= Profile::kUsed;
  }
  const LoginScore& out = j.out;
  const LoginFacts& f = j.facts;
  const bool unfamiliar = j.is_unfamiliar, is_origin_known = j.origin >= 0 || j.disowned != nullptr;

  // What goes on from a login that was counted is not counted again.
  if (unfamiliar && !is_origin_known) touch_campaign(f);
  if (!login.account_exists) return out;
  if (unfamiliar && !is_origin_known) unfamiliar_[size_t(f.net)] += campaign < 1.5 ? 1 : 0.3;
  const bool is_familiar = j.disowned == nullptr && log_odds < static_cast<double>(kFamiliar);
  if (!is_familiar && (login.ok || login.second_factor_failed)) remember(login.event, f, static_cast<float>(log_odds));
  if (!login.ok) return out;
  // As long as it comes, it stays disowned.
  if (j.disowned != nullptr) {
    j.disowned->t_ms = now_ms_;
    return out;
  }
  // The first that is seen of an account is taken for its owner's.
  Profile* p = j.profile != nullptr ? j.profile : &profile(f.account);
  const auto c = size_t(f.net);
  if (is_familiar || (p->events < 0.5f && campaign < static_cast<double>(kCampaignDoubt))) {
    const OwnValues value = own_values(f);
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
    Profile::Pending& to = place_to_wait(*p);
    to.value = own_values(f);
    to.t_ms = f.t_ms;
    to.log_odds = static_cast<float>(log_odds);
    to.net = f.net;
    to.second_factor = login.has_second_factor ? 1 : 0;
    to.campaign = campaign > static_cast<double>(kCampaignDoubt) ? 1 : 0;
  }
  return out;
}

// What keeps the owner out, or in the dark, is what an intruder does first.
LoginScore LoginRiskImpl::change(const Change& change) {
  decay(change.t_ms);
  Judged j = judge(change.client, change.account, kUnknownInChange);
  j.out.factor[kLoginOrigin] = 0;  // it is another act, not the same one again
  if (j.profile != nullptr && change.kind != ChangeKind::kOther) {
    float worst = kFamiliar;
    for (const Profile::Pending& q : j.profile->pending) {
      const bool is_over = q.has(Profile::kDisowned) && &q != j.disowned;  // the owner knows of it
      if (q.t_ms != 0 && !is_over && double(now_ms_ - q.t_ms) < kDay) worst = std::max(worst, q.log_odds);
    }
    if (j.origin >= 0) worst = std::max(worst, j.profile->pending[size_t(j.origin)].log_odds + 2);
    j.out.factor[kLoginChange] = std::clamp(0.5f * (worst - kFamiliar), 0.0f, 5.0f);
  }
  weigh(j.out);
  if (j.disowned != nullptr) add(j.out, kLoginOrigin, of_disowned(*j.disowned, j.out.log_odds));
  if (change.kind != ChangeKind::kOther && j.out.log_odds >= kFamiliar) remember(change.event, j.facts, j.out.log_odds);
  if (j.origin >= 0 && j.out.log_odds > 0 && change.kind != ChangeKind::kOther) {
    Profile::Pending& q = j.profile->pending[size_t(j.origin)];
    j.out.is_takeover = !q.has(Profile::kTold);
    q.flags |= Profile::kTold;
  }
  return j.out;
}

void LoginRiskImpl::signup(const Signup& signup) {
  decay(signup.t_ms);
  const LoginFacts f = facts_of(signup.client, signup.account, now_ms_);
  Profile& p = profile(f.account);
  teach(p, own_values(f), 1);
  bind(p, f);
}

// Who vouches for one client says nothing of another: an intruder may wait beside the owner. The same client is known
// by its cookie; where one of them has none by its device, and then by its address.
void LoginRiskImpl::confirm(const Confirmation& confirmation) {
  decay(confirmation.t_ms);
  const LoginFacts f = facts_of(confirmation.client, confirmation.account, now_ms_);
  Profile* p = find_profile(f.account);
  if (p == nullptr) return;
  const auto is_same = [&](const Profile::Pending& q) {
    for (int a : {kLogCookie, kLogDevice, kLogIp})
      if (own(f, a) != 0 && q.value[size_t(a)] != 0) return own(f, a) == q.value[size_t(a)];
    return false;
  };
  const bool is_about_all = own(f, kLogCookie) == 0 && own(f, kLogDevice) == 0 && own(f, kLogIp) == 0;
  bool found = is_about_all;
  for (Profile::Pending& q : p->pending) {
    if (q.t_ms == 0 || (!is_about_all && !is_same(q))) continue;
    found = true;
    if (confirmation.was_owner) {
      teach(*p, q.value, 1);
      q = {};
    } else {
      q.flags |= Profile::kDenied;
    }
  }
  if (found || !confirmation.was_owner) return;
  teach(*p, own_values(f), 1);
  if (own(f, kLogFamily) != 0) bind(*p, f);  // of a cookie alone nobody can tell when it is somewhere else
}

std::string_view login_factor_name(LoginFactor factor) {
  constexpr std::string_view kNames[] = {"network", "client",   "locale", "cookie",
                                         "tls",     "campaign", "origin", "change"};
  return kNames[factor];
}

std::unique_ptr<LoginRisk> LoginRisk::make(const LoginRiskOptions& options) {
  return std::make_unique<LoginRiskImpl>(options);
}

}  // namespace tamis::detect
