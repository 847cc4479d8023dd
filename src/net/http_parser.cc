#include "net/http_parser.h"

#include <array>
#include <cstring>

namespace tamis::net {
namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
    table[static_cast<uint8_t>(c)] = true;
  return table;
}
constexpr auto kToken = make_token_table();

// Letters of a host, an IP literal and a port (RFC 3986 section 3.2).
constexpr std::array<bool, 256> make_host_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (char c : {'-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ';', '=', ':', '[', ']', '%'})
    table[static_cast<uint8_t>(c)] = true;
  return table;
}
constexpr auto kHostChar = make_host_table();

bool is_blank(char c) { return c == ' ' || c == '\t'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// `name` is known to be lower case.
bool is_name(std::string_view text, std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i)
    if (lower(text[i]) != name[i]) return false;
  return true;
}

bool find_method(std::string_view text, Method& method) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return method = Method::kGet, true;
      if (text == "PUT") return method = Method::kPut, true;
      return false;
    case 4:
      if (text == "POST") return method = Method::kPost, true;
      if (text == "HEAD") return method = Method::kHead, true;
      return false;
    case 5:
      return text == "PATCH" && (method = Method::kPatch, true);
    case 6:
      return text == "DELETE" && (method = Method::kDelete, true);
    case 7:
      return text == "OPTIONS" && (method = Method::kOptions, true);
    default:
      return false;
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr size_t kChunkLineBytesMax = 1024;
constexpr size_t kTrailerBytesMax = 8 * 1024;
// Framing that a client may send beyond 16 bytes per byte of data: bounds the work that tiny chunks with long
// extensions can cause.
constexpr uint64_t kChunkOverheadSlack = 16 * 1024;
constexpr uint64_t kChunkOverheadPerByte = 16;

}  // namespace

