#include "mail/features.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "mail/ascii.h"
#include "mail/charset.h"

namespace tamis::mail {
namespace {

// A kind tells apart features of one place; with the place it seeds the hash.
enum Kind : uint64_t {
  kWord = 1,
  kPair,
  kName,
  kType,
  kDomain,
  kHost,
  kPiece,
  kFlag,
  kCount,
  kShape,
  kGram,
  kSqueezed
};

class Collector {
 public:
  Collector(const Analysis& analysis, const FeatureOptions& options, std::vector<Feature>& out,
            std::vector<std::string>* texts)
      : a_(analysis), options_(options), out_(out), texts_(texts), end_(out.size() + analysis.limits->features_max) {}

  void collect() {
    if (wants(Place::kSubject)) words(Place::kSubject, a_.subject_folded, 200, true);
    if (wants(Place::kFrom)) from();
    headers();
    if (wants(Place::kTrace)) trace();
    if (wants(Place::kStructure)) structure();
    if (wants(Place::kFacts)) facts();
    if (wants(Place::kLink)) links();
    if (wants(Place::kAttachment)) attachments();
    if (wants(Place::kHtml)) html();
    body();
    if (wants(Place::kText4)) text_grams();
    if (wants(Place::kRaw4)) raw_grams();
  }

 private:
  bool wants(Place place) const { return (options_.places & bit(place)) != 0; }
  bool full() const { return out_.size() >= end_; }

  static uint64_t seed(Place place, Kind kind) { return (static_cast<uint64_t>(place) + 1) * 64 + kind; }

  void add(Place place, Kind kind, std::string_view text, std::string_view context = {}) {
    if (full()) return;
    uint64_t s = seed(place, kind);
    if (!context.empty()) s = base::hash64(context, s);
    out_.push_back({base::hash64(text, s), place});
    if (texts_ != nullptr) describe(place, context, text);
  }

  void describe(Place place, std::string_view context, std::string_view text) {
    std::string line(name_of(place));
    line += ": ";
    if (!context.empty()) line.append(context).append(" ");
    for (const char c : text) {
      const bool control = static_cast<unsigned char>(c) < ' ' || c == 127;
      line += control ? '.' : c;
    }
    if (valid_utf8_bytes(line) != line.size()) {  // n-grams cut characters
      for (char& c : line) c = (c & 0x80) != 0 ? '.' : c;
    }
    texts_->push_back(std::move(line));
  }

  // Numbers in bins that grow by halves of a doubling: 0, 1, 2, 3, 4, 6, 8, 12, ...
  void add_count(Place place, std::string_view name, uint64_t value) {
    uint64_t bin = value;
    if (value > 3) {
      const int top = 63 - __builtin_clzll(value);
      bin = (value >> (top - 1)) << (top - 1);
    }
    char digits[24];
    size_t size = 0;
    do {
      digits[sizeof digits - ++size] = static_cast<char>('0' + bin % 10);
      bin /= 10;
    } while (bin != 0);
    add(place, kCount, {digits + sizeof digits - size, size}, name);
  }
  void add_flag(Place place, std::string_view name, bool value) {
    if (value) add(place, kFlag, name);
  }

  // "v.i.a.g.r.a", "fr-ee": the letters alone.
  void squeezed(Place place, std::string_view word) {
    char letters[48];
    size_t size = 0;
    bool inner = false;
    for (const char c : word) {
      if (is_alnum(c) || (c & 0x80) != 0) {
        if (size == sizeof letters) return;
        letters[size++] = c;
      } else {
        inner = true;
      }
    }
    if (inner && size >= 3) add(place, kSqueezed, {letters, size});
  }

  // Scripts without spaces between words give pairs of characters.
  bool wide_pairs(Place place, std::string_view word) {
    if (static_cast<uint8_t>(word[0]) < 0xe0 || word.size() < 6) return false;
    size_t at = 0, before = 0;
    next_code_point(word, at);
    while (at < word.size()) {
      const size_t middle = at;
      next_code_point(word, at);
      add(place, kWord, word.substr(before, at - before));
      before = middle;
    }
    return true;
  }

