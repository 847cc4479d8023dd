#include "state/distinct.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tamis::state {
namespace {

constexpr uint64_t kHashMask = (uint64_t{1} << 40) - 1;
constexpr uint32_t kNone = ~0u;
constexpr int64_t kLongAgo = INT64_MIN;  // before anything that is read

uint32_t load_u32(const uint8_t* from) {
  uint32_t v;
  std::memcpy(&v, from, 4);
  return v;
}

void store_u32(uint8_t* to, uint32_t v) { std::memcpy(to, &v, 4); }

}  // namespace

Distinct::Distinct(const FeatureSpec& spec)
    : window_count_(spec.windows_ms.size()),
      lateness_ms_(std::clamp<int64_t>(spec.lateness_ms, 0, kLatenessMaxMs)),
      horizon_ms_(spec.windows_ms.back() + lateness_ms_) {
  std::copy(spec.windows_ms.begin(), spec.windows_ms.end(), windows_ms_);
}

size_t Distinct::bytes_max() const {
  static_assert(1 + (kExact + 7) / 8 + kMarksMax * kMarkBytes < sizeof(HllPair));  // a record has the ones or the other
  return list_bytes(kExact) + window_count_ * sizeof(HllPair);
}

bool Distinct::sample(Value of, bool, Sample& sample) const {
  if (of.kind == event::Kind::kAbsent || of.kind == event::Kind::kError) return false;
  sample.i = static_cast<int64_t>(base::mix64(event::hash(of)) & kHashMask);
  return true;
}

size_t Distinct::bytes(const uint8_t* record) const {
  uint32_t count = count_of(record), pairs = pairs_of(record);
  if (pairs == 0) return list_bytes(count) + runs_bytes(count) + marks_of(record) * kMarkBytes;
  return list_bytes(count) + static_cast<size_t>(std::popcount(pairs)) * sizeof(HllPair);
}

int64_t Distinct::newest_ms(const uint8_t* record) const {
  return base_of(record) + static_cast<int64_t>(load_bits(record, 7 * 8, 40));
}

void Distinct::set_newest(uint8_t* record, int64_t offset) { std::memcpy(record + 7, &offset, 5); }

int64_t Distinct::offset_at(const uint8_t* record, uint32_t count, uint32_t i) {
  uint64_t low = load_u32(record + kHeadBytes + (count + i) * 4);
  uint64_t high = record[kHeadBytes + count * 9 + i / 4] >> (i % 4 * 2) & 3;
  return static_cast<int64_t>(low | high << 32);
}

void Distinct::set_offset(uint8_t* record, uint32_t count, uint32_t i, int64_t offset) {
  store_u32(record + kHeadBytes + (count + i) * 4, static_cast<uint32_t>(offset));
  uint8_t& high = record[kHeadBytes + count * 9 + i / 4];
  uint32_t shift = i % 4 * 2;
  high = static_cast<uint8_t>((high & ~(3u << shift)) | static_cast<uint32_t>(offset >> 32 & 3) << shift);
}

uint64_t Distinct::hash_at(const uint8_t* record, uint32_t count, uint32_t i) {
  return load_u32(record + kHeadBytes + i * 4) | uint64_t{record[kHeadBytes + count * 8 + i]} << 32;
}

void Distinct::set_hash(uint8_t* record, uint32_t count, uint32_t i, uint64_t hash) {
  store_u32(record + kHeadBytes + i * 4, static_cast<uint32_t>(hash));
  record[kHeadBytes + count * 8 + i] = static_cast<uint8_t>(hash >> 32);
}

bool Distinct::is_run(const uint8_t* record, uint32_t count, uint32_t i) {
  return pairs_of(record) == 0 && (record[list_bytes(count) + 1 + i / 8] >> i % 8 & 1) != 0;
}

void Distinct::set_run(uint8_t* record, uint32_t count, uint32_t i, bool is_run) {
  if (pairs_of(record) != 0) return;
  uint8_t& bits = record[list_bytes(count) + 1 + i / 8];
  bits = static_cast<uint8_t>((bits & ~(1u << i % 8)) | (is_run ? 1u << i % 8 : 0));
}

