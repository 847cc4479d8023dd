#include "cel/tagged_value.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

namespace tamis::cel {

using event::Kind;
using event::MapEntry;
using event::Value;

namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string encode_base64(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out.push_back(kBase64[(bits >> (count - 6)) & 63]);
  }
  if (count > 0) out.push_back(kBase64[(bits << (6 - count)) & 63]);
  while (out.size() % 4 != 0) out.push_back('=');
  return out;
}

base::Result<std::string> decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) return base::invalid("bytes are not base64");
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 255));
    }
  }
  return out;
}

template <class T>
base::Result<T> parse_number(std::string_view text) {
  T value{};
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) {
    return base::invalid("`" + std::string(text) + "` is not a number of its type");
  }
  return value;
}

base::Result<double> parse_double(std::string_view text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return parse_number<double>(text);
}

std::string text_at(simdjson::dom::element json, const char* key) {
  simdjson::dom::element at;
  if (json[key].get(at) != simdjson::SUCCESS) return {};
  if (std::string_view text; at.get(text) == simdjson::SUCCESS) return std::string(text);
  return simdjson::minify(at);  // numbers where text is usual
}

base::Result<Value> read_list(simdjson::dom::element json, base::Arena& arena) {
  simdjson::dom::array array;
  if (json["v"].get(array) != simdjson::SUCCESS) return base::invalid("a list needs an array `v`");
  Value* items = arena.allocate_array<Value>(array.size());
  uint32_t count = 0;
  for (simdjson::dom::element item : array) {
    TAMIS_TRY(value, read_tagged(item, arena));
    items[count++] = value;
  }
  return Value::list({items, count});
}

base::Result<Value> read_map(simdjson::dom::element json, base::Arena& arena) {
  simdjson::dom::array array;
  if (json["v"].get(array) != simdjson::SUCCESS) return base::invalid("a map needs an array `v` of pairs");
  MapEntry* entries = arena.allocate_array<MapEntry>(array.size());
  uint32_t count = 0;
  for (simdjson::dom::element pair : array) {
    simdjson::dom::element key, value;
    if (pair.at(0).get(key) != simdjson::SUCCESS || pair.at(1).get(value) != simdjson::SUCCESS) {
      return base::invalid("an entry of a map must be a pair");
    }
    TAMIS_TRY(k, read_tagged(key, arena));
    TAMIS_TRY(v, read_tagged(value, arena));
    entries[count++] = {k, v};
  }
  Value map = event::make_map(arena, {entries, count});
  if (map.is_error()) return base::invalid("a map with a key that repeats or cannot be one");
  return map;
}

