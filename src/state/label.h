// Labels: marks on entities, with author, reason and expiry. Keyed by entity kind and value. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"
#include "state/pieces.h"

namespace tamis::state {

struct Label {
  std::string name;
  std::string author;  // a person, or "rule:ID"
  std::string reason;
  int64_t since_ms = 0;
  int64_t expires_ms = INT64_MAX;
  bool operator==(const Label&) const = default;
};

class LabelStore : public SnapshotPart {
 public:
  static std::unique_ptr<LabelStore> make(uint64_t entities_max = 10'000'000);

  // A label that is in force already keeps its `since` and gets the later expiry; one that has expired by the new one's
  // `since` counts as gone.
  // Errors: a text of more than 1024 bytes, 64 labels on the entity, the store is full.
  virtual base::Status set(std::string_view entity_kind, std::string_view value, const Label& label) = 0;
  // Sets it exactly as given, whatever was there: for taking back what was done since.
  virtual base::Status put(std::string_view entity_kind, std::string_view value, const Label& label) = 0;
  virtual bool clear(std::string_view entity_kind, std::string_view value, std::string_view name) = 0;
  // Removes all labels of an entity and says how many there were.
  virtual size_t erase(std::string_view entity_kind, std::string_view value) = 0;
  // Names in force at now_ms, in the order in which they were set, as a list of strings in the arena.
  virtual event::Value names(std::string_view entity_kind, std::string_view value, int64_t now_ms,
                             base::Arena& arena) const = 0;
  virtual std::vector<Label> get(std::string_view entity_kind, std::string_view value, int64_t now_ms) const = 0;
  // Visits the labels in force of entities behind the cursor `after` (0: from the first), until `limit` labels or more
  // were visited, whole entities at a time. The cursor to go on from, 0 at the end. What is in force during the whole
  // listing is visited exactly once, whatever changes in between.
  using Visit = std::function<void(std::string_view entity_kind, std::string_view value, const Label&)>;
  virtual uint64_t visit(uint64_t after, size_t limit, int64_t now_ms, const Visit& visit) const = 0;
  virtual void advance(int64_t now_ms) = 0;  // frees what has expired, a bounded piece at a time
  virtual size_t entities() const = 0;
  virtual uint64_t digest() const = 0;  // independent of order and layout
};

}  // namespace tamis::state
