// How values find the entries of a list, one class for each kind. All have the same members:
//   canonical(text)          the form in which an entry is stored, or why it is no entry of this kind
//   insert, erase            an entry by its number
//   changed                  the expiry of an entry is another
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
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const {
    return find_hashed(entries, key, hash(key));
  }
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;
  void changed(const ListEntries&, uint32_t) {}

  static uint64_t hash(std::string_view key);
  void prefetch(uint64_t hash) const { index_.prefetch(hash); }
  uint32_t find_hashed(const ListEntries& entries, std::string_view key, uint64_t hash) const;

 private:
  HashIndex index_;
};

// Text in any letter case; entries are stored as they were written.
class CaselessMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text) { return TextMatcher::canonical(text); }
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const;
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;
  void changed(const ListEntries&, uint32_t) {}

 private:
  HashIndex index_;  // by hash of the text in lower case
};

// Integers, stored in decimal. int and uint values match by number.
class IntMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number) { return text_.insert(entries, number); }
  void erase(const ListEntries& entries, uint32_t number) { text_.erase(entries, number); }
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const { return text_.find_exact(entries, key); }
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;
  void changed(const ListEntries&, uint32_t) {}

 private:
  TextMatcher text_;
};

// Domain names; a name matches the entry for itself or for what it lies below.
class DomainMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const { return text_.find_exact(entries, key); }
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;
  void changed(const ListEntries&, uint32_t) {}

 private:
  TextMatcher text_;
  std::array<uint32_t, 256> by_dots_{};  // entries with so many dots: suffixes with another number are not looked up
};

// Networks by longest prefix. IPv4 networks of /16 and longer lie in buckets by their first 16 bits; each bucket keeps
// a table of intervals with the longest network of each, made anew when it is first asked after a change, so that a
// look-up is one search in a few cache lines. All others, and the shorter networks behind an expired one, are
// found by probing a hash index over (length, masked address) from long to short; for IPv6 a table by the first 32 bits
// tells which lengths occur below them, so that few probes are made.
class NetworkMatcher {
 public:
  static base::Result<std::string> canonical(std::string_view text);
  base::Status insert(const ListEntries& entries, uint32_t number);
  void erase(const ListEntries& entries, uint32_t number);
  uint32_t find_exact(const ListEntries& entries, std::string_view key) const;
  uint32_t match(const ListEntries& entries, Value value, int64_t now_ms) const;
  void changed(const ListEntries& entries, uint32_t number);

 private:
  static constexpr uint32_t kExpires = uint32_t{1} << 31;  // marks numbers in Bucket::best that have an expiry
  static constexpr int kBucketBits = 16;                   // of IPv4
  struct Bucket {
    // The starts of the intervals, ascending, two in a word, and behind them the longest network of each, or kNone.
    // Null: nothing was asked since the last change.
    std::unique_ptr<uint32_t[]> table;
    uint32_t intervals = 0;
    uint32_t members = 0;  // where in v4_members_, plus 1; 0: none yet
  };
  struct Lengths {  // a bit for each prefix length of 32 to 127; never cleared, so a superset
    uint64_t low = 0, high = 0;
    bool full = false;  // length 128
  };
  void rebuild(const ListEntries& entries, Bucket& bucket) const;
  uint32_t match_v4(const ListEntries& entries, const event::IpData& ip, int64_t now_ms) const;
  uint32_t match_v6(const ListEntries& entries, const event::IpData& ip, int64_t now_ms) const;
  uint32_t probe(const ListEntries& entries, const event::IpData& ip, int length, int64_t now_ms) const;
  uint32_t probe_down(const ListEntries& entries, const event::IpData& ip, int from, int64_t now_ms) const;

  HashIndex index_;
  std::array<uint32_t, 33> v4_count_{};  // entries of each length
  std::array<uint32_t, 129> v6_count_{};
  mutable std::vector<Bucket> v4_buckets_;  // by the first 16 bits; empty until needed
  std::vector<std::vector<uint32_t>> v4_members_;
  std::unique_ptr<Lengths[]> v6_lengths_;  // by a hash of the first 32 bits
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
  void changed(const ListEntries&, uint32_t) {}

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::state
