// What a sender can make of a message to hurt: through the whole MailService, with a limit on time and memory, and with
// ordinary messages beside it that must not notice.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "door/mail_service.h"

namespace tamis::door {
namespace {

constexpr const char* kPolicy = R"POLICY(
event: mail
verdicts: [accept, greylist, tag, quarantine, reject]
thresholds: {tag: 6, quarantine: 10, reject: 15}
overload: {fail: open, verdict: greylist}
fields: {user: account, forged_results: {type: bool, default: false}}
---
rules:
  - {id: forged, on: mail, when: forged_results, then: {points: 3}, mode: live}
)POLICY";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSlower = 20;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int kSlower = 20;
#else
constexpr int kSlower = 1;
#endif
#else
constexpr int kSlower = 1;
#endif

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i + 2 < bytes.size(); i += 3) {
    const uint32_t three = static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << 16 |
                           static_cast<uint32_t>(static_cast<unsigned char>(bytes[i + 1])) << 8 |
                           static_cast<unsigned char>(bytes[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6) out += kDigits[three >> shift & 63];
    if (i % 57 == 54) out += "\r\n";
  }
  return out;
}

const std::string kHead = "From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n";

std::string many_parts(size_t count) {
  return kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
         repeat("--b\r\nContent-Type: text/html\r\n\r\n<p>hello <a href=http://x.example/>x</a></p>\r\n", count) +
         "--b--\r\n";
}

std::string many_headers(size_t count) {
  return "From: a@b.example\r\n" + repeat("X-Some: <a@b.example>; spf=pass (c) \"d\"\r\n", count) + "\r\nhello\r\n";
}

std::string nested(size_t depth) {
  std::string out;
  for (size_t i = 0; i < depth; ++i) out += "From: a@b.example\r\nContent-Type: message/rfc822\r\n\r\n";
  return out + kHead + "\r\nhello\r\n";
}

std::string nested_multiparts(size_t depth) {
  std::string out = kHead;
  for (size_t i = 0; i < depth; ++i) {
    const std::string name = "b" + std::to_string(i);
    out += "Content-Type: multipart/mixed; boundary=" + name + "\r\n\r\n--" + name + "\r\n";
  }
  return out + "\r\nhello\r\n";
}

// The directory of a zip whose one member says that it becomes 4 GiB, again and again: what bombs look like to us, who
// list names and unpack nothing.
std::string zip_bomb(size_t members) {
  std::string zip;
  const auto put = [&zip](uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) zip += static_cast<char>(value >> (8 * i));
  };
  for (size_t i = 0; i < members; ++i) {
    zip += "PK\x03\x04";
    put(20, 2), put(0, 2), put(8, 2), put(0, 4), put(0x12345678, 4), put(10, 4), put(0xfffffffe, 4);
    put(5, 2), put(0, 2);
    zip += "a.zip0123456789";
  }
  const size_t directory = zip.size();
  for (size_t i = 0; i < members; ++i) {
    zip += "PK\x01\x02";
    put(20, 2), put(20, 2), put(0, 2), put(8, 2), put(0, 4), put(0x12345678, 4), put(10, 4), put(0xfffffffe, 4);
    put(5, 2), put(0, 2), put(0, 2), put(0, 2), put(0, 2), put(0, 4), put(0, 4);
    zip += "a.zip";
  }
  const size_t size = zip.size() - directory;
  zip += "PK\x05\x06";
  put(0, 4), put(members & 0xffff, 2), put(members & 0xffff, 2), put(size, 4), put(directory, 4), put(0, 2);
  return kHead + "Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64(zip);
}

std::string gzip_bomb(size_t bytes) {
  std::string gzip("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xec\xc1", 12);
  gzip.append(bytes, '\0');  // a run of stored nothing, which would become a thousand times as much
  return kHead + "Content-Type: application/gzip; name=a.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
         base64(gzip);
}

