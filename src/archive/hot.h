// Columns in memory: what searches of analysts read again and again, decoded once and packed. A file never changes, so
// a column of it that is here stays true for as long as the file counts; it goes with the file, or when others are
// wanted more. Private.
//
// Packed: texts with few different values are codes of 1, 2 or 4 bytes and a dictionary; whole numbers and times lie
// above the smallest one in as few bytes as they need; other texts lie one behind the other. About 1 to 8 bytes a row,
// 4 and the text for a text that hardly comes twice.
//
// Threading: a HotColumn never changes; HotFile and HotUse may be used from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "archive/duck.h"
#include "archive/layout.h"
#include "archive/pages.h"
#include "base/arena.h"
#include "cel/columns.h"

namespace tamis::archive {

// What all columns of an archive take together, and the clock of their use.
struct HotUse {
  std::atomic<uint64_t> bytes = 0;
  std::atomic<uint64_t> now = 1;
};

// Ids of dictionaries (cel::Column::dictionary_id), none twice.
uint64_t new_dictionary_id();

class HotColumn {
 public:
  HotColumn() = default;
  HotColumn(const HotColumn&) = delete;
  HotColumn& operator=(const HotColumn&) = delete;
  ~HotColumn();

  uint32_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }
  // Texts that hardly come twice: much memory for little.
  bool is_large() const { return layout_ == cel::Column::Layout::kString || layout_ == cel::Column::Layout::kBytes; }
  // Rows [from, from + count) for the evaluator; numbers are unpacked into the arena.
  cel::Column slice(uint32_t from, uint32_t count, base::Arena& arena) const;
  // The same of some rows, ascending.
  cel::Column gather(const uint32_t* rows, uint32_t count, base::Arena& arena) const;
  // The same of a column of whole numbers or times (microseconds), which has no NULL.
  const int64_t* numbers(uint32_t from, uint32_t count, base::Arena& arena) const;
  const int64_t* numbers(const uint32_t* rows, uint32_t count, base::Arena& arena) const;

  mutable std::atomic<uint64_t> used = 0;  // when it was last read, by HotUse::now

 private:
  friend class HotBuilder;
  friend class HotTest;
  template <class T, class Place>
  void unpack(Place place, uint32_t count, int64_t* out) const;
  template <class Place>
  const int64_t* numbers_at(Place place, uint32_t count, base::Arena& arena) const;
  template <class T, class Place>
  const uint32_t* codes_at(Place place, uint32_t count, base::Arena& arena) const;
  template <class Place>
  cel::Column at(Place place, uint32_t from, uint32_t count, base::Arena& arena) const;
  // Of a text that lies behind others.
  std::string_view text(uint32_t row) const;
  static uint8_t hash_of(std::string_view text);

  cel::Column::Layout layout_ = cel::Column::Layout::kAbsent;
  uint32_t rows_ = 0;
  uint32_t width_ = 0;  // bytes a row in packed_
  int64_t base_ = 0, unit_ = 1;
  bool steps_ = false;           // numbers: each is one more than the one before, and nothing is packed
  double scale_ = 0;             // doubles: numbers divided by it; 0: as they are
  std::vector<uint8_t> states_;  // empty: each row has a value
  std::vector<char> packed_;     // codes; numbers as base_ + unit_ * what is here; bools; doubles; where texts end
  std::vector<char> text_;
  std::vector<uint8_t> hashes_;  // one byte of the hash of each text, or of each entry
  std::vector<event::Value> dictionary_;
  uint64_t dictionary_id_ = 0;
  uint64_t bytes_ = 0;
  std::shared_ptr<HotUse> use_;
};

// Makes a column from the chunks of a file, in order.
class HotBuilder {
 public:
  explicit HotBuilder(ColumnType type) : type_(type) {}
  static bool can_hold(ColumnType type);
  // False: it would be too large.
  bool add(const Chunk& chunk, uint32_t column);
  bool add(const PageColumn& column);
  bool takes(const PageColumn& column) const;  // whether it is of the builder's type
  std::shared_ptr<const HotColumn> finish(const std::shared_ptr<HotUse>& use);

 private:
  void add_state(uint32_t row, bool good);
  void add_text(std::string_view text);
  void add_code(uint32_t code);
  void add_texts(const PageColumn& column);
  uint32_t code_of(std::string_view text);
  void grow_table();
  void to_plain();
  void pack_numbers(HotColumn& column);
  bool to_decimals(HotColumn& column);
  void pack_codes(HotColumn& column) const;

  ColumnType type_;
  uint32_t rows_ = 0;
  bool any_null_ = false, any_value_ = false;
  std::vector<uint8_t> states_;
  std::vector<int64_t> numbers_;  // whole numbers, times, bits of doubles
  std::vector<char> bools_;
  // Texts: codes into entries while there are few, then ends of one text after another.
  bool plain_ = false;
  std::vector<uint32_t> codes_, ends_, table_;  // ends_: of entries, or of rows
  std::vector<uint32_t> known_;                 // codes of a page's dictionary
  std::vector<char> text_;
};

// A column of a file that a scan reads.
struct HotWanted {
  std::string column;
  ColumnType type = ColumnType::kString;
};

// The columns of one file that are in memory.
class HotFile {
 public:
  std::shared_ptr<const HotColumn> find(const std::string& column) const;
  void keep(const std::string& column, std::shared_ptr<const HotColumn> hot);
  void drop(const std::string& column);
  std::vector<std::pair<std::string, std::shared_ptr<const HotColumn>>> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const HotColumn>> columns_;
};

}  // namespace tamis::archive
