// Parquet files of foreign bytes: a whole file, or (first byte odd) the pages of one column, whose kind the second byte
// says. Whatever comes out must be readable to its last row.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "archive/pages.h"
#include "base/assert.h"

namespace tamis::archive {
namespace {

constexpr uint32_t kRowsMax = 5'000;
constexpr int32_t kPhysicals[] = {0, 2, 5, 6};  // booleans, whole numbers, doubles, texts

uint64_t read_all(const PageColumn& page) {
  uint64_t seen = 0;
  if (page.kind == PageColumn::Kind::kNothing) return seen;
  uint32_t from = 0;
  for (uint32_t row = 0; row < page.rows; ++row) {
    const uint32_t until = page.lists ? page.ends[row] : row + 1;
    TAMIS_ASSERT(from <= until);
    for (uint32_t at = from; at < until; ++at) {
      if (!page.lists && page.is_null(row)) continue;
      switch (page.kind) {
        case PageColumn::Kind::kBools:
          seen += page.bools[at];
          break;
        case PageColumn::Kind::kNumbers:
          seen += static_cast<uint64_t>(page.numbers[at]) & 1;
          break;
        default:
          for (char c : page.text(at)) seen += static_cast<unsigned char>(c);
      }
    }
    from = until;
  }
  return seen;
}

void pages(std::string_view bytes) {
  if (bytes.empty()) return;
  const auto kind = static_cast<uint8_t>(bytes[0]);
  ParquetFile::Column column;
  column.name = "c";
  column.physical = kPhysicals[kind & 3];
  column.known = true;
  column.list = (kind & 4) != 0 && column.physical == 6;
  PageColumn page;
  const uint32_t rows_all = 1 + (kind >> 4) * 100u;
  if (decode_pages(bytes.substr(1), column, (kind & 8) != 0, rows_all, rows_all, page)) (void)read_all(page);
}

void whole(std::string_view bytes) {
  const int fd = ::memfd_create("pages_fuzz", MFD_CLOEXEC);
  TAMIS_ASSERT(fd >= 0 && ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  auto file = ParquetFile::open("/proc/self/fd/" + std::to_string(fd));
  if (file) {
    auto reader = ParquetFile::Reader::open(*file);
    PageColumn page;
    for (size_t group = 0; reader && group < std::min<size_t>((*file)->groups().size(), 4); ++group) {
      for (size_t column = 0; column < std::min<size_t>((*file)->columns().size(), 16); ++column) {
        if (reader->read(group, static_cast<int32_t>(column), kRowsMax, page)) (void)read_all(page);
      }
    }
  }
  ::close(fd);
}

}  // namespace
}  // namespace tamis::archive

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  (data[0] & 1) != 0 ? tamis::archive::pages(rest) : tamis::archive::whole(rest);
  return 0;
}
