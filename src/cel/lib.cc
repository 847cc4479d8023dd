#include "cel/lib.h"

#include <absl/strings/charconv.h>

#include <charconv>
#include <cmath>

namespace tamis::cel {

namespace lib {

Value fail(Call& call, ErrorCode code, std::initializer_list<std::string_view> pieces) {
  std::string message;
  for (std::string_view piece : pieces) message += piece;
  return event::make_error(call.arena, code, message);
}

std::string shown(std::string_view text) { return event::debug_string(Value::string(text), 60); }

void TextOut::append(size_t count, char c) {
  if (count == 0 || !reserve(count)) return;
  std::memset(data_ + size_, c, count);
  size_ += count;
}

bool TextOut::reserve(size_t more) {
  if (too_large_ || more > kOutputBytesMax - size_) {
    too_large_ = true;
    return false;
  }
  if (size_ + more <= capacity_) return true;
  size_t capacity = capacity_ == 0 ? 64 : 2 * capacity_;
  while (capacity < size_ + more) capacity *= 2;
  char* data = static_cast<char*>(arena_.allocate(capacity, 1));
  if (size_ > 0) std::memcpy(data, data_, size_);
  data_ = data;
  capacity_ = capacity;
  return true;
}

Digits shortest_digits(double value) {
  char text[32];
  char* end = std::to_chars(text, text + sizeof text, std::fabs(value), std::chars_format::scientific).ptr;
  Digits digits;
  char* at = text;
  for (; at != end && *at != 'e'; ++at) {
    if (*at != '.') digits.text[digits.count++] = *at;
  }
  ++at;
  bool negative = *at++ == '-';
  for (; at != end; ++at) digits.exponent = digits.exponent * 10 + (*at - '0');
  if (negative) digits.exponent = -digits.exponent;
  return digits;
}

namespace {

bool append_special(TextOut& out, double value) {
  if (std::isfinite(value)) return false;
  out.append(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
  return true;
}

void append_digits(TextOut& out, const Digits& digits) {
  std::string_view text(digits.text, static_cast<size_t>(digits.count));
  if (digits.exponent < 0) {
    out.append("0.");
    out.append(static_cast<size_t>(-digits.exponent - 1), '0');
    out.append(text);
    return;
  }
  size_t whole = static_cast<size_t>(digits.exponent) + 1;
  out.append(text.substr(0, whole));
  if (whole >= text.size()) {
    out.append(whole - text.size(), '0');
  } else {
    out.append('.');
    out.append(text.substr(whole));
  }
}

}  // namespace

void append_plain(TextOut& out, double value) {
  if (append_special(out, value)) return;
  if (std::signbit(value)) out.append('-');
  append_digits(out, shortest_digits(value));
}

void append_general(TextOut& out, double value) {
  if (append_special(out, value)) return;
  Digits digits = shortest_digits(value);
  if (std::signbit(value)) out.append('-');
  if (digits.exponent >= -4 && digits.exponent < 21) {
    append_digits(out, digits);
    return;
  }
  out.append(digits.text[0]);
  if (digits.count > 1) {
    out.append('.');
    out.append(std::string_view(digits.text + 1, static_cast<size_t>(digits.count) - 1));
  }
  int exponent = digits.exponent < 0 ? -digits.exponent : digits.exponent;
  out.append(digits.exponent < 0 ? "e-" : "e+");
  if (exponent < 10) out.append('0');
  char text[8];
  out.append(std::string_view(text, static_cast<size_t>(std::to_chars(text, text + sizeof text, exponent).ptr - text)));
}

bool parse_double(std::string_view text, double& out) {
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || text.size() > 4096) return false;
  bool number = (text[0] >= '0' && text[0] <= '9') || text[0] == '.';
  if (!number) {
    // Names in any case, as JSON writers and other languages spell them.
    auto is = [&](std::string_view name) {
      if (text.size() != name.size()) return false;
      for (size_t i = 0; i < name.size(); ++i) {
        if ((text[i] | 0x20) != name[i]) return false;
      }
      return true;
    };
    if (is("nan")) {
      out = std::nan("");
      return true;
    }
    if (!is("inf") && !is("infinity")) return false;
    out = negative ? -HUGE_VAL : HUGE_VAL;
    return true;
  }
  if (text.find_first_of("xX") != text.npos) return false;  // the library would read hexadecimal
  double value = 0;
  auto result = absl::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ptr != text.data() + text.size()) return false;
  if (result.ec == std::errc::result_out_of_range && std::fabs(value) > 1) return false;
  if (result.ec == std::errc::invalid_argument) return false;
  out = negative ? -value : value;
  return true;
}

bool is_zero(Value v) {
  switch (v.kind) {
    case Kind::kAbsent:
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return !v.b;
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDuration:
      return v.i == 0;
    case Kind::kDouble:
      return v.d == 0;
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
      return v.size == 0;
    case Kind::kTimestamp:
      return v.i == 0 && v.size == 0;
    case Kind::kMap:
      return v.map->size == 0;
    case Kind::kOptional:
      return v.optional == nullptr;
    default:
      return false;
  }
}

namespace {

// The position that a number means in a list: 1, 1u and 1.0 are the same index. -1: none of it.
int64_t list_position(Value key, uint32_t size) {
  if (key.is(Kind::kInt)) return key.i >= 0 && key.i < size ? key.i : -1;
  if (key.is(Kind::kUint)) return key.u < size ? static_cast<int64_t>(key.u) : -1;
  return key.d >= 0 && key.d < size ? static_cast<int64_t>(key.d) : -1;
}

bool is_number(Value v) { return v.is(Kind::kInt) || v.is(Kind::kUint) || v.is(Kind::kDouble); }

}  // namespace

Value index_value(Call& call, Value container, Value key, bool optional) {
  if (container.is(Kind::kOptional)) {
    return container.optional == nullptr ? container : index_value(call, *container.optional, key, true);
  }
  const Value* found = nullptr;
  if (container.is(Kind::kList)) {
    if (!is_number(key)) return event::error_no_such_overload();
    if (key.is(Kind::kDouble) && key.d != std::trunc(key.d)) {
      return invalid(call, {"the index of a list must be a whole number, not ", event::debug_string(key)});
    }
    int64_t at = list_position(key, container.size);
    if (at >= 0) found = &container.items[at];
    if (found == nullptr && !optional) {
      return fail(call, ErrorCode::kOutOfRange,
                  {"index ", event::debug_string(key), " is out of range: the list has ",
                   std::to_string(container.size), " elements"});
    }
  } else if (container.is(Kind::kMap)) {
    if (!is_number(key) && !key.is(Kind::kString) && !key.is(Kind::kBool)) return event::error_no_such_overload();
    found = event::map_find(*container.map, key);
    if (found == nullptr && !optional) {
      return fail(call, ErrorCode::kNoSuchField, {"no such key: ", event::debug_string(key, 80)});
    }
  } else {
    return event::error_no_such_overload();
  }
  if (!optional) return *found;
  return found == nullptr ? Value::none() : Value::some(call.arena.make(*found));
}

}  // namespace lib

