// Counter: the aggregator of count, sum, mean, min, max, ratio and first-seen.
//
// A record keeps the newest 17 events of its key exactly, in milliseconds. If a window holds 16 events or fewer, all of
// them are among these 17 and the 17th proves that there are no more, so the reading is exact. Older events lie in
// cells. Level i of the cells serves window i: its cells are a twelfth of the window long (each a whole multiple of
// those of the level before, so 12 to 24 of them) and cover ages from window i-1 to window i; a cell that leaves its
// level is added to the one of the next level that contains it. One set of events and cells thus serves all windows.
// Behind the widest window cells are kept for the allowed lateness, so that late events can be read too; where the
// lateness exceeds four cells, in a level of its own with cells of a quarter of it.
//
// A reading adds the exact events, the cells that lie in the window, and of a cell that an edge of the window cuts the
// share that lies inside. Reading at the newest event or later only the far edge can cut one.
//
// first-seen is the least time in the window; a cell keeps that of its first event, and if the edge has passed this
// one, the first event of the cells behind it is told.
//
// Everything is packed to the bit: differences of times, payloads and cells each have one width per record, the
// smallest that holds them all. Doubles are kept as whole numbers of units, of hundredths or of ten-thousandths while
// all of the record can be, without loss, and as they are otherwise. The newest events are a ring, so that the next one
// overwrites the oldest and nothing moves.
//
// Record: 64 bits { newest time 48, events 5, width of differences 6, has cells 1, scale 2, signed 1 };
//   if 17 events: byte: slot of the oldest; if payload: byte: its width; if cells: if they are counted, byte: width of
//   counts, if payload: byte: width of cell payloads, per level: byte: number of cells, and if not zero byte: the lower
//   eight bits of the number of the first since the epoch (it lies less than 256 cells before the newest time's); then
//   bits: for each event its difference to the one before and its payload, counts of cells, payloads of cells. Payloads
//   are as they are while none is negative, and with the sign in the lowest bit otherwise.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "state/feature_table.h"

namespace tamis::state {

class Counter {
 public:
  explicit Counter(const FeatureSpec& spec);

  bool sample(Value of, bool hit, Sample& sample) const;
  size_t bytes(const uint8_t* record) const;
  int64_t newest_ms(const uint8_t* record) const { return static_cast<int64_t>(load_u64(record) << 16) >> 16; }
  bool add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const;
  size_t add(const uint8_t* record, const Sample& sample, uint8_t* out) const;
  Value read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const;
  bool valid(const uint8_t* record, size_t bytes) const;
  size_t bytes_max() const;

 private:
  static constexpr uint32_t kExact = 17;
  static constexpr uint32_t kCellsMax = 40;  // of a level
  static constexpr uint32_t kLevelsMax = kWindowsMax + 1;
  static constexpr uint8_t kRaw = 3;  // scale: payloads are the bits of doubles

  struct Level {
    int64_t cell_ms;
    int64_t span_ms;  // a cell all of whose events are at least this old belongs to the next level
  };
  struct Cell {
    uint64_t n;
    int64_t v;
  };
  struct Cells {
    int64_t first;
    uint32_t count;
    Cell cells[kCellsMax];
  };
  // Where the parts of a record are. The difference of an event to the one before lies in front of its payload; the
  // first event has none, but in a ring any slot may become the first, and that of slot 0 lies behind the last payload.
  struct Layout {
    int64_t newest_ms;
    uint32_t exact;
    uint32_t difference_width, payload_width = 0, count_width = 0, sum_width = 0;
    uint32_t stride;    // of an event, bits
    uint32_t head = 0;  // slot of the oldest event
    bool has_cells;
    bool is_signed;
    uint8_t scale;
    uint32_t cells = 0;  // of all levels
    size_t levels_at = 0;
    size_t events_bit, counts_bit, sums_bit, end_bit;

    size_t payload_bit(uint32_t slot) const { return events_bit + size_t{slot} * stride; }
    size_t difference_bit(uint32_t slot) const {
      return events_bit + size_t{slot == 0 ? kExact : slot} * stride - difference_width;
    }
  };
  // A record unpacked.
  struct State {
    uint8_t scale;
    uint32_t exact;
    int64_t times[kExact + 1];
    int64_t payloads[kExact + 1];
    Cells levels[kLevelsMax];
  };
  struct Total;

  static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
  static uint32_t newest_slot(const Layout& l) {
    uint32_t slot = l.head + l.exact - 1;
    return slot >= kExact ? slot - kExact : slot;
  }
  // The number of the first cell of a level, from its head.
  static constexpr size_t kLevelHeadBytes = 2;
  int64_t load_first(const uint8_t* head, int64_t newest_ms, size_t level) const {
    int64_t newest = floor_div(newest_ms, levels_[level].cell_ms);
    return newest - static_cast<uint8_t>(static_cast<uint8_t>(newest) - head[1]);
  }
  static uint64_t coded(int64_t v, bool is_signed) { return is_signed ? zigzag(v) : static_cast<uint64_t>(v); }
  static int64_t decoded(uint64_t v, bool is_signed) { return is_signed ? unzigzag(v) : static_cast<int64_t>(v); }
  Layout layout(const uint8_t* record) const;
  bool move_oldest(uint8_t* record, const Layout& layout, int64_t newest_ms) const;
  void unpack(const uint8_t* record, State& state) const;
  // What payloads of cells are stored in relation to.
  int64_t origin(int64_t number, size_t level) const { return is_first_ ? number * levels_[level].cell_ms : 0; }
  int64_t stored(const Cells& cells, size_t level, uint32_t c) const;
  Cell cell_of(int64_t t_ms, int64_t payload) const { return {1, is_first_ ? t_ms : payload}; }
  size_t pack(const State& state, uint8_t* out) const;
  int64_t scaled(const Sample& sample, State& state) const;
  bool scaled_to(const Sample& sample, uint8_t scale, int64_t& payload) const;
  static void rescale(State& state, uint8_t scale, bool with_cells);
  void insert(State& state, int64_t t_ms, int64_t payload) const;
  void age(State& state) const;
  size_t level_for(int64_t age_ms) const;
  void add_cell(State& state, size_t level, int64_t number, Cell cell) const;
  void merge(Cell& into, Cell from, uint8_t scale) const;
  void read_cells(const uint8_t* record, const Layout& layout, int64_t oldest_ms, int64_t from_ms, int64_t t_ms,
                  Total& total) const;
  Value result(const Total& total) const;

  Aggregate aggregate_;
  event::Kind kind_;
  bool has_payload_;  // of events
  bool has_sums_;     // of cells
  bool is_first_;     // the payload of a cell is the time of its first event
  bool takes_least_;
  bool is_extreme_;
  bool is_double_;
  bool counts_cells_;  // whether the events of a cell are counted, or only the payload matters
  size_t level_count_ = 0;
  Level levels_[kLevelsMax];
  int64_t windows_ms_[kWindowsMax];
  int64_t horizon_ms_;
};

}  // namespace tamis::state