Distinct::Mark Distinct::mark_at(const uint8_t* record, uint32_t count, uint32_t i) {
  uint64_t bits = 0;
  std::memcpy(&bits, record + list_bytes(count) + runs_bytes(count) + i * kMarkBytes, kMarkBytes);
  return {static_cast<int64_t>(bits & mask_of(34)), static_cast<Turn>(bits >> 34 & 3),
          static_cast<uint32_t>(bits >> 36)};
}

void Distinct::unpack_marks(const uint8_t* record, Marks& marks) {
  marks.count = marks_of(record);
  for (uint32_t i = 0; i < marks.count; ++i) marks.at[i] = mark_at(record, count_of(record), i);
}

void Distinct::set_marks(uint8_t* record, const Marks& marks) {
  if (pairs_of(record) != 0) return;
  uint32_t count = count_of(record);
  uint8_t* to = record + list_bytes(count);
  *to = static_cast<uint8_t>(marks.count);
  to += runs_bytes(count);
  for (uint32_t i = 0; i < marks.count; ++i, to += kMarkBytes) {
    const Mark& mark = marks.at[i];
    uint64_t bits = static_cast<uint64_t>(mark.offset) | uint64_t{static_cast<uint8_t>(mark.turn)} << 34 |
                    uint64_t{mark.value} << 36;
    std::memcpy(to, &bits, kMarkBytes);
  }
}

// Marks stand in order of time, then of their value, so that equal histories have equal bytes.
void Distinct::add_mark(Marks& marks, Mark mark) {
  uint32_t i = marks.count++;
  auto later = [&](const Mark& m) { return m.offset != mark.offset ? m.offset > mark.offset : m.value > mark.value; };
  for (; i > 0 && later(marks.at[i - 1]); --i) marks.at[i] = marks.at[i - 1];
  marks.at[i] = mark;
}

void Distinct::remove_marks_of(Marks& marks, uint32_t value) {
  auto* end = std::remove_if(marks.at, marks.at + marks.count, [&](const Mark& m) { return m.value == value; });
  marks.count = static_cast<uint32_t>(end - marks.at);
}

// Nobody reads a time before the newest event less the lateness. So where a run began is of no use if that was earlier,
// nor is anything that came before a run that began earlier, nor what no window reaches from there.
void Distinct::prune(Marks& marks, int64_t* begins, int64_t newest) const {
  int64_t first_read = newest - lateness_ms_;
  uint32_t keep = marks.count;
  for (uint32_t i = marks.count; i-- > 0;) {
    const Mark mark = marks.at[i];
    bool is_read = mark.offset > first_read;
    if (mark.turn != Turn::kBegin) {
      is_read = begins[mark.value] > first_read && newest - mark.offset < horizon_ms_;
      begins[mark.value] = kLongAgo;
    }
    if (mark.turn != Turn::kEnd) begins[mark.value] = mark.offset;
    if (is_read) marks.at[--keep] = mark;
  }
  keep = std::max(keep, marks.count > kMarksMax ? marks.count - kMarksMax : 0);
  std::copy(marks.at + keep, marks.at + marks.count, marks.at);
  marks.count -= keep;
}

