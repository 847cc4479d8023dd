// The ceiling for an HTTP server with one thread: an epoll loop that reads a request by its Content-Length and answers
// with fixed bytes of the size of a decision. It parses nothing else and decides nothing. Prints "listening on
// 127.0.0.1:PORT".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>

namespace {

// Removes each whole request from `in`; how many there were.
size_t take_requests(std::string& in) {
  size_t count = 0, begin = 0;
  for (;;) {
    size_t end = in.find("\r\n\r\n", begin);
    if (end == std::string::npos) break;
    size_t length = in.find("Content-Length: ", begin);
    size_t bytes = length < end ? std::strtoull(in.c_str() + length + 16, nullptr, 10) : 0;
    if (in.size() < end + 4 + bytes) break;
    begin = end + 4 + bytes;
    count++;
  }
  in.erase(0, begin);
  return count;
}

}  // namespace

int main() {
  std::signal(SIGTERM, [](int) { _exit(0); });
  const std::string body =
      "{\"id\":\"e00000000\",\"verdict\":\"allow\",\"rules\":[]," + std::string(220, ' ') + "\"points\":0}\n";
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 1024) != 0) return 1;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  std::unordered_map<int, std::string> pending;
  std::array<epoll_event, 256> events;
  std::array<char, 65536> buffer;
  for (;;) {
    int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; i++) {
      int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener) {
        int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        int one = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        event.data.fd = accepted;
        epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &event);
        continue;
      }
      ssize_t bytes = read(fd, buffer.data(), buffer.size());
      if (bytes <= 0) {
        close(fd);
        pending.erase(fd);
        continue;
      }
      std::string& in = pending[fd];
      in.append(buffer.data(), static_cast<size_t>(bytes));
      for (size_t n = take_requests(in); n > 0; n--) {
        if (write(fd, answer.data(), answer.size()) < 0) break;
      }
    }
  }
}
