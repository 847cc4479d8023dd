// One thread's share of an HttpServer: an epoll loop with its listening sockets, connections, buffers and timers. Only
// HttpServer uses it. All methods but those of Mailbox belong to the loop's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/http_session.h"
#include "net/socket.h"
#include "net/timer_wheel.h"
#include "net/tls.h"

struct epoll_event;

namespace tamis::net {

// What other threads send to a loop. Shared with deferred replies, which may outlive the server.
class Mailbox {
 public:
  struct Completed {
    uint64_t connection;
    uint64_t request_number;
    int status;
    std::string content_type;
    std::string body;
  };
  Mailbox();
  int wake_fd() const { return wake_.get(); }
  // Both are false once the mailbox is closed.
  bool post(std::function<void()> task);
  bool complete(Completed completed);
  void ask_to_stop(uint64_t drain_until_ms);

  // Takes everything; the stop time is 0 while nobody asked.
  void drain(std::vector<std::function<void()>>& tasks, std::vector<Completed>& completed, uint64_t& stop_ms);
  void close();

 private:
  void wake();

  Fd wake_;
  std::mutex mutex_;  // guards what follows
  bool open_ = true;
  std::vector<std::function<void()>> tasks_;
  std::vector<Completed> completed_;
  uint64_t stop_ms_ = 0;
};

// Connections of all loops: the total and those per address.
class ConnectionLimiter {
 public:
  ConnectionLimiter(size_t total_max, size_t per_address_max)
      : total_max_(total_max), per_address_max_(per_address_max) {}
  bool try_add(const PeerAddress& peer);
  void remove(const PeerAddress& peer);

 private:
  const size_t total_max_, per_address_max_;
  std::mutex mutex_;  // guards what follows
  size_t total_ = 0;
  std::unordered_map<uint64_t, size_t> per_address_;
};

class InFlightCounter : public InFlight {
 public:
  explicit InFlightCounter(size_t max) : max_(max) {}
  bool try_add() override {
    if (count_.fetch_add(1, std::memory_order_relaxed) < max_) return true;
    remove();
    return false;
  }
  void add() override { count_.fetch_add(1, std::memory_order_relaxed); }
  void remove() override { count_.fetch_sub(1, std::memory_order_relaxed); }
  size_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  std::atomic<size_t> count_{0};
};

// HttpServerStats that another thread may read.
class SharedStats {
 public:
  void publish(const HttpServerStats& stats);
  void add_to(HttpServerStats& sum) const;

 private:
  static constexpr size_t kFields = sizeof(HttpServerStats) / sizeof(uint64_t);
  static_assert(sizeof(HttpServerStats) % sizeof(uint64_t) == 0);
  std::atomic<uint64_t> fields_[kFields] = {};
};

struct PeriodicTask {
  uint64_t interval_ms;
  uint64_t next_ms;
  std::function<void()> run;
};

class HttpLoop {
 public:
  struct Listener {
    int fd = -1;  // owned by the server when shared between loops
    Fd owned;
    std::shared_ptr<TlsServerContext> tls;
    bool exclusive = false;  // shared between loops: wake only one
    uint64_t paused_until_ms = 0;
  };

  HttpLoop(const Router& router, const HttpLimits& limits, InFlight& in_flight, ConnectionLimiter& limiter);
  ~HttpLoop();

  // Before run().
  base::Status open(std::vector<Listener> listeners);
  void add_periodic(PeriodicTask task) { periodic_.push_back(std::move(task)); }
  void set_after_batch(std::function<void()> task) { after_batch_ = std::move(task); }

  // Serves until asked to stop.
  void run();

  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  const SharedStats& stats() const { return shared_stats_; }

 private:
  struct Connection;

  void update_clock();
  int wait_timeout_ms(bool was_busy) const;
  void dispatch(const epoll_event& event);
  void accept_some(size_t index);
  void add_connection(Fd fd, const PeerAddress& peer, const Listener& listener);
  Connection* find(uint64_t id);
  void on_event(Connection& c, uint32_t events);
  bool handshake(Connection& c);
  void read_some(Connection& c);
  void respond(Connection& c);  // now, or after after_batch
  void flush(Connection& c);
  void finish_event(Connection& c);
  void close_connection(Connection& c);
  void on_timer(Connection& c);
  void run_mailbox();
  void run_periodic();
  void end_turn(uint64_t requests_before);
  void begin_drain();

  SessionEnv env_;
  ExchangePool pool_;
  HttpServerStats stats_;
  SharedStats shared_stats_;
  ConnectionLimiter& limiter_;
  const HttpLimits& limits_;
  std::shared_ptr<Mailbox> mailbox_;
  Fd epoll_;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by slot
  std::vector<uint32_t> free_slots_;
  size_t open_count_ = 0;
  TimerWheel wheel_;
  std::vector<PeriodicTask> periodic_;
  std::function<void()> after_batch_;
  std::vector<uint64_t> dirty_;  // connections to be flushed after after_batch_
  uint64_t date_second_ = 0;
  uint64_t stop_ms_ = 0;  // 0: not asked
  bool accept_paused_ = false;
};

}  // namespace tamis::net
