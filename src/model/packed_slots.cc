#include "model/packed_slots.h"

#include <zstd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tamis::model {
namespace {

constexpr float kSteps = 64;
constexpr int32_t kStepsMax = 32'767;
constexpr uint32_t kCountMax = 1u << 24;  // where floats stop counting
constexpr int kLevel = 19;
// Of one slot: the gap to the one before, weights, two counts; numbers in groups of seven bits.
constexpr size_t kSlotBytesMax = 5 + kLinears * 2 + 2 * 4;

int32_t steps_of(float weight) {
  const float steps = weight * kSteps;
  const auto whole = static_cast<int32_t>(steps + (steps < 0 ? -0.5f : 0.5f));
  return std::clamp(whole, -kStepsMax, kStepsMax);
}
uint32_t count_of(float count) { return static_cast<uint32_t>(std::clamp(count, 0.0f, static_cast<float>(kCountMax))); }

void put_number(std::string& out, uint32_t number) {
  for (; number > 127; number >>= 7) out += static_cast<char>(number | 128);
  out += static_cast<char>(number);
}

class NumberReader {
 public:
  explicit NumberReader(std::string_view bytes) : bytes_(bytes) {}
  uint8_t byte() {
    if (at_ == bytes_.size()) {
      good_ = false;
      return 0;
    }
    return static_cast<uint8_t>(bytes_[at_++]);
  }
  uint32_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const uint8_t next = byte();
      value |= static_cast<uint64_t>(next & 127) << shift;
      if (next < 128) break;
    }
    good_ = good_ && value <= UINT32_MAX;
    return static_cast<uint32_t>(value);
  }
  bool good() const { return good_; }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  bool good_ = true;
};

std::string columns_of(const TableOf<Slot>& slots) {
  std::vector<const Slot*> used;
  std::string out;
  std::string gaps;
  size_t next = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] == Slot{}) continue;
    used.push_back(&slots[i]);
    put_number(gaps, static_cast<uint32_t>(i - next));
    next = i + 1;
  }
  put_number(out, static_cast<uint32_t>(used.size()));
  out += gaps;
  for (size_t l = 0; l < kLinears; ++l) {
    for (const unsigned shift : {0u, 8u}) {
      for (const Slot* slot : used) out += static_cast<char>(steps_of(slot->weight[l]) >> shift);
    }
  }
  for (const Slot* slot : used) put_number(out, count_of(slot->ham));
  for (const Slot* slot : used) put_number(out, count_of(slot->spam));
  return out;
}

bool read_columns(NumberReader& in, TableOf<Slot>& slots) {
  const uint32_t number = in.number();
  if (number > slots.size()) return false;
  std::vector<uint32_t> used(number);
  uint64_t next = 0;
  for (uint32_t& at : used) {
    next += in.number();
    if (next >= slots.size() || !in.good()) return false;
    at = static_cast<uint32_t>(next++);
  }
  std::vector<uint8_t> low(number);
  for (size_t l = 0; l < kLinears; ++l) {
    for (uint8_t& byte : low) byte = in.byte();
    for (size_t i = 0; i < number; ++i) {
      const auto steps = static_cast<int16_t>(static_cast<uint16_t>(low[i] | in.byte() << 8));
      slots[used[i]].weight[l] = static_cast<float>(steps) / kSteps;
    }
  }
  for (const uint32_t at : used) slots[at].ham = static_cast<float>(std::min(in.number(), kCountMax));
  for (const uint32_t at : used) slots[at].spam = static_cast<float>(std::min(in.number(), kCountMax));
  return in.good() && in.at_end();
}

}  // namespace

void round_for_packing(Slot& slot) {
  for (float& weight : slot.weight) weight = static_cast<float>(steps_of(weight)) / kSteps;
  slot.ham = static_cast<float>(count_of(slot.ham));
  slot.spam = static_cast<float>(count_of(slot.spam));
}

std::string pack_slots(const TableOf<Slot>& slots) {
  const std::string columns = columns_of(slots);
  std::string out(ZSTD_compressBound(columns.size()), '\0');
  const size_t bytes = ZSTD_compress(out.data(), out.size(), columns.data(), columns.size(), kLevel);
  out.resize(ZSTD_isError(bytes) != 0 ? 0 : bytes);
  return out;
}

bool unpack_slots(std::string_view bytes, TableOf<Slot>& slots) {
  const uint64_t size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) return false;
  if (size > 5 + slots.size() * kSlotBytesMax) return false;
  std::string columns(size, '\0');
  if (ZSTD_decompress(columns.data(), columns.size(), bytes.data(), bytes.size()) != size) return false;
  NumberReader in(columns);
  return read_columns(in, slots);
}

}  // namespace tamis::model
