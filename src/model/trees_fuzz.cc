// Any bytes as a model: refused with a reason, or good for scoring.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "model/trees.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const auto trees = tamis::model::Trees::parse({reinterpret_cast<const char*>(data), bytes});
  if (!trees) return 0;
  std::vector<float> row(trees->features().size(), 0.5f);
  for (size_t i = 0; i < row.size(); i += 3) row[i] = std::numeric_limits<float>::quiet_NaN();
  const volatile float score = trees->score(row);
  (void)score;
  return 0;
}