  void word(Place place, std::string_view text, bool inner = true) {
    if (text.size() > 40) {
      add_count(place, "long word", text.size());
      return;
    }
    if (wide_pairs(place, text)) return;
    add(place, kWord, text);
    if (inner) squeezed(place, text);
  }

  void words(Place place, std::string_view folded, size_t words_max, bool pairs) {
    size_t at = 0;
    std::string_view before;
    for (size_t count = 0; count < words_max && !full(); ++count) {
      const std::string_view one = next_word(folded, at);
      if (one.empty()) break;
      word(place, one);
      if (pairs && !before.empty()) {
        // Neighbours lie side by side in the folded text: the pair is what stands from one to the other.
        const size_t bytes = static_cast<size_t>(one.data() + one.size() - before.data());
        if (bytes <= 64) add(place, kPair, {before.data(), bytes});
      }
      before = one;
    }
  }

  void address(Place place, const Address& who, std::string_view role) {
    if (who.email.empty()) return;
    add(place, kName, who.email.substr(0, 256), role);
    if (who.domain.empty()) return;
    add(place, kDomain, who.domain, role);
    // The shape of the local part: letters a, digits 0, others as they are, runs once.
    char shape[24];
    size_t size = 0;
    for (const char c : who.local) {
      const char mark = is_alpha(c) ? 'a' : is_digit(c) ? '0' : c;
      if (size > 0 && shape[size - 1] == mark) continue;
      if (size == sizeof shape) break;
      shape[size++] = mark;
    }
    add(place, kShape, {shape, size}, role);
  }

  void from() {
    const MessageFacts& f = a_.facts;
    words(Place::kFrom, a_.from_name_folded, 40, true);
    address(Place::kFrom, f.from, "from");
    if (!f.from_domain.empty()) add(Place::kFrom, kDomain, f.from_domain, "organisation");
    if (!masked("reply-to")) address(Place::kFrom, f.reply_to, "reply-to");
    if (!masked("sender")) address(Place::kFrom, f.sender, "sender");
    if (!masked("return-path")) address(Place::kFrom, f.return_path, "return-path");
    add_flag(Place::kFrom, "name is an address", f.from_name_is_address);
    add_flag(Place::kFrom, "name is another address", f.from_name_is_other_address);
    add_flag(Place::kFrom, "name is the recipient", f.from_name_is_recipient);
    add_flag(Place::kFrom, "reply-to differs", f.reply_to_differs && !masked("reply-to"));
    add_flag(Place::kFrom, "no name", f.from.name.empty());
  }

  bool masked(std::string_view name) const {
    for (const std::string_view mask : options_.masked_headers) {
      if (mask.ends_with('*') ? starts_lower(name, mask.substr(0, mask.size() - 1)) : equals_lower(name, mask))
        return true;
    }
    return false;
  }

  static bool has_place_of_its_own(HeaderId id) {
    return id == HeaderId::kSubject || id == HeaderId::kFrom || id == HeaderId::kReceived ||
           id == HeaderId::kDkimSignature || id == HeaderId::kArcSeal || id == HeaderId::kArcMessageSignature;
  }

  void headers() {
    std::array<char, 64> lower{};
    std::array<char, 64> last{};
    size_t last_size = 0, words_left = 1000;
    for (const Header& header : a_.message.headers_of(a_.message.parts[0])) {
      if (full()) return;
      const size_t size = std::min(header.name.size(), lower.size());
      for (size_t i = 0; i < size; ++i) lower[i] = to_lower(header.name[i]);
      const std::string_view name(lower.data(), size);
      if (!options_.masked_headers.empty() && masked(name)) continue;
      if (wants(Place::kHeaderName)) {
        add(Place::kHeaderName, kName, header.name.substr(0, 64));  // as written: case tells mail programs apart
        if (last_size > 0) add(Place::kHeaderName, kPair, name, {last.data(), last_size});
      }
      last = lower;
      last_size = size;
      const bool recipient = header.id == HeaderId::kTo || header.id == HeaderId::kCc;
      const Place place = recipient ? Place::kRecipient : Place::kHeaderWord;
      if (has_place_of_its_own(header.id) || !wants(place)) continue;
      header_words(place, name, header.value.substr(0, 1024), words_left);
    }
  }

