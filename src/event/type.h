// Type: the static type of a field, a variable, or an expression (cel-spec, "Gradual type checking"). A plain value,
// used while policies are compiled, never on the path of an event.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::event {

struct Type {
  enum class Kind : uint8_t {
    kError,  // the checker gave up on this expression and has said why
    kDyn,
    kNull,
    kBool,
    kInt,
    kUint,
    kDouble,
    kString,
    kBytes,
    kTimestamp,
    kDuration,
    kList,      // params: element
    kMap,       // params: key, value
    kType,      // params: the type that it denotes
    kOptional,  // params: value
    kWrapper,   // params: primitive; the primitive or null
    kOpaque,    // name, any params: "net.IP", "net.CIDR", "tamis.list", a tuple of a caller
    kParam,     // name: a type parameter of an overload, "T"
  };

  Kind kind = Kind::kDyn;
  std::string name;  // kOpaque, kParam
  std::vector<Type> params;

  bool operator==(const Type&) const = default;

  static Type dyn() { return {Kind::kDyn, {}, {}}; }
  static Type null() { return {Kind::kNull, {}, {}}; }
  static Type boolean() { return {Kind::kBool, {}, {}}; }
  static Type integer() { return {Kind::kInt, {}, {}}; }
  static Type uinteger() { return {Kind::kUint, {}, {}}; }
  static Type real() { return {Kind::kDouble, {}, {}}; }
  static Type string() { return {Kind::kString, {}, {}}; }
  static Type bytes() { return {Kind::kBytes, {}, {}}; }
  static Type timestamp() { return {Kind::kTimestamp, {}, {}}; }
  static Type duration() { return {Kind::kDuration, {}, {}}; }
  static Type list(Type element) { return {Kind::kList, {}, {std::move(element)}}; }
  static Type map(Type key, Type value) { return {Kind::kMap, {}, {std::move(key), std::move(value)}}; }
  static Type type(Type of) { return {Kind::kType, {}, {std::move(of)}}; }
  static Type optional(Type value) { return {Kind::kOptional, {}, {std::move(value)}}; }
  static Type wrapper(Type primitive) { return {Kind::kWrapper, {}, {std::move(primitive)}}; }
  static Type opaque(std::string name, std::vector<Type> params = {}) {
    return {Kind::kOpaque, std::move(name), std::move(params)};
  }
  static Type param(std::string name) { return {Kind::kParam, std::move(name), {}}; }
  static Type error() { return {Kind::kError, {}, {}}; }

  bool is_dyn() const { return kind == Kind::kDyn || kind == Kind::kError; }
};

// "int", "list(string)", "map(string, dyn)", "optional_type(int)", "timestamp", "~T", "wrapper(int)", "net.IP",
// "tuple(~T, ~U)": the notation of the conformance suite and of our messages.
std::string to_string(const Type& type);
// The inverse. Also accepts the full protobuf names of timestamp and duration.
base::Result<Type> parse_type(std::string_view text);

}  // namespace tamis::event
