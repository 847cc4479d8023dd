// The doors over real sockets: all three protocols, many clients, slow ones, large ones.
#include "door/mail_doors.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/metrics.h"
#include "door/mail_scanner_test_kit.h"
#include "net/auth.h"
#include "net/socket.h"

namespace tamis::door {
namespace {

using namespace std::string_literals;

constexpr int kWaitMs = 20'000;

// A client that waits, with a bound on everything.
class Client {
 public:
  explicit Client(const std::string& address) {
    auto endpoint = net::Endpoint::parse(address);
    auto connected = net::connect_to(*endpoint, kWaitMs);
    EXPECT_TRUE(connected) << (connected ? "" : connected.error().message);
    if (connected) fd_ = std::move(*connected);
  }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      if (!net::wait_for(fd_.get(), POLLOUT, kWaitMs)) return false;
      ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return false;
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void half_close() { shutdown(fd_.get(), SHUT_WR); }
  // All until the server closes, or until `bytes` are there.
  std::string read(size_t bytes = SIZE_MAX) {
    std::string text;
    char piece[65'536];
    while (text.size() < bytes && net::wait_for(fd_.get(), POLLIN, kWaitMs)) {
      ssize_t n = recv(fd_.get(), piece, std::min(sizeof piece, bytes - text.size()), 0);
      if (n <= 0) break;
      text.append(piece, static_cast<size_t>(n));
    }
    return text;
  }

 private:
  net::Fd fd_;
};

class MailDoorsTest : public testing::Test {
 protected:
  void start(MailDoorOptions options = {}, size_t message_bytes_max = 1 << 20) {
    options.milter = options.rspamd = options.rspamd_controller = options.spamd = "127.0.0.1:0";
    scanner_ = std::make_unique<FakeScanner>(message_bytes_max);
    auto doors = start_mail_doors(*scanner_, options);
    ASSERT_TRUE(doors) << doors.error().message;
    doors_ = std::move(*doors);
  }
  std::string address(std::string_view door) const {
    for (const MailDoorAddress& one : doors_->addresses())
      if (one.door == door) return one.address;
    return {};
  }
  std::string talk(std::string_view door, std::string_view bytes) const {
    Client client(address(door));
    client.send(bytes);
    client.half_close();
    return client.read();
  }
  std::string http(std::string_view door, std::string_view path, std::string_view body, std::string_view fields = {},
                   std::string_view method = "POST") const {
    return talk(door, std::string(method) + " " + std::string(path) + " HTTP/1.0\r\n" + std::string(fields) +
                          "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  std::string check_spamd(std::string_view message) const {
    return talk("spamd", "CHECK SPAMC/1.5\r\nContent-length: " + std::to_string(message.size()) + "\r\n\r\n" +
                             std::string(message));
  }
  void expect_alive() const {
    EXPECT_EQ(check_spamd("\n\nhello"), "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.5 / 5.0\r\n\r\n");
    EXPECT_NE(http("rspamd", "/checkv2", "\n\nhello").find("\"no action\""), std::string::npos);
  }

  std::unique_ptr<FakeScanner> scanner_;
  std::unique_ptr<MailDoors> doors_;
};

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}
std::string status_line(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }

const std::string kHello =
    "Message-ID: <m1@x>\r\nX-Spam-Flag: NO\r\nAuthentication-Results: far; x\r\nAuthentication-Results: mx.own; "
    "x\r\nSubject: hi\r\n\r\nhello\r\n";
const std::string kNegotiation = "\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"s;

TEST_F(MailDoorsTest, SpeakAllProtocols) {
  start();
  EXPECT_EQ(doors_->addresses().size(), 4u);
  expect_alive();
  EXPECT_EQ(talk("spamd", "PING SPAMC/1.5\r\n\r\n"), "SPAMD/1.5 0 PONG\r\n");
  EXPECT_NE(http("rspamd", "/ping", "", "", "GET").find("\r\n\r\npong\r\n"), std::string::npos);
  Client milter(address("milter"));
  milter.send(kNegotiation + "\0\0\0\x08M<a@b>\0"s + "\0\0\0\x05"s + "Ehey"s);
  std::string answer = milter.read(17 + 4);
  EXPECT_EQ(answer[4], 'O');
}

TEST_F(MailDoorsTest, RspamdGetsTheEnvelopeAndAnswersInItsShape) {
  start();
  std::string answer =
      http("rspamd", "/checkv2", kHello,
           "From: <alice@example.com>\r\nRcpt: <bob@example.org>\r\nRcpt: eve@example.org\r\nIP: [192.0.2.1]\r\n"
           "Helo: h.example\r\nHostname: c.example\r\nQueue-Id: Q1\r\nMTA-Name: mx.own\r\nTLS-Version: TLSv1.3\r\n"
           "Pass: all\r\nFlags: body_block\r\nSubject: hi\r\nTamis-Explain: yes\r\n");
  EXPECT_EQ(status_line(answer), "HTTP/1.1 200 OK");
  MailRequest request = scanner_->last();
  EXPECT_EQ(request.message, kHello);
  EXPECT_EQ(request.sender, "alice@example.com");
  EXPECT_TRUE(request.has_sender);
  EXPECT_EQ(request.recipients, (std::vector<std::string>{"bob@example.org", "eve@example.org"}));
  EXPECT_EQ(request.client_ip, "192.0.2.1");
  EXPECT_EQ(request.client_name, "c.example");
  EXPECT_EQ(request.helo, "h.example");
  EXPECT_EQ(request.queue_id, "Q1");
  EXPECT_EQ(request.received_by, "mx.own");
  EXPECT_EQ(request.tls_version, "TLSv1.3");
  EXPECT_EQ(request.direction, MailDirection::kIn);
  for (const char* part :
       {"\"is_skipped\":false", "\"score\":1.5", "\"required_score\":5.0", "\"action\":\"no action\"",
        "\"symbols\":{\"seen\":{\"name\":\"seen\",\"score\":1.5,\"metric_score\":1.5,\"description\":\"every "
        "message\"}}",
        "\"message-id\":\"m1@x\"", "\"time_real\":", "\"add_headers\":{\"X-Spam-Flag\":{\"value\":\"NO\",\"order\":1}",
        "\"remove_headers\":{\"X-Spam-Flag\":0,\"Authentication-Results\":2}", "\"messages\":{}", "\"id\":\"id-1\"",
        "\"explanation\":{\"because\":\"test\"}"})
    EXPECT_NE(answer.find(part), answer.npos) << part << "\n" << answer;
}

TEST_F(MailDoorsTest, RspamdNamesItsActions) {
  start();
  auto action = [&](std::string_view word, std::string_view fields = {}) {
    std::string answer = http("rspamd", "/check", "\n\ntamis-test:" + std::string(word), fields);
    size_t at = answer.find("\"action\":\"") + 10;
    return answer.substr(at, answer.find('"', at) - at);
  };
  EXPECT_EQ(action("tag"), "add header");
  EXPECT_EQ(action("greylist"), "soft reject");
  EXPECT_EQ(action("defer"), "soft reject");
  EXPECT_EQ(action("reject"), "reject");
  EXPECT_EQ(action("quarantine"), "add header");
  EXPECT_EQ(action("quarantine", "Milter: Yes\r\n"), "quarantine");
  EXPECT_EQ(action("discard"), "discard");
  EXPECT_NE(http("rspamd", "/checkv2", "\n\ntamis-test:reject").find("\"smtp_message\":\"The message was refused"),
            std::string::npos);
  EXPECT_NE(http("rspamd", "/checkv2", "\n\ntamis-test:defer").find("\"smtp_message\":\"Try again later"),
            std::string::npos);
  http("rspamd", "/checkv2", kHello, "User: carol\r\n");
  EXPECT_EQ(scanner_->last().direction, MailDirection::kOut);
}

TEST_F(MailDoorsTest, RspamdAnswersInUtf8WhateverTheSenderWrote) {
  start();
  std::string answer = http("rspamd", "/checkv2", "Message-ID: <a\xe0\xc3 b\xff@x>\r\nX: y\r\n\r\nhello");
  EXPECT_NE(answer.find("\"message-id\":\"a?? b?@x\""), answer.npos) << answer;
  answer = http("rspamd", "/checkv2", "Message-ID: <gr\xc3\xbc\xc3\x9f@x>\r\n\r\nhello");
  EXPECT_NE(answer.find("\"message-id\":\"gr\xc3\xbc\xc3\x9f@x\""), answer.npos) << answer;
}

TEST_F(MailDoorsTest, RspamdUnpacksZstd) {
  start();
  for (const char* field : {"Compression: zstd\r\n", "Content-Encoding: zstd\r\n"}) {
    EXPECT_EQ(status_line(http("rspamd", "/checkv2", zstd(kHello), field)), "HTTP/1.1 200 OK");
    EXPECT_EQ(scanner_->last().message, kHello);
  }
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", "no zstd", "Compression: zstd\r\n")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", zstd(kHello).substr(0, 20), "Compression: zstd\r\n")),
            "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", kHello, "Content-Encoding: gzip\r\n")), "HTTP/1.1 400 Bad Request");
  std::string bomb = http("rspamd", "/checkv2", zstd(std::string(100 << 20, 'x')), "Compression: zstd\r\n");
  EXPECT_EQ(status_line(bomb), "HTTP/1.1 413 Content Too Large") << bomb;
  EXPECT_EQ(scanner_->stats().scanned, 2u);
}