// Adds a sighting to the runs of a value.
void Distinct::see_again(Marks& marks, Entry& entry, uint32_t value, int64_t offset) const {
  struct Run {
    int64_t begin, end;
  };
  Run runs[kMarksMax + 2];
  uint32_t count = 0;
  bool is_open = false;
  for (uint32_t i = 0; i < marks.count; ++i) {
    const Mark& mark = marks.at[i];
    if (mark.value != value) continue;
    if (mark.turn == Turn::kEnd) {
      runs[count] = {is_open ? runs[count].begin : kLongAgo, mark.offset};
    } else {
      runs[count] = {mark.offset, mark.offset};
    }
    is_open = mark.turn == Turn::kBegin;
    if (!is_open) ++count;
  }
  if (!is_open) runs[count].begin = entry.is_run ? kLongAgo : entry.offset;
  runs[count++].end = entry.offset;

  uint32_t next = 0;
  while (next < count && runs[next].begin <= offset) ++next;
  Run* before = next > 0 ? &runs[next - 1] : nullptr;
  if (before != nullptr && offset <= before->end) return;
  int64_t apart_max = windows_ms_[0];
  bool joins_before = before != nullptr && offset - before->end <= apart_max;
  bool joins_next = next < count && runs[next].begin - offset <= apart_max;
  if (joins_before && joins_next) {
    before->end = runs[next].end;
    std::copy(runs + next + 1, runs + count, runs + next);
    --count;
  } else if (joins_before) {
    before->end = offset;
  } else if (joins_next) {
    runs[next].begin = offset;
  } else {
    std::copy_backward(runs + next, runs + count, runs + count + 1);
    runs[next] = {offset, offset};
    ++count;
  }

  remove_marks_of(marks, value);
  for (uint32_t i = 0; i < count; ++i) {
    bool is_last = i + 1 == count;
    if (runs[i].begin == runs[i].end) {
      if (!is_last) add_mark(marks, {runs[i].end, Turn::kPoint, value});
      continue;
    }
    if (runs[i].begin != kLongAgo) add_mark(marks, {runs[i].begin, Turn::kBegin, value});
    if (!is_last) add_mark(marks, {runs[i].end, Turn::kEnd, value});
  }
  entry.is_run = runs[count - 1].begin < runs[count - 1].end;
  entry.offset = runs[count - 1].end;
}

// False: the record must be written anew.
bool Distinct::see_again_in_place(uint8_t* record, size_t capacity, uint32_t at, int64_t offset) const {
  uint32_t count = count_of(record);
  Entry entry{0, offset_at(record, count, at), is_run(record, count, at), at};
  bool goes_on = entry.is_run && offset > entry.offset && offset - entry.offset <= windows_ms_[0];
  if (goes_on || pairs_of(record) != 0) {
    set_offset(record, count, at, std::max(offset, entry.offset));
    return true;
  }
  Marks marks;
  unpack_marks(record, marks);
  see_again(marks, entry, at, offset);
  int64_t begins[kExact];
  for (uint32_t i = 0; i < count; ++i) {
    begins[i] = is_run(record, count, i) ? kLongAgo : offset_at(record, count, i);
  }
  begins[at] = entry.is_run ? kLongAgo : entry.offset;
  prune(marks, begins, std::max(static_cast<int64_t>(load_bits(record, 7 * 8, 40)), offset));
  // By the bytes there are and not by the room there is: so that a restored table, which may have less, does the same.
  size_t bytes_after = list_bytes(count) + runs_bytes(count) + marks.count * kMarkBytes;
  if (bytes_after > std::min(capacity, Slab::capacity_for(bytes(record)))) return false;
  set_marks(record, marks);
  set_offset(record, count, at, entry.offset);
  set_run(record, count, at, entry.is_run);
  return true;
}

uint32_t Distinct::find(const uint8_t* record, uint32_t count, uint64_t hash) {
  auto low = static_cast<uint32_t>(hash);
  for (uint32_t i = 0; i < count; ++i) {
    if (load_u32(record + kHeadBytes + i * 4) == low && hash_at(record, count, i) == hash) return i;
  }
  return kNone;
}

const HllPair* Distinct::pair_at(const uint8_t* record, size_t window) {
  uint32_t pairs = pairs_of(record);
  if ((pairs >> window & 1) == 0) return nullptr;
  auto before = static_cast<size_t>(std::popcount(pairs & ((1u << window) - 1)));
  return reinterpret_cast<const HllPair*>(record + list_bytes(count_of(record)) + before * sizeof(HllPair));
}

int64_t Distinct::generation_of(int64_t t_ms, size_t window) const {
  int64_t length_ms = windows_ms_[window];
  return t_ms / length_ms - (t_ms % length_ms < 0 ? 1 : 0);
}

bool Distinct::push_out(uint8_t* record, uint64_t hash, int64_t t_ms, int64_t newest_ms) const {
  for (size_t w = 0; w < window_count_; ++w) {
    if (needs_pair(t_ms, newest_ms, w) && pair_at(record, w) == nullptr) return false;
  }
  for (size_t w = 0; w < window_count_; ++w) {
    if (!needs_pair(t_ms, newest_ms, w)) continue;
    const_cast<HllPair*>(pair_at(record, w))->add(generation_of(t_ms, w), hash);
  }
  return true;
}

