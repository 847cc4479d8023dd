// The facts of one message: what a policy's rules and a model see of it. Bytes in, facts out, no network, no policy;
// a door thread calls this while it holds the message and keeps what it needs of the result.
//
//   Analyser analyser;                                   // one per thread
//   const Analysis& a = analyser.analyse(bytes);         // never fails
//   a.facts.link_domains, a.facts.anomalies, ...
//   for_each_feature(a, {}, [](uint64_t hash, Place place) { ... });   // mail/features.h
//
// Everything points into the message or into the analyser's arena: valid until the next analyse() and as long as the
// bytes. Nothing of the content is kept beyond that, except that memory is reused. Deterministic: the same bytes and
// limits give the same facts on every machine. Cost: 15 to 25 ns a byte for everyday mail.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/attachment.h"
#include "mail/content.h"
#include "mail/digest.h"
#include "mail/html.h"
#include "mail/limits.h"
#include "mail/links.h"
#include "mail/message.h"
#include "mail/text.h"
#include "mail/trace.h"

namespace tamis::mail {

struct MessageFacts {
  // Form.
  uint64_t bytes = 0, head_bytes = 0, body_bytes = 0;
  uint32_t headers = 0, parts = 0, depth = 0;
  AnomalySet anomalies;
  std::string_view content_type;  // of the message, "multipart/alternative"
  std::string_view charset;       // of the first text part, by our name
  bool mime = false;              // MIME-Version is there

  // Who and what. Addresses as in mail/header.h; empty if there is none.
  std::string_view subject;
  Address from, sender, reply_to, return_path;
  std::string_view from_domain;                                                            // registrable
  std::string_view reply_to_domain, sender_domain, return_path_domain, message_id_domain;  // registrable
  uint32_t from_count = 0, recipients = 0, recipient_domains = 0;
  bool from_name_is_address = false;        // the display name holds a mail address
  std::string_view from_name_domain;        // registrable, of the first address that stands in it
  bool from_name_is_other_address = false;  // ... of another registrable domain than the real one
  bool from_name_is_recipient = false;      // the display name is a recipient's address or its local part
  bool reply_to_differs = false;            // another registrable domain than From
  bool subject_is_reply = false;            // "Re:" and its kin
  bool has_thread_headers = false;          // In-Reply-To or References
  bool subject_all_upper = false;
  bool to_undisclosed = false;  // no recipient in the headers
  int64_t date_s = 0;           // 0: none or broken
  int64_t received_date_s = 0;  // of the newest Received; 0: none
  std::string_view mailer;      // X-Mailer or User-Agent
  std::string_view list_id;
  bool list_unsubscribe = false, one_click_unsubscribe = false, bulk = false, auto_submitted = false;

  // Text.
  std::string_view language;  // ISO 639-1, "" unknown
  TextCounts text;            // of the visible text
  uint32_t hidden_bytes = 0;  // of text that cannot be seen
  uint32_t subject_zero_width = 0, subject_styled = 0, subject_mixed = 0;
  TextCounts from_name_text;
  int32_t alternative_distance = -1;  // digest distance of the plain and the HTML alternative; -1: not both
  bool html = false, plain = false;
  bool gtube = false;  // has the line that filters are tried with (docs/MAIL_DOORS.md)
  HtmlCounts html_counts;

  // Links.
  uint32_t links = 0, links_left_out = 0, emails_in_text = 0;
  std::array<uint32_t, kLinkTricks> link_tricks{};  // links with each trick, by bit
  std::vector<std::string_view> link_domains;       // registrable, distinct, of links and forms, in order
  std::vector<std::string_view> image_domains;      // of pictures and resources
  std::vector<std::string_view> email_domains;      // of addresses in text and mailto:
  bool links_to_from_domain = false;

  // Attachments and members.
  std::vector<Attachment> attachments;
  uint32_t inline_images = 0, dangerous_attachments = 0, attached_programs = 0, encrypted_attachments = 0, members = 0,
           attached_messages = 0;

  // Trace and authentication, as claimed by the headers.
  std::vector<Received> received;  // newest first
  std::vector<AuthResult> auth_results;
  uint32_t dkim_signatures = 0, arc_sets = 0, received_count = 0;
  bool received_spf = false;
  std::vector<std::string_view> dkim_domains;  // d= of DKIM-Signature, distinct
  bool dkim_aligned = false;                   // one of them is From's registrable domain

  // Near-duplicates (mail/digest.h); 0: too little to compare.
  uint64_t text_digest = 0, structure_digest = 0, subject_digest = 0;
};

// A text part made readable.
struct ReadText {
  int32_t part = 0;
  std::string_view visible;  // as a reader sees it
  std::string_view folded;   // the same by mail/text.h
  std::string_view hidden_folded;
  std::span<const Word> words;  // of the folded text; of all texts together at most limits.words_max
  size_t words_end = 0;         // where in it the rest begins
  bool html = false;
  bool quoted_heavy = false;  // most lines begin with ">"
  size_t tags_begin = 0, tags_end = 0;
  WordCursor cursor() const { return {words, folded, words_end}; }
};

struct Analysis {
  Message message;
  MessageFacts facts;
  std::vector<ReadText> texts;
  std::vector<Link> links;        // distinct by target
  std::vector<uint32_t> tags;     // of all HTML parts
  std::vector<FoundText> emails;  // in text
  std::string_view subject_folded, from_name_folded;
  const Limits* limits = nullptr;
  base::Arena* arena = nullptr;  // where all of it lies
};

class Analyser {
 public:
  explicit Analyser(const Limits& limits = {});
  ~Analyser();
  Analyser(const Analyser&) = delete;
  Analyser& operator=(const Analyser&) = delete;

  const Analysis& analyse(std::string_view raw);

 private:
  struct Work;
  Limits limits_;
  MessageReader reader_;
  HtmlReader html_;
  HtmlText html_text_;
  base::Arena arena_;
  Analysis analysis_;
  std::vector<FoundText> found_;
  std::vector<Word> words_;
  std::vector<Address> addresses_;
  std::vector<uint64_t> seen_links_;
  TagList tags_;
};

}  // namespace tamis::mail
