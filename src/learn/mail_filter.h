// MailFilter: a message and its envelope become what the rest of the house works with: the features that the spam model
// reads, and the JSON of a `mail` event (policies/mail/events.yaml has the fields). The content is dropped here: an
// event has domains, kinds, counts, digests and flags, no subject, no text, no link's path, no file's name.
//
//   MailFilter filter;                                       // one per thread
//   filter.read(message);                                    // never fails
//   score = model.score(filter.features(), scratch);
//   filter.begin_event({.id = id, .envelope = &e, .score = &score, ...}, json);
//   MailFilter::end_event(results, json);
//
// Results are valid until the next read() and as long as the message. Cost: that of mail/facts.h and mail/features.h,
// and about 10 us for the event.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mail/authentication.h"
#include "mail/facts.h"
#include "model/features.h"
#include "model/spam_model.h"

namespace tamis::learn {

// What is known of a message's way here. Empty: not known.
struct MailEnvelope {
  bool outgoing = false;
  std::string_view client_ip, client_name, helo;
  std::string_view relay;   // our own, through which it came from there; empty: none
  std::string_view sender;  // MAIL FROM
  bool has_sender = false;  // with an empty sender: the null sender of a bounce
  std::vector<std::string_view> recipients;
  size_t refusing_recipients = 0;  // of these, who has blocked the sender
  std::string_view user, queue_id, tls_version;
};

struct MailEvent {
  std::string_view id;
  const MailEnvelope* envelope = nullptr;
  const model::SpamScore* score = nullptr;  // null: no model
  float threshold = 0.5f;                   // of the model
  std::string_view model_version;
  uint64_t learned_min = 0;     // messages of the label that the model knows less of
  uint64_t corrections = 0;     // that the model has had here
  bool from_elsewhere = false;  // the model was trained elsewhere
  bool forged_results = false;  // it came with an Authentication-Results in our own name
};

class MailFilter {
 public:
  explicit MailFilter(const mail::Limits& limits = {}) : analyser_(limits) {}

  // `bytes` outlive what comes of it. CRLF and LF make no difference, unless a message mixes them or is larger than
  // 16 MiB.
  const mail::Analysis& read(std::string_view bytes);
  const mail::Analysis& analysis() const { return *analysis_; }
  model::FeatureSpan features() const { return features_; }
  // Names the message by what transport does not change (who wrote it, when, its id and its words), so that a
  // correction by text finds what was scanned under another id.
  uint64_t text_key() const { return text_key_; }

  // Appends the event's JSON in two steps: begin_event() writes all that needs the message, end_event() what
  // authentication and DNS lists said, which may come much later and is the one place where they enter.
  void begin_event(const MailEvent& in, std::string& json);
  static void end_event(const mail::MailAuthResults& found, std::string& json);

 private:
  mail::Analyser analyser_;
  std::string plain_;  // the message with LF where it came with CRLF
  const mail::Analysis* analysis_ = nullptr;
  model::FeatureCollector collector_;
  model::FeatureSpan features_;
  uint64_t text_key_ = 0;
};

}  // namespace tamis::learn