bool is_token(std::string_view text) {
  if (text.empty()) return false;
  for (char c : text)
    if (!kToken[static_cast<uint8_t>(c)]) return false;
  return true;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_field_value(std::string_view text) {
  // Eight bytes at a time: a byte below 0x20 or equal to 0x7f sets a high bit (tabs are then looked at singly).
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t x;
    std::memcpy(&x, text.data() + i, 8);
    uint64_t y = x ^ (kOnes * 0x7f);
    uint64_t hit = (((x - kOnes * 0x20) & ~x) | ((y - kOnes) & ~y)) & kHigh;
    if (hit == 0) continue;
    for (size_t j = i; j < i + 8; ++j) {
      auto c = static_cast<uint8_t>(text[j]);
      if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
  }
  for (; i < text.size(); ++i) {
    auto c = static_cast<uint8_t>(text[i]);
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

ParseState HeadParser::fail(int status, const char* code, const char* message) {
  error_ = {status, code, message};
  return ParseState::kError;
}

// No complete line: decide whether it is still worth waiting for one.
ParseState HeadParser::more(const char* data, size_t bytes, const HeadLimits& limits) {
  scan_ = bytes;
  if (!have_request_line_) {
    // A CR at the end may be that of the line's end, which does not count.
    const size_t line_bytes = bytes - line_begin_ - (bytes > line_begin_ && data[bytes - 1] == '\r' ? 1 : 0);
    if (line_bytes > limits.request_line_bytes_max) return fail(414, "uri_too_long", "the request line is too long");
    bool starts_crlf = bytes > line_begin_ && data[line_begin_] == '\r' && !skipped_empty_line_;
    if (bytes > line_begin_ && !starts_crlf && !kToken[static_cast<uint8_t>(data[line_begin_])])
      return fail(400, "bad_request", "not an HTTP request: the first byte cannot begin a method");
    if (starts_crlf && bytes > line_begin_ + 1) return fail(400, "bad_request", "a CR without LF");
  }
  if (bytes > limits.head_bytes_max) return fail(431, "headers_too_large", "the headers are too large");
  return ParseState::kMore;
}

ParseState HeadParser::parse(const char* data, size_t bytes, const HeadLimits& limits, Request& request) {
  for (;;) {
    const char* end =
        bytes > scan_ ? static_cast<const char*>(std::memchr(data + scan_, '\n', bytes - scan_)) : nullptr;
    if (end == nullptr) return more(data, bytes, limits);
    size_t line_end = static_cast<size_t>(end - data);
    if (line_end == line_begin_ || data[line_end - 1] != '\r')
      return fail(400, "bad_request", "a line must end in CR LF, not in a bare LF");
    std::string_view line(data + line_begin_, line_end - 1 - line_begin_);
    if (line_end >= limits.head_bytes_max && have_request_line_)
      return fail(431, "headers_too_large", "the headers are too large");
    if (!have_request_line_) {
      if (line.empty() && !skipped_empty_line_) {
        skipped_empty_line_ = true;  // RFC 9112 section 2.2 asks for tolerance of one empty line
      } else {
        if (line.size() > limits.request_line_bytes_max)
          return fail(414, "uri_too_long", "the request line is too long");
        if (!request_line(line, request)) return ParseState::kError;
        have_request_line_ = true;
      }
    } else if (line.empty()) {
      line_begin_ = scan_ = line_end + 1;
      return finish(request) ? ParseState::kDone : ParseState::kError;
    } else {
      if (request.headers_.size() >= limits.header_count_max) return fail(431, "headers_too_large", "too many headers");
      if (!header_line(line, request)) return ParseState::kError;
    }
    line_begin_ = scan_ = line_end + 1;
  }
}

bool HeadParser::request_line(std::string_view line, Request& request) {
  size_t method_end = line.find(' ');
  if (method_end == std::string_view::npos || !is_token(line.substr(0, method_end)))
    return fail(400, "bad_request", "the request line must be METHOD SP TARGET SP VERSION"), false;
  size_t target_end = line.find(' ', method_end + 1);
  if (target_end == std::string_view::npos)
    return fail(400, "bad_request", "the request line must be METHOD SP TARGET SP VERSION"), false;
  std::string_view version = line.substr(target_end + 1);
  if (version == "HTTP/1.1") {
    request.http_1_0_ = false;
  } else if (version == "HTTP/1.0") {
    request.http_1_0_ = true;
    keep_alive_ = false;
  } else if (version.size() == 8 && version.substr(0, 5) == "HTTP/" && version[6] == '.') {
    return fail(505, "version_not_supported", "only HTTP/1.1 and HTTP/1.0 are spoken here"), false;
  } else {
    return fail(400, "bad_request", "the request line must end in HTTP/1.1"), false;
  }
  if (!find_method(line.substr(0, method_end), request.method_))
    return fail(501, "not_implemented", "the method is not implemented"), false;
  return target(line.substr(method_end + 1, target_end - method_end - 1), request);
}

bool HeadParser::target(std::string_view text, Request& request) {
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '#')
      return fail(400, "bad_request", "the request target has a character that must be escaped"), false;
  }
  if (text == "*" && request.method_ == Method::kOptions) {
    request.path_ = text;
    return true;
  }
  if (!text.empty() && text.front() != '/') {
    // The absolute form that proxies use: scheme and authority are dropped (RFC 9112 section 3.2.2).
    size_t scheme = 0;
    if (text.size() > 7 && equals_ignoring_case(text.substr(0, 7), "http://")) scheme = 7;
    if (text.size() > 8 && equals_ignoring_case(text.substr(0, 8), "https://")) scheme = 8;
    size_t path = scheme == 0 ? std::string_view::npos : text.find('/', scheme);
    if (path == std::string_view::npos || path == scheme)
      return fail(400, "bad_request", "the request target must begin with /"), false;
    text.remove_prefix(path);
  }
  if (text.empty()) return fail(400, "bad_request", "the request target is empty"), false;
  size_t question = text.find('?');
  request.path_ = text.substr(0, question);
  request.query_ = question == std::string_view::npos ? std::string_view() : text.substr(question + 1);
  return true;
}

bool HeadParser::header_line(std::string_view line, Request& request) {
  if (is_blank(line.front())) return fail(400, "bad_request", "a header must not be folded over lines"), false;
  size_t colon = 0;
  while (colon < line.size() && kToken[static_cast<uint8_t>(line[colon])]) ++colon;
  if (colon == 0 || colon == line.size() || line[colon] != ':')
    return fail(400, "bad_request", "a header must be NAME: VALUE, without a blank before the colon"), false;
  std::string_view name = line.substr(0, colon);
  std::string_view value = trim_blanks(line.substr(colon + 1));
  if (!is_field_value(value)) return fail(400, "bad_request", "a header's value has a control character"), false;
  request.headers_.push_back({name, value});
  return known_header(name, value, request);
}

bool HeadParser::known_header(std::string_view name, std::string_view value, Request& request) {
  switch (name.size()) {
    case 4:
      if (!is_name(name, "host")) return true;
      if (has_host_) return fail(400, "bad_request", "more than one Host header"), false;
      for (char c : value)
        if (!kHostChar[static_cast<uint8_t>(c)]) return fail(400, "bad_request", "the Host header is malformed"), false;
      has_host_ = true;
      request.host_ = value;
      return true;
    case 6:
      if (!is_name(name, "expect")) return true;
      if (!equals_ignoring_case(value, "100-continue"))
        return fail(417, "expectation_failed", "the only expectation known here is 100-continue"), false;
      expect_continue_ = !request.http_1_0_;
      return true;
    case 10: {
      if (!is_name(name, "connection")) return true;
      while (!value.empty()) {
        size_t comma = value.find(',');
        std::string_view option = trim_blanks(value.substr(0, comma));
        if (equals_ignoring_case(option, "close")) keep_alive_ = false, connection_close_ = true;
        if (equals_ignoring_case(option, "keep-alive") && !connection_close_) keep_alive_ = true;
        value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
      }
      return true;
    }
    case 12:
      if (is_name(name, "content-type") && request.content_type_.empty()) request.content_type_ = value;
      return true;
    case 13:
      if (is_name(name, "authorization")) {
        if (!request.authorization_.empty())
          return fail(400, "bad_request", "more than one Authorization header"), false;
        request.authorization_ = value;
      }
      return true;
    case 14:
      return !is_name(name, "content-length") || content_length_header(value);
    case 17:
      if (!is_name(name, "transfer-encoding")) return true;
      if (has_transfer_encoding_) return fail(400, "bad_request", "more than one Transfer-Encoding header"), false;
      if (!equals_ignoring_case(value, "chunked"))
        return fail(501, "not_implemented", "the only transfer coding known here is chunked"), false;
      has_transfer_encoding_ = chunked_ = true;
      return true;
    default:
      return true;
  }
}

bool HeadParser::content_length_header(std::string_view value) {
  if (has_content_length_) return fail(400, "bad_request", "more than one Content-Length header"), false;
  if (value.empty() || value.size() > 18)
    return fail(400, "bad_request", "Content-Length must be a decimal number"), false;
  for (char c : value) {
    if (c < '0' || c > '9') return fail(400, "bad_request", "Content-Length must be a decimal number"), false;
    content_length_ = content_length_ * 10 + static_cast<uint64_t>(c - '0');
  }
  has_content_length_ = true;
  return true;
}

bool HeadParser::finish(const Request& request) {
  if (has_transfer_encoding_ && has_content_length_)
    return fail(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other"), false;
  if (has_transfer_encoding_ && request.http_1_0_)
    return fail(400, "bad_request", "HTTP/1.0 knows no Transfer-Encoding"), false;
  if (!has_host_ && !request.http_1_0_) return fail(400, "bad_request", "the Host header is missing"), false;
  return true;
}

ParseState ChunkDecoder::fail(const char* message) {
  error_ = {400, "bad_request", message};
  return ParseState::kError;
}

bool ChunkDecoder::count_overhead(size_t bytes) {
  overhead_total_ += bytes;
  return overhead_total_ <= kChunkOverheadSlack + decoded_total_ * kChunkOverheadPerByte;
}

bool ChunkDecoder::size_line(std::string_view line) {
  size_t digits = 0;
  uint64_t size = 0;
  while (digits < line.size() && hex_digit(line[digits]) >= 0) {
    if (digits == 15) return fail("a chunk size has too many digits"), false;
    size = size * 16 + static_cast<uint64_t>(hex_digit(line[digits]));
    ++digits;
  }
  if (digits == 0) return fail("a chunk must begin with its size in hexadecimal"), false;
  std::string_view extension = line.substr(digits);
  if (!extension.empty() && (trim_blanks(extension).empty() || trim_blanks(extension).front() != ';'))
    return fail("a chunk size must be followed by CR LF or an extension"), false;
  if (!is_field_value(extension)) return fail("a chunk extension has a control character"), false;
  chunk_left_ = size;
  part_ = size == 0 ? Part::kTrailer : Part::kData;
  return true;
}

ParseState ChunkDecoder::decode(char* base, size_t& decoded_end, size_t& raw, size_t raw_end) {
  for (;;) {
    if (part_ == Part::kData) {
      size_t have = raw_end - raw;
      size_t take = chunk_left_ < have ? static_cast<size_t>(chunk_left_) : have;
      if (take > 0 && decoded_end != raw) std::memmove(base + decoded_end, base + raw, take);
      decoded_end += take;
      raw += take;
      chunk_left_ -= take;
      decoded_total_ += take;
      if (chunk_left_ > 0) return ParseState::kMore;
      part_ = Part::kDataEnd;
    }
    const char* begin = base + raw;
    const char* end = raw_end > raw ? static_cast<const char*>(std::memchr(begin, '\n', raw_end - raw)) : nullptr;
    size_t line_bytes = end == nullptr ? raw_end - raw : static_cast<size_t>(end - begin) + 1;
    if (line_bytes > kChunkLineBytesMax) return fail("a chunk's size line or a trailer is too long");
    if (part_ == Part::kDataEnd && line_bytes > 0 && begin[0] != '\r')
      return fail("a chunk's data must be followed by CR LF");
    if (end == nullptr) {
      // A size line cannot begin with anything but a digit; say so before a line end arrives.
      if (part_ == Part::kSize && line_bytes > 0 && hex_digit(begin[0]) < 0)
        return fail("a chunk must begin with its size in hexadecimal");
      return ParseState::kMore;
    }
    if (line_bytes < 2 || end[-1] != '\r') return fail("a line must end in CR LF, not in a bare LF");
    std::string_view line(begin, line_bytes - 2);
    raw += line_bytes;
    if (!count_overhead(line_bytes)) return fail("too much chunk framing for too little data");
    if (part_ == Part::kDataEnd) {
      if (!line.empty()) return fail("a chunk's data must be followed by CR LF");
      part_ = Part::kSize;
    } else if (part_ == Part::kSize) {
      if (!size_line(line)) return ParseState::kError;
    } else {
      if (line.empty()) return ParseState::kDone;
      trailer_bytes_ += line_bytes;
      size_t colon = line.find(':');
      if (trailer_bytes_ > kTrailerBytesMax) return fail("the trailers are too large");
      if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) || !is_field_value(line))
        return fail("a trailer must be NAME: VALUE");
    }
  }
}

}  // namespace tamis::net
