#include "mail/authentication.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "event/domain.h"
#include "event/ip.h"
#include "mail/ascii.h"

namespace tamis::mail {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;
using Answer = std::shared_ptr<const DnsAnswer>;

constexpr size_t kKeyRecordsMax = 4;  // of one name; more than one is not allowed, but happens

Answer plain_answer(DnsStatus status) {
  auto answer = std::make_shared<DnsAnswer>();
  answer->status = status;
  return answer;
}

// Domains of all From addresses; a message should have one.
std::vector<std::string> from_domains(const Message& message) {
  std::vector<std::string> out;
  base::Arena arena(4096);
  CharsetConverter converter;
  AnomalySet anomalies;
  const Limits limits;
  std::vector<Address> addresses;
  for (const Header& header : message.headers_of(message.parts[0])) {
    if (header.id == HeaderId::kFrom) {
      parse_addresses(header.value, {}, limits, converter, arena, anomalies, addresses);
    }
  }
  for (const Address& address : addresses) {
    const std::string domain(address.domain);
    if (!domain.empty() && std::find(out.begin(), out.end(), domain) == out.end()) out.push_back(domain);
  }
  return out;
}

std::string claimed(const std::vector<AuthResult>& results, std::string_view method) {
  for (const AuthResult& result : results) {
    if (result.method != method) continue;
    const bool word = result.result.size() <= 16 && std::all_of(result.result.begin(), result.result.end(), is_alpha);
    return word ? std::string(result.result) : std::string();
  }
  return {};
}

}  // namespace

struct Authentication::State {
  struct Signature {
    PreparedSignature prepared;
    bool done = false;
  };
  struct ListQuestion {
    size_t list;
    std::string item, where;
    DnsQuestion question;
    bool done = false;
  };

  const AuthSettings& settings;
  MailAuthResults results;
  uint64_t chance = 0;

  DnsAnswers answers;
  std::set<std::pair<DnsType, std::string>> asked;  // by lower-case name
  std::vector<DnsQuestion> to_take, unanswered;
  bool giving_up = false, off = false, finished = false;

  SpfQuery spf_query;
  DnsAnswers spf_answers;
  bool spf_done = true, spf_checked = false;
  std::vector<Signature> signatures;
  PreparedArc arc;
  bool arc_done = true;
  std::vector<std::string> policy_names;  // of DMARC, nearest first
  bool dmarc_done = true;
  std::vector<ListQuestion> list_questions;

  explicit State(const AuthSettings& wanted) : settings(wanted) {}

  void begin(const Analysis& analysis, const AuthEnvelope& envelope);
  void begin_spf(const AuthEnvelope& envelope);
  void begin_signatures(const Message& message, int64_t now_s, base::Arena& arena);
  void begin_dmarc(const Message& message);
  void begin_lists(const Analysis& analysis);

  void want(DnsQuestion question);
  void advance();
  void advance_spf();
  void advance_signatures();
  void advance_arc();
  void advance_dmarc();
  void advance_lists();
  void switch_off();

  Answer find(const DnsQuestion& question) const { return answers.share(question); }
  bool align(const std::string& domain, bool strict) const {
    return dmarc_aligned(domain, results.dmarc.from_domain, strict);
  }
};

void Authentication::State::begin(const Analysis& analysis, const AuthEnvelope& envelope) {
  base::Arena arena(16 * 1024);
  chance = envelope.chance;
  if (settings.spf) begin_spf(envelope);
  begin_signatures(analysis.message, envelope.now_s, arena);
  begin_dmarc(analysis.message);
  if (!settings.dns_lists.empty()) begin_lists(analysis);
  advance();
}

void Authentication::State::begin_spf(const AuthEnvelope& envelope) {
  event::IpData client{};
  if (!event::parse_ip(envelope.client_ip, client)) return;
  char text[event::kIpTextBytesMax];
  results.spf.client_ip = event::format_ip(client, text);
  spf_query.client = client;
  if (!envelope.has_sender) return;
  spf_query.helo = envelope.helo;
  spf_query.sender = envelope.sender;
  spf_query.receiver_name = envelope.receiver_name;
  spf_query.now_s = envelope.now_s;
  results.spf.sender = envelope.sender.empty() ? "postmaster@" + envelope.helo : envelope.sender;
  spf_done = false;
  spf_checked = true;
}

