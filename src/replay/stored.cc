#include "replay/stored.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace tamis::replay {

using cel::NodeId;
using cel::Predicate;
using event::Kind;
using event::Type;
using event::Value;

namespace {

constexpr std::array<std::string_view, 14> kOwnColumns = {"n",       "time",    "received", "id",     "policy",
                                                          "verdict", "points",  "score",    "late",   "rules",
                                                          "shadow",  "reasons", "values",   "effects"};

// The largest whole numbers that a double holds exactly.
constexpr int64_t kExactMax = int64_t{1} << 53;
// A condition of thousands of constants is evaluated as fast by us as by SQL, and its text would be long.
constexpr size_t kConstantsMax = 256;
constexpr size_t kSqlBytesMax = 64 * 1024;
constexpr int kDepthMax = 32;

std::string sql_double(double number) {
  std::array<char, 32> text;
  auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return "'" + std::string(text.data(), end) + "'::DOUBLE";
}

// The constant as SQL of the column's type, where the comparison then means the same.
std::optional<std::string> sql_constant(Type::Kind column, Value v) {
  switch (column) {
    case Type::Kind::kInt:
      if (v.is(Kind::kInt)) return "'" + std::to_string(v.i) + "'::BIGINT";
      break;
    case Type::Kind::kUint:
      if (v.is(Kind::kUint)) return "'" + std::to_string(v.u) + "'::UBIGINT";
      if (v.is(Kind::kInt) && v.i >= 0) return "'" + std::to_string(v.i) + "'::UBIGINT";
      break;
    case Type::Kind::kDouble:
      if (v.is(Kind::kDouble) && v.d == v.d) return sql_double(v.d);
      if (v.is(Kind::kInt) && v.i <= kExactMax && v.i >= -kExactMax) return sql_double(static_cast<double>(v.i));
      break;
    case Type::Kind::kString:
      if (v.is(Kind::kString) && v.str().find('\0') == std::string_view::npos) return sql_text(v.str());
      break;
    case Type::Kind::kBool:
      if (v.is(Kind::kBool)) return v.b ? "TRUE" : "FALSE";
      break;
    default:
      break;
  }
  return std::nullopt;
}

class Necessary {
 public:
  Necessary(const policy::Policy& policy, const policy::EventType& type)
      : policy_(policy), type_(type), names_(slot_names(type)) {
    find_kinds();
  }

  std::string of(NodeId node, int depth = 0) const {
    if (depth > kDepthMax) return {};
    if (auto predicate = type_.plan.predicate(node)) return test(*predicate);
    std::vector<NodeId> any = type_.plan.disjuncts(node);
    if (any.size() > 1) return join(any, " OR ", true, depth);
    std::vector<NodeId> all = type_.plan.conjuncts(node);
    if (all.size() > 1) return join(all, " AND ", false, depth);
    return {};
  }

 private:
  // Where each slot's column has one type that SQL knows too; kDyn elsewhere.
  void find_kinds() {
    kinds_.assign(names_.size(), Type::Kind::kDyn);
    const event::EventSchema& schema = type_.schema;
    for (size_t i = 0; i < schema.fields.size(); ++i) kinds_[i] = schema.fields[i].type.kind;
    for (const event::Derived& derived : schema.derived) {
      const event::Field& source = schema.fields[static_cast<size_t>(derived.source)];
      for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
        if (info.attribute == derived.attribute) kinds_[static_cast<size_t>(derived.slot)] = info.type.kind;
      }
    }
    // Features have the type of their aggregate; what a comparison says of their constants decides (see test()).
    for (const policy::FeatureRead& read : type_.reads) kinds_[static_cast<size_t>(read.slot)] = Type::Kind::kError;
  }

  std::string join(const std::vector<NodeId>& parts, std::string_view with, bool all_needed, int depth) const {
    std::string sql;
    for (NodeId part : parts) {
      std::string one = of(part, depth + 1);
      if (one.empty() && all_needed) return {};
      if (one.empty() || sql.size() + one.size() > kSqlBytesMax) {
        if (all_needed) return {};
        continue;
      }
      if (!sql.empty()) sql += with;
      sql += one;
    }
    return sql.empty() ? sql : "(" + sql + ")";
  }

  std::string test(const Predicate& p) const {
    auto slot = static_cast<size_t>(p.slot);
    if (slot >= names_.size() || names_[slot].empty() || p.slot == type_.time_slot) return {};
    Type::Kind kind = kinds_[slot];
    // A feature is a number or not: with a constant of the same kind the comparison means the same in SQL. Lists,
    // texts and times are left to us.
    if (kind == Type::Kind::kError) {
      if (p.constants.empty() || p.constants.size() > 1) return {};
      if (p.constants[0].is(Kind::kInt)) kind = Type::Kind::kInt;
      if (p.constants[0].is(Kind::kDouble)) kind = Type::Kind::kDouble;
      if (kind == Type::Kind::kError || !feature_is(p.slot, kind)) return {};
    }
    // Not-a-number is ordered differently in SQL, which a negation would turn into rows left out.
    if (kind == Type::Kind::kDouble && p.negated) return {};
    std::string sql = plain(p, kind, sql_name(column_of(names_[slot])));
    return sql.empty() || !p.negated ? sql : "NOT " + sql;
  }