bool Distinct::add_in_place(uint8_t* record, size_t capacity, const Sample& sample) const {
  uint32_t count = count_of(record);
  int64_t base_ms = base_of(record), offset = sample.t_ms - base_ms;
  if (offset < 0 || offset > kOffsetMax) return false;
  int64_t newest = static_cast<int64_t>(load_bits(record, 7 * 8, 40));
  auto hash = static_cast<uint64_t>(sample.i);
  uint32_t at = find(record, count, hash);
  if (at != kNone) {
    if (!see_again_in_place(record, capacity, at, offset)) return false;
  } else {
    if (count < kExact) return false;
    // The value that was seen least recently makes room; the new one itself if it is older than all.
    int64_t oldest = offset;
    uint64_t oldest_hash = hash;
    for (uint32_t i = 0; i < count; ++i) {
      int64_t seen = offset_at(record, count, i);
      if (seen > oldest) continue;
      uint64_t seen_hash = hash_at(record, count, i);
      if (seen == oldest && seen_hash > oldest_hash) continue;
      oldest = seen;
      oldest_hash = seen_hash;
      at = i;
    }
    if (!push_out(record, oldest_hash, base_ms + oldest, base_ms + std::max(newest, offset))) return false;
    if (at != kNone) {
      set_hash(record, count, at, hash);
      set_offset(record, count, at, offset);
      set_run(record, count, at, false);
      if (marks_of(record) > 0) {
        Marks marks;
        unpack_marks(record, marks);
        remove_marks_of(marks, at);
        set_marks(record, marks);
      }
    }
  }
  if (offset > newest) set_newest(record, offset);
  return true;
}

// Writes the record anew: without values, marks and generations that no reading can reach, with the new value, and with
// a HyperLogLog where one is needed now. Here all times are absolute.
size_t Distinct::add(const uint8_t* record, const Sample& sample, uint8_t* out) const {
  Entry entries[kExact + 1];
  Marks marks;
  uint32_t count = 0, old_count = record == nullptr ? 0 : count_of(record);
  int64_t base_ms = record == nullptr ? sample.t_ms : base_of(record);
  int64_t last_ms = record == nullptr ? sample.t_ms : std::max(newest_ms(record), sample.t_ms);
  auto hash = static_cast<uint64_t>(sample.i);
  bool is_new = true, forgets = false;  // what was pushed out before is older still
  if (record != nullptr) unpack_marks(record, marks);
  for (uint32_t i = 0; i < marks.count; ++i) marks.at[i].offset += base_ms;
  for (uint32_t i = 0; i < old_count; ++i) {
    Entry entry{hash_at(record, old_count, i), base_ms + offset_at(record, old_count, i), is_run(record, old_count, i),
                i};
    if (entry.hash == hash) {
      is_new = false;
      see_again(marks, entry, i, sample.t_ms);
    }
    if (last_ms - entry.offset < horizon_ms_) {
      entries[count++] = entry;
    } else {
      forgets = true;
    }
  }
  if (is_new && last_ms - sample.t_ms < horizon_ms_) entries[count++] = {hash, sample.t_ms, false, kExact};
  Entry pushed{};
  bool pushes = count > kExact;
  if (pushes) {
    auto older = [](const Entry& a, const Entry& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.hash < b.hash;
    };
    Entry* oldest = std::min_element(entries, entries + count, older);
    pushed = *oldest;
    std::copy(oldest + 1, entries + count, oldest);
    --count;
  }
  uint32_t pairs = 0;
  for (size_t w = 0; w < window_count_; ++w) {
    const HllPair* pair = record == nullptr ? nullptr : pair_at(record, w);
    bool is_live =
        pair != nullptr && !forgets &&
        pair->generation_number() + 2 > generation_of(last_ms - (horizon_ms_ - windows_ms_[window_count_ - 1]), w);
    if (is_live || (pushes && needs_pair(pushed.offset, last_ms, w))) pairs |= 1u << w;
  }
  keep_marks_of(entries, count, last_ms, pairs != 0, marks);
  put_list(entries, count, last_ms, pairs, marks, out);
  for (size_t w = 0; w < window_count_; ++w) {
    auto* pair = const_cast<HllPair*>(pair_at(out, w));
    if (pair == nullptr) continue;
    const HllPair* old = record == nullptr ? nullptr : pair_at(record, w);
    if (old != nullptr) {
      std::memcpy(pair, old, sizeof(HllPair));
    } else {
      pair->begin(generation_of(pushed.offset, w));
    }
  }
  if (pushes) push_out(out, pushed.hash, pushed.offset, last_ms);
  return bytes(out);
}

