// The footer of a Parquet file: where the chunks of its columns lie.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "archive/pages.h"
#include "archive/thrift.h"

namespace tamis::archive {
namespace {

using Chunk = ParquetFile::Chunk;
using Kind = ThriftReader::Kind;

constexpr size_t kTailBytes = 8;  // the length of the footer, and PAR1
constexpr uint64_t kFooterBytesMax = 64u << 20;
constexpr uint32_t kGroupRowsMax = 1u << 22;
constexpr int64_t kZstd = 6, kUncompressed = 0;
constexpr int32_t kBooleanType = 0, kInt64Type = 2, kDoubleType = 5, kByteArrayType = 6;
constexpr int64_t kOptional = 1, kRepeated = 2;

base::Status read_at(int fd, uint64_t offset, size_t bytes, char* to) {
  while (bytes > 0) {
    const ssize_t got = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return base::fail(base::Code::kUnavailable, "a file of the archive ends too early");
    to += got, offset += static_cast<uint64_t>(got), bytes -= static_cast<size_t>(got);
  }
  return {};
}

struct SchemaElement {
  std::string name;
  int64_t physical = -1, repetition = -1, children = 0;
};

SchemaElement read_element(ThriftReader& thrift) {
  SchemaElement element;
  thrift.each_field([&](int32_t id, Kind) {
    if (id == 1) return element.physical = thrift.integer(), true;
    if (id == 3) return element.repetition = thrift.integer(), true;
    if (id == 4) return element.name = thrift.binary(), true;
    if (id == 5) return element.children = thrift.integer(), true;
    return false;
  });
  return element;
}

void read_bounds(ThriftReader& thrift, Chunk& chunk) {
  std::string_view least, most;
  thrift.each_field([&](int32_t id, Kind) {
    if (id == 5) return most = thrift.binary(), true;
    if (id == 6) return least = thrift.binary(), true;
    return false;
  });
  if (least.size() != 8 || most.size() != 8) return;
  chunk.has_bounds = true;
  std::memcpy(&chunk.least, least.data(), 8);
  std::memcpy(&chunk.most, most.data(), 8);
}

Chunk read_chunk(ThriftReader& thrift) {
  Chunk chunk;
  int64_t codec = -1, values = -1, bytes = -1, data = -1, dictionary = -1;
  bool elsewhere = false;
  auto metadata = [&](int32_t id, Kind) {
    if (id == 4) return codec = thrift.integer(), true;
    if (id == 5) return values = thrift.integer(), true;
    if (id == 7) return bytes = thrift.integer(), true;
    if (id == 9) return data = thrift.integer(), true;
    if (id == 11) return dictionary = thrift.integer(), true;
    if (id == 12) return read_bounds(thrift, chunk), true;
    return false;
  };
  thrift.each_field([&](int32_t id, Kind) {
    if (id == 1) elsewhere = true;
    if (id != 3) return false;
    thrift.each_field(metadata);
    return true;
  });
  chunk.known = !elsewhere && (codec == kZstd || codec == kUncompressed) && values >= 0 && bytes >= 0 && data >= 0;
  chunk.zstd = codec == kZstd;
  chunk.values = static_cast<uint64_t>(std::max<int64_t>(values, 0));
  chunk.bytes = static_cast<uint64_t>(std::max<int64_t>(bytes, 0));
  chunk.offset = static_cast<uint64_t>(dictionary > 0 && dictionary < data ? dictionary : std::max<int64_t>(data, 0));
  return chunk;
}

bool is_known(int64_t physical) {
  return physical == kBooleanType || physical == kInt64Type || physical == kDoubleType || physical == kByteArrayType;
}

// The columns below the root; false: the elements do not make sense.
bool columns_of(const std::vector<SchemaElement>& elements, std::vector<ParquetFile::Column>& columns) {
  for (size_t at = 1; at < elements.size();) {
    const SchemaElement& element = elements[at];
    ParquetFile::Column column;
    column.name = element.name;
    if (element.children == 0) {
      column.physical = static_cast<int32_t>(element.physical);
      column.known = element.repetition == kOptional && is_known(element.physical);
      ++at;
    } else {
      // A group, a repeated group, an item.
      if (element.children != 1 || at + 2 >= elements.size() || elements[at + 1].children != 1 ||
          elements[at + 2].children != 0)
        return false;
      column.list = true;
      column.physical = static_cast<int32_t>(elements[at + 2].physical);
      column.known = element.repetition == kOptional && elements[at + 1].repetition == kRepeated &&
                     elements[at + 2].repetition == kOptional && column.physical == kByteArrayType;
      at += 3;
    }
    columns.push_back(std::move(column));
  }
  return !elements.empty();
}

}  // namespace

base::Status ParquetFile::parse(std::string_view footer) {
  std::vector<SchemaElement> elements;
  ThriftReader thrift(footer);
  auto read_group = [&] {
    RowGroup group;
    int64_t rows = -1;
    thrift.each_field([&](int32_t id, Kind) {
      if (id == 1) {
        thrift.each_item([&](Kind) { group.chunks.push_back(read_chunk(thrift)); });
        return true;
      }
      if (id == 3) return rows = thrift.integer(), true;
      return false;
    });
    group.rows = rows < 0 || rows > kGroupRowsMax ? UINT32_MAX : static_cast<uint32_t>(rows);
    groups_.push_back(std::move(group));
  };
  thrift.each_field([&](int32_t id, Kind) {
    if (id == 2) {
      thrift.each_item([&](Kind) { elements.push_back(read_element(thrift)); });
      return true;
    }
    if (id == 4) {
      thrift.each_item([&](Kind) { read_group(); });
      return true;
    }
    return false;
  });
  if (thrift.failed()) return base::fail(base::Code::kUnavailable, "a damaged footer");
  if (!columns_of(elements, columns_)) return base::fail(base::Code::kNotFound, "unknown kinds of columns");
  for (const RowGroup& group : groups_) {
    if (group.chunks.size() != columns_.size() || group.rows == UINT32_MAX)
      return base::fail(base::Code::kUnavailable, "a damaged footer");
    for (const Chunk& chunk : group.chunks) {
      if (chunk.bytes > bytes_ || chunk.offset > bytes_ - chunk.bytes)
        return base::fail(base::Code::kUnavailable, "a damaged footer");
    }
  }
  return {};
}

base::Result<std::shared_ptr<const ParquetFile>> ParquetFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::fail(base::Code::kUnavailable, fmt::format("{} cannot be opened", path));
  std::shared_ptr<ParquetFile> file(new ParquetFile);
  file->path_ = path;
  auto read = [&]() -> base::Status {
    struct stat info = {};
    if (::fstat(fd, &info) != 0 || info.st_size < static_cast<off_t>(kTailBytes + 4))
      return base::fail(base::Code::kUnavailable, "too short");
    file->bytes_ = static_cast<uint64_t>(info.st_size);
    char tail[kTailBytes];
    TAMIS_CHECK(read_at(fd, file->bytes_ - kTailBytes, kTailBytes, tail));
    uint32_t length;
    std::memcpy(&length, tail, 4);
    if (std::memcmp(tail + 4, "PAR1", 4) != 0 || length > kFooterBytesMax || length + kTailBytes > file->bytes_)
      return base::fail(base::Code::kUnavailable, "no Parquet file");
    std::string footer(length, '\0');
    TAMIS_CHECK(read_at(fd, file->bytes_ - kTailBytes - length, length, footer.data()));
    return file->parse(footer);
  };
  base::Status status = read();
  ::close(fd);
  if (!status) return base::fail(status.error().code, path + ": " + status.error().message);
  return std::shared_ptr<const ParquetFile>(std::move(file));
}