  bool feature_is(int32_t slot, Type::Kind kind) const {
    using state::Aggregate;
    for (const policy::FeatureRead& read : type_.reads) {
      if (read.slot != slot) continue;
      Aggregate a = policy_.features[read.feature].spec.aggregate;
      if (a == Aggregate::kCount || a == Aggregate::kDistinct) return kind == Type::Kind::kInt;
      if (a == Aggregate::kMean || a == Aggregate::kRate || a == Aggregate::kRatio || a == Aggregate::kQuantile)
        return kind == Type::Kind::kDouble;
    }
    return false;
  }

  std::string plain(const Predicate& p, Type::Kind kind, const std::string& column) const {
    bool text = kind == Type::Kind::kString;
    switch (p.op) {
      case Predicate::Op::kEq:
        return compare(p, kind, column, "=");
      case Predicate::Op::kNe:
        return compare(p, kind, column, "<>");
      case Predicate::Op::kLt:
        return compare(p, kind, column, "<");
      case Predicate::Op::kLe:
        return compare(p, kind, column, "<=");
      case Predicate::Op::kGt:
        return compare(p, kind, column, ">");
      case Predicate::Op::kGe:
        return compare(p, kind, column, ">=");
      case Predicate::Op::kIn:
        return in(p, kind, column);
      case Predicate::Op::kTrue:
        return kind == Type::Kind::kBool ? column : "";
      case Predicate::Op::kFalse:
        return kind == Type::Kind::kBool ? "(NOT " + column + ")" : "";
      case Predicate::Op::kContains:
        return text ? call("contains", p, column) : "";
      case Predicate::Op::kStartsWith:
        return text ? call("starts_with", p, column) : "";
      case Predicate::Op::kEndsWith:
        return text ? call("suffix", p, column) : "";
      case Predicate::Op::kMatches:
        break;  // patterns are ours alone: two libraries, two sets of flags
    }
    return {};
  }

  static std::string compare(const Predicate& p, Type::Kind kind, const std::string& column, std::string_view op) {
    if (p.constants.size() != 1) return {};
    auto constant = sql_constant(kind, p.constants[0]);
    if (!constant) return {};
    return "(" + column + " " + std::string(op) + " " + *constant + ")";
  }

  static std::string in(const Predicate& p, Type::Kind kind, const std::string& column) {
    if (p.constants.empty() || p.constants.size() > kConstantsMax) return {};
    std::string sql;
    for (Value v : p.constants) {
      auto constant = sql_constant(kind, v);
      if (!constant) return {};
      sql += (sql.empty() ? "" : ", ") + *constant;
    }
    return "(" + column + " IN (" + sql + "))";
  }

  static std::string call(std::string_view function, const Predicate& p, const std::string& column) {
    auto constant = p.constants.size() == 1 ? sql_constant(Type::Kind::kString, p.constants[0]) : std::nullopt;
    return constant ? std::string(function) + "(" + column + ", " + *constant + ")" : "";
  }

  const policy::Policy& policy_;
  const policy::EventType& type_;
  std::vector<std::string> names_;
  std::vector<Type::Kind> kinds_;
};

}  // namespace

std::vector<std::string> slot_names(const policy::EventType& type) {
  std::vector<std::string> names(static_cast<size_t>(type.slot_count));
  const auto& fields = type.schema.fields;
  for (size_t i = 0; i < fields.size(); ++i) names[i] = fields[i].name;
  for (const event::Derived& derived : type.schema.derived) {
    const event::Field& source = fields[static_cast<size_t>(derived.source)];
    for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
      if (info.attribute != derived.attribute) continue;
      names[static_cast<size_t>(derived.slot)] = source.name + "." + std::string(info.name);
    }
  }
  for (const policy::FeatureRead& read : type.reads) names[static_cast<size_t>(read.slot)] = read.name;
  if (type.time_slot >= 0) names[static_cast<size_t>(type.time_slot)] = "event.time";
  return names;
}

std::string column_of(std::string_view name) {
  bool taken = std::find(kOwnColumns.begin(), kOwnColumns.end(), name) != kOwnColumns.end();
  return (taken ? "field." : "") + std::string(name);
}

std::string table_of(std::string_view type) {
  bool taken = type == "events" || type == "acts" || type == "truth";
  return (taken ? "type." : "") + std::string(type);
}

std::string sql_name(std::string_view name) {
  std::string out = "\"";
  for (char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

std::string necessary_sql(const policy::Policy& policy, const policy::EventType& type, cel::NodeId condition) {
  return Necessary(policy, type).of(condition);
}

}  // namespace tamis::replay
