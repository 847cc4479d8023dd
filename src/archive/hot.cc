#include "archive/hot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/hash.h"

namespace tamis::archive {
namespace {

using cel::Column;
using In = cel::Column::Layout;

constexpr uint32_t kEntriesMax = 1 << 16;
constexpr uint32_t kFreeEntries = 1 << 15;  // so many are tried, however few rows there were yet
constexpr uint32_t kSmallDictionary = 256;
constexpr uint32_t kNoEntry = UINT32_MAX;
constexpr size_t kTextBytesMax = size_t{1} << 28;
constexpr uint32_t kRowsMax = 1u << 30;

std::atomic<uint64_t> next_dictionary_id{1};

uint32_t width_for(uint64_t most) {
  return most <= UINT8_MAX ? 1 : most <= UINT16_MAX ? 2 : most <= UINT32_MAX ? 4 : 8;
}

template <class T, class Of>
void pack(std::vector<char>& packed, size_t rows, Of of) {
  packed.resize(rows * sizeof(T));
  for (size_t i = 0; i < rows; ++i) {
    const T value = static_cast<T>(of(i));
    std::memcpy(packed.data() + i * sizeof(T), &value, sizeof(T));
  }
}

template <class Of>
void pack(std::vector<char>& packed, uint32_t width, size_t rows, Of of) {
  if (width == 1) return pack<uint8_t>(packed, rows, of);
  if (width == 2) return pack<uint16_t>(packed, rows, of);
  if (width == 4) return pack<uint32_t>(packed, rows, of);
  pack<uint64_t>(packed, rows, of);
}

// Places of rows that follow each other.
struct Following {
  uint32_t from;
  size_t operator()(uint32_t i) const { return from + i; }
};
struct Chosen {
  const uint32_t* rows;
  size_t operator()(uint32_t i) const { return rows[i]; }
};

}  // namespace

uint64_t new_dictionary_id() { return next_dictionary_id++; }

HotColumn::~HotColumn() {
  if (use_) use_->bytes -= bytes_;
}

template <class T, class Place>
void HotColumn::unpack(Place place, uint32_t count, int64_t* out) const {
  const auto* packed = reinterpret_cast<const T*>(packed_.data());
  // Unsigned, so that it wraps where a column spans more than half of all numbers.
  const auto base = static_cast<uint64_t>(base_), unit = static_cast<uint64_t>(unit_);
  for (uint32_t i = 0; i < count; ++i) out[i] = static_cast<int64_t>(base + uint64_t{packed[place(i)]} * unit);
}

template <class Place>
const int64_t* HotColumn::numbers_at(Place place, uint32_t count, base::Arena& arena) const {
  auto* out = arena.allocate_array<int64_t>(count);
  if (steps_) {
    for (uint32_t i = 0; i < count; ++i) out[i] = base_ + static_cast<int64_t>(place(i));
    return out;
  }
  switch (width_) {
    case 1:
      unpack<uint8_t>(place, count, out);
      break;
    case 2:
      unpack<uint16_t>(place, count, out);
      break;
    case 4:
      unpack<uint32_t>(place, count, out);
      break;
    case 8:
      unpack<uint64_t>(place, count, out);
      break;
    default:  // all the same
      std::fill(out, out + count, base_);
  }
  return out;
}

const int64_t* HotColumn::numbers(uint32_t from, uint32_t count, base::Arena& arena) const {
  return numbers_at(Following{from}, count, arena);
}

const int64_t* HotColumn::numbers(const uint32_t* rows, uint32_t count, base::Arena& arena) const {
  return numbers_at(Chosen{rows}, count, arena);
}

template <class T, class Place>
const uint32_t* HotColumn::codes_at(Place place, uint32_t count, base::Arena& arena) const {
  const auto* packed = reinterpret_cast<const T*>(packed_.data());
  auto* out = arena.allocate_array<uint32_t>(count);
  for (uint32_t i = 0; i < count; ++i) out[i] = packed[place(i)];
  return out;
}

std::string_view HotColumn::text(uint32_t row) const {
  const auto* ends = reinterpret_cast<const uint32_t*>(packed_.data());
  const uint32_t begin = row == 0 ? 0 : ends[row - 1];
  return {text_.data() + begin, ends[row] - begin};
}

uint8_t HotColumn::hash_of(std::string_view text) { return static_cast<uint8_t>(base::hash64(text) >> 56); }

Column HotColumn::slice(uint32_t from, uint32_t count, base::Arena& arena) const {
  return at(Following{from}, from, count, arena);
}

Column HotColumn::gather(const uint32_t* rows, uint32_t count, base::Arena& arena) const {
  return at(Chosen{rows}, UINT32_MAX, count, arena);
}

// `from`: where the rows follow each other; what lies as the evaluator wants it is then not copied.
template <class Place>
Column HotColumn::at(Place place, uint32_t from, uint32_t count, base::Arena& arena) const {
  constexpr bool kFollow = std::is_same_v<Place, Following>;
  Column column;
  column.layout = layout_;
  auto as_is = [&](const auto* all) {
    if constexpr (kFollow) return all + from;
    auto* out = arena.allocate_array<std::remove_cvref_t<decltype(*all)>>(count);
    for (uint32_t i = 0; i < count; ++i) out[i] = all[place(i)];
    return static_cast<decltype(all)>(out);
  };
  if (!states_.empty()) column.states = as_is(static_cast<const uint8_t*>(states_.data()));
  switch (layout_) {
    case In::kBool:
      column.bools = as_is(reinterpret_cast<const uint8_t*>(packed_.data()));
      break;
    case In::kInt:
    case In::kTimestamp:
    case In::kDuration:
      column.ints = numbers_at(place, count, arena);
      break;
    case In::kUint:
      column.uints = reinterpret_cast<const uint64_t*>(numbers_at(place, count, arena));
      break;
    case In::kDouble:
      if (scale_ == 0) {
        column.doubles = as_is(reinterpret_cast<const double*>(packed_.data()));
      } else {
        const int64_t* whole = numbers_at(place, count, arena);
        auto* doubles = arena.allocate_array<double>(count);
        for (uint32_t i = 0; i < count; ++i) doubles[i] = static_cast<double>(whole[i]) / scale_;
        column.doubles = doubles;
      }
      break;
    case In::kDictionary:
      column.dictionary = dictionary_;
      column.dictionary_id = dictionary_id_;
      column.codes = width_ == 1   ? codes_at<uint8_t>(place, count, arena)
                     : width_ == 2 ? codes_at<uint16_t>(place, count, arena)
                                   : as_is(reinterpret_cast<const uint32_t*>(packed_.data()));
      break;
    case In::kString:
    case In::kBytes: {
      auto* texts = arena.allocate_array<std::string_view>(count);
      for (uint32_t i = 0; i < count; ++i) new (&texts[i]) std::string_view(text(static_cast<uint32_t>(place(i))));
      column.texts = texts;
      break;
    }
    default:
      break;
  }
  return column;
}

bool HotBuilder::can_hold(ColumnType type) { return type != ColumnType::kJson && type != ColumnType::kTexts; }

bool HotBuilder::add(const Chunk& chunk, uint32_t column) {
  const uint32_t rows = chunk.rows();
  if (rows > kRowsMax - rows_) return false;
  const uint64_t* valid = chunk.validity(column);
  auto there = [&](uint32_t row) { return valid == nullptr || (valid[row / 64] >> (row % 64) & 1) != 0; };
  for (uint32_t row = 0; row < rows; ++row) {
    add_state(rows_ + row, there(row));
  }
  rows_ += rows;
  switch (type_) {
    case ColumnType::kBool:
      for (uint32_t row = 0; row < rows; ++row)
        bools_.push_back(there(row) && chunk.data<uint8_t>(column)[row] != 0 ? 1 : 0);
      return true;
    case ColumnType::kString:
    case ColumnType::kBytes: {
      const auto* texts = chunk.data<duckdb_string_t>(column);
      for (uint32_t row = 0; row < rows; ++row) add_text(there(row) ? text_of(texts[row]) : std::string_view());
      return text_.size() <= kTextBytesMax;
    }
    default: {
      // A row without a value takes that of the row before, so that it makes the column no wider.
      const auto* numbers = chunk.data<int64_t>(column);
      for (uint32_t row = 0; row < rows; ++row)
        numbers_.push_back(there(row) ? numbers[row] : numbers_.empty() ? 0 : numbers_.back());
      return true;
    }
  }
}

void HotBuilder::add_state(uint32_t row, bool good) {
  if (!good && !any_null_) {
    any_null_ = true;
    states_.assign(row, Column::kOk);
  }
  if (any_null_) states_.push_back(good ? Column::kOk : Column::kAbsentRow);
  any_value_ = any_value_ || good;
}

bool HotBuilder::takes(const PageColumn& column) const {
  using Kind = PageColumn::Kind;
  if (column.lists) return false;
  if (column.kind == Kind::kNothing) return true;
  if (type_ == ColumnType::kBool) return column.kind == Kind::kBools;
  if (type_ == ColumnType::kString || type_ == ColumnType::kBytes)
    return column.kind == Kind::kTexts || column.kind == Kind::kCodes;
  return column.kind == Kind::kNumbers;
}

bool HotBuilder::add(const PageColumn& column) {
  const uint32_t rows = column.rows;
  if (rows > kRowsMax - rows_) return false;
  const bool nothing = column.kind == PageColumn::Kind::kNothing;
  if (!nothing && !column.any_null && !any_null_) {
    any_value_ = any_value_ || rows > 0;
  } else {
    for (uint32_t row = 0; row < rows; ++row) add_state(rows_ + row, !nothing && !column.is_null(row));
  }
  rows_ += rows;
  auto there = [&](uint32_t row) { return !nothing && !column.is_null(row); };
  switch (type_) {
    case ColumnType::kBool:
      for (uint32_t row = 0; row < rows; ++row) bools_.push_back(there(row) && column.bools[row] != 0 ? 1 : 0);
      return true;
    case ColumnType::kString:
    case ColumnType::kBytes:
      add_texts(column);
      return text_.size() <= kTextBytesMax;
    default:
      if (!nothing && !column.any_null) {
        numbers_.insert(numbers_.end(), column.numbers.begin(), column.numbers.end());
        return true;
      }
      for (uint32_t row = 0; row < rows; ++row)
        numbers_.push_back(there(row) ? column.numbers[row] : numbers_.empty() ? 0 : numbers_.back());
      return true;
  }
}

// The entries of a page's dictionary are looked up once.
void HotBuilder::add_texts(const PageColumn& column) {
  const bool codes = column.kind == PageColumn::Kind::kCodes;
  constexpr uint32_t kUnknown = UINT32_MAX;
  if (codes) known_.assign(column.texts.size(), kUnknown);
  for (uint32_t row = 0; row < column.rows; ++row) {
    const bool good = column.kind != PageColumn::Kind::kNothing && !column.is_null(row);
    if (!good || !codes || plain_) {
      add_text(good ? column.text(row) : std::string_view());
      continue;
    }
    uint32_t& known = known_[column.codes[row]];
    if (known == kUnknown) known = code_of(column.texts[column.codes[row]]);
    add_code(known);
  }
}

void HotBuilder::add_code(uint32_t code) {
  codes_.push_back(code);
  const size_t entries = ends_.size();
  if (entries > kEntriesMax || (entries > kFreeEntries && entries > codes_.size() / 2)) to_plain();
}

void HotBuilder::add_text(std::string_view text) {
  if (!plain_) return add_code(code_of(text));
  text_.insert(text_.end(), text.begin(), text.end());
  ends_.push_back(static_cast<uint32_t>(text_.size()));
}

uint32_t HotBuilder::code_of(std::string_view text) {
  if (ends_.size() * 2 >= table_.size()) grow_table();
  auto entry = [&](uint32_t code) {
    const uint32_t begin = code == 0 ? 0 : ends_[code - 1];
    return std::string_view(text_.data() + begin, ends_[code] - begin);
  };
  const size_t mask = table_.size() - 1;
  size_t at = base::hash64(text) & mask;
  for (; table_[at] != kNoEntry; at = (at + 1) & mask) {
    if (entry(table_[at]) == text) return table_[at];
  }
  text_.insert(text_.end(), text.begin(), text.end());
  table_[at] = static_cast<uint32_t>(ends_.size());
  ends_.push_back(static_cast<uint32_t>(text_.size()));
  return table_[at];
}

void HotBuilder::grow_table() {
  table_.assign(std::max<size_t>(table_.size() * 2, 1'024), kNoEntry);
  const size_t mask = table_.size() - 1;
  for (uint32_t code = 0, begin = 0; code < ends_.size(); begin = ends_[code++]) {
    size_t at = base::hash64(text_.data() + begin, ends_[code] - begin) & mask;
    while (table_[at] != kNoEntry) at = (at + 1) & mask;
    table_[at] = code;
  }
}

void HotBuilder::to_plain() {
  std::vector<char> text;
  std::vector<uint32_t> ends;
  for (const uint32_t code : codes_) {
    const uint32_t begin = code == 0 ? 0 : ends_[code - 1];
    text.insert(text.end(), text_.begin() + begin, text_.begin() + ends_[code]);
    ends.push_back(static_cast<uint32_t>(text.size()));
  }
  text_ = std::move(text);
  ends_ = std::move(ends);
  codes_ = {};
  table_ = {};
  plain_ = true;
}

// Doubles that are decimals with a few digits, as people and models write them, become whole numbers. Dividing rounds
// correctly, so each comes back as it was, and where one does not, all stay as they are.
bool HotBuilder::to_decimals(HotColumn& column) {
  constexpr double kMost = 1e15;
  for (const double scale : {1.0, 1e2, 1e4}) {
    auto is_decimal = [scale](int64_t bits) {
      double value;
      std::memcpy(&value, &bits, sizeof value);
      if (!(value > -kMost / scale && value < kMost / scale)) return false;
      const double back = static_cast<double>(std::llround(value * scale)) / scale;
      return std::memcmp(&back, &value, sizeof value) == 0;
    };
    if (!std::all_of(numbers_.begin(), numbers_.end(), is_decimal)) continue;
    for (int64_t& bits : numbers_) {
      double value;
      std::memcpy(&value, &bits, sizeof value);
      bits = std::llround(value * scale);
    }
    column.scale_ = scale;
    return true;
  }
  return false;
}

void HotBuilder::pack_numbers(HotColumn& column) {
  if (type_ == ColumnType::kDouble && !to_decimals(column)) {
    column.width_ = 8;
    return pack<uint64_t>(column.packed_, rows_, [&](size_t i) { return static_cast<uint64_t>(numbers_[i]); });
  }
  // Of unsigned numbers the smallest is the smallest of their bits, too; their span is counted without signs.
  const bool is_unsigned = type_ == ColumnType::kUint;
  auto less = [&](int64_t a, int64_t b) {
    return is_unsigned ? static_cast<uint64_t>(a) < static_cast<uint64_t>(b) : a < b;
  };
  const auto ends = std::minmax_element(numbers_.begin(), numbers_.end(), less);
  const int64_t least = *ends.first, most = *ends.second;
  column.base_ = least;
  auto above = [&](int64_t value) { return static_cast<uint64_t>(value) - static_cast<uint64_t>(least); };
  uint64_t unit = 1;
  if (type_ == ColumnType::kTimestamp &&
      std::all_of(numbers_.begin(), numbers_.end(), [&](int64_t value) { return above(value) % 1'000 == 0; })) {
    unit = 1'000;
  }
  column.unit_ = static_cast<int64_t>(unit);
  const uint64_t span = above(most) / unit;
  if (span == 0) return;
  column.steps_ = span == rows_ - 1 && numbers_.front() == least;
  for (size_t i = 0; column.steps_ && i < rows_; ++i) column.steps_ = above(numbers_[i]) == i;
  if (column.steps_) return;
  column.width_ = width_for(span);
  pack(column.packed_, column.width_, rows_, [&](size_t i) { return above(numbers_[i]) / unit; });
}

void HotBuilder::pack_codes(HotColumn& column) const {
  column.layout_ = In::kDictionary;
  column.dictionary_id_ = next_dictionary_id++;
  uint32_t begin = 0;
  for (const uint32_t end : ends_) {
    const std::string_view text(column.text_.data() + begin, end - begin);
    column.dictionary_.push_back(type_ == ColumnType::kString ? event::Value::string(text) : event::Value::bytes(text));
    begin = end;
  }
  column.width_ = std::min<uint32_t>(width_for(ends_.empty() ? 0 : ends_.size() - 1), 4);
  pack(column.packed_, column.width_, rows_, [&](size_t i) { return codes_[i]; });
  column.hashes_.reserve(column.dictionary_.size());
  for (const event::Value& entry : column.dictionary_) column.hashes_.push_back(HotColumn::hash_of(entry.str()));
}

std::shared_ptr<const HotColumn> HotBuilder::finish(const std::shared_ptr<HotUse>& use) {
  auto column = std::make_shared<HotColumn>();
  column->rows_ = rows_;
  column->use_ = use;
  if (any_value_) {
    column->states_ = std::move(states_);
    column->states_.shrink_to_fit();
    switch (type_) {
      case ColumnType::kBool:
        column->layout_ = In::kBool;
        column->packed_ = std::move(bools_);
        break;
      case ColumnType::kString:
      case ColumnType::kBytes:
        if (!plain_ && ends_.size() > kSmallDictionary && ends_.size() > rows_ / 2) to_plain();
        text_.shrink_to_fit();
        column->text_ = std::move(text_);
        if (!plain_) {
          pack_codes(*column);
          break;
        }
        column->layout_ = type_ == ColumnType::kString ? In::kString : In::kBytes;
        column->width_ = 4;
        pack(column->packed_, 4, rows_, [&](size_t i) { return ends_[i]; });
        column->hashes_.reserve(rows_);
        for (uint32_t row = 0; row < rows_; ++row) column->hashes_.push_back(HotColumn::hash_of(column->text(row)));
        break;
      default:
        column->layout_ = type_ == ColumnType::kDouble      ? In::kDouble
                          : type_ == ColumnType::kTimestamp ? In::kTimestamp
                          : type_ == ColumnType::kDuration  ? In::kDuration
                          : type_ == ColumnType::kUint      ? In::kUint
                                                            : In::kInt;
        pack_numbers(*column);
    }
  }
  column->bytes_ = sizeof(HotColumn) + column->states_.size() + column->packed_.capacity() + column->text_.size() +
                   column->hashes_.capacity() + column->dictionary_.capacity() * sizeof(event::Value);
  use->bytes += column->bytes_;
  return column;
}

std::shared_ptr<const HotColumn> HotFile::find(const std::string& column) const {
  std::lock_guard lock(mutex_);
  auto found = columns_.find(column);
  return found == columns_.end() ? nullptr : found->second;
}

void HotFile::keep(const std::string& column, std::shared_ptr<const HotColumn> hot) {
  std::lock_guard lock(mutex_);
  columns_[column] = std::move(hot);
}

void HotFile::drop(const std::string& column) {
  std::lock_guard lock(mutex_);
  columns_.erase(column);
}

std::vector<std::pair<std::string, std::shared_ptr<const HotColumn>>> HotFile::all() const {
  std::lock_guard lock(mutex_);
  return {columns_.begin(), columns_.end()};
}

}  // namespace tamis::archive
