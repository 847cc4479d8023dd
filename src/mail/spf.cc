#include "mail/spf.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "event/ip.h"
#include "mail/ascii.h"
#include "mail/spf_record.h"

namespace tamis::mail {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}

bool matches(const uint8_t* network, const uint8_t* address, int prefix) {
  const int whole = prefix / 8, rest = prefix % 8;
  if (std::memcmp(network, address, static_cast<size_t>(whole)) != 0) return false;
  return rest == 0 || ((network[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool is_below(std::string_view name, std::string_view domain) {
  return name == domain ||
         (name.size() > domain.size() && name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.');
}

// Section 4.3: a name of more than one label, no address literal.
bool is_checkable(std::string_view domain) {
  return event::is_dns_name(domain) && domain.find('.') != std::string_view::npos &&
         domain.find_first_of(" [") == std::string_view::npos;
}

// What a term says of the client.
enum class Match : uint8_t { kYes, kNo, kPending, kTempError, kPermError };

// One evaluation from the start. A function that needs an answer which is missing notes the question and gives
// kPending; its caller then goes on as if nothing had matched, only to note more questions.
class Evaluation {
 public:
  Evaluation(const SpfQuery& query, const DnsAnswers& answers, std::vector<DnsQuestion>& missing, SpfVerdict& verdict)
      : query_(query), answers_(answers), missing_(missing), verdict_(verdict) {
    values_.client = query.client;
    values_.helo = query.helo;
    values_.receiver_name = query.receiver_name.empty() ? "unknown" : query.receiver_name;
    values_.now_s = query.now_s;
  }

  void run(const std::string& local, const std::string& domain);

 private:
  // check_host() of RFC 7208 section 4; nothing: pending.
  std::optional<SpfResult> check_host(const std::string& domain, int depth);
  std::optional<SpfResult> evaluate(const SpfRecord& record, const std::string& domain, int depth);
  std::optional<SpfResult> follow_redirect(const SpfRecord& record, const std::string& domain, int depth);
  Match match(const SpfTerm& term, const std::string& domain, int depth);
  Match match_include(const std::string& target, int depth);
  Match match_addresses(const std::string& name, const SpfTerm& term);
  Match match_exchanges(const std::string& name, const SpfTerm& term);
  Match match_pointer(const std::string& name);
  void explain(const SpfRecord& record, const std::string& domain);

  const DnsAnswer* ask(DnsType type, std::string name);
  bool expand(std::string_view spec, const std::string& domain, bool explanation, std::string& out, bool& pending);
  bool validated_names(std::vector<std::string>& out);
  bool set_validated_name(const std::string& domain);
  bool has_client(const DnsAnswer& answer, const SpfTerm& term) const;
  DnsType address_type() const { return query_.client.is_v6 ? DnsType::kAaaa : DnsType::kA; }
  // Counts a term that asks DNS; false: one too many.
  bool count_lookup() { return ++verdict_.lookups <= static_cast<uint32_t>(kSpfLookupsMax); }
  bool count_void(const DnsAnswer& answer) {
    if (answer.status != DnsStatus::kNoName && answer.status != DnsStatus::kNoData) return true;
    return ++verdict_.void_lookups <= static_cast<uint32_t>(kSpfVoidLookupsMax);
  }
  SpfResult error(SpfResult result, std::string reason) {
    if (verdict_.reason.empty()) verdict_.reason = std::move(reason);
    return result;
  }

  const SpfQuery& query_;
  const DnsAnswers& answers_;
  std::vector<DnsQuestion>& missing_;
  SpfVerdict& verdict_;
  SpfMacroValues values_;
};

const DnsAnswer* Evaluation::ask(DnsType type, std::string name) {
  static const DnsAnswer nothing = [] {
    DnsAnswer answer;
    answer.status = DnsStatus::kNoName;
    return answer;
  }();
  static const DnsAnswer too_many = [] {
    DnsAnswer answer;
    answer.status = DnsStatus::kFailed;
    return answer;
  }();
  if (!event::is_dns_name(name)) return &nothing;
  DnsQuestion question{type, lower(name)};
  if (const DnsAnswer* answer = answers_.find(question)) return answer;
  if (std::find(missing_.begin(), missing_.end(), question) != missing_.end()) return nullptr;
  if (answers_.size() + missing_.size() >= kSpfQuestionsMax) return missing_.empty() ? &too_many : nullptr;
  missing_.push_back(std::move(question));
  return nullptr;
}

// False: a macro is malformed. `pending`: %{p} wants answers first.
bool Evaluation::expand(std::string_view spec, const std::string& domain, bool explanation, std::string& out,
                        bool& pending) {
  values_.domain = domain;
  if (spf_uses_validated_name(spec) && !set_validated_name(domain)) {
    pending = true;
    return true;
  }
  return expand_spf_macros(spec, values_, explanation, out);
}

bool Evaluation::has_client(const DnsAnswer& answer, const SpfTerm& term) const {
  const int prefix = query_.client.is_v6 ? term.prefix6 : term.prefix4;
  return std::any_of(answer.addresses.begin(), answer.addresses.end(), [&](const event::IpData& address) {
    return address.is_v6 == query_.client.is_v6 &&
           matches(reinterpret_cast<const uint8_t*>(event::ip_bytes(address).data()),
                   reinterpret_cast<const uint8_t*>(event::ip_bytes(query_.client).data()), prefix);
  });
}

// Names of the client by PTR whose address is the client's (section 5.5), in the order of the answer. False: pending.
// Errors leave names out.
bool Evaluation::validated_names(std::vector<std::string>& out) {
  const DnsAnswer* pointers = ask(DnsType::kPtr, event::dns_pointer_name(query_.client));
  if (pointers == nullptr) return false;
  bool pending = false;
  for (size_t i = 0; i < pointers->names.size() && i < static_cast<size_t>(kSpfNamesMax); ++i) {
    const DnsAnswer* addresses = ask(address_type(), pointers->names[i]);
    pending |= addresses == nullptr;
    if (addresses != nullptr && has_client(*addresses, SpfTerm{})) out.push_back(lower(pointers->names[i]));
  }
  return !pending;
}

// %{p}: the domain itself, else a name below it, else any; "unknown" if there is none.
bool Evaluation::set_validated_name(const std::string& domain) {
  std::vector<std::string> names;
  if (!validated_names(names)) return false;
  values_.validated_name = names.empty() ? "unknown" : names.front();
  for (const std::string& name : names) {
    if (name == domain) {
      values_.validated_name = name;
      return true;
    }
    if (is_below(name, domain) && !is_below(values_.validated_name, domain)) values_.validated_name = name;
  }
  return true;
}

Match Evaluation::match_include(const std::string& target, int depth) {
  const std::optional<SpfResult> result = check_host(target, depth + 1);
  if (!result) return Match::kPending;
  switch (*result) {
    case SpfResult::kPass:
      return Match::kYes;
    case SpfResult::kTempError:
      return Match::kTempError;
    case SpfResult::kNone:
      error(SpfResult::kPermError, "included " + target + " has no SPF record");
      return Match::kPermError;
    case SpfResult::kPermError:
      return Match::kPermError;
    default:
      return Match::kNo;
  }
}

Match Evaluation::match_addresses(const std::string& name, const SpfTerm& term) {
  const DnsAnswer* answer = ask(address_type(), name);
  if (answer == nullptr) return Match::kPending;
  if (event::is_temporary(answer->status)) return Match::kTempError;
  if (!count_void(*answer)) return Match::kPermError;
  return has_client(*answer, term) ? Match::kYes : Match::kNo;
}

Match Evaluation::match_exchanges(const std::string& name, const SpfTerm& term) {
  const DnsAnswer* answer = ask(DnsType::kMx, name);
  if (answer == nullptr) return Match::kPending;
  if (event::is_temporary(answer->status)) return Match::kTempError;
  if (!count_void(*answer)) return Match::kPermError;
  if (answer->exchanges.size() > static_cast<size_t>(kSpfNamesMax)) {
    error(SpfResult::kPermError, name + " has more than 10 MX records");
    return Match::kPermError;
  }
  // All hosts are asked side by side; they count in their order, whichever answer came first.
  bool pending = false;
  for (const DnsAnswer::Exchange& exchange : answer->exchanges) {
    pending |= ask(address_type(), exchange.host) == nullptr;
  }
  if (pending) return Match::kPending;
  for (const DnsAnswer::Exchange& exchange : answer->exchanges) {
    const DnsAnswer* addresses = ask(address_type(), exchange.host);
    if (event::is_temporary(addresses->status)) return Match::kTempError;
    if (has_client(*addresses, term)) return Match::kYes;
  }
  return Match::kNo;
}

Match Evaluation::match_pointer(const std::string& name) {
  const DnsAnswer* pointers = ask(DnsType::kPtr, event::dns_pointer_name(query_.client));
  if (pointers == nullptr) return Match::kPending;
  if (!count_void(*pointers)) return Match::kPermError;
  std::vector<std::string> names;
  if (!validated_names(names)) return Match::kPending;
  const std::string domain = lower(name);
  return std::any_of(names.begin(), names.end(), [&](const std::string& n) { return is_below(n, domain); })
             ? Match::kYes
             : Match::kNo;
}

Match Evaluation::match(const SpfTerm& term, const std::string& domain, int depth) {
  const auto client = reinterpret_cast<const uint8_t*>(event::ip_bytes(query_.client).data());
  switch (term.mechanism) {
    case SpfMechanism::kAll:
      return Match::kYes;
    case SpfMechanism::kIp4:
      return !query_.client.is_v6 && matches(term.network, client, term.prefix4) ? Match::kYes : Match::kNo;
    case SpfMechanism::kIp6:
      return query_.client.is_v6 && matches(term.network, client, term.prefix6) ? Match::kYes : Match::kNo;
    default:
      break;
  }
  if (!count_lookup()) {
    error(SpfResult::kPermError, "more than 10 DNS lookups");
    return Match::kPermError;
  }
  std::string name;
  bool pending = false;
  if (term.domain.empty()) {
    name = domain;
  } else if (!expand(term.domain, domain, false, name, pending)) {
    return Match::kPermError;
  }
  if (pending) return Match::kPending;
  name = spf_target_name(std::move(name));
  switch (term.mechanism) {
    case SpfMechanism::kInclude:
      return match_include(name, depth);
    case SpfMechanism::kA:
      return match_addresses(name, term);
    case SpfMechanism::kMx:
      return match_exchanges(name, term);
    case SpfMechanism::kPtr:
      return match_pointer(name);
    default:
      break;
  }
  const DnsAnswer* answer = ask(DnsType::kA, name);  // exists: of type A, whatever the client's family
  if (answer == nullptr) return Match::kPending;
  if (event::is_temporary(answer->status)) return Match::kTempError;
  if (!count_void(*answer)) return Match::kPermError;
  return answer->status == DnsStatus::kOk ? Match::kYes : Match::kNo;
}

std::optional<SpfResult> Evaluation::evaluate(const SpfRecord& record, const std::string& domain, int depth) {
  bool pending = false, has_all = false;
  for (const SpfTerm& term : record.terms) {
    has_all |= term.mechanism == SpfMechanism::kAll;
    const Match m = match(term, domain, depth);
    if (m == Match::kNo) continue;
    if (m == Match::kPending) {
      pending = true;
      continue;
    }
    // Behind a pending term this one may never be reached; but nothing behind it can matter either.
    if (pending) return std::nullopt;
    const std::string where = "'" + std::string(term.text) + "' of " + domain;
    if (m == Match::kTempError) return error(SpfResult::kTempError, "no answer for " + where);
    if (m == Match::kPermError) {
      return error(SpfResult::kPermError, verdict_.void_lookups > static_cast<uint32_t>(kSpfVoidLookupsMax)
                                              ? "more than 2 DNS lookups without a record"
                                              : where + " cannot be evaluated");
    }
    if (depth == 0) verdict_.reason = where;
    switch (term.qualifier) {
      case '-':
        if (depth == 0) explain(record, domain);  // the record that decided explains, included ones never do
        return SpfResult::kFail;
      case '~':
        return SpfResult::kSoftFail;
      case '?':
        return SpfResult::kNeutral;
      default:
        return SpfResult::kPass;
    }
  }
  if (!record.redirect.empty() && !has_all) {
    const std::optional<SpfResult> result = follow_redirect(record, domain, depth);
    return pending ? std::nullopt : result;
  }
  if (pending) return std::nullopt;
  if (depth == 0) verdict_.reason = "no term of " + domain + " matches";
  return SpfResult::kNeutral;
}

std::optional<SpfResult> Evaluation::follow_redirect(const SpfRecord& record, const std::string& domain, int depth) {
  if (!count_lookup()) return error(SpfResult::kPermError, "more than 10 DNS lookups");
  std::string name;
  bool pending = false;
  if (!expand(record.redirect, domain, false, name, pending)) return SpfResult::kPermError;
  if (pending) return std::nullopt;
  name = spf_target_name(std::move(name));
  const std::optional<SpfResult> result = check_host(name, depth);
  if (result == SpfResult::kNone) {
    return error(SpfResult::kPermError, "redirected to " + name + ", which has no SPF record");
  }
  return result;
}

// Fills the explanation of a fail. Whatever goes wrong leaves it empty; a missing answer is noted as all are.
void Evaluation::explain(const SpfRecord& record, const std::string& domain) {
  if (record.explanation.empty()) return;
  std::string name;
  bool pending = false;
  if (!expand(record.explanation, domain, false, name, pending) || pending) return;
  const DnsAnswer* answer = ask(DnsType::kTxt, spf_target_name(std::move(name)));
  if (answer == nullptr || answer->texts.size() != 1) return;
  const std::string& text = answer->texts[0];
  if (std::any_of(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; })) return;
  std::string out;
  if (expand(text, domain, true, out, pending) && !pending) {
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    verdict_.explanation = std::move(out);
  }
}

std::optional<SpfResult> Evaluation::check_host(const std::string& domain, int depth) {
  if (!is_checkable(domain)) return SpfResult::kNone;
  // Each level costs a lookup, so the limit of lookups ends loops of includes.
  const DnsAnswer* answer = ask(DnsType::kTxt, domain);
  if (answer == nullptr) return std::nullopt;
  if (event::is_temporary(answer->status)) return error(SpfResult::kTempError, "no answer for the record of " + domain);
  const std::string* text = nullptr;
  for (const std::string& candidate : answer->texts) {
    if (!is_spf_record(candidate)) continue;
    if (text != nullptr) return error(SpfResult::kPermError, domain + " has more than one SPF record");
    text = &candidate;
  }
  if (text == nullptr) return SpfResult::kNone;
  const SpfRecord record = parse_spf_record(*text);
  if (!record.error.empty()) return error(SpfResult::kPermError, domain + ": " + record.error);
  return evaluate(record, domain, depth);
}

void Evaluation::run(const std::string& local, const std::string& domain) {
  values_.local = local;
  values_.sender_domain = domain;
  values_.sender = local + "@" + domain;
  const std::optional<SpfResult> result = check_host(domain, 0);
  verdict_.result = result.value_or(SpfResult::kTempError);
  if (verdict_.result == SpfResult::kNone) verdict_.reason = domain + " has no SPF record";
}

}  // namespace

void DnsAnswers::set(const DnsQuestion& question, std::shared_ptr<const DnsAnswer> answer) {
  answers_.try_emplace({static_cast<uint8_t>(question.type), lower(question.name)}, std::move(answer));
}

void DnsAnswers::set(const DnsQuestion& question, DnsAnswer answer) {
  set(question, std::make_shared<const DnsAnswer>(std::move(answer)));
}

const DnsAnswer* DnsAnswers::find(const DnsQuestion& question) const { return share(question).get(); }

std::shared_ptr<const DnsAnswer> DnsAnswers::share(const DnsQuestion& question) const {
  const auto found = answers_.find({static_cast<uint8_t>(question.type), lower(question.name)});
  return found == answers_.end() ? nullptr : found->second;
}

std::string_view name_of(SpfResult result) {
  constexpr std::string_view names[] = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};
  return names[static_cast<size_t>(result)];
}

SpfVerdict evaluate_spf(const SpfQuery& query, const DnsAnswers& answers, std::vector<DnsQuestion>& missing) {
  SpfVerdict verdict;
  verdict.of_helo = query.sender.empty();
  const size_t at = query.sender.rfind('@');
  std::string local = at == std::string::npos ? "" : query.sender.substr(0, at);
  std::string domain = verdict.of_helo           ? query.helo
                       : at == std::string::npos ? query.sender
                                                 : query.sender.substr(at + 1);
  if (local.empty()) local = "postmaster";
  if (domain.ends_with('.')) domain.pop_back();
  domain = lower(domain);
  if (!is_checkable(domain) || local.size() > 1024) {
    verdict.reason = "no domain to check";
    return verdict;
  }
  verdict.domain = domain;
  const size_t known = missing.size();
  std::vector<DnsQuestion> wanted;
  Evaluation(query, answers, wanted, verdict).run(local, domain);
  missing.resize(known);
  missing.insert(missing.end(), std::make_move_iterator(wanted.begin()), std::make_move_iterator(wanted.end()));
  return verdict;
}

}  // namespace tamis::mail
