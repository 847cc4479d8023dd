#include "archive/layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/hash.h"
#include "event/json_event.h"
#include "policy/private_values.h"

namespace tamis::archive {
namespace {

struct TypeName {
  ColumnType type;
  std::string_view name;
  std::string_view sql;
};
constexpr std::array<TypeName, 10> kTypes = {{
    {ColumnType::kBool, "bool", "BOOLEAN"},
    {ColumnType::kInt, "int", "BIGINT"},
    {ColumnType::kUint, "uint", "UBIGINT"},
    {ColumnType::kDouble, "double", "DOUBLE"},
    {ColumnType::kString, "string", "VARCHAR"},
    {ColumnType::kBytes, "bytes", "BLOB"},
    {ColumnType::kTimestamp, "timestamp", "TIMESTAMP"},
    {ColumnType::kDuration, "duration", "BIGINT"},
    {ColumnType::kJson, "json", "VARCHAR"},
    {ColumnType::kTexts, "texts", "VARCHAR[]"},
}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

ColumnSpec column(std::string name, ColumnType type) {
  ColumnSpec spec;
  spec.name = spec.column = std::move(name);
  spec.type = type;
  return spec;
}

// SQL does not tell upper from lower case, expressions do.
std::string free_name(const std::string& name, bool is_field, std::set<std::string>& taken) {
  std::string free = name;
  if (taken.contains(lower(free)) && is_field) free = "field." + name;
  for (int i = 2; taken.contains(lower(free)); ++i) free = fmt::format("{}.{}", name, i);
  taken.insert(lower(free));
  return free;
}

uint64_t fingerprint_of(const policy::FeatureDecl& feature, const policy::FeatureRead& read) {
  const uint64_t window = read.window < feature.spec.windows_ms.size()
                              ? static_cast<uint64_t>(feature.spec.windows_ms[read.window])
                              : read.window;
  return base::combine64(base::combine64(feature.fingerprint, window), feature.include_self ? 1 : 0);
}

}  // namespace

std::string_view name_of(ColumnType type) { return kTypes[static_cast<size_t>(type)].name; }
std::string_view sql_type(ColumnType type) { return kTypes[static_cast<size_t>(type)].sql; }
bool column_type_named(std::string_view name, ColumnType& type) {
  for (const TypeName& known : kTypes) {
    if (known.name != name) continue;
    type = known.type;
    return true;
  }
  return false;
}

ColumnType column_type_of(const event::Type& type) {
  switch (type.kind) {
    case event::Type::Kind::kBool:
      return ColumnType::kBool;
    case event::Type::Kind::kInt:
      return ColumnType::kInt;
    case event::Type::Kind::kUint:
      return ColumnType::kUint;
    case event::Type::Kind::kDouble:
      return ColumnType::kDouble;
    case event::Type::Kind::kString:
      return ColumnType::kString;
    case event::Type::Kind::kBytes:
      return ColumnType::kBytes;
    case event::Type::Kind::kTimestamp:
      return ColumnType::kTimestamp;
    case event::Type::Kind::kDuration:
      return ColumnType::kDuration;
    default:
      return ColumnType::kJson;
  }
}

const ColumnSpec* Layout::find(std::string_view name) const {
  for (size_t i = kSystemColumns; i < columns.size(); ++i) {
    if (columns[i].name == name) return &columns[i];
  }
  return nullptr;
}

const std::vector<ColumnSpec>& system_columns() {
  static const std::vector<ColumnSpec> kColumns = {
      column("n", ColumnType::kUint),
      column("time", ColumnType::kTimestamp),
      column("received", ColumnType::kTimestamp),
      column("id", ColumnType::kString),
      column("policy", ColumnType::kString),
      column("verdict", ColumnType::kString),
      column("points", ColumnType::kDouble),
      column("score", ColumnType::kDouble),
      column("late", ColumnType::kBool),
      column("rules", ColumnType::kTexts),
      column("shadow", ColumnType::kTexts),
      column("reasons", ColumnType::kTexts),
      column("values", ColumnType::kJson),
      column("effects", ColumnType::kJson),
  };
  return kColumns;
}

Layout acts_layout() {
  Layout layout;
  layout.columns = {
      column("n", ColumnType::kUint),
      column("time", ColumnType::kTimestamp),
      column("act", ColumnType::kString),
      column("kind", ColumnType::kString),
      column("value", ColumnType::kString),
      column("name", ColumnType::kString),
      column("list", ColumnType::kString),
      column("author", ColumnType::kString),
      column("reason", ColumnType::kString),
      column("since", ColumnType::kTimestamp),
      column("expires", ColumnType::kTimestamp),
      column("batch", ColumnType::kString),
  };
  return layout;
}

event::Type type_of(const policy::FeatureDecl& feature) {
  using state::Aggregate;
  auto of_kind = [&] {
    switch (feature.spec.value_kind) {
      case event::Kind::kBool:
        return event::Type::boolean();
      case event::Kind::kInt:
        return event::Type::integer();
      case event::Kind::kUint:
        return event::Type::uinteger();
      case event::Kind::kDouble:
        return event::Type::real();
      case event::Kind::kString:
        return event::Type::string();
      case event::Kind::kBytes:
        return event::Type::bytes();
      case event::Kind::kTimestamp:
        return event::Type::timestamp();
      case event::Kind::kDuration:
        return event::Type::duration();
      default:
        return event::Type::dyn();
    }
  };
  switch (feature.spec.aggregate) {
    case Aggregate::kCount:
    case Aggregate::kDistinct:
      return event::Type::integer();
    case Aggregate::kMean:
    case Aggregate::kRate:
    case Aggregate::kRatio:
    case Aggregate::kQuantile:
      return event::Type::real();
    case Aggregate::kFirstSeen:
      return event::Type::timestamp();
    case Aggregate::kTopK:
    case Aggregate::kSet:
      return event::Type::list(of_kind());
    case Aggregate::kSum:
    case Aggregate::kMin:
    case Aggregate::kMax:
    case Aggregate::kLast:
      break;
  }
  return of_kind();
}

TypeLayout layout_of(const policy::Policy& policy, const policy::EventType& type) {
  TypeLayout out;
  out.layout.columns = system_columns();
  std::set<std::string> taken;
  for (const ColumnSpec& own : out.layout.columns) taken.insert(own.column);
  taken.insert("type");  // a column of the table `events`
  auto add = [&](const std::string& name, const event::Type& of, int32_t slot, uint64_t fingerprint,
                 bool is_field) -> ColumnSpec& {
    ColumnSpec spec;
    spec.name = name;
    spec.column = free_name(name, is_field, taken);
    spec.type = column_type_of(of);
    spec.fingerprint = fingerprint;
    out.layout.columns.push_back(std::move(spec));
    out.slots.push_back(slot);
    out.slot_types.push_back(of);
    for (const policy::EntityField& entity : type.entities) {
      if (entity.slot == slot) out.layout.columns.back().entity = entity.kind;
    }
    return out.layout.columns.back();
  };
  const std::vector<event::Field>& fields = type.schema.fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    ColumnSpec& spec = add(fields[i].name, fields[i].type, static_cast<int32_t>(i), 0, true);
    spec.secret = fields[i].token;
    spec.keep_days = fields[i].keep_days;
  }
  for (const event::Derived& derived : type.schema.derived) {
    const event::Field& source = fields[static_cast<size_t>(derived.source)];
    for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
      if (info.attribute != derived.attribute) continue;
      ColumnSpec& spec = add(fmt::format("{}.{}", source.name, info.name), info.type, derived.slot,
                             1 + static_cast<uint64_t>(source.semantic), false);
      spec.secret = source.token && policy::gives_away(source.semantic, info.attribute);
      spec.keep_days = source.keep_days;
      break;
    }
  }
  out.feature_from = out.layout.columns.size();
  for (const policy::FeatureRead& read : type.reads) {
    const policy::FeatureDecl& feature = policy.features[read.feature];
    add(read.name, type_of(feature), read.slot, fingerprint_of(feature, read), false).secret =
        policy::gives_private_values(policy, read.feature);
  }
  for (const policy::DetectorRead& read : type.detector_reads) {
    const policy::DetectorDecl& detector = policy.detectors[read.detector];
    const policy::DetectorOutput& output = policy::info_of(detector.kind).outputs[read.output];
    add(read.name, output.type, read.slot, base::combine64(detector.fingerprint, base::hash64(output.name)), false);
  }
  return out;
}

std::string table_of(std::string_view type) {
  const std::string name = lower(type);
  if (name == "events" || name == "acts" || name == "truth") return "type." + std::string(type);
  return std::string(type);
}

std::string folder_of(std::string_view type) {
  std::string out;
  for (const char c : type) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out == "acts" ? "%acts" : out;
}

std::string day_text(int64_t day) { return event::format_time_ms(day * kDayMs).substr(0, 10); }

}  // namespace tamis::archive
