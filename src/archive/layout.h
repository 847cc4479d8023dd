// Layout: the columns of one Parquet file, what each holds, and how the slots of a policy become them. Private.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/schema.h"
#include "policy/policy.h"

namespace tamis::archive {

enum class ColumnType : uint8_t {
  kBool,
  kInt,
  kUint,
  kDouble,
  kString,
  kBytes,
  kTimestamp,  // microseconds since the epoch
  kDuration,   // nanoseconds, a BIGINT
  kJson,       // text
  kTexts,      // a list of texts; in rows one text, each followed by a line feed
};
std::string_view name_of(ColumnType type);  // in the manifest
bool column_type_named(std::string_view name, ColumnType& type);
std::string_view sql_type(ColumnType type);
ColumnType column_type_of(const event::Type& type);

struct ColumnSpec {
  std::string name;    // in expressions
  std::string column;  // in the file
  ColumnType type = ColumnType::kString;
  uint64_t fingerprint = 0;  // of the declaration of a feature, of the semantic type of a derived attribute
  bool secret = false;       // of a field that is `private: token`, and reveals it
  int32_t keep_days = 0;     // 0: as long as rows are kept
  std::string entity;        // the kind of entity that it names, or empty
  bool tokened = false;      // tokens stand in place of values
  bool dropped = false;      // its days are over: the file has no such column any more
  bool operator==(const ColumnSpec&) const = default;
};

// The columns of the archive's own, in this order before all others.
enum SystemColumn : uint32_t {
  kN,
  kTime,
  kReceived,
  kId,
  kPolicy,
  kVerdict,
  kPoints,
  kScore,
  kLate,
  kRules,
  kShadow,
  kReasons,
  kValues,
  kEffects,
  kSystemColumns,
};

struct Layout {
  std::vector<ColumnSpec> columns;
  bool operator==(const Layout&) const = default;
  const ColumnSpec* find(std::string_view name) const;  // of the policy's columns, by the name in expressions
};

const std::vector<ColumnSpec>& system_columns();
Layout acts_layout();

// The static type of what a feature's variable holds.
event::Type type_of(const policy::FeatureDecl& feature);

// A layout together with the slots of one event type that its columns are made of.
struct TypeLayout {
  Layout layout;
  std::vector<int32_t> slots;           // of column kSystemColumns + i
  std::vector<event::Type> slot_types;  // likewise
  size_t feature_from = 0;              // columns from here on are features
};
TypeLayout layout_of(const policy::Policy& policy, const policy::EventType& type);

// The table and the folder of an event type. Names that the archive needs itself, and letters that a file system may
// not like, are written differently.
std::string table_of(std::string_view type);
std::string folder_of(std::string_view type);

// What stands for a value after the raw days: HMAC-SHA256 under the key of its day, the first 32 hex digits, after
// "tok:".
std::string token_of(std::string_view key, std::string_view value);

inline constexpr int64_t kDayMs = 86'400'000;
inline int64_t day_of(int64_t time_ms) { return (time_ms >= 0 ? time_ms : time_ms - (kDayMs - 1)) / kDayMs; }
std::string day_text(int64_t day);  // "2026-11-21"

}  // namespace tamis::archive
