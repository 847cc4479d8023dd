// Foreign bytes as a spam model. What follows the magic is fuzzed with a right checksum, so that damage goes deep; what
// loads must score, learn and survive being saved and loaded again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "base/hash.h"
#include "model/spam_model.h"

using namespace tamis;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes("TAMISPAM");
  bytes.append(reinterpret_cast<const char*>(data), size);
  // Large tables are slow to clear and teach nothing more.
  if (bytes.size() > 24 && bytes[12] == 0 && bytes[13] == 0) {
    bytes[16] = static_cast<char>(std::min<uint8_t>(static_cast<uint8_t>(bytes[16]), 12));
    bytes[21] = static_cast<char>(static_cast<uint8_t>(bytes[21]) & 3);
    bytes[22] = bytes[23] = 0;
  } else if (bytes.size() > 12) {
    return 0;
  }
  const uint64_t sum = base::hash64(bytes);
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  auto loaded = model::SpamModel::load(bytes);
  if (!loaded) return 0;
  const model::FeatureId features[] = {1, 2, 0x10000003, 0x30000007, 0x30000009, 0x50000001, 0x60000001};
  model::SpamModel::Scratch scratch;
  (void)loaded->model.score(features, scratch);
  TAMIS_ASSERT(loaded->model.learn(1, features, true).has_value());
  TAMIS_ASSERT(loaded->model.learn(1, features, false).has_value());
  (void)loaded->model.forget(1);
  return 0;
}
