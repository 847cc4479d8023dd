#include "action/outbox.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "action/digest.h"
#include "action/folder_test_kit.h"
#include "action/webhook.h"
#include "net/certificate_test_kit.h"
#include "net/http_server.h"
#include "net/tls.h"

namespace tamis::action {
namespace {

constexpr const char* kSecret = "0123456789abcdef-secret";

// A receiver that checks signatures, remembers what came, and answers as it is told.
class Receiver {
 public:
  struct Came {
    std::string key, body, signature, topic;
    int attempt = 0;
  };
  // The status for what came; 0: no answer.
  std::function<int(const Came&)> answer = [](const Came&) { return 200; };

  explicit Receiver(std::shared_ptr<net::TlsServerContext> tls = nullptr) : tls_(std::move(tls)) { start(); }
  ~Receiver() { server_->stop(0); }
  void start() {
    net::HttpServerOptions options;
    options.listen[0].tls = tls_;
    if (port_ != 0) options.listen[0].address = "127.0.0.1:" + std::to_string(port_);
    server_ = std::make_unique<net::HttpServer>(options);
    server_->post("/hook", [this](const net::Request& in, net::Response& out) { take(in, out); });
    auto status = server_->start();
    ASSERT_TRUE(status) << status.error().message;
    port_ = server_->port();
  }
  void stop() { server_->stop(0); }
  std::string url() const {
    return std::string(tls_ ? "https" : "http") + "://127.0.0.1:" + std::to_string(port_) + "/hook";
  }
  std::vector<Came> came() const {
    std::lock_guard lock(mutex_);
    return came_;
  }
  size_t count() const { return came().size(); }

 private:
  void take(const net::Request& in, net::Response& out) {
    Came one{std::string(in.header("idempotency-key")), std::string(in.body()),
             std::string(in.header("tamis-signature")), std::string(in.header("tamis-topic")),
             std::stoi("0" + std::string(in.header("tamis-attempt")))};
    int status = answer(one);
    {
      std::lock_guard lock(mutex_);
      came_.push_back(one);
      if (status == 0) {
        waiting_.push_back(out.defer());
        return;
      }
    }
    if (status == 429) out.add_header("Retry-After", "1");
    out.set_status(status);
    out.append("said " + std::to_string(status));
  }

  std::shared_ptr<net::TlsServerContext> tls_;
  uint16_t port_ = 0;
  std::unique_ptr<net::HttpServer> server_;
  mutable std::mutex mutex_;
  std::vector<Came> came_;
  std::vector<std::shared_ptr<net::DeferredReply>> waiting_;
};

bool within(int ms, const std::function<bool()>& good) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!good()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() { write_test_file(folder_ / "secret", std::string(kSecret) + "\n"); }

  ChannelOptions channel(const Receiver& receiver) {
    ChannelOptions options;
    options.name = "hooks";
    options.url = receiver.url();
    options.secret_file = folder_ / "secret";
    options.topics = {"*"};
    options.allow_private = true;
    options.backoff_first_ms = 5;
    options.backoff_max_ms = 50;
    return options;
  }
  std::unique_ptr<Outbox> open(std::vector<ChannelOptions> channels, OutboxOptions options = {}) {
    auto outbox = Outbox::open(folder_ / "outbox", std::move(channels), clock_, options);
    EXPECT_TRUE(outbox) << outbox.error().message;
    return outbox ? std::move(*outbox) : nullptr;
  }
  static Notice notice(int i, const std::string& order = "") {
    return {"decision.changed", "17-" + std::to_string(i), order, "{\"n\":" + std::to_string(i) + "}"};
  }
  static size_t waiting(Outbox& outbox) { return outbox.list({.dead = false}).value().size(); }
  static size_t dead(Outbox& outbox) { return outbox.list({}).value().size(); }

