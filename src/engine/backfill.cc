#include "engine/backfill.h"

#include <algorithm>
#include <set>

#include "base/hash.h"
#include "engine/active.h"

namespace tamis::engine {

namespace {

bool usable(Value v) { return !v.is_error() && !v.is(event::Kind::kAbsent); }

bool is_left_out(const std::vector<bool>& places, size_t place) { return place < places.size() && places[place]; }

// Lists have the policy's own entries here and nobody has a label: what people and rules added at run time is of now,
// not of then.
class PastHost final : public cel::Host {
 public:
  explicit PastHost(const Engine::Prepared& next) : next_(next) {}
  bool list_contains(int64_t list, Value value) const override {
    return next_.lists[static_cast<size_t>(list)]->contains(value, now_ms);
  }
  Value labels_of(int64_t, Value, base::Arena&) const override { return Value::list(std::span<const Value>()); }
  int64_t now_ms = INT64_MIN;

 private:
  const Engine::Prepared& next_;
};

}  // namespace

struct Backfill::Impl {
  Impl(const Engine& now_engine, Engine::Prepared& next_policy) : next(next_policy), host(next_policy) {
    for (const policy::FeatureDecl& decl : next.policy->features) {
      bool known = false;
      if (now_engine.policy() != nullptr) {
        for (const policy::FeatureDecl& old : now_engine.policy()->features) {
          known |= old.spec.name == decl.spec.name && old.fingerprint == decl.fingerprint;
        }
      }
      is_new.push_back(!known);
    }
    for (const policy::DetectorDecl& decl : next.policy->detectors) {
      bool known = false;
      if (now_engine.policy() != nullptr) {
        for (const policy::DetectorDecl& old : now_engine.policy()->detectors) {
          known |= old.name == decl.name && old.fingerprint == decl.fingerprint;
        }
      }
      is_new_detector.push_back(!known);
    }
  }

  void feed(ActiveType& type, FeatureAccess& access, int64_t t_ms);

  Engine::Prepared& next;
  PastHost host;
  void feed_detectors(ActiveType& type, std::string_view id, int64_t t_ms, const LeftOut& left_out);

  std::vector<bool> is_new;           // by feature
  std::vector<bool> is_new_detector;  // by detector
  DetectorInputs inputs;
  int64_t cost_max = EngineOptions().cost_max;
};

Backfill::Backfill(const Engine& now, Engine::Prepared& next) : impl_(std::make_unique<Impl>(now, next)) {}
Backfill::~Backfill() = default;

bool Backfill::needed() const {
  auto any = [](const std::vector<bool>& flags) { return std::find(flags.begin(), flags.end(), true) != flags.end(); };
  return any(impl_->is_new) || any(impl_->is_new_detector);
}
const std::shared_ptr<const policy::Policy>& Backfill::policy() const { return impl_->next.policy; }

void Backfill::Impl::feed(ActiveType& type, FeatureAccess& access, int64_t t_ms) {
  const cel::Plan& plan = type.type->plan;
  size_t count = 1;
  access.keys[0] = 0;
  if (access.each) count = keys_of_each(plan, access.by, type.frame, access.keys);
  for (cel::NodeId node : access.by) {
    if (access.each) break;
    Value v = plan.eval(node, type.frame);
    if (!usable(v)) return;
    access.keys[0] = base::combine64(access.keys[0], event::hash(v));
  }
  if (count == 0) return;
  const policy::FeatureUpdate& update = *access.update;
  if (update.where != cel::kNoNode && plan.test(update.where, type.frame) != cel::Plan::Truth::kTrue) return;
  Value of;
  if (update.of != cel::kNoNode) {
    of = plan.eval(update.of, type.frame);
    if (!usable(of)) return;
  }
  bool hit = update.hit != cel::kNoNode && plan.test(update.hit, type.frame) == cel::Plan::Truth::kTrue;
  state::FeatureTable& table = *next.tables[access.feature];
  for (size_t i = 0; i < count; ++i) table.update(table.find(access.keys[i]), t_ms, host.now_ms, of, hit);
}

// What they find in the past is of then; only what they know of it is kept.
void Backfill::Impl::feed_detectors(ActiveType& type, std::string_view id, int64_t t_ms, const LeftOut& left_out) {
  for (const policy::DetectorFeed& feed : type.type->feeds) {
    if (!is_new_detector[feed.detector] || is_left_out(left_out.detectors, feed.detector)) continue;
    inputs.fill(Value::absent());
    for (const auto& [input, node] : feed.inputs) {
      const Value v = type.type->plan.eval(node, type.frame);
      if (usable(v)) inputs[static_cast<size_t>(input)] = v;
    }
    next.detectors[feed.detector]->feed(feed.part, t_ms, inputs, {type.type->schema.name, id});
  }
}

std::vector<Backfill::Need> Backfill::needs() const {
  std::vector<Need> needs;
  for (size_t t = 0; t < policy()->types.size(); ++t) {
    const policy::EventType& type = policy()->types[t];
    const auto add = [&](bool is_detector, uint32_t place, const std::vector<cel::NodeId>& nodes) {
      std::set<int32_t> slots;
      for (const cel::NodeId node : nodes) {
        if (node == cel::kNoNode) continue;
        for (const int32_t slot : type.plan.slots_read(node)) {
          bool known = slot >= 0 && static_cast<size_t>(slot) < type.schema.fields.size();
          for (const event::Derived& derived : type.schema.derived) known = known || derived.slot == slot;
          if (known) slots.insert(slot);
        }
      }
      needs.push_back({t, is_detector, place, {slots.begin(), slots.end()}});
    };
    for (const policy::FeatureUpdate& update : type.updates) {
      if (!impl_->is_new[update.feature]) continue;
      std::vector<cel::NodeId> nodes = update.by;
      nodes.insert(nodes.end(), {update.where, update.of, update.hit});
      add(false, update.feature, nodes);
    }
    for (const policy::DetectorFeed& feed : type.feeds) {
      if (!impl_->is_new_detector[feed.detector]) continue;
      std::vector<cel::NodeId> nodes;
      for (const auto& [input, node] : feed.inputs) nodes.push_back(node);
      add(true, feed.detector, nodes);
    }
  }
  return needs;
}

void Backfill::feed(PreparedEvent& prepared, int64_t receive_ms, const LeftOut& left_out) {
  Impl& impl = *impl_;
  event::Event& event = prepared.event();
  int64_t t = event.has_time ? std::min(event.time_ms, std::max(receive_ms, impl.host.now_ms)) : receive_ms;
  impl.host.now_ms = std::max(impl.host.now_ms, t);
  if (impl.host.now_ms - t > event.schema->lateness_ms) return;
  ActiveType& type = *impl.next.types[prepared.type_index()];
  type.frame.begin(event.slots.data(), prepared.arena(), &impl.host, impl.cost_max);
  for (FeatureAccess& access : type.accesses) {
    if (access.update == nullptr || !impl.is_new[access.feature]) continue;
    if (!is_left_out(left_out.features, access.feature)) impl.feed(type, access, t);
  }
  impl.feed_detectors(type, event.id, t, left_out);
}

}  // namespace tamis::engine
