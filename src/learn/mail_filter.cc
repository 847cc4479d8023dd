#include "learn/mail_filter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/hash.h"
#include "cel/utf8.h"
#include "event/domain.h"
#include "event/json_writer.h"
#include "learn/look_alikes.h"
#include "learn/message_features.h"
#include "learn/shown_names.h"
#include "mail/features.h"

#include <fmt/format.h>

namespace tamis::learn {
namespace {

using event::JsonWriter;

constexpr size_t kTextBytesMax = 320;
constexpr size_t kNamesMax = 32;  // of a list in the event
constexpr size_t kLookAlikesMax = 64;
constexpr size_t kRecipientsMax = 1000;
constexpr size_t kPlainBytesKept = size_t{1} << 20;  // of a message with other line ends, from one to the next
constexpr size_t kPlainBytesMax = size_t{16} << 20;  // of a message whose line ends are made alike, which takes a copy

// Text for an event: at most so many bytes, always UTF-8, without control characters.
std::string clean(std::string_view text, size_t bytes_max = kTextBytesMax) {
  if (text.size() > bytes_max) {
    size_t end = bytes_max;
    while (end > 0 && !cel::is_utf8_start(text[end])) --end;
    text = text.substr(0, end);
  }
  std::string out(text);
  const bool is_utf8 = cel::is_valid_utf8(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (!is_utf8 && byte > 0x7f)) c = '?';
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out = clean(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Writes fields, leaving out what is not known: a policy tells a missing field from an empty one by has().
class Fields {
 public:
  explicit Fields(JsonWriter& json) : json_(json) {}
  void text(std::string_view name, std::string_view value, size_t bytes_max = kTextBytesMax) {
    if (!value.empty()) json_.key(name).string(clean(value, bytes_max));
  }
  void flag(std::string_view name, bool value) {
    if (value) json_.key(name).boolean(true);
  }
  void count(std::string_view name, uint64_t value) {
    if (value > 0) json_.key(name).uinteger(value);
  }
  template <class Names>
  void names(std::string_view name, const Names& values, size_t names_max = kNamesMax) {
    if (values.empty()) return;
    json_.key(name).begin_array();
    size_t written = 0;
    for (const auto& value : values) {
      if (++written > names_max) break;
      json_.string(clean(value));
    }
    json_.end_array();
  }

 private:
  JsonWriter& json_;
};

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

// The first message id of a header: what stands between angle brackets, or its first word.
std::string_view first_id(const mail::Header* header) {
  if (header == nullptr) return {};
  std::string_view text = header->value;
  const size_t open = text.find('<');
  if (open != std::string_view::npos) {
    text.remove_prefix(open + 1);
    return text.substr(0, text.find('>'));
  }
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  return text.substr(0, text.find_first_of(" \t\r\n"));
}

std::string thread_of(std::string_view id) { return id.empty() ? std::string() : hex(base::hash64(id)); }

uint64_t key_of(const mail::Analysis& analysis) {
  uint64_t key = base::hash64(first_id(analysis.message.find(mail::HeaderId::kMessageId)));
  key = base::combine64(key, base::hash64(analysis.facts.from.email));
  key = base::combine64(key, static_cast<uint64_t>(analysis.facts.date_s));
  size_t words = 0;
  auto add_words = [&](mail::WordCursor text) {
    for (; words < 4000; ++words) {
      const mail::Word word = text.next();
      if (word.text.empty()) break;
      key = base::combine64(key, word.hash);
    }
  };
  add_words(mail::WordCursor(analysis.subject_folded));
  for (const mail::ReadText& text : analysis.texts) add_words(text.cursor());
  for (const mail::Attachment& attachment : analysis.facts.attachments) key = base::combine64(key, attachment.hash);
  return key == 0 ? 1 : key;
}

void write_envelope(const MailEvent& in, const mail::MessageFacts& facts, Fields& fields, JsonWriter& json) {
  const MailEnvelope& envelope = *in.envelope;
  json.key("direction").string(envelope.outgoing ? "out" : "in");
  fields.text("ip", envelope.client_ip);
  fields.text("relay", envelope.relay);
  fields.text("client_name", lower(envelope.client_name));
  fields.text("helo", lower(envelope.helo));
  fields.text("tls", envelope.tls_version);
  fields.text("user", envelope.user);
  fields.text("queue_id", envelope.queue_id);
  const std::string_view sender = envelope.has_sender ? envelope.sender : facts.return_path.email;
  fields.text("sender", lower(sender));
  fields.flag("bounce", envelope.has_sender && envelope.sender.empty());
  std::string first;
  if (!envelope.recipients.empty()) {
    first = lower(envelope.recipients[0]);
    fields.text("recipient", first);
    fields.count("recipients", std::min(envelope.recipients.size(), kRecipientsMax));
    fields.count("refusing_recipients", std::min(envelope.refusing_recipients, kRecipientsMax));
  }
  // Who of ours and who of the others: one name for both directions, so that an answer is known.
  const std::string from = lower(facts.from.email);
  fields.text("us", envelope.outgoing ? (from.empty() ? lower(sender) : from) : first);
  fields.text("them", envelope.outgoing ? first : from);
}

void write_identity(const mail::Analysis& analysis, bool outgoing, Fields& fields, JsonWriter& json) {
  const mail::MessageFacts& facts = analysis.facts;
  fields.text("from", lower(facts.from.email));
  fields.text("from_name", facts.from.name, 128);
  fields.names("from_name_forms", shown_names(facts.from.name));
  fields.text("from_name_domain", facts.from_name_domain);
  fields.text("from_domain", facts.from_domain);
  fields.text("reply_to", lower(facts.reply_to.email));
  fields.text("message_id_domain", facts.message_id_domain);
  fields.names("look_alikes", look_alikes(facts.from.domain, facts.from_domain), kLookAlikesMax);
  fields.names("under_home_endings", under_home_endings(facts.from_domain));
  const mail::Header* own = analysis.message.find(mail::HeaderId::kMessageId);
  const mail::Header* answered = analysis.message.find(mail::HeaderId::kInReplyTo);
  if (answered == nullptr) answered = analysis.message.find(mail::HeaderId::kReferences);
  fields.text("thread", thread_of(first_id(outgoing ? own : answered)));
  fields.count("from_count", facts.from_count);
  fields.count("header_recipients", facts.recipients);
  fields.flag("from_name_is_address", facts.from_name_is_address);
  fields.flag("from_name_is_other_address", facts.from_name_is_other_address);
  fields.flag("from_name_is_recipient", facts.from_name_is_recipient);
  fields.flag("reply_to_differs", facts.reply_to_differs);
  fields.flag("subject_is_reply", facts.subject_is_reply);
  fields.flag("has_thread_headers", facts.has_thread_headers);
  fields.flag("undisclosed_recipients", facts.to_undisclosed);
  if (facts.date_s != 0 && facts.received_date_s != 0) {
    json.key("date_off_s").integer(facts.date_s - facts.received_date_s);
  }
  fields.text("mailer", facts.mailer, 80);
  fields.count("dkim_signatures", facts.dkim_signatures);
  fields.flag("mailing_list", !facts.list_id.empty());
  fields.flag("list_unsubscribe", facts.list_unsubscribe);
  fields.flag("one_click_unsubscribe", facts.one_click_unsubscribe);
  fields.flag("bulk", facts.bulk);
  fields.flag("auto_submitted", facts.auto_submitted);
  fields.count("received", facts.received_count);
  for (const mail::Received& hop : facts.received) {
    if (hop.ip.empty()) continue;
    fields.text("received_ip", hop.ip);
    break;
  }
}

void write_content(const mail::Analysis& analysis, Fields& fields) {
  const mail::MessageFacts& facts = analysis.facts;
  fields.count("bytes", facts.bytes);
  fields.count("body_bytes", facts.body_bytes);
  fields.count("parts", facts.parts);
  fields.count("words", facts.text.words);
  fields.text("language", facts.language);
  fields.text("charset", facts.charset, 40);
  fields.flag("html", facts.html);
  fields.flag("plain", facts.plain);
  fields.flag("gtube", facts.gtube);
  fields.count("hidden_bytes", facts.hidden_bytes);
  fields.count("zero_width", facts.text.zero_width + facts.subject_zero_width + facts.from_name_text.zero_width);
  fields.count("disguised_words", facts.text.mixed_script_words + facts.subject_mixed);
  fields.count("disguised_name", facts.from_name_text.mixed_script_words + facts.from_name_text.look_alike_words +
                                     facts.from_name_text.styled_letters);
  fields.count("remote_images", facts.html_counts.remote_images);
  fields.count("forms", facts.html_counts.forms);
  fields.count("password_inputs", facts.html_counts.password_inputs);
  fields.count("scripts", facts.html_counts.scripts + facts.html_counts.script_links);
  fields.count("links", facts.links);
  fields.names("link_domains", facts.link_domains);
  fields.flag("links_to_from_domain", facts.links_to_from_domain);
  std::vector<std::string_view> tricks;
  for (unsigned i = 0; i < mail::kLinkTricks; ++i) {
    if (facts.link_tricks[i] > 0) tricks.push_back(mail::name_of(static_cast<mail::LinkTrick>(1u << i)));
  }
  fields.names("link_tricks", tricks);
  std::vector<std::string_view> pretended;
  for (const mail::Link& link : analysis.links) {
    if (!link.has(mail::LinkTrick::kShownDiffers) || link.shown_domain.empty()) continue;
    if (std::find(pretended.begin(), pretended.end(), link.shown_domain) == pretended.end())
      pretended.push_back(link.shown_domain);
  }
  fields.names("pretended_domains", pretended);
  std::vector<std::string_view> anomalies;
  for (unsigned i = 0; i < static_cast<unsigned>(mail::Anomaly::kCount); ++i) {
    const auto anomaly = static_cast<mail::Anomaly>(i);
    if (facts.anomalies.has(anomaly)) anomalies.push_back(mail::name_of(anomaly));
  }
  fields.names("anomalies", anomalies);
}

void write_attachments(const mail::MessageFacts& facts, Fields& fields) {
  std::vector<std::string_view> kinds, extensions;
  std::vector<std::string> hashes;
  uint64_t disguised = 0, doubled = 0;
  auto add_once = [](std::vector<std::string_view>& to, std::string_view name) {
    if (!name.empty() && std::find(to.begin(), to.end(), name) == to.end()) to.push_back(name);
  };
  for (const mail::Attachment& attachment : facts.attachments) {
    add_once(kinds, mail::name_of(attachment.content));
    add_once(extensions, attachment.extension);
    if (attachment.hash != 0) hashes.push_back(hex(attachment.hash));
    disguised += attachment.disguised;
    doubled += attachment.double_extension;
  }
  fields.count("attachments", facts.attachments.size());
  fields.names("attachment_kinds", kinds);
  fields.names("attachment_extensions", extensions);
  fields.names("attachment_hashes", hashes);
  fields.count("dangerous_attachments", facts.dangerous_attachments);
  fields.count("attached_programs", facts.attached_programs);
  fields.count("encrypted_attachments", facts.encrypted_attachments);
  fields.count("disguised_attachments", disguised);
  fields.count("double_extensions", doubled);
}

void write_authentication(const mail::MailAuthResults& found, Fields& fields, JsonWriter& json) {
  json.key("spf").string(mail::name_of(found.spf.result)).key("dkim").string(mail::name_of(found.best_dkim()));
  json.key("dmarc").string(mail::name_of(found.dmarc.result)).key("arc").string(mail::name_of(found.arc.result));
  if (found.dmarc.applied != mail::DmarcPolicy::kNone) {
    fields.text("dmarc_policy", mail::name_of(found.dmarc.applied));
  }
  fields.text("spf_domain", found.spf.domain);
  fields.text("arc_domain", found.arc.domain);
  fields.text("arc_dmarc", found.arc.claimed_dmarc);
  std::vector<std::string_view> signers, ip_lists, domain_lists;
  bool aligned = found.spf.aligned && found.spf.result == mail::SpfResult::kPass;
  for (const auto& signature : found.dkim) {
    if (signature.result != mail::DkimResult::kPass) continue;
    signers.push_back(signature.domain);
    aligned |= signature.aligned && !signature.body_cut;  // a part of the body may be anybody's
  }
  fields.flag("aligned", aligned);
  for (const auto& hit : found.dns_list_hits) (hit.where == "client" ? ip_lists : domain_lists).push_back(hit.list);
  for (auto* lists : {&ip_lists, &domain_lists}) {
    std::sort(lists->begin(), lists->end());
    lists->erase(std::unique(lists->begin(), lists->end()), lists->end());
  }
  fields.names("dkim_domains", signers);
  fields.names("ip_lists", ip_lists);
  fields.names("domain_lists", domain_lists);
  fields.flag("dns", !found.dns_off);
}

// Near-duplicates share at least one of the three thirds of their text digest, unless three bits or more changed. The
// language and the order of size keep unrelated messages apart.
void write_campaign(const mail::MessageFacts& facts, Fields& fields) {
  if (facts.text_digest != 0) {
    fields.text("text_digest", hex(facts.text_digest));
    const int size = facts.text.words == 0 ? 0 : static_cast<int>(std::lround(std::log2(facts.text.words)));
    constexpr std::array<std::string_view, 3> kNames = {"campaign_a", "campaign_b", "campaign_c"};
    for (unsigned i = 0; i < 3; ++i) {
      const uint64_t third = facts.text_digest >> (i * 21) & ((uint64_t{1} << (i == 2 ? 22 : 21)) - 1);
      fields.text(kNames[i], fmt::format("{}{:06x}{}{}", "abc"[i], third, facts.language, size));
    }
  }
  if (facts.structure_digest != 0) fields.text("structure_digest", hex(facts.structure_digest));
}

void write_model(const MailEvent& in, Fields& fields, JsonWriter& json) {
  if (in.score == nullptr) return;
  const double offset = std::log(in.threshold / (1.0 - in.threshold));
  // People read it: six places say all there is to say.
  const double probability = std::round(static_cast<double>(in.score->probability) * 1e6) / 1e6;
  json.key("model").begin_object().key("spam").real(probability);
  json.key("spam_logit").real(static_cast<double>(in.score->logit) - offset).end_object();
  fields.text("model_version", in.model_version);
  json.key("model_learned").uinteger(in.learned_min);
  if (in.from_elsewhere) {
    json.key("model_from_elsewhere").boolean(true).key("model_corrections").uinteger(in.corrections);
  }
}

// Doors bring the same message with CRLF (an SMTP server) or with LF (a file, a mailbox): features of raw bytes shall
// be the same. True when all its lines end with CRLF; what mixes both is left as it is, for that is a sign itself.
bool to_plain_line_ends(std::string_view bytes, std::string& plain) {
  plain.clear();
  if (plain.capacity() > kPlainBytesKept) plain = {};
  if (bytes.size() > kPlainBytesMax) return false;
  const size_t first = bytes.find('\n');
  if (first == std::string_view::npos || first == 0 || bytes[first - 1] != '\r') return false;
  plain.reserve(bytes.size());
  size_t from = 0;
  for (size_t at = first; at != std::string_view::npos; at = bytes.find('\n', from)) {
    if (bytes[at - 1] != '\r') return false;
    plain.append(bytes.substr(from, at - 1 - from)).push_back('\n');
    from = at + 1;
  }
  plain.append(bytes.substr(from));
  return true;
}

}  // namespace

const mail::Analysis& MailFilter::read(std::string_view bytes) {
  if (to_plain_line_ends(bytes, plain_)) bytes = plain_;
  analysis_ = &analyser_.analyse(bytes);
  collect_message_features(*analysis_, {}, collector_);
  features_ = collector_.finish();
  text_key_ = key_of(*analysis_);
  return *analysis_;
}

void MailFilter::begin_event(const MailEvent& in, std::string& json_text) {
  const mail::MessageFacts& facts = analysis_->facts;
  JsonWriter json(json_text);
  Fields fields(json);
  json.begin_object().key("type").string("mail").key("id").string(clean(in.id));
  write_envelope(in, facts, fields, json);
  write_identity(*analysis_, in.envelope->outgoing, fields, json);
  write_content(*analysis_, fields);
  write_attachments(facts, fields);
  write_campaign(facts, fields);
  fields.flag("forged_results", in.forged_results);
  write_model(in, fields, json);
}

void MailFilter::end_event(const mail::MailAuthResults& found, std::string& json_text) {
  json_text += ',';
  JsonWriter json(json_text);
  Fields fields(json);
  write_authentication(found, fields, json);
  json_text += '}';
}

}  // namespace tamis::learn
