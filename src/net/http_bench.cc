// What the HTTP server costs. `Wrk*` need the program wrk and measure whole requests over loopback, per second of this
// process's CPU time, for our server and for a bare epoll loop that does not even parse; the others measure single
// parts, without sockets.
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "net/auth.h"
#include "net/http_server.h"
#include "net/http_session.h"

namespace {

using namespace tamis::net;

constexpr std::string_view kAnswer = "{\"verdict\":\"allow\",\"points\":12}\n";
constexpr std::string_view kRequest =
    "POST /v1/decide/login HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
    "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"account\":\"a\",\"ip\":\"::1\"}\n";

// The least that can answer at all: reads, looks for the end of a head, writes fixed bytes.
class BareLoop {
 public:
  BareLoop() : listener_(std::move(*listen_on(*Endpoint::parse("127.0.0.1:0"), {}))), thread_([this] { run(); }) {}
  ~BareLoop() {
    stop_ = true;
    { auto wake = connect_to(listener_.bound, 1'000); }
    thread_.join();
  }
  std::string address() const { return listener_.bound.text(); }

 private:
  void run() {
    std::string answer =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: application/json\r\n"
        "Content-Length: 32\r\n\r\n";
    answer += kAnswer;
    Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_.fd.get();
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener_.fd.get(), &event);
    epoll_event events[256];
    char buffer[16384];
    while (!stop_) {
      int n = epoll_wait(epoll.get(), events, 256, -1);
      for (int i = 0; i < n; ++i) {
        int fd = events[i].data.fd;
        if (fd == listener_.fd.get()) {
          int accepted = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
          int on = 1;
          setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          event.data.fd = accepted;
          epoll_ctl(epoll.get(), EPOLL_CTL_ADD, accepted, &event);
          continue;
        }
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0)
          ::close(fd);
        else if (memmem(buffer, static_cast<size_t>(got), "\r\n\r\n", 4) != nullptr &&
                 send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0)
          ::close(fd);
      }
    }
  }
  std::atomic<bool> stop_{false};
  ListenSocket listener_;
  std::thread thread_;
};

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; }

// Runs wrk for two seconds and relates its requests to the CPU time of this process.
void measure(benchmark::State& state, const std::string& address, const std::string& path, const std::string& options) {
  for (auto _ : state) {
    rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    std::string command = "wrk -t1 -c64 -d2s --latency " + options + " http://" + address + path + " 2>/dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    char line[512], p99[32] = "?";
    double requests = 0;
    while (fgets(line, sizeof line, pipe) != nullptr) {
      if (std::strstr(line, " requests in ") != nullptr) requests = std::atof(line);
      if (std::sscanf(line, " 99%% %31s", p99) == 1) state.SetLabel(std::string("p99 ") + p99);
    }
    pclose(pipe);
    getrusage(RUSAGE_SELF, &after);
    if (requests == 0) return state.SkipWithError("wrk gave no result");
    double user = seconds(after.ru_utime) - seconds(before.ru_utime);
    double system = seconds(after.ru_stime) - seconds(before.ru_stime);
    state.counters["req_per_cpu_s"] = requests / (user + system);
    state.counters["req_per_s"] = requests / 2;
    state.counters["user_us"] = user * 1e6 / requests;
    state.counters["system_us"] = system * 1e6 / requests;
  }
}

std::unique_ptr<HttpServer> make_server() {
  auto server = std::make_unique<HttpServer>();
  server->get("/", [](const Request&, Response& out) { out.append(kAnswer); });
  server->post("/v1/decide/{type}", [](const Request&, Response& out) { out.append(kAnswer); });
  if (!server->start()) std::abort();
  return server;
}

// A POST of 650 bytes for wrk, as a Lua script.
struct PostScript {
  PostScript() {
    std::ofstream(path) << "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = \""
                        << std::string(650, 'x') << "\"\n";
  }
  ~PostScript() { unlink(path.c_str()); }
  std::string path = "tamis_bench_" + std::to_string(getpid()) + ".lua";
};

