// Answers of DNS for as long as they may be kept; the least recently used go when there is no room. For the resolver
// and its tests. Not thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "event/dns.h"

namespace tamis::net {

struct DnsCacheLimits {
  size_t entries_max = 32'768;
  size_t bytes_max = size_t{16} << 20;
  uint32_t ttl_min_s = 1, ttl_max_s = 86'400, negative_ttl_max_s = 900, failure_ttl_s = 5;
};

class DnsCache {
 public:
  explicit DnsCache(const DnsCacheLimits& limits) : limits_(limits) {}

  // One text for equal questions: the type and the name in lower case.
  static std::string key_of(const event::DnsQuestion& question);

  // Null: not there, or too old. `now_ms` never goes back.
  std::shared_ptr<const event::DnsAnswer> find(const std::string& key, int64_t now_ms);
  void put(const std::string& key, std::shared_ptr<const event::DnsAnswer> answer, int64_t now_ms);

  size_t entries() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const event::DnsAnswer> answer;
    int64_t expires_ms = 0;
    size_t bytes = 0;
  };
  using Order = std::list<Entry>;  // most recently used first
  void drop(Order::iterator entry);
  int64_t kept_s(const event::DnsAnswer& answer) const;

  const DnsCacheLimits limits_;
  Order order_;
  std::unordered_map<std::string, Order::iterator> entries_;
  size_t bytes_ = 0;
};

}  // namespace tamis::net