  // Words of a raw header value, in lower case, each with its header's name.
  void header_words(Place place, std::string_view name, std::string_view value, size_t& words_left) {
    std::array<char, 48> text{};
    size_t size = 0;
    size_t count = 0;
    for (size_t i = 0; i <= value.size() && count < 60 && words_left > 0; ++i) {
      const char c = i < value.size() ? value[i] : ' ';
      const bool inside = is_alnum(c) || (c & 0x80) != 0 || c == '-' || c == '.' || c == '_';
      if (inside) {
        if (size < text.size()) text[size++] = to_lower(c);
        continue;
      }
      while (size > 0 && !is_alnum(text[size - 1]) && (text[size - 1] & 0x80) == 0) --size;
      if (size > 0) {
        add(place, kWord, {text.data(), size}, name);
        ++count;
        --words_left;
      }
      size = 0;
    }
  }

  void trace() {
    const MessageFacts& f = a_.facts;
    if (!masked("received")) {
      size_t hop = 0;
      for (const Received& r : f.received) {
        if (++hop > 8) break;
        add(Place::kTrace, kHost, r.helo.substr(0, 128), "helo");
        add(Place::kTrace, kHost, r.by.substr(0, 128), "by");
        add(Place::kTrace, kName, r.with.substr(0, 32), "with");
        if (!r.host.empty()) add(Place::kTrace, kHost, r.host, "host");
        if (!r.ip.empty()) networks(r.ip);
        add_flag(Place::kTrace, "no reverse name", !r.ip.empty() && r.host.empty());
      }
      add_count(Place::kTrace, "hops", f.received_count);
    }
    if (!masked("authentication-results")) {
      size_t count = 0;
      for (const AuthResult& r : f.auth_results) {
        if (++count > 16) break;
        add(Place::kTrace, kType, r.result.substr(0, 32), r.method.substr(0, 32));
      }
    }
    if (!masked("dkim-signature")) {
      for (size_t i = 0; i < f.dkim_domains.size() && i < 8; ++i)
        add(Place::kTrace, kDomain, f.dkim_domains[i], "dkim");
      add_flag(Place::kTrace, "dkim aligned", f.dkim_aligned);
    }
    if (!masked("message-id")) add(Place::kTrace, kDomain, f.message_id_domain, "message-id");
  }

  // An IPv4 address and its networks of 24 and 16 bits; of IPv6 the text up to the third group.
  void networks(std::string_view ip) {
    add(Place::kTrace, kHost, ip, "ip");
    const char mark = ip.find(':') == std::string_view::npos ? '.' : ':';
    size_t at = 0;
    for (int group = 1; group <= 3; ++group) {
      at = ip.find(mark, at);
      if (at == std::string_view::npos) return;
      if (group >= 2) add(Place::kTrace, kHost, ip.substr(0, at), "network");
      ++at;
    }
  }

  void structure() {
    const Message& m = a_.message;
    for (unsigned i = 0; i < static_cast<unsigned>(Anomaly::kCount); ++i) {
      const auto anomaly = static_cast<Anomaly>(i);
      if (m.anomalies.has(anomaly)) add(Place::kStructure, kFlag, name_of(anomaly), "anomaly");
    }
    size_t count = 0;
    for (const Part& part : m.parts) {
      if (++count > 32) break;
      add(Place::kStructure, kType, part.subtype.substr(0, 64), part.type.substr(0, 32));
      if (!part.multipart) add_count(Place::kStructure, "encoding", static_cast<uint64_t>(part.encoding));
      if (!part.charset.empty()) add(Place::kStructure, kName, part.charset.substr(0, 32), "charset");
      if (part.is_text()) add_count(Place::kStructure, "text bytes", part.decoded.size());
    }
    add_count(Place::kStructure, "parts", m.parts_seen);
    add_count(Place::kStructure, "headers", m.headers_seen);
    add_count(Place::kStructure, "bytes", m.raw.size());
  }

