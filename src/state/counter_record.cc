// How a Counter's record is laid out, packed and unpacked.
#include <algorithm>

#include "state/counter.h"

namespace tamis::state {

size_t Counter::bytes_max() const {
  size_t bits = kExact * (48 + 64) + level_count_ * kCellsMax * (48 + 64);
  return 8 + 4 + level_count_ * 7 + bits / 8 + kBitSlackBytes;
}

Counter::Layout Counter::layout(const uint8_t* record) const {
  Layout l;
  uint64_t head = load_u64(record);
  l.newest_ms = static_cast<int64_t>(head << 16) >> 16;
  l.exact = static_cast<uint32_t>(head >> 48) & 31;
  l.difference_width = static_cast<uint32_t>(head >> 53) & 63;
  l.has_cells = (head >> 59 & 1) != 0;
  l.scale = static_cast<uint8_t>(head >> 60 & 3);
  l.is_signed = (head >> 62 & 1) != 0;
  const uint8_t* at = record + 8;
  if (l.exact == kExact) l.head = *at++;
  if (has_payload_) l.payload_width = *at++;
  l.stride = l.difference_width + l.payload_width;
  if (l.has_cells) {
    if (counts_cells_) l.count_width = *at++;
    if (has_sums_) l.sum_width = *at++;
    l.levels_at = static_cast<size_t>(at - record);
    for (size_t i = 0; i < level_count_; ++i) {
      uint32_t count = *at;
      l.cells += count;
      at += count == 0 ? 1 : kLevelHeadBytes;
    }
  }
  l.events_bit = static_cast<size_t>(at - record) * 8;
  l.counts_bit = l.events_bit + size_t{l.exact} * l.stride - (l.exact == kExact ? 0 : l.difference_width);
  l.sums_bit = l.counts_bit + size_t{l.cells} * l.count_width;
  l.end_bit = l.sums_bit + size_t{l.cells} * l.sum_width;
  return l;
}

size_t Counter::bytes(const uint8_t* record) const { return (layout(record).end_bit + 7) / 8; }

void Counter::unpack(const uint8_t* record, State& state) const {
  const Layout l = layout(record);
  state.scale = l.scale;
  state.exact = l.exact;
  int64_t event_ms = l.newest_ms;
  uint32_t slot = newest_slot(l);
  for (uint32_t i = l.exact; i-- > 0;) {
    state.times[i] = event_ms;
    state.payloads[i] = decoded(load_bits(record, l.payload_bit(slot), l.payload_width), l.is_signed);
    if (i == 0) break;
    event_ms -= static_cast<int64_t>(load_bits(record, l.difference_bit(slot), l.difference_width));
    slot = slot == 0 ? kExact - 1 : slot - 1;
  }
  const uint8_t* at = record + l.levels_at;
  size_t number = 0;
  for (size_t i = 0; i < level_count_; ++i) {
    Cells& cells = state.levels[i];
    cells.count = l.has_cells ? *at : 0;
    if (cells.count == 0) {
      ++at;
      continue;
    }
    cells.first = load_first(at, l.newest_ms, i);
    at += kLevelHeadBytes;
    for (uint32_t c = 0; c < cells.count; ++c, ++number) {
      cells.cells[c].n = counts_cells_ ? load_bits(record, l.counts_bit + number * l.count_width, l.count_width) : 1;
      cells.cells[c].v = decoded(load_bits(record, l.sums_bit + number * l.sum_width, l.sum_width), l.is_signed);
      cells.cells[c].v += origin(cells.first + c, i);
    }
  }
}

int64_t Counter::stored(const Cells& cells, size_t level, uint32_t c) const {
  return cells.cells[c].n == 0 ? 0 : cells.cells[c].v - origin(cells.first + c, level);
}

size_t Counter::pack(const State& state, uint8_t* out) const {
  uint64_t differences = 0, payloads = 0, counts = 0, sums = 0;
  bool is_signed = false, has_cells = false;
  for (uint32_t i = 0; has_payload_ && i < state.exact; ++i) is_signed = is_signed || state.payloads[i] < 0;
  for (size_t i = 0; i < level_count_; ++i) {
    has_cells = has_cells || state.levels[i].count > 0;
    for (uint32_t c = 0; has_sums_ && c < state.levels[i].count; ++c) {
      is_signed = is_signed || stored(state.levels[i], i, c) < 0;
    }
  }
  for (uint32_t i = 1; i < state.exact; ++i) differences |= static_cast<uint64_t>(state.times[i] - state.times[i - 1]);
  for (uint32_t i = 0; has_payload_ && i < state.exact; ++i) payloads |= coded(state.payloads[i], is_signed);
  for (size_t i = 0; i < level_count_; ++i) {
    for (uint32_t c = 0; c < state.levels[i].count; ++c) {
      if (counts_cells_) counts |= state.levels[i].cells[c].n;
      if (has_sums_) sums |= coded(stored(state.levels[i], i, c), is_signed);
    }
  }
  unsigned difference_width = width_of(differences), payload_width = width_of(payloads);
  unsigned count_width = width_of(counts), sum_width = width_of(sums);
  uint64_t newest = static_cast<uint64_t>(state.times[state.exact - 1]) & mask_of(48);
  store_u64(out, newest | uint64_t{state.exact} << 48 | uint64_t{difference_width} << 53 |
                     uint64_t{has_cells ? 1u : 0u} << 59 | uint64_t{state.scale} << 60 |
                     uint64_t{is_signed ? 1u : 0u} << 62);
  uint8_t* at = out + 8;
  if (state.exact == kExact) *at++ = 0;
  if (has_payload_) *at++ = static_cast<uint8_t>(payload_width);
  if (has_cells) {
    if (counts_cells_) *at++ = static_cast<uint8_t>(count_width);
    if (has_sums_) *at++ = static_cast<uint8_t>(sum_width);
    for (size_t i = 0; i < level_count_; ++i) {
      *at++ = static_cast<uint8_t>(state.levels[i].count);
      if (state.levels[i].count == 0) continue;
      *at++ = static_cast<uint8_t>(state.levels[i].first);
    }
  }
  BitWriter bits(at);
  for (uint32_t i = 0; i < state.exact; ++i) {
    if (i > 0) bits.put(static_cast<uint64_t>(state.times[i] - state.times[i - 1]), difference_width);
    if (payload_width > 0) bits.put(coded(state.payloads[i], is_signed), payload_width);
  }
  if (state.exact == kExact) bits.put(0, difference_width);
  for (size_t i = 0; count_width > 0 && i < level_count_; ++i) {
    for (uint32_t c = 0; c < state.levels[i].count; ++c) bits.put(state.levels[i].cells[c].n, count_width);
  }
  for (size_t i = 0; sum_width > 0 && i < level_count_; ++i) {
    for (uint32_t c = 0; c < state.levels[i].count; ++c)
      bits.put(coded(stored(state.levels[i], i, c), is_signed), sum_width);
  }
  return static_cast<size_t>(bits.end() - out);
}

bool Counter::valid(const uint8_t* record, size_t bytes) const {
  if (bytes < 8) return false;
  const Layout l = layout(record);
  if (l.exact == 0 || l.exact > kExact || l.difference_width > 48 || l.payload_width > 64) return false;
  if (l.count_width > 48 || l.sum_width > 64 || (l.scale != 0 && !is_double_)) return false;
  if (is_first_ && l.sum_width > 48) return false;
  if (l.head >= kExact) return false;
  if (l.has_cells && (l.exact != kExact || l.cells == 0)) return false;
  if ((l.end_bit + 7) / 8 != bytes) return false;
  const uint8_t* at = record + l.levels_at;
  for (size_t i = 0; l.has_cells && i < level_count_; ++i) {
    uint32_t count = *at;
    if (count == 0) {
      ++at;
      continue;
    }
    int64_t first = load_first(at, l.newest_ms, i);
    at += kLevelHeadBytes;
    // The cells lie where events of the level can: not behind the newest, not older than age() leaves them.
    int64_t number_max = kTimeMaxMs / levels_[i].cell_ms + 1;
    if (count > kCellsMax || first > number_max || first < -number_max) return false;
    int64_t first_last_ms = (first + 1) * levels_[i].cell_ms - 1;
    int64_t last_begin_ms = (first + count - 1) * levels_[i].cell_ms;
    if (l.newest_ms - first_last_ms >= levels_[i].span_ms || last_begin_ms > l.newest_ms) return false;
  }
  return true;
}

}  // namespace tamis::state
