#include "mail/facts.h"

#include <algorithm>
#include <functional>
#include <memory>

#include "base/hash.h"
#include "event/domain.h"
#include "mail/ascii.h"

namespace tamis::mail {
namespace {

template <class T>
bool add_distinct(std::vector<T>& list, const T& value, size_t max) {
  if (value.empty() || std::find(list.begin(), list.end(), value) != list.end()) return false;
  if (list.size() < max) list.push_back(value);
  return true;
}

constexpr size_t kArenaBlockBytes = 64 * 1024;
constexpr size_t kArenaBytesKept = 2u << 20;  // from one message to the next
constexpr size_t kDomainsMax = 128;
// "Generic test for unsolicited bulk email", as SpamAssassin defines it: no mail has it by chance.
constexpr std::string_view kGtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

// False of UTF-16, UTF-32 and UCS-2 and -4, by whatever name, and of EBCDIC and UTF-7.
bool holds_ascii(std::string_view charset) {
  std::string letters;
  for (const char c : charset.substr(0, 32)) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) letters += static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') letters += c;
  }
  for (const std::string_view wide :
       {"utf16", "utf32", "ucs2", "ucs4", "iso10646", "unicode", "utf7", "ebcdic", "ibm037", "cp037", "ibm1047",
        "cp1047", "ibm500", "cp500", "cp1200", "cp1201", "cp12000"}) {
    if (letters.find(wide) != std::string::npos) return false;
  }
  return true;
}

bool reply_prefix(std::string_view subject) {
  constexpr std::string_view prefixes[] = {"re:", "re[", "aw:", "sv:", "fwd:", "fw:", "wg:", "antw:", "rif:", "tr:"};
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](std::string_view prefix) { return starts_lower(subject, prefix); });
}

std::string_view domain_of_message_id(std::string_view value, base::Arena& arena) {
  const size_t at = value.rfind('@');
  if (at == std::string_view::npos) return {};
  std::string_view domain = value.substr(at + 1);
  domain = domain.substr(0, domain.find('>'));
  const std::string_view name = event::normalise_domain(domain, arena);
  const std::string_view registered = event::registered_domain(name);
  return registered.empty() ? name : registered;
}

}  // namespace

struct Analyser::Work {
  Analyser& self;
  Analysis& a;
  MessageFacts& facts;
  Message& message;
  base::Arena& arena;
  const Limits& limits;

  std::string_view text_of(const Header& header) {
    return decode_text(header.value, charset(), limits, self.reader_.converter(), arena, message.anomalies);
  }

  // 8-bit headers are most often in the charset of the first text. No header is in one of which ASCII is no part: read
  // so, it would lose the sender.
  std::string_view charset() const {
    for (const Part& part : message.parts) {
      if (part.is_text() && !part.charset.empty()) return holds_ascii(part.charset) ? part.charset : std::string_view();
    }
    return {};
  }

  std::vector<Address>& addresses_of(const Header& header) {
    self.addresses_.clear();
    parse_addresses(header.value, charset(), limits, self.reader_.converter(), arena, message.anomalies,
                    self.addresses_);
    return self.addresses_;
  }

  static std::string_view registered(const Address& address) {
    const std::string_view domain = event::registered_domain(address.domain);
    return domain.empty() ? address.domain : domain;
  }

  void read_form() {
    facts.bytes = message.raw.size();
    facts.head_bytes = message.head.size();
    facts.body_bytes = message.body.size();
    facts.headers = static_cast<uint32_t>(message.headers_seen);
    facts.parts = static_cast<uint32_t>(message.parts_seen);
    for (const Part& part : message.parts) facts.depth = std::max(facts.depth, static_cast<uint32_t>(part.depth));
    const Part& root = message.parts[0];
    char* type = arena.allocate_array<char>(root.type.size() + root.subtype.size() + 1);
    std::copy(root.type.begin(), root.type.end(), type);
    type[root.type.size()] = '/';
    std::copy(root.subtype.begin(), root.subtype.end(), type + root.type.size() + 1);
    facts.content_type = {type, root.type.size() + root.subtype.size() + 1};
  }

