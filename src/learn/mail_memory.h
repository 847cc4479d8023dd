// MailMemory: what is kept of a scanned message for the days in which a correction can come: its hashed, unordered
// features, sealed under the key of its day (learn/day_keys.h), found again by the id of its event. No content.
//
// FOLDER/YYYY-MM-DD.N holds the messages of a day, in order, as records: length of what is sealed (u32), hash of the id
// (u64), both little-endian, sealed bytes. Bounded: with too many bytes the oldest file goes, whatever its day. About 2
// KB a message on disk and 60 bytes in memory. What a crash of the machine cut off is left out at the next start.
//
// Threading: all methods from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "learn/day_keys.h"
#include "model/features.h"

namespace tamis::learn {

// A set of features in bytes: their number, then the gaps between them, as varints. About three bytes a feature.
void append_features(model::FeatureSpan features, std::string& out);
// Reads from the front of `bytes` and moves it on. False: not a set of features.
bool read_features(std::string_view& bytes, std::vector<model::FeatureId>& out);

struct MailMemoryOptions {
  std::string folder;  // empty: in memory alone
  uint64_t bytes_max = uint64_t{1} << 30;
  uint64_t file_bytes_max = 16 << 20;
};

class MailMemory {
 public:
  struct Remembered {
    uint64_t text_key = 0;
    std::vector<model::FeatureId> features;
  };

  // `keys` outlives it.
  static base::Result<std::unique_ptr<MailMemory>> open(MailMemoryOptions options, DayKeys& keys);
  ~MailMemory();

  static uint64_t hash_of(std::string_view id);
  // The newest message under an id counts.
  base::Status remember(std::string_view id, uint64_t text_key, model::FeatureSpan features, int64_t now_ms);
  // kNotFound: never seen, or forgotten.
  base::Result<Remembered> recall(uint64_t id_hash);

  // Wipes one message, also on disk. False: it is not there.
  base::Result<bool> wipe(uint64_t id_hash);
  // Removes what is of days before `day`.
  void forget_before(int32_t day);
  size_t messages() const;
  uint64_t bytes() const;

 private:
  struct File {
    int32_t day = 0;
    uint32_t number = 0;
    int fd = -1;
    uint64_t bytes = 0;
    std::string memory;
  };
  struct Place {
    uint64_t file = 0;
    uint32_t offset = 0, sealed_bytes = 0;
  };

  MailMemory(MailMemoryOptions options, DayKeys& keys) : options_(std::move(options)), keys_(keys) {}
  std::string path_of(const File& file) const;
  base::Status read_folder();
  base::Status read_file(File& file, uint64_t index);
  base::Status start_file(int32_t day);
  void drop_oldest();

  MailMemoryOptions options_;
  DayKeys& keys_;
  mutable std::mutex mutex_;
  std::deque<File> files_;   // oldest first
  uint64_t first_file_ = 0;  // index of files_.front()
  uint64_t bytes_ = 0;
  std::unordered_map<uint64_t, Place> places_;
};

}  // namespace tamis::learn
