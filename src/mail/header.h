// Header fields and what stands in them: names, folding, encoded words (RFC 2047), parameters (RFC 2231), addresses
// and dates (RFC 5322). All of it reads what mail programs really write, broken things included. Results point into
// the message or the arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/anomaly.h"
#include "mail/charset.h"
#include "mail/limits.h"

namespace tamis::mail {

// Headers that this room or a policy looks at by name.
enum class HeaderId : uint8_t {
  kOther,
  kArcAuthenticationResults,
  kArcMessageSignature,
  kArcSeal,
  kAuthenticationResults,
  kAutoSubmitted,
  kBcc,
  kCc,
  kContentDisposition,
  kContentId,
  kContentTransferEncoding,
  kContentType,
  kDate,
  kDkimSignature,
  kFeedbackId,
  kFrom,
  kInReplyTo,
  kListId,
  kListPost,
  kListUnsubscribe,
  kListUnsubscribePost,
  kMessageId,
  kMimeVersion,
  kOrganization,
  kPrecedence,
  kReceived,
  kReceivedSpf,
  kReferences,
  kReplyTo,
  kReturnPath,
  kSender,
  kSubject,
  kTo,
  kUserAgent,
  kXMailer,
  kXOriginatingIp,
  kXPriority,
};
HeaderId header_id(std::string_view name);

struct Header {
  std::string_view name;   // as written
  std::string_view value;  // behind the colon up to the line end, folds and leading white space as they came
  std::string_view raw;    // the whole field, with its last line end
  HeaderId id = HeaderId::kOther;
};

// Lines joined (RFC 5322 section 2.2.3) and white space around dropped; CR, LF and control characters become spaces.
std::string_view unfold(std::string_view value, base::Arena& arena);

// The text a reader would see: unfolded, encoded words decoded, 8-bit text read as UTF-8, else in `charset`, else
// windows-1252. Always valid UTF-8.
std::string_view decode_text(std::string_view value, std::string_view charset, const Limits& limits,
                             CharsetConverter& converter, base::Arena& arena, AnomalySet& anomalies);

// "text/plain; charset=utf-8": the first token in lower case and the parameters, RFC 2231 pieces joined and decoded,
// encoded words decoded too (wrong, but common).
struct Parameter {
  std::string_view name;  // lower case
  std::string_view value;
};
struct Structured {
  std::string_view token;
  std::vector<Parameter> parameters;
  std::string_view find(std::string_view name) const;
};
void parse_structured(std::string_view value, const Limits& limits, CharsetConverter& converter, base::Arena& arena,
                      AnomalySet& anomalies, Structured& out);

// One mailbox of an address header. Groups are taken apart into theirs.
struct Address {
  std::string_view name;    // display name as a reader sees it; a comment if there is none
  std::string_view email;   // as written between the angle brackets, without quotes and white space around it
  std::string_view local;   // before the last @
  std::string_view domain;  // behind it, in the one form of event/domain.h; empty: not an address
};
// Appends at most limits.addresses_max; returns how many there were.
size_t parse_addresses(std::string_view value, std::string_view charset, const Limits& limits,
                       CharsetConverter& converter, base::Arena& arena, AnomalySet& anomalies,
                       std::vector<Address>& out);

// RFC 5322 date-time and its many variations, as Unix seconds; false: no date to be found. Zones by name are those
// of RFC 5322; others are UTC.
bool parse_date(std::string_view value, int64_t& unix_s);

}  // namespace tamis::mail
