// SPF records and macros of any bytes. The input's lines are the TXT records of a small world: every name that is asked
// gets one of them by its hash, so includes and redirects lead anywhere. An evaluation ends within its limits, gives
// the same result in one go and round by round, and its texts can be shown.
#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "mail/spf.h"
#include "mail/spf_record.h"

namespace {

using namespace tamis;
using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty() && lines.size() < 64) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

DnsAnswer world(const std::vector<std::string>& lines, const DnsQuestion& question) {
  DnsAnswer answer;
  const uint64_t hash = base::hash64(question.name, static_cast<uint64_t>(question.type));
  answer.status = hash % 16 == 0 ? DnsStatus::kTimeout : hash % 16 < 3 ? DnsStatus::kNoName : DnsStatus::kOk;
  if (answer.status != DnsStatus::kOk) return answer;
  const std::string& line = lines[hash / 16 % lines.size()];
  switch (question.type) {
    case DnsType::kTxt:
      answer.texts.push_back(line);
      if (hash % 64 == 5) answer.texts.push_back(lines[0]);
      break;
    case DnsType::kMx:
      for (uint16_t i = 0; i < hash % 13; ++i) answer.exchanges.push_back({i, line.substr(0, i * 3u)});
      break;
    case DnsType::kPtr:
      for (size_t i = 0; i < hash % 13; ++i) answer.names.push_back("h" + std::to_string(i) + "." + question.name);
      break;
    default: {
      event::IpData ip{};
      ip.is_v6 = question.type == DnsType::kAaaa;
      ip.bytes[15] = static_cast<uint8_t>(hash >> 32 & 3);
      answer.addresses.push_back(ip);
    }
  }
  return answer;
}

bool can_be_shown(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> lines = lines_of({reinterpret_cast<const char*>(data), size});
  if (lines.size() < 2) return 0;
  for (const std::string& line : lines) {
    const mail::SpfRecord record = mail::parse_spf_record(line);
    TAMIS_ASSERT(can_be_shown(record.error));
    TAMIS_ASSERT(record.terms.size() <= mail::kSpfTermsMax);
    mail::SpfMacroValues values;
    values.sender = values.domain = lines[0];
    values.local = lines[1];
    std::string out;
    mail::expand_spf_macros(line, values, true, out);
    TAMIS_ASSERT(out.size() <= mail::kSpfExpandedBytesMax);
    TAMIS_ASSERT(mail::spf_target_name(out).size() <= 253);
  }
  mail::SpfQuery query;
  query.sender = lines[0];
  query.helo = lines[1];
  query.client.is_v6 = size % 2;
  query.client.bytes[15] = 1;
  mail::DnsAnswers answers;
  mail::SpfVerdict verdict;
  for (int rounds = 0;; ++rounds) {
    TAMIS_ASSERT(rounds < 200);
    std::vector<DnsQuestion> missing;
    verdict = mail::evaluate_spf(query, answers, missing);
    if (missing.empty()) break;
    // One answer a round, from any end.
    const DnsQuestion& one = rounds % 2 != 0 ? missing.front() : missing.back();
    TAMIS_ASSERT(event::is_dns_name(one.name) && answers.find(one) == nullptr);
    answers.set(one, world(lines, one));
    TAMIS_ASSERT(answers.size() <= mail::kSpfQuestionsMax);
  }
  TAMIS_ASSERT(can_be_shown(verdict.explanation));
  std::vector<DnsQuestion> missing;
  const mail::SpfVerdict again = mail::evaluate_spf(query, answers, missing);
  TAMIS_ASSERT(missing.empty() && again.result == verdict.result && again.reason == verdict.reason);
  return 0;
}