int32_t ParquetFile::column(std::string_view name) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return static_cast<int32_t>(i);
  }
  return -1;
}

base::Result<ParquetFile::Reader> ParquetFile::Reader::open(std::shared_ptr<const ParquetFile> file) {
  Reader reader;
  reader.fd_ = ::open(file->path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader.fd_ < 0) return base::fail(base::Code::kUnavailable, fmt::format("{} cannot be opened", file->path_));
  reader.file_ = std::move(file);
  return reader;
}

ParquetFile::Reader::~Reader() {
  if (fd_ >= 0) ::close(fd_);
}

base::Status ParquetFile::Reader::read(size_t group, int32_t column, uint32_t rows, PageColumn& out) {
  const RowGroup& of = file_->groups_[group];
  const Column& what = file_->columns_[static_cast<size_t>(column)];
  const Chunk& chunk = of.chunks[static_cast<size_t>(column)];
  if (!chunk.known || !what.known)
    return base::fail(base::Code::kNotFound, fmt::format("{}: an unknown kind of column {}", file_->path_, what.name));
  std::unique_ptr<char[]> bytes(new char[chunk.bytes]);
  base::Status status = read_at(fd_, chunk.offset, chunk.bytes, bytes.get());
  if (status) status = decode_pages({bytes.get(), chunk.bytes}, what, chunk.zstd, of.rows, rows, out);
  if (!status)
    return base::fail(status.error().code, fmt::format("{}, {}: {}", file_->path_, what.name, status.error().message));
  return {};
}

}  // namespace tamis::archive