  // One header of the message; the first of each name counts.
  void read_header(const Header& header) {
    switch (header.id) {
      case HeaderId::kSubject:
        if (facts.subject.data() == nullptr) facts.subject = text_of(header);
        break;
      case HeaderId::kFrom:
        if (facts.from_count == 0) {
          const auto& list = addresses_of(header);
          facts.from_count = static_cast<uint32_t>(list.size());
          if (!list.empty()) facts.from = list.front();
        }
        break;
      case HeaderId::kSender:
        read_address(header, facts.sender);
        break;
      case HeaderId::kReplyTo:
        read_address(header, facts.reply_to);
        break;
      case HeaderId::kReturnPath:
        read_address(header, facts.return_path);
        break;
      case HeaderId::kTo:
      case HeaderId::kCc:
      case HeaderId::kBcc:
        read_recipients(header);
        break;
      case HeaderId::kDate:
        if (facts.date_s == 0 && !parse_date(unfold(header.value, arena), facts.date_s)) facts.date_s = 0;
        break;
      case HeaderId::kMessageId:
        if (facts.message_id_domain.empty()) facts.message_id_domain = domain_of_message_id(header.value, arena);
        break;
      case HeaderId::kMimeVersion:
        facts.mime = true;
        break;
      case HeaderId::kInReplyTo:
      case HeaderId::kReferences:
        facts.has_thread_headers |= header.value.find('@') != std::string_view::npos;
        break;
      case HeaderId::kXMailer:
      case HeaderId::kUserAgent:
        if (facts.mailer.empty()) facts.mailer = text_of(header);
        break;
      default:
        read_list_header(header);
    }
  }

  void read_list_header(const Header& header) {
    switch (header.id) {
      case HeaderId::kListId:
        if (facts.list_id.empty()) facts.list_id = text_of(header);
        break;
      case HeaderId::kListUnsubscribe:
        facts.list_unsubscribe = true;
        break;
      case HeaderId::kListUnsubscribePost:
        facts.one_click_unsubscribe = find_lower(header.value, "one-click") != std::string_view::npos;
        break;
      case HeaderId::kPrecedence: {
        const std::string_view value = trim(header.value);
        facts.bulk |= equals_lower(value, "bulk") || equals_lower(value, "list") || equals_lower(value, "junk");
        break;
      }
      case HeaderId::kAutoSubmitted:
        facts.auto_submitted |= !equals_lower(trim(header.value), "no");
        break;
      default:
        read_trace_header(header);
    }
  }

  void read_trace_header(const Header& header) {
    switch (header.id) {
      case HeaderId::kReceived:
        ++facts.received_count;
        if (facts.received.size() < limits.trace_headers_max) {
          facts.received.push_back(parse_received(header.value, arena));
        }
        break;
      case HeaderId::kAuthenticationResults:
        parse_authentication_results(header.value, limits.trace_headers_max, arena, facts.auth_results);
        break;
      case HeaderId::kReceivedSpf:
        facts.received_spf = true;
        break;
      case HeaderId::kDkimSignature:
        if (++facts.dkim_signatures <= limits.trace_headers_max) {
          parse_tags(header.value, arena, self.tags_);
          add_distinct(facts.dkim_domains, event::normalise_domain(self.tags_.find("d"), arena), kDomainsMax);
        }
        break;
      case HeaderId::kArcSeal:
        ++facts.arc_sets;
        break;
      default:
        break;
    }
  }

  void read_address(const Header& header, Address& out) {
    if (out.email.data() != nullptr) return;
    const auto& list = addresses_of(header);
    if (!list.empty()) out = list.front();
  }

  // Distinct hosts are counted by hash in a small set that forgets nothing within the limits.
  std::vector<std::string_view> recipient_domains;
  std::vector<Address> recipients;

  void read_recipients(const Header& header) {
    for (const Address& address : addresses_of(header)) {
      if (address.domain.empty()) continue;
      ++facts.recipients;
      add_distinct(recipient_domains, address.domain, kDomainsMax);
      if (recipients.size() < limits.addresses_max) recipients.push_back(address);
    }
  }

