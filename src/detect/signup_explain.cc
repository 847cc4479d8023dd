// What people are told of clusters, and what they say of them.
#include <algorithm>

#include "base/hash.h"
#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr uint64_t kLookedAtMax = 20'000;  // accounts in one call of members(): a millisecond at most
constexpr float kConfirmed = 4;            // log-odds
constexpr float kByDeeds = 2;              // log-odds of each view of a cluster by deeds, as people are told

struct Shown {
  Attribute attribute;
  View view;
  std::string_view name;
};
constexpr Shown kShown[] = {
    {kShape, kLexical, "name_shape"},
    {kFine, kLexical, "name_lengths"},
    {kStyle, kLexical, "name_style"},
    {kStem, kLexical, "name_stem"},
    {kDevice, kDeviceView, "device"},
    {kHardware, kDeviceView, "hardware"},
    {kAgent, kDeviceView, "user_agent"},
    {kCarried, kDeviceView, "cookie_carried"},
    {kNetwork, kNetworkView, "network"},
    {kAsn, kNetworkView, "provider"},
    {kLocale, kLocaleView, "locale"},
    {kRecovery, kRecoveryView, "recovery_domain"},
    {kForm, kBehaviour, "form"},
    {kTries, kBehaviour, "captcha_tries"},
    {kMailbox, kReuse, "recovery_mailbox"},
    {kCookie, kReuse, "device_cookie"},
};

}  // namespace

ClusterFacts SignupClustersImpl::facts_of(const Cluster& c) const {
  ClusterFacts out;
  out.id = c.id;
  out.members = c.model.members();
  out.first_ms = c.first_ms, out.last_ms = c.last_ms, out.acted_ms = c.acted_ms;
  const double since_ms = std::max(0.0, double(now_ms_ - c.last_ms));
  const double life_ms = std::max(0.0, double(now_ms_ - c.first_ms)) + kHour;
  const auto pace = [&](double count, double half) {
    return count * half_life(since_ms, half) / std::min(life_ms, half / M_LN2);
  };
  out.per_day = std::max(pace(c.fast, kFastHalf), pace(c.slow, kSlowHalf)) * kDay;
  out.suppressed_until_ms = is_suppressed(c) ? c.suppressed_until_ms : 0;
  out.is_confirmed = c.is_confirmed != 0;
  for (size_t v = 0; v < kViews; ++v) out.view[v] = c.view[v] / static_cast<float>(c.joined + 2);
  out.aftermath = static_cast<float>(aftermath_of(c));
  out.bad = c.bad, out.good = c.good;
  out.active = c.active, out.ill = c.ill;
  out.spread_fill = c.model.spread(kFill);
  // Of what was gathered by deeds alone people are told what it stands on: what the members do, and what they reuse.
  if (c.joined == 0 && c.aftermath >= kGathered) out.view[kBehaviour] = out.view[kReuse] = kByDeeds;
  out.log_odds = guilt_of(c, &out.part);
  out.score = is_suppressed(c) ? 0 : logistic(out.log_odds);
  return out;
}

void SignupClustersImpl::visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const {
  for (size_t i = 0; i < clusters_.size(); ++i) visit(facts_of(clusters_[i]));
}

std::optional<ClusterFacts> SignupClustersImpl::facts(uint64_t id) const {
  uint32_t& place = found_at_[id % found_at_.size()];
  if (place >= clusters_.size() || clusters_[place].id != id) place = static_cast<uint32_t>(place_of(id));
  if (place >= clusters_.size()) return std::nullopt;
  return facts_of(clusters_[place]);
}

size_t SignupClustersImpl::place_of(uint64_t id) const {
  size_t i = 0;
  while (i < clusters_.size() && clusters_[i].id != id) ++i;
  return i;
}

ClusterMember SignupClustersImpl::member_of(const Account& a, ClusterRef cluster) const {
  ClusterMember m;
  m.account = a.facts.account;
  m.t_ms = a.facts.t_ms;
  m.acted_ms = reached_ms(a);
  m.score = a.score, m.log_odds = a.log_odds;
  m.by_deeds = a.later == cluster;
  return m;
}

