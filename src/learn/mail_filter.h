// MailFilter: a message and its envelope become what the rest of the house works with: the features that the spam model
// reads, and the JSON of a `mail` event (policies/mail/events.yaml has the fields). The content is dropped here: an
// event has domains, kinds, counts, digests and flags, no subject, no text, no link's path, no file's name.
//
//   MailFilter filter;                                       // one per thread
//   filter.read(message);                                    // never fails
//   score = model.score(filter.features(), scratch);
//   filter.write_event({.id = id, .envelope = &e, .authentication = &a, .score = &score, ...}, json);
//
// Results are valid until the next read() and as long as the message. Cost: that of mail/facts.h and mail/features.h,
// and about 10 us for the event.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mail/facts.h"
#include "model/features.h"
#include "model/spam_model.h"

namespace tamis::learn {

// What is known of a message's way here. Empty: not known.
struct MailEnvelope {
  bool outgoing = false;
  std::string_view client_ip, client_name, helo;
  std::string_view sender;  // MAIL FROM
  bool has_sender = false;  // with an empty sender: the null sender of a bounce
  std::vector<std::string_view> recipients;
  std::string_view user, queue_id, tls_version;
};

// What authentication and DNS lists said: the one place where they enter. Words as in RFC 8601: "pass", "fail",
// "softfail", "neutral", "none", "temperror", "permerror". As constructed: nobody asked.
struct MailAuthentication {
  std::string spf = "none", dkim = "none", dmarc = "none", arc = "none";
  std::string dmarc_policy = "none";      // asked for by the domain: none, quarantine, reject
  std::string spf_domain;                 // whose SPF was asked
  std::vector<std::string> dkim_domains;  // of the signatures that passed
  std::vector<std::string> ip_lists;      // DNS lists on which the client's address stands
  std::vector<std::string> domain_lists;  // DNS lists on which a domain of the message stands
  bool dns = false;                       // DNS was there to be asked
  std::string header;                     // the value of Authentication-Results, without the authserv-id; may be empty
};

struct MailEvent {
  std::string_view id;
  const MailEnvelope* envelope = nullptr;
  const MailAuthentication* authentication = nullptr;
  const model::SpamScore* score = nullptr;  // null: no model
  float threshold = 0.5f;                   // of the model
  std::string_view model_version;
  uint64_t learned_min = 0;  // messages of the label that the model knows less of
};

class MailFilter {
 public:
  explicit MailFilter(const mail::Limits& limits = {}) : analyser_(limits) {}

  // `bytes` outlive what comes of it.
  const mail::Analysis& read(std::string_view bytes);
  const mail::Analysis& analysis() const { return *analysis_; }
  model::FeatureSpan features() const { return features_; }
  // Names the message by what transport does not change (who wrote it, when, its id and its words), so that a
  // correction by text finds what was scanned under another id.
  uint64_t text_key() const { return text_key_; }

  // Appends the event's JSON.
  void write_event(const MailEvent& in, std::string& json);

 private:
  mail::Analyser analyser_;
  const mail::Analysis* analysis_ = nullptr;
  model::FeatureCollector collector_;
  model::FeatureSpan features_;
  uint64_t text_key_ = 0;
};

}  // namespace tamis::learn
