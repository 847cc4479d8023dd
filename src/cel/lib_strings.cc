// The strings extension. Positions are code points, never bytes.
#include <algorithm>

#include "cel/lib.h"
#include "cel/utf8.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::error_limit;
using event::error_no_such_overload;

Value out_of_range(Call& call, int64_t index, size_t size) {
  return fail(
      call, ErrorCode::kOutOfRange,
      {"index ", std::to_string(index), " is out of range: the string has ", std::to_string(size), " characters"});
}

bool is_ascii(std::string_view text, size_t code_points) { return text.size() == code_points; }

// Byte offset of a position that is known to lie within the text.
size_t offset_of(std::string_view text, size_t code_points, int64_t index) {
  size_t position = static_cast<size_t>(index);
  return is_ascii(text, code_points) ? position : code_point_offset(text, position);
}

Value char_at(Call& call, const Value* v) {
  std::string_view text = v[0].str();
  if (!charge_bytes(call, text.size())) return error_limit();
  size_t size = count_code_points(text);
  if (v[1].i < 0 || static_cast<uint64_t>(v[1].i) > size) return out_of_range(call, v[1].i, size);
  size_t at = offset_of(text, size, v[1].i);
  return Value::string(at == text.size() ? std::string_view() : text.substr(at, code_point_bytes(text, at)));
}

// The first place of `needle` at or behind position `from`; -1 if there is none.
Value find_from(Call& call, std::string_view text, std::string_view needle, int64_t from) {
  if (!charge_bytes(call, text.size() + needle.size())) return error_limit();
  size_t size = count_code_points(text);
  if (from < 0 || static_cast<uint64_t>(from) > size) return out_of_range(call, from, size);
  size_t found = text.find(needle, offset_of(text, size, from));
  if (found == text.npos) return Value::integer(-1);
  return Value::integer(static_cast<int64_t>(count_code_points(text.substr(0, found))));
}

Value index_of(Call& call, const Value* v) { return find_from(call, v[0].str(), v[1].str(), 0); }
Value index_of_from(Call& call, const Value* v) { return find_from(call, v[0].str(), v[1].str(), v[2].i); }

// The last place of `needle` that starts at or before byte `last`.
Value find_last(Call& call, std::string_view text, std::string_view needle, size_t last) {
  // A search from the end compares at every place: charge for that.
  if (!charge_bytes(call, text.size() + std::min(text.size(), size_t{64}) * needle.size())) return error_limit();
  size_t found = text.rfind(needle, last);
  if (found == text.npos) return Value::integer(-1);
  return Value::integer(static_cast<int64_t>(count_code_points(text.substr(0, found))));
}

Value last_index_of(Call& call, const Value* v) { return find_last(call, v[0].str(), v[1].str(), v[0].size); }
Value last_index_of_from(Call& call, const Value* v) {
  size_t size = count_code_points(v[0].str());
  if (v[2].i < 0 || static_cast<uint64_t>(v[2].i) > size) return out_of_range(call, v[2].i, size);
  return find_last(call, v[0].str(), v[1].str(), offset_of(v[0].str(), size, v[2].i));
}

template <char kFrom, char kTo>
Value change_case(Call& call, const Value* v) {
  std::string_view text = v[0].str();
  if (text.size() > kOutputBytesMax || !charge_bytes(call, text.size())) return error_limit();
  char* out = static_cast<char*>(call.arena.allocate(text.size() + 1, 1));
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char offset = static_cast<unsigned char>(text[i] - kFrom);
    out[i] = offset < 26 ? static_cast<char>(kTo + offset) : text[i];
  }
  return Value::string({out, text.size()});
}

// Replaces the first `limit` places; a negative limit means all. An empty `from` stands before every character and at
// the end.
Value replace_some(Call& call, const Value* v, int64_t limit) {
  std::string_view text = v[0].str(), from = v[1].str(), to = v[2].str();
  if (!charge_bytes(call, text.size() + from.size())) return error_limit();
  TextOut out(call.arena);
  size_t at = 0;
  for (bool first = true; limit != 0; first = false) {
    size_t found;
    if (from.empty()) {
      // Before the first character, then behind each one.
      found = first ? 0 : at < text.size() ? at + code_point_bytes(text, at) : text.npos;
    } else {
      found = text.find(from, at);
    }
    if (found == text.npos) break;
    out.append(text.substr(at, found - at));
    out.append(to);
    at = found + from.size();
    if (limit > 0) --limit;
    if (out.too_large() || !charge_bytes(call, 16 + to.size())) return error_limit();
  }
  if (out.size() == 0 && at == 0) return v[0];  // nothing was replaced
  out.append(text.substr(at));
  return out.finish();
}

Value replace(Call& call, const Value* v) { return replace_some(call, v, -1); }
Value replace_count(Call& call, const Value* v) { return replace_some(call, v, v[3].i); }

// At most `limit` parts, the last one holding the rest; a negative limit means all. An empty separator splits between
// all characters. The parts point into the text.
Value split_some(Call& call, const Value* v, int64_t limit) {
  std::string_view text = v[0].str(), separator = v[1].str();
  if (limit == 0) return Value::list({});
  if (!charge_bytes(call, text.size())) return error_limit();
  size_t count = 0, capacity = 8;
  Value* parts = call.arena.allocate_array<Value>(capacity);
  auto add = [&](std::string_view part) {
    if (count == capacity) {
      Value* more = call.arena.allocate_array<Value>(2 * capacity);
      std::copy(parts, parts + count, more);
      parts = more;
      capacity *= 2;
    }
    parts[count++] = Value::string(part);
    return count <= kOutputItemsMax && charge(call, 1);
  };
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(count) + 1 < limit) {
    size_t end;
    if (separator.empty()) {
      if (at >= text.size()) break;
      end = at + code_point_bytes(text, at);
      if (end == text.size()) break;
    } else {
      end = text.find(separator, at);
      if (end == text.npos) break;
    }
    if (!add(text.substr(at, end - at))) return error_limit();
    at = end + separator.size();
  }
  if (separator.empty() && text.empty()) return Value::list({});
  if (!add(text.substr(at))) return error_limit();
  return Value::list({parts, count});
}