void Authentication::State::begin_signatures(const Message& message, int64_t now_s, base::Arena& arena) {
  BodyHashes hashes;
  for (const Header& header : message.headers_of(message.parts[0])) {
    if (!settings.dkim || header.id != HeaderId::kDkimSignature) continue;
    if (signatures.size() >= settings.signatures_max) {
      ++results.dkim_left_out;
      continue;
    }
    const DkimSignature signature = parse_dkim_signature(header, arena);
    MailAuthResults::Dkim& told = results.dkim.emplace_back();
    told.domain = signature.domain;
    told.selector = signature.selector;
    told.identity = signature.identity.empty() ? "@" + told.domain : std::string(signature.identity);
    told.algorithm = signature.tags.find("a");
    told.signature_start = signature.tags.find("b").substr(0, 8);
    signatures.push_back({prepare_dkim(message, signature, now_s, arena, &hashes), false});
    const PreparedSignature& prepared = signatures.back().prepared;
    if (prepared.verdict.result == DkimResult::kNone) want({DnsType::kTxt, prepared.key_name});
  }
  if (!settings.arc) return;
  arc = prepare_arc(message, arena, &hashes);
  results.arc.sets = arc.verdict.sets;
  results.arc.domain = arc.verdict.newest_domain;
  for (const PreparedSignature& seal : arc.seals) results.arc.sealers.push_back(seal.domain);
  std::vector<AuthResult> claims;
  parse_authentication_results(arc.newest_results, 64, arena, claims);
  results.arc.claimed_dmarc = claimed(claims, "dmarc");
  results.arc.claimed_spf = claimed(claims, "spf");
  results.arc.claimed_dkim = claimed(claims, "dkim");
  arc_done = false;
  if (arc.verdict.result != ArcResult::kNone || arc.verdict.sets == 0) return;
  want({DnsType::kTxt, arc.newest.key_name});
  for (const PreparedSignature& seal : arc.seals) want({DnsType::kTxt, seal.key_name});
}

void Authentication::State::begin_dmarc(const Message& message) {
  const std::vector<std::string> domains = from_domains(message);
  if (domains.size() != 1) {
    if (domains.size() > 1 && settings.dmarc) {
      results.dmarc.result = DmarcResult::kPermError;
      results.dmarc.reason = "From has addresses of more than one domain";
    }
    return;
  }
  results.dmarc.from_domain = domains[0];
  dmarc_done = false;
  if (!settings.dmarc) return;
  policy_names = dmarc_names(domains[0]);
  for (const std::string& name : policy_names) want({DnsType::kTxt, name});
}

void Authentication::State::begin_lists(const Analysis& analysis) {
  std::vector<std::pair<std::string, std::string>> domains;  // item, where
  const auto add = [&domains](std::string_view domain, const char* where) {
    const std::string_view registered = event::registered_domain(domain);
    if (registered.empty()) return;
    for (const auto& [item, other] : domains) {
      if (item == registered) return;
    }
    domains.emplace_back(registered, where);
  };
  base::Arena arena(1024);
  const size_t at = spf_query.sender.rfind('@');
  if (at != std::string::npos) add(event::normalise_domain(spf_query.sender.substr(at + 1), arena), "sender");
  add(results.dmarc.from_domain, "from");
  const size_t others = domains.size();
  for (const std::string_view domain : analysis.facts.link_domains) {
    if (domains.size() - others >= settings.list_domains_max) break;
    add(domain, "link");
  }
  const auto ask = [&](size_t list, std::string item, std::string where, std::string name) {
    if (name.empty()) return;
    list_questions.push_back({list, std::move(item), std::move(where), {DnsType::kA, std::move(name)}, false});
    want(list_questions.back().question);
  };
  for (size_t i = 0; i < settings.dns_lists.size() && i < kDnsListsMax; ++i) {
    const DnsList& list = settings.dns_lists[i];
    if (list.of == DnsListOf::kAddresses) {
      if (!results.spf.client_ip.empty()) {
        ask(i, results.spf.client_ip, "client", dns_list_name(list, spf_query.client));
      }
      continue;
    }
    for (const auto& [domain, where] : domains) ask(i, domain, where, dns_list_name(list, domain));
  }
}

void Authentication::State::want(DnsQuestion question) {
  std::transform(question.name.begin(), question.name.end(), question.name.begin(), to_lower);
  if (!asked.emplace(question.type, question.name).second) return;
  if (giving_up) {
    answers.set(question, plain_answer(DnsStatus::kTimeout));
    ++results.questions_failed;
    return;
  }
  if (results.questions >= settings.questions_max) {
    answers.set(question, plain_answer(DnsStatus::kFailed));
    ++results.questions_failed;
    return;
  }
  ++results.questions;
  unanswered.push_back(question);
  to_take.push_back(std::move(question));
}

void Authentication::State::advance_spf() {
  while (!spf_done) {
    std::vector<DnsQuestion> missing;
    SpfVerdict verdict = evaluate_spf(spf_query, spf_answers, missing);
    bool more = false;
    for (const DnsQuestion& question : missing) {
      want(question);
      if (const Answer known = find(question)) {
        spf_answers.set(question, known);
        more = true;
      }
    }
    if (missing.empty()) {
      results.spf.result = verdict.result;
      results.spf.domain = std::move(verdict.domain);
      results.spf.of_helo = verdict.of_helo;
      results.spf.reason = std::move(verdict.reason);
      spf_done = true;
    }
    if (!more) return;
  }
}

