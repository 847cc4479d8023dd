// JsonConverter: one JSON value to one Value of a given type. Private to event/; includes simdjson, so only .cc files
// of the JSON reader may include it.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "event/json_event.h"
#include "event/schema.h"

namespace tamis::event {

namespace dom = simdjson::dom;

// An instant from a number since the epoch; kRfc3339 takes none. False: out of range.
bool instant_of(int64_t number, TimeFormat format, int64_t& seconds, uint32_t& nanos);
bool instant_of(double number, TimeFormat format, int64_t& seconds, uint32_t& nanos);

class JsonConverter {
 public:
  // With `copy_text`, text is copied into the arena; else it points into the document.
  JsonConverter(base::Arena& arena, const JsonLimits& limits, bool copy_text)
      : arena_(arena), list_items_max_(limits.list_items_max), copy_text_(copy_text) {}

  // False: why() says what was expected and found. `from` is not null (JSON) unless the type is dyn.
  bool convert(dom::element from, const Type& type, Semantic semantic, Value& to);
  bool to_any(dom::element from, Value& to);
  bool to_instant(dom::element from, TimeFormat format, int64_t& seconds, uint32_t& nanos);
  bool to_id(dom::element from, std::string_view& to);

  // Refuses `from` with "expected ..., found ...".
  bool refuse(dom::element from, std::string_view expected);

  const std::string& where() const { return where_; }  // inside the value: "[2]", "[\"key\"]", or empty
  const std::string& why() const { return why_; }

 private:
  bool refuse_range(dom::element from, std::string_view type);
  bool to_integer(dom::element from, Value& to);
  bool to_uinteger(dom::element from, Value& to);
  bool to_real(dom::element from, Value& to);
  bool to_string(dom::element from, Semantic semantic, Value& to);
  bool to_bytes(dom::element from, Value& to);
  bool to_duration(dom::element from, Value& to);
  bool to_list(dom::element from, const Type& item, Value& to);
  bool to_map(dom::element from, const Type& item, Value& to);
  bool within_limit(size_t items);
  std::string_view keep(std::string_view text) { return copy_text_ ? arena_.copy(text) : text; }

  base::Arena& arena_;
  size_t list_items_max_;
  bool copy_text_;
  std::string where_;
  std::string why_;
};

}  // namespace tamis::event
