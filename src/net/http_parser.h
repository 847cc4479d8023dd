// The strict parser of HTTP/1.1 requests: head and chunked coding (RFC 9112). Works on the connection's input buffer
// and copies nothing. Each byte is looked at once, however the bytes are cut into reads, so a slow sender costs
// nothing. Used by HttpSession alone. Whatever is doubtful is an error (see the list in http_server.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/http_message.h"

namespace tamis::net {

// Why a request is refused. Both texts are literals.
struct HttpError {
  int status = 0;  // 0: none
  const char* code = "";
  const char* message = "";
};

enum class ParseState : uint8_t { kMore, kDone, kError };

struct HeadLimits {
  size_t request_line_bytes_max;
  size_t head_bytes_max;
  size_t header_count_max;
};

class HeadParser {
 public:
  void reset() { *this = HeadParser(); }

  // `data` starts with the first byte of the request and holds all of it that has arrived; call again with more behind.
  // Fills `request` with views into `data`; when the bytes move between calls, Request::rebase() must be called.
  ParseState parse(const char* data, size_t bytes, const HeadLimits& limits, Request& request);

  const HttpError& error() const { return error_; }
  // After kDone: length of the head, and how the body is framed.
  size_t head_bytes() const { return line_begin_; }
  bool chunked() const { return chunked_; }
  uint64_t content_length() const { return content_length_; }
  bool keep_alive() const { return keep_alive_; }
  bool expect_continue() const { return expect_continue_; }

 private:
  ParseState fail(int status, const char* code, const char* message);
  ParseState more(const char* data, size_t bytes, const HeadLimits& limits);
  bool request_line(std::string_view line, Request& request);
  bool target(std::string_view text, Request& request);
  bool header_line(std::string_view line, Request& request);
  bool known_header(std::string_view name, std::string_view value, Request& request);
  bool content_length_header(std::string_view value);
  bool finish(const Request& request);

  size_t scan_ = 0;        // bytes already searched for the end of the line
  size_t line_begin_ = 0;  // start of the line being received
  bool have_request_line_ = false;
  bool skipped_empty_line_ = false;
  bool has_content_length_ = false;
  bool has_transfer_encoding_ = false;
  bool has_host_ = false;
  bool chunked_ = false;
  bool keep_alive_ = true;
  bool connection_close_ = false;
  bool expect_continue_ = false;
  uint64_t content_length_ = 0;
  HttpError error_;
};

// Decodes the chunked coding in place: moves the data of the chunks together, over their framing.
class ChunkDecoder {
 public:
  void reset() { *this = ChunkDecoder(); }

  // Bytes [raw, raw_end) of `base` are undecoded. Appends decoded bytes at `decoded_end` (<= raw) and advances both.
  // kMore keeps an incomplete framing line at `raw`. After kDone `raw` is the first byte after the body.
  ParseState decode(char* base, size_t& decoded_end, size_t& raw, size_t raw_end);

  const HttpError& error() const { return error_; }

 private:
  enum class Part : uint8_t { kSize, kData, kDataEnd, kTrailer };
  ParseState fail(const char* message);
  bool size_line(std::string_view line);
  bool count_overhead(size_t bytes);

  Part part_ = Part::kSize;
  uint64_t chunk_left_ = 0;
  uint64_t decoded_total_ = 0;
  uint64_t overhead_total_ = 0;
  size_t trailer_bytes_ = 0;
  HttpError error_;
};

// Token characters of RFC 9110 section 5.6.2.
bool is_token(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string_view trim_blanks(std::string_view text);
// False when `text` holds a control character other than a tab: it cannot be a field value.
bool is_field_value(std::string_view text);

}  // namespace tamis::net