Value split(Call& call, const Value* v) { return split_some(call, v, -1); }
Value split_count(Call& call, const Value* v) { return split_some(call, v, v[2].i); }

Value substring_range(Call& call, std::string_view text, int64_t start, int64_t end, size_t size) {
  if (start < 0 || static_cast<uint64_t>(start) > size) return out_of_range(call, start, size);
  if (end < 0 || static_cast<uint64_t>(end) > size) return out_of_range(call, end, size);
  if (start > end) {
    return fail(
        call, ErrorCode::kOutOfRange,
        {"the range of a substring starts at ", std::to_string(start), ", behind its end ", std::to_string(end)});
  }
  size_t from = offset_of(text, size, start);
  size_t to =
      is_ascii(text, size) ? static_cast<size_t>(end) : code_point_offset(text, static_cast<size_t>(end - start), from);
  return Value::string(text.substr(from, to - from));
}

Value substring(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].size)) return error_limit();
  size_t size = count_code_points(v[0].str());
  return substring_range(call, v[0].str(), v[1].i, static_cast<int64_t>(size), size);
}
Value substring_to(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].size)) return error_limit();
  return substring_range(call, v[0].str(), v[1].i, v[2].i, count_code_points(v[0].str()));
}

Value trim(Call& call, const Value* v) {
  std::string_view text = v[0].str();
  if (!charge_bytes(call, text.size())) return error_limit();
  for (size_t at = 0; !text.empty(); at = 0) {
    if (!is_white_space(decode_code_point(text, at))) break;
    text.remove_prefix(at);
  }
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && !is_utf8_start(text[at])) --at;
    size_t end = at;
    if (!is_white_space(decode_code_point(text, end))) break;
    text = text.substr(0, at);
  }
  return Value::string(text);
}

Value reverse(Call& call, const Value* v) {
  std::string_view text = v[0].str();
  if (text.size() > kOutputBytesMax || !charge_bytes(call, text.size())) return error_limit();
  char* out = static_cast<char*>(call.arena.allocate(text.size() + 1, 1));
  char* to = out + text.size();
  for (size_t at = 0; at < text.size();) {
    size_t bytes = code_point_bytes(text, at);
    to -= bytes;
    std::memcpy(to, text.data() + at, bytes);
    at += bytes;
  }
  return Value::string({out, text.size()});
}

Value join_with(Call& call, Value list, std::string_view separator) {
  TextOut out(call.arena);
  bool first = true;
  for (Value item : list.list_items()) {
    if (!item.is(Kind::kString)) {
      return invalid(call, {"join() takes a list of strings, not ", event::debug_string(item, 60)});
    }
    if (!first) out.append(separator);
    first = false;
    out.append(item.str());
    if (out.too_large() || !charge_bytes(call, 16 + separator.size() + item.size)) return error_limit();
  }
  return out.finish();
}

Value join(Call& call, const Value* v) { return join_with(call, v[0], {}); }
Value join_separator(Call& call, const Value* v) { return join_with(call, v[0], v[1].str()); }

// The text as a literal in double quotes that reads back as itself.
Value quote(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].size)) return error_limit();
  TextOut out(call.arena);
  out.append('"');
  for (char c : v[0].str()) {
    constexpr std::string_view kPlain = "\a\b\f\n\r\t\v\\\"";
    constexpr std::string_view kNames = "abfnrtv\\\"";
    size_t special = kPlain.find(c);
    if (special != kPlain.npos) {
      out.append('\\');
      out.append(kNames[special]);
    } else {
      out.append(c);
    }
  }
  out.append('"');
  return out.finish();
}

std::vector<Overload> make_strings() {
  const Type s = Type::string(), i = Type::integer(), strings = Type::list(s);
  Table table;
  table.member("string_char_at_int", "charAt", {s, i}, s, char_at);
  table.member("string_index_of_string", "indexOf", {s, s}, i, index_of);
  table.member("string_index_of_string_int", "indexOf", {s, s, i}, i, index_of_from);
  table.member("string_last_index_of_string", "lastIndexOf", {s, s}, i, last_index_of);
  table.member("string_last_index_of_string_int", "lastIndexOf", {s, s, i}, i, last_index_of_from);
  table.member("string_lower_ascii", "lowerAscii", {s}, s, change_case<'A', 'a'>);
  table.member("string_upper_ascii", "upperAscii", {s}, s, change_case<'a', 'A'>);
  table.member("string_replace_string_string", "replace", {s, s, s}, s, replace);
  table.member("string_replace_string_string_int", "replace", {s, s, s, i}, s, replace_count);
  table.member("string_split_string", "split", {s, s}, strings, split);
  table.member("string_split_string_int", "split", {s, s, i}, strings, split_count);
  table.member("string_substring_int", "substring", {s, i}, s, substring);
  table.member("string_substring_int_int", "substring", {s, i, i}, s, substring_to);
  table.member("string_trim", "trim", {s}, s, trim);
  table.member("string_reverse", "reverse", {s}, s, reverse);
  table.member("list_join", "join", {strings}, s, join);
  table.member("list_join_string", "join", {strings, s}, s, join_separator);
  table.global("strings_quote", "strings.quote", {s}, s, quote);
  add_format(table);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& string_library() {
  static const std::vector<Overload> table = lib::make_strings();
  return table;
}

}  // namespace tamis::cel
