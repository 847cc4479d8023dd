#include "net/dns_cache.h"

#include <algorithm>

namespace tamis::net {
namespace {

using event::DnsAnswer;
using event::DnsStatus;

size_t bytes_of(const std::string& key, const DnsAnswer& answer) {
  size_t bytes = 2 * key.size() + sizeof(DnsAnswer) + 256 + answer.addresses.size() * sizeof(event::IpData);
  for (const std::string& text : answer.texts) bytes += sizeof(std::string) + text.size();
  for (const std::string& name : answer.names) bytes += sizeof(std::string) + name.size();
  for (const auto& exchange : answer.exchanges) bytes += sizeof(DnsAnswer::Exchange) + exchange.host.size();
  return bytes;
}

}  // namespace

std::string DnsCache::key_of(const event::DnsQuestion& question) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(question.type)));
  for (const char c : question.name) key += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return key;
}

int64_t DnsCache::kept_s(const DnsAnswer& answer) const {
  switch (answer.status) {
    case DnsStatus::kOk:
      return std::clamp(answer.ttl_s, limits_.ttl_min_s, limits_.ttl_max_s);
    case DnsStatus::kNoName:
    case DnsStatus::kNoData:
      return std::clamp(answer.ttl_s, limits_.ttl_min_s, std::max(limits_.ttl_min_s, limits_.negative_ttl_max_s));
    default:
      return limits_.failure_ttl_s;
  }
}

std::shared_ptr<const DnsAnswer> DnsCache::find(const std::string& key, int64_t now_ms) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  if (found->second->expires_ms <= now_ms) {
    drop(found->second);
    return nullptr;
  }
  order_.splice(order_.begin(), order_, found->second);
  return found->second->answer;
}

void DnsCache::put(const std::string& key, std::shared_ptr<const DnsAnswer> answer, int64_t now_ms) {
  if (const auto found = entries_.find(key); found != entries_.end()) drop(found->second);
  const int64_t kept = kept_s(*answer);
  const size_t bytes = bytes_of(key, *answer);
  if (kept == 0 || bytes > limits_.bytes_max || limits_.entries_max == 0) return;
  while (order_.size() >= limits_.entries_max || bytes_ + bytes > limits_.bytes_max) drop(std::prev(order_.end()));
  order_.push_front({key, std::move(answer), now_ms + kept * 1000, bytes});
  entries_.emplace(key, order_.begin());
  bytes_ += bytes;
}

void DnsCache::drop(Order::iterator entry) {
  bytes_ -= entry->bytes;
  entries_.erase(entry->key);
  order_.erase(entry);
}

}  // namespace tamis::net
