// Tests of slots over columns: typed loops, dictionaries, numbered constants.
#include <cstring>

#include "cel/columns_impl.h"

namespace tamis::cel {

namespace {

using Layout = Column::Layout;

// What is remembered of dictionaries from batch to batch, over all nodes of a frame.
constexpr size_t kDictionaryBytesMax = size_t{32} << 20;

template <class T, class Holds>
void compare_loop(const T* values, T constant, Rows rows, uint8_t* out, Holds holds) {
  each_row(rows, [&](uint32_t r) { out[r] = row_truth(holds(values[r], constant)); });
}

template <class T>
void compare_column(unsigned which, const T* values, T constant, Rows rows, uint8_t* out) {
  switch (which) {
    case 0:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a == b; });
    case 1:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a != b; });
    case 2:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a < b; });
    case 3:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a <= b; });
    case 4:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a > b; });
    default:
      return compare_loop(values, constant, rows, out, [](T a, T b) { return a >= b; });
  }
}

unsigned which_of(Op op) { return (static_cast<unsigned>(op) - static_cast<unsigned>(Op::kIntEq)) % 6; }

}  // namespace

// True if the test has a loop of its own for the layout of the column.
bool ColumnFrame::Impl::typed_test(const Node& n, const Column& column, Rows of, uint8_t* out) const {
  if (n.op == Op::kHasSlot) {
    if (column.layout == Layout::kValues) return false;
    bool never = column.layout == Layout::kAbsent;
    each_row(of, [&](uint32_t r) {
      out[r] = row_truth(!never && (column.states == nullptr || column.states[r] != Column::kAbsentRow));
    });
    return true;
  }
  if (column.layout == Layout::kAbsent) {
    each_row(of, [&](uint32_t r) { out[r] = kRowError; });
    return true;
  }
  if (n.op >= Op::kIntEq && n.op <= Op::kIntGe && column.layout == Layout::kInt) {
    compare_column(which_of(n.op), column.ints, n.constant.i, of, out);
  } else if (n.op >= Op::kDoubleEq && n.op <= Op::kDoubleGe && column.layout == Layout::kDouble) {
    compare_column(which_of(n.op), column.doubles, n.constant.d, of, out);
  } else if (n.op == Op::kNotSlot && column.layout == Layout::kBool) {
    each_row(of, [&](uint32_t r) { out[r] = row_truth(column.bools[r] == 0); });
  } else {
    return false;
  }
  if (column.states != nullptr) {
    each_row(of, [&](uint32_t r) { out[r] = column.states[r] == Column::kOk ? out[r] : kRowError; });
  }
  return true;
}

void ColumnFrame::Impl::slot_test(NodeId id, const Node& n, Rows of, uint8_t* out) {
  if (n.op >= Op::kCodeEq && n.op <= Op::kCodeIn) return code_test(n, of, out);
  const Column& column = column_of(n.slot);
  if (typed_test(n, column, of, out)) return;
  if (column.layout == Layout::kDictionary) return dictionary_test(id, n, column, of, out);
  each_row(of, [&](uint32_t r) { out[r] = row_truth(evaluator->test_value(n, column.at(r))); });
}

void ColumnFrame::Impl::dictionary_test(NodeId id, const Node& n, const Column& column, Rows of, uint8_t* out) {
  size_t entries = column.dictionary.size();
  std::unique_ptr<DictionaryTruths>& kept = dictionary_truths[id];
  if (kept == nullptr) kept = std::make_unique<DictionaryTruths>();
  bool known = column.dictionary_id != 0 && kept->dictionary_id == column.dictionary_id;
  if (!known) {
    dictionary_bytes -= kept->of_entries.size();
    bool worth = column.dictionary_id != 0 ? dictionary_bytes + entries <= kDictionaryBytesMax : entries < of.count;
    kept->dictionary_id = worth ? column.dictionary_id : 0;
    kept->of_entries.assign(worth ? entries : 0, kRowUnknown);
    dictionary_bytes += kept->of_entries.size();
    if (!worth) {
      each_row(of, [&](uint32_t r) { out[r] = row_truth(evaluator->test_value(n, column.at(r))); });
      return;
    }
  }
  uint8_t* truths = kept->of_entries.data();
  each_row(of, [&](uint32_t r) {
    uint32_t code = column.codes[r];
    if (column.states != nullptr && column.states[r] != Column::kOk) {
      out[r] = row_truth(evaluator->test_value(n, column.at(r)));
      return;
    }
    if (truths[code] == kRowUnknown) truths[code] = row_truth(evaluator->test_value(n, column.dictionary[code]));
    out[r] = truths[code];
  });
}

// The number of each row's value among the constants of a table, for all rows at once.
const uint32_t* ColumnFrame::Impl::row_codes(uint32_t table_index) {
  RowCodes& known = codes[table_index];
  if (known.codes == nullptr) known.codes.reset(new uint32_t[rows_max]);
  if (known.epoch == epoch) return known.codes.get();
  known.epoch = epoch;
  const CodeTable& table = plan->code_tables[table_index];
  const Column& column = column_of(table.slot);
  auto code_of = [&](Value v) { return v.is(Kind::kAbsent) || v.is_error() ? kCodeUnusable : table.find(v); };
  uint32_t* out = known.codes.get();
  bool by_entry =
      column.layout == Layout::kDictionary && (column.dictionary_id != 0 || column.dictionary.size() < rows);
  if (!by_entry) {
    for (uint32_t r = 0; r < rows; ++r) out[r] = code_of(column.at(r));
    return out;
  }
  if (column.dictionary_id == 0 || known.dictionary_id != column.dictionary_id) {
    known.dictionary_id = column.dictionary_id;
    known.of_entries.clear();
    for (Value v : column.dictionary) known.of_entries.push_back(code_of(v));
  }
  for (uint32_t r = 0; r < rows; ++r) {
    bool ok = column.states == nullptr || column.states[r] == Column::kOk;
    out[r] = ok ? known.of_entries[column.codes[r]] : kCodeUnusable;
  }
  return out;
}

void ColumnFrame::Impl::code_test(const Node& n, Rows of, uint8_t* out) {
  const uint32_t* code = row_codes(n.aux2);
  uint32_t wanted = n.aux;
  switch (n.op) {
    case Op::kCodeEq:
      each_row(of, [&](uint32_t r) {
        out[r] = static_cast<uint8_t>(row_truth(code[r] == wanted) | (code[r] == kCodeUnusable ? 1 : 0));
      });
      return;
    case Op::kCodeNe:
      each_row(of, [&](uint32_t r) {
        out[r] = static_cast<uint8_t>(row_truth(code[r] != wanted) & (code[r] == kCodeUnusable ? 1 : 3));
      });
      return;
    default: {
      const CodeSet& set = plan->code_sets[n.aux];
      each_row(of, [&](uint32_t r) {
        uint32_t c = code[r];
        out[r] = c == kCodeUnusable ? kRowError : row_truth(c != 0 && set.contains(c));
      });
    }
  }
}

}  // namespace tamis::cel
