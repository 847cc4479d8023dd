// Sends events to an HTTP server at a given rate, or as fast as it answers, and tells how long answers took.
//
// Open loop (--rate R): request i is due at start + i/R whether or not earlier ones were answered, and its latency
// counts from when it was due, so a server that stalls cannot hide it. Closed loop (no --rate): each connection sends
// the next request when it has the answer to the last. With --batch N a request carries N events as lines. Prints one
// line of JSON. Loopback and small: one thread, epoll, HTTP/1.1 keep-alive, no pipelining.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(1);
}

// Counts by value with 64 steps in each power of two: an error under 1.6 %, whatever the range.
class Histogram {
 public:
  void add(int64_t value) {
    count_++;
    max_ = std::max(max_, value);
    counts_[index(static_cast<uint64_t>(std::max<int64_t>(value, 0)))]++;
  }
  uint64_t count() const { return count_; }
  int64_t max() const { return max_; }
  // The upper end of the step in which the given share of values has been reached.
  int64_t quantile(double share) const {
    auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); i++) {
      seen += counts_[i];
      if (seen > wanted) return std::min(upper(i), max_);
    }
    return max_;
  }

 private:
  static size_t index(uint64_t value) {
    if (value < 128) return value;
    auto shift = static_cast<size_t>(std::bit_width(value)) - 7;
    return 64 * (shift + 1) + ((value >> shift) - 64);
  }
  static int64_t upper(size_t index) {
    if (index < 128) return static_cast<int64_t>(index);
    size_t shift = index / 64 - 1;
    return static_cast<int64_t>(((index % 64 + 65) << shift) - 1);
  }
  std::array<uint64_t, 64 * 60> counts_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

struct Options {
  uint16_t port = 0;
  std::string path = "/", events, type = "application/json", token;
  size_t connections = 64, batch = 1;
  double rate = 0, seconds = 5;
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view name = argv[i];
    std::string value = argv[i + 1];
    if (name == "--port") {
      options.port = static_cast<uint16_t>(std::atoi(value.c_str()));
    } else if (name == "--path") {
      options.path = value;
    } else if (name == "--events") {
      options.events = value;
    } else if (name == "--type") {
      options.type = value;
    } else if (name == "--token") {
      options.token = value;
    } else if (name == "--connections") {
      options.connections = static_cast<size_t>(std::atoi(value.c_str()));
    } else if (name == "--batch") {
      options.batch = static_cast<size_t>(std::atoi(value.c_str()));
    } else if (name == "--rate") {
      options.rate = std::atof(value.c_str());
    } else if (name == "--seconds") {
      options.seconds = std::atof(value.c_str());
    } else {
      die("unknown option " + std::string(name));
    }
  }
  if (options.port == 0 || options.events.empty() || options.connections == 0 || options.batch == 0) {
    die("usage: load --port P --events FILE [--path /x] [--rate R] [--seconds S] [--connections C] [--batch N]");
  }
  return options;
}

