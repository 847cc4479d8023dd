// Footers of foreign bytes, moved: whatever is taken is read again as the same rows in as many row groups.
#include <cstddef>
#include <cstdint>

#include "archive/splice.h"
#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tamis::archive;
  if (size < 2) return 0;
  const std::string_view footer(reinterpret_cast<const char*>(data + 2), size - 2);
  const int64_t shift = static_cast<int64_t>(data[0]) << 24;
  const uint64_t first = data[1];
  auto parts = read_footer_parts(footer, shift, first);
  if (!parts) return 0;
  const uint64_t rows = parts->rows, groups = parts->group_count;
  const std::string schema(parts->schema);
  const auto made = joined_footer(footer, {*parts}, "1 0123456789abcdef\n");
  if (!made) return 0;  // nested too deeply
  auto again = read_footer_parts(*made, 0, first);
  TAMIS_ASSERT(again && again->hashes == "1 0123456789abcdef\n");
  TAMIS_ASSERT(again->rows == rows && again->group_count == groups && again->schema == schema);
  TAMIS_ASSERT(again->groups == parts->groups);
  if (rows > INT64_MAX / 2) return 0;
  const auto twice = joined_footer(*made, {*again, *again}, "");
  TAMIS_ASSERT(twice);
  auto both = read_footer_parts(*twice, 0, first);
  TAMIS_ASSERT(both && both->hashes.empty() && both->group_count == 2 * groups && both->rows == 2 * rows);
  return 0;
}