void WrkBareLoop(benchmark::State& state) {
  BareLoop bare;
  measure(state, bare.address(), "/", "");
}
void WrkServer(benchmark::State& state) {
  auto server = make_server();
  measure(state, server->addresses()[0], "/", "");
}
void WrkBareLoopPost650(benchmark::State& state) {
  BareLoop bare;
  PostScript script;
  measure(state, bare.address(), "/", "-s " + script.path);
}
void WrkServerPost650(benchmark::State& state) {
  auto server = make_server();
  PostScript script;
  measure(state, server->addresses()[0], "/v1/decide/login", "-s " + script.path);
}
BENCHMARK(WrkBareLoop)->Iterations(1)->Repetitions(3)->Unit(benchmark::kMillisecond);
BENCHMARK(WrkServer)->Iterations(1)->Repetitions(3)->Unit(benchmark::kMillisecond);
BENCHMARK(WrkBareLoopPost650)->Iterations(1)->Repetitions(3)->Unit(benchmark::kMillisecond);
BENCHMARK(WrkServerPost650)->Iterations(1)->Repetitions(3)->Unit(benchmark::kMillisecond);

// With a fresh Request each time, so most of it is the memory for the headers; a session keeps that.
void HeadParse(benchmark::State& state) {
  HeadLimits limits{8192, 32768, 100};
  for (auto _ : state) {
    HeadParser parser;
    Request fresh;
    benchmark::DoNotOptimize(parser.parse(kRequest.data(), kRequest.size(), limits, fresh));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRequest.size()));
}
BENCHMARK(HeadParse);

struct FreeFlight : InFlight {
  bool try_add() override { return true; }
  void add() override {}
  void remove() override {}
};

// Everything but the system calls: parse, route, handle, answer.
void SessionRequest(benchmark::State& state) {
  Router router;
  router.add(Method::kPost, "/v1/decide/{type}",
             {[](const Request&, Response& out) { out.append(kAnswer); }, nullptr, {}});
  HttpLimits limits;
  HttpServerStats stats;
  ExchangePool pool;
  FreeFlight in_flight;
  SessionEnv env;
  env.router = &router;
  env.limits = &limits;
  env.pool = &pool;
  env.in_flight = &in_flight;
  env.stats = &stats;
  PeerAddress peer;
  HttpSession session(env);
  session.open(&peer, false, [](uint64_t) { return nullptr; });
  std::string input;
  for (int64_t i = 0; i < state.range(0); ++i) input += kRequest;
  for (auto _ : state) {
    auto space = session.read_space();
    std::memcpy(space.data(), input.data(), input.size());
    session.received(input.size());
    session.sent(session.output().size());
  }
  state.SetItemsProcessed(static_cast<int64_t>(stats.requests));
}
BENCHMARK(SessionRequest)->Arg(1)->Arg(16);

void TokenCheckCached(benchmark::State& state) {
  auto token = TokenStore::generate("bench", Role::kDecide);
  auto store = TokenStore::parse(token->line, "tokens");
  for (auto _ : state) benchmark::DoNotOptimize((*store)->check(token->token));
}
BENCHMARK(TokenCheckCached);

void TokenCheckWrong(benchmark::State& state) {
  auto token = TokenStore::generate("bench", Role::kDecide);
  auto store = TokenStore::parse(token->line, "tokens");
  std::string wrong = token->token;
  wrong.back() = wrong.back() == 'A' ? 'B' : 'A';
  for (auto _ : state) benchmark::DoNotOptimize((*store)->check(wrong));
}
BENCHMARK(TokenCheckWrong);

void RateLimitTake(benchmark::State& state) {
  RateLimiter limiter({.per_s = 1e6, .burst = 1e6});
  uint64_t now_ms = 0;
  for (auto _ : state) {
    ++now_ms;
    benchmark::DoNotOptimize(limiter.take(now_ms & 1023, now_ms));
  }
}
BENCHMARK(RateLimitTake);

}  // namespace
