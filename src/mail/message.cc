#include "mail/message.h"

#include <algorithm>
#include <cstring>

#include "mail/ascii.h"
#include "mail/content.h"

namespace tamis::mail {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

// The end of the line that begins at `at`, behind its LF.
size_t line_end(std::string_view text, size_t at) {
  const void* lf = at < text.size() ? std::memchr(text.data() + at, '\n', text.size() - at) : nullptr;
  return lf == nullptr ? text.size() : static_cast<size_t>(static_cast<const char*>(lf) - text.data()) + 1;
}

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_name_char(char c) { return c > ' ' && c < 127 && c != ':'; }

// Where the colon of a header line stands, or npos: not a header line. White space before the colon is let pass.
size_t header_colon(std::string_view line, bool& odd_name) {
  size_t at = 0;
  while (at < line.size() && is_name_char(line[at])) ++at;
  if (at == 0) return kNowhere;
  const size_t name_end = at;
  while (at < line.size() && is_blank(line[at])) ++at;
  if (at >= line.size() || line[at] != ':') return kNowhere;
  odd_name = at != name_end;
  return at;
}

bool is_single(HeaderId id) {
  switch (id) {
    case HeaderId::kFrom:
    case HeaderId::kSender:
    case HeaderId::kReplyTo:
    case HeaderId::kTo:
    case HeaderId::kCc:
    case HeaderId::kSubject:
    case HeaderId::kDate:
    case HeaderId::kMessageId:
    case HeaderId::kContentType:
    case HeaderId::kContentTransferEncoding:
    case HeaderId::kMimeVersion:
    case HeaderId::kInReplyTo:
    case HeaderId::kReferences:
      return true;
    default:
      return false;
  }
}

bool has_high_byte(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) return true;
  }
  for (; i < text.size(); ++i) {
    if (text[i] & 0x80) return true;
  }
  return false;
}

bool starts_like_list(std::string_view subtype) { return subtype == "x-tar" || subtype == "tar"; }

}  // namespace

const Header* Message::find(HeaderId id) const {
  if (parts.empty()) return nullptr;
  for (const Header& header : headers_of(parts[0])) {
    if (header.id == id) return &header;
  }
  return nullptr;
}

// One pass over a message: open multiparts are a stack, a line that is the boundary of any of them closes those within.
struct MessageReader::Walk {
  struct OpenPart {
    std::string_view boundary;
    int32_t part;
    bool seen = false;    // its boundary has occurred
    bool closed = false;  // so has its last one
  };

  MessageReader& reader;
  base::Arena& arena;
  Message& message;
  std::string_view text;  // what is walked: the message, or an attached one that was encoded
  std::vector<OpenPart> open;
  size_t decoded_left;
  size_t copied_left;  // for text in other charsets than ASCII and UTF-8, of all parts together

  AnomalySet& odd() { return message.anomalies; }
  const Limits& limits() const { return reader.limits_; }

