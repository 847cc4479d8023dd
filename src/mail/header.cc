#include "mail/header.h"

#include <algorithm>
#include <cstring>

#include "mail/ascii.h"
#include "mail/transfer.h"

namespace tamis::mail {
namespace {

struct NamedHeader {
  std::string_view name;
  HeaderId id;
};
constexpr NamedHeader kHeaders[] = {
    {"arc-authentication-results", HeaderId::kArcAuthenticationResults},
    {"arc-message-signature", HeaderId::kArcMessageSignature},
    {"arc-seal", HeaderId::kArcSeal},
    {"authentication-results", HeaderId::kAuthenticationResults},
    {"auto-submitted", HeaderId::kAutoSubmitted},
    {"bcc", HeaderId::kBcc},
    {"cc", HeaderId::kCc},
    {"content-disposition", HeaderId::kContentDisposition},
    {"content-id", HeaderId::kContentId},
    {"content-transfer-encoding", HeaderId::kContentTransferEncoding},
    {"content-type", HeaderId::kContentType},
    {"date", HeaderId::kDate},
    {"dkim-signature", HeaderId::kDkimSignature},
    {"feedback-id", HeaderId::kFeedbackId},
    {"from", HeaderId::kFrom},
    {"in-reply-to", HeaderId::kInReplyTo},
    {"list-id", HeaderId::kListId},
    {"list-post", HeaderId::kListPost},
    {"list-unsubscribe", HeaderId::kListUnsubscribe},
    {"list-unsubscribe-post", HeaderId::kListUnsubscribePost},
    {"message-id", HeaderId::kMessageId},
    {"mime-version", HeaderId::kMimeVersion},
    {"organization", HeaderId::kOrganization},
    {"precedence", HeaderId::kPrecedence},
    {"received", HeaderId::kReceived},
    {"received-spf", HeaderId::kReceivedSpf},
    {"references", HeaderId::kReferences},
    {"reply-to", HeaderId::kReplyTo},
    {"return-path", HeaderId::kReturnPath},
    {"sender", HeaderId::kSender},
    {"subject", HeaderId::kSubject},
    {"to", HeaderId::kTo},
    {"user-agent", HeaderId::kUserAgent},
    {"x-mailer", HeaderId::kXMailer},
    {"x-originating-ip", HeaderId::kXOriginatingIp},
    {"x-priority", HeaderId::kXPriority},
};

struct EncodedWord {
  std::string_view charset, text;
  bool base64 = false;
  size_t end = 0;  // behind "?="
};

// "=?charset*language?B?text?=" at `at`. Spaces inside the text are let pass, as mail readers do.
// `last` is where the last "?=" of the text stands, so that no search runs to the end in vain.
bool read_encoded_word(std::string_view text, size_t at, size_t last, EncodedWord& out) {
  size_t charset_end = text.substr(at + 2, 66).find('?');
  if (charset_end == std::string_view::npos) return false;
  charset_end += at + 2;
  if (charset_end + 3 > last || last == std::string_view::npos) return false;
  const char encoding = to_lower(text[charset_end + 1]);
  if ((encoding != 'b' && encoding != 'q') || text[charset_end + 2] != '?') return false;
  const size_t begin = charset_end + 3;
  const size_t end = text.find("?=", begin);
  if (end == std::string_view::npos) return false;
  out.charset = text.substr(at + 2, charset_end - at - 2);
  out.charset = out.charset.substr(0, out.charset.find('*'));
  if (out.charset.empty() || out.charset.find_first_of(" \t\r\n") != std::string_view::npos) return false;
  out.text = text.substr(begin, end - begin);
  out.base64 = encoding == 'b';
  out.end = end + 2;
  return true;
}

size_t decode_word(const EncodedWord& word, char* out, size_t out_max, AnomalySet& anomalies) {
  const Decoded decoded =
      word.base64 ? decode_base64(word.text, out, out_max) : decode_quoted_printable(word.text, out, out_max, true);
  if (decoded.broken) anomalies.add(Anomaly::kEncodedWordBroken);
  return decoded.bytes;
}

// Text gathered in the arena; `capacity` is a bound that the caller knows.
struct Buffer {
  Buffer(base::Arena& arena, size_t bytes_max) : data(arena.allocate_array<char>(bytes_max)), capacity(bytes_max) {}
  void add(std::string_view text) {
    const size_t bytes = std::min(text.size(), capacity - size);
    if (bytes > 0) std::memcpy(data + size, text.data(), bytes);
    size += bytes;
  }
  std::string_view view() const { return {data, size}; }
  char* data;
  size_t capacity, size = 0;
};

bool is_token_end(char c) { return is_space(c) || c == ';' || c == '=' || c == ',' || c == '"' || c == '('; }

size_t skip_comment(std::string_view text, size_t at) {
  size_t depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '(') {
      ++depth;
    } else if (text[at] == ')' && --depth == 0) {
      return at + 1;
    }
  }
  return text.size();
}

