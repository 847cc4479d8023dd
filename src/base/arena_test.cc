#include "base/arena.h"

#include <gtest/gtest.h>

namespace tamis::base {
namespace {

TEST(Arena, HandsOutAlignedDistinctMemory) {
  Arena arena(64);
  auto* first = arena.allocate_array<uint64_t>(3);
  auto* second = arena.allocate_array<uint64_t>(3);
  first[2] = 7;
  second[0] = 9;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % alignof(uint64_t), 0u);
  EXPECT_EQ(first[2], 7u);
  EXPECT_EQ(second[0], 9u);
}

TEST(Arena, ResetKeepsNormalBlocksAndDropsLargeOnes) {
  Arena arena(128);
  arena.allocate(100);
  arena.allocate(100);
  arena.allocate(1 << 20);
  EXPECT_GT(arena.reserved_bytes(), size_t{1} << 20);
  arena.reset();
  EXPECT_EQ(arena.reserved_bytes(), 256u);
  EXPECT_EQ(arena.used_bytes(), 0u);
  arena.allocate(100);
  arena.allocate(100);
  EXPECT_EQ(arena.reserved_bytes(), 256u);
}

TEST(Arena, CopiesText) {
  Arena arena(32);
  std::string text(1000, 'x');
  std::string_view copy = arena.copy(text);
  EXPECT_EQ(copy, text);
  EXPECT_NE(copy.data(), text.data());
}

}  // namespace
}  // namespace tamis::base
