// Who sent this message, as far as DNS and signatures tell: SPF, DKIM, DMARC, ARC and DNS lists of one message, as one
// conversation of questions and answers. Nothing here asks DNS or waits: door/mail_auth.h has the resolver.
//
//   Authentication check(settings, analysis, envelope);      // reads the message, keeps none of it
//   while (!check.finished()) {
//     for (auto& question : check.take_questions()) ... check.answer(question, asked(question));
//   }
//   check.results()
//
// All that needs the message (canonical forms, hashes) happens in the constructor; afterwards only digests, signatures
// and names are held, so the message can be dropped while DNS is slow. An answer that never comes is given as kTimeout:
// what depended on it becomes a temporary error and the rest stands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "event/dns.h"
#include "mail/arc.h"
#include "mail/dkim.h"
#include "mail/dmarc.h"
#include "mail/dns_list.h"
#include "mail/facts.h"
#include "mail/spf.h"

namespace tamis::mail {

// What the SMTP session told. Text without angle brackets; empty: not known.
struct AuthEnvelope {
  std::string client_ip;
  std::string helo;
  std::string sender;         // MAIL FROM; empty with has_sender: the null sender
  bool has_sender = false;    // false: SPF is not checked, and DMARC cannot fail
  std::string receiver_name;  // our host
  int64_t now_s = 0;          // wall time; 0: expiry of signatures is not looked at
  uint64_t chance = 0;  // any 64 bits that belong to the message (a hash of its id): decide whether pct= spares it
};

struct MailAuthResults {
  struct Spf {
    SpfResult result = SpfResult::kNone;
    std::string domain;     // that was checked: of MAIL FROM, or of HELO for the null sender
    bool of_helo = false;   // the latter
    bool aligned = false;   // DMARC: with From, by the record's rule (relaxed where there is no record)
    std::string sender;     // as checked; its local part is what the client wrote
    std::string reason;     // what decided: "-all of example.com"
    std::string client_ip;  // canonical text
  };
  struct Dkim {
    DkimResult result = DkimResult::kNone;
    std::string domain, selector;  // d=, s=
    std::string identity;          // i=, "@" and the domain if it was not told
    std::string algorithm;         // "rsa-sha256"
    std::string signature_start;   // first eight letters of b=, which tell signatures of one domain apart
    std::string reason;            // empty when it passed
    bool aligned = false;          // DMARC: with From, as above
    bool testing = false;          // the key says t=y
    bool body_cut = false;         // l= leaves a part of the body unsigned
  };
  struct Dmarc {
    DmarcResult result = DmarcResult::kNone;
    DmarcPolicy policy = DmarcPolicy::kNone;   // published for this From: p=, or sp= below the organisation's domain
    DmarcPolicy applied = DmarcPolicy::kNone;  // asked for this very message: kNone unless it failed; eased by pct=
    std::string from_domain;                   // of From, whole
    std::string domain;                        // where the record stands; empty: there is none
    uint8_t percent = 100;
    std::string reason;
  };
  struct Arc {
    ArcResult result = ArcResult::kNone;
    uint32_t sets = 0;
    std::string domain;                // d= of the newest seal
    std::vector<std::string> sealers;  // d= of all seals, oldest first
    std::string reason;
    // What the newest set's ARC-Authentication-Results claims of DMARC, SPF and DKIM: worth as much as its sealer.
    std::string claimed_dmarc, claimed_spf, claimed_dkim;
  };
  struct DnsListHit {
    std::string list;     // DnsList::name
    std::string item;     // the address or domain
    std::string where;    // "client", "sender", "from", "link"
    std::string meaning;  // by the list's codes
  };

  Spf spf;
  std::vector<Dkim> dkim;  // in the order of the headers; at most settings.signatures_max
  Dmarc dmarc;
  Arc arc;
  std::vector<DnsListHit> dns_list_hits;
  uint32_t dkim_left_out = 0;      // signatures beyond the limit
  uint32_t questions = 0;          // asked of DNS
  uint32_t questions_failed = 0;   // temporary errors, those out of time included
  uint32_t dns_lists_unknown = 0;  // questions to lists that got no answer
  bool dns_off = false;            // nothing was asked: all results are "none" and mean nothing
  bool out_of_time = false;        // the budget ended before all answers were there
  double took_ms = 0;              // filled by whoever asks

  // The value of an Authentication-Results header (RFC 8601) that `authserv_id` stands behind, with `fold` between the
  // results: "\r\n\t" or "\n\t" in a message, " " on one line. Nothing that a sender wrote can break out of its place.
  std::string to_authentication_results(std::string_view authserv_id, std::string_view fold = "\r\n\t") const;
  // The same without the authserv-id: "spf=pass ...; dkim=...", or "none".
  std::string results_text(std::string_view fold = " ") const;

  // DKIM in one word, the best that a signature came to: pass, temperror, fail, policy, permerror, neutral, none.
  DkimResult best_dkim() const;
};

struct AuthSettings {
  bool spf = true, dkim = true, dmarc = true, arc = true;
  size_t signatures_max = 8;  // DKIM signatures verified, first ones first
  size_t questions_max = 200;
  std::vector<DnsList> dns_lists;
  size_t list_domains_max = 10;  // of links; sender and From come in addition
};

class Authentication {
 public:
  // `settings` must outlive this; `analysis` may change when the constructor returns.
  Authentication(const AuthSettings& settings, const Analysis& analysis, const AuthEnvelope& envelope);
  ~Authentication();
  Authentication(Authentication&&) noexcept;
  Authentication& operator=(Authentication&&) noexcept;

  // Questions that came up since the last call, each once. With kOff as the answer to one of them all are given up.
  std::vector<event::DnsQuestion> take_questions();
  // An answer to a question that was taken; a second one to the same is ignored.
  void answer(const event::DnsQuestion& question, std::shared_ptr<const event::DnsAnswer> answer);
  bool finished() const;

  // Once finished. Before, what is not known yet is a temporary error: use give_up() to end it so.
  void give_up();  // no more time: whatever was not answered is kTimeout, and out_of_time is set
  const MailAuthResults& results() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Forged results: which of a message's Authentication-Results headers claim to be of `authserv_id`, although we are
// about to write ours: they must go (RFC 8601 section 5). As numbers among the headers of this name, 1 is the topmost,
// as a milter counts them. A header whose first word cannot be told counts as forged.
std::vector<uint32_t> forged_authentication_results(const Message& message, std::string_view authserv_id);

}  // namespace tamis::mail
