#include "learn/day_keys.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/assert.h"
#include "base/file.h"

#include <fmt/format.h>

namespace tamis::learn {
namespace {

constexpr size_t kDayBytes = 4, kNonceBytes = 12, kTagBytes = 16;

base::Status our_fault(std::string_view what) {
  return base::fail(base::Code::kInternal, "cannot " + std::string(what) + ": the cryptographic library refuses");
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// Looked up once: EVP_aes_256_gcm() has the library search for it anew with each message, under a lock.
const EVP_CIPHER* cipher_in_use() {
  static const EVP_CIPHER* const found = [] {
    const EVP_CIPHER* fetched = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);  // for as long as the process lives
    return fetched != nullptr ? fetched : EVP_aes_256_gcm();
  }();
  return found;
}

struct Context {
  EVP_CIPHER_CTX* get = EVP_CIPHER_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  ~Context() { EVP_CIPHER_CTX_free(get); }
};

// Days from civil and back: Hinnant, chrono-compatible low-level date algorithms.
void civil_of(int32_t day, int& year, unsigned& month, unsigned& in_month) {
  const int z = day + 719468;
  const int era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  in_month = doy - (153 * mp + 2) / 5 + 1;
  month = mp < 10 ? mp + 3 : mp - 9;
  year = static_cast<int>(yoe) + era * 400 + (month <= 2 ? 1 : 0);
}

int32_t day_from_civil(int year, unsigned month, unsigned in_month) {
  year -= month <= 2 ? 1 : 0;
  const int era = (year >= 0 ? year : year - 399) / 400;
  const auto yoe = static_cast<unsigned>(year - era * 400);
  const unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + in_month - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<int>(doe) - 719468;
}

}  // namespace

std::string day_name(int32_t day) {
  int year = 0;
  unsigned month = 0, in_month = 0;
  civil_of(day, year, month, in_month);
  return fmt::format("{:04d}-{:02d}-{:02d}", year, month, in_month);
}

bool day_from(std::string_view name, int32_t& day) {
  if (name.size() != 10 || name[4] != '-' || name[7] != '-') return false;
  auto number = [&](size_t at, size_t digits, unsigned& out) {
    out = 0;
    for (size_t i = at; i < at + digits; ++i) {
      if (name[i] < '0' || name[i] > '9') return false;
      out = out * 10 + static_cast<unsigned>(name[i] - '0');
    }
    return true;
  };
  unsigned year = 0, month = 0, in_month = 0;
  if (!number(0, 4, year) || !number(5, 2, month) || !number(8, 2, in_month)) return false;
  if (month < 1 || month > 12 || in_month < 1 || in_month > 31) return false;
  day = day_from_civil(static_cast<int>(year), month, in_month);
  return day_name(day) == name;
}

uint64_t unguessable64() {
  // Drawn many at a time, since a draw costs microseconds whatever its size. Each is handed out once and wiped.
  thread_local std::array<uint64_t, 64> drawn{};
  thread_local size_t left = 0;
  if (left == 0) {
    const int bytes = static_cast<int>(sizeof drawn);
    TAMIS_ASSERT(RAND_bytes(reinterpret_cast<unsigned char*>(drawn.data()), bytes) ==
                 1);  // the system has no randomness
    left = drawn.size();
  }
  const uint64_t bits = drawn[--left];
  OPENSSL_cleanse(&drawn[left], sizeof bits);
  return bits;
}

base::Status set_aside(const std::string& path) {
  const std::string aside = path + std::string(kWithoutKey);
  if (std::rename(path.c_str(), aside.c_str()) == 0) return {};
  return tl::unexpected(base::system_error("rename", path, errno));
}

base::Result<std::unique_ptr<DayKeys>> DayKeys::open(const std::string& folder) {
  if (!folder.empty()) {
    TAMIS_CHECK(base::make_folders(folder));
    (void)::chmod(folder.c_str(), 0700);
  }
  return std::unique_ptr<DayKeys>(new DayKeys(folder));
}

// Under mutex_.
base::Result<DayKeys::Key> DayKeys::key_of(int32_t day, bool make) {
  if (auto known = keys_.find(day); known != keys_.end()) return known->second;
  Key key{};
  const std::string path = folder_.empty() ? std::string() : path_of(day);
  if (!path.empty()) {
    if (auto text = base::read_file(path, key.size() + 1)) {
      if (text->size() != key.size()) return base::invalid(path + ": expected a key of 32 bytes");
      std::memcpy(key.data(), text->data(), key.size());
      keys_[day] = key;
      return key;
    } else if (text.error().code != base::Code::kNotFound) {
      return tl::unexpected(text.error());
    }
  }
  if (!make) return base::fail(base::Code::kNotFound, "the key of " + day_name(day) + " is destroyed");
  if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1) return tl::unexpected(our_fault("make a key").error());
  if (!path.empty()) {
    // Nobody else may read it, not even while it is written.
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return tl::unexpected(base::system_error("create", path, errno));
    const bool written = ::write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size()) && ::fsync(fd) == 0;
    const int why = errno;
    ::close(fd);
    if (!written) {
      ::unlink(path.c_str());
      return tl::unexpected(base::system_error("write", path, why));
    }
  }
  keys_[day] = key;
  return key;
}