// Leaves the marks of the values that stay, by their new places.
void Distinct::keep_marks_of(const Entry* entries, uint32_t count, int64_t last_ms, bool has_pairs,
                             Marks& marks) const {
  if (has_pairs) marks.count = 0;
  if (marks.count == 0) return;
  uint32_t place_of[kExact];
  int64_t begins[kExact];
  std::fill(place_of, place_of + kExact, kNone);
  for (uint32_t i = 0; i < count; ++i) {
    if (entries[i].place < kExact) place_of[entries[i].place] = i;
    begins[i] = entries[i].is_run ? kLongAgo : entries[i].offset;
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < marks.count; ++i) {
    Mark mark = marks.at[i];
    mark.value = place_of[mark.value];
    if (mark.value != kNone) marks.at[kept++] = mark;
  }
  marks.count = kept;
  prune(marks, begins, last_ms);
}

void Distinct::put_list(const Entry* entries, uint32_t count, int64_t last_ms, uint32_t pairs, Marks& marks,
                        uint8_t* out) {
  int64_t base_ms = last_ms;
  for (uint32_t i = 0; i < count; ++i) base_ms = std::min(base_ms, entries[i].offset);
  for (uint32_t i = 0; i < marks.count; ++i) base_ms = std::min(base_ms, marks.at[i].offset);
  store_u64(out, static_cast<uint64_t>(base_ms) & mask_of(48));
  out[6] = static_cast<uint8_t>(count);
  set_newest(out, last_ms - base_ms);
  out[12] = static_cast<uint8_t>(pairs);
  out[13] = static_cast<uint8_t>(pairs >> 8);
  std::memset(out + kHeadBytes, 0, list_bytes(count) - kHeadBytes + (pairs == 0 ? runs_bytes(count) : 0));
  for (uint32_t i = 0; i < count; ++i) {
    set_hash(out, count, i, entries[i].hash);
    set_offset(out, count, i, entries[i].offset - base_ms);
    set_run(out, count, i, entries[i].is_run);
  }
  for (uint32_t i = 0; i < marks.count; ++i) marks.at[i].offset -= base_ms;
  set_marks(out, marks);
}