  void facts() {
    const MessageFacts& f = a_.facts;
    const TextCounts& t = f.text;
    const auto share = [&](std::string_view name, uint64_t part, uint64_t whole) {
      if (part > 0 && whole > 0) add_count(Place::kFacts, name, part * 32 / whole + 1);
    };
    add(Place::kFacts, kName, f.language, "language");
    for (size_t i = 0; i < t.scripts.size(); ++i) share(name_of(static_cast<Script>(i)), t.scripts[i], t.letters);
    share("upper letters", t.upper_letters, t.letters);
    share("digits", t.digits, t.bytes);
    share("upper words", t.upper_words, t.words);
    share("hidden text", f.hidden_bytes, uint64_t{t.bytes} + f.hidden_bytes);
    const std::pair<std::string_view, uint64_t> counts[] = {{"words", t.words},
                                                            {"exclamations", t.exclamations},
                                                            {"currency", t.currency},
                                                            {"emoji", t.emoji},
                                                            {"zero width", t.zero_width},
                                                            {"styled", t.styled_letters},
                                                            {"mixed script", t.mixed_script_words},
                                                            {"spaced", t.spaced_words},
                                                            {"links", f.links},
                                                            {"link domains", f.link_domains.size()},
                                                            {"emails", f.emails_in_text},
                                                            {"recipients", f.recipients},
                                                            {"attachments", f.attachments.size()},
                                                            {"dkim", f.dkim_signatures}};
    for (const auto& [name, value] : counts) {
      if (value > 0) add_count(Place::kFacts, name, value);
    }
    add_flag(Place::kFacts, "subject reply", f.subject_is_reply);
    add_flag(Place::kFacts, "reply without thread", f.subject_is_reply && !f.has_thread_headers);
    add_flag(Place::kFacts, "thread", f.has_thread_headers);
    add_flag(Place::kFacts, "subject upper", f.subject_all_upper);
    add_flag(Place::kFacts, "undisclosed", f.to_undisclosed);
    add_flag(Place::kFacts, "html only", f.html && !f.plain);
    add_flag(Place::kFacts, "list", !f.list_id.empty());
    add_flag(Place::kFacts, "unsubscribe", f.list_unsubscribe);
    add_flag(Place::kFacts, "links to sender", f.links_to_from_domain);
    add_flag(Place::kFacts, "no links", f.links == 0);
    if (f.alternative_distance >= 0)
      add_count(Place::kFacts, "alternatives", static_cast<uint64_t>(f.alternative_distance));
  }

  void links() {
    size_t count = 0;
    for (const Link& link : a_.links) {
      if (++count > 100 || full()) break;
      add(Place::kLink, kName, link.scheme.substr(0, 16), name_of(link.kind));
      if (!link.host.empty()) add(Place::kLink, kHost, link.host);
      if (!link.domain.empty()) {
        add(Place::kLink, kDomain, link.domain);
        add(Place::kLink, kDomain, link.domain.substr(link.domain.rfind('.') + 1), "ending");
      }
      for (unsigned i = 0; i < kLinkTricks; ++i) {
        if (link.tricks >> i & 1)
          add(Place::kLink, kFlag, name_of(static_cast<LinkTrick>(1u << i)), name_of(link.kind));
      }
      pieces(link.path, "path");
      pieces(link.query, "query");
    }
    for (const std::string_view domain : a_.facts.email_domains) add(Place::kLink, kDomain, domain, "mail");
    for (size_t i = 0; i < a_.emails.size() && i < 20; ++i)
      add(Place::kLink, kName, a_.emails[i].text.substr(0, 128), "address");
  }

