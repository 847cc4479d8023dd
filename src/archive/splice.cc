#include "archive/splice.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "archive/hashes.h"
#include "archive/manifest.h"
#include "archive/pages.h"
#include "archive/parquet_bytes.h"
#include "archive/thrift.h"
#include "base/file.h"

namespace tamis::archive {
namespace {

using Kind = ThriftReader::Kind;

constexpr size_t kCopyBytes = 256u << 10;
constexpr int64_t kPlaceMax = int64_t{1} << 60;
constexpr uint64_t kGroupsMax = INT16_MAX;  // a group's number has 16 bits

base::Error unknown(std::string_view what) {
  return {base::Code::kNotFound, fmt::format("a footer with {} cannot be moved", what)};
}
base::Error damaged() { return {base::Code::kUnavailable, "a damaged footer"}; }

// Copies a struct field by field. special(id, kind) writes a field's value itself and gives true, or has it copied.
template <class Special>
void copy_struct(std::string_view bytes, ThriftReader& in, ThriftWriter& out, Special&& special) {
  out.begin();
  in.each_field([&](int32_t id, Kind kind) {
    out.field(id, kind);
    if (special(id, kind)) return true;
    const size_t from = in.at();
    in.skip(kind);
    out.raw(bytes.substr(from, in.at() - from));
    return true;
  });
  out.end();
}

// A row group, with its places moved.
class GroupCopy {
 public:
  GroupCopy(std::string_view bytes, ThriftReader& in, ThriftWriter& out, int64_t shift)
      : bytes_(bytes), in_(in), out_(out), shift_(shift) {}

  void group(uint64_t number) {
    copy_struct(bytes_, in_, out_, [&](int32_t id, Kind kind) {
      if (id == 1) return expect(kind == ThriftReader::kList), columns(), true;
      if (id == 3) return expect(is_number(kind)), out_.integer(rows_ = in_.integer()), true;
      if (id == 5) return moved(kind), true;
      if (id != 7) return false;
      expect(is_number(kind));
      in_.integer();
      out_.integer(static_cast<int64_t>(number));
      return true;
    });
  }
  int64_t rows() const { return rows_; }
  bool strange() const { return strange_; }

 private:
  static bool is_number(Kind kind) { return kind >= ThriftReader::kI16 && kind <= ThriftReader::kI64; }
  void expect(bool holds) { strange_ = strange_ || !holds; }

  void columns() {
    uint8_t item = 0;
    uint64_t left = in_.list_size(item);
    expect(item == ThriftReader::kStruct);
    out_.list(ThriftReader::kStruct, left);
    for (; left > 0 && !in_.failed(); --left) column();
  }
  void column() {
    copy_struct(bytes_, in_, out_, [&](int32_t id, Kind kind) {
      expect(id > 1 && id <= 7);  // another file, or encrypted
      if (id == 3) return expect(kind == ThriftReader::kStruct), metadata(), true;
      // Where the chunk begins, its index of places, its index of bounds.
      return (id == 2 || id == 4 || id == 6) && (moved(kind), true);
    });
  }
  void metadata() {
    copy_struct(bytes_, in_, out_, [&](int32_t id, Kind kind) {
      expect(id <= 17);
      // Of its pages of data, its index, its dictionary, its Bloom filter.
      return (id == 9 || id == 10 || id == 11 || id == 14) && (moved(kind), true);
    });
  }
  // Zero stands for none.
  void moved(Kind kind) {
    expect(is_number(kind));
    const int64_t place = in_.integer();
    expect(place <= kPlaceMax);
    out_.integer(place > 0 && !strange_ ? place + shift_ : place);
  }

  std::string_view bytes_;
  ThriftReader& in_;
  ThriftWriter& out_;
  int64_t shift_, rows_ = 0;
  bool strange_ = false;
};

// Writes one behind the other.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path), file_(path, O_WRONLY | O_CREAT | O_EXCL) {
    if (file_.get() < 0) status_ = tl::unexpected<base::Error>(base::system_error("write", path, errno));
  }
  const base::Status& status() const { return status_; }

  void write(std::string_view text) {
    while (status_ && !text.empty()) {
      const ssize_t put = ::write(file_.get(), text.data(), text.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) {
        status_ = tl::unexpected<base::Error>(base::system_error("write", path_, errno));
        return;
      }
      text.remove_prefix(static_cast<size_t>(put));
    }
  }

 private:
  const std::string& path_;
  Descriptor file_;
  base::Status status_;
};

// One file to be spliced.
struct Input {
  Input(const SplicePart& of) : part(of), file(of.path, O_RDONLY) {}

  const SplicePart& part;
  Descriptor file;
  Footer footer;
  std::vector<Piece> pieces;  // with hashes where the file has them
  bool hashed = false;
};

base::Status read_input(Input& input) {
  const std::string& path = input.part.path;
  TAMIS_TRY(footer, read_footer(input.file.get(), path));
  if (input.part.footer_hash && *input.part.footer_hash != footer.hash)
    return tl::unexpected<base::Error>(damaged_file(path, "its footer"));
  input.footer = std::move(footer);
  return {};
}

// Where its hashes are, or where they are to be.
base::Status cut_input(Input& input, const FooterParts& parts) {
  input.hashed = !parts.hashes.empty();
  if (input.hashed) {
    if (!parse_pieces(parts.hashes, input.footer.body, input.pieces)) return tl::unexpected<base::Error>(damaged());
    return {};
  }
  TAMIS_TRY(cut, ParquetFile::cut(input.footer, input.part.path));
  input.pieces = std::move(cut);
  return {};
}