// A quoted string at `at` without its quotes and backslashes; `at` moves behind it.
std::string_view read_quoted(std::string_view text, size_t& at, base::Arena& arena) {
  const size_t begin = ++at;
  bool escaped = false;
  while (at < text.size() && text[at] != '"') {
    escaped |= text[at] == '\\';
    at += text[at] == '\\' ? 2 : 1;
  }
  at = std::min(at, text.size());
  const std::string_view inside = text.substr(begin, at - begin);
  if (at < text.size()) ++at;
  if (!escaped) return inside;
  char* out = arena.allocate_array<char>(inside.size());
  size_t size = 0;
  for (size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '\\' && i + 1 < inside.size()) ++i;
    out[size++] = inside[i];
  }
  return {out, size};
}

std::string_view lower_copy(std::string_view text, base::Arena& arena) {
  char* out = arena.allocate_array<char>(text.size());
  for (size_t i = 0; i < text.size(); ++i) out[i] = to_lower(text[i]);
  return {out, text.size()};
}

// "name*1*": RFC 2231 pieces and encoding of a parameter name.
struct PieceName {
  std::string_view base;
  int index = -1;  // -1: in one piece
  bool encoded = false;
};
PieceName split_piece(std::string_view name) {
  PieceName result{name, -1, false};
  if (result.base.ends_with('*')) {
    result.encoded = true;
    result.base.remove_suffix(1);
  }
  const size_t star = result.base.rfind('*');
  if (star == std::string_view::npos || star + 1 == result.base.size() || result.base.size() - star > 4) return result;
  int index = 0;
  for (size_t i = star + 1; i < result.base.size(); ++i) {
    if (!is_digit(result.base[i])) return result;
    index = index * 10 + (result.base[i] - '0');
  }
  result.index = index;
  result.base = result.base.substr(0, star);
  return result;
}

size_t decode_percent(std::string_view text, char* out) {
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out[size++] = static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
      i += 2;
    } else {
      out[size++] = text[i];
    }
  }
  return size;
}

// RFC 2231 pieces of one parameter, in the order of their numbers, joined and decoded.
std::string_view join_pieces(const std::vector<Parameter>& raw, std::string_view base, const Limits& limits,
                             CharsetConverter& converter, base::Arena& arena) {
  size_t bytes = 0;
  for (const Parameter& p : raw) bytes += split_piece(p.name).base == base ? p.value.size() : 0;
  Buffer joined(arena, bytes);
  std::string_view charset;
  bool first = true;
  for (int index = -1; index < static_cast<int>(raw.size()); ++index) {
    for (const Parameter& p : raw) {
      const PieceName piece = split_piece(p.name);
      if (piece.base != base || piece.index != index || (piece.index < 0 && !piece.encoded)) continue;
      std::string_view value = p.value;
      if (piece.encoded && first) {
        const size_t quote = value.find('\'');
        const size_t second = quote == std::string_view::npos ? quote : value.find('\'', quote + 1);
        if (second != std::string_view::npos) {
          charset = value.substr(0, quote);
          value = value.substr(second + 1);
        }
      }
      first = false;
      if (piece.encoded) {
        joined.size += decode_percent(value, joined.data + joined.size);
      } else {
        joined.add(value);
      }
      break;
    }
  }
  return converter.to_utf8(joined.view(), charset, limits.header_bytes_max, arena).text;
}

}  // namespace

HeaderId header_id(std::string_view name) {
  if (name.size() < 2 || name.size() > 26) return HeaderId::kOther;
  const char first = to_lower(name[0]), second = to_lower(name[1]);
  for (const NamedHeader& known : kHeaders) {
    if (known.name.size() == name.size() && known.name[0] == first && known.name[1] == second &&
        equals_lower(name, known.name)) {
      return known.id;
    }
  }
  return HeaderId::kOther;
}

std::string_view unfold(std::string_view value, base::Arena& arena) {
  value = trim(value);
  bool clean = true;
  for (const char c : value) clean &= static_cast<unsigned char>(c) >= ' ' && c != 127;
  if (clean) return value;
  char* out = arena.allocate_array<char>(value.size());
  size_t size = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if ((c == '\r' || c == '\n') && i + 1 < value.size() && (is_blank(value[i + 1]) || value[i + 1] == '\n')) continue;
    out[size++] = static_cast<unsigned char>(c) < ' ' || c == 127 ? ' ' : c;
  }
  return {out, size};
}

