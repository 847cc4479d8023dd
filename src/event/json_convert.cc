#include "event/json_convert.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/base64.h"
#include "event/domain.h"
#include "event/ip.h"
#include "event/time_text.h"

namespace tamis::event {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr double kTwo63 = 9223372036854775808.0;
constexpr double kTwo64 = 18446744073709551616.0;

// How many units make a second, by the format or (kAuto) by the magnitude of the number.
int64_t units_per_second(double magnitude, TimeFormat format) {
  switch (format) {
    case TimeFormat::kSeconds:
      return 1;
    case TimeFormat::kMillis:
      return 1'000;
    case TimeFormat::kMicros:
      return 1'000'000;
    case TimeFormat::kAuto:
      return magnitude < 1e11 ? 1 : magnitude < 1e14 ? 1'000 : 1'000'000;
    case TimeFormat::kRfc3339:
      break;
  }
  return 0;
}

// By reference: a Type made for each list would allocate.
const Type& dyn_type() {
  static const Type kDyn = Type::dyn();
  return kDyn;
}
const Type& param_of(const Type& type, size_t index) {
  return index < type.params.size() ? type.params[index] : dyn_type();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "0", "-12"; neither "-0" nor "007".
bool is_whole(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || (text[0] == '0' && (negative || text.size() > 1))) return false;
  return std::all_of(text.begin(), text.end(), is_digit);
}

// As JSON writes numbers.
bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  size_t at = 0;
  auto digits = [&] {
    const size_t from = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at > from;
  };
  if (!digits() || (text[0] == '0' && at > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (!digits()) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (!digits()) return false;
  }
  return at == text.size();
}

template <class Number>
bool read_all(std::string_view text, Number& to) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, to);
  return read.ec == std::errc{} && read.ptr == end;
}

std::string_view kind_name(JsonTape::Kind kind) {
  switch (kind) {
    case JsonTape::Kind::kArray:
      return "list";
    case JsonTape::Kind::kObject:
      return "map";
    case JsonTape::Kind::kNull:
      return "null";
    case JsonTape::Kind::kTrue:
    case JsonTape::Kind::kFalse:
      return "bool";
    case JsonTape::Kind::kInt:
      return "int";
    case JsonTape::Kind::kUint:
      return "uint";
    case JsonTape::Kind::kDouble:
      return "double";
    case JsonTape::Kind::kString:
      break;
  }
  return "string";
}

bool is_timestamp(int64_t seconds) { return seconds >= kTimestampSecondsMin && seconds <= kTimestampSecondsMax; }

}  // namespace

bool instant_of(int64_t number, TimeFormat format, int64_t& seconds, uint32_t& nanos) {
  const int64_t units = units_per_second(std::fabs(static_cast<double>(number)), format);
  if (units == 0) return false;
  seconds = number / units;
  int64_t rest = number % units;
  if (rest < 0) {
    rest += units;
    --seconds;
  }
  nanos = static_cast<uint32_t>(rest * (kNanosPerSecond / units));
  return is_timestamp(seconds);
}

bool instant_of(double number, TimeFormat format, int64_t& seconds, uint32_t& nanos) {
  const int64_t units = units_per_second(std::fabs(number), format);
  if (units == 0 || !(std::fabs(number) < 1e18)) return false;
  // A double of today holds about 0.2 us of a second: finer digits would be noise.
  const double whole = std::floor(number);
  if (!instant_of(static_cast<int64_t>(whole),
                  units == 1       ? TimeFormat::kSeconds
                  : units == 1'000 ? TimeFormat::kMillis
                                   : TimeFormat::kMicros,
                  seconds, nanos)) {
    return false;
  }
  const int64_t micros_per_unit = 1'000'000 / units;
  const int64_t micros = std::llround((number - whole) * static_cast<double>(micros_per_unit));
  const int64_t sum = int64_t{nanos} + micros * 1'000;
  seconds += sum / kNanosPerSecond;
  nanos = static_cast<uint32_t>(sum % kNanosPerSecond);
  return is_timestamp(seconds);
}

