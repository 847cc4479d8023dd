#include "replay/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/arena.h"
#include "base/file.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::replay {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "tamis snapshot 1";
constexpr std::string_view kSuffix = ".snapshot";
constexpr std::string_view kFilled = ".filled";
constexpr std::string_view kUnfinished = ".unfinished";
constexpr size_t kHeadBytesMax = 4096;
constexpr uint32_t kFrameBytesMax = 1u << 30;  // of a piece, compressed; a piece is far smaller
constexpr uint64_t kPieceBytesMax = 2ull << 30;
constexpr int kLevel = 1;

std::string folder_of(const std::string& data) { return data + "/snapshots"; }

std::string path_of(const std::string& data, uint64_t record) {
  char name[17];
  std::snprintf(name, sizeof name, "%016llu", static_cast<unsigned long long>(record));
  return folder_of(data) + "/" + name + std::string(kSuffix);
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && std::string_view(text).substr(text.size() - end.size()) == end;
}

base::Status sync_folder(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(base::system_error("open", path, errno));
  int failed = ::fsync(fd);
  int why = errno;
  ::close(fd);
  if (failed != 0) return tl::unexpected(base::system_error("sync", path, why));
  return {};
}

base::Result<SnapshotHead> read_head(std::string_view line) {
  base::Arena arena;
  TAMIS_TRY(value, event::JsonReader::to_value(line, arena));
  if (!value.is(event::Kind::kMap)) return base::invalid("expected a JSON object");
  auto text = [&](std::string_view key) {
    const event::Value* v = event::map_find(*value.map, event::Value::string(key));
    return v != nullptr && v->is(event::Kind::kString) ? std::string(v->str()) : std::string();
  };
  if (text("format") != kFormat) return base::invalid("not a snapshot of this version");
  SnapshotHead head;
  const event::Value* record = event::map_find(*value.map, event::Value::string("record"));
  if (record == nullptr || !record->is(event::Kind::kInt) || record->i < 0) return base::invalid("no record number");
  head.record = static_cast<uint64_t>(record->i);
  head.policy = text("policy");
  head.intel = text("intel");
  const event::Value* forgotten = event::map_find(*value.map, event::Value::string("forgotten"));
  head.span_ms = -1;
  if (forgotten != nullptr && forgotten->is(event::Kind::kMap)) {
    auto number = [&](std::string_view key, int64_t otherwise) {
      const event::Value* v = event::map_find(*forgotten->map, event::Value::string(key));
      return v != nullptr && v->is(event::Kind::kInt) ? v->i : otherwise;
    };
    head.forgotten = {number("before", 0), number("at", 0)};
    head.span_ms = number("span", -1);
  }
  return head;
}

std::vector<SnapshotFile> list_files(const std::string& data, std::string_view suffix) {
  std::vector<SnapshotFile> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_of(data), error)) {
    std::string name = entry.path().filename().string();
    if (!ends_with(name, suffix)) continue;
    SnapshotFile file;
    file.path = entry.path().string();
    auto [end, bad] = std::from_chars(name.data(), name.data() + name.size() - suffix.size(), file.record);
    struct stat status = {};
    if (::stat(file.path.c_str(), &status) == 0) file.taken_ms = int64_t{status.st_mtim.tv_sec} * 1000;
    if (bad == std::errc() && end == name.data() + name.size() - suffix.size()) files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.record > b.record; });
  return files;
}

}  // namespace

int64_t SnapshotHead::private_since_ms() const {
  if (span_ms < 0) return INT64_MIN;
  if (span_ms == 0) return INT64_MAX;
  return std::max(forgotten.before_ms, forgotten.at_ms - span_ms);
}

base::Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::create(const std::string& data,
                                                                     const SnapshotHead& head) {
  TAMIS_CHECK(base::make_folders(folder_of(data)));
  return create_as(path_of(data, head.record), head);
}

base::Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::create_as(const std::string& path,
                                                                        const SnapshotHead& head) {
  std::string line;
  event::JsonWriter json(line);
  json.begin_object().key("format").string(kFormat).key("record").uinteger(head.record);
  json.key("policy").string(head.policy).key("intel").string(head.intel);
  json.key("forgotten").begin_object().key("before").integer(head.forgotten.before_ms);
  json.key("at").integer(head.forgotten.at_ms).key("span").integer(head.span_ms).end_object().end_object();
  return create_at(path, line);
}

base::Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::create_at(const std::string& path,
                                                                        std::string_view first_line) {
  if (first_line.size() >= kHeadBytesMax) return base::invalid(path + ": its first line is too long");
  std::string temporary = path + std::string(kUnfinished);
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return tl::unexpected(base::system_error("write", temporary, errno));
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(path, fd));
  TAMIS_CHECK(writer->write(std::string(first_line) + "\n"));
  return writer;
}

