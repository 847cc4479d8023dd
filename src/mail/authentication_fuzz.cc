// A message, an envelope and answers of any bytes: the conversation ends, with at most as many questions as allowed,
// whichever answers come and in whichever order; and what it tells of a sender cannot break out of its header.
#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "mail/authentication.h"

namespace {

using namespace tamis;
using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

constexpr std::string_view kKey = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const mail::AuthSettings& settings() {
  static const mail::AuthSettings all = [] {
    mail::AuthSettings made;
    made.questions_max = 60;
    for (const char* text : {"zen ip zen.example 127.0.0.1=x 127.0.0.0/24=y", "dbl domain dbl.example &1=z"}) {
      made.dns_lists.push_back(*mail::parse_dns_list(text));
    }
    return made;
  }();
  return all;
}

std::shared_ptr<const DnsAnswer> answer_to(const DnsQuestion& question, std::string_view records, uint64_t seed) {
  auto answer = std::make_shared<DnsAnswer>();
  const uint64_t hash = base::hash64(question.name, seed);
  constexpr DnsStatus statuses[] = {DnsStatus::kOk,     DnsStatus::kOk,     DnsStatus::kOk,      DnsStatus::kNoName,
                                    DnsStatus::kNoData, DnsStatus::kFailed, DnsStatus::kTimeout, DnsStatus::kOk};
  answer->status = hash % 97 == 0 ? DnsStatus::kOff : statuses[hash % 8];
  if (answer->status != DnsStatus::kOk) return answer;
  if (question.type == DnsType::kTxt) {
    if (question.name.find("_domainkey") != std::string::npos && hash % 3 != 0) answer->texts.emplace_back(kKey);
    for (std::string_view rest = records; !rest.empty() && answer->texts.size() < 4;) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      answer->texts.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  } else if (question.type == DnsType::kA) {
    event::IpData ip{};
    ip.bytes[12] = 127;
    ip.bytes[15] = static_cast<uint8_t>(hash >> 8);
    answer->addresses.push_back(ip);
  }
  return answer;
}

}  // namespace

// Three parts, each behind a zero byte: envelope lines, records, message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t first = input.find('\0'), second = first == std::string_view::npos ? first : input.find('\0', first + 1);
  if (second == std::string_view::npos) return 0;
  const std::string_view head = input.substr(0, first), records = input.substr(first + 1, second - first - 1);
  static mail::Analyser analyser;
  const mail::Analysis& analysis = analyser.analyse(input.substr(second + 1));
  mail::AuthEnvelope envelope;
  envelope.client_ip = size % 3 != 0 ? "192.0.2.1" : "2001:db8::1";
  const size_t line = std::min(head.find('\n'), head.size());
  envelope.helo = head.substr(0, line);
  envelope.sender = head.substr(std::min(line + 1, head.size()));
  envelope.has_sender = true;
  envelope.now_s = static_cast<int64_t>(size) * 1'000'000;
  mail::Authentication check(settings(), analysis, envelope);
  std::vector<DnsQuestion> open;
  for (int turns = 0; !check.finished(); ++turns) {
    for (DnsQuestion& question : check.take_questions()) open.push_back(std::move(question));
    TAMIS_ASSERT(!open.empty() && turns <= 60);
    if (turns == 50) {
      check.give_up();
      break;
    }
    if (turns % 3 == 1) std::swap(open.front(), open.back());
    check.answer(open.back(), answer_to(open.back(), records, size));
    open.pop_back();
  }
  TAMIS_ASSERT(check.finished());
  const mail::MailAuthResults& results = check.results();
  TAMIS_ASSERT(results.questions <= settings().questions_max && results.dkim.size() <= settings().signatures_max);
  const std::string header = results.to_authentication_results("mx.example.net", " ");
  TAMIS_ASSERT(std::all_of(header.begin(), header.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  mail::forged_authentication_results(analysis.message, "mx.example.net");
  return 0;
}