  void read_headers() {
    for (const Header& header : message.headers_of(message.parts[0])) read_header(header);
    facts.recipient_domains = static_cast<uint32_t>(recipient_domains.size());
    facts.to_undisclosed = facts.recipients == 0;
    facts.from_domain = registered(facts.from);
    facts.reply_to_domain = registered(facts.reply_to);
    facts.sender_domain = registered(facts.sender);
    facts.return_path_domain = registered(facts.return_path);
    if (facts.from.email.empty()) message.anomalies.add(Anomaly::kNoFrom);
    if (facts.date_s == 0) message.anomalies.add(Anomaly::kDateBroken);
    if (!facts.received.empty()) facts.received_date_s = facts.received[0].date_s;
    facts.reply_to_differs = !facts.reply_to_domain.empty() && facts.reply_to_domain != facts.from_domain;
    facts.subject_is_reply = reply_prefix(facts.subject);
    for (const std::string_view domain : facts.dkim_domains) {
      const std::string_view organisation = event::registered_domain(domain);
      facts.dkim_aligned |=
          !facts.from_domain.empty() && (organisation.empty() ? domain : organisation) == facts.from_domain;
    }
    TextCounts subject;
    a.subject_folded = fold_text(facts.subject, arena, subject);
    facts.subject_zero_width = subject.zero_width + subject.bidi_controls;
    facts.subject_styled = subject.styled_letters;
    facts.subject_mixed = subject.mixed_script_words + subject.look_alike_words;
    facts.subject_all_upper = subject.letters >= 8 && subject.upper_letters * 10 >= subject.letters * 9;
    facts.subject_digest = text_digest(WordCursor(a.subject_folded), 200).value;
    a.from_name_folded = fold_text(facts.from.name, arena, facts.from_name_text);
    judge_display_name();
  }

  void judge_display_name() {
    const std::string_view name = facts.from.name;
    if (name.empty() || facts.from.domain.empty()) return;
    for (const Address& to : recipients) {
      if (to.local.size() >= 3 && (name == to.email || name == to.local)) facts.from_name_is_recipient = true;
    }
    if (name.find('@') == std::string_view::npos) return;
    self.found_.clear();
    find_in_text(name, 4, arena, self.found_);
    for (const FoundText& found : self.found_) {
      if (!found.email) continue;
      event::EmailParts parts;
      if (!event::parse_email(found.text, arena, parts)) continue;
      facts.from_name_is_address = true;
      const std::string_view domain = event::registered_domain(parts.domain);
      const std::string_view named = domain.empty() ? parts.domain : domain;
      if (facts.from_name_domain.empty()) facts.from_name_domain = named;
      if (named != facts.from_domain) facts.from_name_is_other_address = true;
    }
  }

  // A set of the hashes of link targets, open addressing in a vector that keeps its memory.
  bool first_time(std::string_view target, LinkKind kind) {
    const uint64_t hash = base::hash64(target, static_cast<uint64_t>(kind) + 1) | 1;
    std::vector<uint64_t>& table = self.seen_links_;
    size_t slot = hash & (table.size() - 1);
    while (table[slot] != 0) {
      if (table[slot] == hash) return false;
      slot = (slot + 1) & (table.size() - 1);
    }
    table[slot] = hash;
    return true;
  }

  void add_link(const HtmlLink& given) {
    ++facts.links;
    if (a.links.size() >= limits.links_max) {
      ++facts.links_left_out;
      message.anomalies.add(Anomaly::kLinksTooMany);
      return;
    }
    if (!first_time(given.target, given.kind)) return;
    const Link link = make_link(given, arena);
    a.links.push_back(link);
    for (unsigned bit = 0; bit < kLinkTricks; ++bit) facts.link_tricks[bit] += link.tricks >> bit & 1;
    if (link.scheme == "mailto") {
      add_distinct(facts.email_domains, link.domain, kDomainsMax);
    } else if (link.kind == LinkKind::kImage || link.kind == LinkKind::kResource) {
      add_distinct(facts.image_domains, link.domain, kDomainsMax);
    } else {
      add_distinct(facts.link_domains, link.domain, kDomainsMax);
      facts.links_to_from_domain |= !link.domain.empty() && link.domain == facts.from_domain;
    }
  }

  // What an anchor shows is no link of its own, even if it looks like one.
  static bool is_shown(std::string_view text, const std::vector<HtmlLink>& anchors) {
    const std::less_equal<const char*> before;
    for (const HtmlLink& anchor : anchors) {
      if (!anchor.shown.empty() && before(anchor.shown.data(), text.data()) &&
          before(text.data() + text.size(), anchor.shown.data() + anchor.shown.size())) {
        return true;
      }
    }
    return false;
  }

