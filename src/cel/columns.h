// The columnar evaluator: the same Plan over a batch of stored events, column by column. Backtests and searches over
// the archive use it; the engine decides single events with Plan::eval() and Plan::test().
//
// One meaning: for every row and node the result equals that of the scalar evaluator, errors included. What has a
// kernel (comparisons, logic, arithmetic, text predicates, membership) runs over whole columns; everything else, loops
// above all, runs the scalar evaluator row by row, on the rows that still need it. `&&` and `||` evaluate their dear
// operands only on the rows that the cheap ones left undecided; nodes with several parents are computed once a batch.
// Only the cost bound differs: here it holds for each row and each node without a kernel, not for the whole expression.
//
// Threading: a ColumnFrame belongs to one thread, the Plan is shared. Memory: about 2 bytes a row and shared node in
// use, kept from batch to batch. Nothing here throws.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "cel/plan.h"

namespace tamis::cel {

// The values of one slot in all rows. A column owns nothing.
struct Column {
  enum class Layout : uint8_t {
    kAbsent,      // no row has the field
    kBool,        // bools: 0 or 1
    kInt,         // ints
    kUint,        // uints
    kDouble,      // doubles
    kString,      // texts
    kBytes,       // texts
    kTimestamp,   // ints: microseconds since the epoch
    kDuration,    // ints: nanoseconds
    kDictionary,  // codes into `dictionary`: a predicate on text is decided once per entry
    kValues,      // values: any mixture of kinds, absent and errors among them
  };
  // Where `states` is set, one byte a row says whether the row has a value. Not used by kValues, which says it itself.
  enum State : uint8_t { kOk = 0, kAbsentRow = 1, kErrorRow = 2 };

  Layout layout = Layout::kAbsent;
  const uint8_t* states = nullptr;
  union {
    const uint8_t* bools = nullptr;
    const int64_t* ints;
    const uint64_t* uints;
    const double* doubles;
    const std::string_view* texts;
    const uint32_t* codes;
    const Value* values;
  };
  std::span<const Value> dictionary;
  // Not 0: the dictionary is the same as in every other batch with this id, so what was found out about its entries can
  // be kept. An id must never come back with another dictionary.
  uint64_t dictionary_id = 0;
  Value error;  // of the rows in state kErrorRow

  // The value of a row, kAbsent and kError included: what the slot of this event would hold.
  Value at(uint32_t row) const;
};

// Two bits, so that && is `&` and || is `|` on them (Kleene's three-valued logic).
enum class RowTruth : uint8_t { kFalse = 0, kError = 1, kTrue = 3 };

class ColumnFrame {
 public:
  static constexpr uint32_t kRowsMax = 1 << 15;

  // `rows_max` rows a batch at most; some thousands keep the working set in the cache of a core.
  explicit ColumnFrame(const Plan& plan, uint32_t rows_max = 2048);
  ~ColumnFrame();
  ColumnFrame(ColumnFrame&&) noexcept;
  ColumnFrame& operator=(ColumnFrame&&) noexcept;

  // Starts a batch. columns[slot]; slots behind the end are absent in all rows. Columns, arena and host must stay as
  // they are until the next begin(); the caller resets the arena between batches.
  void begin(std::span<const Column> columns, uint32_t rows, base::Arena& arena, const Host* host,
             int64_t cost_max = 1'000'000);

  // For each row whether the node is true, false or an error (a value that is no bool is one). Valid until begin().
  std::span<const RowTruth> test(NodeId node);
  // The value of the node in each row; `out` has place for all rows. Errors are the same as those of Plan::eval().
  void eval(NodeId node, Value* out);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::cel
