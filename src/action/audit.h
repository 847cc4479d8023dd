// Audit trail: who changed what, and who looked at whose data and why. A hash-chained log that is only appended to, so
// that a line that was altered, left out or put in later is found; the words in it can be erased without breaking it.
// The service appends, the API and `tamis audit` read, a release of a person's data erases.
//
// Files. FOLDER/YYYY-MM.jsonl by the month (UTC) of the first line; one JSON object a line:
//   {"n":1,"t":"2026-11-21T18:00:00.000Z","who":"ann","what":"label.set","on":"account","value":"a-17","why":"...",
//    "detail":"...","salt":{"value":"HEX",...},"sum":{"value":"HEX",...},"prev":"HEX","hash":"HEX"}
// `value`, `why` and `detail` are the payload, absent where empty. The chain covers only their sums:
//   sum(field) = SHA-256(SALT ":" TEXT), with SALT the hexadecimal text of 16 random bytes of this field of this line
//   hash = SHA-256 over the netstrings ("LENGTH:BYTES,") of n, t, who, what, on, sum(value), sum(why), sum(detail),
//   prev
// where an absent sum is empty, and `prev` is the hash of the line before (64 zeros for the first of all). Erasing a
// payload removes text and salt: then the sum says nothing (without the salt, an address could be found by trying all),
// and the chain holds. What a chain cannot see is that its end was cut off: note head() elsewhere now and then, and
// give it to verify_audit().
//
// Threading: all methods from any thread. Cost of append(): a few microseconds and one write; with kDurable the wait
// for the disk, shared by all who wait. One writer a folder, held by a lock file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace tamis::action {

struct AuditEntry {
  std::string who = {};     // a person, a token's name, or "rule:ID"
  std::string what = {};    // "label.set", "list.add", "decision.look", "policy.activate": THING.VERB
  std::string on = {};      // the kind of what it is about: "account", "list:blocked", "policy", "batch"
  std::string value = {};   // which one
  std::string why = {};     // as the person gave it
  std::string detail = {};  // whatever else must be known, best as JSON
};

struct AuditLine : AuditEntry {
  uint64_t n = 0;
  int64_t time_ms = 0;
  std::string hash = {};
  bool erased = false;  // a part of the payload was
};

struct AuditFilter {
  std::string who = {};   // all that is not empty must be equal
  std::string what = {};  // may end in "*": "label.*"
  std::string on = {};
  std::string value = {};
  int64_t since_ms = INT64_MIN;
  uint64_t before_n = UINT64_MAX;  // for the next page: the smallest n of the last one
  size_t limit = 100;              // at most 10 000
};

struct AuditPage {
  std::vector<AuditLine> lines;  // newest first
  uint64_t next_before_n = 0;    // 0: there is nothing older; else ask again with it (also when `lines` is short)
};

struct AuditOptions {
  // Older months are removed when a new one begins, and the chain says so in a line "audit.retention". 0: keep all.
  uint32_t months_max = 0;
  // Of the files that one read() looks through.
  uint64_t read_bytes_max = 256 << 20;
};

// Parts of a line's payload.
struct AuditParts {
  bool value = false, why = false, detail = false;
};

struct AuditHead {
  uint64_t n = 0;         // of the last line; 0: there is none
  std::string hash = {};  // its hash
};

class Audit {
 public:
  enum class Durability : uint8_t { kDurable, kSoon };

  // Creates the folder if need be. What a crash left of a line is cut off, and the chain says so in a line "audit.cut".
  // Errors: no access, another writer, damage at the end that is no trace of a crash (names file and line).
  static base::Result<std::unique_ptr<Audit>> open(const std::string& folder, const base::Clock& clock,
                                                   AuditOptions options = {});
  virtual ~Audit() = default;

  // Adds a line and gives its number. Long texts are cut (256 bytes of who, what and on, 4 KiB of value and why, 16 KiB
  // of detail), bytes that are no UTF-8 become "?": nothing goes unrecorded because of its form. kDurable: returns when
  // it is on disk. kSoon: a killed process loses nothing; a lost machine what was not synced.
  // Errors: the disk refuses it. After a failed sync every call is refused until the trail is opened again, since
  // nobody knows what is on the disk then.
  virtual base::Result<uint64_t> append(const AuditEntry& entry, Durability durability) = 0;
  // Waits until all that was appended before is on disk.
  virtual base::Status sync() = 0;

  virtual base::Result<AuditPage> read(const AuditFilter& filter) const = 0;

  // Erases every value, why and detail in which `value` stands as a word or as the whole (letter case of ASCII
  // ignored), and gives the number of lines changed. Appends wait meanwhile; a month is replaced as a whole. The caller
  // appends what was done and why, without the value.
  virtual base::Result<uint64_t> erase(std::string_view value) = 0;

  // The same for the parts that `parts` names, of lines from before that time.
  virtual base::Result<uint64_t> forget(int64_t before_ms,
                                        const std::function<AuditParts(const AuditLine&)>& parts) = 0;

  virtual AuditHead head() const = 0;
  virtual uint64_t dropped_bytes() const = 0;  // cut off by open()
};

struct AuditVerdict {
  bool good = false;
  std::string where = {};   // "FILE:LINE" of the first broken place
  std::string what = {};    // what is wrong there, and what was expected
  uint64_t first_n = 0;     // above 1: earlier months were removed
  AuditHead head;           // the last good line
  uint64_t lines = 0;       // that are good
  uint64_t erased = 0;      // of them, with a part of the payload erased
  uint64_t torn_bytes = 0;  // behind the last line end: a crash, or a line that is being written
};
// Reads the whole trail; may run beside a writer. `noted`: a head from earlier, whose line must be there with its hash.
// Errors: no access. A broken chain is a verdict.
base::Result<AuditVerdict> verify_audit(const std::string& folder, const AuditHead& noted = {});

}  // namespace tamis::action
