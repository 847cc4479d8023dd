// Values as tagged JSON, the notation of conformance cases, and base64 for their bytes. Used by conformance.cc alone.
#pragma once

#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace simdjson::dom {
class element;
}

namespace tamis::cel {

// What the value points to is copied into the arena.
base::Result<event::Value> read_tagged(simdjson::dom::element json, base::Arena& arena);
void write_tagged(std::string& out, event::Value value);
void write_json_text(std::string& out, std::string_view text);  // with quotes

// True if two values are the same value of the same type; NaN is itself, the order of map entries is free.
bool same_value(event::Value a, event::Value b);

}  // namespace tamis::cel
