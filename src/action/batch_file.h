// The two files of a batch: lines of items, lines of the log. Private to this room.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "action/batch.h"
#include "action/json_text.h"
#include "action/line_file.h"
#include "base/arena.h"

namespace tamis::action {

std::string_view kind_word(Place::Kind kind);

struct StoredItem {
  BatchItem item;
  std::optional<Mark> before;
  bool erased = false;
};

// Header and items, each with the line end.
void append_header(std::string& out, const BatchInfo& info);
base::Result<BatchInfo> read_header(std::string_view line, base::Arena& arena);
void append_item(std::string& out, const StoredItem& stored);
base::Result<StoredItem> read_item(std::string_view line, base::Arena& arena);
void append_mark(std::string& out, const std::optional<Mark>& mark);  // a JSON value
std::optional<Mark> read_mark(const JsonObject& json, std::string_view key);

// The line of the log that says what lay at an item's place, with the line end.
void append_before(std::string& out, uint64_t item, const std::optional<Mark>& mark);

// What the batch lays at the place where `before` lies, at time `t_ms`; nothing: it leaves the place as it is.
std::optional<Mark> wanted_mark(const BatchInfo& info, const BatchItem& item, const std::optional<Mark>& before,
                                int64_t t_ms);
// What lies there and has not expired at now_ms, or null.
inline const Mark* in_force(const std::optional<Mark>& mark, int64_t now_ms) {
  return mark && mark->expires_ms > now_ms ? &*mark : nullptr;
}

struct BatchChunk {
  uint64_t from = 0, to = 0;
  int64_t t_ms = 0;
};

// What the log of a batch says.
struct BatchLog {
  std::vector<BatchChunk> chunks;                            // ascending; the last may not be done
  std::unordered_map<uint64_t, std::optional<Mark>> before;  // where it is another than in the file of items
  std::vector<BatchFault> faults;                            // without places
  const BatchChunk* chunk_of(uint64_t item) const;
  // Items that may have been touched.
  uint64_t touched() const { return chunks.empty() ? 0 : chunks.back().to; }
};
// Brings `info` to where the log is. `log` may be null: only `info` is wanted.
base::Status read_log(const std::string& path, BatchInfo& info, BatchLog* log);

}  // namespace tamis::action