class MailExtremesTest : public testing::Test {
 protected:
  void open(MailServiceOptions options = {}) {
    service_ = std::make_unique<Service>(
        ServiceOptions{}, [this] { return now_ms_.load(); }, nullptr);
    policy::Loaded loaded = service_->activate({{"p.yaml", kPolicy}});
    ASSERT_NE(loaded.policy, nullptr) << loaded.diagnostics[0].message;
    options.learner.model.slots_log2 = 12;
    options.threads = 2;
    auto mail = MailService::open(*service_, std::move(options));
    ASSERT_TRUE(mail) << mail.error().message;
    mail_ = std::move(*mail);
  }
  void TearDown() override {
    if (mail_ != nullptr) mail_->stop();
  }

  struct Told {
    bool answered = false;
    base::Result<MailVerdict> verdict = MailVerdict();
  };
  void scan(std::string message, Told& told) {
    MailRequest request;
    request.message = std::move(message);
    request.recipients = {"ann@our.example"};
    mail_->scan(std::move(request), false, [this, &told](base::Result<MailVerdict> verdict) {
      std::lock_guard lock(mutex_);
      told.verdict = std::move(verdict);
      told.answered = true;
      changed_.notify_all();
    });
  }
  bool wait(const Told& told, int64_t ms) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return told.answered; });
  }

  std::atomic<int64_t> now_ms_{1'800'000'000'000};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<MailService> mail_;
};