SnapshotWriter::~SnapshotWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!finished_) ::unlink((path_ + std::string(kUnfinished)).c_str());
}

base::Status SnapshotWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tl::unexpected(base::system_error("write", path_, errno));
    bytes.remove_prefix(static_cast<size_t>(n));
    written_ += static_cast<uint64_t>(n);
  }
  return {};
}

SnapshotWriter::SnapshotWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd), compressor_(kLevel) {}

base::Status SnapshotWriter::piece(std::string_view bytes) {
  frame_.assign(4, '\0');
  TAMIS_CHECK(compressor_.frame(bytes, frame_));
  auto length = static_cast<uint32_t>(frame_.size() - 4);
  for (int i = 0; i < 4; ++i) frame_[static_cast<size_t>(i)] = static_cast<char>(length >> (8 * i));
  return write(frame_);
}

base::Status SnapshotWriter::finish() {
  TAMIS_CHECK(write(std::string_view("\0\0\0\0", 4)));
  if (::fsync(fd_) != 0) return tl::unexpected(base::system_error("sync", path_, errno));
  int failed = ::close(fd_);
  fd_ = -1;
  if (failed != 0) return tl::unexpected(base::system_error("write", path_, errno));
  if (std::rename((path_ + std::string(kUnfinished)).c_str(), path_.c_str()) != 0) {
    return tl::unexpected(base::system_error("rename", path_, errno));
  }
  finished_ = true;
  const std::string folder = fs::path(path_).parent_path().string();
  return sync_folder(folder.empty() ? "." : folder);
}

base::Result<std::unique_ptr<SnapshotReader>> SnapshotReader::open(const std::string& path) {
  std::string line;
  TAMIS_TRY(reader, open_at(path, line));
  auto head = read_head(line);
  if (!head) return base::invalid(path + ": " + head.error().message);
  reader->head_ = std::move(*head);
  return reader;
}

base::Result<std::unique_ptr<SnapshotReader>> SnapshotReader::open_at(const std::string& path,
                                                                      std::string& first_line) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(base::system_error("read", path, errno));
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader(path, fd));
  first_line.clear();
  char c = 0;
  while (first_line.size() < kHeadBytesMax) {
    TAMIS_CHECK(reader->read(&c, 1));
    if (c == '\n') break;
    first_line += c;
  }
  return reader;
}

SnapshotReader::~SnapshotReader() { ::close(fd_); }

base::Status SnapshotReader::read(char* out, size_t bytes) {
  while (bytes > 0) {
    ssize_t n = ::read(fd_, out, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tl::unexpected(base::system_error("read", path_, errno));
    if (n == 0) return base::invalid(path_ + ": the snapshot ends in the middle, at byte " + std::to_string(offset_));
    out += n;
    bytes -= static_cast<size_t>(n);
    offset_ += static_cast<uint64_t>(n);
  }
  return {};
}

base::Result<bool> SnapshotReader::next(std::string& piece) {
  char prefix[4];
  TAMIS_CHECK(read(prefix, 4));
  uint32_t length = 0;
  for (int i = 0; i < 4; ++i) length |= static_cast<uint32_t>(static_cast<uint8_t>(prefix[i])) << (8 * i);
  if (length == 0) return false;
  uint64_t at = offset_;
  auto damaged = [&] { return base::invalid(path_ + ": the snapshot is damaged at byte " + std::to_string(at)); };
  if (length > kFrameBytesMax) return damaged();
  frame_.resize(length);
  TAMIS_CHECK(read(frame_.data(), length));
  unsigned long long bytes = ZSTD_getFrameContentSize(frame_.data(), frame_.size());
  if (bytes == ZSTD_CONTENTSIZE_ERROR || bytes == ZSTD_CONTENTSIZE_UNKNOWN || bytes > kPieceBytesMax) return damaged();
  piece.resize(bytes);
  size_t n = ZSTD_decompress(piece.data(), piece.size(), frame_.data(), frame_.size());
  if (ZSTD_isError(n) || n != bytes) return damaged();
  return true;
}

std::vector<SnapshotFile> list_snapshots(const std::string& data) { return list_files(data, kSuffix); }
std::vector<SnapshotFile> list_filled(const std::string& data) { return list_files(data, kFilled); }

base::Result<SnapshotHead> read_snapshot_head(const std::string& path) {
  TAMIS_TRY(file, SnapshotReader::open(path));
  return file->head();
}

void remove_filled(const std::string& data, uint64_t record) {
  for (const SnapshotFile& file : list_filled(data)) {
    std::error_code ignored;
    if (file.record < record) fs::remove(file.path, ignored);
  }
}

void clean_snapshots(const std::string& data) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_of(data), error)) {
    std::error_code ignored;
    if (ends_with(entry.path().string(), kUnfinished)) fs::remove(entry.path(), ignored);
  }
}

}  // namespace tamis::replay
