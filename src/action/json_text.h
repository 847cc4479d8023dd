// Reading the flat JSON objects that this room writes, and making foreign text fit to be written. Private to this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace tamis::action {

// One object; what is asked for and is not there, or has another type, is empty or zero.
class JsonObject {
 public:
  static base::Result<JsonObject> read(std::string_view json, base::Arena& arena);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::string_view text(std::string_view key) const;
  int64_t number(std::string_view key) const;
  uint64_t count(std::string_view key) const;  // a negative one is none
  // RFC 3339 text; `absent` if there is none.
  int64_t time_ms(std::string_view key, int64_t absent = 0) const;
  JsonObject object(std::string_view key) const;

 private:
  const event::Value* find(std::string_view key) const;
  const event::MapData* map_ = nullptr;
};

// At most `bytes_max` bytes of valid UTF-8: what is longer is cut and ends in "...", bytes that are no UTF-8 become
// "?".
std::string fit_text(std::string_view text, size_t bytes_max);
bool is_valid_utf8(std::string_view text);

// Where `word` stands in `text` from a place on, with no letter, digit or other part of a word beside it (letter case
// of ASCII ignored); npos: nowhere.
size_t find_word(std::string_view text, std::string_view word, size_t from = 0);
inline bool has_word(std::string_view text, std::string_view word) {
  return find_word(text, word) != std::string_view::npos;
}
void replace_words(std::string& text, std::string_view word, std::string_view with);

}  // namespace tamis::action
