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
#include <vector>

#include "base/result.h"
#include "event/value.h"

namespace tamis::state {

using event::Value;

enum class ListKind : uint8_t {
  kString,  // exact text
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
};

class List {
 public:
  static std::unique_ptr<List> make(std::string name, ListKind kind, uint64_t entries_max = 10'000'000);
  virtual ~List() = default;

  virtual const std::string& name() const = 0;
  virtual ListKind kind() const = 0;
  // An entry that is already there gets the new expiry and note.
  // Errors name the entry: not an address, not an integer, not a regex, list full.
  virtual base::Status add(const ListEntry& entry) = 0;
  virtual bool remove(std::string_view value) = 0;
  // True if an entry that has not expired at `now_ms` matches.
  virtual bool contains(Value value, int64_t now_ms) const = 0;
  // The entry that matches (for networks and domains the longest), for explanations.
  virtual std::optional<ListEntry> match(Value value, int64_t now_ms) const = 0;
  virtual void advance(int64_t now_ms) = 0;  // frees expired entries, a bounded piece at a time
  virtual size_t size() const = 0;
  virtual uint64_t digest() const = 0;  // independent of order
  virtual void for_each(const std::function<void(const ListEntry&)>& visit) const = 0;
};

// Reads a list file: one entry a line, `#` at the start of a line or behind white space starts a comment, blank lines
// are skipped; an entry may be followed by white space and `expires=RFC3339`. Errors name file and line, 20 at most.
base::Result<std::vector<ListEntry>> read_list_text(std::string_view name, std::string_view text);
base::Result<std::vector<ListEntry>> read_list_file(const std::string& path);

}  // namespace tamis::state
