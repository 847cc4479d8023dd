#include "replay/keys.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file.h"

namespace tamis::replay {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDayKeyBytes = 32, kStateKeyBytes = 16;

bool is_day(std::string_view text) {
  return text.size() == 10 && text.find_first_not_of("0123456789-") == std::string_view::npos;
}

std::string state_key_path(const std::string& data) { return data + "/keys/state.key"; }

base::Status make_key(const std::string& data, const std::string& path, size_t bytes) {
  std::string key(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size())) != 1) {
    return base::fail(base::Code::kUnavailable, "the system gives no random bytes for " + path);
  }
  TAMIS_CHECK(base::make_folders(data + "/keys"));
  std::error_code ignored;
  fs::permissions(data + "/keys", fs::perms::owner_all, ignored);
  TAMIS_CHECK(base::write_file_atomically(path, key));
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, ignored);
  return {};
}

bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// In its place, so that its blocks do not keep it.
void overwrite(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string zeros(kDayKeyBytes, '\0');
  if (::pwrite(fd, zeros.data(), zeros.size(), 0) == static_cast<ssize_t>(zeros.size())) (void)::fsync(fd);
  ::close(fd);
}

}  // namespace

std::string key_of_day(const std::string& data, std::string_view day) {
  if (!is_day(day)) return {};
  const std::string path = data + "/keys/" + std::string(day) + ".key";
  if (!is_there(path) && !make_key(data, path, kDayKeyBytes)) return {};
  auto key = base::read_file(path, kDayKeyBytes);
  return key && key->size() == kDayKeyBytes ? *key : std::string();
}

std::vector<std::string> kept_keys(const std::string& data) {
  std::vector<std::string> days, keys;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(data + "/keys", error)) {
    const std::string day = entry.path().stem().string();
    if (is_day(day) && entry.path().extension() == ".key") days.push_back(day);
  }
  std::sort(days.rbegin(), days.rend());
  for (const std::string& day : days) {
    std::string key = key_of_day(data, day);
    if (!key.empty()) keys.push_back(std::move(key));
  }
  return keys;
}

uint64_t destroy_keys(const std::string& data, const std::string& oldest) {
  uint64_t destroyed = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(data + "/keys", error)) {
    const std::string day = entry.path().stem().string();
    if (!is_day(day) || day >= oldest) continue;
    overwrite(entry.path().string());
    destroyed += ::unlink(entry.path().c_str()) == 0;
  }
  return destroyed;
}

base::Result<StateKey> make_state_key(const std::string& data) {
  StateKey made;
  const std::string path = state_key_path(data);
  if (!is_there(path)) {
    TAMIS_CHECK(make_key(data, path, kStateKeyBytes));
    made.is_new = true;
  }
  TAMIS_TRY(key, kept_state_key(data));
  made.key = key;
  return made;
}

base::Result<base::SipKey> kept_state_key(const std::string& data) {
  base::SipKey key{};
  const std::string path = state_key_path(data);
  if (!is_there(path)) return key;
  TAMIS_TRY(bytes, base::read_file(path, kStateKeyBytes));
  if (bytes.size() != kStateKeyBytes) {
    return base::invalid(path + ": expected 16 bytes, found " + std::to_string(bytes.size()) +
                         "; put back the file that belongs here, or remove it, and what detectors know of accounts " +
                         "begins anew");
  }
  static_assert(sizeof key == kStateKeyBytes);
  std::memcpy(key.data(), bytes.data(), sizeof key);
  return key;
}

}  // namespace tamis::replay
