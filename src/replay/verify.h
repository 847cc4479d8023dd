// Verifying: reads all that a data folder holds and compares it with its hashes and checksums, for `tamis verify`. May
// run beside a server that holds the folder: nothing is written and nothing is locked.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace tamis::replay {

struct VerifyReport {
  struct Part {
    uint64_t files = 0, bytes = 0;
  };
  Part journal, snapshots, archive, policies, intel;
  uint64_t records = 0;        // of the journal
  uint64_t cut_off_bytes = 0;  // of a record at its end: what a crash, or a server that is writing, leaves
  uint64_t unverified = 0;     // files of the archive from before there were hashes
  uint64_t audit_lines = 0;
  uint64_t damaged = 0;             // places
  std::vector<std::string> damage;  // each in words, with its file; at most 1,000
};

// `keep_going` gets the bytes done and in all. Errors: there is no such folder, it may not be read (kNotFound,
// kDenied); kLimit: `keep_going` said no. Damage is no error.
base::Result<VerifyReport> verify_data(const std::string& data,
                                       const std::function<bool(uint64_t done, uint64_t total)>& keep_going);

}  // namespace tamis::replay
