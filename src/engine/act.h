// Act: what a person does to the engine's state at run time: a list entry, a label. One record of the journal, written
// with absolute times, so that a replay does the same.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/engine.h"

namespace tamis::engine {

struct Act {
  enum class Kind : uint8_t { kListAdd, kListRemove, kLabelSet, kLabelClear };
  Kind kind = Kind::kListAdd;
  std::string list;         // list acts
  std::string entity_kind;  // label acts
  std::string value;        // the entry, or the value of the entity
  std::string name;         // of the label
  std::string author;
  std::string reason;
  int64_t since_ms = 0;
  int64_t expires_ms = state::kNeverExpires;
};

// Reads {"act": "list_add|list_remove|label_set|label_clear", "list", "on", "value", "name", "author", "reason",
// "for": "6h" or "expires": RFC 3339}. `act` and `list` may be given by the caller instead (a door that has them in its
// path). Errors name the key that is missing or wrong.
base::Result<Act> parse_act(std::string_view json, int64_t now_ms, std::string_view list = {});
// With absolute times; parse_act() of it gives the same act.
std::string to_json(const Act& act);
base::Status apply(Engine& engine, const Act& act);

}  // namespace tamis::engine
