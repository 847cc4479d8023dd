#include "door/mail_service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "door/mail_verdict.h"

namespace tamis::door {
namespace {

constexpr const char* kPolicy = R"POLICY(
event: mail
verdicts: [accept, greylist, tag, quarantine, reject]
thresholds: {tag: 6, quarantine: 10, reject: 15}
overload: {fail: open, verdict: greylist}
fields: {user: account, link_domains: {type: "list(string)", default: []}}
---
models: {spam: {default: 0.5}}
---
rules:
  - {id: even, on: mail, when: model.spam >= 0.5, then: {points: 1}, reason: "p {model.spam}", mode: live}
  - {id: bad-link, on: mail, when: "'evil.example' in link_domains", then: {verdict: reject}, say: No such links, mode: live}
  - {id: watched, on: mail, when: "true", then: {points: 50}, mode: shadow}
)POLICY";

class MailServiceTest : public testing::Test {
 protected:
  void open(MailServiceOptions options, const char* policy = kPolicy) {
    service_ = std::make_unique<Service>(
        ServiceOptions{}, [this] { return now_ms_.load(); }, nullptr);
    policy::Loaded loaded = service_->activate({{"p.yaml", policy}});
    ASSERT_NE(loaded.policy, nullptr) << loaded.diagnostics[0].message;
    options.learner.model.slots_log2 = 12;
    auto mail = MailService::open(*service_, std::move(options));
    ASSERT_TRUE(mail) << mail.error().message;
    mail_ = std::move(*mail);
  }
  static MailRequest request(std::string text = "From: a@b.example\n\nhello\n") {
    MailRequest request;
    request.message = std::move(text);
    return request;
  }

  std::atomic<int64_t> now_ms_{1'800'000'000'000};
  std::unique_ptr<Service> service_;
  std::unique_ptr<MailService> mail_;
};

TEST_F(MailServiceTest, ADecisionBecomesAVerdict) {
  MailServiceOptions options;
  options.threads = 0;
  open(options);
  MailService::Work work;
  auto good = mail_->scan_now(work, request(), false);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->verdict, "accept");
  EXPECT_EQ(good->points, 1);
  EXPECT_EQ(good->points_required, 6);
  ASSERT_EQ(good->symbols.size(), 1u);  // what only watches is no symbol
  EXPECT_EQ(good->symbols[0].name, "even");
  EXPECT_EQ(good->symbols[0].description, "p 0.5");
  EXPECT_TRUE(good->reply.empty());
  auto bad = mail_->scan_now(work, request("From: a@b.example\n\nhttp://evil.example/x\n"), true);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->action, MailAction::kReject);
  EXPECT_EQ(bad->reply, "No such links (ref " + bad->id + ")");
  EXPECT_NE(bad->explanation_json.find("\"conditions\""), std::string::npos);
  EXPECT_NE(good->id, bad->id);
  const MailStats stats = mail_->stats();
  EXPECT_EQ(stats.scanned, 2u);
  EXPECT_EQ(stats.rejected, 1u);
}