base::Result<Value> read_time(simdjson::dom::element json, bool timestamp) {
  std::string s = text_at(json, "s"), n = text_at(json, "n");
  TAMIS_TRY(seconds, parse_number<int64_t>(s.empty() ? "0" : s));
  TAMIS_TRY(nanos, parse_number<int64_t>(n.empty() ? "0" : n));
  if (nanos <= -1'000'000'000 || nanos >= 1'000'000'000) return base::invalid("nanoseconds out of range");
  if (timestamp) {
    if (nanos < 0) return base::invalid("a timestamp has no negative nanoseconds");
    return Value::timestamp(seconds, static_cast<uint32_t>(nanos));
  }
  int64_t total = 0;
  if (__builtin_mul_overflow(seconds, int64_t{1'000'000'000}, &total) || __builtin_add_overflow(total, nanos, &total)) {
    return base::invalid("a duration beyond 64 bits of nanoseconds");
  }
  return Value::duration(total);
}

void write_entries(std::string& out, Value v) {
  out += "[";
  for (uint32_t i = 0; i < v.map->size; ++i) {
    out += i == 0 ? "[" : ",[";
    write_tagged(out, v.map->entries[i].key);
    out += ",";
    write_tagged(out, v.map->entries[i].value);
    out += "]";
  }
  out += "]";
}

std::string double_text(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  auto [end, problem] = std::to_chars(buffer, buffer + sizeof buffer, d);
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void write_time(std::string& out, std::string_view tag, int64_t seconds, int64_t nanos) {
  out += "{\"t\":\"" + std::string(tag) + "\",\"s\":\"" + std::to_string(seconds) +
         "\",\"n\":" + std::to_string(nanos) + "}";
}

void write_text(std::string& out, std::string_view tag, std::string_view text) {
  out += "{\"t\":";
  write_json_text(out, tag);
  out += ",\"v\":";
  write_json_text(out, text);
  out += "}";
}

bool same_map(const event::MapData& a, const event::MapData& b) {
  if (a.size != b.size) return false;
  for (uint32_t i = 0; i < a.size; ++i) {
    bool found = false;
    for (uint32_t k = 0; k < b.size && !found; ++k) {
      found = same_value(a.entries[i].key, b.entries[k].key) && same_value(a.entries[i].value, b.entries[k].value);
    }
    if (!found) return false;
  }
  return true;
}

}  // namespace

base::Result<Value> read_tagged(simdjson::dom::element json, base::Arena& arena) {
  std::string tag = text_at(json, "t");
  std::string text = text_at(json, "v");
  if (tag == "null") return Value::null();
  if (tag == "bool") return Value::boolean(text == "true");
  if (tag == "list") return read_list(json, arena);
  if (tag == "map") return read_map(json, arena);
  if (tag == "timestamp" || tag == "duration") return read_time(json, tag == "timestamp");
  if (tag == "string") return Value::string(arena.copy(text));
  if (tag == "type") return Value::type(arena.copy(text));
  if (tag == "error") return event::make_error(arena, event::ErrorCode::kOther, text);
  if (tag == "int") {
    TAMIS_TRY(v, parse_number<int64_t>(text));
    return Value::integer(v);
  }
  if (tag == "uint") {
    TAMIS_TRY(v, parse_number<uint64_t>(text));
    return Value::uinteger(v);
  }
  if (tag == "double") {
    TAMIS_TRY(v, parse_double(text));
    return Value::real(v);
  }
  if (tag == "bytes") {
    TAMIS_TRY(bytes, decode_base64(text));
    return Value::bytes(arena.copy(bytes));
  }
  return base::invalid("a value with the unknown tag `" + tag + "`");
}

void write_json_text(std::string& out, std::string_view text) {
  out.push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void write_tagged(std::string& out, Value v) {
  switch (v.kind) {
    case Kind::kNull:
      out += "{\"t\":\"null\"}";
      return;
    case Kind::kBool:
      out += v.b ? "{\"t\":\"bool\",\"v\":true}" : "{\"t\":\"bool\",\"v\":false}";
      return;
    case Kind::kInt:
      write_text(out, "int", std::to_string(v.i));
      return;
    case Kind::kUint:
      write_text(out, "uint", std::to_string(v.u));
      return;
    case Kind::kDouble:
      write_text(out, "double", double_text(v.d));
      return;
    case Kind::kString:
      write_text(out, "string", v.str());
      return;
    case Kind::kBytes:
      write_text(out, "bytes", encode_base64(v.str()));
      return;
    case Kind::kType:
      write_text(out, "type", v.str());
      return;
    case Kind::kTimestamp:
      write_time(out, "timestamp", v.i, v.size);
      return;
    case Kind::kDuration:
      write_time(out, "duration", v.i / 1'000'000'000, v.i % 1'000'000'000);
      return;
    case Kind::kList:
      out += "{\"t\":\"list\",\"v\":[";
      for (uint32_t i = 0; i < v.size; ++i) {
        if (i > 0) out += ",";
        write_tagged(out, v.items[i]);
      }
      out += "]}";
      return;
    case Kind::kMap:
      out += "{\"t\":\"map\",\"v\":";
      write_entries(out, v);
      out += "}";
      return;
    case Kind::kOptional:
      out += "{\"t\":\"optional\"";
      if (v.optional != nullptr) {
        out += ",\"v\":";
        write_tagged(out, *v.optional);
      }
      out += "}";
      return;
    default:
      write_text(out, event::type_name(v), event::debug_string(v));
      return;
  }
}

bool same_value(Value a, Value b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kDouble:
      return a.d == b.d || (std::isnan(a.d) && std::isnan(b.d));
    case Kind::kList:
      if (a.size != b.size) return false;
      for (uint32_t i = 0; i < a.size; ++i) {
        if (!same_value(a.items[i], b.items[i])) return false;
      }
      return true;
    case Kind::kMap:
      return same_map(*a.map, *b.map);
    case Kind::kOptional:
      if (a.optional == nullptr || b.optional == nullptr) return a.optional == b.optional;
      return same_value(*a.optional, *b.optional);
    case Kind::kError:
      return false;
    default:
      return event::equal(a, b);
  }
}

}  // namespace tamis::cel
