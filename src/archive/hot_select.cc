#include "archive/hot_select.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tamis::archive {
namespace {

using cel::Column;
using In = cel::Column::Layout;
using Op = cel::Predicate::Op;
using event::Kind;
using event::Value;

// The largest whole numbers that a double holds exactly.
constexpr int64_t kExactMax = int64_t{1} << 53;
constexpr size_t kConstantsMax = 64;
constexpr size_t kRangesMax = 8;
constexpr uint64_t kSign = uint64_t{1} << 63;

bool is_comparison(Op op) { return op <= Op::kGe; }

template <class T>
bool compare(T a, Op op, T b) {
  switch (op) {
    case Op::kEq:
      return a == b;
    case Op::kNe:
      return a != b;
    case Op::kLt:
      return a < b;
    case Op::kLe:
      return a <= b;
    case Op::kGt:
      return a > b;
    default:
      return a >= b;
  }
}

bool to_double(const Value& value, double& out) {
  if (value.is(Kind::kDouble)) {
    out = value.d;
    return out == out;
  }
  if (!value.is(Kind::kInt) || value.i > kExactMax || value.i < -kExactMax) return false;
  out = static_cast<double>(value.i);
  return true;
}

// The first place of `part` at or behind `from`, or npos. Looks for its first and last byte at once, sixteen places at
// a time: on text both together are rare.
size_t find_part(std::string_view text, std::string_view part, size_t from) {
  if (part.size() > text.size()) return std::string_view::npos;
  const size_t last = text.size() - part.size();
#if defined(__SSE2__)
  const __m128i head = _mm_set1_epi8(part.front()), tail = _mm_set1_epi8(part.back());
  for (; from + 16 <= last + 1; from += 16) {
    const auto* at = text.data() + from;
    const __m128i heads = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), head);
    const __m128i tails = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + part.size() - 1)), tail);
    auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(heads, tails)));
    for (; mask != 0; mask &= mask - 1) {
      const size_t place = from + static_cast<size_t>(__builtin_ctz(mask));
      if (std::memcmp(text.data() + place, part.data(), part.size()) == 0) return place;
    }
  }
#endif
  for (; from <= last; ++from) {
    if (text[from] == part.front() && std::memcmp(text.data() + from, part.data(), part.size()) == 0) return from;
  }
  return std::string_view::npos;
}

}  // namespace

HotTest::HotTest(const HotColumn& column, const cel::Predicate& predicate) : column_(&column), predicate_(predicate) {
  if (predicate.constants.size() > kConstantsMax) return;
  switch (column.layout_) {
    case In::kAbsent:
      how_ = How::kNone;  // an absent field makes every predicate an error
      return;
    case In::kBool:
      if (predicate.op == Op::kTrue || predicate.op == Op::kFalse) how_ = How::kStates;
      return;
    case In::kInt:
    case In::kUint:
    case In::kDouble:
      prepare_number();
      return;
    case In::kString:
    case In::kDictionary:
      prepare_text();
      return;
    default:
      return;
  }
}

void HotTest::prepare_number() {
  const Op op = predicate_.op;
  if (column_->steps_) return;
  if (column_->layout_ == In::kDouble && column_->scale_ == 0) {
    const bool good =
        is_comparison(op) && predicate_.constants.size() == 1 && to_double(predicate_.constants[0], number_);
    if (good) how_ = How::kDoubles;
    return;
  }
  const bool in = op == Op::kIn;
  if (!in && (!is_comparison(op) || predicate_.constants.size() != 1)) return;
  if (predicate_.constants.size() > kRangesMax) return;
  inverted_ = predicate_.negated != (op == Op::kNe);
  for (const Value& constant : predicate_.constants) {
    if (!add_range(constant, in || op == Op::kNe ? Op::kEq : op)) return;
  }
  how_ = How::kRanges;
}