TEST_F(MailServiceTest, recipients_who_blocked_the_sender_are_named) {
  MailServiceOptions options;
  options.threads = 0;
  open(options, R"POLICY(
event: mail
verdicts: [accept, tag, reject]
fields: {recipients: {type: int, default: 0}, refusing_recipients: {type: int, default: 0}}
---
lists:
  recipient_blocks: {kind: string, values: ["ann@our.example eve@shop.example", "bob@our.example shop.example", "cyd@our.example bounce@list.example"]}
---
rules:
  - {id: all, on: mail, when: refusing_recipients > 0 && refusing_recipients >= recipients, then: {verdict: reject}, mode: live}
)POLICY");
  MailService::Work work;
  const auto scan = [&](std::string from, std::string sender, std::vector<std::string> to,
                        MailDirection direction = MailDirection::kIn) {
    const std::string message = "From: " + from + "\n\nhello\n";
    MailRequest asked = request(message);
    asked.direction = direction;
    asked.sender = std::move(sender);
    asked.has_sender = true;
    asked.recipients = std::move(to);
    auto verdict = mail_->scan_now(work, asked, false);
    EXPECT_TRUE(verdict);
    return *verdict;
  };
  using Names = std::vector<std::string>;
  const Names all = {"Ann@our.example", "bob@our.example", "cyd@our.example", "dan@our.example"};
  EXPECT_EQ(scan("Eve@Shop.example", "", all).recipients_refused, (Names{"Ann@our.example", "bob@our.example"}));
  EXPECT_EQ(scan("x@news.shop.example", "", all).recipients_refused, Names{"bob@our.example"});
  EXPECT_EQ(scan("x@far.example", "BOUNCE@list.example", all).recipients_refused, Names{"cyd@our.example"});
  EXPECT_EQ(scan("x@far.example", "y@m.shop.example", all).recipients_refused, Names{"bob@our.example"});
  EXPECT_EQ(scan("x@far.example", "", all).recipients_refused, Names{});
  EXPECT_EQ(scan("eve@shop.example", "", all, MailDirection::kOut).recipients_refused, Names{});
  EXPECT_EQ(scan("eve@shop.example", "", all).action, MailAction::kAccept);
  EXPECT_EQ(scan("eve@shop.example", "", {"ann@our.example"}).action, MailAction::kReject);
  EXPECT_EQ(scan("eve@shop.example", "", {"ann@our.example", "bob@our.example"}).action, MailAction::kReject);
  EXPECT_EQ(scan("eve@shop.example", "", {}).recipients_refused, Names{});
}

TEST_F(MailServiceTest, WhatDoesNotFitIsAnsweredAsThePolicyDeclares) {
  MailServiceOptions options;
  options.threads = 0;  // nobody looks at the queue: it is full from the start
  open(options);
  int answered = 0;
  mail_->scan(request(), false, [&](base::Result<MailVerdict> verdict) {
    ++answered;
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->action, MailAction::kGreylist);
    EXPECT_TRUE(verdict->symbols.empty());
  });
  mail_->learn({}, [&](base::Status done) {
    ++answered;
    EXPECT_EQ(done.error().code, base::Code::kUnavailable);
  });
  EXPECT_EQ(answered, 2);
  std::string closed = kPolicy;
  closed.replace(closed.find("{fail: open, verdict: greylist}"), 31, "{fail: closed}");
  mail_.reset();
  open(options, closed.c_str());
  mail_->scan(request(), false, [&](base::Result<MailVerdict> verdict) {
    ++answered;
    EXPECT_EQ(verdict.error().code, base::Code::kUnavailable);
  });
  EXPECT_EQ(answered, 3);
}

TEST_F(MailServiceTest, WhatWaitsTooLongIsNotLookedAt) {
  MailServiceOptions options;
  options.threads = 1;
  options.wait_ms = 100;
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false, go_on = false;
  options.authenticate = [&](const mail::Analysis&, const MailRequest&, uint64_t,
                             MailServiceOptions::Authenticated done) {
    std::unique_lock lock(mutex);  // the one thread is busy
    held = true;
    changed.notify_all();
    changed.wait(lock, [&] { return go_on; });
    lock.unlock();
    done({});
  };
  open(options);
  std::atomic<int> decided{0}, late{0};
  auto done = [&](base::Result<MailVerdict> verdict) {
    ASSERT_TRUE(verdict);
    ++(verdict->symbols.empty() ? late : decided);
  };
  mail_->scan(request(), false, done);
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return held; });
  }
  mail_->scan(request(), false, done);
  now_ms_ += 1'000;
  {
    std::lock_guard lock(mutex);
    go_on = true;
  }
  changed.notify_all();
  mail_->stop();
  EXPECT_EQ(decided, 1);
  EXPECT_EQ(late, 1);
  EXPECT_EQ(mail_->stats().scanned, 1u);
}

