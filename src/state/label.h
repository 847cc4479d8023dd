// Labels: marks on entities, with author, reason and expiry. Keyed by entity kind and value. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace tamis::state {

struct Label {
  std::string name;
  std::string author;  // a person, or "rule:ID"
  std::string reason;
  int64_t since_ms = 0;
  int64_t expires_ms = INT64_MAX;
};

class LabelStore {
 public:
  static std::unique_ptr<LabelStore> make(uint64_t entities_max = 10'000'000);
  virtual ~LabelStore() = default;

  // A label that is already there keeps its `since` and gets the later expiry.
  virtual base::Status set(std::string_view entity_kind, std::string_view value, const Label& label) = 0;
  virtual bool clear(std::string_view entity_kind, std::string_view value, std::string_view name) = 0;
  // Names in force at now_ms, in the order in which they were set, as a list of strings in the arena.
  virtual event::Value names(std::string_view entity_kind, std::string_view value, int64_t now_ms,
                             base::Arena& arena) const = 0;
  virtual std::vector<Label> get(std::string_view entity_kind, std::string_view value, int64_t now_ms) const = 0;
  virtual void advance(int64_t now_ms) = 0;  // frees what has expired, a bounded piece at a time
  virtual size_t entities() const = 0;
  virtual uint64_t digest() const = 0;  // independent of order and layout
};

}  // namespace tamis::state
