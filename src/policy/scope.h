// Scope: the names that expressions about one event type can use, and what stands behind each: a field, an attribute
// derived from one, a feature, a list, a model. A name gets a slot only if something reads it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cel/env.h"
#include "event/schema.h"

namespace tamis::policy {

struct Symbol {
  enum class Kind : uint8_t {
    kField,
    kAttribute,
    kFeature,
    kDetector,
    kModel,
    kTime,
    kPoints,
    kLet,
    kList,
    kEntityKind,
    kConstant
  };
  std::string name;
  event::Type type;
  Kind kind = Kind::kField;
  uint32_t index = 0;            // of the field (kField; kAttribute: the field it comes from), feature, model, ...
  uint32_t window = 0;           // kFeature; of kDetector, the place of the output
  event::Attribute attribute{};  // kAttribute
  std::string entity;            // the kind of entity that the value names, or empty
  event::Value constant;         // kList, kEntityKind, kConstant
  int32_t slot = -1;
  bool never_absent = false;  // a field that is required or has a default
  bool read = false;
  bool is_quiet = false;  // read to explain decisions, by no expression

  bool has_slot() const { return kind < Kind::kList; }
};

class Scope {
 public:
  explicit Scope(std::string event_type = {}) : event_type_(std::move(event_type)) {}

  const std::string& event_type() const { return event_type_; }
  void add(Symbol symbol) { symbols_.insert_or_assign(symbol.name, std::move(symbol)); }
  void remove(std::string_view name);
  Symbol* find(std::string_view name);
  // The longest beginning of a dotted name that is a symbol, as the checker resolves it.
  Symbol* find_prefix(std::string_view dotted);
  const Symbol* find_prefix(std::string_view dotted) const { return const_cast<Scope*>(this)->find_prefix(dotted); }
  std::map<std::string, Symbol, std::less<>>& symbols() { return symbols_; }
  const std::map<std::string, Symbol, std::less<>>& symbols() const { return symbols_; }

  // `base` with a variable for each symbol.
  cel::Env env(const cel::Env& base) const;

 private:
  std::string event_type_;
  std::map<std::string, Symbol, std::less<>> symbols_;
};

}  // namespace tamis::policy