// The range of packed numbers for which it holds. False: another kind of number, which the evaluator compares.
bool HotTest::add_range(const Value& constant, Op op) {
  if (column_->layout_ == In::kDouble) {
    double number;
    return to_double(constant, number) && add_decimal_range(number, op);
  }
  uint64_t wanted;
  const bool is_unsigned = column_->layout_ == In::kUint;
  if (is_unsigned) {
    if (!constant.is(Kind::kUint) && !(constant.is(Kind::kInt) && constant.i >= 0)) return false;
    wanted = constant.is(Kind::kUint) ? constant.u : static_cast<uint64_t>(constant.i);
  } else {
    if (!constant.is(Kind::kInt)) return false;
    wanted = static_cast<uint64_t>(constant.i) ^ kSign;
  }
  const uint64_t base =
      is_unsigned ? static_cast<uint64_t>(column_->base_) : static_cast<uint64_t>(column_->base_) ^ kSign;
  Range range = {0, UINT64_MAX - base};
  switch (op) {
    case Op::kEq:
      if (wanted < base) return true;
      range = {wanted - base, wanted - base};
      break;
    case Op::kLt:
      if (wanted <= base) return true;
      range.most = wanted - base - 1;
      break;
    case Op::kLe:
      if (wanted < base) return true;
      range.most = wanted - base;
      break;
    case Op::kGt:
      if (wanted == UINT64_MAX) return true;
      range.least = wanted < base ? 0 : wanted - base + 1;
      break;
    default:
      range.least = wanted < base ? 0 : wanted - base;
  }
  ranges_.push_back(range);
  return true;
}

