// DMARC (RFC 7489): the policy record of a domain, identifiers held against it, and what follows. No DNS here: the
// caller asks for the TXT records of dmarc_names() in order and gives the first that is a policy.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"

namespace tamis::mail {

enum class DmarcPolicy : uint8_t { kNone, kQuarantine, kReject };
enum class DmarcResult : uint8_t { kNone, kPass, kFail, kTempError, kPermError };
std::string_view name_of(DmarcPolicy policy);
std::string_view name_of(DmarcResult result);

struct DmarcRecord {
  bool valid = false;  // "v=DMARC1" first, and a policy (or rua=, which stands for p=none)
  DmarcPolicy policy = DmarcPolicy::kNone, subdomain_policy = DmarcPolicy::kNone;
  bool strict_dkim = false, strict_spf = false;
  uint8_t percent = 100;
};
DmarcRecord parse_dmarc_record(std::string_view text, base::Arena& arena);

// Whether a TXT record is one for DMARC: its first tag is v=DMARC1. Others at the same name do not count.
bool is_dmarc_record(std::string_view text);

// "_dmarc.a.example.com", then "_dmarc.example.com" of the registrable domain if it is another one. Empty: not a name.
std::vector<std::string> dmarc_names(std::string_view from_domain);

// Relaxed: the same registrable domain; strict: the same name. Both in the one form of event/domain.h.
bool dmarc_aligned(std::string_view domain, std::string_view from_domain, bool strict);

struct DmarcVerdict {
  DmarcResult result = DmarcResult::kNone;
  DmarcPolicy policy = DmarcPolicy::kNone;  // asked for by the domain, where the result is kFail
  bool dkim_aligned = false, spf_aligned = false;
};
// `dkim_domains`: d= of the signatures that passed. `spf_domain`: of MAIL FROM (or HELO) if SPF passed, else empty.
// `at_subdomain`: the record stands at the registrable domain and From is below it: sp= counts. pct= is left to the
// policy of the receiver.
DmarcVerdict evaluate_dmarc(const DmarcRecord& record, std::string_view from_domain, bool at_subdomain,
                            std::span<const std::string_view> dkim_domains, std::string_view spf_domain);

// What is asked for once pct= has its say (RFC 7489 section 6.6.4): `chance` is any 64 bits that belong to the message.
// A message that is spared gets the next milder policy.
DmarcPolicy eased_policy(DmarcPolicy policy, uint8_t percent, uint64_t chance);

}  // namespace tamis::mail
