#include "state/counter.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "state/scalar.h"

namespace tamis::state {
namespace {

__extension__ typedef __int128 Int128;

constexpr int64_t kIntMin = std::numeric_limits<int64_t>::min(), kIntMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kScales[] = {1, 100, 10'000};
constexpr int64_t kScaledMax = int64_t{1} << 53;  // whole numbers up to here are exact as doubles
constexpr int64_t kNanosPerSecond = 1'000'000'000;

int64_t saturated(Int128 v) { return v > kIntMax ? kIntMax : v < kIntMin ? kIntMin : static_cast<int64_t>(v); }

// Rounds half away from zero.
Int128 share_of(Int128 v, int64_t part, int64_t whole) {
  Int128 twice = v * part * 2;
  return (twice + (twice < 0 ? -Int128{whole} : Int128{whole})) / (Int128{whole} * 2);
}

double to_double(int64_t payload, uint8_t scale) {
  if (scale >= std::size(kScales)) return std::bit_cast<double>(payload);
  return static_cast<double>(payload) / static_cast<double>(kScales[scale]);
}

}  // namespace

// What a reading gathers.
struct Counter::Total {
  uint64_t events = 0;  // of min and max: whether there are any
  Int128 sum = 0;
  double sum_real = 0;
  double events_real = 0;
  int64_t best = 0;
  uint8_t scale = 0;
};

Counter::Counter(const FeatureSpec& spec)
    : aggregate_(spec.aggregate),
      kind_(spec.value_kind),
      has_payload_(aggregate_ != Aggregate::kCount && aggregate_ != Aggregate::kFirstSeen),
      has_sums_(aggregate_ != Aggregate::kCount),
      is_first_(aggregate_ == Aggregate::kFirstSeen),
      takes_least_(aggregate_ == Aggregate::kMin || is_first_),
      is_extreme_(takes_least_ || aggregate_ == Aggregate::kMax),
      is_double_(aggregate_ == Aggregate::kMean ||
                 (kind_ == event::Kind::kDouble && has_payload_ && aggregate_ != Aggregate::kRatio)),
      counts_cells_(aggregate_ != Aggregate::kSum) {
  int64_t cell_ms = 0;
  for (size_t i = 0; i < spec.windows_ms.size(); ++i) {
    int64_t window_ms = spec.windows_ms[i];
    windows_ms_[i] = window_ms;
    cell_ms =
        cell_ms == 0 ? std::max<int64_t>(window_ms / 12, 1) : cell_ms * std::max<int64_t>(window_ms / 12 / cell_ms, 1);
    levels_[level_count_++] = {cell_ms, window_ms};
  }
  int64_t lateness_ms = std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs);
  horizon_ms_ = spec.windows_ms.back() + lateness_ms;
  if (lateness_ms <= 4 * cell_ms) {
    levels_[level_count_ - 1].span_ms = horizon_ms_;
  } else {
    levels_[level_count_++] = {cell_ms * (lateness_ms / 4 / cell_ms), horizon_ms_};
  }
}

bool Counter::sample(Value of, bool hit, Sample& sample) const {
  if (!has_payload_) return true;
  if (aggregate_ == Aggregate::kRatio) {
    sample.i = hit ? 1 : 0;
    return true;
  }
  if (is_double_) {
    if (!to_double(of, sample.d)) return false;
    if (sample.d == 0) sample.d = 0;  // one zero only
    return std::isfinite(sample.d);
  }
  bool is_number = kind_ == event::Kind::kInt || kind_ == event::Kind::kUint || kind_ == event::Kind::kBool;
  switch (of.kind) {
    case event::Kind::kBool:
      sample.i = of.b ? 1 : 0;
      return is_number;
    case event::Kind::kInt:
      sample.i = of.i;
      return is_number;
    case event::Kind::kUint:
      sample.i = of.u > static_cast<uint64_t>(kIntMax) ? kIntMax : of.i;
      return is_number;
    case event::Kind::kDuration:
      sample.i = of.i;
      return kind_ == event::Kind::kDuration;
    case event::Kind::kTimestamp:
      sample.i = saturated(Int128{of.i} * kNanosPerSecond + of.size);
      return kind_ == event::Kind::kTimestamp;
    default:
      return false;
  }
}

// The payload at a scale, if it can be told there without loss.
bool Counter::scaled_to(const Sample& sample, uint8_t scale, int64_t& payload) const {
  if (!is_double_) {
    payload = sample.i;
    return true;
  }
  if (scale == kRaw) {
    payload = std::bit_cast<int64_t>(sample.d);
    return true;
  }
  double unit = static_cast<double>(kScales[scale]);
  double wide = sample.d * unit;
  if (!(std::fabs(wide) < static_cast<double>(kScaledMax))) return false;
  double whole = std::nearbyint(wide);
  if (whole / unit != sample.d) return false;
  payload = static_cast<int64_t>(whole);
  return true;
}

void Counter::rescale(State& state, uint8_t scale, bool with_cells) {
  auto convert = [&](int64_t v) {
    if (scale != kRaw) return saturated(Int128{v} * (kScales[scale] / kScales[state.scale]));
    return std::bit_cast<int64_t>(to_double(v, state.scale));
  };
  for (uint32_t i = 0; i < state.exact; ++i) state.payloads[i] = convert(state.payloads[i]);
  if (with_cells) {
    for (Cells& cells : state.levels) {
      for (uint32_t c = 0; c < cells.count; ++c) cells.cells[c].v = convert(cells.cells[c].v);
    }
  }
  state.scale = scale;
}

int64_t Counter::scaled(const Sample& sample, State& state) const {
  int64_t payload;
  uint8_t scale = state.scale;
  while (!scaled_to(sample, scale, payload)) ++scale;
  if (scale == state.scale) return payload;
  // All that is there must survive: a sum of cells beyond 2^53 units would not, so it goes on as a double.
  for (size_t i = level_count_; i < kLevelsMax; ++i) state.levels[i].count = 0;
  auto too_large = [&](int64_t v) { return v > kScaledMax / 10'000 || v < -kScaledMax / 10'000; };
  for (size_t i = 0; i < level_count_; ++i) {
    for (uint32_t c = 0; c < state.levels[i].count; ++c) {
      if (too_large(state.levels[i].cells[c].v)) scale = kRaw;
    }
  }
  for (uint32_t i = 0; i < state.exact; ++i) {
    if (too_large(state.payloads[i])) scale = kRaw;
  }
  rescale(state, scale, true);
  scaled_to(sample, scale, payload);
  return payload;
}

void Counter::merge(Cell& into, Cell from, uint8_t scale) const {
  if (from.n == 0) return;
  if (into.n == 0 && counts_cells_) {
    into = from;
    return;
  }
  if (counts_cells_) into.n = std::min<uint64_t>(into.n + from.n, mask_of(48));
  if (!has_sums_) return;
  if (is_extreme_) {
    bool less = scale == kRaw ? to_double(from.v, kRaw) < to_double(into.v, kRaw) : from.v < into.v;
    bool equal = from.v == into.v;
    if (!equal && less == takes_least_) into.v = from.v;
    into.n = 1;
  } else if (scale == kRaw) {
    into.v = std::bit_cast<int64_t>(to_double(into.v, kRaw) + to_double(from.v, kRaw));
  } else {
    into.v = saturated(Int128{into.v} + from.v);
  }
}

size_t Counter::level_for(int64_t age_ms) const {
  size_t level = 0;
  while (level + 1 < level_count_ && age_ms >= levels_[level].span_ms) ++level;
  return level;
}

void Counter::add_cell(State& state, size_t level, int64_t number, Cell cell) const {
  Cells& cells = state.levels[level];
  const Cell empty{counts_cells_ ? 0u : 1u, 0};
  if (cells.count == 0) {
    cells.first = number;
    cells.count = 1;
    cells.cells[0] = cell;
    return;
  }
  if (number < cells.first) {
    auto shift = static_cast<uint64_t>(cells.first - number);
    TAMIS_ASSERT(shift + cells.count <= kCellsMax);
    std::copy_backward(cells.cells, cells.cells + cells.count, cells.cells + cells.count + shift);
    std::fill(cells.cells, cells.cells + shift, empty);
    cells.first = number;
    cells.count += static_cast<uint32_t>(shift);
  }
  auto at = static_cast<uint64_t>(number - cells.first);
  TAMIS_ASSERT(at < kCellsMax);
  while (cells.count <= at) cells.cells[cells.count++] = empty;
  merge(cells.cells[at], cell, state.scale);
}

// Moves cells that have become too old for their level to the one that their age belongs to, and drops what no reading
// can reach. The coarse levels go first: cells that move then meet no stale ones.
void Counter::age(State& state) const {
  int64_t newest_ms = state.times[state.exact - 1];
  for (size_t i = level_count_; i-- > 0;) {
    Cells& cells = state.levels[i];
    uint32_t gone = 0;
    for (; gone < cells.count; ++gone) {
      int64_t begin_ms = (cells.first + gone) * levels_[i].cell_ms;
      int64_t age_ms = newest_ms - (begin_ms + levels_[i].cell_ms - 1);
      if (age_ms < levels_[i].span_ms) break;
      if (age_ms >= horizon_ms_ || cells.cells[gone].n == 0) continue;
      size_t level = level_for(age_ms);
      add_cell(state, level, floor_div(begin_ms, levels_[level].cell_ms), cells.cells[gone]);
    }
    if (gone == 0) continue;
    std::copy(cells.cells + gone, cells.cells + cells.count, cells.cells);
    cells.count -= gone;
    cells.first += gone;
  }
}

void Counter::insert(State& state, int64_t t_ms, int64_t payload) const {
  uint32_t at = state.exact;
  while (at > 0 && state.times[at - 1] > t_ms) --at;
  if (at == 0 && state.exact == kExact) {
    int64_t age_ms = state.times[kExact - 1] - t_ms;
    if (age_ms >= horizon_ms_) return;
    size_t level = level_for(age_ms);
    add_cell(state, level, floor_div(t_ms, levels_[level].cell_ms), cell_of(t_ms, payload));
    return;
  }
  std::copy_backward(state.times + at, state.times + state.exact, state.times + state.exact + 1);
  std::copy_backward(state.payloads + at, state.payloads + state.exact, state.payloads + state.exact + 1);
  state.times[at] = t_ms;
  state.payloads[at] = payload;
  ++state.exact;
  int64_t newest_ms = state.times[state.exact - 1];
  age(state);
  uint32_t gone = 0;
  if (newest_ms - state.times[0] >= horizon_ms_) {
    while (newest_ms - state.times[gone] >= horizon_ms_) ++gone;
    for (size_t i = 0; i < level_count_; ++i) state.levels[i].count = 0;  // older still
  } else if (state.exact > kExact) {
    size_t level = level_for(newest_ms - state.times[0]);
    add_cell(state, level, floor_div(state.times[0], levels_[level].cell_ms),
             cell_of(state.times[0], state.payloads[0]));
    gone = 1;
  }
  std::copy(state.times + gone, state.times + state.exact, state.times);
  std::copy(state.payloads + gone, state.payloads + state.exact, state.payloads);
  state.exact -= gone;
}

size_t Counter::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  State state;
  if (record != nullptr) {
    unpack(record, state);
  } else {
    state.exact = 0;
    state.scale = 0;
    for (size_t i = 0; i < level_count_; ++i) state.levels[i].count = 0;
  }
  int64_t payload = has_payload_ ? scaled(sample, state) : 0;
  insert(state, sample.t_ms, payload);
  return pack(state, out);
}