std::optional<ClusterPage> SignupClustersImpl::cluster(uint64_t id) const {
  const size_t place = place_of(id);
  if (place == clusters_.size()) return std::nullopt;
  const Cluster& c = clusters_[place];
  ClusterPage page;
  page.facts = facts_of(c);
  double all = 0;
  for (size_t n = 0; n < kNetClasses; ++n) {
    page.by_class[n] = static_cast<double>(c.by_class[n]);
    all += page.by_class[n];
  }
  for (const Shown& shown : kShown) {
    const ClusterModel::Top top = c.model.top(shown.attribute);
    if (top.value == 0) continue;
    ClusterShare share;
    share.attribute = shown.name, share.view = shown.view;
    share.of = c.model.seen(shown.attribute);
    share.observed = share.of * top.share;
    share.values = c.model.distinct_in_pool(shown.attribute);
    for (size_t n = 0; n < kNetClasses && all > 0; ++n) {
      if (page.by_class[n] <= 0) continue;
      SignupFacts facts;
      facts.net = static_cast<NetClass>(n);
      facts.value[shown.attribute] = top.value;
      share.expected +=
          share.of * page.by_class[n] / all * background_.p(shown.attribute, facts, background_keys(facts));
    }
    page.shared.push_back(share);
  }
  const auto telling = [](const ClusterShare& s) {
    return s.observed <= s.expected ? 0 : s.observed * fast_log(s.observed / std::max(s.expected, 1e-9));
  };
  std::stable_sort(page.shared.begin(), page.shared.end(),
                   [&](const ClusterShare& a, const ClusterShare& b) { return telling(a) > telling(b); });
  constexpr std::string_view kTimes[] = {"fill_ms", "captcha_ms"};
  for (Measure m : {kFill, kCaptcha})
    if (c.model.measured(m) > 0)
      page.times.push_back({kTimes[m], c.model.measured(m), c.model.typical_ms(m), c.model.spread(m)});
  for (const auto& numbers : {c.first, c.last})
    for (uint32_t number : numbers)
      if (number != 0 && is_live(number - 1)) page.exemplars.push_back(member_of(at(number - 1), c.ref));
  return page;
}

MemberPage SignupClustersImpl::members(uint64_t id, uint64_t from, size_t limit) const {
  MemberPage page;
  const size_t place = place_of(id);
  if (place == clusters_.size()) return page;
  const ClusterRef ref = clusters_[place].ref;
  const uint64_t oldest = next_ - accounts_.size();
  uint64_t number = std::max(from, oldest);
  for (uint64_t looked = 0; number < next_ && looked < kLookedAtMax && page.members.size() < limit;
       ++looked, ++number) {
    const Account& a = at(number);
    if (a.cluster != ref && a.later != ref) continue;
    page.members.push_back(member_of(a, ref));
    page.facts.push_back(a.facts);
  }
  page.next = number < next_ ? number : 0;
  return page;
}

bool SignupClustersImpl::suppress(uint64_t id, int64_t until_ms) {
  const size_t place = place_of(id);
  if (place == clusters_.size()) return false;
  Cluster& c = clusters_.change(place);
  c.suppressed_until_ms = until_ms;
  if (until_ms > now_ms_) c.is_confirmed = 0;
  return true;
}

base::Status SignupClustersImpl::use_head(std::shared_ptr<const model::Trees> head) {
  if (head != nullptr) {
    bool same = head->features().size() == kSignupFeatures;
    for (size_t f = 0; f < kSignupFeatures && same; ++f)
      same = head->features()[f] == signup_feature_name(SignupFeature(f));
    if (!same) return base::invalid("the trees were trained on other features than those of signups");
  }
  head_ = std::move(head);
  return {};
}

bool SignupClustersImpl::confirm(uint64_t id) {
  const size_t place = place_of(id);
  if (place == clusters_.size()) return false;
  Cluster& c = clusters_.change(place);
  c.is_confirmed = 1;
  c.suppressed_until_ms = 0;
  c.aftermath = std::max(c.aftermath, kConfirmed);
  if (c.acted_ms == 0) c.acted_ms = now_ms_;
  return true;
}

}  // namespace tamis::detect
