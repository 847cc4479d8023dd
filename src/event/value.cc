#include "event/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "event/ip.h"

namespace tamis::event {

namespace {

constexpr uint32_t kIndexedFrom = 9;  // maps below this size are searched linearly

template <class T>
int order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

constexpr double kTwo63 = 9223372036854775808.0;
constexpr double kTwo64 = 18446744073709551616.0;

int compare_int_uint(int64_t a, uint64_t b) { return a < 0 ? -1 : order(static_cast<uint64_t>(a), b); }

// Exact: a double within the range of the integer is split into its whole part, which converts without loss, and the
// fraction, which decides only where the whole parts are equal.
int compare_int_double(int64_t a, double b) {
  if (std::isnan(b)) return 2;
  if (b >= kTwo63) return -1;
  if (b < -kTwo63) return 1;
  double whole = std::trunc(b);
  int64_t c = static_cast<int64_t>(whole);
  return a != c ? order(a, c) : order(whole, b);
}

int compare_uint_double(uint64_t a, double b) {
  if (std::isnan(b)) return 2;
  if (b >= kTwo64) return -1;
  if (b < 0) return 1;
  double whole = std::trunc(b);
  uint64_t c = static_cast<uint64_t>(whole);
  return a != c ? order(a, c) : order(whole, b);
}

int flip(int order) { return order == 2 ? 2 : -order; }

bool is_number(Kind kind) { return kind == Kind::kInt || kind == Kind::kUint || kind == Kind::kDouble; }

int compare_numbers(Value a, Value b) {
  switch (a.kind) {
    case Kind::kInt:
      if (b.kind == Kind::kInt) return order(a.i, b.i);
      return b.kind == Kind::kUint ? compare_int_uint(a.i, b.u) : compare_int_double(a.i, b.d);
    case Kind::kUint:
      if (b.kind == Kind::kUint) return order(a.u, b.u);
      return b.kind == Kind::kInt ? -compare_int_uint(b.i, a.u) : compare_uint_double(a.u, b.d);
    default:
      if (b.kind == Kind::kInt) return flip(compare_int_double(b.i, a.d));
      if (b.kind == Kind::kUint) return flip(compare_uint_double(b.u, a.d));
      if (std::isnan(a.d) || std::isnan(b.d)) return 2;
      return order(a.d, b.d);
  }
}

int compare_text(std::string_view a, std::string_view b) {
  int c = a.compare(b);
  return c < 0 ? -1 : c > 0 ? 1 : 0;
}

bool equal_lists(std::span<const Value> a, std::span<const Value> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i])) return false;
  }
  return true;
}

bool equal_maps(const MapData& a, const MapData& b) {
  if (a.size != b.size) return false;
  for (uint32_t i = 0; i < a.size; ++i) {
    const Value* other = map_find(b, a.entries[i].key);
    if (other == nullptr || !equal(a.entries[i].value, *other)) return false;
  }
  return true;
}

// Numbers that are equal must hash alike: whole numbers as integers, everything else by the bits of the double.
uint64_t hash_number(Value v, uint64_t seed) {
  constexpr uint64_t kNumber = 0x6e756d62, kFraction = 0x66726163;
  uint64_t bits = v.u;
  if (v.kind == Kind::kDouble) {
    if (v.d >= -kTwo63 && v.d < kTwo63 && v.d == std::trunc(v.d)) {
      bits = static_cast<uint64_t>(static_cast<int64_t>(v.d));
    } else if (v.d >= 0 && v.d < kTwo64 && v.d == std::trunc(v.d)) {
      bits = static_cast<uint64_t>(v.d);
    } else {
      std::memcpy(&bits, &v.d, sizeof bits);
      return base::combine64(seed ^ kFraction, bits);
    }
  }
  return base::combine64(seed ^ kNumber, bits);
}

uint64_t hash_text(Value v, uint64_t seed) {
  return base::hash64(v.str(), seed + static_cast<uint64_t>(v.kind) * 0x9e3779b97f4a7c15u);
}

uint64_t hash_ip(const IpData& ip, bool with_prefix, uint64_t seed) {
  uint64_t h = base::hash64(ip.bytes, sizeof ip.bytes, seed);
  return base::combine64(h, ip.is_v6 | (with_prefix ? uint64_t{ip.prefix} << 8 | 1u << 16 : 0));
}

uint64_t hash_list(std::span<const Value> items, uint64_t seed) {
  uint64_t h = base::combine64(seed, items.size());
  for (Value item : items) h = base::combine64(h, hash(item, seed));
  return h;
}

// Order does not matter, hence the sum.
uint64_t hash_map(const MapData& map, uint64_t seed) {
  uint64_t sum = map.size;
  for (uint32_t i = 0; i < map.size; ++i) {
    sum += base::combine64(hash(map.entries[i].key, seed), hash(map.entries[i].value, seed));
  }
  return base::combine64(seed ^ 0x6d6170, sum);
}

