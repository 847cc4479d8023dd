// ByteSession: a Session (net/session.h) for protocols that are no HTTP, such as those of mail filters. It keeps the
// buffers, the deadlines and the ways a connection ends; what is derived from it reads bytes and writes bytes:
//
//   class Echo : public ByteSession {
//     size_t on_input(std::string_view data) override { out().append(data); return data.size(); }
//   };
//
// An answer that comes later, from another thread: `uint64_t number = wait(ms)` stops on_input(); the thread posts a
// task through link(), which calls `if (!proceed(number)) return;`, writes, and then go_on().
//
// Memory: a session at rest holds no buffer. Not thread-safe; all sessions of a loop share one ByteEnv.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/session.h"

namespace tamis::net {

struct ByteLimits {
  size_t input_bytes_max = 1 << 20;    // that a session may wait for without consuming: a frame, a head
  size_t output_bytes_high = 1 << 20;  // unsent bytes above which a connection is not read
  int idle_timeout_ms = 75'000;        // between requests
  // While a request arrives, and while an answer is read, at least progress_bytes must move within these times.
  int request_timeout_ms = 30'000;
  int write_timeout_ms = 30'000;
  size_t progress_bytes = 4 * 1024;
  int request_total_timeout_ms = 300'000;  // from a request's first byte to its last
};

// What the sessions of one loop share.
struct ByteEnv {
  ByteLimits limits;
  uint64_t now_ms = 0;  // set by the loop before it calls any session
  bool draining = false;
  ServerStats stats;
  std::unique_ptr<char[]> spare;  // one buffer of the smallest size, kept warm
};

class ByteSession : public Session {
 public:
  explicit ByteSession(ByteEnv& env) : env_(env) {}

  // Begins a new connection on this object.
  void open(const PeerAddress& peer, SessionLink link);

  std::span<char> read_space() final;
  void received(size_t bytes) final;
  void received_eof() final;
  std::string_view output() const final { return std::string_view(out_).substr(out_sent_); }
  void sent(size_t bytes) final;
  bool wants_read() const final;
  bool wants_write() const final { return out_sent_ < out_.size(); }
  bool finished() const final { return state_ == State::kClosed; }
  bool lingering() const final { return state_ == State::kLinger; }
  bool idle() const final { return state_ == State::kOpen && begin_ == end_ && !waiting_ && !in_request(); }
  uint64_t deadline_ms() const final { return deadline_ms_; }
  void on_timeout() final;
  void drain() final;
  void close() final;

 protected:
  // Bytes not consumed so far. Returns how many are consumed; the rest is shown again with more behind it.
  virtual size_t on_input(std::string_view data) = 0;
  // The peer sends nothing more; `data` is what was left over. The session ends after it unless it waits.
  virtual void on_eof(std::string_view data) = 0;
  // `limits.input_bytes_max` bytes are there and nothing is consumed. May write an answer; the session ends after it.
  virtual void on_overrun() = 0;
  // A request did not arrive in time. May write an answer; the session ends after it.
  virtual void on_request_late() = 0;
  // The time of wait() is over: proceed() has been called. Write the answer.
  virtual void on_wait_over() = 0;
  virtual void on_open() {}
  virtual void on_close() {}
  // Whether a request has begun of which all bytes that came were consumed.
  virtual bool in_request() const = 0;

  std::string& out() { return out_; }
  const PeerAddress& peer() const { return *peer_; }
  const SessionLink& link() const { return link_; }
  ByteEnv& env() { return env_; }
  // No on_input() until proceed(), for `timeout_ms` at most.
  uint64_t wait(int timeout_ms);
  // False: the wait of that number is over already.
  bool proceed(uint64_t number);
  // After the work of a posted task: handles what has arrived meanwhile.
  void go_on();
  // Something whole has arrived: the time for it begins anew.
  void made_progress() { renew_ = true; }
  // Ends the connection once the output is sent.
  void finish();
  // Ends the connection now.
  void abort();

 private:
  enum class State : uint8_t { kOpen, kFlush, kLinger, kClosed };
  enum class Phase : uint8_t { kIdle, kRequest, kWait, kWrite, kLinger };

  void process();
  void end_of_input();
  void settle(size_t progress_bytes);
  Phase phase() const;
  int timeout_ms(Phase phase) const;
  void release_buffer();

  ByteEnv& env_;
  const PeerAddress* peer_ = nullptr;
  SessionLink link_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0, begin_ = 0, end_ = 0;
  std::string out_;
  size_t out_sent_ = 0;
  State state_ = State::kClosed;
  Phase phase_ = Phase::kIdle;
  bool eof_ = false, eof_told_ = false, waiting_ = false, renew_ = false;
  uint64_t wait_number_ = 0;
  int wait_ms_ = 0;
  uint64_t linger_bytes_ = 0;
  uint64_t progress_ = 0;
  uint64_t deadline_ms_ = 0;
  uint64_t request_deadline_ms_ = 0;  // 0: no request arrives
};

}  // namespace tamis::net
