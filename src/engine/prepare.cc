#include "base/hash.h"
#include "engine/engine.h"

namespace tamis::engine {

PreparedEvent::PreparedEvent() = default;

base::Status PreparedEvent::prepare(std::shared_ptr<const policy::Policy> policy, std::string_view type,
                                    std::string_view json, const event::NetworkIntel* intel) {
  arena_.reset();
  TAMIS_CHECK(reader_.parse(json));
  if (type.empty()) {
    type = reader_.text_at(policy->type_path, arena_);
    if (type.empty() && policy->types.size() == 1) type = policy->types[0].schema.name;
    if (type.empty()) return base::invalid("the event does not name its type at \"" + policy->type_path.back() + "\"");
  }
  const policy::EventType* found = policy->find_type(type);
  if (found == nullptr) {
    std::string known;
    for (const policy::EventType& t : policy->types) known += (known.empty() ? "" : ", ") + t.schema.name;
    return base::fail(base::Code::kNotFound,
                      "no event type \"" + std::string(type) + "\" in the policy; it has: " + known);
  }
  policy_ = std::move(policy);
  type_index_ = static_cast<size_t>(found - policy_->types.data());
  slots_.assign(static_cast<size_t>(found->slot_count), Value::absent());
  event_ = event::Event{};
  event_.schema = &found->schema;
  event_.slots = slots_;
  TAMIS_CHECK(reader_.read(event_, arena_));
  id_key_ = event_.id.empty() ? 0 : base::hash64(event_.id, base::hash64(found->schema.name));
  event::derive(event_, intel, arena_);
  return {};
}

void PreparedEvent::begin(std::shared_ptr<const policy::Policy> policy, size_t type_index, std::string_view id,
                          int64_t time_ms) {
  arena_.reset();
  policy_ = std::move(policy);
  type_index_ = type_index;
  const policy::EventType& type = policy_->types[type_index];
  slots_.assign(static_cast<size_t>(type.slot_count), Value::absent());
  for (size_t i = 0; i < type.schema.fields.size(); ++i) {
    if (type.schema.fields[i].fallback) slots_[i] = *type.schema.fields[i].fallback;
  }
  event_ = event::Event{};
  event_.schema = &type.schema;
  event_.slots = slots_;
  event_.id = arena_.copy(id);
  event_.has_time = true;
  event_.time_ms = time_ms;
  id_key_ = 0;
}

bool in_canary(std::string_view rule_id, Value entity, double percent) {
  if (entity.is_error() || entity.is(event::Kind::kAbsent)) return false;
  uint64_t h = event::hash(entity, base::hash64(rule_id));
  return static_cast<double>(base::mix64(h) >> 11) < percent / 100.0 * 9007199254740992.0;
}

}  // namespace tamis::engine
