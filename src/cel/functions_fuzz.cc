// Calls the functions of all libraries with arguments made of the input's bytes, and holds the readers of times,
// durations and addresses to their writers. A finding is a crash, a sanitizer report, or a broken invariant.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "cel/lib.h"
#include "cel/pattern_set.h"
#include "cel/utf8.h"
#include "event/ip.h"
#include "event/time_text.h"

namespace tamis::cel {
namespace {

using event::Kind;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return size_ == 0 ? 0 : (--size_, *data_++); }
  uint64_t word() {
    uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8 | byte();
    return word;
  }
  std::string_view text(size_t bytes_max) {
    size_t bytes = byte();
    bytes = std::min({bytes, bytes_max, size_});
    std::string_view text(reinterpret_cast<const char*>(data_), bytes);
    data_ += bytes;
    size_ -= bytes;
    return text;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Silent : public Host {
 public:
  bool list_contains(int64_t, Value) const override { return false; }
  Value labels_of(int64_t, Value, base::Arena&) const override { return Value::list({}); }
};

Value any_value(Bytes& in, base::Arena& arena, int depth);

int64_t any_int(Bytes& in) {
  uint8_t shape = in.byte();
  return shape < 160 ? static_cast<int64_t>(shape) - 8 : static_cast<int64_t>(in.word());
}

Value any_list(Bytes& in, base::Arena& arena, const Type& element, int depth);

Value value_of(const Type& type, Bytes& in, base::Arena& arena, int depth) {
  switch (type.kind) {
    case Type::Kind::kBool:
      return Value::boolean(in.byte() & 1);
    case Type::Kind::kInt:
      return Value::integer(any_int(in));
    case Type::Kind::kUint:
      return Value::uinteger(static_cast<uint64_t>(any_int(in)));
    case Type::Kind::kDouble: {
      uint64_t bits = in.word();
      double d;
      std::memcpy(&d, &bits, sizeof d);
      return Value::real(in.byte() & 1 ? d : static_cast<double>(static_cast<int8_t>(bits)));
    }
    case Type::Kind::kString: {
      std::string_view text = in.text(64);
      return Value::string(is_valid_utf8(text) ? text : std::string_view("\u00e9\U0001f600"));
    }
    case Type::Kind::kBytes:
      return Value::bytes(in.text(64));
    case Type::Kind::kTimestamp: {
      uint64_t seconds =
          in.word() % static_cast<uint64_t>(event::kTimestampSecondsMax - event::kTimestampSecondsMin + 1);
      return Value::timestamp(event::kTimestampSecondsMin + static_cast<int64_t>(seconds), in.word() % 1'000'000'000);
    }
    case Type::Kind::kDuration:
      return Value::duration(any_int(in));
    case Type::Kind::kList:
      return any_list(in, arena, type.params[0], depth);
    case Type::Kind::kMap: {
      size_t size = in.byte() % 12;
      event::MapEntry* entries = arena.allocate_array<event::MapEntry>(size);
      for (size_t i = 0; i < size; ++i) {
        Value key = i % 2 == 0 ? Value::integer(static_cast<int64_t>(i)) : Value::string(arena.copy(std::to_string(i)));
        entries[i] = {key, any_value(in, arena, depth - 1)};
      }
      return event::make_map(arena, {entries, size});
    }
    case Type::Kind::kType:
      return Value::type("int");
    case Type::Kind::kOptional:
      return in.byte() & 1 ? Value::none() : Value::some(arena.make(value_of(type.params[0], in, arena, depth - 1)));
    case Type::Kind::kOpaque: {
      event::IpData ip;
      for (uint8_t& byte : ip.bytes) byte = in.byte();
      ip.is_v6 = in.byte() & 1;
      ip.prefix = in.byte() % (ip.is_v6 ? 129 : 33);
      if (!ip.is_v6) std::memset(ip.bytes, 0, 12);
      if (type.name == "net.IP") return Value::ip_of(arena.make(ip));
      if (type.name == "net.CIDR") return Value::cidr_of(arena.make(ip));
      return Value::handle(in.byte());
    }
    case Type::Kind::kNull:
      return Value::null();
    default:
      return any_value(in, arena, depth - 1);
  }
}

Value any_value(Bytes& in, base::Arena& arena, int depth) {
  if (depth <= 0) return Value::integer(in.byte());
  static const Type kTypes[] = {Type::null(),
                                Type::boolean(),
                                Type::integer(),
                                Type::uinteger(),
                                Type::real(),
                                Type::string(),
                                Type::bytes(),
                                Type::timestamp(),
                                Type::duration(),
                                Type::list(Type::dyn()),
                                Type::map(Type::dyn(), Type::dyn()),
                                Type::opaque("net.IP"),
                                Type::opaque("net.CIDR"),
                                Type::optional(Type::dyn()),
                                Type::type(Type::dyn())};
  return value_of(kTypes[in.byte() % std::size(kTypes)], in, arena, depth);
}

Value any_list(Bytes& in, base::Arena& arena, const Type& element, int depth) {
  size_t size = in.byte() % 24;
  Value* items = arena.allocate_array<Value>(size);
  for (size_t i = 0; i < size; ++i) items[i] = value_of(element, in, arena, depth - 1);
  return Value::list({items, size});
}

std::vector<const Overload*> all_functions() {
  std::vector<const Overload*> rows;
  for (const auto* library : {&standard_library(), &string_library(), &math_library(), &encoder_library(),
                              &list_library(), &network_library(), &optional_library(), &tamis_library()}) {
    for (const Overload& row : *library) {
      if (row.invoke != nullptr) rows.push_back(&row);
    }
  }
  return rows;
}

void check_result(Value v) {
  TAMIS_ASSERT(v.kind != Kind::kAbsent);
  if (v.is(Kind::kString)) {
    TAMIS_ASSERT(v.size <= lib::kOutputBytesMax);
    TAMIS_ASSERT(is_valid_utf8(v.str()));
  }
  if (v.is(Kind::kBytes)) TAMIS_ASSERT(v.size <= lib::kOutputBytesMax);
  if (v.is(Kind::kList)) TAMIS_ASSERT(v.size <= lib::kOutputItemsMax);
  if (v.is(Kind::kTimestamp)) {
    TAMIS_ASSERT(v.i >= event::kTimestampSecondsMin && v.i <= event::kTimestampSecondsMax && v.size < 1'000'000'000);
  }
  if (v.is_error()) {
    TAMIS_ASSERT(!v.error_data->message.empty());
    return;
  }
  base::Arena arena;
  Value copy = event::deep_copy(v, arena);
  TAMIS_ASSERT(event::debug_string(copy) == event::debug_string(v));
  TAMIS_ASSERT(event::hash(copy) == event::hash(v));
}

void call_function(Bytes& in) {
  static const std::vector<const Overload*> rows = all_functions();
  static const Silent host;
  base::Arena arena;
  const Overload& row = *rows[(in.byte() << 8 | in.byte()) % rows.size()];
  std::vector<Value> args;
  for (const Type& type : row.params) args.push_back(value_of(type, in, arena, 4));
  if (row.variadic) args.back() = any_list(in, arena, row.params.back(), 2);
  Call call{arena, &host, 200'000};
  check_result(row.invoke(call, args.data()));
}

void read_texts(std::string_view text) {
  int64_t seconds, nanos, again;
  uint32_t fraction, fraction_again;
  char out[event::kTimeTextBytesMax];
  if (event::parse_timestamp(text, seconds, fraction)) {
    TAMIS_ASSERT(event::parse_timestamp(event::format_timestamp(seconds, fraction, out), again, fraction_again));
    TAMIS_ASSERT(seconds == again && fraction == fraction_again);
  }
  if (event::parse_duration(text, nanos)) {
    TAMIS_ASSERT(event::parse_duration(event::format_duration(nanos, out), again) && nanos == again);
  }
  event::IpData ip, ip_again;
  char ip_text[event::kIpTextBytesMax];
  if (event::parse_ip(text, ip)) {
    TAMIS_ASSERT(event::parse_ip(event::format_ip(ip, ip_text), ip_again) && event::same_ip(ip, ip_again));
  }
  if (event::parse_cidr(text, ip)) {
    TAMIS_ASSERT(event::parse_cidr(event::format_cidr(ip, ip_text), ip_again) && event::same_cidr(ip, ip_again));
  }
  double number;
  lib::parse_double(text, number);
}

// The first lines are patterns, the rest is the text: marked or not, answers are those of single tests.
void match_patterns(std::string_view input) {
  std::vector<Pattern> patterns;
  while (patterns.size() < 6) {
    size_t end = input.find('\n');
    if (end == input.npos || end < 1 || end > 40) break;
    patterns.push_back({static_cast<PatternKind>(input[0] & 3), std::string(input.substr(1, end - 1))});
    input.remove_prefix(end + 1);
  }
  if (!is_valid_utf8(input)) return;
  auto set = PatternSet::build(patterns);
  if (!set) return;
  PatternScan scan(*set);
  set->scan(input, scan);
  for (uint32_t id = 0; id < set->size(); ++id) {
    TAMIS_ASSERT(set->matches(id, input, scan) == set->matches_singly(id, input));
  }
}

void run(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  uint8_t what = in.byte();
  if (what < 170) {
    call_function(in);
  } else if (what < 220) {
    read_texts(in.rest());
  } else {
    match_patterns(in.rest());
  }
}

}  // namespace
}  // namespace tamis::cel

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tamis::cel::run(data, size);
  return 0;
}
