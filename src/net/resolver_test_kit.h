// Resolvers for tests: one that answers from a table, at once or when it is told to.
#pragma once

#include <deque>
#include <map>
#include <mutex>

#include "event/ip.h"
#include "net/dns_cache.h"
#include "net/resolver.h"

namespace tamis::net {

// Names that are not in the table do not exist; a name with records of other types has no data.
class TableResolver final : public Resolver {
 public:
  void txt(const std::string& name, const std::string& text) {
    entry(event::DnsType::kTxt, name).texts.push_back(text);
  }
  void a(const std::string& name, const std::string& ip) {
    event::IpData address{};
    event::parse_ip(ip, address);
    entry(address.is_v6 ? event::DnsType::kAaaa : event::DnsType::kA, name).addresses.push_back(address);
  }
  void mx(const std::string& name, uint16_t preference, const std::string& host) {
    entry(event::DnsType::kMx, name).exchanges.push_back({preference, host});
  }
  void ptr(const std::string& name, const std::string& host) {
    entry(event::DnsType::kPtr, name).names.push_back(host);
  }
  void status(event::DnsType type, const std::string& name, event::DnsStatus status) {
    entry(type, name).status = status;
  }

  void ask(const event::DnsQuestion& question, int64_t timeout_ms, Done done) override {
    std::unique_lock lock(mutex_);
    asked_.push_back(question);
    timeouts_ms_.push_back(timeout_ms);
    auto answer = find(question);
    if (holding_) {
      held_.push_back([done = std::move(done), answer = std::move(answer)] { done(answer); });
      return;
    }
    lock.unlock();
    done(answer);
  }

  // From now on questions wait until release() lets the oldest `count` go.
  void hold() { holding_ = true; }
  size_t release(size_t count = SIZE_MAX) {
    size_t released = 0;
    for (; released < count; ++released) {
      std::unique_lock lock(mutex_);
      if (held_.empty()) break;
      auto one = std::move(held_.front());
      held_.pop_front();
      lock.unlock();
      one();
    }
    return released;
  }
  std::vector<event::DnsQuestion> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  std::vector<int64_t> timeouts_ms() const {
    std::lock_guard lock(mutex_);
    return timeouts_ms_;
  }

 private:
  event::DnsAnswer& entry(event::DnsType type, const std::string& name) {
    const std::string key = DnsCache::key_of({type, name});
    names_[key.substr(1)] = true;
    auto& answer = table_[key];
    answer.status = event::DnsStatus::kOk;
    answer.ttl_s = 60;
    return answer;
  }
  std::shared_ptr<const event::DnsAnswer> find(const event::DnsQuestion& question) const {
    const std::string key = DnsCache::key_of(question);
    const auto found = table_.find(key);
    event::DnsAnswer answer;
    if (found != table_.end()) {
      answer = found->second;
    } else {
      answer.status = names_.contains(key.substr(1)) ? event::DnsStatus::kNoData : event::DnsStatus::kNoName;
    }
    return std::make_shared<const event::DnsAnswer>(std::move(answer));
  }

  std::map<std::string, event::DnsAnswer> table_;
  std::map<std::string, bool> names_;
  mutable std::mutex mutex_;  // guards what follows
  std::vector<event::DnsQuestion> asked_;
  std::vector<int64_t> timeouts_ms_;
  std::deque<std::function<void()>> held_;
  std::atomic<bool> holding_{false};
};

}  // namespace tamis::net