TEST_F(MailExtremesTest, EachHasAVerdictInTimeAndOthersDoNotNotice) {
  const struct {
    const char* name;
    std::string message;
  } extremes[] = {
      {"50 MB of text", kHead + "\r\n" + repeat("free money at http://x.example/ now\r\n", (50 << 20) / 37)},
      {"50 MB without a line's end", kHead + "\r\n" + std::string(50 << 20, 'x')},
      {"50 MB of base64", kHead + "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                              repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\r\n", 750'000)},
      {"10 000 parts", many_parts(10'000)},
      {"100 000 headers", many_headers(100'000)},
      {"one header of 10 MB", "From: a@b.example\r\nTo: " + repeat("<a@b.example>,\r\n ", 600'000) + "\r\n\r\nx\r\n"},
      {"zip bomb", zip_bomb(20'000)},
      {"gzip bomb", gzip_bomb(10 << 20)},
      {"10 000 messages inside each other", nested(10'000)},
      {"2 000 multiparts inside each other", nested_multiparts(2'000)},
      {"200 000 open tags", kHead + "Content-Type: text/html\r\n\r\n" + repeat("<div style='color:red'><b>", 200'000)},
      {"nothing", ""},
      {"zeros", std::string(1 << 20, '\0')}};
  open();
  for (const auto& extreme : extremes) {
    SCOPED_TRACE(extreme.name);
    const size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    Told told, other;
    const auto begin = std::chrono::steady_clock::now();
    scan(extreme.message, told);
    scan("From: c@d.example\r\n\r\nan ordinary letter\r\n", other);
    ASSERT_TRUE(wait(other, 1'000 * kSlower)) << "a message behind it waits";
    ASSERT_TRUE(wait(told, 5'000 * kSlower));
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(std::chrono::duration<double>(took).count(), 5.0 * kSlower);
    EXPECT_TRUE(told.verdict) << told.verdict.error().message;
    EXPECT_TRUE(other.verdict);
    EXPECT_EQ(other.verdict->action, MailAction::kAccept);
    // What is kept afterwards is bounded by the limits of one message, whatever came.
    const size_t after = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    EXPECT_LT(after, before + (64u << 20));
  }
}

TEST_F(MailExtremesTest, CostGrowsNoFasterThanSize) {
  open();
  MailService::Work work;
  const auto cost_us = [&](const std::string& message) {
    MailRequest request;
    request.message = message;
    double best = 1e12;
    for (int round = 0; round < 3; ++round) {
      timespec begin{}, end{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
      EXPECT_TRUE(mail_->scan_now(work, request, false));
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
      best = std::min(best, static_cast<double>(end.tv_sec - begin.tv_sec) * 1e6 +
                                static_cast<double>(end.tv_nsec - begin.tv_nsec) * 1e-3);
    }
    return best;
  };
  const struct {
    const char* name;
    std::string (*make)(size_t);
  } shapes[] = {
      {"text",
       [](size_t n) { return kHead + "\r\n" + repeat("some words of a letter http://x.example/\r\n", n * 20); }},
      {"html",
       [](size_t n) {
         return kHead + "Content-Type: text/html\r\n\r\n" +
                repeat("<p style='color:red'>some <a href='http://x.example/'>x</a>", n * 15);
       }},
      {"parts", [](size_t n) { return many_parts(n * 8); }},
      {"headers", [](size_t n) { return many_headers(n * 20); }},
      {"nested", [](size_t n) { return nested(n * 15); }},
      {"brackets", [](size_t n) { return kHead + "\r\n" + repeat("((((<<<<[[[[@@@@....::::", n * 30); }},
      {"received", [](size_t n) {
         return repeat("Received: from a (b [192.0.2.1]) by c with ESMTP; Mon, 1 Jan 2024 00:00:00 +0000\r\n", n * 8) +
                kHead + "\r\nx\r\n";
       }}};
  for (const auto& shape : shapes) {
    SCOPED_TRACE(shape.name);
    const std::string small = shape.make(10), large = shape.make(160);
    const double ratio = static_cast<double>(large.size()) / static_cast<double>(small.size());
    const double grew = cost_us(large) / cost_us(small);
    EXPECT_LT(grew, ratio * 2) << "at " << ratio << " times the size";
  }
}

TEST_F(MailExtremesTest, DeadDnsHoldsNobodyUp) {
  MailServiceOptions options;
  std::mutex mutex;
  std::vector<MailServiceOptions::Authenticated> unanswered;
  options.authenticate = [&](const mail::Analysis&, const MailRequest&, uint64_t,
                             MailServiceOptions::Authenticated done) {
    std::lock_guard lock(mutex);
    unanswered.push_back(std::move(done));
  };
  options.queue_max = 50;
  open(std::move(options));
  base::MetricRegistry metrics;
  mail_->register_metrics(metrics);
  std::vector<Told> told(60);
  for (size_t i = 0; i < told.size(); ++i) scan("From: a@b.example\r\n\r\nhello\r\n", told[i]);
  // Ten do not fit and are answered at once as the policy declares; fifty wait for their budget of DNS.
  for (size_t i = 50; i < told.size(); ++i) ASSERT_TRUE(wait(told[i], 1'000 * kSlower));
  const auto all_asked = [&] {
    std::lock_guard lock(mutex);
    return unanswered.size() == 50;
  };
  for (int i = 0; i < 5'000 && !all_asked(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(all_asked());
  mail::MailAuthResults late;
  late.out_of_time = true;
  late.questions_failed = 3;
  for (auto& done : unanswered) done(late);
  for (Told& one : told) {
    ASSERT_TRUE(wait(one, 1'000 * kSlower));
    EXPECT_TRUE(one.verdict);
  }
  std::string text;
  metrics.expose(text);
  EXPECT_NE(text.find("tamis_mail_dns_timeouts_total 50\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tamis_mail_dns_failures_total 150\n"), std::string::npos);
  EXPECT_NE(text.find("tamis_mail_overloaded_total 10\n"), std::string::npos);
  EXPECT_NE(text.find("tamis_mail_scans_total{verdict=\"accept\"} 50\n"), std::string::npos);
  EXPECT_NE(text.find("tamis_mail_scan_seconds_count 50\n"), std::string::npos);
  EXPECT_NE(text.find("tamis_mail_waiting_messages 0\n"), std::string::npos);
}

TEST_F(MailExtremesTest, ResultsInOurNameAreForged) {
  MailServiceOptions options;
  options.host = "mx.our.example";
  open(std::move(options));
  const auto points = [&](const char* header) {
    Told told;
    scan(std::string("From: a@b.example\r\nAuthentication-Results: ") + header + "\r\n\r\nhello\r\n", told);
    EXPECT_TRUE(wait(told, 1'000 * kSlower));
    EXPECT_TRUE(told.verdict);
    return told.verdict->points;
  };
  EXPECT_EQ(points("mx.other.example; spf=pass"), 0);
  EXPECT_EQ(points("mx.our.example; spf=pass"), 3);
  EXPECT_EQ(points("(c) \"MX.our.example\" 1; spf=pass"), 3) << "disguised";
}

}  // namespace
}  // namespace tamis::door
