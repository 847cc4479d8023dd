#include "net/http_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/metrics.h"
#include "net/certificate_test_kit.h"
#include "net/http_client.h"
#include "net/http_parser.h"
#include "net/tls.h"

namespace tamis::net {
namespace {

struct EchoLines : LineStream {
  void on_line(std::string_view line, uint64_t, Response& out) override {
    out.append(line);
    out.append("!\n");
  }
  void on_overlong_line(uint64_t, Response& out) override { out.append("overlong\n"); }
};

void add_routes(HttpServer& server) {
  server.get("/", [](const Request& in, Response& out) {
    out.append(in.peer().text());
    out.append(in.tls() ? " tls" : " plain");
  });
  server.post("/echo", [](const Request& in, Response& out) { out.append(in.body()); }, {.body_bytes_max = 8 << 20});
  server.get("/big", [](const Request&, Response& out) { out.body().assign(4 << 20, 'b'); });
  server.stream(Method::kPost, "/lines", [](const Request&, Response&) { return std::make_unique<EchoLines>(); },
                {.body_bytes_max = 0});
}

std::string url_of(const HttpServer& server) { return "http://" + server.addresses().at(0); }

HttpClient client_of(const HttpServer& server, HttpClientOptions options = {}) {
  auto client = HttpClient::open(url_of(server), std::move(options));
  EXPECT_TRUE(client);
  return std::move(*client);
}

// A plain socket for what no proper client does.
struct RawClient {
  explicit RawClient(const HttpServer& server)
      : fd(std::move(*connect_to(*Endpoint::parse(server.addresses().at(0)), 5'000))) {}
  bool send(std::string_view text) {
    while (!text.empty()) {
      if (!wait_for(fd.get(), POLLOUT, 5'000)) return false;
      ssize_t n = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n < 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Until the server closes or `timeout_ms` passes without a byte.
  std::string read_all(int timeout_ms = 5'000) {
    std::string text;
    char buffer[16384];
    while (wait_for(fd.get(), POLLIN, timeout_ms)) {
      ssize_t n = recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) {
        closed = true;
        break;
      }
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  Fd fd;
  bool closed = false;
};

// Statistics are published at the end of a loop's turn, so a client may be ahead of them.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return condition();
}

std::string run(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  pclose(pipe);
  return text;
}

TEST(HttpServer, ServesTheClientOverTcpAndUnixSockets) {
  std::string path = fmt::format("{}tamis_http_{}.sock", testing::TempDir(), getpid());
  HttpServer server({.listen = {{.address = "127.0.0.1:0"}, {.address = "unix:" + path, .unix_mode = 0600}}});
  add_routes(server);
  auto status = server.start();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_NE(server.port(), 0);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  HttpClient client = client_of(server);
  for (int i = 0; i < 3; ++i) {
    auto answer = client.get("/");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "127.0.0.1 plain");
    std::string body(static_cast<size_t>(i) * 3'000'000, 'x');
    answer = client.post("/echo", body);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, body);
  }
  EXPECT_EQ(client.get("/big")->body.size(), size_t{4} << 20);
  EXPECT_EQ(client.get("/nowhere")->status, 404);
  auto local = HttpClient::open("unix:" + path);
  EXPECT_EQ(local->get("/")->body, "unix plain");
  EXPECT_EQ(local->get("/")->header("content-type"), "application/json");
  server.stop(1'000);
  EXPECT_NE(stat(path.c_str(), &info), 0);
  EXPECT_EQ(server.stats().connections_accepted, 2u);
  EXPECT_EQ(server.stats().connections_open, 0u);
  EXPECT_EQ(server.stats().requests, 10u);
}

TEST(HttpServer, StartErrorsNameTheAddress) {
  HttpServer first;
  add_routes(first);
  ASSERT_TRUE(first.start());
  HttpServer second({.listen = {{.address = first.addresses()[0]}}});
  auto status = second.start();
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find(first.addresses()[0]), std::string::npos) << status.error().message;
  for (const char* bad : {"nowhere", "127.0.0.1:99999", "::1:80", "[::1:80", "unix:"})
    EXPECT_FALSE(HttpServer({.listen = {{.address = bad}}}).start()) << bad;
  std::string file = fmt::format("{}tamis_not_a_socket_{}", testing::TempDir(), getpid());
  fclose(fopen(file.c_str(), "w"));
  EXPECT_FALSE(HttpServer({.listen = {{.address = "unix:" + file}}}).start());
  unlink(file.c_str());
}

TEST(HttpServer, AStaleUnixSocketIsReplacedALiveOneIsNot) {
  std::string path = fmt::format("{}tamis_stale_{}.sock", testing::TempDir(), getpid());
  { auto stale = listen_on(*Endpoint::parse("unix:" + path), {}); }  // leaves its file behind
  HttpServer server({.listen = {{.address = "unix:" + path}}});
  ASSERT_TRUE(server.start());
  EXPECT_FALSE(HttpServer({.listen = {{.address = "unix:" + path}}}).start());
  EXPECT_TRUE(HttpClient::open("unix:" + path)->get("/"));
}

TEST(HttpServer, StreamsALotInConstantBuffers) {
  HttpServer server;
  add_routes(server);
  ASSERT_TRUE(server.start());
  HttpClient client = client_of(server);
  constexpr uint64_t kLines = 200'000;
  uint64_t made = 0, received = 0, bytes = 0;
  HttpCall call;
  call.method = "POST";
  call.path = "/lines";
  call.source = [&](std::string& piece) {
    for (int i = 0; i < 1'000 && made < kLines; ++i) piece += fmt::format("line {}\n", made++);
    return made < kLines;
  };
  call.sink = [&](std::string_view piece) {
    bytes += piece.size();
    for (char c : piece) received += c == '!';
    return true;
  };
  auto answer = client.call(call);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(received, kLines);
  EXPECT_GT(bytes, kLines * 7);
  // The connection is usable afterwards.
  EXPECT_EQ(client.post("/lines", "a\nb")->body, "a!\nb!\n");
  // A sink that has enough stops it.
  made = 0;
  call.sink = [&](std::string_view) { return false; };
  EXPECT_TRUE(client.call(call));
  EXPECT_EQ(client.get("/")->status, 200);
}

TEST(HttpServer, ManyThreadsOnBothSides) {
  HttpServer server({.threads = 2});
  add_routes(server);
  std::atomic<int> ticks{0};
  server.every(5, [&] { ++ticks; });
  ASSERT_TRUE(server.start());
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t)
    clients.emplace_back([&, t] {
      for (int c = 0; c < 4; ++c) {
        HttpClient client = client_of(server);
        for (int i = 0; i < 50; ++i) {
          auto answer = client.post("/echo", fmt::format("{}-{}-{}", t, c, i));
          good += answer && answer->body == fmt::format("{}-{}-{}", t, c, i);
        }
        server.stats();
      }
    });
  for (auto& thread : clients) thread.join();
  EXPECT_EQ(good.load(), 800);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  server.stop(1'000);
  EXPECT_GT(ticks.load(), 0);
  EXPECT_EQ(server.stats().requests, 800u);
}

TEST(HttpServer, TasksRunOnTheLoopAndBatchesEndBeforeTheirAnswers) {
  HttpServer server;
  std::atomic<int> handled{0}, durable{0};
  server.post("/count", [&](const Request&, Response& out) { out.append(std::to_string(++handled)); });
  server.after_batch([&] { durable = handled.load(); });
  std::thread::id loop_thread;
  std::mutex mutex;
  std::condition_variable changed;
  bool ran = false;
  ASSERT_TRUE(server.start());
  EXPECT_TRUE(server.post_task([&] {
    std::lock_guard lock(mutex);
    loop_thread = std::this_thread::get_id();
    ran = true;
    changed.notify_one();
  }));
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(5), [&] { return ran; }));
    EXPECT_NE(loop_thread, std::this_thread::get_id());
  }
  HttpClient client = client_of(server);
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(client.post("/count", "x")->body, std::to_string(i));
    EXPECT_EQ(durable.load(), i);  // was made durable before the answer went out
  }
  server.stop(100);
  EXPECT_FALSE(server.post_task([] {}));
}

TEST(HttpServer, DeferredAnswersComeFromOtherThreads) {
  HttpServer server;
  std::vector<std::thread> workers;
  std::shared_ptr<DeferredReply> kept;
  server.post("/slow", [&](const Request& in, Response& out) {
    workers.emplace_back([reply = out.defer(), body = std::string(in.body())] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      reply->send(201, "text/plain", body + " done");
    });
  });
  server.post("/drop", [&](const Request&, Response& out) { out.defer(); });
  server.post("/keep", [&](const Request&, Response& out) { kept = out.defer(); });
  ASSERT_TRUE(server.start());
  {
    HttpClient client = client_of(server);
    for (int i = 0; i < 3; ++i) {
      auto answer = client.post("/slow", std::to_string(i));
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->status, 201);
      EXPECT_EQ(answer->body, std::to_string(i) + " done");
    }
    EXPECT_EQ(client.post("/drop", "x")->status, 500);
    RawClient gone(server);
    gone.send("POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(gone.read_all(100), "");
  }
  for (auto& worker : workers) worker.join();
  server.stop(100);
  ASSERT_NE(kept, nullptr);
  kept->send(200, "text/plain", "nobody listens");  // after the end of the server
}

TEST(HttpServer, PipeliningHalfCloseAndGarbage) {
  HttpServer server;
  add_routes(server);
  ASSERT_TRUE(server.start());
  std::string requests;
  for (int i = 0; i < 200; ++i)
    requests += fmt::format("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n<{:03}>", i);
  RawClient pipelining(server);
  pipelining.send(requests);
  shutdown(pipelining.fd.get(), SHUT_WR);
  std::string answers = pipelining.read_all();
  EXPECT_TRUE(pipelining.closed);
  size_t at = 0;
  for (int i = 0; i < 200; ++i) {
    at = answers.find(fmt::format("\r\n\r\n<{:03}>", i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  RawClient garbage(server);
  garbage.send("\x16\x03\x01 hello");
  EXPECT_EQ(garbage.read_all().substr(0, 12), "HTTP/1.1 400");
  EXPECT_TRUE(garbage.closed);
  // A refused upload: the answer can be read although the body is still being sent.
  RawClient upload(server);
  upload.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n");
  upload.send(std::string(300'000, 'x'));
  EXPECT_EQ(upload.read_all().substr(0, 12), "HTTP/1.1 413");
}

TEST(HttpServer, ASlowReaderGetsEverything) {
  HttpServer server({.limits = {.output_bytes_high = 64 * 1024}});
  add_routes(server);
  ASSERT_TRUE(server.start());
  RawClient slow(server);
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
  slow.send(requests);
  shutdown(slow.fd.get(), SHUT_WR);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(server.stats().requests, 8u);  // the others wait until the first have been read
  EXPECT_GT(slow.read_all().size(), size_t{80} << 20);
  EXPECT_TRUE(slow.closed);
  EXPECT_TRUE(eventually([&] { return server.stats().requests == 20; }));
}

TEST(HttpServer, SlowSendersAreTimedOut) {
  HttpServer server({.limits = {.idle_timeout_ms = 300, .head_timeout_ms = 200, .body_timeout_ms = 200}});
  add_routes(server);
  ASSERT_TRUE(server.start());
  RawClient idle(server), head(server), body(server);
  head.send("GET / HT");
  body.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab");
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) {  // a trickle does not help
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    head.send("X");
    body.send("c");
  }
  EXPECT_EQ(head.read_all().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(body.read_all().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.closed);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2'000));
  EXPECT_TRUE(eventually([&] { return server.stats().timeouts == 3; }));
}

TEST(HttpServer, ConnectionsAreLimited) {
  HttpServer server({.limits = {.connections_max = 6, .connections_per_address_max = 3}});
  add_routes(server);
  ASSERT_TRUE(server.start());
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<HttpClient>(client_of(server)));
    EXPECT_TRUE(clients.back()->get("/"));
  }
  EXPECT_FALSE(client_of(server).get("/"));
  EXPECT_TRUE(eventually([&] { return server.stats().connections_refused == 1; }));
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return server.stats().connections_open == 2; }));
  EXPECT_TRUE(client_of(server).get("/"));
}

TEST(HttpServer, StopFinishesWhatIsInProgress) {
  HttpServer server;
  add_routes(server);
  ASSERT_TRUE(server.start());
  RawClient idle(server), busy(server);
  EXPECT_TRUE(busy.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"));
  while (server.stats().connections_open < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::thread stopper([&] { server.stop(5'000); });
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.closed);
  EXPECT_FALSE(connect_to(*Endpoint::parse(server.addresses()[0]), 1'000));
  busy.send("cd");
  std::string answer = busy.read_all();
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(answer.substr(answer.size() - 4), "abcd");
  auto start = std::chrono::steady_clock::now();
  stopper.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1'000));
}

TEST(HttpServer, StopDoesNotWaitForEver) {
  HttpServer server;
  add_routes(server);
  ASSERT_TRUE(server.start());
  RawClient busy(server);
  busy.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  auto start = std::chrono::steady_clock::now();
  server.stop(200);
  auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, std::chrono::milliseconds(190));
  EXPECT_LT(took, std::chrono::milliseconds(2'000));
  EXPECT_EQ(busy.read_all(), "");
}

TEST(HttpServer, MetricsAreShown) {
  base::MetricRegistry registry;
  HttpServer server;
  add_routes(server);
  server.register_metrics(registry);
  ASSERT_TRUE(server.start());
  HttpClient client = client_of(server);
  EXPECT_TRUE(client.get("/"));
  EXPECT_TRUE(client.get("/nowhere"));
  EXPECT_TRUE(eventually([&] { return server.stats().requests == 2; }));
  std::string text;
  registry.expose(text);
  EXPECT_NE(text.find("tamis_http_requests_total{class=\"2xx\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tamis_http_requests_total{class=\"4xx\"} 1\n"), std::string::npos);
  EXPECT_NE(text.find("tamis_http_connections 1\n"), std::string::npos);
}

TEST(HttpServer, CurlAgrees) {
  if (run("curl --version").empty()) GTEST_SKIP() << "no curl";
  HttpServer server;
  add_routes(server);
  ASSERT_TRUE(server.start());
  std::string url = url_of(server);
  EXPECT_EQ(run("printf hello | curl -s -H 'Expect: 100-continue' --data-binary @- " + url + "/echo"), "hello");
  EXPECT_EQ(run("printf hello | curl -s -T - -X POST " + url + "/echo"), "hello");
  EXPECT_EQ(run("seq 1 50000 | curl -s -T - -X POST " + url + "/lines | wc -l"), "50000\n");
  EXPECT_EQ(run("curl -s -0 " + url + "/"), "127.0.0.1 plain");
  EXPECT_EQ(run("curl -sI -o /dev/null -w '%{http_code} %{header_json}' " + url + "/big").substr(0, 3), "200");
  EXPECT_EQ(run("curl -s -o /dev/null -w '%{http_code}' -X DELETE " + url + "/echo"), "405");
}

// --- TLS ---

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    std::string base = fmt::format("{}tamis_tls_{}_", testing::TempDir(), getpid());
    certificate_ = base + "cert.pem";
    key_ = base + "key.pem";
    write_test_certificate(certificate_, key_, 1);
    auto context = TlsServerContext::load({certificate_, key_});
    ASSERT_TRUE(context) << context.error().message;
    context_ = *context;
    server_ = std::make_unique<HttpServer>(
        HttpServerOptions{.listen = {{.address = "127.0.0.1:0", .tls = context_}}, .limits = {.head_timeout_ms = 300}});
    add_routes(*server_);
    ASSERT_TRUE(server_->start());
    url_ = "https://" + server_->addresses()[0];
  }
  void TearDown() override {
    server_->stop(500);
    unlink(certificate_.c_str());
    unlink(key_.c_str());
  }
  base::Result<HttpAnswer> get(TlsClientOptions tls, std::string url = {}) {
    auto context = TlsClientContext::load(std::move(tls));
    if (!context) return tl::unexpected(context.error());
    auto client = HttpClient::open(url.empty() ? url_ : url, {.tls = *context});
    return client->get("/");
  }

  std::string certificate_, key_, url_;
  std::shared_ptr<TlsServerContext> context_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(Tls, ServesWithAVerifiedCertificate) {
  auto answer = get({.ca_file = certificate_});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "127.0.0.1 tls");
  EXPECT_TRUE(get({.ca_file = certificate_}, fmt::format("https://localhost:{}", server_->port())));
  EXPECT_FALSE(get({}));  // the system does not know this authority
  EXPECT_FALSE(get({.ca_file = "/nonexistent"}));
  EXPECT_FALSE(get({.ca_file = certificate_}, fmt::format("https://127.0.0.2:{}", server_->port())));
}

TEST_F(Tls, PinsACertificate) {
  auto wrong = get({.pinned_fingerprint = std::string(64, '0')});
  ASSERT_FALSE(wrong);
  size_t at = wrong.error().message.rfind(' ');
  std::string fingerprint = wrong.error().message.substr(at + 1);
  EXPECT_EQ(fingerprint.size(), 64u);
  EXPECT_TRUE(get({.pinned_fingerprint = fingerprint}));
  EXPECT_FALSE(get({.pinned_fingerprint = "abc"}));
}

TEST_F(Tls, CarriesLargeBodiesAndStreams) {
  auto context = TlsClientContext::load({.ca_file = certificate_});
  auto client = HttpClient::open(url_, {.tls = *context});
  std::string body(3'000'000, 'x');
  EXPECT_EQ(client->post("/echo", body)->body, body);
  EXPECT_EQ(client->get("/big")->body.size(), size_t{4} << 20);
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "some line\n";
  EXPECT_EQ(client->post("/lines", lines)->body.size(), lines.size() + 100'000);
}

TEST_F(Tls, ReloadsItsCertificate) {
  write_test_certificate(certificate_ + ".new", key_ + ".new", 2);
  EXPECT_FALSE(get({.ca_file = certificate_ + ".new"}));
  rename((certificate_ + ".new").c_str(), certificate_.c_str());
  EXPECT_FALSE(context_->reload());  // the key does not match yet
  EXPECT_FALSE(get({.ca_file = certificate_}));
  rename((key_ + ".new").c_str(), key_.c_str());
  auto status = context_->reload();
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_TRUE(get({.ca_file = certificate_}));
}

TEST_F(Tls, RefusesBadFilesOldProtocolsAndPlainText) {
  EXPECT_FALSE(TlsServerContext::load({certificate_, certificate_}));
  EXPECT_FALSE(TlsServerContext::load({"/nonexistent", key_}));
  RawClient plain(*server_);
  plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  plain.read_all();
  EXPECT_TRUE(plain.closed);
  RawClient silent(*server_);
  silent.read_all();
  EXPECT_TRUE(silent.closed);
  EXPECT_TRUE(eventually([&] { return server_->stats().timeouts == 1 && server_->stats().tls_failures == 1; }));
  if (run("openssl version").empty() || run("curl --version").empty()) GTEST_SKIP() << "no curl or openssl";
  std::string client = fmt::format("openssl s_client -connect {} -brief ", server_->addresses()[0]);
  EXPECT_EQ(run(client + "-tls1_1 </dev/null 2>&1 | grep -c 'CONNECTION ESTABLISHED'"), "0\n");
  EXPECT_EQ(run(client + "-tls1_2 </dev/null 2>&1 | grep -c 'CONNECTION ESTABLISHED'"), "1\n");
  EXPECT_EQ(run(client + "-tls1_3 -alpn h2 </dev/null 2>&1 | grep -c 'CONNECTION ESTABLISHED'"), "0\n");
  EXPECT_EQ(run(fmt::format("curl -s --cacert {} {}/", certificate_, url_)), "127.0.0.1 tls");
}

// --- the client against servers that are not ours ---

// Answers each connection with fixed bytes.
struct FixedServer {
  explicit FixedServer(std::string bytes)
      : listener(std::move(*listen_on(*Endpoint::parse("127.0.0.1:0"), {}))), thread([this, bytes = std::move(bytes)] {
          while (wait_for(listener.fd.get(), POLLIN, 10'000) && !stop) {
            Fd fd(accept(listener.fd.get(), nullptr, nullptr));
            char buffer[4096];
            if (!wait_for(fd.get(), POLLIN, 1'000) || recv(fd.get(), buffer, sizeof buffer, 0) <= 0) continue;
            if (send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) continue;
          }
        }) {}
  ~FixedServer() {
    stop = true;
    { auto wake = connect_to(listener.bound, 1'000); }
    thread.join();
  }
  ListenSocket listener;
  std::atomic<bool> stop{false};
  std::thread thread;
};

TEST(HttpClient, RefusesMalformedAnswers) {
  for (const char* bytes :
       {"", "HTTP/1.1 200", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/2 200\r\n\r\n", "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nA b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"}) {
    FixedServer server(bytes);
    auto client = HttpClient::open("http://" + server.listener.bound.text());
    EXPECT_FALSE(client->get("/")) << bytes;
  }
}

TEST(HttpClient, UnderstandsOddButValidAnswers) {
  FixedServer server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\nX-A:b\r\n\r\nuntil the end");
  auto client = HttpClient::open("http://" + server.listener.bound.text() + "/");
  for (int i = 0; i < 2; ++i) {
    auto answer = client->get("/");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "until the end");
    EXPECT_EQ(answer->header("x-a"), "b");
  }
}

TEST(HttpClient, TimeoutsAndLimits) {
  auto silent = listen_on(*Endpoint::parse("127.0.0.1:0"), {});
  auto client = HttpClient::open("http://" + silent->bound.text(), {.io_timeout_ms = 100});
  auto start = std::chrono::steady_clock::now();
  auto answer = client->get("/");
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("100 ms"), std::string::npos) << answer.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  FixedServer large("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  client = HttpClient::open("http://" + large.listener.bound.text(), {.body_bytes_max = 4});
  EXPECT_EQ(client->get("/").error().code, base::Code::kLimit);
  EXPECT_FALSE(client->get("/a b"));
  EXPECT_FALSE(HttpClient::open("ftp://x"));
  EXPECT_FALSE(HttpClient::open("http://x/path"));
  EXPECT_FALSE(HttpClient::open("http://"));
}

TEST(HttpClient, AClosedKeptConnectionIsReplaced) {
  HttpServer server({.limits = {.requests_per_connection_max = 0, .idle_timeout_ms = 100}});
  add_routes(server);
  ASSERT_TRUE(server.start());
  HttpClient client = client_of(server);
  EXPECT_TRUE(client.post("/echo", "a"));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  auto answer = client.post("/echo", "b");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(eventually([&] { return server.stats().connections_accepted == 2; }));
}

}  // namespace
}  // namespace tamis::net
