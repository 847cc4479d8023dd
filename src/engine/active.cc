#include "engine/active.h"

#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "engine/impl.h"
#include "policy/private_values.h"
#include "policy/slot_names.h"

namespace tamis::engine {
namespace {

std::vector<RuleIndex::Condition> conditions_of(const policy::EventType& type) {
  std::vector<RuleIndex::Condition> conditions;
  for (uint32_t i = 0; i < type.rules.size(); ++i) {
    if (type.rules[i].mode != policy::Mode::kOff) conditions.push_back({i, type.rules[i].when});
  }
  return conditions;
}

FeatureAccess& access_for(std::vector<FeatureAccess>& accesses, uint32_t feature, const std::vector<cel::NodeId>& by,
                          bool each) {
  for (FeatureAccess& access : accesses) {
    if (access.feature == feature && access.by == by) return access;
  }
  FeatureAccess access;
  access.feature = feature;
  access.by = by;
  access.each = each;
  accesses.push_back(std::move(access));
  return accesses.back();
}

}  // namespace

size_t keys_of_each(const cel::Plan& plan, const std::vector<cel::NodeId>& by, cel::Frame& frame,
                    std::array<uint64_t, policy::kEachMax>& keys) {
  uint64_t before = 0;
  for (size_t i = 0; i + 1 < by.size(); ++i) {
    const Value v = plan.eval(by[i], frame);
    if (!usable(v)) return 0;
    before = base::combine64(before, event::hash(v));
  }
  const Value list = plan.eval(by.back(), frame);
  if (!list.is(event::Kind::kList)) return 0;
  size_t count = 0;
  for (const Value& member : list.list_items()) {
    if (count == keys.size()) break;
    if (!usable(member) || member.is(event::Kind::kNull)) continue;
    const uint64_t key = base::combine64(before, event::hash(member));
    if (std::find(keys.begin(), keys.begin() + count, key) == keys.begin() + count) keys[count++] = key;
  }
  return count;
}

ActiveType::ActiveType(const policy::EventType& t, bool use_index)
    : type(&t), frame(t.plan), index(t.plan, conditions_of(t), use_index), slot_names(policy::slot_names(t)) {
  if (t.points_slot >= 0) slot_names[static_cast<size_t>(t.points_slot)] = "points";
  for (const policy::FeatureRead& read : t.reads) {
    FeatureAccess& access = access_for(accesses, read.feature, read.by, read.each);
    access.reads.emplace_back(read.window, read.slot);
    access.include_self = read.include_self;
  }
  for (const policy::FeatureUpdate& update : t.updates) {
    FeatureAccess& access = access_for(accesses, update.feature, update.by, update.each);
    TAMIS_ASSERT(access.update == nullptr);
    access.update = &update;
  }
}

void Engine::PreparedDelete::operator()(Prepared* prepared) const { delete prepared; }

Engine::PreparedPointer Engine::build(std::shared_ptr<const policy::Policy> policy, const EngineOptions& options) {
  PreparedPointer prepared(new Prepared);
  prepared->policy = std::move(policy);
  const policy::Policy& p = *prepared->policy;
  for (const policy::EventType& type : p.types) {
    prepared->types.push_back(std::make_unique<ActiveType>(type, options.use_index));
  }
  for (const policy::ListDecl& decl : p.lists) {
    auto list = state::List::make(decl.name, decl.kind, decl.entries_max, decl.ignore_case);
    for (const state::ListEntry& entry : decl.entries) {
      base::Status added = list->add(entry);
      TAMIS_ASSERT(added.has_value());  // the policy's compiler has refused bad entries
    }
    (void)list->contains(Value::string("x"), 0);  // a first look compiles what is compiled lazily, off the hot path
    prepared->lists.push_back(std::move(list));
    prepared->run_time_lists.push_back(state::List::make(decl.name, decl.kind, decl.entries_max, decl.ignore_case));
  }
  for (uint32_t i = 0; i < p.features.size(); ++i) {
    prepared->tables.push_back(state::FeatureTable::make(p.features[i].spec));
    prepared->gives_private_values.push_back(policy::gives_private_values(p, i));
    prepared->remembers_people.push_back(policy::remembers_people(p, i));
  }
  for (const policy::DetectorDecl& decl : p.detectors)
    prepared->detectors.push_back(Detector::make(decl, options.state_key));
  for (size_t t = 0; t < p.types.size(); ++t) {
    if (p.types[t].schema.name == policy::kFindingType) prepared->finding_type = static_cast<int32_t>(t);
  }
  return prepared;
}

}  // namespace tamis::engine