// Decimals grow with the whole numbers that stand for them, so a range of the one is a range of the other.
bool HotTest::add_decimal_range(double constant, Op op) {
  if (column_->width_ >= 8) return false;
  const uint64_t end = uint64_t{1} << (8 * column_->width_);
  auto first_that = [&](Op what) {
    uint64_t low = 0, high = end;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      const auto whole = static_cast<int64_t>(static_cast<uint64_t>(column_->base_) + middle);
      if (compare(static_cast<double>(whole) / column_->scale_, what, constant)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  };
  const uint64_t from = first_that(Op::kGe), behind = first_that(Op::kGt);
  uint64_t begin = 0, stop = end;
  if (op == Op::kEq || op == Op::kGe) begin = from;
  if (op == Op::kGt) begin = behind;
  if (op == Op::kEq || op == Op::kLe) stop = behind;
  if (op == Op::kLt) stop = from;
  if (begin < stop) ranges_.push_back({begin, stop - 1});
  return true;
}

bool HotTest::holds(std::string_view text) const {
  switch (predicate_.op) {
    case Op::kEq:
    case Op::kNe:
      return (text == predicate_.constants[0].str()) == (predicate_.op == Op::kEq);
    case Op::kIn:
      return std::any_of(predicate_.constants.begin(), predicate_.constants.end(),
                         [&](const Value& constant) { return text == constant.str(); });
    case Op::kStartsWith:
      return text.starts_with(predicate_.constants[0].str());
    case Op::kEndsWith:
      return text.ends_with(predicate_.constants[0].str());
    default:
      return text.find(predicate_.constants[0].str()) != std::string_view::npos;
  }
}

void HotTest::prepare_text() {
  const Op op = predicate_.op;
  const bool known = op == Op::kEq || op == Op::kNe || op == Op::kIn || op == Op::kContains || op == Op::kStartsWith ||
                     op == Op::kEndsWith;
  const auto& constants = predicate_.constants;
  const bool texts =
      std::all_of(constants.begin(), constants.end(), [](const Value& v) { return v.is(Kind::kString); });
  if (!known || !texts || constants.empty() || (op != Op::kIn && constants.size() != 1)) return;
  if (column_->layout_ == In::kDictionary) {
    // Bytes have dictionaries, too; a comparison with a text is another thing there.
    if (!column_->dictionary_.empty() && !column_->dictionary_[0].is(Kind::kString)) return;
    return allow_codes();
  }
  if (predicate_.negated) return;
  if (op == Op::kEq || op == Op::kIn) how_ = How::kHashes;
  if (op == Op::kContains && !constants[0].str().empty()) how_ = How::kContains;
}

void HotTest::allow_codes() {
  const size_t entries = column_->dictionary_.size();
  allowed_.assign(entries, 0);
  how_ = How::kCodes;
  if (predicate_.op == Op::kEq || predicate_.op == Op::kIn) {
    for (const Value& constant : predicate_.constants) {
      const int code = HotColumn::hash_of(constant.str());
      const uint8_t* hashes = column_->hashes_.data();
      for (size_t at = 0; at < entries; ++at) {
        const void* found = std::memchr(hashes + at, code, entries - at);
        if (found == nullptr) break;
        at = static_cast<size_t>(static_cast<const uint8_t*>(found) - hashes);
        if (column_->dictionary_[at].str() == constant.str()) allowed_[at] = 1;
      }
    }
  } else if (predicate_.op == Op::kContains && !predicate_.constants[0].str().empty()) {
    // The entries lie one behind the other, so all are searched at once.
    const std::string_view all(column_->text_.data(), column_->text_.size()), part = predicate_.constants[0].str();
    size_t entry = 0, end = column_->dictionary_.empty() ? 0 : column_->dictionary_[0].str().size();
    for (size_t place = find_part(all, part, 0); place != std::string_view::npos;) {
      while (end <= place) end += column_->dictionary_[++entry].str().size();
      const bool inside = place + part.size() <= end;
      if (inside) allowed_[entry] = 1;
      place = find_part(all, part, inside ? end : place + 1);
    }
  } else {
    for (size_t i = 0; i < entries; ++i) allowed_[i] = holds(column_->dictionary_[i].str()) ? 1 : 0;
  }
  if (predicate_.negated) {
    for (uint8_t& allowed : allowed_) allowed ^= 1;
  }
  const auto found = std::find(allowed_.begin(), allowed_.end(), uint8_t{1});
  if (found == allowed_.end()) {
    how_ = How::kNone;
    return;
  }
  first_ = static_cast<uint32_t>(found - allowed_.begin());
  single_ = std::find(found + 1, allowed_.end(), uint8_t{1}) == allowed_.end();
}

void HotTest::apply(uint32_t from, uint32_t count, uint8_t* keep) {
  if (how_ == How::kNone) {
    std::memset(keep, 0, count);
    return;
  }
  if (!column_->states_.empty()) {
    const uint8_t* states = column_->states_.data() + from;
    for (uint32_t i = 0; i < count; ++i) keep[i] = static_cast<uint8_t>(keep[i] & (states[i] == Column::kOk ? 1 : 0));
  }
  switch (how_) {
    case How::kStates:
      return apply_bools(from, count, keep);
    case How::kRanges:
      if (column_->width_ == 0) {
        const bool in =
            std::any_of(ranges_.begin(), ranges_.end(), [](const Range& range) { return range.least == 0; });
        if (in == inverted_) std::memset(keep, 0, count);
        return;
      }
      return column_->width_ == 1   ? apply_ranges<uint8_t>(from, count, keep)
             : column_->width_ == 2 ? apply_ranges<uint16_t>(from, count, keep)
             : column_->width_ == 4 ? apply_ranges<uint32_t>(from, count, keep)
                                    : apply_ranges<uint64_t>(from, count, keep);
    case How::kCodes:
      return column_->width_ == 1   ? apply_codes<uint8_t>(from, count, keep)
             : column_->width_ == 2 ? apply_codes<uint16_t>(from, count, keep)
                                    : apply_codes<uint32_t>(from, count, keep);
    case How::kHashes:
      return apply_hashes(from, count, keep);
    case How::kDoubles:
      return apply_doubles(from, count, keep);
    case How::kContains:
      return apply_contains(from, count, keep);
    default:
      return;
  }
}

void HotTest::apply_bools(uint32_t from, uint32_t count, uint8_t* keep) const {
  const auto* bools = reinterpret_cast<const uint8_t*>(column_->packed_.data()) + from;
  const uint8_t wanted = (predicate_.op == Op::kTrue) != predicate_.negated ? 1 : 0;
  for (uint32_t i = 0; i < count; ++i) keep[i] = static_cast<uint8_t>(keep[i] & (bools[i] == wanted ? 1 : 0));
}

template <class T>
void HotTest::apply_ranges(uint32_t from, uint32_t count, uint8_t* keep) const {
  const auto* packed = reinterpret_cast<const T*>(column_->packed_.data()) + from;
  const uint8_t flip = inverted_ ? 1 : 0;
  if (ranges_.size() == 1) {
    const Range& range = ranges_[0];
    const auto most = static_cast<T>(std::min<uint64_t>(range.most, static_cast<T>(~T{0})));
    const auto least = static_cast<T>(range.least);
    const auto span = static_cast<T>(most - least);
    if (range.least <= range.most && range.least <= static_cast<T>(~T{0})) {
      for (uint32_t i = 0; i < count; ++i) {
        const bool in = static_cast<T>(packed[i] - least) <= span;
        keep[i] = static_cast<uint8_t>(keep[i] & (static_cast<uint8_t>(in) ^ flip));
      }
      return;
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t in = 0;
    for (const Range& range : ranges_) in |= packed[i] >= range.least && packed[i] <= range.most ? 1 : 0;
    keep[i] = static_cast<uint8_t>(keep[i] & (in ^ flip));
  }
}

template <class T>
void HotTest::apply_codes(uint32_t from, uint32_t count, uint8_t* keep) const {
  const auto* codes = reinterpret_cast<const T*>(column_->packed_.data()) + from;
  if (single_) {
    const auto one = static_cast<T>(first_);
    for (uint32_t i = 0; i < count; ++i) keep[i] = static_cast<uint8_t>(keep[i] & (codes[i] == one ? 1 : 0));
    return;
  }
  const uint8_t* allowed = allowed_.data();
  for (uint32_t i = 0; i < count; ++i) keep[i] &= allowed[codes[i]];
}

void HotTest::apply_doubles(uint32_t from, uint32_t count, uint8_t* keep) const {
  const auto* doubles = reinterpret_cast<const double*>(column_->packed_.data()) + from;
  for (uint32_t i = 0; i < count; ++i) {
    const bool good = compare(doubles[i], predicate_.op, number_) != predicate_.negated;
    keep[i] = static_cast<uint8_t>(keep[i] & (good ? 1 : 0));
  }
}

void HotTest::apply_hashes(uint32_t from, uint32_t count, uint8_t* keep) {
  const uint8_t* hashes = column_->hashes_.data() + from;
  hits_.clear();
  for (const Value& constant : predicate_.constants) {
    const int wanted = HotColumn::hash_of(constant.str());
    for (uint32_t at = 0; at < count; ++at) {
      const void* found = std::memchr(hashes + at, wanted, count - at);
      if (found == nullptr) break;
      at = static_cast<uint32_t>(static_cast<const uint8_t*>(found) - hashes);
      if (keep[at] != 0 && column_->text(from + at) == constant.str()) hits_.push_back(at);
    }
  }
  std::memset(keep, 0, count);
  for (const uint32_t hit : hits_) keep[hit] = 1;
}

void HotTest::apply_contains(uint32_t from, uint32_t count, uint8_t* keep) {
  const auto* ends = reinterpret_cast<const uint32_t*>(column_->packed_.data()) + from;
  const std::string_view part = predicate_.constants[0].str();
  const size_t begin = from == 0 ? 0 : ends[-1];
  const std::string_view all(column_->text_.data() + begin, ends[count - 1] - begin);
  hits_.clear();
  uint32_t row = 0;
  for (size_t place = find_part(all, part, 0); place != std::string_view::npos;) {
    while (ends[row] - begin <= place) ++row;
    const size_t end = ends[row] - begin;
    const bool inside = place + part.size() <= end;
    if (inside && keep[row] != 0) hits_.push_back(row);
    place = find_part(all, part, inside ? end : place + 1);
  }
  std::memset(keep, 0, count);
  for (const uint32_t hit : hits_) keep[hit] = 1;
}

}  // namespace tamis::archive
