// The inside of columns.h. Truths are bytes of RowTruth; a set of rows is all of them or a list of row numbers.
#pragma once

#include <memory>
#include <vector>

#include "cel/columns.h"
#include "cel/eval.h"

namespace tamis::cel {

using RowIndex = uint16_t;

struct Rows {
  const RowIndex* index = nullptr;  // null: rows 0..count-1
  uint32_t count = 0;
};

template <class F>
inline void each_row(Rows rows, F&& f) {
  if (rows.index == nullptr) {
    for (uint32_t i = 0; i < rows.count; ++i) f(i);
  } else {
    for (uint32_t i = 0; i < rows.count; ++i) f(uint32_t{rows.index[i]});
  }
}

inline constexpr uint8_t kRowFalse = static_cast<uint8_t>(RowTruth::kFalse);
inline constexpr uint8_t kRowError = static_cast<uint8_t>(RowTruth::kError);
inline constexpr uint8_t kRowTrue = static_cast<uint8_t>(RowTruth::kTrue);
inline constexpr uint8_t kRowUnknown = 0x80;

inline uint8_t row_truth(Plan::Truth t) {
  constexpr uint8_t kOf[] = {kRowFalse, kRowTrue, kRowError};
  return kOf[static_cast<size_t>(t)];
}
inline uint8_t row_truth(bool b) { return static_cast<uint8_t>(-static_cast<int>(b) & 3); }

// Buffers for one batch size, lent out and taken back.
template <class T>
class BufferPool {
 public:
  explicit BufferPool(size_t size) : size_(size) {}

  class Lease {
   public:
    explicit Lease(BufferPool& pool) : pool_(pool) {}
    ~Lease() {
      if (buffer_ != nullptr) pool_.free_.push_back(std::move(buffer_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    T* get() {
      if (buffer_ == nullptr) buffer_ = pool_.take();
      return buffer_.get();
    }

   private:
    BufferPool& pool_;
    std::unique_ptr<T[]> buffer_;
  };

 private:
  std::unique_ptr<T[]> take() {
    if (free_.empty()) return std::unique_ptr<T[]>(new T[size_]);
    std::unique_ptr<T[]> buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  size_t size_;
  std::vector<std::unique_ptr<T[]>> free_;
};

// The values of a node in the rows of a batch. Of an error only the fact is kept: whoever needs to know which one asks
// the scalar evaluator for that row.
struct Vec {
  enum class Layout : uint8_t { kInt, kUint, kDouble, kValues, kColumn, kConst };
  Layout layout = Layout::kConst;
  const uint8_t* bad = nullptr;  // kInt, kUint, kDouble: not 0 where the row is an error; null: nowhere
  union {
    const int64_t* ints = nullptr;
    const uint64_t* uints;
    const double* doubles;
    const Value* values;
    const Column* column;
  };
  Value constant;

  Value at(uint32_t row) const;  // an error where the row has none
};

struct ColumnFrame::Impl {
  using Bytes = BufferPool<uint8_t>::Lease;
  using Index = BufferPool<RowIndex>::Lease;
  // Room for the values of a node: 16 bytes a row, used as Value, int64_t, uint64_t or double.
  struct VecRoom {
    explicit VecRoom(Impl& impl) : values(impl.value_pool), bad(impl.byte_pool) {}
    BufferPool<Value>::Lease values;
    Bytes bad;
  };

  Impl(std::shared_ptr<const Plan::Impl> plan, uint32_t rows_max);
  void begin(std::span<const Column> columns, uint32_t rows, base::Arena& arena, const Host* host, int64_t cost_max);

  // Truths, columns.cc.
  const uint8_t* truth(NodeId id, Rows rows, Bytes& own);
  const uint8_t* cached_truth(NodeId id, Rows rows);
  void compute_truth(NodeId id, Rows rows, uint8_t* out);
  void logic(const Node& n, Rows rows, uint8_t* out);
  void condition(const Node& n, Rows rows, uint8_t* out);
  void fallback_truth(NodeId id, Rows rows, uint8_t* out);
  Rows undecided(Rows rows, const uint8_t* truths, uint8_t decided, RowIndex* out) const;
  bool is_dense(NodeId id) const;

  // Tests of slots, column_tests.cc.
  void slot_test(NodeId id, const Node& n, Rows rows, uint8_t* out);
  bool typed_test(const Node& n, const Column& column, Rows rows, uint8_t* out) const;
  void code_test(const Node& n, Rows rows, uint8_t* out);
  void dictionary_test(NodeId id, const Node& n, const Column& column, Rows rows, uint8_t* out);
  const uint32_t* row_codes(uint32_t table);

  // Values, column_values.cc.
  Vec vec(NodeId id, Rows rows, VecRoom& own);
  Vec cached_vec(NodeId id, Rows rows);
  Vec compute_vec(NodeId id, Rows rows, Value* values, uint8_t* bad);
  Vec arithmetic(const Node& n, Rows rows, Value* values, uint8_t* bad);
  Vec strict(const Node& n, Rows rows, Value* values);
  Vec truth_vec(NodeId id, Rows rows, Value* values);
  Vec fallback_vec(NodeId id, Rows rows, Value* values);
  void compare(const Node& n, Rows rows, uint8_t* out);
  Vec column_vec(const Column& column) const;

  // The scalar evaluator on one row of a node's slots.
  Evaluator& at_row(NodeId id, uint32_t row);
  const std::vector<int32_t>& slots_of(NodeId id);
  const Column& column_of(int32_t slot) const {
    return static_cast<size_t>(slot) < columns.size() ? columns[slot] : absent_column;
  }

  struct CachedTruth {
    uint32_t epoch = 0;
    bool complete = false;
    std::unique_ptr<uint8_t[]> truths;
  };
  struct CachedVec {
    uint32_t epoch = 0;
    bool complete = false;
    std::unique_ptr<uint8_t[]> known, bad;
    std::unique_ptr<Value[]> values;
  };
  struct RowCodes {
    uint32_t epoch = 0;
    std::unique_ptr<uint32_t[]> codes;
    uint64_t dictionary_id = 0;
    std::vector<uint32_t> of_entries;
  };
  struct DictionaryTruths {
    uint64_t dictionary_id = 0;
    std::vector<uint8_t> of_entries;
  };

  std::shared_ptr<const Plan::Impl> plan;
  uint32_t rows_max;
  Frame::Impl frame;
  std::vector<Value> row_slots;
  Evaluator* evaluator = nullptr;  // of the frame
  std::span<const Column> columns;
  Column absent_column;
  uint32_t rows = 0;
  uint32_t epoch = 0;
  base::Arena* arena = nullptr;
  const Host* host = nullptr;
  int64_t cost_max = 0;
  BufferPool<uint8_t> byte_pool;
  BufferPool<RowIndex> index_pool;
  BufferPool<Value> value_pool;
  std::vector<CachedTruth> cached_truths;                            // by Plan::Impl::cache_of
  std::vector<CachedVec> cached_vecs;                                // likewise
  std::vector<RowCodes> codes;                                       // by CodeTable
  std::vector<std::unique_ptr<DictionaryTruths>> dictionary_truths;  // by node
  size_t dictionary_bytes = 0;
  std::vector<std::unique_ptr<std::vector<int32_t>>> slots_read;  // by node
  std::unique_ptr<uint8_t[]> result;                              // of test(), where the node has no cache
};

}  // namespace tamis::cel
