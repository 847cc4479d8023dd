// JSON to Event: one JSON object in, a typed slot array out, by the schema of its type. The parser (simdjson) is kept
// per thread; text values point into its buffer, so an event is valid until the next parse with the same reader.
//
// Cost: about one microsecond for an event of 28 fields and 650 bytes. Fields are found by guessing that they come in
// the order of the last event, then by hash. Unknown fields are skipped and counted. No allocation once warm.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "event/schema.h"

namespace tamis::event {

struct JsonLimits {
  size_t bytes_max = 1 << 20;  // one event
  size_t depth_max = 32;
  size_t list_items_max = 10'000;
};

class JsonReader {
 public:
  explicit JsonReader(JsonLimits limits = {});
  ~JsonReader();
  JsonReader(JsonReader&&) noexcept;
  JsonReader& operator=(JsonReader&&) noexcept;

  // Parses the text of one event, which need not live longer than the call. After it, the calls below read the same
  // document.
  // Errors: not JSON (with the byte offset), not an object, too large, too deep, invalid UTF-8.
  base::Status parse(std::string_view json);

  // The text at a path of keys, for finding the event's type before its schema is known. Numbers become text; what is
  // missing or neither text nor number is empty.
  std::string_view text_at(std::span<const std::string> path, base::Arena& arena);

  // Fills id, time and the slots of `event.schema->fields`; `event.slots` must be large enough. A missing field takes
  // its default or is absent; null counts as missing. What says the same in another type is taken: an int field takes
  // 3.0 and "3" but not 3.5 or "03", a double field 3 and "3.5", plain text (of no semantic type) whole numbers.
  // Any other value of another type counts as missing too, and is named in `event.dropped` (valid until the next call),
  // unless the field is required, or is the id or the time, or the schema is strict: then it is an error that names
  // field, expected type and found value. A strict schema takes no numbers for text and no text for numbers.
  // After an error the slots are unspecified but safe to look at.
  base::Status read(Event& event, base::Arena& arena);

  // How many keys of the last event its schema did not know.
  size_t unknown_fields() const;

  // Any JSON as a Value: numbers without fraction or exponent are int (uint above 2^63), maps have string keys.
  static base::Result<Value> to_value(std::string_view json, base::Arena& arena, const JsonLimits& limits = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Time as RFC 3339 (RFC 3339 section 5.6; lower-case t and z allowed), or a number of seconds, ms or us since the epoch
// told apart by magnitude when the format is kAuto (below 1e11 seconds, below 1e14 ms, else us). Numbers may have a
// fraction. What lies between two milliseconds goes to the earlier one. Years 0001 to 9999.
base::Result<int64_t> parse_time_ms(std::string_view text, TimeFormat format);
std::string format_time_ms(int64_t time_ms);  // RFC 3339 with milliseconds, UTC

}  // namespace tamis::event