  void find_links(std::string_view text, bool html) {
    self.found_.clear();
    facts.links_left_out += static_cast<uint32_t>(find_in_text(text, limits.links_max, arena, self.found_));
    for (const FoundText& found : self.found_) {
      if (html && !found.email && is_shown(found.text, self.html_text_.links)) continue;
      if (found.email) {
        ++facts.emails_in_text;
        event::EmailParts parts;
        if (!event::parse_email(found.text, arena, parts)) continue;
        const std::string_view domain = event::registered_domain(parts.domain);
        add_distinct(facts.email_domains, domain.empty() ? parts.domain : domain, kDomainsMax);
        if (a.emails.size() < limits.links_max) a.emails.push_back(found);
      } else if (!html || found.text.find("://") != std::string_view::npos) {
        add_link({found.text, {}, LinkKind::kText, false});
      }
    }
  }

  static void add_counts(HtmlCounts& to, const HtmlCounts& from) {
    // All members are counters of one type: add them as an array.
    static_assert(sizeof(HtmlCounts) % sizeof(uint32_t) == 0);
    auto* t = reinterpret_cast<uint32_t*>(&to);
    const auto* f = reinterpret_cast<const uint32_t*>(&from);
    for (size_t i = 0; i < sizeof(HtmlCounts) / sizeof(uint32_t); ++i) t[i] += f[i];
  }

  void read_text(int32_t index, size_t text_left) {
    const Part& part = message.parts[static_cast<size_t>(index)];
    ReadText text;
    text.part = index;
    text.html = part.is_html() || part.is_markup();
    text.tags_begin = a.tags.size();
    facts.gtube = facts.gtube || part.text.substr(0, text_left).find(kGtube) != std::string_view::npos;
    if (text.html) {
      facts.html = facts.html || part.content != Content::kSvg;
      self.html_.read(part.text.substr(0, text_left), limits, arena, message.anomalies, self.html_text_);
      const HtmlText& html = self.html_text_;
      text.visible = html.visible;
      TextCounts unseen;
      text.hidden_folded = fold_text(html.hidden, arena, unseen);
      facts.hidden_bytes += static_cast<uint32_t>(html.hidden.size());
      add_counts(facts.html_counts, html.counts);
      a.tags.insert(a.tags.end(), html.tags.begin(), html.tags.end());
      for (const HtmlLink& link : html.links) add_link(link);
    } else {
      facts.plain = true;
      text.visible = part.text.substr(0, text_left);
    }
    text.tags_end = a.tags.size();
    text.folded = fold_text(text.visible, arena, facts.text);
    // There is room for all of them from the start, so what points to those before stays.
    const size_t words_before = self.words_.size();
    find_words(text.folded, limits.words_max - words_before, self.words_, text.words_end);
    text.words = std::span<const Word>(self.words_).subspan(words_before);
    find_links(text.visible, text.html);
    if (facts.charset.empty()) facts.charset = part.charset_found;
    a.texts.push_back(text);
  }

  // A file beside the text, not the text itself: it is shown by its name.
  static bool is_file(const Part& part) {
    return !part.is_text() || (part.disposition == Disposition::kAttachment && !part.name.empty());
  }

  void read_texts() {
    size_t left = limits.text_bytes_max * 2;  // of all parts together
    for (size_t i = 0; i < message.parts.size(); ++i) {
      const Part& part = message.parts[i];
      if (part.text.empty() || part.virtual_part) continue;
      if (is_file(part) && !part.is_markup()) continue;
      if (left == 0 || a.texts.size() >= 64) {
        message.anomalies.add(Anomaly::kTextTooLong);
        break;
      }
      const size_t take = std::min(left, valid_cut(part.text, left));
      read_text(static_cast<int32_t>(i), take);
      left -= take;
    }
  }

  static size_t valid_cut(std::string_view text, size_t bytes) {
    if (bytes >= text.size()) return text.size();
    while (bytes > 0 && (text[bytes] & 0xc0) == 0x80) --bytes;
    return bytes;
  }

