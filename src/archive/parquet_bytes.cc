#include "archive/parquet_bytes.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"

namespace tamis::archive {
namespace {

constexpr size_t kTailBytes = 8;  // the length of the footer, and the magic
constexpr uint64_t kFooterBytesMax = 64u << 20;

}  // namespace

base::Status read_at(int fd, const std::string& path, uint64_t offset, char* to, size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected<base::Error>(base::system_error("read", path, errno));
    if (got == 0) return base::fail(base::Code::kUnavailable, path + " ends too early");
    to += got, offset += static_cast<uint64_t>(got), bytes -= static_cast<size_t>(got);
  }
  return {};
}

uint64_t Footer::file_bytes() const { return kParquetMagic.size() + body + bytes.size() + kTailBytes; }

base::Result<Footer> read_footer(int fd, const std::string& path) {
  struct stat info = {};
  if (fd < 0 || ::fstat(fd, &info) != 0) return tl::unexpected<base::Error>(base::system_error("read", path, errno));
  const auto bytes = static_cast<uint64_t>(info.st_size);
  const size_t least = kParquetMagic.size() + kTailBytes;
  char head[4] = {}, tail[kTailBytes] = {};
  if (bytes >= least) {
    TAMIS_CHECK(read_at(fd, path, 0, head, sizeof head));
    TAMIS_CHECK(read_at(fd, path, bytes - kTailBytes, tail, kTailBytes));
  }
  uint32_t length;
  std::memcpy(&length, tail, 4);
  if (std::string_view(head, 4) != kParquetMagic || std::string_view(tail + 4, 4) != kParquetMagic ||
      length > kFooterBytesMax || length > bytes - least)
    return base::fail(base::Code::kUnavailable, path + " is no whole Parquet file");
  Footer footer;
  footer.bytes.resize(length + kTailBytes);
  TAMIS_CHECK(read_at(fd, path, bytes - kTailBytes - length, footer.bytes.data(), footer.bytes.size()));
  footer.hash = base::hash64(footer.bytes);
  footer.bytes.resize(length);
  footer.body = bytes - least - length;
  return footer;
}

std::string footer_and_tail(std::string_view footer) {
  const auto length = static_cast<uint32_t>(footer.size());
  std::string out(footer);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out += kParquetMagic;
  return out;
}

}  // namespace tamis::archive