TEST_F(MailDoorsTest, RspamdReadsNoFiles) {
  start();
  for (const char* field : {"File: /etc/passwd\r\n", "Path: /etc/passwd\r\n", "Shm: x\r\n", "file: ../x\r\n"}) {
    std::string answer = http("rspamd", "/checkv2", kHello, field);
    EXPECT_EQ(status_line(answer), "HTTP/1.1 403 Forbidden");
    EXPECT_NE(answer.find("never done"), answer.npos) << answer;
  }
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", kHello, "Key: abc\r\n")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd-controller", "/learnspam", kHello, "File: /etc/passwd\r\n")),
            "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(scanner_->stats().scanned + scanner_->stats().learned, 0u);
}

TEST_F(MailDoorsTest, ControllerTeachesAndCounts) {
  start();
  EXPECT_NE(http("rspamd-controller", "/learnspam", kHello, "Deliver-To: bob@x\r\n").find("{\"success\":true}"),
            std::string::npos);
  MailCorrection correction = scanner_->last_correction();
  EXPECT_EQ(correction.label, MailCorrection::Label::kSpam);
  EXPECT_EQ(correction.message, kHello);
  EXPECT_EQ(correction.reporter, "bob@x");
  EXPECT_EQ(correction.recipient, "bob@x");
  http("rspamd-controller", "/learnham", "", "Tamis-Id: id-7\r\n");
  EXPECT_EQ(scanner_->last_correction().label, MailCorrection::Label::kHam);
  EXPECT_EQ(scanner_->last_correction().id, "id-7");
  EXPECT_EQ(scanner_->last_correction().reporter, "controller");
  EXPECT_EQ(status_line(http("rspamd-controller", "/learnham", "", "Tamis-Id: gone\r\n")), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_line(http("rspamd-controller", "/learnham", "")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd-controller", "/learnham", kHello, "Tamis-Id: x\r\n")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd-controller", "/learnham", "\n\ntamis-test:denied")), "HTTP/1.1 403 Forbidden");
  std::string stat = http("rspamd-controller", "/stat", "", "", "GET");
  EXPECT_NE(stat.find("\"learned\":4"), stat.npos) << stat;
  // The worker has no such routes.
  EXPECT_EQ(status_line(http("rspamd", "/learnspam", kHello)), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_line(http("rspamd", "/stat", "", "", "GET")), "HTTP/1.1 404 Not Found");
}