Value fixed_error(ErrorCode code) {
  static constexpr ErrorData kErrors[] = {
      {ErrorCode::kNoSuchField, "no such field or key"},
      {ErrorCode::kNoSuchOverload, "no such overload: the function does not take arguments of these types"},
      {ErrorCode::kOverflow, "overflow: the result is outside the range of its type"},
      {ErrorCode::kDivideByZero, "division or modulus by zero"},
      {ErrorCode::kInvalidArgument, "invalid argument"},
      {ErrorCode::kOutOfRange, "index out of range"},
      {ErrorCode::kLimit, "a limit of the evaluation was reached"},
      {ErrorCode::kOther, "error"},
  };
  return Value::error(&kErrors[static_cast<int>(code)]);
}

bool is_key(Kind kind) {
  return kind == Kind::kBool || kind == Kind::kInt || kind == Kind::kUint || kind == Kind::kString;
}

Value repeated_key(base::Arena& arena, Value key) {
  return make_error(arena, ErrorCode::kInvalidArgument, "the key " + debug_string(key, 60) + " is repeated in a map");
}

MapData* copy_map(const MapData& map, base::Arena& arena) {
  MapEntry* entries = arena.allocate_array<MapEntry>(map.size);
  for (uint32_t i = 0; i < map.size; ++i) {
    entries[i].key = deep_copy(map.entries[i].key, arena);
    entries[i].value = deep_copy(map.entries[i].value, arena);
  }
  MapData* copy = arena.make(map);
  copy->entries = entries;
  if (map.index != nullptr) {
    uint32_t* index = arena.allocate_array<uint32_t>(size_t{map.index_mask} + 1);
    std::memcpy(index, map.index, (size_t{map.index_mask} + 1) * sizeof *index);
    copy->index = index;
  }
  return copy;
}

std::span<const Value> copy_values(std::span<const Value> values, base::Arena& arena) {
  Value* copies = arena.allocate_array<Value>(values.size());
  for (size_t i = 0; i < values.size(); ++i) copies[i] = deep_copy(values[i], arena);
  return {copies, values.size()};
}

}  // namespace

Value error_no_such_field() { return fixed_error(ErrorCode::kNoSuchField); }
Value error_no_such_overload() { return fixed_error(ErrorCode::kNoSuchOverload); }
Value error_overflow() { return fixed_error(ErrorCode::kOverflow); }
Value error_divide_by_zero() { return fixed_error(ErrorCode::kDivideByZero); }
Value error_out_of_range() { return fixed_error(ErrorCode::kOutOfRange); }
Value error_limit() { return fixed_error(ErrorCode::kLimit); }

Value make_error(base::Arena& arena, ErrorCode code, std::string_view message) {
  return Value::error(arena.make(ErrorData{code, arena.copy(message)}));
}

bool equal(Value a, Value b) {
  if (a.kind != b.kind) {
    return is_number(a.kind) && is_number(b.kind) && compare_numbers(a, b) == 0;
  }
  switch (a.kind) {
    case Kind::kAbsent:
    case Kind::kNull:
      return true;
    case Kind::kError:
      return false;
    case Kind::kBool:
      return a.b == b.b;
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDuration:
    case Kind::kHandle:
      return a.i == b.i;
    case Kind::kDouble:
      return a.d == b.d;
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kType:
      return a.str() == b.str();
    case Kind::kTimestamp:
      return a.i == b.i && a.size == b.size;
    case Kind::kList:
      return equal_lists(a.list_items(), b.list_items());
    case Kind::kMap:
      return equal_maps(*a.map, *b.map);
    case Kind::kOptional:
      if (a.optional == nullptr || b.optional == nullptr) return a.optional == b.optional;
      return equal(*a.optional, *b.optional);
    case Kind::kIp:
      return same_ip(*a.ip, *b.ip);
    case Kind::kCidr:
      return same_cidr(*a.ip, *b.ip);
    case Kind::kOpaque:
      return a.opaque->type_name == b.opaque->type_name && equal_lists(a.opaque->values, b.opaque->values);
  }
  return false;
}

int compare(Value a, Value b) {
  if (is_number(a.kind) && is_number(b.kind)) return compare_numbers(a, b);
  if (a.kind != b.kind) return 2;
  switch (a.kind) {
    case Kind::kBool:
      return order(a.b, b.b);
    case Kind::kString:
    case Kind::kBytes:
      return compare_text(a.str(), b.str());
    case Kind::kTimestamp:
      return a.i != b.i ? order(a.i, b.i) : order(a.size, b.size);
    case Kind::kDuration:
      return order(a.i, b.i);
    default:
      return 2;
  }
}