void Authentication::State::advance_signatures() {
  for (size_t i = 0; i < signatures.size(); ++i) {
    Signature& signature = signatures[i];
    if (signature.done) continue;
    DkimVerdict verdict = signature.prepared.verdict;
    if (verdict.result == DkimResult::kNone) {
      const Answer answer = find({DnsType::kTxt, signature.prepared.key_name});
      if (!answer) continue;
      verdict.result = event::is_temporary(answer->status) ? DkimResult::kTempError : DkimResult::kPermError;
      verdict.reason = event::is_temporary(answer->status) ? "no answer for the key" : "there is no key";
      // The first record that fits; if none does, what the first says.
      for (size_t k = 0; answer->status == DnsStatus::kOk && k < answer->texts.size() && k < kKeyRecordsMax; ++k) {
        const DkimVerdict one = verify_prepared(signature.prepared, answer->texts[k]);
        if (k == 0 || one.result == DkimResult::kPass) verdict = one;
        if (one.result == DkimResult::kPass) break;
      }
    }
    signature.done = true;
    MailAuthResults::Dkim& told = results.dkim[i];
    told.result = verdict.result;
    told.reason = verdict.reason;
    told.testing = verdict.testing;
    told.body_cut = verdict.body_cut;
  }
}

void Authentication::State::advance_arc() {
  if (arc_done) return;
  struct Keys final : ArcKeys {
    explicit Keys(const State& owner) : state(owner) {}
    const State& state;
    bool failed = false;
    std::string key_of(const std::string& name) override {
      const Answer answer = state.find({DnsType::kTxt, name});
      if (answer) failed |= event::is_temporary(answer->status);
      return answer && !answer->texts.empty() ? answer->texts[0] : std::string();
    }
  } keys(*this);
  ArcVerdict verdict = arc.verdict;
  if (verdict.result == ArcResult::kNone && verdict.sets != 0) {
    if (!find({DnsType::kTxt, arc.newest.key_name})) return;
    for (const PreparedSignature& seal : arc.seals) {
      if (!find({DnsType::kTxt, seal.key_name})) return;
    }
    verdict = finish_arc(arc, keys);
    if (keys.failed) {
      verdict.result = ArcResult::kTempError;
      verdict.reason = "no answer for a key";
    }
  }
  results.arc.result = verdict.result;
  results.arc.reason = verdict.reason;
  arc_done = true;
}

void Authentication::State::advance_dmarc() {
  if (dmarc_done || !spf_done || std::any_of(signatures.begin(), signatures.end(), [](auto& s) { return !s.done; })) {
    return;
  }
  MailAuthResults::Dmarc& told = results.dmarc;
  DmarcRecord record;
  bool at_subdomain = false;
  for (size_t i = 0; i < policy_names.size(); ++i) {
    const Answer answer = find({DnsType::kTxt, policy_names[i]});
    if (!answer) return;
    if (event::is_temporary(answer->status)) {
      told.result = DmarcResult::kTempError;
      told.reason = "no answer for the record";
      break;
    }
    const auto count = std::count_if(answer->texts.begin(), answer->texts.end(), is_dmarc_record);
    if (count == 0) continue;
    base::Arena arena(4096);
    record = parse_dmarc_record(*std::find_if(answer->texts.begin(), answer->texts.end(), is_dmarc_record), arena);
    if (count > 1 || !record.valid) {
      record.valid = false;
      told.result = count > 1 ? DmarcResult::kNone : DmarcResult::kPermError;
      told.reason = count > 1 ? "there is more than one record" : "the record is malformed";
      break;
    }
    at_subdomain = i > 0;
    told.domain = policy_names[i].substr(std::string_view("_dmarc.").size());
    break;
  }
  dmarc_done = true;
  results.spf.aligned = align(results.spf.domain, record.strict_spf);
  std::vector<std::string_view> signers;
  bool uncertain = results.spf.aligned && results.spf.result == SpfResult::kTempError, cut = false;
  for (MailAuthResults::Dkim& one : results.dkim) {
    one.aligned = align(one.domain, record.strict_dkim);
    // Behind what l= covers anybody can write anything (RFC 6376, section 8.2): such a signature proves no message.
    if (one.result == DkimResult::kPass && !one.body_cut) signers.push_back(one.domain);
    cut |= one.result == DkimResult::kPass && one.body_cut && one.aligned;
    uncertain |= one.aligned && one.result == DkimResult::kTempError;
  }
  if (!record.valid) return;
  told.percent = record.percent;
  told.policy = at_subdomain ? record.subdomain_policy : record.policy;
  const bool spf_passed = results.spf.result == SpfResult::kPass;
  const DmarcVerdict verdict = evaluate_dmarc(record, told.from_domain, at_subdomain, signers,
                                              spf_passed ? std::string_view(results.spf.domain) : std::string_view());
  told.result = verdict.result;
  if (verdict.result != DmarcResult::kFail) return;
  if (!spf_checked) {
    told.result = DmarcResult::kNone;
    told.reason = "SPF could not be checked: who sent it is not known";
  } else if (uncertain) {
    told.result = DmarcResult::kTempError;
    told.reason = "what might have passed could not be checked";
  } else {
    if (cut) told.reason = "the signature leaves a part of the body unsigned";
    told.applied = eased_policy(told.policy, told.percent, chance);
  }
}

