// The footer of a Parquet file: where the chunks of its columns lie.
#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "archive/pages.h"
#include "archive/thrift.h"
#include "base/hash.h"

namespace tamis::archive {
namespace {

using Chunk = ParquetFile::Chunk;
using Kind = ThriftReader::Kind;

constexpr uint32_t kGroupRowsMax = 1u << 22;
constexpr int64_t kZstd = 6, kUncompressed = 0;
constexpr int32_t kBooleanType = 0, kInt64Type = 2, kDoubleType = 5, kByteArrayType = 6;
constexpr int64_t kOptional = 1, kRepeated = 2;

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

base::Status ParquetFile::parse(const Footer& footer) {
  std::vector<SchemaElement> elements;
  std::string_view hashes;
  ThriftReader thrift(footer.bytes);
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
  thrift.each_field([&](int32_t id, Kind kind) {
    if (id == 2) {
      thrift.each_item([&](Kind) { elements.push_back(read_element(thrift)); });
      return true;
    }
    if (id == 4) {
      thrift.each_item([&](Kind) { read_group(); });
      return true;
    }
    if (id == 5 && kind == ThriftReader::kList) return hashes = read_hashes(thrift), true;
    return false;
  });
  if (thrift.failed()) return base::fail(base::Code::kUnavailable, "a damaged footer");
  if (!columns_of(elements, columns_)) return base::fail(base::Code::kNotFound, "unknown kinds of columns");
  for (const RowGroup& group : groups_) {
    if (group.chunks.size() != columns_.size() || group.rows == UINT32_MAX)
      return base::fail(base::Code::kUnavailable, "a damaged footer");
    for (const Chunk& chunk : group.chunks) {
      const uint64_t end = kParquetMagic.size() + footer.body;
      if (chunk.bytes > end || chunk.offset > end - chunk.bytes)
        return base::fail(base::Code::kUnavailable, "a damaged footer");
    }
  }
  return hashes.empty() ? base::Status() : take_hashes(footer, hashes);
}

// Each chunk is one of the pieces.
base::Status ParquetFile::take_hashes(const Footer& footer, std::string_view text) {
  std::vector<Piece> pieces;
  if (!parse_pieces(text, footer.body, pieces))
    return base::fail(base::Code::kUnavailable, "hashes that are not of this file");
  uint64_t offset = kParquetMagic.size();
  parts_.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    parts_.push_back({offset, piece.bytes, piece.hash});
    offset += piece.bytes;
  }
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    for (size_t column = 0; column < columns_.size(); ++column) {
      Chunk& chunk = groups_[group].chunks[column];
      if (chunk.bytes == 0) continue;
      auto before = [](const Part& part, uint64_t at) { return part.offset < at; };
      const auto part = std::lower_bound(parts_.begin(), parts_.end(), chunk.offset, before);
      if (part == parts_.end() || part->offset != chunk.offset || part->bytes != chunk.bytes || part->column >= 0)
        return base::fail(base::Code::kUnavailable, "hashes that are not of its columns");
      part->column = static_cast<int32_t>(column);
      part->group = group;
      chunk.hash = part->hash;
    }
  }
  return {};
}

base::Result<std::vector<Piece>> ParquetFile::cut(const Footer& footer, const std::string& path) {
  ParquetFile file;
  std::vector<Piece> pieces;
  if (base::Status parsed = file.parse(footer); !parsed) {
    if (parsed.error().code != base::Code::kNotFound) return base::fail(parsed.error().code, path + ": damaged footer");
    // Columns that only DuckDB reads: a file of theirs is verified as a whole.
    if (footer.body > 0) pieces.push_back({footer.body, 0});
    return pieces;
  }
  std::map<uint64_t, uint64_t> chunks;  // bytes by offset
  for (const RowGroup& group : file.groups_) {
    for (const Chunk& chunk : group.chunks) {
      if (chunk.bytes > 0 && !chunks.emplace(chunk.offset, chunk.bytes).second)
        return base::fail(base::Code::kUnavailable, path + ": two columns at one place");
    }
  }
  uint64_t at = kParquetMagic.size();
  for (const auto& [offset, bytes] : chunks) {
    if (offset < at) return base::fail(base::Code::kUnavailable, path + ": columns that overlap");
    if (offset > at) pieces.push_back({offset - at, 0});
    pieces.push_back({bytes, 0});
    at = offset + bytes;
  }
  const uint64_t end = kParquetMagic.size() + footer.body;
  if (at < end) pieces.push_back({end - at, 0});
  return pieces;
}

std::string ParquetFile::name_of(const Part& part) const {
  if (part.column < 0) return fmt::format("bytes {} to {}", part.offset, part.offset + part.bytes);
  return fmt::format("column {}, row group {}", columns_[static_cast<size_t>(part.column)].name, part.group);
}

base::Result<std::shared_ptr<const ParquetFile>> ParquetFile::open(const std::string& path,
                                                                   std::optional<uint64_t> footer_hash) {
  const Descriptor descriptor(path, O_RDONLY);
  if (descriptor.get() < 0) return base::fail(base::Code::kUnavailable, fmt::format("{} cannot be opened", path));
  TAMIS_TRY(footer, read_footer(descriptor.get(), path));
  if (footer_hash && *footer_hash != footer.hash) return tl::unexpected<base::Error>(damaged_file(path, "its footer"));
  std::shared_ptr<ParquetFile> file(new ParquetFile);
  file->path_ = path;
  base::Status status = file->parse(footer);
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
  Descriptor descriptor(file->path_, O_RDONLY);
  if (descriptor.get() < 0)
    return base::fail(base::Code::kUnavailable, fmt::format("{} cannot be opened", file->path_));
  return Reader(std::move(file), std::move(descriptor));
}

base::Status ParquetFile::Reader::read(size_t group, int32_t column, uint32_t rows, PageColumn& out) {
  const RowGroup& of = file_->groups_[group];
  const Column& what = file_->columns_[static_cast<size_t>(column)];
  const Chunk& chunk = of.chunks[static_cast<size_t>(column)];
  if (!chunk.known || !what.known)
    return base::fail(base::Code::kNotFound, fmt::format("{}: an unknown kind of column {}", file_->path_, what.name));
  std::unique_ptr<char[]> bytes(new char[chunk.bytes]);
  TAMIS_CHECK(read_at(descriptor_.get(), file_->path_, chunk.offset, bytes.get(), chunk.bytes));
  if (chunk.hash && base::hash64(bytes.get(), chunk.bytes) != *chunk.hash) {
    return tl::unexpected<base::Error>(
        damaged_file(file_->path_, fmt::format("column {}, row group {}", what.name, group)));
  }
  base::Status status = decode_pages({bytes.get(), chunk.bytes}, what, chunk.zstd, of.rows, rows, out);
  if (!status)
    return base::fail(status.error().code, fmt::format("{}, {}: {}", file_->path_, what.name, status.error().message));
  return {};
}

}  // namespace tamis::archive