TEST_F(MailDoorsTest, ControllerAsksForThePassword) {
  auto teacher = net::TokenStore::generate("sieve", net::Role::kIngest);
  auto watcher = net::TokenStore::generate("watcher", net::Role::kMetrics);
  auto tokens = net::TokenStore::parse(teacher->line + "\n" + watcher->line + "\n", "tokens");
  ASSERT_TRUE(tokens);
  MailDoorOptions options;
  options.tokens = tokens->get();
  start(options);
  auto learn = [&](const std::string& fields) {
    return status_line(http("rspamd-controller", "/learnspam", kHello, fields));
  };
  EXPECT_EQ(learn(""), "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(learn("Password: guess\r\n"), "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(learn("Password: " + watcher->token + "\r\n"), "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(scanner_->stats().learned, 0u);
  EXPECT_EQ(learn("Password: " + teacher->token + "\r\n"), "HTTP/1.1 200 OK");
  EXPECT_EQ(scanner_->last_correction().reporter, "sieve");
  EXPECT_EQ(status_line(http("rspamd-controller", "/stat", "", "Password: " + watcher->token + "\r\n", "GET")),
            "HTTP/1.1 200 OK");
  EXPECT_EQ(status_line(http("rspamd-controller", "/checkv2", kHello)), "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", kHello)), "HTTP/1.1 200 OK");
}