  void compare_alternatives() {
    const auto part_of = [&](const ReadText& text) -> const Part& {
      return message.parts[static_cast<size_t>(text.part)];
    };
    // An attached page is no alternative of the text that is shown, but all there is where nothing is shown.
    const bool only_files =
        std::all_of(a.texts.begin(), a.texts.end(), [&](const ReadText& text) { return is_file(part_of(text)); });
    TextDigest plain, html;
    for (const ReadText& text : a.texts) {
      if (part_of(text).body_of_attached || (is_file(part_of(text)) && !only_files)) continue;
      TextDigest& digest = text.html ? html : plain;
      if (digest.value != 0 && digest.of_words != 0) continue;
      const TextDigest found = text_digest(text.cursor(), limits.words_max);
      if (digest.value == 0) digest.value = found.value;
      if (digest.of_words == 0) digest.of_words = found.of_words;
    }
    facts.text_digest = html.value != 0 ? html.value : plain.value;
    if (plain.of_words != 0 && html.of_words != 0) {
      facts.alternative_distance = digest_distance(plain.of_words, html.of_words);
    }
    for (const ReadText& text : a.texts) {
      facts.language = guess_language(text.cursor(), facts.text, limits.words_max);
      if (!facts.language.empty()) break;
    }
  }

  void read_attachment(int32_t index) {
    const Attachment file = judge_attachment(message, index, arena);
    facts.dangerous_attachments += file.runs;
    facts.attached_programs += file.program;
    facts.encrypted_attachments += file.encrypted;
    facts.attachments.push_back(file);
  }

  void read_attachments() {
    facts.members = static_cast<uint32_t>(message.members_seen);
    for (size_t i = 0; i < message.parts.size(); ++i) {
      const Part& part = message.parts[i];
      if (part.type == "message" && part.multipart) ++facts.attached_messages;
      if (part.multipart) continue;
      if (part.content == Content::kImage && part.disposition != Disposition::kAttachment && !part.content_id.empty()) {
        ++facts.inline_images;
      }
      const bool shown = part.is_text() && part.name.empty() && part.disposition != Disposition::kAttachment;
      if (!shown) read_attachment(static_cast<int32_t>(i));
    }
  }

  void digest_structure() {
    uint64_t* parts = arena.allocate_array<uint64_t>(message.parts.size());
    for (size_t i = 0; i < message.parts.size(); ++i) {
      const Part& part = message.parts[i];
      parts[i] = base::hash64(part.type, base::hash64(part.subtype, static_cast<uint64_t>(part.depth) * 64 +
                                                                        static_cast<uint64_t>(part.content)));
    }
    facts.structure_digest = structure_digest(a.tags, {parts, message.parts.size()});
  }
};

Analyser::Analyser(const Limits& limits) : limits_(limits), reader_(limits), arena_(kArenaBlockBytes) {
  size_t slots = 64;
  while (slots < limits_.links_max * 2 + 2) slots *= 2;
  seen_links_.resize(slots);
  words_.reserve(limits_.words_max);
  analysis_.limits = &limits_;
  analysis_.arena = &arena_;
}
Analyser::~Analyser() = default;

const Analysis& Analyser::analyse(std::string_view raw) {
  Analysis& a = analysis_;
  arena_.reset();
  if (arena_.reserved_bytes() > kArenaBytesKept) {  // what one monstrous message took is not held for ever
    std::destroy_at(&arena_);
    std::construct_at(&arena_, kArenaBlockBytes);
  }
  a.texts.clear();
  words_.clear();
  a.links.clear();
  a.tags.clear();
  a.emails.clear();
  // The lists of the facts keep their memory.
  MessageFacts fresh;
  std::swap(fresh.link_domains, a.facts.link_domains);
  std::swap(fresh.image_domains, a.facts.image_domains);
  std::swap(fresh.email_domains, a.facts.email_domains);
  std::swap(fresh.attachments, a.facts.attachments);
  std::swap(fresh.received, a.facts.received);
  std::swap(fresh.auth_results, a.facts.auth_results);
  std::swap(fresh.dkim_domains, a.facts.dkim_domains);
  a.facts = std::move(fresh);
  a.facts.link_domains.clear();
  a.facts.image_domains.clear();
  a.facts.email_domains.clear();
  a.facts.attachments.clear();
  a.facts.received.clear();
  a.facts.auth_results.clear();
  a.facts.dkim_domains.clear();
  std::fill(seen_links_.begin(), seen_links_.end(), 0);
  reader_.read(raw, arena_, a.message);
  Work work{*this, a, a.facts, a.message, arena_, limits_, {}, {}};
  work.read_form();
  work.read_headers();
  work.read_texts();
  work.compare_alternatives();
  work.read_attachments();
  work.digest_structure();
  a.facts.anomalies = a.message.anomalies;
  return a;
}

}  // namespace tamis::mail
