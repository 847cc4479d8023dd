// DayKeys: encryption under a key that lives for some days. What is sealed on a day can be opened until that day's key
// is destroyed; from then on it is noise, wherever copies of it lie. AES-256-GCM (NIST SP 800-38D) with a random nonce.
//
// A key is a file of 32 random bytes, FOLDER/YYYY-MM-DD.key in UTC, readable by its owner alone. Who can read the
// folder can open what was sealed: keep it out of backups, and on a disk that is encrypted or erases what it frees.
//
// Threading: all methods from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::learn {

// Days since the epoch.
inline int32_t day_of(int64_t time_ms) {
  return static_cast<int32_t>(time_ms >= 0 ? time_ms / 86'400'000 : -((-time_ms + 86'399'999) / 86'400'000));
}
std::string day_name(int32_t day);                   // "2026-11-22"
bool day_from(std::string_view name, int32_t& day);  // the other way round

// Bits that nobody can guess: for ids that entitle whoever knows them.
uint64_t unguessable64();

// Puts a file that cannot be opened any more out of the way, as PATH.without-key: a new key of the same day shall not
// meet what the old one sealed, and who finds the old one again finds the file, too.
inline constexpr std::string_view kWithoutKey = ".without-key";
base::Status set_aside(const std::string& path);

class DayKeys {
 public:
  // An empty folder name: keys live in memory alone, and end with the process.
  static base::Result<std::unique_ptr<DayKeys>> open(const std::string& folder);

  // Appends day (4 bytes), nonce (12), cipher text, tag (16). `about` is bound to it but not part of it.
  base::Status seal(int32_t day, std::string_view plain, std::string_view about, std::string& out);
  // kNotFound: its key is destroyed. kInvalid: damaged, or about something else.
  base::Status open(std::string_view sealed, std::string_view about, std::string& plain);
  static constexpr size_t kOverhead = 4 + 12 + 16;

  // Destroys the keys of all days before `day`; says how many.
  base::Result<size_t> destroy_before(int32_t day);

 private:
  explicit DayKeys(std::string folder) : folder_(std::move(folder)) {}
  using Key = std::array<unsigned char, 32>;
  base::Result<Key> key_of(int32_t day, bool make);
  std::string path_of(int32_t day) const { return folder_ + "/" + day_name(day) + ".key"; }

  std::string folder_;
  std::mutex mutex_;
  std::map<int32_t, Key> keys_;
};

}  // namespace tamis::learn
