// string.format() (cel-spec, "Strings" extension): %[.precision]conversion.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cel/lib.h"
#include "cel/utf8.h"
#include "event/time_text.h"

namespace tamis::cel::lib {

namespace {

constexpr int kPrecisionDefault = 6;
constexpr int kPrecisionMax = 1000;

// Bytes as text: each run of malformed bytes becomes one replacement character.
void append_bytes(TextOut& out, std::string_view bytes) {
  if (is_valid_utf8(bytes)) {
    out.append(bytes);
    return;
  }
  bool replaced = false;
  for (size_t at = 0; at < bytes.size();) {
    size_t from = at;
    uint32_t code_point = decode_code_point(bytes, at);
    // U+FFFD that stands in the bytes takes three of them.
    bool malformed = code_point == 0xfffd && at - from == 1;
    if (!malformed) out.append(bytes.substr(from, at - from));
    if (malformed && !replaced) out.append("\xef\xbf\xbd");
    replaced = malformed;
  }
}

template <class T>
void append_number(TextOut& out, T value, int base, bool upper = false) {
  char text[72];
  char* end = std::to_chars(text, text + sizeof text, value, base).ptr;
  if (upper) {
    for (char* c = text; c != end; ++c) *c = *c >= 'a' && *c <= 'z' ? static_cast<char>(*c - 32) : *c;
  }
  out.append(std::string_view(text, static_cast<size_t>(end - text)));
}

class Formatter {
 public:
  Formatter(Call& call, std::string_view pattern, std::span<const Value> args)
      : call_(call), pattern_(pattern), args_(args), out_(call.arena) {}

  Value run();

 private:
  // Each of these returns false after noting an error.
  bool clause();
  bool precision(int& digits);
  bool plain(TextOut& out, Value v);
  bool map(TextOut& out, const event::MapData& data);
  bool decimal(Value v);
  bool real(Value v, int digits, bool scientific);
  bool whole(Value v, int base, char name);
  bool hex(Value v, bool upper);

  bool error(Value e) {
    error_ = e;
    return false;
  }
  bool wrong_type(char name, std::string_view takes, Value v) {
    return error(
        invalid(call_, {"format(): %", std::string_view(&name, 1), " takes ", takes, ", not ", event::type_name(v)}));
  }

