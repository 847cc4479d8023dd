// The half of HttpSession that writes answers; the other, which reads requests, is in http_session.cc.
#include <charconv>

#include "base/assert.h"
#include "net/http_session.h"

namespace tamis::net {
namespace {

void append_number(std::string& out, uint64_t value, int base = 10) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  out.append(digits, static_cast<size_t>(end - digits));
}

bool has_no_body(int status) { return status == 204 || status == 304; }

}  // namespace

// Status line and headers; `framing` is the line that says how the body ends, or empty.
void HttpSession::append_head(std::string_view framing) {
  Exchange& x = *exchange_;
  Response& response = x.response;
  close_after_ = close_after_ || response.close_ || env_.draining;
  std::string& out = x.out;
  int status = response.status_;
  TAMIS_ASSERT(status >= 200 && status <= 599);
  ++env_.stats->requests;
  ++env_.stats->responses_by_class[status / 100];
  if (status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
  } else {
    out.append("HTTP/1.1 ");
    append_number(out, static_cast<uint64_t>(status));
    out.append(" ").append(status_text(status)).append("\r\n");
  }
  out.append("Date: ").append(env_.date).append("\r\n");
  if (!has_no_body(status)) out.append("Content-Type: ").append(response.content_type_).append("\r\n");
  out.append(framing).append(response.headers_);
  if (close_after_)
    out.append("Connection: close\r\n");
  else if (x.request.http_1_0_)
    out.append("Connection: keep-alive\r\n");
  out.append("\r\n");
}

void HttpSession::answer() {
  Exchange& x = *exchange_;
  Response& response = x.response;
  if (has_no_body(response.status_)) {
    append_head({});
    return;
  }
  char framing[48] = "Content-Length: ";
  char* end = std::to_chars(framing + 16, framing + 40, response.body_.size()).ptr;
  *end++ = '\r';
  *end++ = '\n';
  append_head({framing, static_cast<size_t>(end - framing)});
  if (x.request.method_ != Method::kHead) x.out.append(response.body_);
}

void HttpSession::answer_error(const HttpError& error) {
  Exchange& x = *exchange_;
  if (x.stream && stream_head_sent_) return abort();
  x.stream.reset();
  x.response.clear();
  x.response.set_error(error.status, error.code, error.message);
  close_after_ = true;
  answer();
  end_connection(true);
}

// Sends what the stream's handler has written.
void HttpSession::stream_output(bool ended) {
  Exchange& x = *exchange_;
  Response& response = x.response;
  if (!stream_head_sent_) {
    if (ended) return answer();
    if (response.body_.empty()) return;
    if (x.request.http_1_0_) close_after_ = true;
    append_head(x.request.http_1_0_ ? "" : "Transfer-Encoding: chunked\r\n");
    stream_head_sent_ = true;
  }
  bool with_body = x.request.method_ != Method::kHead && !has_no_body(response.status_);
  bool chunked = !x.request.http_1_0_;
  if (!response.body_.empty() && with_body) {
    if (chunked) {
      append_number(x.out, response.body_.size(), 16);
      x.out.append("\r\n");
    }
    x.out.append(response.body_);
    if (chunked) x.out.append("\r\n");
  }
  response.body_.clear();
  if (ended && chunked && with_body) x.out.append("0\r\n\r\n");
}

}  // namespace tamis::net