TEST_F(MailServiceTest, OthersGoOnWhileDnsIsAsked) {
  MailServiceOptions options;
  options.threads = 1;
  options.host = "mx.our.example";
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<MailServiceOptions::Authenticated> asked;
  options.authenticate = [&](const mail::Analysis& analysis, const MailRequest&, uint64_t,
                             MailServiceOptions::Authenticated done) {
    mail::MailAuthResults found;
    found.dmarc.result = mail::DmarcResult::kPass;
    if (analysis.facts.from.local == "quick") return done(found);
    std::lock_guard lock(mutex);
    asked.push_back(std::move(done));
    changed.notify_all();
  };
  open(options);
  std::vector<std::string> answers;
  auto scan = [&](const std::string& name) {
    mail_->scan(
        request("From: " + name +
                "@b.example\nX-Spam-Flag: NO\nAuthentication-Results: mx.our.example; spf=pass\n\nhi\n"),
        false, [&, name](base::Result<MailVerdict> verdict) {
          ASSERT_TRUE(verdict);
          EXPECT_EQ(verdict->remove_headers, (std::vector<std::string>{"X-Spam-Flag", "Authentication-Results"}));
          std::lock_guard lock(mutex);
          answers.push_back(name + " " + verdict->add_headers[0].value);
          changed.notify_all();
        });
  };
  scan("slow");
  scan("quick");
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return asked.size() == 1 && answers.size() == 1; });
  EXPECT_EQ(answers[0].substr(0, 21), "quick mx.our.example;");
  EXPECT_NE(answers[0].find("dmarc=pass"), std::string::npos) << answers[0];
  auto done = std::move(asked[0]);
  lock.unlock();
  std::thread dns([&] { done({}); });  // stopping waits for it
  mail_->stop();
  dns.join();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1].find("dmarc=pass"), std::string::npos);
}

TEST_F(MailServiceTest, StoppingAnswersEverything) {
  MailServiceOptions options;
  options.threads = 3;
  options.queue_max = 1'000;
  open(options);
  std::atomic<int> answered{0};
  for (int i = 0; i < 200; ++i) {
    mail_->scan(request("From: a@b.example\nMessage-ID: <" + std::to_string(i) + ">\n\nhello\n"), false,
                [&](base::Result<MailVerdict> verdict) {
                  EXPECT_TRUE(verdict);
                  ++answered;
                });
    MailCorrection correction;
    correction.message = "From: a@b.example\nMessage-ID: <" + std::to_string(i) + ">\n\nhello\n";
    correction.label = i % 2 == 0 ? MailCorrection::Label::kHam : MailCorrection::Label::kSpam;
    mail_->learn(correction, [&](base::Status done) {
      EXPECT_TRUE(done);
      ++answered;
    });
  }
  mail_->stop();
  EXPECT_EQ(answered, 400);
  EXPECT_EQ(mail_->stats().learned, 200u);
}

TEST_F(MailServiceTest, TooLarge) {
  MailServiceOptions options;
  options.threads = 0;
  options.message_bytes_max = 10;
  open(options);
  MailService::Work work;
  EXPECT_EQ(mail_->scan_now(work, request(), false).error().code, base::Code::kInvalid);
  MailCorrection correction;
  correction.message = std::string(11, 'x');
  EXPECT_EQ(mail_->learn_now(work, correction).error().code, base::Code::kInvalid);
}

TEST(MailActions, VerdictsOfOtherLaddersHaveAPlaceOnOurs) {
  const std::vector<std::string> ours = {"accept", "greylist", "tag", "quarantine", "defer", "reject"};
  EXPECT_EQ(mail_action("quarantine", ours), MailAction::kQuarantine);
  EXPECT_EQ(mail_action("defer", ours), MailAction::kDefer);
  EXPECT_EQ(mail_action("reject", ours), MailAction::kReject);
  const std::vector<std::string> other = {"ok", "tag", "hold", "drop"};
  EXPECT_EQ(mail_action("ok", other), MailAction::kAccept);
  EXPECT_EQ(mail_action("hold", other), MailAction::kTag);
  EXPECT_EQ(mail_action("drop", other), MailAction::kReject);
  EXPECT_EQ(mail_action("nothing", other), MailAction::kAccept);
}

}  // namespace
}  // namespace tamis::door
