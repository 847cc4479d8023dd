#include "net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>

#include "base/hash.h"

namespace tamis::net {
namespace {

using base::Code;
using base::fail;
using base::Result;

struct AddrinfoFree {
  void operator()(addrinfo* info) const { freeaddrinfo(info); }
};
using AddrinfoList = std::unique_ptr<addrinfo, AddrinfoFree>;

Result<AddrinfoList> resolve(const Endpoint& endpoint, bool passive) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  std::string port = std::to_string(endpoint.port);
  int error = getaddrinfo(endpoint.host.empty() ? nullptr : endpoint.host.c_str(), port.c_str(), &hints, &list);
  if (error != 0)
    return fail(Code::kUnavailable, fmt::format("cannot resolve {}: {}", endpoint.text(), gai_strerror(error)));
  return AddrinfoList(list);
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return base::invalid(fmt::format("unix:{}: the path is longer than {} bytes", path, sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

uint16_t bound_port(int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return 0;
  return PeerAddress::from(storage).port;
}

Result<ListenSocket> listen_unix(const Endpoint& endpoint, const ListenSocketOptions& options) {
  TAMIS_TRY(address, unix_address(endpoint.host));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  struct stat info;
  if (fd && lstat(endpoint.host.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode))
      return fail(Code::kUnavailable, fmt::format("{}: the file exists and is not a socket", endpoint.text()));
    Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (connect(probe.get(), raw, sizeof address) == 0 || errno == EAGAIN)
      return fail(Code::kUnavailable, fmt::format("{}: another process listens there", endpoint.text()));
    if (errno == ECONNREFUSED) unlink(endpoint.host.c_str());
  }
  // Nobody may connect before the permissions are right, so they are set by the umask-independent fchmod first.
  if (!fd || fchmod(fd.get(), static_cast<mode_t>(options.unix_mode)) != 0 ||
      bind(fd.get(), raw, sizeof address) != 0 ||
      chmod(endpoint.host.c_str(), static_cast<mode_t>(options.unix_mode)) != 0 ||
      listen(fd.get(), options.backlog) != 0)
    return fail(Code::kUnavailable, fmt::format("cannot listen on {}: {}", endpoint.text(), errno_text(errno)));
  return ListenSocket{std::move(fd), endpoint};
}

Result<Fd> connect_one(const sockaddr* address, socklen_t bytes, int family, int timeout_ms) {
  Fd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(Code::kUnavailable, errno_text(errno));
  if (family != AF_UNIX) {
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (connect(fd.get(), address, bytes) == 0) return fd;
  if (errno != EINPROGRESS) return fail(Code::kUnavailable, errno_text(errno));
  if (!wait_for(fd.get(), POLLOUT, timeout_ms))
    return fail(Code::kUnavailable, fmt::format("no connection within {} ms", timeout_ms));
  int error = 0;
  socklen_t error_bytes = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_bytes);
  if (error != 0) return fail(Code::kUnavailable, errno_text(error));
  return fd;
}

}  // namespace

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

std::string errno_text(int error) {
  char buffer[128];
  return fmt::format("errno {}: {}", error, strerror_r(error, buffer, sizeof buffer));
}

PeerAddress PeerAddress::from(const sockaddr_storage& storage) {
  PeerAddress peer;
  const char* text = "unix";
  if (storage.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &storage, sizeof in);
    peer.family = Family::kIp4;
    peer.port = ntohs(in.sin_port);
    std::memcpy(peer.bytes.data(), &in.sin_addr, 4);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, &storage, sizeof in);
    peer.port = ntohs(in.sin6_port);
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
    peer.family = mapped ? Family::kIp4 : Family::kIp6;
    std::memcpy(peer.bytes.data(), in.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
  }
  if (peer.family != Family::kUnix) {
    inet_ntop(peer.family == Family::kIp4 ? AF_INET : AF_INET6, peer.bytes.data(), peer.text_buffer.data(),
              static_cast<socklen_t>(peer.text_buffer.size()));
    peer.text_bytes = static_cast<uint8_t>(std::strlen(peer.text_buffer.data()));
  } else {
    peer.text_bytes = 4;
    std::memcpy(peer.text_buffer.data(), text, 4);
  }
  return peer;
}

uint64_t PeerAddress::limit_key() const {
  return base::hash64(bytes.data(), family == Family::kIp6 ? 8 : 4, static_cast<uint64_t>(family));
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.substr(0, 5) == "unix:") {
    endpoint.is_unix = true;
    endpoint.host = text.substr(5);
    if (endpoint.host.empty()) return base::invalid("unix: needs a path, as in unix:/run/tamis.sock");
    return endpoint;
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return base::invalid(fmt::format("`{}` has no port: expected HOST:PORT, [v6]:PORT, :PORT or unix:PATH", text));
  std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || end != port.data() + port.size())
    return base::invalid(fmt::format("`{}` is not a port: expected a number from 0 to 65535", port));
  if (!host.empty() && host.front() == '[') {
    if (host.size() < 3 || host.back() != ']')
      return base::invalid(fmt::format("`{}` is not an address: expected [v6]:PORT", text));
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return base::invalid(fmt::format("`{}`: an IPv6 address stands in brackets, as in [::1]:8080", text));
  }
  endpoint.host = host;
  return endpoint;
}