  TestFolder folder_;
  base::SystemClock clock_;
};

TEST_F(OutboxTest, DeliversSigned) {
  Receiver receiver;
  auto outbox = open({channel(receiver)});
  outbox->start();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(outbox->enqueue(notice(i)).value(), 1u);
  ASSERT_TRUE(outbox->sync());
  ASSERT_TRUE(within(5'000, [&] { return receiver.count() == 20 && waiting(*outbox) == 0; }));
  for (const Receiver::Came& came : receiver.came()) {
    std::string time = came.signature.substr(2, came.signature.find(',') - 2);
    EXPECT_EQ(came.signature, "t=" + time + ",v1=" + hmac_sha256_hex(kSecret, time + "." + came.body));
    EXPECT_LE(std::abs(std::stoll(time) - clock_.now_ms() / 1'000), 60);
    EXPECT_EQ(came.topic, "decision.changed");
    EXPECT_EQ(came.attempt, 1);
  }
  // What a recovery enqueues again is known.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));
  ASSERT_TRUE(outbox->sync());
  OutboxStats stats = outbox->stats();
  EXPECT_EQ(stats.repeated, 20u);
  EXPECT_EQ(stats.channels.at(0).delivered, 20u);
  EXPECT_EQ(waiting(*outbox), 0u);
}

TEST_F(OutboxTest, TriesAgainAndGivesUpAsDeclared) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came& came) {
    if (came.key == "17-0") return came.attempt < 4 ? 503 : 204;  // comes back
    if (came.key == "17-1") return 404;                           // dead at once
    if (came.key == "17-2") return came.attempt < 2 ? 408 : 200;
    if (came.key == "17-3") return 302;  // given up after a while
    return 200;
  };
  ChannelOptions options = channel(receiver);
  options.give_up_ms = 300;
  auto outbox = open({options});
  outbox->start();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));
  ASSERT_TRUE(outbox->sync());
  ASSERT_TRUE(within(8'000, [&] { return waiting(*outbox) == 0; }));
  std::map<std::string, int> times;
  for (const Receiver::Came& came : receiver.came()) EXPECT_EQ(++times[came.key], came.attempt);
  EXPECT_EQ(times["17-0"], 4);
  EXPECT_EQ(times["17-1"], 1);
  EXPECT_EQ(times["17-2"], 2);
  EXPECT_GE(times["17-3"], 3);
  std::vector<OutboxItem> letters = outbox->list({}).value();
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(letters[0].last_status, 404);
  EXPECT_EQ(letters[0].last_error, "HTTP 404: said 404");
  EXPECT_NE(letters[1].last_error.find("given up"), std::string::npos);
  EXPECT_EQ(outbox->body(letters[0].id).value(), "{\"n\":1}");
  // A person tries one again and drops the other.
  receiver.answer = [](const Receiver::Came&) { return 200; };
  EXPECT_EQ(outbox->retry(std::vector<uint64_t>{letters[0].id, 999}).value(), 1u);
  EXPECT_EQ(outbox->drop(std::vector<uint64_t>{letters[1].id}).value(), 1u);
  ASSERT_TRUE(within(5'000, [&] { return waiting(*outbox) == 0 && dead(*outbox) == 0; }));
  EXPECT_EQ(receiver.came().back().key, "17-1");
}

TEST_F(OutboxTest, RetryAfterIsHeeded) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came& came) { return came.attempt == 1 ? 429 : 200; };
  auto outbox = open({channel(receiver)});
  outbox->start();
  auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(outbox->enqueue(notice(1)));
  ASSERT_TRUE(within(5'000, [&] { return receiver.count() == 2; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(950));
}

TEST_F(OutboxTest, KeepsTheOrderOfAKey) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came& came) {
    return std::stoi(came.key.substr(3)) % 7 == 3 && came.attempt < 3 ? 500 : 200;
  };
  ChannelOptions options = channel(receiver);
  options.concurrency = 4;
  auto outbox = open({options});
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(outbox->enqueue(notice(i, "account-" + std::to_string(i % 4))));
  outbox->start();
  ASSERT_TRUE(outbox->sync());
  ASSERT_TRUE(within(8'000, [&] { return waiting(*outbox) == 0; }));
  std::map<int, int> last;
  std::set<std::string> seen;
  for (const Receiver::Came& came : receiver.came()) {
    int i = std::stoi(came.key.substr(3));
    EXPECT_GE(i, last[i % 4]) << "overtaken";
    last[i % 4] = i;
    seen.insert(came.key);
  }
  EXPECT_EQ(seen.size(), 60u);
}

TEST_F(OutboxTest, ADeadOneLetsTheNextPass) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came& came) { return came.key == "17-0" ? 410 : 200; };
  auto outbox = open({channel(receiver)});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(outbox->enqueue(notice(i, "a")));
  ASSERT_TRUE(outbox->sync());
  EXPECT_EQ(outbox->list({.dead = false}).value()[1].state, OutboxItem::State::kBehind);
  outbox->start();
  ASSERT_TRUE(within(5'000, [&] { return waiting(*outbox) == 0; }));
  EXPECT_EQ(receiver.count(), 3u);
  EXPECT_EQ(dead(*outbox), 1u);
}

TEST_F(OutboxTest, SurvivesAReceiverThatIsDownAndARestart) {
  Receiver receiver;
  receiver.stop();
  {
    auto outbox = open({channel(receiver)});
    outbox->start();
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));
    ASSERT_TRUE(outbox->sync());
    ASSERT_TRUE(within(5'000, [&] { return outbox->stats().channels.at(0).failed >= 3; }));
    EXPECT_NE(outbox->stats().channels.at(0).last_error, "");
  }
  auto outbox = open({channel(receiver)});
  EXPECT_EQ(waiting(*outbox), 30u);
  outbox->start();
  receiver.start();
  ASSERT_TRUE(within(8'000, [&] { return waiting(*outbox) == 0; }));
  std::set<std::string> keys;
  for (const Receiver::Came& came : receiver.came()) keys.insert(came.key);
  EXPECT_EQ(keys.size(), 30u);
}

TEST_F(OutboxTest, AKilledProcessLosesNothingThatWasSynced) {
  pid_t child = ::fork();
  if (child == 0) {
    ChannelOptions options;
    options.name = "hooks";
    options.url = "http://127.0.0.1:9/hook";
    options.secret_file = folder_ / "secret";
    options.topics = {"*"};
    options.allow_private = true;
    auto outbox = Outbox::open(folder_ / "outbox", {options}, clock_);
    bool good = outbox.has_value();
    for (int i = 0; i < 50 && good; ++i) good = (*outbox)->enqueue(notice(i)).has_value();
    good = good && (*outbox)->sync().has_value();
    if (good) (*outbox)->start();
    for (int i = 50; i < 80 && good; ++i) good = (*outbox)->enqueue(notice(i)).has_value();
    ::kill(::getpid(), good ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  Receiver receiver;
  auto outbox = open({channel(receiver)});
  EXPECT_GE(waiting(*outbox), 50u);
  for (int i = 0; i < 80; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));  // the recovery, from the journal
  ASSERT_TRUE(outbox->sync());
  EXPECT_EQ(waiting(*outbox), 80u);
  EXPECT_GE(outbox->stats().repeated, 50u);
  outbox->start();
  ASSERT_TRUE(within(8'000, [&] { return waiting(*outbox) == 0; }));
  std::set<std::string> keys;
  for (const Receiver::Came& came : receiver.came()) keys.insert(came.key);
  EXPECT_EQ(keys.size(), 80u);
}

TEST_F(OutboxTest, ASlowReceiverNeitherHoldsOthersNorTheStop) {
  Receiver slow, quick;
  slow.answer = [](const Receiver::Came&) { return 0; };
  ChannelOptions one = channel(slow), two = channel(quick);
  one.name = "slow";
  one.timeout_ms = 60'000;
  auto outbox = open({one, two});
  outbox->start();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(outbox->enqueue(notice(i)).value(), 2u);
  ASSERT_TRUE(within(5'000, [&] { return quick.count() == 10 && slow.count() == 2; }));
  auto begun = std::chrono::steady_clock::now();
  outbox->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
  EXPECT_EQ(outbox->list({.channel = "slow", .dead = false}).value().size(), 10u);
}

TEST_F(OutboxTest, ATimeoutIsAFailure) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came& came) { return came.attempt == 1 ? 0 : 200; };
  ChannelOptions options = channel(receiver);
  options.timeout_ms = 150;
  auto outbox = open({options});
  outbox->start();
  ASSERT_TRUE(outbox->enqueue(notice(1)));
  ASSERT_TRUE(within(5'000, [&] { return receiver.count() == 2 && waiting(*outbox) == 0; }));
  EXPECT_NE(outbox->stats().channels.at(0).last_error.find("150 ms"), std::string::npos);
}

TEST_F(OutboxTest, PrivateAddressesNeedLeave) {
  Receiver receiver;
  ChannelOptions options = channel(receiver);
  options.allow_private = false;
  auto refused = Outbox::open(folder_ / "outbox", {options}, clock_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("https"), std::string::npos);
  for (const char* host : {"https://127.0.0.1:1/", "https://localhost:1/x", "https://[::1]:1/"}) {
    TestFolder folder;
    options.url = host;
    options.give_up_ms = 0;
    auto outbox = Outbox::open(folder.path(), {options}, clock_).value();
    outbox->start();
    ASSERT_TRUE(outbox->enqueue(notice(1)));
    ASSERT_TRUE(within(5'000, [&] { return outbox->list({}).value().size() == 1; }));
    EXPECT_NE(outbox->list({}).value()[0].last_error.find("is not allowed"), std::string::npos);
  }
  EXPECT_EQ(receiver.count(), 0u);
}

TEST_F(OutboxTest, CertificatesAreVerified) {
  net::write_test_certificate(folder_ / "cert.pem", folder_ / "key.pem", 1);
  net::TlsServerOptions tls{folder_ / "cert.pem", folder_ / "key.pem"};
  Receiver receiver(net::TlsServerContext::load(tls).value());
  ChannelOptions trusting = channel(receiver), strict = channel(receiver);
  trusting.ca_file = folder_ / "cert.pem";
  strict.name = "strict";
  strict.give_up_ms = 0;
  auto outbox = open({trusting, strict});
  outbox->start();
  ASSERT_TRUE(outbox->enqueue(notice(1)));
  ASSERT_TRUE(outbox->sync());
  ASSERT_TRUE(within(5'000, [&] { return waiting(*outbox) == 0; }));
  EXPECT_EQ(receiver.count(), 1u);
  std::vector<OutboxItem> letters = outbox->list({}).value();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].channel, "strict");
  EXPECT_NE(letters[0].last_error.find("TLS"), std::string::npos);
}

TEST_F(OutboxTest, BoundsAreKept) {
  Receiver receiver;
  OutboxOptions options;
  options.items_max = 10;
  options.body_bytes_max = 100;
  auto outbox = open({channel(receiver)}, options);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));
  auto full = outbox->enqueue(notice(10));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, base::Code::kLimit);
  ASSERT_TRUE(outbox->sync());
  EXPECT_FALSE(outbox->enqueue(notice(11)));
  EXPECT_EQ(outbox->stats().refused, 2u);
  EXPECT_EQ(waiting(*outbox), 10u);
  EXPECT_FALSE(outbox->enqueue({"t", "k", "", std::string(101, 'x')}));
  EXPECT_FALSE(outbox->enqueue({"t", "a b", "", "{}"}));
  EXPECT_FALSE(outbox->enqueue({"t", "a\r\nEvil: 1", "", "{}"}));
  EXPECT_FALSE(outbox->enqueue({"", "k", "", "{}"}));
  outbox->start();
  ASSERT_TRUE(within(5'000, [&] { return waiting(*outbox) == 0; }));
  EXPECT_TRUE(outbox->enqueue(notice(12)));
}

TEST_F(OutboxTest, DeadLettersAreBoundedAndErasable) {
  Receiver receiver;
  receiver.answer = [](const Receiver::Came&) { return 400; };
  OutboxOptions options;
  options.dead_max = 5;
  {
    auto outbox = open({channel(receiver)}, options);
    outbox->start();
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(outbox->enqueue(notice(i)));
    ASSERT_TRUE(within(5'000, [&] { return receiver.count() == 12 && waiting(*outbox) == 0; }));
  }
  receiver.stop();
  auto outbox = open({channel(receiver)}, options);
  ASSERT_TRUE(outbox->enqueue({"t", "k", "Ann@example.com", "{}"}));
  ASSERT_TRUE(outbox->sync());
  ASSERT_TRUE(within(5'000, [&] { return dead(*outbox) == 5; }));  // cleaned when it began
  EXPECT_EQ(outbox->stats().dropped, 7u);
  EXPECT_EQ(outbox->erase("ann@example.com").value(), 1u);
  EXPECT_EQ(outbox->erase("ann@example.com").value(), 0u);
  outbox.reset();
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "outbox")) {
    EXPECT_EQ(read_test_file(file.path()).find("Ann@"), std::string::npos) << file.path();
  }
}

TEST_F(OutboxTest, BadOptionsAndFilesAreTold) {
  Receiver receiver;
  auto fault = [&](const std::function<void(ChannelOptions&)>& spoil) {
    ChannelOptions options = channel(receiver);
    spoil(options);
    auto outbox = Outbox::open(folder_ / "outbox", {options}, clock_);
    EXPECT_FALSE(outbox);
    return outbox ? "" : outbox.error().message;
  };
  EXPECT_NE(fault([](auto& o) { o.url = "ftp://x/"; }).find("\"hooks\""), std::string::npos);
  EXPECT_NE(fault([](auto& o) { o.url = "http://u:p@x/"; }), "");
  EXPECT_NE(fault([](auto& o) { o.url = "http://x/a b"; }), "");
  EXPECT_NE(fault([](auto& o) { o.topics.clear(); }).find("topics"), std::string::npos);
  EXPECT_NE(fault([](auto& o) { o.concurrency = 99; }).find("concurrency"), std::string::npos);
  EXPECT_NE(fault([&](auto& o) { o.secret_file = folder_ / "none"; }).find("none"), std::string::npos);
  write_test_file(folder_ / "short", "short\n");
  std::string message = fault([&](auto& o) { o.secret_file = folder_ / "short"; });
  EXPECT_NE(message.find("16 bytes"), std::string::npos);
  auto first = open({channel(receiver)});
  auto second = Outbox::open(folder_ / "outbox", {channel(receiver)}, clock_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
  first.reset();
  write_test_file(folder_ / "outbox/outbox.db", std::string(8'192, 'x'));
  auto damaged = Outbox::open(folder_ / "outbox", {channel(receiver)}, clock_);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, base::Code::kInvalid);
}

TEST(Webhook, SignsForEachSecret) {
  EXPECT_EQ(signature({"one", "two"}, 17, "{}"),
            "t=17,v1=" + hmac_sha256_hex("one", "17.{}") + ",v1=" + hmac_sha256_hex("two", "17.{}"));
}

TEST(Webhook, TellsPublicAddresses) {
  auto check = [](const char* host) {
    bool is_public_one = false;
    auto fd = net::connect_to({false, host, 9}, 1, [&](const net::PeerAddress& address) {
      is_public_one = is_public(address);
      return false;  // nothing is connected to
    });
    EXPECT_FALSE(fd);
    return is_public_one;
  };
  for (const char* host : {"1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.169.0.1", "223.255.255.255",
                           "2606:4700::1111", "2a00:1450::1"}) {
    EXPECT_TRUE(check(host)) << host;
  }
  for (const char* host : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "127.0.0.1",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.19.0.1",
                           "203.0.113.5",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::1",
                           "::",
                           "fe80::1",
                           "fd00::1",
                           "ff02::1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::a00:1",
                           "2001:db8::1",
                           "2002:a00:1::"}) {
    EXPECT_FALSE(check(host)) << host;
  }
}

TEST(Webhook, BacksOffWithJitterFromAHash) {
  ChannelOptions options;
  options.backoff_first_ms = 1'000;
  options.backoff_max_ms = 60'000;
  int64_t wait = 1'000;
  for (uint32_t attempt = 1; attempt < 80; ++attempt) {
    EXPECT_EQ(backoff_ms(options, attempt, 0), wait);
    for (uint64_t hash : {uint64_t{7}, uint64_t{123'456'789'123}, ~uint64_t{0}}) {
      int64_t some = backoff_ms(options, attempt, hash);
      EXPECT_LE(some, wait);
      EXPECT_GE(some, wait / 2);
    }
    wait = std::min<int64_t>(wait * 2, 60'000);
  }
}

}  // namespace
}  // namespace tamis::action