TEST_F(MailDoorsTest, RspamdSaysWhyTheScannerDidNot) {
  start();
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", "\n\ntamis-test:busy")), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", "\n\ntamis-test:fail")), "HTTP/1.1 500 Internal Server Error");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", "")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_line(http("rspamd", "/checkv2", std::string(2 << 20, 'x'))), "HTTP/1.1 413 Content Too Large");
  expect_alive();
}

TEST_F(MailDoorsTest, SurviveTenThousandConnectionsInARow) {
  start();
  size_t good = 0;
  for (int i = 0; i < 10'000; ++i) good += check_spamd("\n\nhello").find("False") != std::string::npos ? 1 : 0;
  EXPECT_EQ(good, 10'000u);
  for (int i = 0; i < 1'000; ++i) {
    Client milter(address("milter"));
    milter.send(kNegotiation);
  }
  expect_alive();
}

TEST_F(MailDoorsTest, ServeManyAtOnce) {
  MailDoorOptions options;
  options.threads = 2;
  start(options);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        if (t % 2 == 0)
          good += check_spamd("\n\ntamis-test:tag").find("True") != std::string::npos;
        else
          good += http("rspamd", "/checkv2", "\n\ntamis-test:tag").find("add header") != std::string::npos;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 200);
}

TEST_F(MailDoorsTest, HalfMessagesAndSlowClientsHarmNobody) {
  MailDoorOptions options;
  options.request_timeout_ms = 500;
  start(options);
  std::vector<std::unique_ptr<Client>> halves;
  for (int i = 0; i < 50; ++i) {
    halves.push_back(std::make_unique<Client>(address("spamd")));
    halves.back()->send("CHECK SPAMC/1.5\r\nContent-length: 1000\r\n\r\nhalf");
    halves.push_back(std::make_unique<Client>(address("rspamd")));
    halves.back()->send("POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf");
    halves.push_back(std::make_unique<Client>(address("milter")));
    halves.back()->send(kNegotiation + "\0\0\1"s);
  }
  auto gone = std::make_unique<Client>(address("spamd"));
  gone->send("CHECK SPAMC/1.5\r\nContent-length: 1000\r\n\r\nhalf");
  gone.reset();
  expect_alive();
  // All are told, in time.
  auto began = std::chrono::steady_clock::now();
  for (size_t i = 0; i < halves.size(); ++i) {
    std::string answer = halves[i]->read();
    std::string expected[] = {"SPAMD/1.1 79", "HTTP/1.1 408", std::string("\0\0\0", 3)};
    EXPECT_EQ(answer.substr(0, expected[i % 3].size()), expected[i % 3]);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
  expect_alive();
}

TEST_F(MailDoorsTest, MemoryOfAllMessagesIsBounded) {
  MailDoorOptions options;
  options.memory_bytes_max = 4 << 20;
  start(options, 2 << 20);
  std::string body(1 << 20, 'x');
  std::vector<std::unique_ptr<Client>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<Client>(address("spamd")));
    held.back()->send("CHECK SPAMC/1.5\r\nContent-length: 2000000\r\n\r\n" + body);
  }
  base::MetricRegistry metrics;
  doors_->register_metrics(metrics);
  auto shown = [&] {
    std::string text;
    metrics.expose(text);
    return text;
  };
  auto bytes_held = [&] { return shown().find("tamis_mail_door_bytes 3") != std::string::npos; };
  for (int i = 0; i < 200 && !bytes_held(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(bytes_held()) << shown();
  Client fourth(address("spamd"));
  fourth.send("CHECK SPAMC/1.5\r\nContent-length: 1900000\r\n\r\n" + std::string(1'900'000, 'x'));
  EXPECT_EQ(fourth.read().substr(0, 12), "SPAMD/1.1 75");
  expect_alive();
  held.clear();
}

TEST_F(MailDoorsTest, BodiesOfHttpAreBoundedTogether) {
  MailDoorOptions options;
  options.memory_bytes_max = 3 << 20;
  start(options, 2 << 20);
  std::string head = "POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n";
  Client first(address("rspamd"));
  first.send(head + "begun");
  std::string answer;
  // The first is counted once its head has been read.
  for (int i = 0; i < 200 && status_line(answer).find("503") == std::string::npos; ++i) {
    Client second(address("rspamd"));
    second.send(head);
    if (!net::wait_for(0, 0, 0)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    second.half_close();
    answer = second.read();
  }
  EXPECT_EQ(status_line(answer), "HTTP/1.1 503 Service Unavailable");
  // A chunked body is counted as it comes.
  Client chunked(address("rspamd"));
  chunked.send("POST /checkv2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" +
               std::string(0x1fffff, 'x'));
  EXPECT_EQ(status_line(chunked.read()), "HTTP/1.1 503 Service Unavailable");
  expect_alive();
}

TEST_F(MailDoorsTest, ListenOnUnixSocketsAndNameWhatFails) {
  std::string folder = testing::TempDir() + "/tamis_doors_" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  FakeScanner scanner;
  MailDoorOptions options;
  options.milter = "unix:" + folder + "/milter";
  options.spamd = "unix:" + folder + "/spamd";
  auto doors = start_mail_doors(scanner, options);
  ASSERT_TRUE(doors) << doors.error().message;
  Client spamd(options.spamd);
  spamd.send("PING SPAMC/1.5\r\n\r\n");
  EXPECT_EQ(spamd.read(18), "SPAMD/1.5 0 PONG\r\n");
  MailDoorOptions bad;
  bad.milter = "unix:" + folder + "/other";
  bad.spamd = "no port";
  auto failed = start_mail_doors(scanner, bad);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("--spamd: `no port` has no port"), std::string::npos) << failed.error().message;
  EXPECT_FALSE(std::filesystem::exists(folder + "/other"));
  (*doors)->stop(100);
  EXPECT_FALSE(std::filesystem::exists(folder + "/milter"));
  std::filesystem::remove_all(folder);
}

TEST_F(MailDoorsTest, ScannersMayAnswerWhenTheDoorsAreGone) {
  start();
  Client spamd(address("spamd")), rspamd(address("rspamd"));
  spamd.send("CHECK SPAMC/1.5\r\nContent-length: 18\r\n\r\n\n\ntamis-test:never");
  rspamd.send("POST /checkv2 HTTP/1.0\r\nContent-Length: 18\r\n\r\n\n\ntamis-test:never");
  for (int i = 0; i < 500 && scanner_->waiting() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  doors_.reset();
  EXPECT_EQ(scanner_->release(), 2u);
  EXPECT_EQ(spamd.read() + rspamd.read(), "");
}

TEST_F(MailDoorsTest, StopAnswersWhatIsInProgress) {
  start();
  Client waits(address("spamd"));
  waits.send("CHECK SPAMC/1.5\r\nContent-length: 18\r\n\r\n\n\ntamis-test:never");
  for (int i = 0; i < 500 && scanner_->waiting() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_EQ(scanner_->waiting(), 1u);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    scanner_->release();
  });
  doors_->stop(10'000);
  later.join();
  EXPECT_EQ(waits.read(), "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.5 / 5.0\r\n\r\n");
}

}  // namespace
}  // namespace tamis::door
