// Lists: named, managed sets of values that expressions test with `in`. Inline, from files, and changed at run time
// with an expiry per entry. Reading is for one thread (the engine's); a new content is built aside and swapped in.
//
// A million entries load in under 2 s and a look-up takes under 200 ns, for every kind.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "event/value.h"
#include "state/pieces.h"

namespace tamis::state {

using event::Value;

enum class ListKind : uint8_t {
  kString,  // exact text, or text in any letter case (of ASCII)
  kInt,
  kNetwork,  // IPv4 and IPv6 prefixes, longest match; tested with an address (text or net.IP)
  kRegex,    // RE2 patterns, search semantics, matched together
  kDomain,   // a name matches itself and everything below it: "example.com" matches "a.example.com"
};

inline constexpr int64_t kNeverExpires = INT64_MAX;

struct ListEntry {
  std::string value;                   // as written; integers in decimal
  int64_t expires_ms = kNeverExpires;  // engine time
  std::string note;                    // why, for people
  std::string author;                  // of an entry of run time: a person, or "rule:ID"
  int64_t since_ms = 0;                // of an entry of run time: engine time

  ListEntry() = default;
  ListEntry(std::string v, int64_t expires = kNeverExpires, std::string n = {}, std::string by = {}, int64_t since = 0)
      : value(std::move(v)), expires_ms(expires), note(std::move(n)), author(std::move(by)), since_ms(since) {}
  bool operator==(const ListEntry&) const = default;
};

class List : public SnapshotPart {
 public:
  // `ignore_case`, of strings alone: an entry keeps the spelling in which it first came, and matches any other.
  static std::unique_ptr<List> make(std::string name, ListKind kind, uint64_t entries_max = 10'000'000,
                                    bool ignore_case = false);

  virtual const std::string& name() const = 0;
  virtual ListKind kind() const = 0;
  virtual bool ignores_case() const = 0;
  // An entry that is already there gets the new expiry, note and author, and keeps its `since` unless it has expired by
  // the new one's.
  // Errors name the entry: not an address, not an integer, not a regex, list full.
  virtual base::Status add(const ListEntry& entry) = 0;
  // The same, exactly as given: for taking back what was done since.
  virtual base::Status put(const ListEntry& entry) = 0;
  virtual bool remove(std::string_view value) = 0;
  // True if an entry that has not expired at `now_ms` matches.
  virtual bool contains(Value value, int64_t now_ms) const = 0;
  // The entry that matches (for networks and domains the longest), for explanations.
  virtual std::optional<ListEntry> match(Value value, int64_t now_ms) const = 0;
  // The very entry with this text (in any spelling that means the same), whether it has expired or not.
  virtual std::optional<ListEntry> find(std::string_view value) const = 0;
  virtual void advance(int64_t now_ms) = 0;  // frees expired entries, a bounded piece at a time
  virtual size_t size() const = 0;
  virtual uint64_t digest() const = 0;  // independent of order
  virtual void for_each(const std::function<void(const ListEntry&)>& visit) const = 0;
  // Visits up to `limit` entries live at now_ms behind the cursor `after` (0: from the first); the cursor to go on
  // from, 0 at the end. What is live during the whole listing is visited exactly once, whatever changes in between.
  virtual uint64_t visit(uint64_t after, size_t limit, int64_t now_ms,
                         const std::function<void(const ListEntry&)>& visit) const = 0;
};

// Reads a list file: one entry a line, `#` at the start of a line or behind white space starts a comment, blank lines
// are skipped; an entry may be followed by white space and `expires=RFC3339`. Errors name file and line, 20 at most.
base::Result<std::vector<ListEntry>> read_list_text(std::string_view name, std::string_view text);
base::Result<std::vector<ListEntry>> read_list_file(const std::string& path);

}  // namespace tamis::state
