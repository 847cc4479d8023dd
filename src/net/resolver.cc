#include "net/resolver.h"

#include <ares.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/assert.h"
#include "event/ip.h"
#include "net/dns_cache.h"
#include "net/dns_message.h"
#include "net/socket.h"

namespace tamis::net {
namespace {

using base::Code;
using base::fail;
using base::Result;
using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using Answer = std::shared_ptr<const DnsAnswer>;

constexpr size_t kServersMax = 8;
constexpr int kUdpBytesMax = 1232;  // larger ones come in pieces, or not at all: they are asked again over TCP

Answer plain_answer(DnsStatus status, std::string reason = {}) {
  auto answer = std::make_shared<DnsAnswer>();
  answer->status = status;
  answer->reason = std::move(reason);
  return answer;
}

class OffResolver final : public Resolver {
 public:
  void ask(const DnsQuestion&, int64_t, Done done) override { done(answer_); }
  bool is_off() const override { return true; }

 private:
  const Answer answer_ = plain_answer(DnsStatus::kOff);
};

// The queries of c-ares on a thread of their own. The mutex guards everything but the channel and the watched sockets,
// which belong to the thread; no `done` runs while it is held.
class AresResolver final : public Resolver {
 public:
  AresResolver(const ResolverOptions& options, const base::Clock& clock)
      : options_(options),
        clock_(clock),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        cache_({options.cache_entries_max, options.cache_bytes_max, options.ttl_min_s, options.ttl_max_s,
                options.negative_ttl_max_s, options.failure_ttl_s}) {
    TAMIS_ASSERT(wake_);
  }
  ~AresResolver() override;

  // `servers`: as c-ares takes them, empty for those of the system. Once, before ask().
  base::Status start(const std::string& servers);

  void ask(const DnsQuestion& question, int64_t timeout_ms, Done done) override;
  ResolverStats stats() const override;

 private:
  using WaiterKey = std::pair<int64_t, uint64_t>;  // deadline by the steady clock, number
  struct Waiter {
    Done done;
  };
  // A question under way: waiting for its turn, or on the network.
  struct Flight {
    DnsQuestion question;
    std::vector<WaiterKey> waiters;  // those that are still there; a deadline takes them out of waiters_ alone
  };
  // What c-ares hands back.
  struct Query {
    AresResolver* resolver;
    std::string key;
  };
  using Told = std::vector<std::pair<Done, Answer>>;

  Answer answer_at_once(const DnsQuestion& question, const std::string& key, int64_t timeout_ms);
  static void on_answer(void* argument, int status, int timeouts, unsigned char* bytes, int size);
  static void on_socket(void* argument, ares_socket_t socket, int readable, int writable);

  void run();
  void wake();
  void start_some();
  void expire(int64_t now_ns);
  int wait_ms(int64_t now_ns);
  void land(const std::string& key, Answer answer);
  void take_waiters(Flight& flight, const Answer& answer, Told& told);
  void end();
  int64_t now_ms() const { return clock_.steady_ns() / 1'000'000; }
  static void tell(Told& told) {
    for (auto& [done, answer] : told) done(answer);
  }

  const ResolverOptions options_;
  const base::Clock& clock_;
  Fd wake_;
  ares_channel channel_ = nullptr;
  bool library_ready_ = false;
  std::vector<pollfd> sockets_;
  std::thread thread_;

  mutable std::mutex mutex_;  // guards what follows
  DnsCache cache_;
  std::unordered_map<std::string, Flight> flights_;
  std::deque<std::string> to_start_;
  std::map<WaiterKey, Waiter> waiters_;
  uint64_t waiter_number_ = 0;
  size_t on_network_ = 0;
  bool stopping_ = false;
  ResolverStats stats_;
};

AresResolver::~AresResolver() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake();
    thread_.join();
  }
  if (channel_ != nullptr) ares_destroy(channel_);
  if (library_ready_) ares_library_cleanup();
}

