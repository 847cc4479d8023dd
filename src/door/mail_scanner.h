// MailScanner: what the mail doors (milter, rspamd's and spamd's protocols, HTTP) and `tamis mail` ask for: a verdict
// on a message, and to learn from a person's correction. A door turns its protocol into a MailRequest and a MailVerdict
// into its answer, and decides nothing itself.
//
// Threading: all methods may be called from any thread. `done` is called exactly once, on a thread of the scanner's or
// before the call returns; it must not block. A door's connection may be gone by then, so `done` holds what it needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::door {

enum class MailDirection : uint8_t { kIn, kOut };

// A message and what is known of its way here. Text fields are as the protocol gave them, without angle brackets;
// empty: not known.
struct MailRequest {
  std::string message;  // header and body, as the wire had it (CRLF or LF)
  MailDirection direction = MailDirection::kIn;
  std::string client_ip;    // of the SMTP client, without brackets
  std::string client_name;  // its verified host name
  std::string helo;
  std::string sender;                   // MAIL FROM; empty with has_sender: the null sender of a bounce
  bool has_sender = false;              // false: the envelope is not known, and Return-Path may stand for it
  std::vector<std::string> recipients;  // RCPT TO
  std::string user;                     // who logged in to send this; empty: nobody did
  std::string queue_id;
  std::string tls_version;  // of the SMTP connection, such as TLSv1.3
  std::string received_by;  // our own host's name, as Authentication-Results names it
};

// The ladder of policies/mail. A policy may name other verdicts; `verdict` has the name as it stands there, `action`
// the nearest of these by its place on the ladder. kDefer is answered like kGreylist, but stands above what marks a
// message: whoever sends too much is put off whatever he sends.
enum class MailAction : uint8_t { kAccept, kGreylist, kTag, kQuarantine, kDefer, kReject };
inline constexpr size_t kMailActions = 6;

struct MailSymbol {
  std::string name;         // id of the rule that matched
  double score = 0;         // its points
  std::string description;  // its reason; nothing that helps an evader is in `reply` below
};

struct MailHeader {
  std::string name, value;
};

struct MailVerdict {
  std::string id;       // of the event and its decision: what a correction names
  std::string verdict;  // by the ladder of the policy
  MailAction action = MailAction::kAccept;
  bool deferred_spam = false;  // with kDefer: it would be tagged or worse if it were not put off
  double points = 0;           // sum of the rules
  double points_required = 0;  // from which on a message is tagged
  double probability = 0;      // that it is spam, 0..1
  std::vector<MailSymbol> symbols;
  std::vector<std::string> recipients_refused;  // those that their own policy refuses while others accept
  std::string reply;                            // for the SMTP answer of a refusal, greylisting included
  std::vector<MailHeader> add_headers;          // in order, first to be the topmost
  // How many of each name to take out before: forged copies of headers that only we may set (Authentication-Results of
  // our own name, X-Spam-*).
  std::vector<std::string> remove_headers;
  std::string explanation_json;  // the decision with its explanation, when the request asked for it
};

// A person's correction. By `id` the remembered features of a message that was scanned are learned, by `message` those
// of the text itself; one of them is given.
struct MailCorrection {
  enum class Label : uint8_t { kHam, kSpam, kForget };
  Label label = Label::kSpam;
  std::string id;
  std::string message;
  std::string reporter;   // who says it: the account, mailbox or controller
  std::string recipient;  // whose mailbox it was in, if that is known
  std::string network;    // address from which the reporter said it, if that is known: its network is capped
  // Not empty: waits with others of the same name, to be judged as one (MailService::finish_batch). By text alone.
  std::string batch;
};

struct MailStats {
  uint64_t scanned = 0, learned = 0, ham_learned = 0, spam_learned = 0;
  uint64_t accepted = 0, greylisted = 0, tagged = 0, quarantined = 0, deferred = 0, rejected = 0;
  int64_t started_ms = 0;
};

class MailScanner {
 public:
  virtual ~MailScanner() = default;

  using ScanDone = std::function<void(base::Result<MailVerdict>)>;
  using LearnDone = std::function<void(base::Status)>;

  // Errors: kInvalid (larger than message_bytes_max()), kUnavailable (overloaded and declared to fail closed, or no
  // policy with a `mail` event).
  virtual void scan(MailRequest request, bool explain, ScanDone done) = 0;
  // Errors: kNotFound (an id that is not remembered any more), kInvalid, kDenied (a reporter who may not).
  virtual void learn(MailCorrection correction, LearnDone done) = 0;
  virtual MailStats stats() const = 0;
  virtual size_t message_bytes_max() const = 0;
};

}  // namespace tamis::door
