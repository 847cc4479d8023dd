// Detectors in the fold: each event goes through those that its type feeds, before any rule looks; what they find
// comes back as events of the type `finding`, right behind its cause.
#include <algorithm>
#include <charconv>

#include "base/assert.h"
#include "engine/impl.h"
#include "event/derive.h"

namespace tamis::engine {

using event::Kind;

void Engine::Impl::run_detectors(ActiveType& type, event::Event& event, uint32_t depth) {
  const policy::EventType& t = *type.type;
  for (const policy::DetectorFeed& feed : t.feeds) {
    if (decision.late) break;  // a late event updates nothing
    Detector& detector = *active->detectors[feed.detector];
    inputs.fill(Value::absent());
    for (const auto& [input, node] : feed.inputs) {
      const Value v = t.plan.eval(node, type.frame);
      if (usable(v)) inputs[static_cast<size_t>(input)] = v;
    }
    const Value account = inputs[static_cast<size_t>(policy::DetectorInput::kAccount)];
    if (decision.account.empty() && account.is(Kind::kString)) decision.account = account.str();
    detector.feed(feed.part, decision.time_ms, inputs, {t.schema.name, decision.id});
    for (const policy::DetectorRead& read : t.detector_reads) {
      if (read.detector == feed.detector) event.slots[static_cast<size_t>(read.slot)] = detector.output(read.output);
    }
    const bool may_follow = active->finding_type >= 0 && depth < kFindingDepthMax && pending.size() < kFindingsMax;
    if (const Found found = detector.found(); !found.finding.empty() && may_follow) {
      pending.push_back({feed.detector, found, std::string(account.is(Kind::kString) ? account.str() : ""),
                         std::string(decision.id), t.schema.name, decision.time_ms, depth + 1});
    }
  }
  for (const policy::DetectorRead& read : t.detector_reads) {
    if (read.is_quiet) continue;
    decision.features.emplace_back(read.name, event.slots[static_cast<size_t>(read.slot)]);
  }
}

namespace {

Value timestamp_of(int64_t ms) { return Value::timestamp(ms / 1000, static_cast<uint32_t>(ms % 1000) * 1'000'000); }

// As the field is declared; absent where the two do not go together.
Value as_type(Value v, const event::Type& type, base::Arena& arena) {
  using TypeKind = event::Type::Kind;
  switch (type.kind) {
    case TypeKind::kDyn:
      return v;
    case TypeKind::kString:
      return v.is(Kind::kString) ? v : v.is(Kind::kInt) ? Value::string(as_text(v, arena)) : Value::absent();
    case TypeKind::kInt:
      if (v.is(Kind::kDouble)) return Value::integer(static_cast<int64_t>(v.d));
      return v.is(Kind::kInt) ? v : Value::absent();
    case TypeKind::kDouble:
      if (v.is(Kind::kInt)) return Value::real(static_cast<double>(v.i));
      return v.is(Kind::kDouble) ? v : Value::absent();
    case TypeKind::kBool:
      return v.is(Kind::kBool) ? v : Value::absent();
    case TypeKind::kTimestamp:
      return v.is(Kind::kTimestamp) ? v : Value::absent();
    default:
      return Value::absent();
  }
}

}  // namespace

// In the order of policy::finding_fields().
void Engine::Impl::fill_finding(const PendingFinding& of, PreparedEvent& prepared) const {
  const detect::ClusterFacts& cluster = of.found.cluster;
  base::Arena& arena = prepared.arena();
  const auto of_cluster = [&](Value v) { return cluster.id == 0 ? Value::absent() : v; };
  const Value values[] = {
      Value::string(active->policy->detectors[of.detector].name),
      Value::string(of.found.finding),
      of_cluster(Value::integer(static_cast<int64_t>(cluster.id))),
      Value::real(cluster.score),
      of_cluster(Value::real(cluster.members)),
      of_cluster(Value::integer(views_of(cluster))),
      of_cluster(Value::boolean(cluster.acted_ms != 0)),
      of_cluster(timestamp_of(cluster.first_ms)),
      Value::string(arena.copy(of.account)),
      Value::string(arena.copy(of.cause)),
      Value::string(arena.copy(of.cause_type)),
      Value::integer(of.depth),
  };
  const auto fields = policy::finding_fields();
  TAMIS_ASSERT(std::size(values) == fields.size());
  event::Event& event = prepared.event();
  for (size_t i = 0; i < event.schema->fields.size(); ++i) {
    const event::Field& field = event.schema->fields[i];
    if (field.path.size() != 1) continue;
    for (size_t k = 0; k < fields.size(); ++k) {
      if (fields[k].name == field.path[0]) event.slots[i] = as_type(values[k], field.type, arena);
    }
  }
  event::derive(event, nullptr, arena);
}

void Engine::Impl::decide_findings(uint64_t record, Explain explain_it) {
  while (!pending.empty()) {
    const PendingFinding next = std::move(pending.front());
    pending.pop_front();
    if (finding_count == kFindingsMax) continue;
    if (finding_count == findings.size()) findings.push_back(std::make_unique<Finding>());
    Finding& finding = *findings[finding_count++];
    const std::string id = "f" + std::to_string(record) + "." + std::to_string(finding_count);
    finding.event.begin(active->policy, static_cast<size_t>(active->finding_type), id, next.time_ms);
    fill_finding(next, finding.event);
    // The decision of the event itself stays what decide() gives back.
    std::swap(decision, finding.decision);
    decide_one(finding.event, next.time_ms, explain_it, record, next.depth);
    std::swap(decision, finding.decision);
  }
}

size_t Engine::finding_count() const { return impl_->finding_count; }
Finding& Engine::finding(size_t i) {
  TAMIS_ASSERT(i < impl_->finding_count);
  return *impl_->findings[i];
}

std::optional<AccountHindsight> Engine::hindsight(std::string_view account) const {
  std::optional<AccountHindsight> worst;
  for (const auto& detector : impl_->active->detectors) {
    const auto one = detector->hindsight(account);
    if (one && (!worst || one->score > worst->score)) worst = one;
  }
  return worst;
}

std::optional<SeenSignup> Engine::seen_signup() const {
  const Decision& decision = impl_->decision;
  if (decision.type == nullptr || decision.late) return std::nullopt;
  for (const policy::DetectorFeed& feed : decision.type->feeds) {
    if (feed.part != policy::DetectorPart::kSignup) continue;
    if (auto seen = impl_->active->detectors[feed.detector]->seen_signup()) return seen;
  }
  return std::nullopt;
}

const detect::SignupClusters* Engine::clusters(std::string_view detector) const {
  for (size_t i = 0; i < impl_->active->detectors.size(); ++i) {
    if (!detector.empty() && impl_->active->policy->detectors[i].name != detector) continue;
    if (const auto* clusters = impl_->active->detectors[i]->clusters(); clusters != nullptr) return clusters;
  }
  return nullptr;
}

base::Status Engine::set_truth(std::string_view entity_kind, std::string_view value, std::string_view name) {
  TAMIS_CHECK(check_entity_kind(entity_kind));
  constexpr std::string_view kEventKind = "event:";
  if (entity_kind.starts_with(kEventKind)) {
    const std::string_view type = entity_kind.substr(kEventKind.size());
    const auto is_bad = name.empty() ? std::nullopt : std::optional(name != "good" && name != "ham" && name != "legit");
    for (auto& detector : impl_->active->detectors) detector->truth_of_event({type, value}, is_bad, impl_->now);
    return {};
  }
  if (entity_kind != "account") return {};
  const std::optional<bool> is_bad = name == "bad"    ? std::optional(true)
                                     : name == "good" ? std::optional(false)
                                                      : std::nullopt;
  for (auto& detector : impl_->active->detectors) detector->truth(value, is_bad, impl_->now);
  return {};
}

// A label that people put on a cluster, or take off, is what they say of it.
void Engine::Impl::cluster_labelled(std::string_view entity_kind, std::string_view value, std::string_view name,
                                    int64_t until_ms) {
  if (entity_kind != "cluster" || (name != kConfirmedLabel && name != kRefutedLabel)) return;
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
  if (error != std::errc() || end != value.data() + value.size()) return;
  using Saying = Detector::ClusterSaying;
  for (auto& detector : active->detectors) {
    if (name == kRefutedLabel) detector->say(id, Saying::kCleared, until_ms);
    if (name == kConfirmedLabel && until_ms != 0) detector->say(id, Saying::kConfirmed, until_ms);
  }
}

}  // namespace tamis::engine