base::Status copy_body(Input& input, Output& out) {
  const std::unique_ptr<char[]> buffer(new char[kCopyBytes]);
  BodyHash hash(input.pieces);
  for (uint64_t at = 0; at < input.footer.body && out.status();) {
    const size_t piece = std::min<uint64_t>(kCopyBytes, input.footer.body - at);
    TAMIS_CHECK(read_at(input.file.get(), input.part.path, kParquetMagic.size() + at, buffer.get(), piece));
    hash.add({buffer.get(), piece});
    out.write({buffer.get(), piece});
    at += piece;
  }
  TAMIS_CHECK(out.status());
  if (input.hashed && hash.pieces() != input.pieces)
    return tl::unexpected<base::Error>(damaged_file(input.part.path, ""));
  input.pieces = hash.pieces();
  return {};
}

base::Result<uint64_t> splice(const std::vector<SplicePart>& files, const std::string& to, Output& out,
                              uint64_t group_rows_least) {
  std::vector<Input> inputs;
  std::vector<FooterParts> parts;
  uint64_t groups = 0, place = 0, rows = 0;
  inputs.reserve(files.size());
  for (const SplicePart& file : files) {
    Input& input = inputs.emplace_back(file);
    TAMIS_CHECK(read_input(input));
    TAMIS_TRY(part, read_footer_parts(input.footer.bytes, static_cast<int64_t>(place), groups));
    parts.push_back(std::move(part));
    if (parts.back().schema != parts.front().schema) return tl::unexpected<base::Error>(unknown("another schema"));
    TAMIS_CHECK(cut_input(input, parts.back()));
    groups += parts.back().group_count;
    place += input.footer.body;
    rows += parts.back().rows;
  }
  if (groups == 0 || groups > kGroupsMax || rows < group_rows_least * groups)
    return tl::unexpected<base::Error>(unknown("so many small row groups"));
  out.write(kParquetMagic);
  std::string hashes;
  for (Input& input : inputs) {
    TAMIS_CHECK(copy_body(input, out));
    hashes += to_text(input.pieces);
  }
  TAMIS_TRY(footer, joined_footer(inputs.front().footer.bytes, parts, hashes));
  out.write(footer_and_tail(footer));
  TAMIS_CHECK(out.status());
  // What reads it is to understand it.
  TAMIS_TRY(made, ParquetFile::open(to));
  uint64_t found = 0;
  for (const ParquetFile::RowGroup& group : made->groups()) found += group.rows;
  if (found != rows) return tl::unexpected<base::Error>(damaged());
  TAMIS_CHECK(sync_path(to));
  return rows;
}

}  // namespace

base::Result<FooterParts> read_footer_parts(std::string_view footer, int64_t shift, uint64_t first_group) {
  FooterParts parts;
  ThriftReader in(footer);
  ThriftWriter groups;
  int64_t rows = 0, told = -1;
  bool strange = false;
  auto read_groups = [&] {
    uint8_t item = 0;
    parts.group_count = in.list_size(item);
    strange = strange || item != ThriftReader::kStruct;
    for (uint64_t i = 0; i < parts.group_count && !in.failed(); ++i) {
      GroupCopy copy(footer, in, groups, shift);
      copy.group(first_group + i);
      strange = strange || copy.strange();
      if (copy.rows() < 0 || __builtin_add_overflow(rows, copy.rows(), &rows)) return false;
    }
    return true;
  };
  bool whole = true;
  int32_t before = 0;
  in.each_field([&](int32_t id, Kind kind) {
    whole = whole && id > before;
    before = id;
    strange = strange || id > 7;  // encrypted
    strange =
        strange || ((id == 2 || id == 4) && kind != ThriftReader::kList) || (id == 3 && kind != ThriftReader::kI64);
    if (id == 2) {
      const size_t from = in.at();
      in.skip(kind);
      parts.schema = footer.substr(from, in.at() - from);
      return true;
    }
    if (id == 3) return told = in.integer(), true;
    if (id == 4) return whole = whole && read_groups(), true;
    if (id == 5 && kind == ThriftReader::kList) return parts.hashes = read_hashes(in), true;
    return false;
  });
  if (in.failed() || !whole || told != rows) return tl::unexpected<base::Error>(damaged());
  if (strange) return tl::unexpected<base::Error>(unknown("parts of another kind"));
  parts.rows = static_cast<uint64_t>(rows);
  parts.groups = groups.take();
  return parts;
}

base::Result<std::string> joined_footer(std::string_view footer, const std::vector<FooterParts>& parts,
                                        std::string_view hashes) {
  uint64_t rows = 0, groups = 0;
  for (const FooterParts& part : parts) rows += part.rows, groups += part.group_count;
  ThriftReader in(footer);
  ThriftWriter out;
  copy_struct(footer, in, out, [&](int32_t id, Kind kind) {
    if (id == 3) return in.skip(kind), out.integer(static_cast<int64_t>(rows)), true;
    if (id != 4) return false;
    in.skip(kind);
    out.list(ThriftReader::kStruct, groups);
    for (const FooterParts& part : parts) out.raw(part.groups);
    return true;
  });
  if (in.failed()) return tl::unexpected<base::Error>(damaged());
  return with_hashes(out.take(), hashes);
}

base::Result<uint64_t> splice_files(const std::vector<SplicePart>& files, const std::string& to,
                                    uint64_t group_rows_least) {
  Output out(to);
  if (!out.status()) return tl::unexpected<base::Error>(out.status().error());
  auto rows = splice(files, to, out, group_rows_least);
  if (!rows) ::unlink(to.c_str());
  return rows;
}

}  // namespace tamis::archive
