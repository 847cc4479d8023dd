// The real resolver against a small server on loopback that answers as it is told: the same faults that
// test/mail_auth_test.py shows with a server of others, in milliseconds.
#include "net/resolver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "event/ip.h"
#include "net/socket.h"

namespace tamis::net {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;
using Answer = std::shared_ptr<const DnsAnswer>;

// A DNS server on UDP and TCP. The first label of a name says what happens to its question:
//   silent: no answer. servfail, nxdomain, nodata: that. large: cut off over UDP, whole over TCP. slow: after 300 ms.
//   others: one TXT record with the number of questions so far.
class Server {
 public:
  Server() {
    udp_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    tcp_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // The port that the system gives for UDP may be taken for TCP.
    for (int i = 0; i < 50; ++i) {
      udp_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      address.sin_port = 0;
      socklen_t size = sizeof address;
      EXPECT_EQ(bind(udp_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
      EXPECT_EQ(getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
      if (bind(tcp_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0) break;
    }
    EXPECT_EQ(listen(tcp_.get(), 8), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~Server() {
    stop_ = true;
    thread_.join();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int questions() const { return questions_; }

 private:
  void run() {
    while (!stop_) {
      pollfd fds[] = {{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
      if (poll(fds, 2, 20) <= 0) continue;
      char bytes[2048];
      if (fds[0].revents != 0) {
        sockaddr_in from{};
        socklen_t size = sizeof from;
        const ssize_t got = recvfrom(udp_.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &size);
        if (got <= 0) continue;
        const std::string reply = answer({bytes, static_cast<size_t>(got)}, false);
        if (!reply.empty()) sendto(udp_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
      if (fds[1].revents != 0) {
        const Fd client(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ssize_t got = 0;
        while (got < 2 || got < 2 + (static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]))) {
          const ssize_t more = read(client.get(), bytes + got, sizeof bytes - static_cast<size_t>(got));
          if (more <= 0) break;
          got += more;
        }
        if (got < 14) continue;
        std::string reply = answer({bytes + 2, static_cast<size_t>(got - 2)}, true);
        reply.insert(0, {static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())});
        EXPECT_EQ(write(client.get(), reply.data(), reply.size()), static_cast<ssize_t>(reply.size()));
      }
    }
  }

  std::string answer(std::string_view question, bool tcp) {
    const int number = ++questions_;
    const std::string_view label = question.substr(13, static_cast<uint8_t>(question[12]));
    if (label == "silent") return {};
    if (label == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(300));
    size_t end = 12;
    while (question[end] != 0) end += static_cast<size_t>(question[end]) + 1;
    std::string out(question.substr(0, end + 5));
    out[2] = static_cast<char>(0x81);
    out[3] = static_cast<char>(label == "servfail" ? 2 : label == "nxdomain" ? 3 : 0);
    out[7] = out[9] = out[11] = 0;
    if (label == "servfail" || label == "nxdomain" || label == "nodata") return out;
    if (label == "large" && !tcp) {
      out[2] |= 2;
      return out;
    }
    const std::string text = std::to_string(number);
    const int records = label == "large" ? 200 : 1;
    out[6] = static_cast<char>(records >> 8);
    out[7] = static_cast<char>(records);
    for (int i = 0; i < records; ++i) {
      out += std::string("\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00", 11);
      out += static_cast<char>(text.size() + 1);
      out += static_cast<char>(text.size());
      out += text;
    }
    return out;
  }

  Fd udp_, tcp_;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> questions_{0};
  std::thread thread_;
};

class Waiting {
 public:
  Resolver::Done done() {
    return [this](const Answer& answer) {
      std::lock_guard lock(mutex_);
      answers_.push_back(answer);
      changed_.notify_all();
    };
  }
  std::vector<Answer> wait(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return answers_.size() >= count; }));
    return answers_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Answer> answers_;
};

class ResolverTest : public ::testing::Test {
 protected:
  void open(ResolverOptions options = {}, std::string servers = "") {
    auto opened = open_resolver(servers.empty() ? server_.address() : servers, options, clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    resolver_ = std::move(*opened);
  }
  Answer ask(const std::string& name, int64_t timeout_ms = 5'000) {
    Waiting waiting;
    resolver_->ask({DnsType::kTxt, name}, timeout_ms, waiting.done());
    return waiting.wait(1).at(0);
  }

  Server server_;
  base::SystemClock clock_;
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, AnswersAreToldApart) {
  ResolverOptions options;
  options.timeout_ms = 100;
  options.attempts = 2;
  open(options);
  const Answer ok = ask("some.example");
  ASSERT_EQ(ok->status, DnsStatus::kOk) << ok->reason;
  EXPECT_EQ(ok->texts.size(), 1u);
  EXPECT_EQ(ok->ttl_s, 60u);
  EXPECT_EQ(ask("nxdomain.example")->status, DnsStatus::kNoName);
  EXPECT_EQ(ask("nodata.example")->status, DnsStatus::kNoData);
  EXPECT_EQ(ask("servfail.example")->status, DnsStatus::kFailed);
  EXPECT_EQ(ask("silent.example")->status, DnsStatus::kTimeout);
  EXPECT_EQ(ask("large.example")->texts.size(), 200u);  // over TCP
  EXPECT_EQ(ask("a..b")->status, DnsStatus::kNoName);
  EXPECT_EQ(ask("some.example", 0)->status, DnsStatus::kOk);  // cached
  EXPECT_EQ(ask("other.example", 0)->status, DnsStatus::kTimeout);
}

TEST_F(ResolverTest, CachesAllKindsOfAnswers) {
  ResolverOptions options;
  options.timeout_ms = 100;
  open(options);
  for (const char* name : {"a.example", "nxdomain.example", "nodata.example", "servfail.example", "silent.example"}) {
    const DnsStatus first = ask(name)->status;
    const int before = server_.questions();
    EXPECT_EQ(ask(name)->status, first) << name;
    EXPECT_EQ(server_.questions(), before) << name;
  }
  const int before = server_.questions();
  EXPECT_EQ(ask("A.eXample")->status, DnsStatus::kOk);
  EXPECT_EQ(server_.questions(), before);
  EXPECT_EQ(resolver_->stats().from_cache, 6u);
  EXPECT_EQ(resolver_->stats().cache_entries, 5u);
}

TEST_F(ResolverTest, EqualQuestionsAreAskedOnce) {
  open();
  Waiting waiting;
  for (int i = 0; i < 100; ++i) resolver_->ask({DnsType::kTxt, "slow.example"}, 5'000, waiting.done());
  for (const Answer& answer : waiting.wait(100)) EXPECT_EQ(answer->status, DnsStatus::kOk);
  EXPECT_EQ(server_.questions(), 1);
  EXPECT_EQ(resolver_->stats().joined, 99u);
}

// The caller's time counts, not the server's; what comes late is there for the next.
TEST_F(ResolverTest, CallersHaveTheirOwnTime) {
  open();
  const int64_t begin = clock_.steady_ns();
  EXPECT_EQ(ask("slow.example", 50)->status, DnsStatus::kTimeout);
  EXPECT_LT(clock_.steady_ns() - begin, 280'000'000);
  EXPECT_EQ(ask("slow.example")->status, DnsStatus::kOk);
  EXPECT_EQ(server_.questions(), 1);
  EXPECT_EQ(resolver_->stats().timed_out, 1u);
}

TEST_F(ResolverTest, BoundedUnderWay) {
  ResolverOptions options;
  options.in_flight_max = 4;
  options.waiting_max = 50;
  options.timeout_ms = 200;
  options.attempts = 1;
  open(options);
  Waiting waiting;
  for (int i = 0; i < 60; ++i) resolver_->ask({DnsType::kTxt, "silent.x" + std::to_string(i)}, 600, waiting.done());
  EXPECT_LE(resolver_->stats().in_flight, 4u);
  size_t failed = 0, late = 0;
  for (const Answer& answer : waiting.wait(60)) {
    failed += answer->status == DnsStatus::kFailed;
    late += answer->status == DnsStatus::kTimeout;
  }
  EXPECT_EQ(failed, 10u);
  EXPECT_EQ(late, 50u);
  EXPECT_EQ(resolver_->stats().turned_away, 10u);
  EXPECT_LT(server_.questions(), 30);  // those that nobody waited for any more were not asked
  EXPECT_EQ(ask("some.example")->status, DnsStatus::kOk);
}

TEST_F(ResolverTest, FailsOverToTheNextServer) {
  ResolverOptions options;
  options.timeout_ms = 200;
  // Nobody listens at the first: the port of a socket that is bound and never read.
  const Fd dead(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(dead.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  open(options, "127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "," + server_.address());
  EXPECT_EQ(ask("some.example")->status, DnsStatus::kOk);
}

TEST_F(ResolverTest, EndsWithQuestionsUnderWay) {
  open();
  Waiting waiting;
  std::atomic<int> nested{0};
  Resolver* const resolver = resolver_.get();
  for (int i = 0; i < 20; ++i) {
    resolver_->ask({DnsType::kTxt, "silent.x" + std::to_string(i)}, 60'000,
                   [&, done = waiting.done()](const Answer& answer) {
                     // Asked again while the resolver ends.
                     resolver->ask({DnsType::kTxt, "again.example"}, 1'000, [&](const Answer&) { ++nested; });
                     done(answer);
                   });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  resolver_.reset();
  for (const Answer& answer : waiting.wait(20)) EXPECT_EQ(answer->status, DnsStatus::kFailed);
  EXPECT_EQ(nested, 20);
}

TEST_F(ResolverTest, ManyThreadsAsk) {
  open();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Waiting waiting;
      for (int i = 0; i < 100; ++i) {
        resolver_->ask({DnsType::kTxt, "n" + std::to_string(i + t * 30) + ".example"}, 10'000, waiting.done());
      }
      for (const Answer& answer : waiting.wait(100)) good += answer->status == DnsStatus::kOk;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 400);
  EXPECT_LE(server_.questions(), 190);
}

TEST(OpenResolver, Servers) {
  base::SystemClock clock;
  for (const char* good : {"off", "system", "127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353",
                           "192.0.2.1,[2001:db8::1]:53,192.0.2.3:54"}) {
    EXPECT_TRUE(open_resolver(good, {}, clock)) << good;
  }
  for (const char* bad : {"", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "[::1", "[::1]53",
                          "127.0.0.1,", "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1"}) {
    EXPECT_FALSE(open_resolver(bad, {}, clock)) << bad;
  }
  auto off = open_resolver("off", {}, clock);
  bool told = false;
  (*off)->ask({DnsType::kA, "example.com"}, 1'000, [&](const Answer& a) { told = a->status == DnsStatus::kOff; });
  EXPECT_TRUE(told);
  EXPECT_TRUE((*off)->is_off());
}

}  // namespace
}  // namespace tamis::net