// The common case: an event at the newest time or later that fits into the widths of the record.
bool Counter::add_in_place(uint8_t* record, size_t, const Sample& sample) const {
  const Layout l = layout(record);
  int64_t difference = sample.t_ms - l.newest_ms;
  if (difference < 0 || width_of(static_cast<uint64_t>(difference)) > l.difference_width) return false;
  uint64_t payload = 0;
  if (has_payload_) {
    int64_t v;
    if (!scaled_to(sample, l.scale, v)) return false;
    if (v < 0 && !l.is_signed) return false;
    payload = coded(v, l.is_signed);
    if (width_of(payload) > l.payload_width) return false;
  }
  uint32_t slot = l.exact;
  if (l.exact == kExact) {
    if (!move_oldest(record, l, sample.t_ms)) return false;
    slot = l.head;
    record[8] = static_cast<uint8_t>(l.head + 1 == kExact ? 0 : l.head + 1);
  } else {
    // Whether there is room may depend on the record alone, not on where it happens to lie.
    size_t bytes_after = (l.end_bit + l.stride + 7) / 8;
    if (l.exact + 1 == kExact || bytes_after > Slab::capacity_for((l.end_bit + 7) / 8)) return false;
    size_t first_new = (l.end_bit + 7) / 8;
    std::memset(record + first_new, 0, bytes_after - first_new);
  }
  store_bits(record, l.difference_bit(slot), l.difference_width, static_cast<uint64_t>(difference));
  store_bits(record, l.payload_bit(slot), l.payload_width, payload);
  uint64_t exact = l.exact == kExact ? kExact : l.exact + 1;
  uint64_t head = load_u64(record) & ~(mask_of(48) | uint64_t{31} << 48);
  store_u64(record, head | (static_cast<uint64_t>(sample.t_ms) & mask_of(48)) | exact << 48);
  return true;
}