base::Status DayKeys::seal(int32_t day, std::string_view plain, std::string_view about, std::string& out) {
  Key key;
  {
    std::lock_guard lock(mutex_);
    TAMIS_TRY(found, key_of(day, true));
    key = found;
  }
  const size_t from = out.size();
  out.resize(from + kOverhead + plain.size());
  auto* to = reinterpret_cast<unsigned char*>(out.data() + from);
  for (size_t i = 0; i < kDayBytes; ++i) to[i] = static_cast<unsigned char>(static_cast<uint32_t>(day) >> (8 * i));
  unsigned char* nonce = to + kDayBytes;
  unsigned char* cipher = nonce + kNonceBytes;
  Context context;
  int done = 0, more = 0;
  const bool good =
      RAND_bytes(nonce, kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(context.get, cipher_in_use(), nullptr, key.data(), nonce) == 1 &&
      EVP_EncryptUpdate(context.get, nullptr, &done, to, kDayBytes) == 1 &&
      (about.empty() ||
       EVP_EncryptUpdate(context.get, nullptr, &done, bytes_of(about), static_cast<int>(about.size())) == 1) &&
      EVP_EncryptUpdate(context.get, cipher, &done, bytes_of(plain), static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get, cipher + done, &more) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get, EVP_CTRL_GCM_GET_TAG, kTagBytes, cipher + plain.size()) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (good) return {};
  out.resize(from);
  return our_fault("encrypt");
}

base::Status DayKeys::open(std::string_view sealed, std::string_view about, std::string& plain) {
  if (sealed.size() < kOverhead) return base::invalid("sealed bytes are cut off");
  const unsigned char* from = bytes_of(sealed);
  uint32_t day = 0;
  for (size_t i = 0; i < kDayBytes; ++i) day |= static_cast<uint32_t>(from[i]) << (8 * i);
  Key key;
  {
    std::lock_guard lock(mutex_);
    TAMIS_TRY(found, key_of(static_cast<int32_t>(day), false));
    key = found;
  }
  const size_t bytes = sealed.size() - kOverhead;
  const unsigned char* nonce = from + kDayBytes;
  const unsigned char* cipher = nonce + kNonceBytes;
  std::array<unsigned char, kTagBytes> tag{};
  std::memcpy(tag.data(), cipher + bytes, kTagBytes);
  plain.resize(bytes);
  auto* to = reinterpret_cast<unsigned char*>(plain.data());
  Context context;
  int done = 0, more = 0;
  const bool good = EVP_DecryptInit_ex(context.get, cipher_in_use(), nullptr, key.data(), nonce) == 1 &&
                    EVP_DecryptUpdate(context.get, nullptr, &done, from, kDayBytes) == 1 &&
                    (about.empty() || EVP_DecryptUpdate(context.get, nullptr, &done, bytes_of(about),
                                                        static_cast<int>(about.size())) == 1) &&
                    EVP_DecryptUpdate(context.get, to, &done, cipher, static_cast<int>(bytes)) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context.get, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
                    EVP_DecryptFinal_ex(context.get, to + done, &more) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (good) return {};
  plain.clear();
  return base::invalid("sealed bytes are damaged");
}

base::Result<size_t> DayKeys::destroy_before(int32_t day) {
  std::lock_guard lock(mutex_);
  for (auto known = keys_.begin(); known != keys_.end() && known->first < day;) {
    OPENSSL_cleanse(known->second.data(), known->second.size());
    known = keys_.erase(known);
  }
  if (folder_.empty()) return size_t{0};
  size_t destroyed = 0;
  TAMIS_TRY(files, base::list_files(folder_));
  for (const base::FoundFile& file : files) {
    const std::string name = file.path.substr(folder_.size() + 1);
    int32_t of = 0;
    if (name.size() != 14 || name.substr(10) != ".key" || !day_from(name.substr(0, 10), of) || of >= day) continue;
    // Overwritten first, for disks that write in place.
    if (const int fd = ::open(file.path.c_str(), O_WRONLY | O_CLOEXEC); fd >= 0) {
      const Key nothing{};
      (void)!::write(fd, nothing.data(), nothing.size());
      (void)::fsync(fd);
      ::close(fd);
    }
    if (::unlink(file.path.c_str()) != 0) return tl::unexpected(base::system_error("remove", file.path, errno));
    ++destroyed;
  }
  return destroyed;
}

}  // namespace tamis::learn
