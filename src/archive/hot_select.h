// Which rows of a column in memory can be true for a condition, told from the packed values: a number is compared as it
// lies there, a text once an entry of the dictionary or by one byte of its hash. So a search unpacks and evaluates only
// rows that have a chance. Private.
#pragma once

#include <cstdint>
#include <vector>

#include "archive/hot.h"
#include "cel/plan.h"

namespace tamis::archive {

// A predicate made ready for one column. Of one thread.
class HotTest {
 public:
  HotTest(const HotColumn& column, const cel::Predicate& predicate);
  // False: nothing can be told of this predicate; the rows need not be asked.
  bool useful() const { return how_ != How::kUnknown; }
  // What a row costs, roughly: cheap tests go first.
  int cost() const { return static_cast<int>(how_); }
  // keep[i] becomes 0 where row from + i is certainly not true.
  void apply(uint32_t from, uint32_t count, uint8_t* keep);

 private:
  enum class How : uint8_t { kNone, kStates, kRanges, kCodes, kHashes, kDoubles, kContains, kUnknown };
  struct Range {
    uint64_t least = 0, most = 0;  // of packed numbers, both included
  };

  void prepare_number();
  bool add_range(const event::Value& constant, cel::Predicate::Op op);
  bool add_decimal_range(double constant, cel::Predicate::Op op);
  void prepare_text();
  void allow_codes();
  bool holds(std::string_view text) const;
  template <class T>
  void apply_ranges(uint32_t from, uint32_t count, uint8_t* keep) const;
  template <class T>
  void apply_codes(uint32_t from, uint32_t count, uint8_t* keep) const;
  void apply_doubles(uint32_t from, uint32_t count, uint8_t* keep) const;
  void apply_bools(uint32_t from, uint32_t count, uint8_t* keep) const;
  void apply_hashes(uint32_t from, uint32_t count, uint8_t* keep);
  void apply_contains(uint32_t from, uint32_t count, uint8_t* keep);

  const HotColumn* column_;
  cel::Predicate predicate_;
  How how_ = How::kUnknown;
  bool inverted_ = false;  // kRanges: all but those in the ranges
  std::vector<Range> ranges_;
  std::vector<uint8_t> allowed_;  // by code
  bool single_ = false;           // only the code first_ is
  uint32_t first_ = 0;
  double number_ = 0;
  std::vector<uint32_t> hits_;
};

}  // namespace tamis::archive