// The values of the list that were seen in [from, to], where some were seen later again.
void Distinct::seen_at(const uint8_t* record, int64_t from, int64_t to, std::bitset<kExact>& inside) {
  uint32_t count = count_of(record);
  int64_t last[kExact];  // when the last run before `to` ended; kLongAgo: there was none
  std::bitset<kExact> in_run, is_told;
  std::fill(last, last + count, kLongAgo);
  for (uint32_t i = 0; i < count; ++i) in_run[i] = is_run(record, count, i);
  for (uint32_t i = 0; i < marks_of(record); ++i) {
    Mark mark = mark_at(record, count, i);
    if (mark.offset <= to) {
      in_run[mark.value] = mark.turn == Turn::kBegin;
      last[mark.value] = mark.offset;
      is_told.set(mark.value);
    } else if (!is_told[mark.value]) {
      in_run[mark.value] = mark.turn == Turn::kEnd;
      is_told.set(mark.value);
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    int64_t offset = offset_at(record, count, i);
    inside[i] = offset <= to ? offset >= from : in_run[i] || last[i] >= from;
  }
}

Value Distinct::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const {
  if (record == nullptr) return Value::integer(0);
  uint32_t count = count_of(record);
  int64_t base_ms = base_of(record), window_ms = windows_ms_[window];
  int64_t from = t_ms - window_ms + 1 - base_ms, to = t_ms - base_ms;
  uint32_t inside = 0, before = 0, later = 0;
  for (uint32_t i = 0; i < count; ++i) {
    int64_t offset = offset_at(record, count, i);
    before += offset < from;
    inside += offset >= from && offset <= to;
    later += offset > to;
  }
  std::bitset<kExact> seen;
  if (later > 0) {
    seen_at(record, from, to, seen);
    inside = static_cast<uint32_t>(seen.count());
  }
  const HllPair* pair = pair_at(record, window);
  // A value in the list that is older than the window proves that no value pushed out is in the window.
  if (pair == nullptr || before > 0) return Value::integer(inside);
  uint64_t hashes[kExact];
  uint32_t listed = 0;
  for (uint32_t i = 0; i < count; ++i) {
    int64_t offset = offset_at(record, count, i);
    if (later > 0 ? seen[i] : offset >= from && offset <= to) hashes[listed++] = hash_at(record, count, i);
  }
  // The generation that lies in the window whole, and the one that the far edge cuts: what this adds counts by the
  // share of its time that lies in the window.
  std::span<const uint64_t> more(hashes, listed);
  int64_t generation = pair->generation_number(), now = generation_of(t_ms, window);
  double whole = inside, with_cut = inside;
  if (generation == now) {
    whole = pair->estimate(HllPair::Part::kCurrent, more);
    with_cut = pair->estimate(HllPair::Part::kBoth, more);
  } else if (generation == now - 1) {
    with_cut = pair->estimate(HllPair::Part::kCurrent, more);
  } else if (generation == now + 1) {
    whole = with_cut = pair->estimate(HllPair::Part::kPrevious, more);
  }
  auto elapsed_ms = static_cast<double>(t_ms - now * window_ms + 1);
  double share = 1.0 - elapsed_ms / static_cast<double>(window_ms);
  double cut = std::max(with_cut - whole, 0.0) * share;
  return Value::integer(std::max<int64_t>(static_cast<int64_t>(std::nearbyint(whole + cut)), inside));
}

// Runs of a value begin and end by turns, and the last one ends when the value was last seen.
bool Distinct::marks_valid(const uint8_t* record, int64_t newest) {
  uint32_t count = count_of(record);
  std::bitset<kExact> is_open, has_mark;
  int64_t before = 0;
  for (uint32_t i = 0; i < marks_of(record); ++i) {
    Mark mark = mark_at(record, count, i);
    if (mark.value >= count || mark.turn > Turn::kPoint || mark.offset < before || mark.offset > newest) return false;
    if (mark.offset >= offset_at(record, count, mark.value)) return false;
    if (has_mark[mark.value] && is_open[mark.value] != (mark.turn == Turn::kEnd)) return false;
    has_mark.set(mark.value);
    is_open[mark.value] = mark.turn == Turn::kBegin;
    before = mark.offset;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (has_mark[i] && is_open[i] != is_run(record, count, i)) return false;
  }
  return true;
}

bool Distinct::valid(const uint8_t* record, size_t bytes_given) const {
  if (bytes_given < kHeadBytes) return false;
  uint32_t count = count_of(record);
  if (count == 0 || count > kExact || pairs_of(record) >> window_count_ != 0) return false;
  if (pairs_of(record) == 0 && bytes_given < list_bytes(count) + runs_bytes(count)) return false;
  if (marks_of(record) > kMarksMax || bytes(record) != bytes_given) return false;
  auto newest = static_cast<int64_t>(load_bits(record, 7 * 8, 40));
  if (newest > kOffsetMax || base_of(record) < -kTimeMaxMs) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (offset_at(record, count, i) > newest) return false;
    if (find(record, count, hash_at(record, count, i)) != i) return false;
  }
  if (!marks_valid(record, newest)) return false;
  for (size_t w = 0; w < window_count_; ++w) {
    const HllPair* pair = pair_at(record, w);
    if (pair == nullptr) continue;
    if (!pair->valid() || pair->generation_number() > generation_of(base_of(record) + newest, w)) return false;
  }
  return true;
}

}  // namespace tamis::state
