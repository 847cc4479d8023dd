// JSON out: appends to a buffer that the caller keeps and reuses. Deterministic: the same values give the same bytes,
// on every machine. Doubles are written in the shortest form that reads back the same (std::to_chars), whole doubles
// with
// ".0"; NaN and infinities as the strings "NaN", "Infinity", "-Infinity".
#pragma once

#include <string>
#include <string_view>

#include "event/value.h"

namespace tamis::event {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);  // commas are placed by the writer
  JsonWriter& string(std::string_view text);
  JsonWriter& integer(int64_t value);
  JsonWriter& uinteger(uint64_t value);
  JsonWriter& real(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // bytes as base64, timestamps as RFC 3339, durations as "1.5s", ip and cidr as text, types as their name, optionals
  // as their value or null, maps as objects with keys as text, opaque tuples as arrays; errors, absent and handles as
  // null. Nesting beyond 512 levels, which no reader of ours accepts, is written as null.
  JsonWriter& value(Value value);
  JsonWriter& raw(std::string_view json);  // a finished JSON value

 private:
  void separate();
  std::string& out_;
  bool comma_ = false;
};

// `text` as a JSON string with quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace tamis::event