// Adds the oldest exact event to its cell, if this is there and wide enough and no cell has to move.
bool Counter::move_oldest(uint8_t* record, const Layout& l, int64_t newest_ms) const {
  if (!l.has_cells) return false;
  int64_t oldest_ms = l.newest_ms;
  for (uint32_t left = kExact - 1, slot = newest_slot(l); left > 0; --left) {
    oldest_ms -= static_cast<int64_t>(load_bits(record, l.difference_bit(slot), l.difference_width));
    slot = slot == 0 ? kExact - 1 : slot - 1;
  }
  if (newest_ms - oldest_ms >= horizon_ms_) return false;
  size_t level = level_for(newest_ms - oldest_ms), at = 0, before = 0;
  const uint8_t* from = record + l.levels_at;
  for (size_t i = 0; i < level_count_; ++i) {
    uint32_t count = *from;
    if (count == 0) {
      if (i == level) return false;
      ++from;
      continue;
    }
    int64_t first = load_first(from, l.newest_ms, i);
    if (newest_ms - ((first + 1) * levels_[i].cell_ms - 1) >= levels_[i].span_ms) return false;
    if (i == level) {
      int64_t number = floor_div(oldest_ms, levels_[i].cell_ms);
      if (number < first || number >= first + count) return false;
      at = before + static_cast<size_t>(number - first);
    }
    before += count;
    from += kLevelHeadBytes;
  }
  size_t count_bit = l.counts_bit + at * l.count_width, sum_bit = l.sums_bit + at * l.sum_width;
  int64_t cell_origin = origin(floor_div(oldest_ms, levels_[level].cell_ms), level);
  Cell cell{counts_cells_ ? load_bits(record, count_bit, l.count_width) : 1,
            decoded(load_bits(record, sum_bit, l.sum_width), l.is_signed) + cell_origin};
  merge(cell, cell_of(oldest_ms, decoded(load_bits(record, l.payload_bit(l.head), l.payload_width), l.is_signed)),
        l.scale);
  if (counts_cells_ && width_of(cell.n) > l.count_width) return false;
  int64_t v = cell.v - cell_origin;
  if (has_sums_ && ((v < 0 && !l.is_signed) || width_of(coded(v, l.is_signed)) > l.sum_width)) return false;
  if (counts_cells_) store_bits(record, count_bit, l.count_width, cell.n);
  if (has_sums_) store_bits(record, sum_bit, l.sum_width, coded(v, l.is_signed));
  return true;
}

