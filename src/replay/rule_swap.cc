#include "replay/rule_swap.h"

#include <algorithm>

#include "engine/settle.h"

namespace tamis::replay {
namespace {

// Sets of rules that acted, beyond which the cache starts anew.
constexpr size_t kActedMax = 100'000;

std::string_view verdict_name(const policy::EventType& type, int32_t rank) {
  return rank < 0 ? std::string_view() : std::string_view(type.ladder[static_cast<size_t>(rank)]);
}

// The points of a rule where they are the same for every event.
bool constant_points(const policy::EventType& type, const policy::Rule& rule, double& points) {
  points = 0;
  if (rule.points == cel::kNoNode) return true;
  cel::Plan::HostReads host = type.plan.host_reads(rule.points);
  if (host.labels || !host.lists.empty() || !type.plan.slots_read(rule.points).empty()) return false;
  base::Arena arena;
  cel::Frame frame(type.plan);
  std::vector<event::Value> slots(static_cast<size_t>(type.slot_count));
  frame.begin(slots.data(), arena, nullptr);
  points = engine::number_or(type.plan.eval(rule.points, frame), 0);
  return true;
}

}  // namespace

PastPolicies::PastPolicies(std::shared_ptr<const policy::Policy> current, Find find)
    : current_(std::move(current)), find_(std::move(find)) {}

const policy::Policy* PastPolicies::of(std::string_view version) {
  if (version == current_->version) return current_.get();
  std::lock_guard lock(mutex_);
  auto found = known_.find(version);
  if (found == known_.end()) {
    found = known_.emplace(std::string(version), find_ ? find_(version) : nullptr).first;
  }
  return found->second.get();
}

RuleSwap::RuleSwap(const policy::EventType& type, uint32_t rule, PastPolicies& past,
                   const std::vector<uint32_t>* askable)
    : type_(type), rule_(type.rules[rule]), past_(past) {
  for (uint32_t i = 0; i < type.rules.size(); ++i) {
    Worth worth;
    worth.place = i;
    worth.verdict = type.rules[i].verdict;
    if (!constant_points(type, type.rules[i], worth.points)) {
      bool can = askable == nullptr || std::find(askable->begin(), askable->end(), i) != askable->end();
      worth.ask = can ? static_cast<int32_t>(i) : -1;
      worth.unknown = !can;
    }
    own_.push_back(worth);
  }
}

bool RuleSwap::names_rule(std::string_view ids) const {
  for (size_t at = 0; at < ids.size();) {
    size_t end = std::min(ids.find('\n', at), ids.size());
    if (ids.substr(at, end - at) == rule_.id) return true;
    at = end + 1;
  }
  return false;
}

RuleSwap::Worth RuleSwap::worth_of(const policy::EventType& base, uint32_t place) const {
  if (&base == &type_) return own_[place];
  const policy::Rule& rule = base.rules[place];
  Worth worth;
  worth.place = place;
  worth.verdict = rule.verdict;
  if (constant_points(base, rule, worth.points)) return worth;
  std::string text = base.plan.text(rule.points);
  for (const Worth& own : own_) {
    const policy::Rule& now = type_.rules[own.place];
    if (own.ask < 0 || now.id != rule.id || now.points == cel::kNoNode) continue;
    if (type_.plan.text(now.points) == text) worth.ask = own.ask;
  }
  worth.unknown = worth.ask < 0;
  return worth;
}

// Whether the policy asked about says the same as one that decided, but for the tested rule. Then it stands for it, so
// that sums are made in its order.
bool RuleSwap::same_but_for_rule(const policy::EventType& other) const {
  if (other.ladder != type_.ladder || other.thresholds != type_.thresholds ||
      other.override_verdict != type_.override_verdict) {
    return false;
  }
  size_t at = 0;
  for (uint32_t i = 0; i < other.rules.size(); ++i) {
    const policy::Rule& then = other.rules[i];
    if (then.id == rule_.id) continue;
    while (at < type_.rules.size() && type_.rules[at].id != then.id) ++at;
    if (at == type_.rules.size() || type_.rules[at].verdict != then.verdict) return false;
    const Worth& own = own_[at];
    Worth worth = worth_of(other, i);
    if (worth.unknown != own.unknown || worth.ask != own.ask || worth.points != own.points) return false;
  }
  return true;
}

RuleSwap::Version RuleSwap::make_version(std::string_view version) {
  Version made;
  made.base = &type_;
  const policy::Policy* then = past_.of(version);
  const policy::EventType* other = then == nullptr ? nullptr : then->find_type(type_.schema.name);
  if (other != nullptr && other != &type_ && !same_but_for_rule(*other)) {
    bool fits = rule_.verdict < 0 || other->place_of(type_.ladder[static_cast<size_t>(rule_.verdict)]) >= 0;
    if (fits) made.base = other;
  }
  const std::vector<policy::Rule>& rules = made.base->rules;
  made.place = static_cast<uint32_t>(rules.size());
  for (uint32_t i = 0; i < rules.size(); ++i) {
    made.places[rules[i].id] = i;
    made.worths.push_back(worth_of(*made.base, i));
    if (rules[i].id == rule_.id) made.place = i;
  }
  made.verdict = rule_.verdict < 0 ? -1 : made.base->place_of(verdict_name(type_, rule_.verdict));
  return made;
}

RuleSwap::Acted RuleSwap::make_acted(const Version& version, std::string_view rules) const {
  Acted made;
  made.base = version.base;
  made.place = version.place;
  made.verdict = version.verdict;
  for (size_t at = 0; at < rules.size();) {
    size_t end = std::min(rules.find('\n', at), rules.size());
    std::string_view id = rules.substr(at, end - at);
    at = end + 1;
    auto place = version.places.find(id);
    if (id == rule_.id) {
      if (place != version.places.end()) made.tested_points = version.worths[place->second].points;
      continue;
    }
    Worth worth;
    worth.place = static_cast<uint32_t>(version.worths.size());
    worth.unknown = true;  // a rule that nobody knows any more
    if (place != version.places.end()) worth = version.worths[place->second];
    if (worth.unknown && made.unknown) worth.unknown = false;  // the first of them stands for all
    made.unknown |= worth.unknown;
    made.others.push_back(worth);
  }
  std::stable_sort(made.others.begin(), made.others.end(),
                   [](const Worth& a, const Worth& b) { return a.place < b.place; });
  return made;
}

const RuleSwap::Acted& RuleSwap::acted(std::string_view version, std::string_view rules) {
  key_.assign(version);
  key_ += '\0';
  key_ += rules;
  if (last_ != nullptr && key_ == last_key_) return *last_;
  auto found = acted_.find(key_);
  if (found == acted_.end()) {
    if (acted_.size() >= kActedMax) acted_.clear();
    auto known = versions_.find(version);
    if (known == versions_.end()) known = versions_.emplace(std::string(version), make_version(version)).first;
    found = acted_.emplace(key_, make_acted(known->second, rules)).first;
  }
  last_ = &found->second;
  last_key_ = key_;
  return *last_;
}

RuleSwap::Outcome RuleSwap::outcome(const Stored& stored, bool matches, double points, const PointsOf& points_of) {
  const Acted& then = acted(stored.policy, stored.rules);
  auto points_then = [&](const Worth& worth) {
    return worth.ask < 0 || !points_of ? worth.points : points_of(static_cast<uint32_t>(worth.ask));
  };
  double left = 0;
  if (then.unknown) {
    left = stored.points - then.tested_points;
    for (const Worth& other : then.others) left -= points_then(other);
  }
  engine::Settlement settlement;
  bool added = !matches;
  for (const Worth& other : then.others) {
    if (!added && then.place <= other.place) {
      settlement.add(*then.base, then.verdict, points);
      added = true;
    }
    settlement.add(*then.base, other.verdict, other.unknown ? left : points_then(other));
  }
  if (!added) settlement.add(*then.base, then.verdict, points);
  int32_t rank = settlement.verdict(*then.base), before = then.base->place_of(stored.verdict);
  Outcome outcome;
  outcome.verdict = verdict_name(*then.base, rank);
  if (before >= 0) outcome.change = static_cast<int8_t>(rank > before ? 1 : rank < before ? -1 : 0);
  return outcome;
}

}  // namespace tamis::replay
