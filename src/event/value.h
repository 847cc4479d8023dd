// Value: one CEL value in 16 bytes. It is the currency of the whole house: fields of events, features, literals and
// results of expressions are Values, and a slot array of them is what a compiled expression reads.
//
// A Value owns nothing. Text, lists, maps and the like point into memory that somebody else keeps alive: the parser of
// the event, an Arena (base/arena.h), the compiled policy, or a static. Whoever stores a Value longer copies it with
// deep_copy(). Trivially copyable on purpose; pass it by value.
//
// Errors are values too (cel-spec, "Error handling"): kError travels through an evaluation like any other value, so
// that `error || true` can be true. kAbsent is the state of a slot whose field was not in the event: reading it inside
// an expression turns it into an error ("no such field"), and only has() and optional selection see it as absent.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/assert.h"

namespace tamis::event {

enum class Kind : uint8_t {
  kAbsent,  // only in slots
  kError,
  kNull,
  kBool,
  kInt,
  kUint,
  kDouble,
  kString,  // UTF-8, valid (checked where bytes enter the house)
  kBytes,
  kTimestamp,  // seconds since the epoch and nanoseconds, years 0001 to 9999
  kDuration,   // nanoseconds in 64 bits
  kList,
  kMap,
  kType,
  kOptional,
  kIp,      // 16 bytes in network order; IPv4 in the last four, family told apart
  kCidr,    // as kIp with a prefix length
  kHandle,  // a reference to a host object (a named list): only the host knows its meaning
  kOpaque,  // a named tuple of values, for abstract types that a caller declares
};

struct Value;

enum class ErrorCode : uint8_t {
  kNoSuchField,     // an absent field, or a missing key of a map
  kNoSuchOverload,  // a function does not take arguments of these types
  kOverflow,        // a number, duration or timestamp left its range
  kDivideByZero,
  kInvalidArgument,  // a function refused the value of an argument
  kOutOfRange,       // an index behind the end of a list or string
  kLimit,            // the cost bound of the evaluation, or a size limit
  kOther,
};

struct ErrorData {
  ErrorCode code;
  std::string_view message;
};

struct MapEntry;  // key and value, see below

// Entries in insertion order. Equality ignores order; lookup is linear for small maps and hashed beyond (map_find).
struct MapData {
  uint32_t size = 0;
  const MapEntry* entries = nullptr;
  const uint32_t* index = nullptr;  // open-addressing table of entry numbers + 1, or null for small maps
  uint32_t index_mask = 0;
};

struct IpData {
  uint8_t bytes[16];  // IPv4: 12 zero bytes, then the address
  uint8_t is_v6 = 0;
  uint8_t prefix = 0;  // kCidr: 0..32 or 0..128
};

struct OpaqueData {
  std::string_view type_name;
  std::span<const Value> values;
};

struct Value {
  Kind kind = Kind::kAbsent;
  uint8_t reserved[3] = {};
  uint32_t size = 0;  // bytes of a string, elements of a list, nanoseconds of a timestamp
  union {
    bool b;
    int64_t i = 0;  // int; seconds of a timestamp; nanoseconds of a duration; number of a handle
    uint64_t u;
    double d;
    const char* text;  // string, bytes, name of a type
    const Value* items;
    const MapData* map;
    const Value* optional;  // null for none
    const IpData* ip;       // kIp, kCidr
    const OpaqueData* opaque;
    const ErrorData* error_data;
  };