std::string Endpoint::text() const {
  if (is_unix) return "unix:" + host;
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

Result<ListenSocket> listen_on(const Endpoint& endpoint, const ListenSocketOptions& options) {
  if (endpoint.is_unix) return listen_unix(endpoint, options);
  if (endpoint.host.empty()) {
    // The IPv6 wildcard serves both families, where there is IPv6.
    Endpoint wildcard = endpoint;
    wildcard.host = "::";
    auto both = listen_on(wildcard, options);
    if (!both) {
      wildcard.host = "0.0.0.0";
      both = listen_on(wildcard, options);
    }
    return both;
  }
  TAMIS_TRY(list, resolve(endpoint, true));
  std::string reason = "no address";
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    Fd fd(socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    int on = 1, v6_only = endpoint.host == "::" ? 0 : 1;
    if (fd) {
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (options.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
      if (at->ai_family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    }
    if (fd && bind(fd.get(), at->ai_addr, at->ai_addrlen) == 0 && listen(fd.get(), options.backlog) == 0) {
      ListenSocket listener{std::move(fd), endpoint};
      listener.bound.port = bound_port(listener.fd.get());
      return listener;
    }
    reason = errno_text(errno);
  }
  return fail(Code::kUnavailable, fmt::format("cannot listen on {}: {}", endpoint.text(), reason));
}

Result<Fd> connect_to(const Endpoint& endpoint, int timeout_ms,
                      const std::function<bool(const PeerAddress&)>& may_connect) {
  std::string reason = "no address";
  if (endpoint.is_unix) {
    TAMIS_TRY(address, unix_address(endpoint.host));
    auto fd = connect_one(reinterpret_cast<const sockaddr*>(&address), sizeof address, AF_UNIX, timeout_ms);
    if (fd) return fd;
    reason = fd.error().message;
  } else {
    TAMIS_TRY(list, resolve(endpoint, false));
    for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
      if (may_connect) {
        sockaddr_storage storage{};
        std::memcpy(&storage, at->ai_addr, std::min<size_t>(at->ai_addrlen, sizeof storage));
        PeerAddress address = PeerAddress::from(storage);
        if (!may_connect(address)) {
          reason = fmt::format("the address {} is not allowed", address.text());
          continue;
        }
      }
      auto fd = connect_one(at->ai_addr, at->ai_addrlen, at->ai_family, timeout_ms);
      if (fd) return fd;
      reason = fd.error().message;
    }
  }
  return fail(Code::kUnavailable, fmt::format("cannot connect to {}: {}", endpoint.text(), reason));
}

bool wait_for(int fd, short events, int timeout_ms) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd poller{fd, events, 0};
    int n = poll(&poller, 1, left > 0 ? static_cast<int>(left) : 0);
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

}  // namespace tamis::net