std::string_view decode_text(std::string_view value, std::string_view charset, const Limits& limits,
                             CharsetConverter& converter, base::Arena& arena, AnomalySet& anomalies) {
  const std::string_view text = unfold(value.substr(0, limits.header_bytes_max), arena);
  size_t at = text.find("=?");
  if (at == std::string_view::npos) return converter.to_utf8(text, charset, limits.header_bytes_max, arena).text;
  Buffer out(arena, limits.header_bytes_max < text.size() * 3 ? limits.header_bytes_max : text.size() * 3 + 4);
  Buffer bytes(arena, text.size());
  const size_t last = text.rfind("?=");
  size_t done = 0;
  while (at != std::string_view::npos) {
    EncodedWord word;
    if (!read_encoded_word(text, at, last, word)) {
      anomalies.add(Anomaly::kEncodedWordBroken);
      at = text.find("=?", at + 2);
      continue;
    }
    out.add(converter.to_utf8(text.substr(done, at - done), charset, limits.header_bytes_max, arena).text);
    // Neighbours of one charset and encoding are decoded as one: writers cut characters of many bytes between them.
    const EncodedWord first = word;
    bytes.size = 0;
    bytes.size += decode_word(word, bytes.data, bytes.capacity, anomalies);
    done = word.end;
    for (;;) {
      size_t next = done;
      while (next < text.size() && is_blank(text[next])) ++next;
      if (!text.substr(next).starts_with("=?") || !read_encoded_word(text, next, last, word)) break;
      if (word.charset != first.charset) {
        done = next;
        break;
      }
      bytes.size += decode_word(word, bytes.data + bytes.size, bytes.capacity - bytes.size, anomalies);
      done = word.end;
    }
    const Converted converted = converter.to_utf8(bytes.view(), first.charset, limits.header_bytes_max, arena);
    if (converted.unknown || converted.mismatch) anomalies.add(Anomaly::kEncodedWordBroken);
    out.add(converted.text);
    at = text.find("=?", done);
  }
  out.add(converter.to_utf8(text.substr(done), charset, limits.header_bytes_max, arena).text);
  // An encoded word may bring line ends and controls of its own, and a full buffer may cut a character.
  for (size_t i = 0; i < out.size; ++i) {
    if (static_cast<unsigned char>(out.data[i]) < ' ' || out.data[i] == 127) out.data[i] = ' ';
  }
  const size_t valid = valid_utf8_bytes(out.view());
  return out.view().substr(0, valid);
}

std::string_view Structured::find(std::string_view name) const {
  for (const Parameter& p : parameters) {
    if (p.name == name) return p.value;
  }
  return {};
}

void parse_structured(std::string_view value, const Limits& limits, CharsetConverter& converter, base::Arena& arena,
                      AnomalySet& anomalies, Structured& out) {
  out.token = {};
  out.parameters.clear();
  const std::string_view text = unfold(value.substr(0, limits.header_bytes_max), arena);
  size_t at = 0;
  const auto skip_space = [&] {
    while (at < text.size() && (is_space(text[at]) || text[at] == '('))
      at = text[at] == '(' ? skip_comment(text, at) : at + 1;
  };
  skip_space();
  size_t begin = at;
  while (at < text.size() && !is_token_end(text[at])) ++at;
  if (at == begin && at < text.size() && text[at] == '"') {
    out.token = lower_copy(trim(read_quoted(text, at, arena)), arena);
    anomalies.add(Anomaly::kParameterBroken);
  } else {
    out.token = lower_copy(text.substr(begin, at - begin), arena);
  }
  bool pieces = false;
  while (at < text.size() && out.parameters.size() < limits.parameters_max) {
    // To the next parameter; blanks alone part them in the mail of careless writers.
    skip_space();
    if (at < text.size() && (text[at] == ';' || text[at] == ',')) {
      ++at;
      continue;
    }
    begin = at;
    while (at < text.size() && !is_token_end(text[at])) ++at;
    const std::string_view name = text.substr(begin, at - begin);
    skip_space();
    if (at >= text.size() || text[at] != '=') {
      if (at < text.size() || !name.empty()) anomalies.add(Anomaly::kParameterBroken);
      if (name.empty() && at < text.size()) ++at;
      continue;
    }
    ++at;
    while (at < text.size() && is_space(text[at])) ++at;
    std::string_view data;
    if (at < text.size() && text[at] == '"') {
      data = read_quoted(text, at, arena);
    } else {
      begin = at;
      while (at < text.size() && text[at] != ';' && !is_space(text[at])) ++at;
      data = text.substr(begin, at - begin);
    }
    if (name.empty()) continue;
    Parameter parameter{lower_copy(name, arena), data};
    pieces |= parameter.name.find('*') != std::string_view::npos;
    for (const Parameter& other : out.parameters) {
      if (other.name == parameter.name) anomalies.add(Anomaly::kParameterDuplicate);
    }
    out.parameters.push_back(parameter);
  }
  for (Parameter& p : out.parameters) {
    if (p.value.find("=?") != std::string_view::npos) {
      p.value = decode_text(p.value, {}, limits, converter, arena, anomalies);
    } else if (p.name.find('*') == std::string_view::npos) {
      p.value = converter.to_utf8(p.value, {}, limits.header_bytes_max, arena).text;
    }
  }
  if (!pieces) return;
  const size_t given = out.parameters.size();
  for (size_t i = 0; i < given; ++i) {
    const PieceName piece = split_piece(out.parameters[i].name);
    if (piece.index < 0 && !piece.encoded) continue;
    bool known = false;
    for (size_t k = given; k < out.parameters.size(); ++k) known |= out.parameters[k].name == piece.base;
    if (known) continue;
    // Only the pieces that the message has: what is appended has no star in its name.
    const std::vector<Parameter> raw(out.parameters.begin(), out.parameters.begin() + static_cast<ptrdiff_t>(given));
    out.parameters.push_back({piece.base, join_pieces(raw, piece.base, limits, converter, arena)});
  }
}

}  // namespace tamis::mail