  void pieces(std::string_view text, std::string_view role) {
    size_t begin = 0, count = 0;
    text = text.substr(0, 256);
    for (size_t i = 0; i <= text.size() && count < 12; ++i) {
      if (i < text.size() && (is_alnum(text[i]) || (text[i] & 0x80) != 0)) continue;
      const std::string_view piece = text.substr(begin, i - begin);
      if (!piece.empty() && piece.size() <= 24) add(Place::kLink, kPiece, piece, role);
      if (piece.size() > 24) add_count(Place::kLink, role, piece.size());
      count += !piece.empty();
      begin = i + 1;
    }
  }

  void attachments() {
    size_t count = 0;
    for (const Attachment& file : a_.facts.attachments) {
      if (++count > 32) break;
      add(Place::kAttachment, kName, file.name.substr(0, 128));
      if (!file.extension.empty()) add(Place::kAttachment, kType, file.extension, "extension");
      add(Place::kAttachment, kType, name_of(file.content), "content");
      add_count(Place::kAttachment, "bytes", file.bytes);
      if (file.hash != 0) {
        add(Place::kAttachment, kHost, {reinterpret_cast<const char*>(&file.hash), sizeof file.hash}, "hash");
      }
      add_flag(Place::kAttachment, "dangerous", file.dangerous);
      add_flag(Place::kAttachment, "double extension", file.double_extension);
      add_flag(Place::kAttachment, "disguised", file.disguised);
      add_flag(Place::kAttachment, "encrypted", file.encrypted);
    }
    for (size_t i = 0; i < a_.message.members.size() && i < 32; ++i) {
      add(Place::kAttachment, kName, a_.message.members[i].name.substr(0, 128), "member");
    }
  }

  void html() {
    const HtmlCounts& c = a_.facts.html_counts;
    const std::pair<std::string_view, uint32_t> counts[] = {{"tags", c.tags},
                                                            {"images", c.images},
                                                            {"remote images", c.remote_images},
                                                            {"tiny images", c.tiny_images},
                                                            {"forms", c.forms},
                                                            {"inputs", c.inputs},
                                                            {"passwords", c.password_inputs},
                                                            {"scripts", c.scripts},
                                                            {"handlers", c.event_handlers},
                                                            {"frames", c.frames},
                                                            {"refresh", c.meta_refresh},
                                                            {"tables", c.tables},
                                                            {"fonts", c.fonts},
                                                            {"anchors", c.anchors},
                                                            {"comments", c.comments},
                                                            {"comment bytes", c.comment_bytes},
                                                            {"unknown tags", c.unknown_tags},
                                                            {"styles", c.styles},
                                                            {"hidden by display", c.hidden_by_display},
                                                            {"hidden by colour", c.hidden_by_colour},
                                                            {"hidden by size", c.hidden_by_size},
                                                            {"hidden by place", c.hidden_by_place},
                                                            {"split words", c.words_split},
                                                            {"numeric entities", c.numeric_entities},
                                                            {"data links", c.data_links},
                                                            {"script links", c.script_links}};
    for (const auto& [name, value] : counts) {
      if (value > 0) add_count(Place::kHtml, name, value);
    }
    const size_t tags_max = std::min<size_t>(a_.tags.size(), 400);
    for (size_t i = 0; i + 2 < tags_max; ++i) {
      if (texts_ == nullptr) {
        add(Place::kHtml, kShape, {reinterpret_cast<const char*>(a_.tags.data() + i), 3 * sizeof(uint32_t)});
        continue;
      }
      std::string shape;
      for (size_t k = 0; k < 3; ++k) {
        const std::string_view tag = html_tag_name(a_.tags[i + k]);
        shape.append("<").append(tag.empty() ? "?" : tag).append(">");
      }
      if (full()) return;
      add(Place::kHtml, kShape, {reinterpret_cast<const char*>(a_.tags.data() + i), 3 * sizeof(uint32_t)});
      texts_->back() = "html: " + shape;
    }
  }