  Call& call_;
  std::string_view pattern_;
  std::span<const Value> args_;
  TextOut out_;
  size_t at_ = 0;
  size_t next_ = 0;
  Value error_;
};

Value Formatter::run() {
  if (!charge_bytes(call_, pattern_.size())) return event::error_limit();
  while (at_ < pattern_.size()) {
    size_t percent = std::min(pattern_.find('%', at_), pattern_.size());
    out_.append(pattern_.substr(at_, percent - at_));
    at_ = percent;
    if (at_ == pattern_.size()) break;
    if (pattern_.substr(at_, 2) == "%%") {
      out_.append('%');
      at_ += 2;
      continue;
    }
    size_t before = out_.size();
    if (!clause()) return error_;
    if (out_.too_large() || !charge_bytes(call_, 16 + out_.size() - before)) return event::error_limit();
  }
  return out_.finish();
}

bool Formatter::clause() {
  ++at_;
  int digits = kPrecisionDefault;
  if (!precision(digits)) return false;
  if (at_ >= pattern_.size()) return error(invalid(call_, {"format(): the pattern ends within a clause"}));
  char name = pattern_[at_++];
  if (std::string_view("sdfebxXo").find(name) == std::string_view::npos) {
    size_t at = at_ - 1;
    return error(invalid(call_, {"format(): unknown clause %", pattern_.substr(at, code_point_bytes(pattern_, at)),
                                 "; s, d, f, e, b, x, X and o are known"}));
  }
  if (next_ >= args_.size()) {
    return error(fail(call_, ErrorCode::kOutOfRange,
                      {"format(): the pattern asks for argument ", std::to_string(next_ + 1), ", but there are ",
                       std::to_string(args_.size())}));
  }
  Value v = args_[next_++];
  switch (name) {
    case 's':
      return plain(out_, v);
    case 'd':
      return decimal(v);
    case 'f':
      return real(v, digits, false);
    case 'e':
      return real(v, digits, true);
    case 'b':
      return whole(v, 2, name);
    case 'o':
      return whole(v, 8, name);
    default:
      return hex(v, name == 'X');
  }
}

bool Formatter::precision(int& digits) {
  if (at_ >= pattern_.size() || pattern_[at_] != '.') return true;
  const char* begin = pattern_.data() + at_ + 1;
  const char* end = pattern_.data() + pattern_.size();
  unsigned value = 0;
  auto [after, code] = std::from_chars(begin, end, value);
  if (code == std::errc::invalid_argument) {
    return error(invalid(call_, {"format(): digits are expected behind the point of a precision"}));
  }
  if (code != std::errc() || value > kPrecisionMax) {
    return error(invalid(call_, {"format(): a precision above ", std::to_string(kPrecisionMax)}));
  }
  digits = static_cast<int>(value);
  at_ = static_cast<size_t>(after - pattern_.data());
  return true;
}

// %s, and the elements of lists and maps within it.
bool Formatter::plain(TextOut& out, Value v) {
  char text[event::kTimeTextBytesMax];
  if (out.too_large()) return true;
  if (!charge(call_, 1)) return error(event::error_limit());
  switch (v.kind) {
    case Kind::kNull:
      out.append("null");
      return true;
    case Kind::kBool:
      out.append(v.b ? "true" : "false");
      return true;
    case Kind::kInt:
      append_number(out, v.i, 10);
      return true;
    case Kind::kUint:
      append_number(out, v.u, 10);
      return true;
    case Kind::kDouble:
      append_plain(out, v.d);
      return true;
    case Kind::kString:
    case Kind::kType:
      out.append(v.str());
      return true;
    case Kind::kBytes:
      append_bytes(out, v.str());
      return true;
    case Kind::kTimestamp:
      out.append(event::format_timestamp(v.i, v.size, text));
      return true;
    case Kind::kDuration:
      out.append(event::format_duration(v.i, text));
      return true;
    case Kind::kMap:
      return map(out, *v.map);
    case Kind::kList: {
      out.append('[');
      bool first = true;
      for (Value item : v.list_items()) {
        if (!first) out.append(", ");
        first = false;
        if (!plain(out, item)) return false;
      }
      out.append(']');
      return true;
    }
    default:
      return wrong_type('s', "null, bool, numbers, text, bytes, times, types, and lists and maps of them", v);
  }
}

// Entries are sorted by the text of their keys.
bool Formatter::map(TextOut& out, const event::MapData& data) {
  struct Entry {
    std::string_view key;
    Value value;
  };
  Entry* entries = call_.arena.allocate_array<Entry>(data.size);
  for (uint32_t i = 0; i < data.size; ++i) {
    TextOut key(call_.arena);
    if (!plain(key, data.entries[i].key)) return false;
    entries[i] = {key.text(), data.entries[i].value};
  }
  std::stable_sort(entries, entries + data.size, [](const Entry& a, const Entry& b) { return a.key < b.key; });
  out.append('{');
  for (uint32_t i = 0; i < data.size; ++i) {
    if (i > 0) out.append(", ");
    out.append(entries[i].key);
    out.append(": ");
    if (!plain(out, entries[i].value)) return false;
  }
  out.append('}');
  return true;
}

bool Formatter::decimal(Value v) {
  switch (v.kind) {
    case Kind::kInt:
      append_number(out_, v.i, 10);
      return true;
    case Kind::kUint:
      append_number(out_, v.u, 10);
      return true;
    case Kind::kDouble:
      append_plain(out_, v.d);
      return true;
    default:
      return wrong_type('d', "int, uint or double", v);
  }
}

bool Formatter::real(Value v, int digits, bool scientific) {
  double value;
  switch (v.kind) {
    case Kind::kInt:
      value = static_cast<double>(v.i);
      break;
    case Kind::kUint:
      value = static_cast<double>(v.u);
      break;
    case Kind::kDouble:
      value = v.d;
      break;
    default:
      return wrong_type(scientific ? 'e' : 'f', "int, uint or double", v);
  }
  if (!std::isfinite(value)) {
    append_plain(out_, value);
    return true;
  }
  // Both round the exact binary value, a tie to the even digit, whatever the locale.
  fmt::memory_buffer text;
  if (scientific) {
    fmt::format_to(std::back_inserter(text), "{:.{}e}", value, digits);
  } else {
    fmt::format_to(std::back_inserter(text), "{:.{}f}", value, digits);
  }
  out_.append(std::string_view(text.data(), text.size()));
  return true;
}

bool Formatter::whole(Value v, int base, char name) {
  if (name == 'b' && v.is(Kind::kBool)) {
    out_.append(v.b ? '1' : '0');
    return true;
  }
  if (v.is(Kind::kInt)) {
    append_number(out_, v.i, base);
    return true;
  }
  if (v.is(Kind::kUint)) {
    append_number(out_, v.u, base);
    return true;
  }
  return wrong_type(name, name == 'b' ? "int, uint or bool" : "int or uint", v);
}

bool Formatter::hex(Value v, bool upper) {
  switch (v.kind) {
    case Kind::kInt:
      append_number(out_, v.i, 16, upper);
      return true;
    case Kind::kUint:
      append_number(out_, v.u, 16, upper);
      return true;
    case Kind::kString:
    case Kind::kBytes: {
      const char* kDigits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
      for (char c : v.str()) {
        unsigned char byte = static_cast<unsigned char>(c);
        char pair[2] = {kDigits[byte >> 4], kDigits[byte & 15]};
        out_.append(std::string_view(pair, 2));
      }
      return true;
    }
    default:
      return wrong_type(upper ? 'X' : 'x', "int, uint, string or bytes", v);
  }
}

Value format(Call& call, const Value* v) { return Formatter(call, v[0].str(), v[1].list_items()).run(); }

}  // namespace

void add_format(Table& table) {
  table.member("string_format", "format", {Type::string(), Type::list(Type::dyn())}, Type::string(), format).cost = 4;
}

}  // namespace tamis::cel::lib
