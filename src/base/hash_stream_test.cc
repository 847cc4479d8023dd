#include "base/hash_stream.h"

#include <gtest/gtest.h>

#include <string>

#include "base/hash.h"

namespace tamis::base {
namespace {

TEST(HashStream, givesTheHashOfAllBytesAndBeginsAnew) {
  HashStream stream;
  EXPECT_EQ(stream.finish(), hash64(""));
  std::string text;
  for (size_t size : {0u, 1u, 16u, 17u, 128u, 129u, 240u, 241u, 1'024u, 70'000u}) {
    text.clear();
    for (size_t i = 0; i < size; ++i) text += static_cast<char>(i * 7 + i / 251);
    for (size_t step : {1u, 63u, 64u, 1'000u, 100'000u}) {
      for (size_t at = 0; at < size; at += step) stream.add(std::string_view(text).substr(at, step));
      EXPECT_EQ(stream.finish(), hash64(text)) << size << " bytes by " << step;
    }
  }
}

}  // namespace
}  // namespace tamis::base
