// One thread's share of a server: an epoll loop with its listening sockets, connections and timers, whatever protocol
// their sessions speak. Only LoopServer uses it. All methods but those of Mailbox belong to the loop's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/session.h"
#include "net/socket.h"
#include "net/timer_wheel.h"
#include "net/tls.h"

struct epoll_event;

namespace tamis::net {

// What other threads send to a loop. Shared with the links of sessions, which may outlive the server.
class Mailbox {
 public:
  struct Letter {
    uint64_t connection;
    std::function<void(Session&)> task;
  };
  Mailbox();
  int wake_fd() const { return wake_.get(); }
  // Both are false once the mailbox is closed.
  bool post(std::function<void()> task);
  bool post_to(Letter letter);
  void ask_to_stop(uint64_t drain_until_ms);

  // Takes everything; the stop time is 0 while nobody asked.
  void drain(std::vector<std::function<void()>>& tasks, std::vector<Letter>& letters, uint64_t& stop_ms);
  void close();

 private:
  void wake();

  Fd wake_;
  std::mutex mutex_;  // guards what follows
  bool open_ = true;
  std::vector<std::function<void()>> tasks_;
  std::vector<Letter> letters_;
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

// ServerStats that another thread may read.
class SharedStats {
 public:
  void publish(const ServerStats& stats);
  void add_to(ServerStats& sum) const;

 private:
  static constexpr size_t kFields = sizeof(ServerStats) / sizeof(uint64_t);
  static_assert(sizeof(ServerStats) % sizeof(uint64_t) == 0);
  std::atomic<uint64_t> fields_[kFields] = {};
};

struct PeriodicTask {
  uint64_t interval_ms;
  uint64_t next_ms;
  std::function<void()> run;
};

class Loop {
 public:
  struct Listener {
    int fd = -1;  // owned by the server when shared between loops
    Fd owned;
    std::shared_ptr<TlsServerContext> tls;
    bool exclusive = false;  // shared between loops: wake only one
    uint64_t paused_until_ms = 0;
  };

  Loop(std::unique_ptr<Protocol> protocol, int handshake_timeout_ms, ConnectionLimiter& limiter);
  ~Loop();

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

  const std::unique_ptr<Protocol> protocol_;
  ServerStats& stats_;  // the protocol's
  SharedStats shared_stats_;
  ConnectionLimiter& limiter_;
  const uint64_t handshake_timeout_ms_;
  uint64_t now_ms_ = 0;
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
  uint64_t stop_ms_ = 0;         // 0: not asked
  bool accept_paused_ = false;
};

}  // namespace tamis::net