uint64_t hash(Value v, uint64_t seed) {
  switch (v.kind) {
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
      return hash_number(v, seed);
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kType:
      return hash_text(v, seed);
    case Kind::kList:
      return hash_list(v.list_items(), seed ^ 0x6c697374);
    case Kind::kMap:
      return hash_map(*v.map, seed);
    case Kind::kOptional:
      return base::combine64(seed ^ 0x6f707469, v.optional == nullptr ? 0 : hash(*v.optional, seed));
    case Kind::kIp:
      return hash_ip(*v.ip, false, seed);
    case Kind::kCidr:
      return hash_ip(*v.ip, true, seed);
    case Kind::kOpaque:
      return base::combine64(base::hash64(v.opaque->type_name, seed), hash_list(v.opaque->values, seed));
    case Kind::kTimestamp:
      return base::combine64(base::combine64(seed ^ 0x74696d65, v.u), v.size);
    case Kind::kBool:
      return base::combine64(seed ^ 0x626f6f6c, v.b);
    case Kind::kDuration:
    case Kind::kHandle:
      return base::combine64(seed + static_cast<uint64_t>(v.kind), v.u);
    case Kind::kAbsent:
    case Kind::kNull:
    case Kind::kError:
      break;
  }
  return base::combine64(seed, static_cast<uint64_t>(v.kind));
}

Value deep_copy(Value v, base::Arena& arena) {
  switch (v.kind) {
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kType:
      v.text = arena.copy(v.str()).data();
      break;
    case Kind::kError:
      return make_error(arena, v.error_data->code, v.error_data->message);
    case Kind::kList:
      v.items = copy_values(v.list_items(), arena).data();
      break;
    case Kind::kMap:
      v.map = copy_map(*v.map, arena);
      break;
    case Kind::kOptional:
      if (v.optional != nullptr) v.optional = arena.make(deep_copy(*v.optional, arena));
      break;
    case Kind::kIp:
    case Kind::kCidr:
      v.ip = arena.make(*v.ip);
      break;
    case Kind::kOpaque:
      v.opaque = arena.make(OpaqueData{arena.copy(v.opaque->type_name), copy_values(v.opaque->values, arena)});
      break;
    default:
      break;
  }
  return v;
}

Value make_map(base::Arena& arena, std::span<const MapEntry> entries) {
  for (const MapEntry& entry : entries) {
    if (!is_key(entry.key.kind)) {
      return make_error(arena, ErrorCode::kInvalidArgument,
                        "a value of type " + std::string(type_name(entry.key)) +
                            " cannot be the key of a map; bool, int, uint and string can");
    }
  }
  MapData* map = arena.make(MapData{static_cast<uint32_t>(entries.size()), entries.data(), nullptr, 0});
  if (entries.size() < kIndexedFrom) {
    for (size_t i = 1; i < entries.size(); ++i) {
      for (size_t k = 0; k < i; ++k) {
        if (equal(entries[i].key, entries[k].key)) return repeated_key(arena, entries[i].key);
      }
    }
    return Value::map_of(map);
  }
  uint32_t slots = 32;
  while (slots < 2 * entries.size()) slots *= 2;
  uint32_t* index = arena.allocate_array<uint32_t>(slots);
  std::memset(index, 0, slots * sizeof *index);
  for (uint32_t i = 0; i < entries.size(); ++i) {
    uint32_t at = static_cast<uint32_t>(hash(entries[i].key)) & (slots - 1);
    for (; index[at] != 0; at = (at + 1) & (slots - 1)) {
      if (equal(entries[index[at] - 1].key, entries[i].key)) return repeated_key(arena, entries[i].key);
    }
    index[at] = i + 1;
  }
  map->index = index;
  map->index_mask = slots - 1;
  return Value::map_of(map);
}

const Value* map_find(const MapData& map, Value key) {
  if (map.index == nullptr) {
    for (uint32_t i = 0; i < map.size; ++i) {
      if (equal(map.entries[i].key, key)) return &map.entries[i].value;
    }
    return nullptr;
  }
  for (uint32_t at = static_cast<uint32_t>(hash(key)) & map.index_mask; map.index[at] != 0;
       at = (at + 1) & map.index_mask) {
    const MapEntry& entry = map.entries[map.index[at] - 1];
    if (equal(entry.key, key)) return &entry.value;
  }
  return nullptr;
}

std::string_view type_name(Value v) {
  switch (v.kind) {
    case Kind::kAbsent:
      return "absent";
    case Kind::kError:
      return "error";
    case Kind::kNull:
      return "null_type";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kUint:
      return "uint";
    case Kind::kDouble:
      return "double";
    case Kind::kString:
      return "string";
    case Kind::kBytes:
      return "bytes";
    case Kind::kTimestamp:
      return "google.protobuf.Timestamp";
    case Kind::kDuration:
      return "google.protobuf.Duration";
    case Kind::kList:
      return "list";
    case Kind::kMap:
      return "map";
    case Kind::kType:
      return "type";
    case Kind::kOptional:
      return "optional_type";
    case Kind::kIp:
      return "net.IP";
    case Kind::kCidr:
      return "net.CIDR";
    case Kind::kHandle:
      return "tamis.handle";
    case Kind::kOpaque:
      return v.opaque->type_name;
  }
  return "unknown";
}

}  // namespace tamis::event
