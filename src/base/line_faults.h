// Lines of a table that could not be used, while the others are: how many, and the first of them in words.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tamis::base {

struct LineFaults {
  static constexpr size_t kKeptMax = 20;

  uint64_t count = 0;
  std::vector<std::string> first;  // "FILE:LINE: what was expected"

  void add(std::string words) {
    ++count;
    if (first.size() < kKeptMax) first.push_back(std::move(words));
  }
};

}  // namespace tamis::base