// What was found, for messages: the type, and the value where it is short.
std::string JsonConverter::describe(size_t found) const {
  switch (tape_.kind(found)) {
    case JsonTape::Kind::kArray:
      return "list";
    case JsonTape::Kind::kObject:
      return "map";
    case JsonTape::Kind::kNull:
      return "null";
    case JsonTape::Kind::kTrue:
      return "bool true";
    case JsonTape::Kind::kFalse:
      return "bool false";
    case JsonTape::Kind::kInt:
      return "int " + std::to_string(tape_.integer(found));
    case JsonTape::Kind::kUint:
      return "uint " + std::to_string(tape_.uinteger(found));
    case JsonTape::Kind::kDouble: {
      char digits[40];
      const auto end = std::to_chars(digits, digits + sizeof digits, tape_.real(found));
      return "double " + std::string(digits, end.ptr);
    }
    case JsonTape::Kind::kString:
      break;
  }
  constexpr size_t kShownBytes = 60;
  const std::string_view text = tape_.text(found);
  size_t cut = std::min(text.size(), kShownBytes);
  while (cut < text.size() && cut > 0 && (text[cut] & 0xC0) == 0x80) --cut;  // not inside a character
  std::string shown = "string \"";
  for (const char c : text.substr(0, cut)) shown += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return shown + (cut < text.size() ? "...\"" : "\"");
}

bool JsonConverter::refuse(size_t from, std::string_view expected) {
  why_ = "expected " + std::string(expected) + ", found ";
  kind_ = why_ + std::string(kind_name(tape_.kind(from)));
  why_ += describe(from);
  return false;
}

bool JsonConverter::refuse_range(size_t from, std::string_view type) {
  const std::string rest = " is out of the range of " + std::string(type);
  why_ = describe(from) + rest;
  kind_ = std::string(kind_name(tape_.kind(from))) + rest;
  return false;
}

bool JsonConverter::within_limit(size_t items) {
  if (items <= list_items_max_) return true;
  const std::string rest = " items are more than the limit of " + std::to_string(list_items_max_);
  why_ = std::to_string(items) + rest;
  kind_ = "its" + rest;
  return false;
}

bool JsonConverter::convert(size_t from, const Type& type, Semantic semantic, Value& to) {
  switch (type.kind) {
    case Type::Kind::kBool:
      if (tape_.kind(from) != JsonTape::Kind::kTrue && tape_.kind(from) != JsonTape::Kind::kFalse) {
        return refuse(from, "bool");
      }
      to = Value::boolean(tape_.kind(from) == JsonTape::Kind::kTrue);
      return true;
    case Type::Kind::kInt:
      return to_integer(from, to);
    case Type::Kind::kUint:
      return to_uinteger(from, to);
    case Type::Kind::kDouble:
      return to_real(from, to);
    case Type::Kind::kString:
      return to_string(from, semantic, to);
    case Type::Kind::kBytes:
      return to_bytes(from, to);
    case Type::Kind::kDuration:
      return to_duration(from, to);
    case Type::Kind::kTimestamp: {
      int64_t seconds = 0;
      uint32_t nanos = 0;
      if (!to_instant(from, TimeFormat::kAuto, seconds, nanos)) return false;
      to = Value::timestamp(seconds, nanos);
      return true;
    }
    case Type::Kind::kList:
      return to_list(from, param_of(type, 0), to);
    case Type::Kind::kMap:
      return to_map(from, param_of(type, 1), to);
    case Type::Kind::kDyn:
      return to_any(from, to);
    default:
      break;
  }
  why_ = kind_ = "the schema gives a type that no event can carry";
  return false;
}

bool JsonConverter::to_integer(size_t from, Value& to) {
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kInt:
      to = Value::integer(tape_.integer(from));
      return true;
    case JsonTape::Kind::kUint:
      return refuse_range(from, "int");
    case JsonTape::Kind::kDouble: {
      const double value = tape_.real(from);
      if (value != std::floor(value)) break;
      if (value < -kTwo63 || value >= kTwo63) return refuse_range(from, "int");
      to = Value::integer(static_cast<int64_t>(value));
      return true;
    }
    case JsonTape::Kind::kString: {
      int64_t value = 0;
      if (!number_of_text(from, value)) break;
      to = Value::integer(value);
      return true;
    }
    default:
      break;
  }
  return refuse(from, "int");
}

bool JsonConverter::to_uinteger(size_t from, Value& to) {
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kUint:
      to = Value::uinteger(tape_.uinteger(from));
      return true;
    case JsonTape::Kind::kInt: {
      const int64_t value = tape_.integer(from);
      if (value < 0) return refuse_range(from, "uint");
      to = Value::uinteger(static_cast<uint64_t>(value));
      return true;
    }
    case JsonTape::Kind::kDouble: {
      const double value = tape_.real(from);
      if (value != std::floor(value)) break;
      if (value < 0 || value >= kTwo64) return refuse_range(from, "uint");
      to = Value::uinteger(static_cast<uint64_t>(value));
      return true;
    }
    case JsonTape::Kind::kString: {
      uint64_t value = 0;
      if (!number_of_text(from, value)) break;
      to = Value::uinteger(value);
      return true;
    }
    default:
      break;
  }
  return refuse(from, "uint");
}