void Counter::read_cells(const uint8_t* record, const Layout& l, int64_t oldest_ms, int64_t from_ms, int64_t t_ms,
                         Total& total) const {
  const uint8_t* at = record + l.levels_at;
  size_t number = 0;
  for (size_t i = 0; i < level_count_; ++i) {
    uint32_t count = *at;
    if (count == 0) {
      ++at;
      continue;
    }
    int64_t first = load_first(at, l.newest_ms, i);
    at += kLevelHeadBytes;
    // No event of the level is later than this.
    int64_t latest_ms = i == 0 ? oldest_ms : std::min(oldest_ms, l.newest_ms - levels_[i - 1].span_ms);
    for (uint32_t c = 0; c < count; ++c, ++number) {
      int64_t begin_ms = (first + c) * levels_[i].cell_ms;
      int64_t last_ms = std::min(begin_ms + levels_[i].cell_ms - 1, latest_ms);
      int64_t part_ms = std::min(last_ms, t_ms) - std::max(begin_ms, from_ms) + 1;
      if (part_ms <= 0 || last_ms < begin_ms) continue;
      uint64_t n = counts_cells_ ? load_bits(record, l.counts_bit + number * l.count_width, l.count_width) : 1;
      if (n == 0) continue;
      int64_t v = decoded(load_bits(record, l.sums_bit + number * l.sum_width, l.sum_width), l.is_signed);
      v += origin(first + c, i);
      if (is_first_ && (v < from_ms || v > t_ms)) continue;  // of a cell that is cut the next events are unknown
      if (is_extreme_) {
        Cell best{total.events, total.best};
        merge(best, {1, v}, l.scale);
        total.events = 1;
        total.best = best.v;
        continue;
      }
      int64_t whole_ms = last_ms - begin_ms + 1;
      bool is_whole = part_ms == whole_ms;
      double share = is_whole ? 1.0 : static_cast<double>(part_ms) / static_cast<double>(whole_ms);
      total.events += is_whole ? n : static_cast<uint64_t>(share_of(static_cast<Int128>(n), part_ms, whole_ms));
      total.events_real += static_cast<double>(n) * share;
      if (l.scale == kRaw) {
        total.sum_real += to_double(v, kRaw) * share;
      } else {
        total.sum += is_whole ? Int128{v} : share_of(v, part_ms, whole_ms);
        total.sum_real += static_cast<double>(v) * share;
      }
    }
  }
}