base::Status AresResolver::start(const std::string& servers) {
  int status = ares_library_init(ARES_LIB_INIT_ALL);
  library_ready_ = status == ARES_SUCCESS;
  ares_options wanted{};
  wanted.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
  wanted.timeout = static_cast<int>(std::clamp<int64_t>(options_.timeout_ms, 10, 60'000));
  wanted.tries = std::clamp(options_.attempts, 1, 10);
  wanted.ednspsz = kUdpBytesMax;
  wanted.sock_state_cb = on_socket;
  wanted.sock_state_cb_data = this;
  if (status == ARES_SUCCESS) {
    status = ares_init_options(
        &channel_, &wanted,
        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB);
  }
  if (status == ARES_SUCCESS && !servers.empty()) status = ares_set_servers_ports_csv(channel_, servers.c_str());
  if (status != ARES_SUCCESS) {
    return fail(Code::kUnavailable, fmt::format("DNS cannot be set up: {}", ares_strerror(status)));
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

void AresResolver::wake() {
  const uint64_t one = 1;
  // A full counter has woken the thread already.
  [[maybe_unused]] const auto n = write(wake_.get(), &one, sizeof one);
}

// With the mutex held: the answer that can be given without asking anybody, or null.
Answer AresResolver::answer_at_once(const DnsQuestion& question, const std::string& key, int64_t timeout_ms) {
  ++stats_.asked;
  if (!event::is_dns_name(question.name)) return plain_answer(DnsStatus::kNoName, "no name that DNS takes");
  if (Answer known = cache_.find(key, now_ms())) {
    ++stats_.from_cache;
    return known;
  }
  if (timeout_ms <= 0) return plain_answer(DnsStatus::kTimeout);
  if (stopping_) return plain_answer(DnsStatus::kFailed, "the resolver is ending");
  if (waiters_.size() >= options_.waiting_max || flights_.size() >= options_.waiting_max) {
    ++stats_.turned_away;
    return plain_answer(DnsStatus::kFailed, "too many questions are under way");
  }
  return nullptr;
}

void AresResolver::ask(const DnsQuestion& question, int64_t timeout_ms, Done done) {
  const std::string key = DnsCache::key_of(question);
  std::unique_lock lock(mutex_);
  if (const Answer answer = answer_at_once(question, key, timeout_ms)) {
    lock.unlock();
    done(answer);
    return;
  }
  const WaiterKey waiter{clock_.steady_ns() + timeout_ms * 1'000'000, ++waiter_number_};
  bool must_wake = waiters_.empty() || waiter < waiters_.begin()->first;
  waiters_.emplace(waiter, Waiter{std::move(done)});
  const auto [flight, is_new] = flights_.try_emplace(key);
  std::vector<WaiterKey>& here = flight->second.waiters;
  // Those whose time ran out are forgotten before there are too many.
  if (here.size() >= options_.waiting_max) std::erase_if(here, [this](auto& k) { return !waiters_.contains(k); });
  here.push_back(waiter);
  if (is_new) {
    flight->second.question = question;
    to_start_.push_back(key);
    must_wake = true;
  } else {
    ++stats_.joined;
  }
  lock.unlock();
  if (must_wake) wake();
}

ResolverStats AresResolver::stats() const {
  std::lock_guard lock(mutex_);
  ResolverStats stats = stats_;
  stats.cache_entries = cache_.entries();
  stats.cache_bytes = cache_.bytes();
  stats.in_flight = on_network_;
  stats.waiting = waiters_.size();
  return stats;
}

void AresResolver::on_socket(void* argument, ares_socket_t socket, int readable, int writable) {
  std::vector<pollfd>& sockets = static_cast<AresResolver*>(argument)->sockets_;
  const auto found =
      std::find_if(sockets.begin(), sockets.end(), [socket](const pollfd& one) { return one.fd == socket; });
  const auto events = static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
  if (events == 0) {
    if (found != sockets.end()) sockets.erase(found);
  } else if (found != sockets.end()) {
    found->events = events;
  } else {
    sockets.push_back({socket, events, 0});
  }
}

void AresResolver::on_answer(void* argument, int status, int, unsigned char* bytes, int size) {
  const std::unique_ptr<Query> query(static_cast<Query*>(argument));
  AresResolver& self = *query->resolver;
  Answer answer;
  switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND: {
      DnsQuestion question;
      {
        std::lock_guard lock(self.mutex_);
        question = self.flights_.at(query->key).question;
      }
      const std::string_view message(reinterpret_cast<const char*>(bytes),
                                     bytes == nullptr ? 0 : static_cast<size_t>(size));
      answer = std::make_shared<const DnsAnswer>(read_dns_message(message, question));
      break;
    }
    case ARES_ETIMEOUT:
      answer = plain_answer(DnsStatus::kTimeout, "no server answered");
      break;
    case ARES_EBADNAME:
      answer = plain_answer(DnsStatus::kNoName, "no name that DNS takes");
      break;
    default:
      answer = plain_answer(DnsStatus::kFailed, ares_strerror(status));
      break;
  }
  self.land(query->key, std::move(answer));
}

// Moves the waiters that are still there out of the flight, to be told once the mutex is free.
void AresResolver::take_waiters(Flight& flight, const Answer& answer, Told& told) {
  for (const WaiterKey& key : flight.waiters) {
    const auto waiter = waiters_.find(key);
    if (waiter == waiters_.end()) continue;
    told.emplace_back(std::move(waiter->second.done), answer);
    waiters_.erase(waiter);
  }
}

// The end of a question that was on the network.
void AresResolver::land(const std::string& key, Answer answer) {
  Told told;
  {
    std::lock_guard lock(mutex_);
    --on_network_;
    if (event::is_temporary(answer->status)) ++stats_.failed;
    if (!stopping_) cache_.put(key, answer, now_ms());
    const auto flight = flights_.find(key);
    take_waiters(flight->second, answer, told);
    flights_.erase(flight);
  }
  tell(told);
}

// Gives questions to the network while there is room for more; those that nobody waits for any more are dropped.
void AresResolver::start_some() {
  for (;;) {
    DnsQuestion question;
    auto query = std::make_unique<Query>();
    {
      std::lock_guard lock(mutex_);
      if (to_start_.empty() || on_network_ >= std::max<size_t>(1, options_.in_flight_max)) return;
      query->resolver = this;
      query->key = std::move(to_start_.front());
      to_start_.pop_front();
      const auto flight = flights_.find(query->key);
      const auto& waiters = flight->second.waiters;
      if (std::none_of(waiters.begin(), waiters.end(), [this](const WaiterKey& k) { return waiters_.contains(k); })) {
        flights_.erase(flight);
        continue;
      }
      question = flight->second.question;
      ++on_network_;
      ++stats_.sent;
    }
    constexpr int types[] = {1, 28, 15, 16, 12};  // in the order of DnsType
    ares_query(channel_, question.name.c_str(), 1, types[static_cast<size_t>(question.type)], on_answer,
               query.release());
  }
}

void AresResolver::expire(int64_t now_ns) {
  static const Answer late = plain_answer(DnsStatus::kTimeout, "no answer in the time that was given");
  Told told;
  {
    std::lock_guard lock(mutex_);
    while (!waiters_.empty() && waiters_.begin()->first.first <= now_ns) {
      told.emplace_back(std::move(waiters_.begin()->second.done), late);
      waiters_.erase(waiters_.begin());
      ++stats_.timed_out;
    }
  }
  tell(told);
}

int AresResolver::wait_ms(int64_t now_ns) {
  timeval most{60, 0}, least{};
  const timeval* next = ares_timeout(channel_, &most, &least);
  int64_t wait = next->tv_sec * 1000 + (next->tv_usec + 999) / 1000;
  std::lock_guard lock(mutex_);
  if (!waiters_.empty()) {
    wait = std::min(wait, (waiters_.begin()->first.first - now_ns) / 1'000'000 + 1);
  }
  return static_cast<int>(std::max<int64_t>(wait, 0));
}

void AresResolver::run() {
  std::vector<pollfd> ready;
  for (;;) {
    start_some();
    ready = sockets_;
    ready.push_back({wake_.get(), POLLIN, 0});
    const int count = poll(ready.data(), ready.size(), wait_ms(clock_.steady_ns()));
    if (count > 0 && ready.back().revents != 0) {
      uint64_t woken;
      [[maybe_unused]] const auto n = read(wake_.get(), &woken, sizeof woken);
    }
    ready.pop_back();
    {
      std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    for (const pollfd& one : ready) {
      if (count <= 0 || one.revents == 0) continue;
      const bool in = (one.revents & (POLLIN | POLLERR | POLLHUP)) != 0, out = (one.revents & POLLOUT) != 0;
      ares_process_fd(channel_, in ? one.fd : ARES_SOCKET_BAD, out ? one.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // its time limits
    expire(clock_.steady_ns());
  }
  end();
}

// Everybody is told; `done` may ask again, and is told at once.
void AresResolver::end() {
  ares_cancel(channel_);
  const Answer ending = plain_answer(DnsStatus::kFailed, "the resolver is ending");
  Told told;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, waiter] : waiters_) told.emplace_back(std::move(waiter.done), ending);
    waiters_.clear();
    flights_.clear();
    to_start_.clear();
  }
  tell(told);
}

// "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353" as c-ares takes them.
Result<std::string> server_of(std::string_view text) {
  const auto wrong = [text] {
    return base::invalid(
        fmt::format("'{}' is no DNS server, expected an address, ADDRESS:PORT, [v6]:PORT, 'system' or 'off'", text));
  };
  std::string_view host = text, port = "53";
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return wrong();
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return wrong();
    if (!rest.empty()) port = rest.substr(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  event::IpData ip;
  if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65'535 ||
      !event::parse_ip(host, ip)) {
    return wrong();
  }
  char shown[event::kIpTextBytesMax];
  return fmt::format("{}{}{}:{}", ip.is_v6 ? "[" : "", event::format_ip(ip, shown), ip.is_v6 ? "]" : "", number);
}

}  // namespace

Result<std::unique_ptr<Resolver>> open_resolver(std::string_view servers, const ResolverOptions& options,
                                                const base::Clock& clock) {
  if (servers == "off") return std::make_unique<OffResolver>();
  std::string csv;
  if (servers != "system") {
    size_t count = 0;
    for (size_t at = 0; at <= servers.size(); ++count) {
      const size_t end = std::min(servers.find(',', at), servers.size());
      TAMIS_TRY(server, server_of(servers.substr(at, end - at)));
      if (count == kServersMax) return base::invalid(fmt::format("more than {} DNS servers", kServersMax));
      csv += (csv.empty() ? "" : ",") + server;
      at = end + 1;
    }
  }
  auto resolver = std::make_unique<AresResolver>(options, clock);
  TAMIS_CHECK(resolver->start(csv));
  return resolver;
}

}  // namespace tamis::net
