// Session and Protocol: what a Loop serves. A Session is the protocol side of one connection, without a socket: bytes
// go in, bytes come out, so tests and fuzzers drive it exactly as the loop does.
//
//   span = session.read_space(); n = read(fd, span); session.received(n);        // or session.received_eof()
//   text = session.output();     n = write(fd, text); session.sent(n);           // until wants_write() is false
//   after each of these: wants_read(), wants_write(), finished(), deadline_ms()
//
// A Protocol makes sessions for one loop and keeps what they share. Both belong to their loop's thread; what another
// thread has to say to a session goes through its SessionLink.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "net/socket.h"

namespace tamis::net {

class Mailbox;  // net/loop.h

class Session {
 public:
  // How long and how much a lingering connection is read at most. Clients that write all of a body before they read
  // see the answer to a refused one only if all of it is taken.
  static constexpr int kLingerTimeoutMs = 10'000;
  static constexpr uint64_t kLingerBytesMax = 64 << 20;

  virtual ~Session() = default;

  virtual std::span<char> read_space() = 0;
  virtual void received(size_t bytes) = 0;
  virtual void received_eof() = 0;

  virtual std::string_view output() const = 0;
  virtual void sent(size_t bytes) = 0;

  virtual bool wants_read() const = 0;
  virtual bool wants_write() const = 0;
  // Nothing left to do: close the connection.
  virtual bool finished() const = 0;
  // The answer is complete but the peer may still be sending: shut the write side down and go on reading (and
  // discarding) until finished(), so that the peer can read the answer.
  virtual bool lingering() const = 0;
  // Between requests, nothing buffered.
  virtual bool idle() const = 0;

  // When on_timeout() is due unless something happens before.
  virtual uint64_t deadline_ms() const = 0;
  virtual void on_timeout() = 0;
  // The server begins to drain: an idle connection ends now, others after their answer.
  virtual void drain() = 0;
  // Releases everything. Idempotent. The object is opened again for another connection.
  virtual void close() = 0;
};

// The way back to a session from other threads. It may outlive the session, its connection and the server.
class SessionLink {
 public:
  SessionLink() = default;
  SessionLink(std::shared_ptr<Mailbox> mailbox, uint64_t connection)
      : mailbox_(std::move(mailbox)), connection_(connection) {}
  // Runs `task` on the loop's thread if the connection is still there by then; what it writes is sent.
  void post(std::function<void(Session&)> task) const;

 private:
  std::shared_ptr<Mailbox> mailbox_;
  uint64_t connection_ = 0;
};

// Counts since start. For protocols other than HTTP a request is what gets one answer, and has no class.
struct ServerStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // by a connection limit
  uint64_t connections_open = 0;
  uint64_t requests = 0;                // answered
  uint64_t responses_by_class[6] = {};  // [2] = 2xx ...; [0] unused
  uint64_t timeouts = 0;
  uint64_t aborted = 0;  // connections that ended in the middle of a request or an answer
  uint64_t tls_failures = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
};

class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual std::unique_ptr<Session> make_session() = 0;
  // Begins a new connection on a session that make_session() made. `peer` stays valid until close().
  virtual void open(Session& session, const PeerAddress& peer, bool tls, SessionLink link) = 0;
  // The loop's clock, CLOCK_MONOTONIC in milliseconds: told before anything else happens in a turn.
  virtual void set_now_ms(uint64_t now_ms) = 0;
  // From now on answers are the last of their connection.
  virtual void begin_drain() = 0;
  // Of this loop; it adds to them, too.
  virtual ServerStats& stats() = 0;
};

}  // namespace tamis::net
