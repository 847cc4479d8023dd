#include "archive/hashes.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "archive/pages.h"
#include "archive/parquet_bytes.h"
#include "base/file.h"

namespace tamis::archive {
namespace {

using Kind = ThriftReader::Kind;

constexpr int32_t kKeysAndValues = 5;  // a field of a footer
constexpr size_t kReadBytes = 256u << 10;
constexpr size_t kHashDigits = 16;

struct KeyValue {
  std::string_view key, value;
};

KeyValue read_key_value(ThriftReader& in) {
  KeyValue out;
  in.each_field([&](int32_t id, Kind kind) {
    if (kind != ThriftReader::kBinary) return false;
    if (id == 1) return out.key = in.binary(), true;
    if (id == 2) return out.value = in.binary(), true;
    return false;
  });
  return out;
}

// The field of keys and values: others as they were, then ours.
void write_keys(std::string_view others, uint64_t count, std::string_view text, ThriftWriter& out) {
  if (count == 0 && text.empty()) return;
  out.field(kKeysAndValues, ThriftReader::kList);
  out.list(ThriftReader::kStruct, count + (text.empty() ? 0 : 1));
  out.raw(others);
  if (text.empty()) return;
  out.begin();
  out.field(1, ThriftReader::kBinary);
  out.binary(kHashesKey);
  out.field(2, ThriftReader::kBinary);
  out.binary(text);
  out.end();
}

}  // namespace

std::string to_text(const std::vector<Piece>& pieces) {
  std::string text;
  for (const Piece& piece : pieces) text += fmt::format("{} {:016x}\n", piece.bytes, piece.hash);
  return text;
}

bool parse_pieces(std::string_view text, uint64_t body, std::vector<Piece>& pieces) {
  pieces.clear();
  uint64_t sum = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    const char *from = text.data(), *to = from + end;
    Piece piece;
    const auto bytes = std::from_chars(from, to, piece.bytes);
    if (bytes.ec != std::errc() || piece.bytes == 0 || piece.bytes > body - sum) return false;
    if (to - bytes.ptr != 1 + kHashDigits || *bytes.ptr != ' ') return false;
    const auto hash = std::from_chars(bytes.ptr + 1, to, piece.hash, 16);
    if (hash.ec != std::errc() || hash.ptr != to) return false;
    sum += piece.bytes;
    pieces.push_back(piece);
    text.remove_prefix(end + 1);
  }
  return sum == body;
}

std::string_view read_hashes(ThriftReader& in) {
  std::string_view found;
  in.each_item([&](Kind kind) {
    if (kind != ThriftReader::kStruct) return in.skip(kind);
    const KeyValue one = read_key_value(in);
    if (one.key == kHashesKey) found = one.value;
  });
  return found;
}

base::Result<std::string> with_hashes(std::string_view footer, std::string_view text) {
  ThriftReader in(footer);
  ThriftWriter out;
  bool written = false, good = true;
  auto write = [&](std::string_view others, uint64_t count) {
    write_keys(others, count, text, out);
    written = true;
  };
  out.begin();
  in.each_field([&](int32_t id, Kind kind) {
    if (id == kKeysAndValues && kind == ThriftReader::kList && !written) {
      std::string others;
      uint64_t count = 0;
      in.each_item([&](Kind item) {
        const size_t from = in.at();
        good = good && item == ThriftReader::kStruct;
        if (!good) return in.skip(item);
        if (read_key_value(in).key == kHashesKey) return;
        others += footer.substr(from, in.at() - from);
        ++count;
      });
      write(others, count);
      return true;
    }
    if (id > kKeysAndValues && !written) write({}, 0);
    good = good && id != kKeysAndValues;
    const size_t from = in.at();
    in.skip(kind);
    out.field(id, kind);
    out.raw(footer.substr(from, in.at() - from));
    return true;
  });
  if (!written) write({}, 0);
  out.end();
  if (in.failed() || !good) return base::fail(base::Code::kUnavailable, "a damaged footer");
  return out.take();
}

void BodyHash::add(std::string_view bytes) {
  while (!bytes.empty() && done_.size() < cut_.size()) {
    const uint64_t whole = cut_[done_.size()].bytes;
    const std::string_view part = bytes.substr(0, std::min<uint64_t>(whole - in_piece_, bytes.size()));
    hash_.add(part);
    in_piece_ += part.size();
    bytes.remove_prefix(part.size());
    if (in_piece_ < whole) return;
    done_.push_back({whole, hash_.finish()});
    in_piece_ = 0;
  }
}

base::Result<uint64_t> hash_at(int fd, const std::string& path, uint64_t offset, uint64_t bytes) {
  const std::unique_ptr<char[]> buffer(new char[std::min<uint64_t>(bytes, kReadBytes)]);
  base::HashStream hash;
  while (bytes > 0) {
    const size_t part = std::min<uint64_t>(bytes, kReadBytes);
    TAMIS_CHECK(read_at(fd, path, offset, buffer.get(), part));
    hash.add({buffer.get(), part});
    offset += part, bytes -= part;
  }
  return hash.finish();
}

base::Status add_hashes(const std::string& path) {
  const Descriptor file(path, O_RDWR);
  TAMIS_TRY(footer, read_footer(file.get(), path));
  TAMIS_TRY(pieces, ParquetFile::cut(footer, path));
  uint64_t at = kParquetMagic.size();
  for (Piece& piece : pieces) {
    TAMIS_TRY(hash, hash_at(file.get(), path, at, piece.bytes));
    piece.hash = hash;
    at += piece.bytes;
  }
  TAMIS_TRY(with, with_hashes(footer.bytes, to_text(pieces)));
  // A file only becomes longer by it, so what is cut off half-way has no end, and is told.
  const std::string end = footer_and_tail(with);
  for (std::string_view left = end; !left.empty();) {
    const ssize_t put = ::pwrite(file.get(), left.data(), left.size(), static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return tl::unexpected<base::Error>(base::system_error("write", path, errno));
    left.remove_prefix(static_cast<size_t>(put));
    at += static_cast<uint64_t>(put);
  }
  return {};
}

base::Error damaged_file(std::string_view path, std::string_view where) {
  return {base::Code::kUnavailable,
          fmt::format("{} is damaged{}{}: its bytes are not those that were written. Put a copy of the file in its "
                      "place, from a backup; `tamis verify` tells of all that is damaged",
                      path, where.empty() ? "" : " in ", where)};
}

}  // namespace tamis::archive
