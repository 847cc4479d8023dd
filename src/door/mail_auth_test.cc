#include "door/mail_auth.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "net/resolver_test_kit.h"

namespace tamis::door {
namespace {

constexpr char kMessage[] = "From: Ann <ann@example.org>\r\nSubject: x\r\n\r\nHello\r\n";

class MailAuth : public ::testing::Test {
 protected:
  MailAuth() {
    resolver_.txt("example.org", "v=spf1 include:a.example.org -all");
    resolver_.txt("a.example.org", "v=spf1 include:b.example.org ?all");
    resolver_.txt("b.example.org", "v=spf1 ip4:192.0.2.1 -all");
    resolver_.txt("_dmarc.example.org", "v=DMARC1; p=reject");
    envelope_.client_ip = "192.0.2.1";
    envelope_.sender = "ann@example.org";
    envelope_.has_sender = true;
  }
  void authenticate(net::Resolver& resolver) {
    MailAuthenticator authenticator({}, resolver, clock_);
    mail::Analyser analyser;
    authenticator.authenticate(analyser.analyse(kMessage), envelope_, [this](const mail::MailAuthResults& results) {
      ++told_;
      results_ = results;
    });
  }

  net::TableResolver resolver_;
  base::ManualClock clock_;
  mail::AuthEnvelope envelope_;
  int told_ = 0;
  mail::MailAuthResults results_;
};

TEST_F(MailAuth, AnswersThatAreThere) {
  authenticate(resolver_);
  ASSERT_EQ(told_, 1);
  EXPECT_EQ(results_.spf.result, mail::SpfResult::kPass);
  EXPECT_EQ(results_.dmarc.result, mail::DmarcResult::kPass);
  EXPECT_FALSE(results_.out_of_time);
}

TEST_F(MailAuth, AnswersThatComeLater) {
  resolver_.hold();
  authenticate(resolver_);
  EXPECT_EQ(told_, 0);
  clock_.advance_ms(700);
  while (told_ == 0) ASSERT_GT(resolver_.release(1), 0u);
  resolver_.release();
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(results_.spf.result, mail::SpfResult::kPass);
  EXPECT_EQ(results_.took_ms, 700);
  // Later questions have what is left of the budget.
  const auto timeouts = resolver_.timeouts_ms();
  EXPECT_EQ(timeouts.front(), 2'000);
  EXPECT_EQ(timeouts.back(), 1'300);
}

TEST_F(MailAuth, TheBudgetEnds) {
  resolver_.hold();
  authenticate(resolver_);
  resolver_.release(1);
  clock_.advance_ms(2'000);
  // The resolver answers each question within its time; the first to come ends the conversation.
  resolver_.release(1);
  ASSERT_EQ(told_, 1);
  EXPECT_TRUE(results_.out_of_time);
  EXPECT_EQ(results_.spf.result, mail::SpfResult::kTempError);
  const size_t asked = resolver_.asked().size();
  resolver_.release();
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(resolver_.asked().size(), asked);
}

TEST_F(MailAuth, ACallerThatWaits) {
  resolver_.hold();
  MailRequest request;
  request.client_ip = "192.0.2.1";
  request.sender = "ann@example.org";
  request.has_sender = true;
  request.received_by = "mx.example.net";
  std::atomic<bool> ending{false};
  std::thread later([&] {
    while (!ending) {
      if (resolver_.release(1) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const MailAuthenticator authenticator({}, resolver_, clock_);
  mail::Analyser analyser;
  for (int i = 0; i < 100; ++i) {
    results_ = authenticator.authenticate_now(analyser.analyse(kMessage), auth_envelope_of(request, 0, 0));
    EXPECT_EQ(results_.spf.result, mail::SpfResult::kPass);
  }
  ending = true;
  later.join();
  EXPECT_EQ(results_.results_text(),
            "spf=pass smtp.mailfrom=ann@example.org smtp.remote-ip=192.0.2.1; "
            "dmarc=pass (p=reject dis=none) header.from=example.org");
  EXPECT_EQ(results_.best_dkim(), mail::DkimResult::kNone);
}

TEST_F(MailAuth, NoDns) {
  auto off = net::open_resolver("off", {}, clock_);
  ASSERT_TRUE(off);
  authenticate(**off);
  ASSERT_EQ(told_, 1);
  EXPECT_TRUE(results_.dns_off);
  EXPECT_EQ(results_.spf.result, mail::SpfResult::kNone);
  EXPECT_EQ(results_.to_authentication_results("mx.example.net", " "), "mx.example.net; none");
}

}  // namespace
}  // namespace tamis::door
