// Values written in YAML: defaults of fields, what tests give and expect, and the JSON of test events.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "event/schema.h"
#include "policy/diagnostics.h"

namespace tamis::policy {

// The value of a declared type; of type dyn by the form of the YAML. Null is the absent value. `what` names it in
// messages. Text lives in the arena.
std::optional<event::Value> read_value(const Node& node, const event::Type& type, std::string_view what,
                                       base::Arena& arena, Diagnostics& diagnostics);

// The YAML as JSON. A scalar of a declared field is written as the field wants it (12345 as text, say), any other by
// the form of the YAML. `replace_n`: what stands for {n} in text.
struct JsonContext {
  const event::EventSchema* schema = nullptr;
  std::string replace_n;
};
void append_yaml_as_json(std::string& out, const Node& node, const event::Type* type, const JsonContext& context);

}  // namespace tamis::policy