  void body() {
    size_t words_left = a_.limits->words_max;
    for (const ReadText& text : a_.texts) {
      if (wants(Place::kHidden)) words(Place::kHidden, text.hidden_folded, 500, false);
      if (!wants(Place::kBody) && !wants(Place::kBodyPair)) continue;
      body_words(text.cursor(), words_left);
    }
  }

  void body_words(WordCursor text, size_t& words_left) {
    constexpr size_t kReach = 4;
    std::array<uint64_t, kReach> hashes{};
    std::array<std::string_view, kReach> before{};
    size_t count = 0;
    for (; words_left > 0 && !full(); --words_left) {
      const Word found = text.next();
      const std::string_view one = found.text;
      if (one.empty()) break;
      if (wants(Place::kBody)) word(Place::kBody, one, found.inner);
      if (!wants(Place::kBodyPair) || one.size() > 40) continue;
      const uint64_t hash = base::hash64(one, seed(Place::kBodyPair, kPair));
      for (size_t distance = 1; distance <= kReach && distance <= count && !full(); ++distance) {
        const size_t slot = (count - distance) % kReach;
        out_.push_back({base::mix64(hashes[slot] * (2 * distance + 1) ^ hash), Place::kBodyPair});
        if (texts_ != nullptr) {
          std::string pair(before[slot]);
          for (size_t i = 1; i < distance; ++i) pair += " *";
          describe(Place::kBodyPair, pair, one);
        }
      }
      hashes[count % kReach] = hash;
      before[count % kReach] = one;
      ++count;
    }
  }

  // Four bytes at each place; mixing the bytes themselves is cheaper than hashing them.
  void grams(Place place, std::string_view text) {
    const uint64_t s = seed(place, kGram) << 32;
    const size_t begin = out_.size();
    const size_t count = std::min(text.size() < 4 ? 0 : text.size() - 3, end_ - std::min(end_, begin));
    out_.resize(begin + count);
    Feature* const to = out_.data() + begin;
    for (size_t i = 0; i < count; ++i) {
      uint32_t four;
      std::memcpy(&four, text.data() + i, 4);
      to[i] = {base::mix64(s | four), place};
      if (texts_ != nullptr) describe(place, {}, text.substr(i, 4));
    }
  }

  void text_grams() {
    size_t left = a_.limits->raw_feature_bytes_max;
    const auto take = [&](std::string_view text) {
      grams(Place::kText4, text.substr(0, left));
      left -= std::min(left, text.size());
    };
    take(a_.subject_folded);
    for (const ReadText& text : a_.texts) take(text.folded);
  }

  void raw_grams() {
    size_t left = a_.limits->raw_feature_bytes_max;
    const auto take = [&](std::string_view text) {
      grams(Place::kRaw4, text.substr(0, left));
      left -= std::min(left, text.size());
    };
    if (options_.masked_headers.empty()) {
      take(a_.message.raw);
      return;
    }
    for (const Header& header : a_.message.headers_of(a_.message.parts[0])) {
      if (!masked(header.name)) take(header.raw);
    }
    take(a_.message.body);
  }

  const Analysis& a_;
  const FeatureOptions& options_;
  std::vector<Feature>& out_;
  std::vector<std::string>* texts_;
  size_t end_;
};

}  // namespace

std::string_view name_of(Place place) {
  constexpr std::string_view names[] = {"header_name", "header_word", "subject",   "from",    "recipient", "trace",
                                        "body",        "body_pair",   "hidden",    "html",    "link",      "attachment",
                                        "structure",   "facts",       "text_gram", "raw_gram"};
  static_assert(std::size(names) == kPlaces);
  return names[static_cast<size_t>(place)];
}

void collect_features(const Analysis& analysis, const FeatureOptions& options, std::vector<Feature>& out,
                      std::vector<std::string>* texts) {
  Collector(analysis, options, out, texts).collect();
}

}  // namespace tamis::mail