bool fits(const Type& type, Value value) {
  using TypeKind = Type::Kind;
  using event::Kind;
  switch (type.kind) {
    case TypeKind::kError:
    case TypeKind::kDyn:
    case TypeKind::kParam:
      return true;
    case TypeKind::kNull:
      return value.is(Kind::kNull);
    case TypeKind::kBool:
      return value.is(Kind::kBool);
    case TypeKind::kInt:
      return value.is(Kind::kInt);
    case TypeKind::kUint:
      return value.is(Kind::kUint);
    case TypeKind::kDouble:
      return value.is(Kind::kDouble);
    case TypeKind::kString:
      return value.is(Kind::kString);
    case TypeKind::kBytes:
      return value.is(Kind::kBytes);
    case TypeKind::kTimestamp:
      return value.is(Kind::kTimestamp);
    case TypeKind::kDuration:
      return value.is(Kind::kDuration);
    case TypeKind::kList:
      return value.is(Kind::kList);
    case TypeKind::kMap:
      return value.is(Kind::kMap);
    case TypeKind::kType:
      return value.is(Kind::kType);
    case TypeKind::kOptional:
      return value.is(Kind::kOptional);
    case TypeKind::kWrapper:
      return value.is(Kind::kNull) || (!type.params.empty() && fits(type.params[0], value));
    case TypeKind::kOpaque:
      if (type.name == "net.IP") return value.is(Kind::kIp);
      if (type.name == "net.CIDR") return value.is(Kind::kCidr);
      if (type.name == "tamis.list" || type.name == "tamis.entity_kind") return value.is(Kind::kHandle);
      return value.is(Kind::kOpaque) && value.opaque->type_name == type.name;
  }
  return false;
}

}  // namespace tamis::cel