// Whole requests, made before the clock runs.
std::vector<std::string> make_requests(const Options& options) {
  std::ifstream in(options.events);
  std::vector<std::string> requests;
  std::string body;
  size_t lines = 0;
  auto finish = [&] {
    std::string head =
        "POST " + options.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + options.type + "\r\n";
    if (!options.token.empty()) head += "Authorization: Bearer " + options.token + "\r\n";
    requests.push_back(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    body.clear();
    lines = 0;
  };
  for (std::string line; requests.size() < 20'000 && std::getline(in, line);) {
    body += line;
    if (options.batch > 1) body += '\n';
    if (++lines == options.batch) finish();
  }
  if (requests.empty()) die("fewer events in " + options.events + " than one request has");
  return requests;
}

// Reads one HTTP response as it comes: status, then a body by Content-Length or in chunks. Counts the body's lines.
class Response {
 public:
  int status = 0;
  uint64_t lines = 0;

  // Takes what has come; true when the response is whole.
  bool feed(std::string_view data) {
    buffer_.append(data);
    if (!in_body_ && !read_head()) return false;
    return chunked_ ? read_chunks() : read_plain();
  }
  void reset() { *this = Response(); }

 private:
  bool read_head() {
    size_t end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::string head = buffer_.substr(0, end + 2);
    if (head.size() < 12) die("a response that is not HTTP");
    status = std::atoi(head.c_str() + 9);
    std::transform(head.begin(), head.end(), head.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    size_t length = head.find("\r\ncontent-length:");
    chunked_ = head.find("\r\ntransfer-encoding: chunked") != std::string::npos;
    if (length != std::string::npos) left_ = std::strtoull(head.c_str() + length + 17, nullptr, 10);
    buffer_.erase(0, end + 4);
    in_body_ = true;
    return true;
  }
  void take(size_t bytes) {
    lines += static_cast<uint64_t>(std::count(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(bytes), '\n'));
    buffer_.erase(0, bytes);
  }
  bool read_plain() {
    size_t bytes = std::min<size_t>(buffer_.size(), left_);
    take(bytes);
    left_ -= bytes;
    return left_ == 0;
  }
  bool read_chunks() {
    for (;;) {
      if (left_ > 0) {  // of the chunk and the line end behind it
        size_t bytes = std::min<size_t>(buffer_.size(), left_ > 2 ? left_ - 2 : 0);
        take(bytes);
        left_ -= bytes;
        if (left_ > 2 || buffer_.size() < 2) return false;
        buffer_.erase(0, 2);
        left_ = 0;
        if (last_) return true;
      }
      size_t end = buffer_.find("\r\n");
      if (end == std::string::npos) return false;
      uint64_t bytes = std::strtoull(buffer_.c_str(), nullptr, 16);
      buffer_.erase(0, end + 2);
      left_ = bytes + 2;
      last_ = bytes == 0;
    }
  }
  std::string buffer_;
  uint64_t left_ = 0;
  bool in_body_ = false, chunked_ = false, last_ = false;
};

struct Connection {
  int fd = -1;
  bool busy = false;
  int64_t due_ns = 0;
  std::string_view out;  // of the request, what is not sent yet
  bool wants_write = false;
  Response response;
};

constexpr int64_t kStallNs = 100'000'000;

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), requests_(make_requests(options)), connections_(options.connections) {}

  void run() {
    connect_all();
    const int64_t start = start_ns_ = now_ns(), end = start + static_cast<int64_t>(options_.seconds * 1e9);
    // Late answers are waited for a little, so that a slow server's worst is counted.
    const int64_t give_up = end + 2'000'000'000;
    while (true) {
      int64_t now = now_ns();
      if (last_poll_ns_ != 0) own_gap_ns_ = std::max(own_gap_ns_, now - last_poll_ns_);
      last_poll_ns_ = now;
      if (now >= end && (busy_ == 0 || now >= give_up)) break;
      if (now < end) start_requests(start, now);
      poll();
    }
    report(static_cast<double>(std::min(now_ns(), give_up) - start) / 1e9);
  }

 private:
  void connect_all() {
    epoll_ = epoll_create1(0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < connections_.size(); i++) {
      Connection& c = connections_[i];
      c.fd = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        die(std::string("connect: ") + strerror(errno));
      int one = 1;
      setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event);
      free_.push_back(i);
    }
  }

  void start_requests(int64_t start, int64_t now) {
    while (!free_.empty()) {
      int64_t due = now;
      if (options_.rate > 0) {
        due = start + static_cast<int64_t>(static_cast<double>(sent_) * 1e9 / options_.rate);
        if (due > now) return;
      }
      size_t i = free_.front();
      free_.pop_front();
      Connection& c = connections_[i];
      c.due_ns = due;
      c.out = requests_[sent_++ % requests_.size()];
      c.busy = true;
      busy_++;
      write_some(c, i);
    }
  }

  void write_some(Connection& c, size_t i) {
    while (!c.out.empty()) {
      ssize_t written = send(c.fd, c.out.data(), c.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (written < 0) {
        if (errno != EAGAIN) return fail(c);
        break;
      }
      c.out.remove_prefix(static_cast<size_t>(written));
    }
    if (c.wants_write == c.out.empty()) {
      c.wants_write = !c.out.empty();
      epoll_event event{};
      event.events = c.wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
    }
  }

  // A connection that broke is not made again: its requests count as failed.
  void fail(Connection& c) {
    failed_++;
    close(c.fd);
    c.fd = -1;
    if (c.busy) busy_--;
    c.busy = false;
    if (++broken_ == connections_.size()) die("all connections broke");
  }

  void poll() {
    std::array<epoll_event, 256> events;
    // A paced load polls without sleeping: the scheduler's wake-up would count as the server's time.
    int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), options_.rate > 0 ? 0 : 10);
    for (int k = 0; k < count; k++) {
      size_t i = events[static_cast<size_t>(k)].data.u64;
      Connection& c = connections_[i];
      if (c.fd >= 0 && (events[static_cast<size_t>(k)].events & EPOLLOUT)) write_some(c, i);
      if (c.fd >= 0 && (events[static_cast<size_t>(k)].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_some(c, i);
    }
  }

  void read_some(Connection& c, size_t i) {
    ssize_t bytes = recv(c.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes <= 0) return fail(c);
    if (!c.response.feed({buffer_.data(), static_cast<size_t>(bytes)}) || !c.out.empty()) return;
    const int64_t now = now_ns();
    latency_.add(now - c.due_ns);
    if (now - c.due_ns > kStallNs) {
      const int64_t second = (now - start_ns_) / 1'000'000'000;
      if (stalled_.empty() || stalled_.back() != second) stalled_.push_back(second);
    }
    if (c.response.status / 100 != 2) refused_++;
    lines_ += c.response.lines;
    c.response.reset();
    c.busy = false;
    busy_--;
    free_.push_back(i);
  }

  void report(double seconds) {
    auto us = [&](double share) { return static_cast<double>(latency_.quantile(share)) / 1000; };
    std::printf(
        "{\"answers\":%llu,\"refused\":%llu,\"failed\":%llu,\"unanswered\":%zu,\"seconds\":%.3f,\"per_s\":%.0f,"
        "\"lines\":%llu,"
        "\"p50_us\":%.0f,\"p90_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f,"
        "\"own_gap_us\":%.0f,\"stalled_at_s\":[",
        static_cast<unsigned long long>(latency_.count()), static_cast<unsigned long long>(refused_),
        static_cast<unsigned long long>(failed_), busy_, seconds, static_cast<double>(latency_.count()) / seconds,
        static_cast<unsigned long long>(lines_), us(0.5), us(0.9), us(0.99), us(0.999),
        static_cast<double>(latency_.max()) / 1000, static_cast<double>(own_gap_ns_) / 1000);
    for (size_t i = 0; i < std::min<size_t>(stalled_.size(), 100); i++) {
      std::printf("%s%lld", i == 0 ? "" : ",", static_cast<long long>(stalled_[i]));
    }
    std::printf("]}\n");
  }

  Options options_;
  std::vector<std::string> requests_;
  std::vector<Connection> connections_;
  std::deque<size_t> free_;
  std::array<char, 256 * 1024> buffer_;
  Histogram latency_;
  int64_t start_ns_ = 0, last_poll_ns_ = 0;
  int64_t own_gap_ns_ = 0;        // the longest between two polls: what the load itself was held up
  std::vector<int64_t> stalled_;  // the seconds in which an answer took longer than kStallNs
  uint64_t sent_ = 0, refused_ = 0, failed_ = 0, lines_ = 0;
  size_t busy_ = 0, broken_ = 0;
  int epoll_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
  static Load load(read_options(argc, argv));
  load.run();
}
