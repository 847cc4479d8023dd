// Small tables of overloads.
#include "cel/function.h"

namespace tamis::cel {
namespace {
Type p(const char* text) { return *event::parse_type(text); }
Overload o(const char* id, const char* function, bool member, std::vector<const char*> params, const char* result,
           bool strict = true, bool variadic = false) {
  Overload out;
  out.id = id;
  out.function = function;
  out.member = member;
  for (const char* t : params) out.params.push_back(p(t));
  out.result = p(result);
  out.strict_cel = strict;
  out.variadic = variadic;
  return out;
}
}  // namespace

const std::vector<Overload>& standard_library() {
  static const auto* t = [] {
    auto* v = new std::vector<Overload>{
        o("conditional", "_?_:_", false, {"bool", "~A", "~A"}, "~A"),
        o("logical_and", "_&&_", false, {"bool", "bool"}, "bool"),
        o("logical_or", "_||_", false, {"bool", "bool"}, "bool"),
        o("logical_not", "!_", false, {"bool"}, "bool"),
        o("equals", "_==_", false, {"~A", "~A"}, "bool"),
        o("not_equals", "_!=_", false, {"~A", "~A"}, "bool"),
        o("negate_int64", "-_", false, {"int"}, "int"),
        o("negate_double", "-_", false, {"double"}, "double"),
        o("add_string", "_+_", false, {"string", "string"}, "string"),
        o("add_bytes", "_+_", false, {"bytes", "bytes"}, "bytes"),
        o("add_list", "_+_", false, {"list(~A)", "list(~A)"}, "list(~A)"),
        o("add_int64_double", "_+_", false, {"int", "double"}, "double", false),
        o("index_list", "_[_]", false, {"list(~A)", "int"}, "~A"),
        o("index_map", "_[_]", false, {"map(~A, ~B)", "~A"}, "~B"),
        o("in_list", "@in", false, {"~A", "list(~A)"}, "bool"),
        o("in_map", "@in", false, {"~A", "map(~A, ~B)"}, "bool"),
        o("type", "type", false, {"~A"}, "type(~A)"),
        o("to_dyn", "dyn", false, {"~A"}, "dyn"),
        o("starts_with_string", "startsWith", true, {"string", "string"}, "bool"),
        o("timestamp_to_year", "getFullYear", true, {"timestamp"}, "int"),
        o("string_to_timestamp", "timestamp", false, {"string"}, "timestamp"),
        o("string_to_int64", "int", false, {"string"}, "int"),
    };
    for (const char* op : {"_+_", "_-_", "_*_", "_/_"}) {
      for (const char* n : {"int", "uint", "double"}) {
        v->push_back(o((std::string(op) + n).c_str(), op, false, {n, n}, n));
      }
    }
    for (const char* n : {"int", "uint"}) v->push_back(o((std::string("mod") + n).c_str(), "_%_", false, {n, n}, n));
    for (const char* op : {"_<_", "_<=_", "_>_", "_>=_"}) {
      for (const char* a : {"int", "uint", "double"}) {
        for (const char* b : {"int", "uint", "double"}) {
          v->push_back(o((std::string(op) + a + b).c_str(), op, false, {a, b}, "bool"));
        }
      }
      for (const char* a : {"bool", "string", "bytes", "timestamp", "duration"}) {
        v->push_back(o((std::string(op) + a).c_str(), op, false, {a, a}, "bool"));
      }
    }
    for (bool member : {false, true}) {
      for (const char* a : {"string", "bytes", "list(~A)", "map(~A, ~B)"}) {
        v->push_back(o((std::string("size") + a + (member ? "m" : "")).c_str(), "size", member, {a}, "int"));
      }
    }
    return v;
  }();
  return *t;
}
const std::vector<Overload>& math_library() {
  static const auto* t =
      new std::vector<Overload>{o("math_greatest_int", "math.greatest", false, {"int"}, "int", true, true),
                                o("math_greatest_double", "math.greatest", false, {"double"}, "double", true, true),
                                o("math_greatest_dyn", "math.greatest", false, {"dyn"}, "dyn", true, true)};
  return *t;
}
const std::vector<Overload>& optional_library() {
  static const auto* t = new std::vector<Overload>{
      o("optional_none", "optional.none", false, {}, "optional_type(~V)"),
      o("optional_of", "optional.of", false, {"~V"}, "optional_type(~V)"),
      o("optional_ofNonZeroValue", "optional.ofNonZeroValue", false, {"~V"}, "optional_type(~V)"),
      o("optional_or", "or", true, {"optional_type(~V)", "optional_type(~V)"}, "optional_type(~V)"),
      o("optional_orValue", "orValue", true, {"optional_type(~V)", "~V"}, "~V"),
      o("optional_value", "value", true, {"optional_type(~V)"}, "~V"),
      o("optional_hasValue", "hasValue", true, {"optional_type(~V)"}, "bool"),
      o("oli", "_[?_]", false, {"list(~V)", "int"}, "optional_type(~V)"),
      o("omi", "_[?_]", false, {"map(~K, ~V)", "~K"}, "optional_type(~V)"),
      o("ooli", "_[?_]", false, {"optional_type(list(~V))", "int"}, "optional_type(~V)"),
      o("oomi", "_[?_]", false, {"optional_type(map(~K, ~V))", "~K"}, "optional_type(~V)"),
      o("oli2", "_[_]", false, {"optional_type(list(~V))", "int"}, "optional_type(~V)"),
      o("omi2", "_[_]", false, {"optional_type(map(~K, ~V))", "~K"}, "optional_type(~V)"),
  };
  return *t;
}
const std::vector<Overload>& network_library() {
  static const auto* t = new std::vector<Overload>{o("ip_is_canonical", "ip.isCanonical", false, {"string"}, "bool"),
                                                   o("ip_family", "family", true, {"net.IP"}, "int"),
                                                   o("string_to_ip", "ip", false, {"string"}, "net.IP")};
  return *t;
}
#define TAMIS_EMPTY(name)                             \
  const std::vector<Overload>& name() {               \
    static const auto* t = new std::vector<Overload>; \
    return *t;                                        \
  }
TAMIS_EMPTY(string_library)
TAMIS_EMPTY(encoder_library)
TAMIS_EMPTY(list_library)
TAMIS_EMPTY(tamis_library)
}  // namespace tamis::cel
