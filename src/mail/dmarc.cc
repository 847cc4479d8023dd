#include "mail/dmarc.h"

#include <algorithm>

#include "event/domain.h"
#include "mail/ascii.h"
#include "mail/trace.h"

namespace tamis::mail {
namespace {

bool parse_policy(std::string_view text, DmarcPolicy& out) {
  if (equals_lower(text, "none")) {
    out = DmarcPolicy::kNone;
  } else if (equals_lower(text, "quarantine")) {
    out = DmarcPolicy::kQuarantine;
  } else if (equals_lower(text, "reject")) {
    out = DmarcPolicy::kReject;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string_view name_of(DmarcPolicy policy) {
  constexpr std::string_view names[] = {"none", "quarantine", "reject"};
  return names[static_cast<size_t>(policy)];
}
std::string_view name_of(DmarcResult result) {
  constexpr std::string_view names[] = {"none", "pass", "fail", "temperror", "permerror"};
  return names[static_cast<size_t>(result)];
}

DmarcRecord parse_dmarc_record(std::string_view text, base::Arena& arena) {
  DmarcRecord record;
  TagList tags;
  parse_tags(text.substr(0, 4096), arena, tags);
  if (!is_dmarc_record(text)) return record;  // by its text: the tag's value has lost the white space inside
  // A bad policy with an address for reports is p=none (RFC 7489 section 6.6.3).
  if (!parse_policy(tags.find("p"), record.policy) && tags.find("rua").empty()) return record;
  record.valid = true;
  if (!parse_policy(tags.find("sp"), record.subdomain_policy)) record.subdomain_policy = record.policy;
  record.strict_dkim = equals_lower(tags.find("adkim"), "s");
  record.strict_spf = equals_lower(tags.find("aspf"), "s");
  const std::string_view percent = tags.find("pct");
  unsigned value = 0;
  const bool number = !percent.empty() && percent.size() <= 3 && std::all_of(percent.begin(), percent.end(), is_digit);
  for (const char c : number ? percent : std::string_view("100")) value = value * 10 + static_cast<unsigned>(c - '0');
  record.percent = static_cast<uint8_t>(std::min(value, 100u));
  return record;
}

bool is_dmarc_record(std::string_view text) {
  const std::string_view first = text.substr(0, std::min<size_t>(text.find(';'), 64));
  const size_t equals = first.find('=');
  return equals != std::string_view::npos && trim(first.substr(0, equals)) == "v" &&
         trim(first.substr(equals + 1)) == "DMARC1";
}

DmarcPolicy eased_policy(DmarcPolicy policy, uint8_t percent, uint64_t chance) {
  if (chance % 100 < percent || policy == DmarcPolicy::kNone) return policy;
  return policy == DmarcPolicy::kReject ? DmarcPolicy::kQuarantine : DmarcPolicy::kNone;
}

std::vector<std::string> dmarc_names(std::string_view from_domain) {
  std::vector<std::string> names;
  if (from_domain.empty() || from_domain.front() == '[') return names;
  names.push_back("_dmarc." + std::string(from_domain));
  const std::string_view organisation = event::registered_domain(from_domain);
  if (!organisation.empty() && organisation != from_domain) names.push_back("_dmarc." + std::string(organisation));
  return names;
}

bool dmarc_aligned(std::string_view domain, std::string_view from_domain, bool strict) {
  if (domain.empty() || from_domain.empty()) return false;
  if (domain == from_domain) return true;
  if (strict) return false;
  const std::string_view organisation = event::registered_domain(domain);
  return !organisation.empty() && organisation == event::registered_domain(from_domain);
}

DmarcVerdict evaluate_dmarc(const DmarcRecord& record, std::string_view from_domain, bool at_subdomain,
                            std::span<const std::string_view> dkim_domains, std::string_view spf_domain) {
  DmarcVerdict verdict;
  if (!record.valid) return verdict;
  for (const std::string_view domain : dkim_domains) {
    verdict.dkim_aligned |= dmarc_aligned(domain, from_domain, record.strict_dkim);
  }
  verdict.spf_aligned = dmarc_aligned(spf_domain, from_domain, record.strict_spf);
  verdict.result = verdict.dkim_aligned || verdict.spf_aligned ? DmarcResult::kPass : DmarcResult::kFail;
  if (verdict.result == DmarcResult::kFail) verdict.policy = at_subdomain ? record.subdomain_policy : record.policy;
  return verdict;
}

}  // namespace tamis::mail
