#include "learn/mail_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"

#include <fmt/format.h>

namespace tamis::learn {
namespace {

constexpr size_t kHeadBytes = 12;
constexpr uint32_t kSealedBytesMax = 16 << 10;

void put(uint64_t value, size_t bytes, std::string& out) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t take(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

void put_varint(uint32_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

bool take_varint(std::string_view& bytes, uint32_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    if (bytes.empty()) return false;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (shift == 28 && byte > 0x0f) return false;
    value |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

void append_features(model::FeatureSpan features, std::string& out) {
  put_varint(static_cast<uint32_t>(features.size()), out);
  uint32_t before = 0;
  for (const model::FeatureId id : features) {
    put_varint(id - before, out);
    before = id;
  }
}

bool read_features(std::string_view& bytes, std::vector<model::FeatureId>& out) {
  out.clear();
  uint32_t count = 0, gap = 0, id = 0;
  if (!take_varint(bytes, count) || count > model::kFeaturesMax) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (!take_varint(bytes, gap)) return false;
    id += gap;
    out.push_back(id);
  }
  return model::is_feature_set(out);
}

uint64_t MailMemory::hash_of(std::string_view id) { return base::hash64(id); }

base::Result<std::unique_ptr<MailMemory>> MailMemory::open(MailMemoryOptions options, DayKeys& keys) {
  std::unique_ptr<MailMemory> memory(new MailMemory(std::move(options), keys));
  if (!memory->options_.folder.empty()) {
    TAMIS_CHECK(base::make_folders(memory->options_.folder));
    TAMIS_CHECK(memory->read_folder());
  }
  return memory;
}

MailMemory::~MailMemory() {
  for (const File& file : files_) {
    if (file.fd >= 0) ::close(file.fd);
  }
}

std::string MailMemory::path_of(const File& file) const {
  return fmt::format("{}/{}.{}", options_.folder, day_name(file.day), file.number);
}

base::Status MailMemory::read_folder() {
  TAMIS_TRY(found, base::list_files(options_.folder));
  std::vector<File> files;
  for (const base::FoundFile& entry : found) {
    const std::string_view name = std::string_view(entry.path).substr(options_.folder.size() + 1);
    File file;
    if (name.size() < 12 || name[10] != '.' || !day_from(name.substr(0, 10), file.day)) continue;
    const char* end = name.data() + name.size();
    if (auto [at, bad] = std::from_chars(name.data() + 11, end, file.number); bad != std::errc() || at != end) continue;
    file.bytes = entry.bytes;
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.day != b.day ? a.day < b.day : a.number < b.number; });
  for (File& file : files) {
    files_.push_back(std::move(file));
    TAMIS_CHECK(read_file(files_.back(), first_file_ + files_.size() - 1));
    bytes_ += files_.back().bytes;
  }
  return {};
}

// Notes where each message lies. A record that is cut off ends the file.
base::Status MailMemory::read_file(File& file, uint64_t index) {
  const std::string path = path_of(file);
  TAMIS_TRY(text, base::read_file(path, size_t{1} << 30));
  size_t at = 0;
  while (at + kHeadBytes <= text.size()) {
    const auto sealed = static_cast<uint32_t>(take(text, at, 4));
    if (sealed > kSealedBytesMax || at + kHeadBytes + sealed > text.size()) break;
    if (const uint64_t hash = take(text, at + 4, 8); hash != 0)
      places_[hash] = {index, static_cast<uint32_t>(at + kHeadBytes), sealed};
    at += kHeadBytes + sealed;
  }
  file.bytes = at;
  file.fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file.fd < 0) return tl::unexpected(base::system_error("open", path, errno));
  if (at < text.size() && ::ftruncate(file.fd, static_cast<off_t>(at)) != 0) {
    return tl::unexpected(base::system_error("cut", path, errno));
  }
  return {};
}

base::Status MailMemory::start_file(int32_t day) {
  File file;
  file.day = day;
  file.number = !files_.empty() && files_.back().day == day ? files_.back().number + 1 : 1;
  if (!options_.folder.empty()) {
    const std::string path = path_of(file);
    file.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file.fd < 0) return tl::unexpected(base::system_error("create", path, errno));
  }
  files_.push_back(std::move(file));
  while (bytes_ + options_.file_bytes_max > options_.bytes_max && files_.size() > 1) drop_oldest();
  return {};
}

void MailMemory::drop_oldest() {
  File& file = files_.front();
  for (auto place = places_.begin(); place != places_.end();) {
    place = place->second.file == first_file_ ? places_.erase(place) : std::next(place);
  }
  if (file.fd >= 0) {
    ::close(file.fd);
    ::unlink(path_of(file).c_str());
  }
  bytes_ -= file.bytes;
  files_.pop_front();
  ++first_file_;
}

base::Status MailMemory::remember(std::string_view id, uint64_t text_key, model::FeatureSpan features, int64_t now_ms) {
  const int32_t day = day_of(now_ms);
  const uint64_t hash = hash_of(id);
  std::string plain, about, sealed, record;
  put(text_key, 8, plain);
  append_features(features, plain);
  put(hash, 8, about);
  TAMIS_CHECK(keys_.seal(day, plain, about, sealed));
  put(sealed.size(), 4, record);
  record += about;
  record += sealed;

  std::lock_guard lock(mutex_);
  // A clock that goes back goes on in the newest file: keys are of the day that is sealed, not of the file.
  if (files_.empty() || files_.back().day < day || files_.back().bytes + record.size() > options_.file_bytes_max) {
    TAMIS_CHECK(start_file(files_.empty() ? day : std::max(day, files_.back().day)));
  }
  File& file = files_.back();
  if (options_.folder.empty()) {
    file.memory += record;
  } else if (::pwrite(file.fd, record.data(), record.size(), static_cast<off_t>(file.bytes)) !=
             static_cast<ssize_t>(record.size())) {
    return tl::unexpected(base::system_error("write", path_of(file), errno));
  }
  places_[hash] = {first_file_ + files_.size() - 1, static_cast<uint32_t>(file.bytes + kHeadBytes),
                   static_cast<uint32_t>(sealed.size())};
  file.bytes += record.size();
  bytes_ += record.size();
  return {};
}

base::Result<MailMemory::Remembered> MailMemory::recall(uint64_t id_hash) {
  std::string sealed, about, plain;
  {
    std::lock_guard lock(mutex_);
    const auto known = places_.find(id_hash);
    if (known == places_.end()) {
      return base::fail(base::Code::kNotFound,
                        "no message with this id is remembered: it was never scanned here, or too long ago");
    }
    const Place& place = known->second;
    File& file = files_[place.file - first_file_];
    sealed.resize(place.sealed_bytes);
    if (options_.folder.empty()) {
      std::memcpy(sealed.data(), file.memory.data() + place.offset, sealed.size());
    } else if (::pread(file.fd, sealed.data(), sealed.size(), place.offset) != static_cast<ssize_t>(sealed.size())) {
      return tl::unexpected(base::system_error("read", path_of(file), errno));
    }
  }
  put(id_hash, 8, about);
  TAMIS_CHECK(keys_.open(sealed, about, plain));
  Remembered out;
  std::string_view rest = plain;
  if (rest.size() < 8) return base::invalid("a remembered message is damaged");
  out.text_key = take(rest, 0, 8);
  rest.remove_prefix(8);
  if (!read_features(rest, out.features)) return base::invalid("a remembered message is damaged");
  return out;
}

base::Result<bool> MailMemory::wipe(uint64_t id_hash) {
  std::lock_guard lock(mutex_);
  const auto known = places_.find(id_hash);
  if (known == places_.end()) return false;
  const Place place = known->second;
  File& file = files_[place.file - first_file_];
  // Hash and sealed bytes; the length stays, so that what lies behind is found.
  const std::string nothing(8 + place.sealed_bytes, '\0');
  const uint64_t at = place.offset - 8;
  if (options_.folder.empty()) {
    file.memory.replace(at, nothing.size(), nothing);
  } else if (::pwrite(file.fd, nothing.data(), nothing.size(), static_cast<off_t>(at)) !=
                 static_cast<ssize_t>(nothing.size()) ||
             ::fdatasync(file.fd) != 0) {
    return tl::unexpected(base::system_error("wipe", path_of(file), errno));
  }
  places_.erase(known);
  return true;
}

void MailMemory::forget_before(int32_t day) {
  std::lock_guard lock(mutex_);
  while (!files_.empty() && files_.front().day < day) drop_oldest();
}

size_t MailMemory::messages() const {
  std::lock_guard lock(mutex_);
  return places_.size();
}

uint64_t MailMemory::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace tamis::learn
