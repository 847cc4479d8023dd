#include "action/json_text.h"

#include <algorithm>

#include "event/json_event.h"

namespace tamis::action {
namespace {

using event::Kind;
using event::Value;

// How many bytes the character at the start of `text` has; 0 if it is none (RFC 3629 section 4).
size_t character_bytes(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    bool fits = !(first == 0xe0 && byte(1) < 0xa0) && !(first == 0xed && byte(1) > 0x9f);
    return fits && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    bool fits = !(first == 0xf0 && byte(1) < 0x90) && !(first == 0xf4 && byte(1) > 0x8f);
    return fits && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

base::Result<JsonObject> JsonObject::read(std::string_view json, base::Arena& arena) {
  event::JsonLimits limits;
  limits.depth_max = 4;
  TAMIS_TRY(value, event::JsonReader::to_value(json, arena, limits));
  if (!value.is(Kind::kMap)) return base::invalid("expected a JSON object");
  JsonObject object;
  object.map_ = value.map;
  return object;
}

const Value* JsonObject::find(std::string_view key) const {
  return map_ == nullptr ? nullptr : event::map_find(*map_, Value::string(key));
}

std::string_view JsonObject::text(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr && value->is(Kind::kString) ? value->str() : std::string_view();
}

int64_t JsonObject::number(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr && value->is(Kind::kInt) ? value->i : 0;
}

uint64_t JsonObject::count(std::string_view key) const {
  return static_cast<uint64_t>(std::max<int64_t>(number(key), 0));
}

int64_t JsonObject::time_ms(std::string_view key, int64_t absent) const {
  std::string_view words = text(key);
  if (words.empty()) return absent;
  auto ms = event::parse_time_ms(words, event::TimeFormat::kAuto);
  return ms ? *ms : absent;
}

JsonObject JsonObject::object(std::string_view key) const {
  JsonObject object;
  const Value* value = find(key);
  if (value != nullptr && value->is(Kind::kMap)) object.map_ = value->map;
  return object;
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string fit_text(std::string_view text, size_t bytes_max) {
  constexpr std::string_view kCut = "...";
  std::string out;
  size_t room = text.size() > bytes_max ? bytes_max - kCut.size() : bytes_max;
  for (std::string_view left = text; !left.empty();) {
    size_t bytes = character_bytes(left);
    if (out.size() + (bytes == 0 ? 1 : bytes) > room) break;
    if (bytes == 0) {
      out += '?';
      bytes = 1;
    } else {
      out += left.substr(0, bytes);
    }
    left.remove_prefix(bytes);
  }
  if (text.size() > bytes_max) out += kCut;
  return out;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

static bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

size_t find_word(std::string_view text, std::string_view word, size_t from) {
  auto is_inner = [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || static_cast<uint8_t>(c) >= 0x80;
  };
  for (size_t i = from; !word.empty() && i + word.size() <= text.size(); ++i) {
    if (lower(text[i]) != lower(word.front()) || !same_text(text.substr(i, word.size()), word)) continue;
    bool starts = i == 0 || !is_inner(text[i - 1]) || !is_inner(word.front());
    bool ends = i + word.size() == text.size() || !is_inner(text[i + word.size()]) || !is_inner(word.back());
    if (starts && ends) return i;
  }
  return std::string_view::npos;
}

void replace_words(std::string& text, std::string_view word, std::string_view with) {
  for (size_t at = find_word(text, word); at != std::string::npos; at = find_word(text, word, at + with.size())) {
    text.replace(at, word.size(), with);
  }
}

}  // namespace tamis::action
