// JsonConverter: one JSON value to one Value of a given type. Private to event/; includes simdjson, so only .cc files
// of the JSON reader may include it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "event/json_event.h"
#include "event/json_tape.h"
#include "event/schema.h"

namespace tamis::event {

// An instant from a number since the epoch; kRfc3339 takes none. False: out of range.
bool instant_of(int64_t number, TimeFormat format, int64_t& seconds, uint32_t& nanos);
bool instant_of(double number, TimeFormat format, int64_t& seconds, uint32_t& nanos);

class JsonConverter {
 public:
  // With `copy_text`, text is copied into the arena; else it points into the document. With `strict`, numbers are not
  // read from text, nor the other way round.
  JsonConverter(JsonTape tape, base::Arena& arena, const JsonLimits& limits, bool copy_text, bool strict = true)
      : tape_(tape), arena_(arena), list_items_max_(limits.list_items_max), copy_text_(copy_text), strict_(strict) {}

  // False: why() says what was expected and found. `from` is a place on the tape.
  bool convert(size_t from, const Type& type, Semantic semantic, Value& to);
  bool to_any(size_t from, Value& to);
  bool to_instant(size_t from, TimeFormat format, int64_t& seconds, uint32_t& nanos);
  bool to_id(size_t from, std::string_view& to);

  // Refuses `from` with "expected ..., found ...".
  bool refuse(size_t from, std::string_view expected);

  const std::string& where() const { return where_; }  // inside the value: "[2]", "[\"key\"]", or empty
  const std::string& why() const { return why_; }
  // Why without the value: "expected int, found double". The same words for all values of a kind.
  std::string why_by_kind() const { return (where_.empty() ? "" : "an item: ") + kind_; }
  void forget_fault() {
    where_.clear();
    why_.clear();
    kind_.clear();
  }

 private:
  bool refuse_range(size_t from, std::string_view type);
  bool to_integer(size_t from, Value& to);
  bool to_uinteger(size_t from, Value& to);
  bool to_real(size_t from, Value& to);
  bool to_string(size_t from, Semantic semantic, Value& to);
  bool to_bytes(size_t from, Value& to);
  bool to_duration(size_t from, Value& to);
  bool to_list(size_t from, const Type& item, Value& to);
  bool to_map(size_t from, const Type& item, Value& to);
  bool within_limit(size_t items);
  std::string_view keep(std::string_view text) { return copy_text_ ? arena_.copy(text) : text; }

  // For text in which a number stands as JSON writes it, and nothing else.
  bool number_of_text(size_t from, int64_t& to) const;
  bool number_of_text(size_t from, uint64_t& to) const;
  bool number_of_text(size_t from, double& to) const;

  std::string describe(size_t found) const;

  JsonTape tape_;
  base::Arena& arena_;
  size_t list_items_max_;
  bool copy_text_;
  bool strict_;
  std::string where_;
  std::string why_;
  std::string kind_;
};

}  // namespace tamis::event
