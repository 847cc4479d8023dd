// LoopServer: listening sockets, and threads that each run a Loop over them. Every server of Tamis is one with its own
// Protocol: HTTP (net/http_server.h) and the protocols of mail servers (door/mail_doors.h).
//
// Threading: every() and after_batch() before start(); post_task() and stop() from any thread, stop() not from a
// loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/session.h"

namespace tamis::net {

class TlsServerContext;  // net/tls.h

struct ListenOptions {
  // "HOST:PORT", "[v6]:PORT", ":PORT" (all addresses), or "unix:PATH". Port 0 takes a free one, see addresses().
  std::string address = "127.0.0.1:0";
  std::shared_ptr<TlsServerContext> tls = nullptr;  // null: no TLS
  int unix_mode = 0660;                             // permissions of a unix socket
};

struct LoopServerOptions {
  std::vector<ListenOptions> listen = {ListenOptions{}};
  int threads = 1;
  int backlog = 1'024;
  size_t connections_max = 10'000;             // further ones are closed at once
  size_t connections_per_address_max = 1'000;  // of one IPv4 address or IPv6 /64; unix sockets are exempt
  int handshake_timeout_ms = 10'000;           // of TLS
};

class LoopServer {
 public:
  // `make_protocol` is called once for each loop, in start(). What the protocols refer to must outlive this.
  LoopServer(LoopServerOptions options, std::function<std::unique_ptr<Protocol>()> make_protocol);
  ~LoopServer();  // stop(0)
  LoopServer(const LoopServer&) = delete;
  LoopServer& operator=(const LoopServer&) = delete;

  // Runs `task` about every `interval_ms` (at least 1) on the first loop's thread, between events.
  void every(int interval_ms, std::function<void()> task);
  // Runs `task` after each turn of the first loop that answered requests, before the answers are written.
  void after_batch(std::function<void()> task);

  // Binds all addresses and starts the loop threads. Errors name the address and the system's reason.
  base::Status start();
  bool started() const;
  // What was bound, in the order of `listen`, with the real port: "127.0.0.1:43211", "unix:/run/tamis.sock".
  const std::vector<std::string>& addresses() const;
  // Port of the first TCP address, 0 when there is none.
  uint16_t port() const;

  // Runs `task` soon on the first loop's thread. False when the server is not running (the task is then dropped).
  bool post_task(std::function<void()> task);

  // Stops listening, lets requests in progress finish for up to `drain_ms`, closes everything and joins the threads.
  // Idempotent; not for two threads at once.
  void stop(int drain_ms);

  // Summed over loops; approximate while the server runs.
  ServerStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::net
