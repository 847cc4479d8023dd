// Foreign bytes as a message: always a feature set.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "model/plain_features.h"

using namespace tamis;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static model::FeatureCollector collector;
  model::find_plain_features({reinterpret_cast<const char*>(data), size}, collector);
  TAMIS_ASSERT(model::is_feature_set(collector.finish()));
  return 0;
}