Value Counter::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const {
  Total total;
  if (record == nullptr) return result(total);
  const Layout l = layout(record);
  total.scale = l.scale;
  int64_t from_ms = t_ms - windows_ms_[window] + 1;
  int64_t event_ms = l.newest_ms;
  uint32_t slot = newest_slot(l);
  for (uint32_t left = l.exact; event_ms >= from_ms; --left) {
    if (event_ms <= t_ms) {
      ++total.events;
      if (has_sums_) {
        int64_t v =
            is_first_ ? event_ms : decoded(load_bits(record, l.payload_bit(slot), l.payload_width), l.is_signed);
        if (is_extreme_) {
          Cell best{total.events - 1, total.best};
          merge(best, {1, v}, l.scale);
          total.best = best.v;
        } else if (l.scale == kRaw) {
          total.sum_real += to_double(v, kRaw);
        } else {
          total.sum += v;
        }
      }
    }
    if (left == 1) break;
    event_ms -= static_cast<int64_t>(load_bits(record, l.difference_bit(slot), l.difference_width));
    slot = slot == 0 ? kExact - 1 : slot - 1;
  }
  total.events_real = static_cast<double>(total.events);
  if (l.scale != kRaw) total.sum_real = static_cast<double>(total.sum);
  if (l.has_cells && event_ms >= from_ms) read_cells(record, l, event_ms, from_ms, t_ms, total);
  return result(total);
}

Value Counter::result(const Total& total) const {
  auto real_sum = [&] {
    return total.scale == kRaw ? total.sum_real : total.sum_real / static_cast<double>(kScales[total.scale]);
  };
  switch (aggregate_) {
    case Aggregate::kCount:
      return Value::integer(static_cast<int64_t>(total.events));
    case Aggregate::kSum:
      if (kind_ == event::Kind::kDouble) return Value::real(real_sum());
      if (kind_ == event::Kind::kDuration) return Value::duration(saturated(total.sum));
      return Value::integer(saturated(total.sum));
    case Aggregate::kMean:
    case Aggregate::kRatio:
      if (total.events_real <= 0) return Value::absent();
      return Value::real(real_sum() / total.events_real);
    default:
      break;
  }
  if (total.events == 0) return Value::absent();
  if (is_first_) {
    int64_t seconds = floor_div(total.best, 1000);
    return Value::timestamp(seconds, static_cast<uint32_t>(total.best - seconds * 1000) * 1'000'000);
  }
  if (is_double_) return Value::real(to_double(total.best, total.scale));
  switch (kind_) {
    case event::Kind::kTimestamp: {
      int64_t seconds = floor_div(total.best, kNanosPerSecond);
      return Value::timestamp(seconds, static_cast<uint32_t>(total.best - seconds * kNanosPerSecond));
    }
    case event::Kind::kDuration:
      return Value::duration(total.best);
    case event::Kind::kBool:
      return Value::boolean(total.best != 0);
    case event::Kind::kUint:
      return Value::uinteger(total.best < 0 ? 0 : static_cast<uint64_t>(total.best));
    default:
      return Value::integer(total.best);
  }
}

}  // namespace tamis::state