  static Value absent() { return Value{}; }
  static Value null() { return of(Kind::kNull); }
  static Value boolean(bool v) {
    Value r = of(Kind::kBool);
    r.b = v;
    return r;
  }
  static Value integer(int64_t v) {
    Value r = of(Kind::kInt);
    r.i = v;
    return r;
  }
  static Value uinteger(uint64_t v) {
    Value r = of(Kind::kUint);
    r.u = v;
    return r;
  }
  static Value real(double v) {
    Value r = of(Kind::kDouble);
    r.d = v;
    return r;
  }
  static Value string(std::string_view v) { return text_of(Kind::kString, v); }
  static Value bytes(std::string_view v) { return text_of(Kind::kBytes, v); }
  static Value type(std::string_view name) { return text_of(Kind::kType, name); }
  static Value timestamp(int64_t seconds, uint32_t nanos) {
    Value r = of(Kind::kTimestamp);
    r.i = seconds;
    r.size = nanos;
    return r;
  }
  static Value duration(int64_t nanos) {
    Value r = of(Kind::kDuration);
    r.i = nanos;
    return r;
  }
  static Value list(std::span<const Value> v) {
    Value r = of(Kind::kList);
    r.items = v.data();
    r.size = static_cast<uint32_t>(v.size());
    return r;
  }
  static Value map_of(const MapData* m) {
    Value r = of(Kind::kMap);
    r.map = m;
    return r;
  }
  static Value some(const Value* v) {
    Value r = of(Kind::kOptional);
    r.optional = v;
    return r;
  }
  static Value none() {
    Value r = of(Kind::kOptional);
    r.optional = nullptr;
    return r;
  }
  static Value ip_of(const IpData* v) {
    Value r = of(Kind::kIp);
    r.ip = v;
    return r;
  }
  static Value cidr_of(const IpData* v) {
    Value r = of(Kind::kCidr);
    r.ip = v;
    return r;
  }
  static Value handle(int64_t number) {
    Value r = of(Kind::kHandle);
    r.i = number;
    return r;
  }
  static Value opaque_of(const OpaqueData* v) {
    Value r = of(Kind::kOpaque);
    r.opaque = v;
    return r;
  }
  static Value error(const ErrorData* e) {
    Value r = of(Kind::kError);
    r.error_data = e;
    return r;
  }

  bool is(Kind k) const { return kind == k; }
  bool is_error() const { return kind == Kind::kError; }
  bool is_true() const { return kind == Kind::kBool && b; }
  bool is_false() const { return kind == Kind::kBool && !b; }
  std::string_view str() const { return {text, size}; }
  std::span<const Value> list_items() const { return {items, size}; }

 private:
  static Value of(Kind k) {
    Value r;
    r.kind = k;
    return r;
  }
  static Value text_of(Kind k, std::string_view v) {
    Value r = of(k);
    r.text = v.data();
    r.size = static_cast<uint32_t>(v.size());
    return r;
  }
};
static_assert(sizeof(Value) == 16);

struct MapEntry {
  Value key;
  Value value;
};

// Predefined errors, so that the common ones cost nothing.
Value error_no_such_field();
Value error_no_such_overload();
Value error_overflow();
Value error_divide_by_zero();
Value error_out_of_range();
Value error_limit();
// An error with its own words; `message` is copied into the arena.
Value make_error(base::Arena& arena, ErrorCode code, std::string_view message);

// Equality of the language (cel-spec, "Equality"): numbers of different types lie on one line and are compared exactly,
// NaN is unequal to everything, lists and maps compare element by element, values of different types are unequal.
// Neither side may be an error.
bool equal(Value a, Value b);

// Order of a and b: -1, 0, 1, or 2 where they are not ordered (NaN, different types). Numbers of different types are
// compared exactly; bool, string (by code points, which equals byte order in UTF-8), bytes, timestamp, duration.
int compare(Value a, Value b);

// A hash that agrees with equal(): 1, 1u and 1.0 hash alike.
uint64_t hash(Value v, uint64_t seed = 0);

// Copies a value and everything that it points to into the arena.
Value deep_copy(Value v, base::Arena& arena);

// Builds a map with an index where it pays. Keys must be bool, int, uint or string and must not repeat (by equal());
// a repeated key gives an error value. `entries` must live as long as the arena.
Value make_map(base::Arena& arena, std::span<const MapEntry> entries);
// The value under `key`, or null. Numeric keys of different types that are equal find each other.
const Value* map_find(const MapData& map, Value key);

// The CEL name of a value's type: "int", "string", "google.protobuf.Timestamp", "net.IP", ...
std::string_view type_name(Value v);

// For messages and tests: CEL literal syntax where there is one, cut after `max_bytes`.
std::string debug_string(Value v, size_t max_bytes = 200);

}  // namespace tamis::event
