// ValueCounts: how often each value of a facet came. Columns are counted as they lie: codes of a dictionary by code,
// whole numbers in a table, all else by JSON; texts are made of what is shown alone. Private to this room.
//
// Memory: about 200 000 different values, then what is new is only summed up. Of one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cel/columns.h"
#include "replay/find.h"

namespace tamis::replay {

class ValueCounts {
 public:
  void add(const cel::Column& column, std::span<const uint32_t> rows);
  void add(const std::string& json, uint64_t times) { counts_[json] += times; }
  void add_absent(uint64_t times) { absent_ += times; }
  void merge(const ValueCounts& other);
  FindResult::Facet take(std::string name, size_t most) const;

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Number {
    int64_t number = 0;
    uint64_t count = 0;  // 0: a free place
  };
  // Of an entry of the dictionary: where it is counted, and how often it came since.
  struct Entry {
    uint64_t* to = nullptr;
    uint64_t count = 0;
  };

  void add_codes(const cel::Column& column, std::span<const uint32_t> rows);
  void add_numbers(const cel::Column& column, std::span<const uint32_t> rows);
  void add_value(event::Value value);
  void add_number(int64_t number, uint64_t times);
  void grow_numbers();
  void add_entries() const;
  // Where values like this one are counted; stays true.
  uint64_t* count_of(event::Value value);
  template <class Each>
  void each_number(Each each) const;

  mutable std::unordered_map<std::string, uint64_t, TextHash, std::equal_to<>> counts_;
  mutable uint64_t absent_ = 0, dropped_ = 0;
  std::string json_;
  uint64_t dictionary_id_ = 0;
  mutable std::vector<Entry> entries_;
  std::vector<uint64_t> small_;  // counts of the smallest whole numbers, once there is one
  std::vector<Number> numbers_;  // of the others, an open table
  size_t numbers_used_ = 0;
};

}  // namespace tamis::replay
