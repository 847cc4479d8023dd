#include "state/slab.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace tamis::state {
namespace {

TEST(Slab, ClassesHoldTheirSizeAndWasteLittle) {
  size_t before = 0;
  for (size_t bytes = 1; bytes <= Slab::kRecordBytesMax; ++bytes) {
    size_t capacity = Slab::capacity_for(bytes);
    ASSERT_GE(capacity, bytes);
    ASSERT_LE(capacity, std::max(bytes + 3, bytes * 65 / 64 + 4)) << bytes;
    ASSERT_GE(capacity, before);
    before = capacity;
  }
}

TEST(Slab, RecordsKeepTheirBytesAndMemoryReturns) {
  Slab slab(Slab::kRecordBytesMax);
  size_t empty = slab.bytes();
  std::map<uint32_t, std::pair<size_t, uint8_t>> live;
  uint64_t r = 1;
  for (int i = 0; i < 4000; ++i) {
    r = r * 6364136223846793005u + 1442695040888963407u;
    if ((r >> 33) % 3 != 0 || live.empty()) {
      size_t bytes = 1 + (r >> 40) % ((r >> 60) == 0 ? Slab::kRecordBytesMax : 200);
      uint32_t ref = slab.allocate(bytes);
      ASSERT_NE(ref, 0u);
      ASSERT_GE(slab.capacity(ref), bytes);
      ASSERT_TRUE(live.emplace(ref, std::pair{bytes, static_cast<uint8_t>(r >> 50)}).second);
      std::memset(slab.at(ref), static_cast<uint8_t>(r >> 50), bytes);
    } else {
      auto at = live.lower_bound(static_cast<uint32_t>(r >> 30));
      if (at == live.end()) at = live.begin();
      for (size_t b = 0; b < at->second.first; ++b) ASSERT_EQ(slab.at(at->first)[b], at->second.second);
      slab.free(at->first);
      live.erase(at);
    }
  }
  size_t full = slab.bytes();
  for (const auto& [ref, record] : live) slab.free(ref);
  EXPECT_LT(slab.bytes(), full / 10);
  EXPECT_LT(slab.bytes(), empty + 100'000);
}

}  // namespace
}  // namespace tamis::state
