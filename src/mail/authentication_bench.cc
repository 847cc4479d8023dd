// What authentication costs a door's thread and the resolver's, with all answers at hand: preparing (hashes), Ed25519
// or nothing, SPF in three rounds.
#include <benchmark/benchmark.h>

#include "event/ip.h"
#include "mail/authentication.h"

namespace {

using namespace tamis;
using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

std::shared_ptr<const DnsAnswer> text_answer(std::string text) {
  auto answer = std::make_shared<DnsAnswer>();
  answer->status = text.empty() ? DnsStatus::kNoName : DnsStatus::kOk;
  if (!text.empty()) answer->texts.push_back(std::move(text));
  return answer;
}

std::shared_ptr<const DnsAnswer> answer_to(const DnsQuestion& question) {
  if (question.name == "example.com")
    return text_answer("v=spf1 a mx include:a.example.com include:b.example.com -all");
  if (question.name.ends_with(".example.com") && question.type == DnsType::kTxt && question.name[1] == '.') {
    return text_answer("v=spf1 ip4:192.0.2.0/28 ip4:192.0.2.32/28 ip4:192.0.2.64/27 ip6:2001:db8::/32 ~all");
  }
  return text_answer(question.name.starts_with("_dmarc") ? "v=DMARC1; p=reject; rua=mailto:a@example.com" : "");
}

void authenticate(benchmark::State& state, const std::string& headers) {
  const std::string raw = headers + "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\n\r\n" +
                          std::string(4000, 'x') + "\r\n";
  mail::Analyser analyser;
  const mail::Analysis& analysis = analyser.analyse(raw);
  const mail::AuthSettings settings;
  mail::AuthEnvelope envelope;
  envelope.client_ip = "192.0.2.70";
  envelope.sender = "ann@example.com";
  envelope.has_sender = true;
  for (auto _ : state) {
    mail::Authentication check(settings, analysis, envelope);
    while (!check.finished()) {
      for (const DnsQuestion& question : check.take_questions()) check.answer(question, answer_to(question));
    }
    benchmark::DoNotOptimize(check.results());
  }
}

void BM_AuthenticateUnsigned(benchmark::State& state) { authenticate(state, ""); }
BENCHMARK(BM_AuthenticateUnsigned);

// A body hash that differs: all of the preparing, no public key.
void BM_AuthenticateBrokenSignature(benchmark::State& state) {
  authenticate(state,
               "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1; h=from:to:subject;\r\n"
               " bh=V29x6fk2Gl5tlSLO13NKWWVU77dUgJ0rV91p94NjmSA=; b=AAAA\r\n");
}
BENCHMARK(BM_AuthenticateBrokenSignature);

}  // namespace