void Authentication::State::advance_lists() {
  for (ListQuestion& one : list_questions) {
    if (one.done) continue;
    const Answer answer = find(one.question);
    if (!answer) continue;
    one.done = true;
    if (event::is_temporary(answer->status)) ++results.dns_lists_unknown;
    const DnsList& list = settings.dns_lists[one.list];
    for (std::string& meaning : dns_list_meanings(list, *answer)) {
      results.dns_list_hits.push_back({list.name, one.item, one.where, std::move(meaning)});
    }
  }
}

void Authentication::State::advance() {
  if (finished) return;
  advance_spf();
  advance_signatures();
  advance_arc();
  advance_dmarc();
  advance_lists();
  finished = spf_done && arc_done && dmarc_done &&
             std::all_of(signatures.begin(), signatures.end(), [](auto& one) { return one.done; }) &&
             std::all_of(list_questions.begin(), list_questions.end(), [](auto& one) { return one.done; });
  if (!finished) return;
  // Hits come in the order of their answers; told in the order of the settings they are the same each time.
  const auto place = [this](const MailAuthResults::DnsListHit& hit) {
    for (size_t i = 0; i < list_questions.size(); ++i) {
      const ListQuestion& one = list_questions[i];
      if (settings.dns_lists[one.list].name == hit.list && one.item == hit.item) return i;
    }
    return list_questions.size();
  };
  std::stable_sort(results.dns_list_hits.begin(), results.dns_list_hits.end(),
                   [&place](const auto& a, const auto& b) { return place(a) < place(b); });
}

// Results of no DNS are none at all, so that no rule takes them for a sender's fault.
void Authentication::State::switch_off() {
  off = finished = true;
  to_take.clear();
  results.dns_off = true;
  results.questions = results.questions_failed = 0;
  results.spf.result = SpfResult::kNone;
  results.spf.reason.clear();
  for (MailAuthResults::Dkim& one : results.dkim) {
    one.result = DkimResult::kNone;
    one.reason.clear();
  }
  results.dmarc.result = DmarcResult::kNone;
  results.dmarc.reason.clear();
  results.arc.result = ArcResult::kNone;
  results.arc.reason.clear();
}

Authentication::Authentication(const AuthSettings& settings, const Analysis& analysis, const AuthEnvelope& envelope)
    : state_(std::make_unique<State>(settings)) {
  state_->begin(analysis, envelope);
}
Authentication::~Authentication() = default;
Authentication::Authentication(Authentication&&) noexcept = default;
Authentication& Authentication::operator=(Authentication&&) noexcept = default;

std::vector<DnsQuestion> Authentication::take_questions() { return std::exchange(state_->to_take, {}); }

void Authentication::answer(const DnsQuestion& question, Answer answer) {
  State& s = *state_;
  if (s.finished) return;
  const auto open = std::find_if(s.unanswered.begin(), s.unanswered.end(), [&question](const DnsQuestion& one) {
    return one.type == question.type && equals_lower(question.name, one.name);
  });
  if (open == s.unanswered.end()) return;
  if (answer->status == DnsStatus::kOff) {
    s.switch_off();
    return;
  }
  if (event::is_temporary(answer->status)) ++s.results.questions_failed;
  const DnsQuestion asked = *open;
  s.unanswered.erase(open);
  s.answers.set(asked, std::move(answer));
  // SPF looks for what it was missing in these.
  s.advance();
}

bool Authentication::finished() const { return state_->finished; }

void Authentication::give_up() {
  State& s = *state_;
  if (s.finished) return;
  s.giving_up = true;
  s.results.out_of_time = true;
  s.to_take.clear();
  for (const DnsQuestion& question : std::exchange(s.unanswered, {})) {
    s.answers.set(question, plain_answer(DnsStatus::kTimeout));
    ++s.results.questions_failed;
  }
  s.advance();
  TAMIS_ASSERT(s.finished);
}

const MailAuthResults& Authentication::results() const { return state_->results; }

}  // namespace tamis::mail