  void note_header(const Header& header, int32_t begin) {
    const std::string_view value = header.value;
    if (value.size() > limits().header_bytes_max) odd().add(Anomaly::kHeaderTooLong);
    if (has_high_byte(header.raw)) {
      odd().add(Anomaly::kHeader8Bit);
      if (valid_utf8_bytes(header.raw) != header.raw.size()) odd().add(Anomaly::kHeader8BitNotUtf8);
    }
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < ' ' && c != '\t' && c != '\r' && c != '\n') || byte == 127) {
        odd().add(Anomaly::kHeaderControl);
        break;
      }
    }
    if (!is_single(header.id)) return;
    for (size_t i = static_cast<size_t>(begin); i < message.headers.size(); ++i) {
      if (message.headers[i].id == header.id) {
        odd().add(Anomaly::kHeaderDuplicate);
        break;
      }
    }
  }

  // Reads a header block at `at` into `message.headers`; returns where the body begins. `end`: where the block ends.
  size_t read_headers(size_t at, size_t& end, bool may_have_mbox_line) {
    const auto begin = static_cast<int32_t>(message.headers.size());
    bool any = false;
    while (at < text.size()) {
      size_t next = line_end(text, at);
      std::string_view line = without_line_end(text.substr(at, next - at));
      end = at;
      if (line.empty()) return next;
      if (line.starts_with("--") && !open.empty() && match_boundary(line) != kNowhere) return at;
      bool odd_name = false;
      const size_t colon = header_colon(line, odd_name);
      if (colon == kNowhere) {
        if (may_have_mbox_line && !any && (line.starts_with("From ") || line.starts_with(">From "))) {
          odd().add(Anomaly::kMboxLine);
          at = next;
          continue;
        }
        // Among headers a foreign line is passed over; before text it means that the empty line is missing.
        const size_t after = line_end(text, next);
        const std::string_view following = without_line_end(text.substr(next, after - next));
        bool ignored = false;
        const bool headers_go_on =
            any && next < text.size() && (following.empty() || header_colon(following, ignored) != kNowhere);
        if (is_blank(line[0]) || headers_go_on) {
          odd().add(is_blank(line[0]) ? Anomaly::kHeaderFoldBlank : Anomaly::kHeaderWithoutColon);
          at = next;
          continue;
        }
        odd().add(Anomaly::kNoBlankLine);
        return at;
      }
      any = true;
      if (odd_name) odd().add(Anomaly::kHeaderNameInvalid);
      if (line.size() > 998) odd().add(Anomaly::kHeaderLineLong);
      while (next < text.size() && is_blank(text[next])) {
        const size_t after = line_end(text, next);
        const std::string_view continued = text.substr(next, after - next);
        if (continued.size() > 1000) odd().add(Anomaly::kHeaderLineLong);
        if (trim(continued).empty()) {
          odd().add(Anomaly::kHeaderFoldBlank);
        }
        next = after;
      }
      ++message.headers_seen;
      if (message.headers.size() < limits().headers_max) {
        Header header;
        header.raw = text.substr(at, next - at);
        header.name = trim(header.raw.substr(0, colon));
        header.value = without_line_end(header.raw.substr(colon + 1));
        header.id = header_id(header.name);
        note_header(header, begin);
        message.headers.push_back(header);
      } else {
        odd().add(Anomaly::kHeadersTooMany);
      }
      at = next;
      end = at;
    }
    return text.size();
  }

  // The innermost open multipart whose boundary the line is; npos: none. `line` begins with "--".
  size_t match_boundary(std::string_view line) const {
    const std::string_view rest = line.substr(2);
    for (size_t i = open.size(); i-- > 0;) {
      const std::string_view boundary = open[i].boundary;
      if (boundary.empty() || !rest.starts_with(boundary)) continue;
      std::string_view tail = rest.substr(boundary.size());
      if (tail.starts_with("--")) tail.remove_prefix(2);
      if (trim(tail).empty()) return i;
    }
    return kNowhere;
  }

  // The next boundary line of an open multipart at or after `at`: its beginning, the line behind it, and whose it is.
  struct Stop {
    size_t begin, next, level;
    bool last;
  };
  Stop find_boundary(size_t at) const {
    if (open.empty()) return {text.size(), text.size(), kNowhere, false};
    while (at < text.size()) {
      if (!(text[at] == '-' && at + 1 < text.size() && text[at + 1] == '-' && (at == 0 || text[at - 1] == '\n'))) {
        const size_t found = text.find("\n--", at);
        if (found == kNowhere) break;
        at = found + 1;
      }
      const size_t next = line_end(text, at);
      const std::string_view line = without_line_end(text.substr(at, next - at));
      const size_t level = match_boundary(line);
      if (level != kNowhere) {
        const bool last = line.substr(2 + open[level].boundary.size()).starts_with("--");
        return {at, next, level, last};
      }
      at = next;
    }
    return {text.size(), text.size(), kNowhere, false};
  }

  void close_to(size_t level) {
    while (open.size() > level) {
      const OpenPart& last = open.back();
      if (!last.seen) {
        odd().add(Anomaly::kBoundaryNeverSeen);
      } else if (!last.closed) {
        odd().add(Anomaly::kMultipartUnterminated);
      }
      open.pop_back();
    }
  }

  void read_part_headers(Part& part) {
    bool digest = part.parent >= 0 && message.parts[static_cast<size_t>(part.parent)].subtype == "digest" &&
                  message.parts[static_cast<size_t>(part.parent)].type == "multipart";
    part.type = digest ? "message" : "text";
    part.subtype = digest ? "rfc822" : "plain";
    std::string_view name;
    for (int32_t i = part.headers_begin; i < part.headers_end; ++i) {
      const Header& header = message.headers[static_cast<size_t>(i)];
      Structured& s = reader.structured_;
      if (header.id == HeaderId::kContentType && !part.type_declared) {
        parse_structured(header.value, limits(), reader.converter_, arena, odd(), s);
        const size_t slash = s.token.find('/');
        if (slash == kNowhere || slash == 0 || slash + 1 == s.token.size()) {
          odd().add(Anomaly::kContentTypeBroken);
          if (s.token == "text" || s.token == "html") part.subtype = s.token == "html" ? "html" : "plain";
          if (slash == kNowhere && s.token != "text" && s.token != "html") continue;
        } else {
          part.type = s.token.substr(0, slash);
          part.subtype = s.token.substr(slash + 1);
        }
        part.type_declared = true;
        part.charset = s.find("charset");
        if (name.empty()) name = s.find("name");
        boundary_ = s.find("boundary");
      } else if (header.id == HeaderId::kContentDisposition) {
        parse_structured(header.value, limits(), reader.converter_, arena, odd(), s);
        part.disposition = s.token == "inline" ? Disposition::kInline
                           : s.token.empty()   ? Disposition::kNone
                                               : Disposition::kAttachment;
        const std::string_view file = s.find("filename");
        if (!file.empty()) name = file;
      } else if (header.id == HeaderId::kContentTransferEncoding) {
        part.encoding = encoding_of(header.value);
        if (part.encoding == Encoding::kUnknown) odd().add(Anomaly::kEncodingUnknown);
      } else if (header.id == HeaderId::kContentId) {
        part.content_id = unfold(header.value, arena);
      }
    }
    part.name = trim(name);
  }

  // Everything in `text`; its first part gets `parent`. Iterative: depth costs no stack.
  void walk(int32_t parent, int32_t depth, bool attached) {
    size_t at = 0;
    bool first = true;
    while (at <= text.size()) {
      ++message.parts_seen;
      if (message.parts.size() >= limits().parts_max) {
        odd().add(Anomaly::kPartsTooMany);
        count_rest(at);
        break;
      }
      Part part;
      part.parent = parent;
      part.depth = depth;
      part.body_of_attached = attached || (parent >= 0 && message.parts[static_cast<size_t>(parent)].body_of_attached);
      part.headers_begin = static_cast<int32_t>(message.headers.size());
      size_t head_end = at;
      const size_t body = read_headers(at, head_end, first);
      part.headers_end = static_cast<int32_t>(message.headers.size());
      boundary_ = {};
      read_part_headers(part);
      if (parent < 0 && first) {
        message.head = text.substr(0, head_end);
        message.body = text.substr(body);
      }
      first = false;
      const auto index = static_cast<int32_t>(message.parts.size());
      const bool room = depth + 1 < static_cast<int32_t>(limits().depth_max);
      const bool nests = part.type == "multipart" ||
                         (part.type == "message" && (part.subtype == "rfc822" || part.subtype == "global"));
      if (nests && !room) odd().add(Anomaly::kDepthTooDeep);
      part.body = text.substr(body);
      if (nests && room && part.type == "multipart" && !boundary_.empty()) {
        if (part.encoding == Encoding::kBase64 || part.encoding == Encoding::kQuotedPrintable) {
          odd().add(Anomaly::kEncodingOnMultipart);
        }
        part.multipart = true;
        message.parts.push_back(part);
        open.push_back({boundary_, index});
      } else if (nests && room && part.type == "message" && !is_encoded(part)) {
        part.multipart = true;
        message.parts.push_back(part);
        parent = index;
        depth += 1;
        attached = true;
        at = body;
        first = true;
        if (at >= text.size()) break;
        continue;
      } else {
        if (part.type == "multipart" && boundary_.empty()) odd().add(Anomaly::kBoundaryMissing);
        message.parts.push_back(part);
      }
      attached = false;
      if (!next_part(body, index, parent, depth, at)) break;
    }
    close_to(0);
  }

  // Ends part `index`, whose body begins at `body`, at the next boundary. False: the text ends.
  bool next_part(size_t body, int32_t index, int32_t& parent, int32_t& depth, size_t& at) {
    size_t from = body;
    int32_t ending = index;
    for (;;) {
      const Stop stop = find_boundary(from);
      end_body(ending, from == body ? body : from, stop.begin);
      if (stop.level == kNowhere) return false;
      close_to(stop.level + 1);
      OpenPart& owner = open[stop.level];
      if (!owner.seen && ending == owner.part && trim(text.substr(body, stop.begin - body)).size() > 200) {
        odd().add(Anomaly::kPreamble);
      }
      owner.seen = true;
      if (!stop.last) {
        parent = owner.part;
        depth = message.parts[static_cast<size_t>(parent)].depth + 1;
        at = stop.next;
        owner.closed = false;
        return true;
      }
      // Behind the last boundary comes the epilogue, which ends at a boundary of one further out.
      if (owner.part + 1 == static_cast<int32_t>(message.parts.size())) odd().add(Anomaly::kMultipartEmpty);
      owner.closed = true;
      const size_t behind = stop.next;
      close_to(stop.level);
      const Stop outer = find_boundary(behind);
      if (!trim(text.substr(behind, outer.begin - behind)).empty()) odd().add(Anomaly::kEpilogue);
      from = outer.begin;
      ending = -1;
      if (outer.level == kNowhere) return false;
    }
  }

  void end_body(int32_t index, size_t begin, size_t end) {
    if (index < 0) return;
    Part& part = message.parts[static_cast<size_t>(index)];
    if (part.multipart) return;
    // The line end before a boundary belongs to the boundary.
    std::string_view body = text.substr(begin, end - begin);
    if (end < text.size()) body = without_line_end(body);
    part.body = body;
  }

  void count_rest(size_t at) {
    for (;;) {
      const Stop stop = find_boundary(at);
      if (stop.level == kNowhere) return;
      message.parts_seen += stop.last ? 0 : 1;
      at = stop.next;
    }
  }

  static bool is_encoded(const Part& part) {
    return part.encoding == Encoding::kBase64 || part.encoding == Encoding::kQuotedPrintable;
  }

  std::string_view decode(Part& part, size_t bytes_max, Anomaly too_long) {
    const std::string_view body = part.body;
    const bool hard = part.encoding == Encoding::kBase64 || part.encoding == Encoding::kQuotedPrintable ||
                      part.encoding == Encoding::kUuencode;
    bytes_max = std::min(bytes_max, hard ? decoded_left : body.size());
    if (!hard) {
      part.decoded_bytes = body.size();
      if (body.size() > bytes_max) odd().add(too_long);
      return body.substr(0, bytes_max);
    }
    const size_t capacity = std::min(body.size() + 3, bytes_max);
    if (capacity < 4 && !body.empty()) odd().add(Anomaly::kDecodedTooMuch);
    char* out = arena.allocate_array<char>(capacity);
    Decoded done;
    if (part.encoding == Encoding::kBase64) {
      done = decode_base64(body, out, capacity);
      if (done.broken) odd().add(Anomaly::kBase64Broken);
    } else if (part.encoding == Encoding::kQuotedPrintable) {
      done = decode_quoted_printable(body, out, capacity);
      if (done.broken) odd().add(Anomaly::kQuotedPrintableBroken);
    } else {
      Uuencoded file;
      const bool found = find_uuencoded(body, 0, file);
      done = decode_uuencoded(found ? file.lines : body, out, capacity);
      if (!found || file.broken || done.broken) odd().add(Anomaly::kUuencodeBroken);
      if (part.name.empty() && found) part.name = reader.converter_.to_utf8(file.name, {}, 1024, arena).text;
      done.consumed = body.size();
    }
    part.decoded_bytes = done.bytes;
    if (done.consumed < body.size() && done.consumed > 0) {
      if (!trim(body.substr(done.consumed)).empty()) odd().add(too_long);
      part.decoded_bytes = done.bytes * body.size() / done.consumed;
    }
    decoded_left -= std::min(decoded_left, done.bytes);
    return {out, done.bytes};
  }

  void decode_text_part(Part& part) {
    part.decoded = decode(part, limits().text_bytes_max, Anomaly::kTextTooLong);
    if (part.encoding == Encoding::k7Bit && has_high_byte(part.decoded)) odd().add(Anomaly::kBody8Bit);
    convert(part);
  }

  void convert(Part& part) {
    if (copied_left == 0) return odd().add(Anomaly::kTextTooLong);
    const std::string_view bytes = part.decoded.substr(0, limits().text_bytes_max);
    std::string_view charset = part.charset;
    if (charset.empty() && (part.is_html() || part.is_markup())) charset = charset_in_markup(bytes);
    const Converted converted = reader.converter_.to_utf8(bytes, charset, limits().text_bytes_max, arena);
    if (converted.unknown) odd().add(Anomaly::kCharsetUnknown);
    if (converted.mismatch) odd().add(Anomaly::kCharsetMismatch);
    if (converted.cut) odd().add(Anomaly::kTextTooLong);
    part.text = converted.text;
    part.charset_found = converted.charset;
    if (!bytes.empty() && converted.text.data() != bytes.data())
      copied_left -= std::min({copied_left, bytes.size() * 3, limits().text_bytes_max});
  }

  void judge_content(Part& part) {
    part.content = content_of(part.decoded, part.name);
    // Two and four bytes a letter look binary until they are read.
    if (part.content == Content::kBinary && part.is_text()) part.content = content_of(part.text, part.name);
    if (part.content == Content::kBinary && !part.is_text() && has_wide_mark(part.decoded)) {
      convert(part);
      part.content = content_of(part.text, part.name);
      if (!part.is_markup()) part.text = {};
    }
    if (part.content == Content::kText && part.type == "message") {
      part.content = part.subtype == "rfc822" || part.subtype == "global" ? Content::kMessage : Content::kDelivery;
    }
    if (part.content == Content::kBinary && part.type == "application" && part.subtype == "ms-tnef") {
      part.content = Content::kTnef;
    }
    if (part.content == Content::kText && part.is_html()) part.content = Content::kHtml;
    const bool declared_text = part.type == "text";
    const bool declared_image = part.type == "image";
    const bool found_text = part.content == Content::kText || part.content == Content::kHtml;
    if ((declared_text && part.content == Content::kExecutable) || (declared_image && found_text) ||
        (declared_text && (part.content == Content::kZip || part.content == Content::kPdf)) ||
        (declared_image && part.content != Content::kImage && part.content != Content::kEmpty &&
         part.content != Content::kSvg && part.content != Content::kBinary)) {
      odd().add(Anomaly::kContentTypeMismatch);
    }
  }

  void list_archive(int32_t index) {
    Part& part = message.parts[static_cast<size_t>(index)];
    const bool tar = part.content == Content::kBinary && starts_like_list(part.subtype);
    const size_t before = message.members.size();
    if (!list_members(tar ? Content::kTar : part.content, part.decoded, index, limits().archive_members_max,
                      reader.converter_, arena, message.members, message.members_seen)) {
      odd().add(Anomaly::kArchiveBroken);
    }
    if (message.members_seen > message.members.size()) odd().add(Anomaly::kArchiveMembersTooMany);
    if (part.content == Content::kZip) part.content = office_by_members(message.members, before);
  }

  // Files in uuencode inside of text become parts of their own, and the text goes on without them.
  void take_uuencoded(int32_t index) {
    const Part host = message.parts[static_cast<size_t>(index)];
    Uuencoded file;
    size_t from = 0, files = 0;
    char* out = nullptr;
    size_t size = 0, kept = 0;
    const std::string_view host_text = host.text;
    while (files < limits().uuencoded_max && message.parts.size() < limits().parts_max &&
           find_uuencoded(host_text, from, file)) {
      if (out == nullptr) out = arena.allocate_array<char>(host_text.size());
      std::memcpy(out + size, host_text.data() + kept, file.begin - kept);
      size += file.begin - kept;
      kept = from = file.end;
      ++files;
      Part part;
      part.parent = index;
      part.depth = host.depth + 1;
      part.virtual_part = true;
      part.body_of_attached = host.body_of_attached;
      part.headers_begin = part.headers_end = host.headers_end;
      part.type = "application";
      part.subtype = "octet-stream";
      part.disposition = Disposition::kAttachment;
      part.encoding = Encoding::kUuencode;
      part.name = reader.converter_.to_utf8(file.name, {}, 1024, arena).text;
      part.body = host_text.substr(file.begin, file.end - file.begin);
      part.decoded = decode(part, limits().attachment_bytes_max, Anomaly::kAttachmentTooLong);
      judge_content(part);
      ++message.parts_seen;
      message.parts.push_back(part);
      list_archive(static_cast<int32_t>(message.parts.size()) - 1);
    }
    if (out == nullptr) return;
    std::memcpy(out + size, host_text.data() + kept, host_text.size() - kept);
    message.parts[static_cast<size_t>(index)].text = {out, size + host_text.size() - kept};
  }

  // Parts found so far from `begin` on. Attached messages that are encoded are walked in turn, and lengthen the list.
  void decode_parts(size_t begin) {
    for (size_t i = begin; i < message.parts.size(); ++i) {
      Part& part = message.parts[i];
      if (part.multipart || part.virtual_part) continue;
      if (part.is_text()) {
        decode_text_part(part);
        judge_content(part);
        if (part.subtype != "html") take_uuencoded(static_cast<int32_t>(i));
        continue;
      }
      const bool message_inside = part.type == "message" && (part.subtype == "rfc822" || part.subtype == "global");
      part.decoded = decode(part, limits().attachment_bytes_max, Anomaly::kAttachmentTooLong);
      judge_content(part);
      // Whatever its declared type, a file of markup is opened by a browser: it is read like the text of the message.
      if (part.is_markup() && part.text.empty()) convert(part);
      if (message_inside && is_encoded(part) && part.depth + 1 < static_cast<int32_t>(limits().depth_max)) {
        odd().add(Anomaly::kNestedEncodedMessage);
        part.multipart = true;
        const int32_t depth = part.depth + 1;
        text = part.decoded;
        walk(static_cast<int32_t>(i), depth, true);
        continue;
      }
      list_archive(static_cast<int32_t>(i));
    }
  }

  std::string_view boundary_;
};

