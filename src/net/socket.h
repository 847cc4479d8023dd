// Sockets and addresses for server and client: TCP over IPv4 and IPv6, and unix-domain stream sockets.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tamis::net {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// The other end of a connection.
struct PeerAddress {
  enum class Family : uint8_t { kUnix, kIp4, kIp6 };
  Family family = Family::kUnix;
  uint16_t port = 0;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 in the first four
  std::array<char, 46> text_buffer{};
  uint8_t text_bytes = 0;
  int64_t user_id = -1;  // unix sockets: of the process at the other end when it connected; -1: not known

  // "192.0.2.1", "2001:db8::1" (IPv4-mapped addresses are shown and kept as IPv4), "unix".
  std::string_view text() const { return {text_buffer.data(), text_bytes}; }
  // One value per IPv4 address or IPv6 /64: what limits per address count by.
  uint64_t limit_key() const;

  static PeerAddress from(const sockaddr_storage& storage);
};

// A place to listen at or to connect to, not yet resolved.
struct Endpoint {
  bool is_unix = false;
  std::string host;  // or the path of a unix socket; empty: all addresses
  uint16_t port = 0;

  // "HOST:PORT", "[v6]:PORT", ":PORT", "unix:PATH".
  static base::Result<Endpoint> parse(std::string_view text);
  std::string text() const;
};

struct ListenSocket {
  Fd fd;
  Endpoint bound;  // with the real port
};

struct ListenSocketOptions {
  int backlog = 1'024;
  bool reuse_port = false;
  int unix_mode = 0660;
};

// Non-blocking, close-on-exec. A stale unix socket file (nobody accepts there) is replaced, any other file is not.
base::Result<ListenSocket> listen_on(const Endpoint& endpoint, const ListenSocketOptions& options);

// Connects within the timeout; the socket is left non-blocking. All addresses of a name are tried in turn, but for
// those that `may_connect` (null: all may) refuses: it sees the very address that would be connected to.
base::Result<Fd> connect_to(const Endpoint& endpoint, int timeout_ms,
                            const std::function<bool(const PeerAddress&)>& may_connect = nullptr);

// Waits until `events` (POLLIN, POLLOUT) or a timeout of `timeout_ms`; false on timeout.
bool wait_for(int fd, short events, int timeout_ms);

// "errno 13: Permission denied" as words.
std::string errno_text(int error);

}  // namespace tamis::net
