#include "replay/stored.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>

#include "archive/layout.h"
#include "policy/slot_names.h"

namespace tamis::replay {

using archive::ColumnType;
using cel::NodeId;
using cel::Predicate;
using event::Kind;
using event::Value;

namespace {

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
std::optional<std::string> sql_constant(ColumnType column, Value v) {
  switch (column) {
    case ColumnType::kInt:
      if (v.is(Kind::kInt)) return "'" + std::to_string(v.i) + "'::BIGINT";
      break;
    case ColumnType::kUint:
      if (v.is(Kind::kUint)) return "'" + std::to_string(v.u) + "'::UBIGINT";
      if (v.is(Kind::kInt) && v.i >= 0) return "'" + std::to_string(v.i) + "'::UBIGINT";
      break;
    case ColumnType::kDouble:
      if (v.is(Kind::kDouble) && v.d == v.d) return sql_double(v.d);
      if (v.is(Kind::kInt) && v.i <= kExactMax && v.i >= -kExactMax) return sql_double(static_cast<double>(v.i));
      break;
    case ColumnType::kString:
      if (v.is(Kind::kString) && v.str().find('\0') == std::string_view::npos) return sql_text(v.str());
      break;
    case ColumnType::kBool:
      if (v.is(Kind::kBool)) return v.b ? "TRUE" : "FALSE";
      break;
    default:
      break;
  }
  return std::nullopt;
}

std::string compare(const Predicate& p, ColumnType kind, const std::string& column, std::string_view op) {
  if (p.constants.size() != 1) return {};
  auto constant = sql_constant(kind, p.constants[0]);
  if (!constant) return {};
  return "(" + column + " " + std::string(op) + " " + *constant + ")";
}

std::string in(const Predicate& p, ColumnType kind, const std::string& column) {
  if (p.constants.empty() || p.constants.size() > kConstantsMax) return {};
  std::string sql;
  for (Value v : p.constants) {
    auto constant = sql_constant(kind, v);
    if (!constant) return {};
    sql += (sql.empty() ? "" : ", ") + *constant;
  }
  return "(" + column + " IN (" + sql + "))";
}

std::string call(std::string_view function, const Predicate& p, const std::string& column) {
  auto constant = p.constants.size() == 1 ? sql_constant(ColumnType::kString, p.constants[0]) : std::nullopt;
  return constant ? std::string(function) + "(" + column + ", " + *constant + ")" : "";
}

// A test without its negation; empty: SQL cannot say it.
std::string plain(const Predicate& p, ColumnType kind, const std::string& column) {
  bool text = kind == ColumnType::kString;
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
      return kind == ColumnType::kBool ? column : "";
    case Predicate::Op::kFalse:
      return kind == ColumnType::kBool ? "(NOT " + column + ")" : "";
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

class Necessary {
 public:
  Necessary(const policy::Policy& policy, const policy::EventType& type)
      : type_(type), columns_(static_cast<size_t>(type.slot_count)) {
    archive::TypeLayout stored = archive::layout_of(policy, type);
    for (size_t i = 0; i < stored.slots.size(); ++i) {
      const archive::ColumnSpec& spec = stored.layout.columns[archive::kSystemColumns + i];
      columns_[static_cast<size_t>(stored.slots[i])] = {sql_name(spec.column), spec.type};
    }
    for (const event::Derived& derived : type.schema.derived)
      columns_[static_cast<size_t>(derived.slot)].derived = true;
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
    const auto slot = static_cast<size_t>(p.slot);
    if (slot >= columns_.size() || columns_[slot].name.empty()) return {};
    const Column& column = columns_[slot];
    // Not-a-number is ordered differently in SQL, which a negation would turn into rows left out.
    if (column.type == ColumnType::kDouble && p.negated) return {};
    std::string sql = plain(p, column.type, column.name);
    if (!sql.empty() && p.negated) sql = "NOT " + sql;
    // A file from before a rule read the attribute does not have it, and it is derived when it is read.
    if (!sql.empty() && column.derived) sql = "(" + sql + " OR " + column.name + " IS NULL)";
    return sql;
  }

  struct Column {
    std::string name;  // quoted; empty: the archive does not have it
    ColumnType type = ColumnType::kJson;
    bool derived = false;
  };
  const policy::EventType& type_;
  std::vector<Column> columns_;  // by slot
};

// A condition as SQL that is true, false or NULL just where the condition is true, false or an error: SQL's logic of
// NULL is the one of errors.
class Exact {
 public:
  Exact(const policy::Policy& policy, const policy::EventType& type)
      : type_(type), names_(policy::slot_names(type)), kinds_(static_cast<size_t>(type.slot_count), ColumnType::kJson) {
    archive::TypeLayout stored = archive::layout_of(policy, type);
    for (size_t i = 0; i < stored.slots.size(); ++i) {
      kinds_[static_cast<size_t>(stored.slots[i])] = stored.layout.columns[archive::kSystemColumns + i].type;
    }
  }

  std::string of(NodeId node, int depth = 0) {
    if (depth > kDepthMax) return {};
    if (auto predicate = type_.plan.predicate(node)) return test(*predicate);
    std::vector<NodeId> any = type_.plan.disjuncts(node);
    if (any.size() > 1) return join(any, " OR ", depth);
    std::vector<NodeId> all = type_.plan.conjuncts(node);
    if (all.size() > 1) return join(all, " AND ", depth);
    return presence(node);
  }
  const std::set<int32_t>& slots() const { return slots_; }

 private:
  std::string join(const std::vector<NodeId>& parts, std::string_view with, int depth) {
    std::string sql;
    for (NodeId part : parts) {
      std::string one = of(part, depth + 1);
      if (one.empty() || sql.size() + one.size() > kSqlBytesMax) return {};
      sql += (sql.empty() ? "(" : std::string(with)) + one;
    }
    return sql + ")";
  }

  std::string test(const Predicate& p) {
    const auto slot = static_cast<size_t>(p.slot);
    if (slot >= kinds_.size()) return {};
    const ColumnType kind = kinds_[slot];
    const std::string column = name(p.slot);
    std::string sql = plain(p, kind, column);
    if (sql.empty()) return {};
    // In SQL not-a-number is greater than all numbers.
    bool upwards = p.op == Predicate::Op::kGt || p.op == Predicate::Op::kGe;
    if (kind == ColumnType::kDouble && upwards) sql = "(" + sql + " AND NOT isnan(" + column + "))";
    if (p.negated) sql = "(NOT " + sql + ")";
    slots_.insert(p.slot);
    return sql;
  }

  // has(NAME), which is a predicate of no kind, by the words of it.
  std::string presence(NodeId node) {
    std::vector<int32_t> read = type_.plan.slots_read(node);
    if (read.size() != 1) return {};
    const auto slot = static_cast<size_t>(read[0]);
    if (slot >= kinds_.size() || names_[slot].empty() || kinds_[slot] == ColumnType::kJson) return {};
    const std::string text = type_.plan.text(node), has = "has(" + names_[slot] + ")";
    if (text != has && text != "!" + has) return {};
    slots_.insert(read[0]);
    return "(" + name(read[0]) + (text == has ? " IS NOT NULL)" : " IS NULL)");
  }

  static std::string name(int32_t slot) { return "s" + std::to_string(slot); }

  const policy::EventType& type_;
  std::vector<std::string> names_;
  std::vector<ColumnType> kinds_;  // by slot; kJson: no column of a simple type
  std::set<int32_t> slots_;
};

}  // namespace

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

std::optional<ExactSql> exact_sql(const policy::Policy& policy, const policy::EventType& type, cel::NodeId condition) {
  Exact exact(policy, type);
  std::string sql = exact.of(condition);
  if (sql.empty()) return std::nullopt;
  return ExactSql{std::move(sql), {exact.slots().begin(), exact.slots().end()}};
}

}  // namespace tamis::replay