bool JsonConverter::to_real(size_t from, Value& to) {
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kDouble:
      to = Value::real(tape_.real(from));
      return true;
    case JsonTape::Kind::kInt:
      to = Value::real(static_cast<double>(tape_.integer(from)));
      return true;
    case JsonTape::Kind::kUint:
      to = Value::real(static_cast<double>(tape_.uinteger(from)));
      return true;
    case JsonTape::Kind::kString: {
      double value = 0;
      if (!number_of_text(from, value)) break;
      to = Value::real(value);
      return true;
    }
    default:
      break;
  }
  return refuse(from, "double");
}

// Of whole numbers only the one text that a number has: "07" may be a name of something.
bool JsonConverter::number_of_text(size_t from, int64_t& to) const {
  const std::string_view text = tape_.text(from);
  return !strict_ && is_whole(text) && read_all(text, to);
}
bool JsonConverter::number_of_text(size_t from, uint64_t& to) const {
  const std::string_view text = tape_.text(from);
  return !strict_ && is_whole(text) && read_all(text, to);
}
bool JsonConverter::number_of_text(size_t from, double& to) const {
  const std::string_view text = tape_.text(from);
  return !strict_ && is_number(text) && read_all(text, to) && std::isfinite(to);
}

bool JsonConverter::to_string(size_t from, Semantic semantic, Value& to) {
  const JsonTape::Kind kind = tape_.kind(from);
  const bool is_whole_number = kind == JsonTape::Kind::kInt || kind == JsonTape::Kind::kUint;
  if (is_whole_number && !strict_ && semantic == Semantic::kNone) {
    std::string_view digits;
    (void)to_id(from, digits);
    to = Value::string(digits);
    return true;
  }
  if (kind != JsonTape::Kind::kString) return refuse(from, "string");
  const std::string_view text = tape_.text(from);
  to = Value::string(keep(text));
  if (semantic == Semantic::kDomain) {
    const std::string_view name = normalise_domain(text, arena_);
    if (!name.empty() && name != text) to = Value::string(arena_.copy(name));
    return true;
  }
  if (semantic != Semantic::kIp) return true;
  // One address has one text, so that lists, windows and joins meet; what is no address is kept as it came.
  IpData ip;
  const IpForm form = read_ip(text, ip);
  if (form == IpForm::kInvalid || form == IpForm::kZone || form == IpForm::kV4) return true;
  char canonical[kIpTextBytesMax];
  const std::string_view formatted = format_ip(ip, canonical);
  if (formatted != text) to = Value::string(arena_.copy(formatted));
  return true;
}

bool JsonConverter::to_bytes(size_t from, Value& to) {
  if (tape_.kind(from) != JsonTape::Kind::kString) return refuse(from, "bytes (base64)");
  const std::string_view text = tape_.text(from);
  char* out = static_cast<char*>(arena_.allocate(base::base64_decoded_bytes_max(text), 1));
  const size_t bytes = base::decode_base64(text, out);
  if (bytes == base::kNotBase64) return refuse(from, "bytes (base64)");
  to = Value::bytes({out, bytes});
  return true;
}

bool JsonConverter::to_instant(size_t from, TimeFormat format, int64_t& seconds, uint32_t& nanos) {
  constexpr std::string_view kExpected[] = {"a time (RFC 3339 or a number since the epoch)", "a time (RFC 3339)",
                                            "a time (seconds since the epoch)", "a time (milliseconds since the epoch)",
                                            "a time (microseconds since the epoch)"};
  bool done = false;
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kInt:
      done = instant_of(tape_.integer(from), format, seconds, nanos);
      break;
    case JsonTape::Kind::kDouble:
      done = instant_of(tape_.real(from), format, seconds, nanos);
      break;
    case JsonTape::Kind::kString: {
      const std::string_view text = tape_.text(from);
      const bool takes_text = format == TimeFormat::kAuto || format == TimeFormat::kRfc3339;
      done = takes_text && parse_timestamp(text, seconds, nanos);
      break;
    }
    default:
      break;
  }
  return done || refuse(from, kExpected[static_cast<size_t>(format)]);
}

