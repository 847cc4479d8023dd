// How values find the entries of a list, one class for each kind. All have the same members:
//   canonical(text)          the form in which an entry is stored, or why it is no entry of this kind
//   insert, erase            an entry by its number
//   find_exact(key)          the number of the entry with this canonical text
//   match(value, now)        the number of the entry that matches and is live, the longest where that means something
// Private to this room.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "state/hash_index.h"
#include "state/list_entries.h"

namespace tamis::state {

// Exact text.
class TextMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const;
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;

 private:
  HashIndex index_;
};

// Integers, stored in decimal. int and uint values match by number.
class IntMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number) { return text_.insert(entries, number); }
  void erase(const ListEntries& entries, uint32_t number) { text_.erase(entries, number); }
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const { return text_.find_exact(entries, key); }
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;

 private:
  TextMatcher text_;
};

// Domain names; a name matches the entry for itself or for what it lies below.
class DomainMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number) { return text_.insert(entries, number); }
  void erase(const ListEntries& entries, uint32_t number) { text_.erase(entries, number); }
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const { return text_.find_exact(entries, key); }
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;

 private:
  TextMatcher text_;
};

// Networks by longest prefix: one hash index over (prefix length, masked address), probed from long to short. A table
// by the first 16 bits of the address tells which lengths occur below them, so that few probes are made.
class NetworkMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const;
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;

 private:
  struct Lengths {  // a bit for each prefix length
    uint64_t low = 0, high = 0;
    bool full = false;  // length 128
  };
  struct Family {
    std::array<uint32_t, 129> count{};            // entries of each length
    std::unique_ptr<Lengths[]> by_first_16_bits;  // lengths of at least 16; never cleared, so a superset
  };
  uint32_t probe(const ListEntries& entries, const event::IpData& ip, int length, int64_t now_ms) const;

  HashIndex index_;
  Family v4_, v6_;
};

// Regular expressions (RE2, search). Compiled together once enough have come; the newest are tried singly.
class RegexMatcher {
 public:
  RegexMatcher();
  ~RegexMatcher();
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const;
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::state