void MessageReader::read(std::string_view raw, base::Arena& arena, Message& out) {
  out.headers.clear();
  out.parts.clear();
  out.members.clear();
  out.headers_seen = out.parts_seen = out.members_seen = 0;
  out.anomalies = {};
  out.head = out.body = {};
  out.raw = raw;
  if (raw.size() > limits_.message_bytes_max) {
    out.anomalies.add(Anomaly::kMessageTooLong);
    raw = raw.substr(0, limits_.message_bytes_max);
  }
  if (raw.find('\0') != std::string_view::npos) out.anomalies.add(Anomaly::kNulByte);
  size_t crlf = 0, lf = 0;
  for (size_t at = raw.find('\n'), lines = 0; at != std::string_view::npos && lines < 4096; ++lines) {
    ++(at > 0 && raw[at - 1] == '\r' ? crlf : lf);
    at = raw.find('\n', at + 1);
  }
  if (crlf > 0 && lf > 0) out.anomalies.add(Anomaly::kMixedLineEnds);
  for (size_t at = raw.find('\r'); at < size_t{1} << 20; at = raw.find('\r', at + 1)) {
    if (at + 1 < raw.size() && raw[at + 1] == '\n') continue;
    out.anomalies.add(Anomaly::kBareCr);
    break;
  }
  Walk walk{*this, arena, out, raw, {}, limits_.decoded_bytes_max, limits_.decoded_bytes_max, {}};
  walk.walk(-1, 0, false);
  walk.decode_parts(0);
  if (trim(out.body.substr(0, 4096)).empty() && out.body.size() < 4096) out.anomalies.add(Anomaly::kNoBody);
}

}  // namespace tamis::mail