bool JsonConverter::to_id(size_t from, std::string_view& to) {
  char digits[40];
  std::to_chars_result end{digits, std::errc{}};
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kString:
      to = keep(tape_.text(from));
      return true;
    case JsonTape::Kind::kInt:
      end = std::to_chars(digits, digits + sizeof digits, tape_.integer(from));
      break;
    case JsonTape::Kind::kUint:
      end = std::to_chars(digits, digits + sizeof digits, tape_.uinteger(from));
      break;
    case JsonTape::Kind::kDouble:
      end = std::to_chars(digits, digits + sizeof digits, tape_.real(from));
      break;
    default:
      return refuse(from, "string or number");
  }
  to = arena_.copy({digits, static_cast<size_t>(end.ptr - digits)});
  return true;
}

bool JsonConverter::to_duration(size_t from, Value& to) {
  constexpr std::string_view kExpected = "duration (\"1h30m\" or a number of seconds)";
  int64_t nanos = 0;
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kString:
      if (!parse_duration(tape_.text(from), nanos)) return refuse(from, kExpected);
      break;
    case JsonTape::Kind::kInt:
      if (__builtin_mul_overflow(tape_.integer(from), kNanosPerSecond, &nanos)) {
        return refuse_range(from, "duration");
      }
      break;
    case JsonTape::Kind::kDouble: {
      const double scaled = std::round(tape_.real(from) * 1e9);
      if (!(std::fabs(scaled) < kTwo63)) return refuse_range(from, "duration");
      nanos = static_cast<int64_t>(scaled);
      break;
    }
    case JsonTape::Kind::kUint:
      return refuse_range(from, "duration");
    default:
      return refuse(from, kExpected);
  }
  to = Value::duration(nanos);
  return true;
}

bool JsonConverter::to_list(size_t from, const Type& item, Value& to) {
  if (tape_.kind(from) != JsonTape::Kind::kArray) return refuse(from, "list");
  const size_t count = tape_.count(from);
  if (!within_limit(count)) return false;
  Value* items = arena_.allocate_array<Value>(count);
  size_t i = 0;
  for (size_t at = tape_.first(from); at != tape_.end(from); at = tape_.next(at)) {
    if (!convert(at, item, Semantic::kNone, items[i])) {
      where_.insert(0, "[" + std::to_string(i) + "]");
      return false;
    }
    ++i;
  }
  to = Value::list({items, i});
  return true;
}

bool JsonConverter::to_map(size_t from, const Type& item, Value& to) {
  if (tape_.kind(from) != JsonTape::Kind::kObject) return refuse(from, "map");
  const size_t count = tape_.count(from);
  if (!within_limit(count)) return false;
  auto* entries = arena_.allocate_array<MapEntry>(count);
  size_t i = 0;
  for (size_t at = tape_.first(from); at != tape_.end(from); at = tape_.next(at + 1)) {
    const std::string_view key = tape_.text(at);
    entries[i].key = Value::string(keep(key));
    if (!convert(at + 1, item, Semantic::kNone, entries[i].value)) {
      where_.insert(0, "[\"" + std::string(key.substr(0, 100)) + "\"]");
      return false;
    }
    ++i;
  }
  to = make_map(arena_, {entries, i});
  if (!to.is_error()) return true;
  why_ = kind_ = "a key occurs twice";
  return false;
}

bool JsonConverter::to_any(size_t from, Value& to) {
  switch (tape_.kind(from)) {
    case JsonTape::Kind::kArray:
      return to_list(from, dyn_type(), to);
    case JsonTape::Kind::kObject:
      return to_map(from, dyn_type(), to);
    case JsonTape::Kind::kInt:
      to = Value::integer(tape_.integer(from));
      break;
    case JsonTape::Kind::kUint:
      to = Value::uinteger(tape_.uinteger(from));
      break;
    case JsonTape::Kind::kDouble:
      to = Value::real(tape_.real(from));
      break;
    case JsonTape::Kind::kString:
      to = Value::string(keep(tape_.text(from)));
      break;
    case JsonTape::Kind::kTrue:
    case JsonTape::Kind::kFalse:
      to = Value::boolean(tape_.kind(from) == JsonTape::Kind::kTrue);
      break;
    case JsonTape::Kind::kNull:
      to = Value::null();
      break;
  }
  return true;
}

}  // namespace tamis::event
