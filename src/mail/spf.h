// SPF (RFC 7208): may this client send mail for this domain? All mechanisms and modifiers, macros, IPv6, and the limits
// of section 4.6.4: 10 terms that ask DNS, 2 void lookups, 10 names of an MX or PTR.
//
// Nothing here asks DNS. An evaluation works on the answers that are known and tells which are missing; whoever has the
// resolver asks for these and evaluates again, until there is a result:
//
//   DnsAnswers answers;
//   for (;;) {
//     std::vector<event::DnsQuestion> missing;
//     const SpfVerdict verdict = evaluate_spf(query, answers, missing);
//     if (missing.empty()) return verdict;
//     for (auto& question : missing) answers.set(question, ask(question));   // side by side
//   }
//
// Evaluating from the start costs microseconds and makes the evaluation a pure function of its inputs. A term whose
// answer is missing does not stop the reading of its record: the questions of the terms behind it are told at once, so
// a usual record takes two or three rounds, whatever its length. Thread-safe; no state. Bounded: at most
// kSpfQuestionsMax questions in all, whatever the records say.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "event/dns.h"

namespace tamis::mail {

// Answers by question. An answer once given does not change.
class DnsAnswers {
 public:
  void set(const event::DnsQuestion& question, std::shared_ptr<const event::DnsAnswer> answer);
  void set(const event::DnsQuestion& question, event::DnsAnswer answer);
  const event::DnsAnswer* find(const event::DnsQuestion& question) const;                   // null: not known yet
  std::shared_ptr<const event::DnsAnswer> share(const event::DnsQuestion& question) const;  // the same, to keep
  size_t size() const { return answers_.size(); }

 private:
  std::map<std::pair<uint8_t, std::string>, std::shared_ptr<const event::DnsAnswer>> answers_;
};

enum class SpfResult : uint8_t { kNone, kNeutral, kPass, kFail, kSoftFail, kTempError, kPermError };
std::string_view name_of(SpfResult result);  // as RFC 8601 names it: "softfail"

struct SpfQuery {
  event::IpData client;
  std::string helo;
  std::string sender;         // MAIL FROM without brackets; empty: of the null sender, postmaster@HELO is checked
  std::string receiver_name;  // our host, for the macro r; empty: "unknown"
  int64_t now_s = 0;          // for the macro t in explanations
};

struct SpfVerdict {
  SpfResult result = SpfResult::kNone;
  std::string reason;  // what decided: "-all of example.com", "more than 10 DNS lookups"
  std::string
      explanation;       // of exp= where the result is kFail; US-ASCII as the domain published it, so not to be trusted
  std::string domain;    // that was checked, lower case; empty: neither MAIL FROM nor HELO has one
  bool of_helo = false;  // the domain is that of HELO, as MAIL FROM was empty
  uint32_t lookups = 0, void_lookups = 0;
};

inline constexpr int kSpfLookupsMax = 10;        // terms that ask DNS
inline constexpr int kSpfVoidLookupsMax = 2;     // of them with no record or no name
inline constexpr int kSpfNamesMax = 10;          // addresses asked of one MX or PTR
inline constexpr size_t kSpfQuestionsMax = 128;  // told as missing in all rounds together

// `missing` is filled (it is not emptied before) while answers are wanted; the verdict counts once it stays empty.
SpfVerdict evaluate_spf(const SpfQuery& query, const DnsAnswers& answers, std::vector<event::DnsQuestion>& missing);

}  // namespace tamis::mail
