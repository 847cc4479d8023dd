#include "model/packed_slots.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace tamis::model {
namespace {

TableOf<Slot> some_slots() {
  TableOf<Slot> slots(4'096);
  for (size_t i = 0; i < slots.size(); i += 1 + base::mix64(i) % 5) {
    for (size_t l = 0; l < kLinears; ++l) {
      slots[i].weight[l] = (static_cast<float>(base::mix64(i * 8 + l) % 20'000) - 10'000) / 777;
    }
    slots[i].ham = static_cast<float>(base::mix64(i) % 300);
    slots[i].spam = static_cast<float>(base::mix64(i + 1) % 30'000);
    round_for_packing(slots[i]);
  }
  return slots;
}

TEST(PackedSlots, ComeBackAsTheyWereRounded) {
  const auto slots = some_slots();
  TableOf<Slot> got(slots.size());
  ASSERT_TRUE(unpack_slots(pack_slots(slots), got));
  EXPECT_EQ(got, slots);
  TableOf<Slot> none(16);
  ASSERT_TRUE(unpack_slots(pack_slots(none), none));
  EXPECT_EQ(none, TableOf<Slot>(16));
}

TEST(PackedSlots, RoundingKeepsWeightsWithinTheirRange) {
  Slot slot;
  slot.weight = {1e6f, -1e6f, 0.0078f, -0.0079f, 0.5f, 0};
  slot.ham = 2.9f;
  slot.spam = 1e9f;
  round_for_packing(slot);
  EXPECT_EQ(slot.weight, (std::array<float, kLinears>{32767 / 64.0f, -32767 / 64.0f, 0, -1 / 64.0f, 0.5f, 0}));
  EXPECT_EQ(slot.ham, 2);
  EXPECT_EQ(slot.spam, 16'777'216);
}

TEST(PackedSlots, OtherBytesAreRefused) {
  const auto slots = some_slots();
  const std::string bytes = pack_slots(slots);
  TableOf<Slot> smaller(slots.size() / 2);
  EXPECT_FALSE(unpack_slots(bytes, smaller));
  TableOf<Slot> got(slots.size());
  EXPECT_FALSE(unpack_slots({}, got));
  EXPECT_FALSE(unpack_slots("no frame", got));
  EXPECT_FALSE(unpack_slots(std::string_view(bytes).substr(0, bytes.size() - 3), got));
}

}  // namespace
}  // namespace tamis::model
