// One line of the audit trail: its text, its hash. Private to this room.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "action/audit.h"
#include "base/arena.h"
#include "base/result.h"

namespace tamis::action {

inline constexpr std::string_view kPayload[] = {"value", "why", "detail"};

struct ChainedLine {
  AuditLine line;
  std::string time;                 // as written
  std::array<std::string, 3> salt;  // by kPayload
  std::array<std::string, 3> sum;
  std::array<bool, 3> present{};
  std::string prev;

  std::string& payload(size_t i) { return i == 0 ? line.value : i == 1 ? line.why : line.detail; }
  const std::string& payload(size_t i) const { return i == 0 ? line.value : i == 1 ? line.why : line.detail; }
  std::string hash() const;                // as the chain wants it
  std::string fault() const;               // why its own parts do not fit together; empty if they do
  void append_to(std::string& out) const;  // with the line end
};

std::string payload_sum(std::string_view salt, std::string_view text);
base::Result<ChainedLine> read_chained_line(std::string_view json, base::Arena& arena);

// The months of a folder, oldest first: "2026-11".
base::Result<std::vector<std::string>> list_months(const std::string& folder);
inline std::string month_path(const std::string& folder, const std::string& month) {
  return folder + "/" + month + ".jsonl";
}

}  // namespace tamis::action
