// Decision: the verdict for one event, with its reasons. What the engine fills and what every door writes out. One
// writer for all of them, so a live decision and its replay are the same bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "event/value.h"
#include "policy/policy.h"

namespace tamis::engine {

using event::Value;

// A rule that matched. Its place is that in EventType::rules.
struct Match {
  uint32_t rule = 0;
  bool acts = false;  // live, or inside the share of its canary; otherwise it only watches (shadow)
  double points = 0;
  Value value;              // of the rule's `value:`, absent if it has none
  std::string_view reason;  // its template filled in, empty if it has none
};

// One test that a matched rule is made of, with what it read. Only made when asked for.
struct Condition {
  uint32_t rule = 0;
  std::string_view text;                                     // the sub-expression, as CEL
  std::span<const std::pair<std::string_view, Value>> read;  // names and values of what it reads
};

// What a live rule changes: applied by the engine to its own state, and told to whoever acts outside.
struct Effect {
  enum class Kind : uint8_t { kLabel, kListEntry, kNotify };
  Kind kind = Kind::kLabel;
  uint32_t rule = 0;
  std::string_view target;  // entity kind, list name, or channel
  std::string_view value;   // value of the entity, the entry, or the message
  std::string_view name;    // of the label
  int64_t expires_ms = 0;   // engine time; 0: never
};

// Lives in the engine's arena: valid until the engine's next call.
struct Decision {
  const policy::Policy* policy = nullptr;
  const policy::EventType* type = nullptr;
  std::string_view id;
  uint64_t record = 0;  // number of the event's record in the journal; where there is none, of the event decided
  int64_t time_ms = 0;  // the event's own time, clamped to the engine's
  bool late = false;    // beyond the allowed lateness: decided, but nothing was updated
  int32_t verdict = 0;  // place in EventType::ladder
  double points = 0;
  double score = 0;                   // 0..1
  std::vector<Match> matches;         // by place in EventType::rules
  std::vector<Condition> conditions;  // only when asked for
  std::vector<Effect> effects;        // of the rules that act
  std::span<const Value> explained;   // the event's slots, only when asked for: what detectors said, factor by factor
  // Features, then outputs of detectors, by name as declared; absent where there is no value.
  std::vector<std::pair<std::string_view, Value>> features;
  std::vector<std::pair<std::string_view, Value>> shown;  // what the type's `show:` adds
  std::string_view account;                               // whom detectors saw in the event, or empty
  std::span<const event::DroppedField> dropped;           // fields of another type than their value, taken as not sent
  std::string_view verdict_name() const { return type->ladder[static_cast<size_t>(verdict)]; }
  const std::string& dropped_name(const event::DroppedField& field) const {
    return type->schema.fields[static_cast<size_t>(field.field)].name;
  }
};

// Appends {"id","type","verdict","points","score", what `show:` adds,"rules","features","policy"} and, where there is
// something to say, "shadow" (rules that matched without acting), "values", "reasons", "labels", "late",
// "dropped" (fields that were not read, with why), "conditions" with "decided_by", and "explanation".
void write_json(const Decision& decision, std::string& out);

}  // namespace tamis::engine
