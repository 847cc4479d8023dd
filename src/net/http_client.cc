#include "net/http_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "net/http_parser.h"
#include "net/socket.h"
#include "net/tls.h"

namespace tamis::net {
namespace {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kPendingOutputMax = 256 * 1024;

// One connection, plain or encrypted. Nothing blocks in it.
struct Wire {
  Fd fd;
  std::unique_ptr<TlsStream> tls;

  IoResult read(char* to, size_t bytes) {
    if (tls) return tls->read(to, bytes);
    ssize_t n = recv(fd.get(), to, bytes, 0);
    if (n > 0) return {IoState::kDone, static_cast<size_t>(n)};
    if (n == 0) return {IoState::kEof};
    return {errno == EAGAIN || errno == EINTR ? IoState::kWantRead : IoState::kError};
  }
  IoResult write(std::string_view text) {
    if (tls) return tls->write(text.data(), text.size());
    ssize_t n = send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (n >= 0) return {IoState::kDone, static_cast<size_t>(n)};
    return {errno == EAGAIN || errno == EINTR ? IoState::kWantWrite : IoState::kError};
  }
  std::string error() const { return tls && !tls->error().empty() ? tls->error() : errno_text(errno); }
};

enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };

// The answer being read.
struct Reading {
  std::vector<char> buffer;
  size_t begin = 0, end = 0;  // [begin, end) is not yet consumed
  bool have_head = false;
  bool done = false;
  bool stopped = false;  // by the sink
  bool keep_alive = true;
  Framing framing = Framing::kNone;
  uint64_t left = 0;
  ChunkDecoder chunks;
  HttpAnswer answer;
};

int64_t milliseconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - then).count();
}

bool is_idempotent(const std::string& method) { return method != "POST" && method != "PATCH"; }

}  // namespace

struct HttpClient::Impl {
  Endpoint endpoint;
  std::string host;  // of the Host header
  bool secure = false;
  HttpClientOptions options;
  Wire wire;
  bool kept = false;  // the connection has served a request already

  Status connect();
  bool kept_is_usable();
  Result<HttpAnswer> once(const HttpCall& call, bool* nothing_came);
  std::string request_head(const HttpCall& call) const;
  Status read_some(Reading& r, const HttpCall& call, IoState* state);
  Status parse(Reading& r, const HttpCall& call, bool eof);
  Status parse_head(Reading& r, const HttpCall& call);
  Status set_framing(Reading& r, const HttpCall& call);
  Status take_body(Reading& r, const HttpCall& call, std::string_view piece);
  Status wait(short events, std::chrono::steady_clock::time_point begun);
  base::Error timeout_error() const;
  base::Error protocol_error(std::string_view what) const {
    return {Code::kUnavailable, fmt::format("{} sent a malformed answer: {}", endpoint.text(), what)};
  }
};

std::string_view HttpAnswer::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (equals_ignoring_case(key, name)) return value;
  return {};
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<HttpClient> HttpClient::open(std::string_view url, HttpClientOptions options) {
  auto impl = std::make_unique<Impl>();
  std::string_view left = url;
  bool plain = left.substr(0, 7) == "http://";
  impl->secure = left.substr(0, 8) == "https://";
  if (left.substr(0, 5) == "unix:") {
    TAMIS_TRY(endpoint, Endpoint::parse(left));
    impl->endpoint = std::move(endpoint);
    impl->host = "localhost";
  } else if (plain || impl->secure) {
    left.remove_prefix(plain ? 7 : 8);
    if (!left.empty() && left.back() == '/') left.remove_suffix(1);
    if (left.empty() || left.find_first_of("/?#@") != std::string_view::npos)
      return base::invalid(fmt::format("`{}`: expected http://HOST:PORT without a path", url));
    impl->host = left;
    bool has_port = left.rfind(':') != std::string_view::npos && left.back() != ']' &&
                    (left.front() != '[' || left.rfind(':') > left.rfind(']'));
    TAMIS_TRY(endpoint, Endpoint::parse(has_port ? std::string(left) : fmt::format("{}:{}", left, plain ? 80 : 443)));
    impl->endpoint = std::move(endpoint);
  } else {
    return base::invalid(fmt::format("`{}`: expected http://HOST:PORT, https://HOST:PORT or unix:PATH", url));
  }
  if (impl->secure && options.tls == nullptr) {
    TAMIS_TRY(tls, TlsClientContext::load({}));
    options.tls = std::move(tls);
  }
  impl->options = std::move(options);
  return HttpClient(std::move(impl));
}

Status HttpClient::Impl::connect() {
  wire = Wire{};
  kept = false;
  TAMIS_TRY(fd, connect_to(endpoint, options.connect_timeout_ms, options.may_connect));
  wire.fd = std::move(fd);
  if (!secure) return {};
  wire.tls = options.tls->connect(wire.fd.get(), endpoint.host);
  if (wire.tls == nullptr) return fail(Code::kInternal, "out of memory for TLS");
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.connect_timeout_ms);
  for (;;) {
    IoResult result = wire.tls->handshake();
    if (result.state == IoState::kDone) break;
    if (result.state == IoState::kError || result.state == IoState::kEof)
      return fail(Code::kUnavailable, fmt::format("TLS with {} failed: {}", endpoint.text(), wire.tls->error()));
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    if (left <= 0 ||
        !wait_for(wire.fd.get(), result.state == IoState::kWantRead ? POLLIN : POLLOUT, static_cast<int>(left)))
      return fail(Code::kUnavailable,
                  fmt::format("no TLS handshake with {} within {} ms", endpoint.text(), options.connect_timeout_ms));
  }
  const std::string& pin = options.tls->pinned_fingerprint();
  if (!pin.empty() && wire.tls->peer_fingerprint() != pin)
    return fail(Code::kDenied, fmt::format("the certificate of {} is not the pinned one: its fingerprint is {}",
                                           endpoint.text(), wire.tls->peer_fingerprint()));
  return {};
}

// A kept connection on which something has arrived unasked has been closed by the server.
bool HttpClient::Impl::kept_is_usable() { return wire.fd && kept && !wait_for(wire.fd.get(), POLLIN, 0); }

std::string HttpClient::Impl::request_head(const HttpCall& call) const {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", call.method, call.path, host);
  if (!options.bearer_token.empty()) head += fmt::format("Authorization: Bearer {}\r\n", options.bearer_token);
  bool has_body = call.source || !call.body.empty();
  if (has_body) head += fmt::format("Content-Type: {}\r\n", call.content_type);
  if (call.source)
    head += "Transfer-Encoding: chunked\r\n";
  else if (has_body || call.method == "POST" || call.method == "PUT" || call.method == "PATCH")
    head += fmt::format("Content-Length: {}\r\n", call.body.size());
  for (const auto& [name, value] : call.headers) head += fmt::format("{}: {}\r\n", name, value);
  return head + "\r\n";
}

Result<HttpAnswer> HttpClient::call(const HttpCall& call) {
  bool ok = is_token(call.method) && !call.path.empty() && call.path.front() == '/' &&
            is_field_value(call.content_type) && is_field_value(impl_->options.bearer_token);
  for (char c : call.path) ok = ok && static_cast<uint8_t>(c) > 0x20 && static_cast<uint8_t>(c) < 0x7f;
  for (const auto& [name, value] : call.headers) ok = ok && is_token(name) && is_field_value(value);
  if (!ok) return base::invalid("the request's method, path or headers have characters that they must not have");
  bool reused = impl_->kept_is_usable();
  if (!reused) TAMIS_CHECK(impl_->connect());
  bool nothing_came = false;
  auto answer = impl_->once(call, &nothing_came);
  if (answer || !reused || !nothing_came || !is_idempotent(call.method) || call.source) return answer;
  TAMIS_CHECK(impl_->connect());
  return impl_->once(call, &nothing_came);
}

Result<HttpAnswer> HttpClient::Impl::once(const HttpCall& call, bool* nothing_came) {
  std::string out = request_head(call);
  out += call.source ? std::string() : call.body;
  size_t sent = 0;
  bool source_done = !call.source, broken = false;
  std::string piece;
  Reading r;
  r.buffer.resize(kReadBytes);
  *nothing_came = true;
  Status status;
  const auto begun = std::chrono::steady_clock::now();
  while (!r.done) {
    if (options.total_timeout_ms > 0 && milliseconds_since(begun) >= options.total_timeout_ms) {
      status = tl::unexpected(timeout_error());
      break;
    }
    if (!source_done && out.size() - sent < kPendingOutputMax) {
      piece.clear();
      source_done = !call.source(piece);
      out.erase(0, sent);
      sent = 0;
      if (!piece.empty()) out += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
      if (source_done) out += "0\r\n\r\n";
    }
    IoState wrote = IoState::kDone, read = IoState::kDone;
    if (sent < out.size()) {
      IoResult result = wire.write(std::string_view(out).substr(sent));
      wrote = result.state;
      sent += result.bytes;
      // A server that refuses a long request may answer and close before it has read it: look for the answer.
      if (wrote == IoState::kError) {
        broken = source_done = true;
        sent = out.size();
      }
    }
    status = read_some(r, call, &read);
    if (r.have_head || r.end > r.begin) *nothing_came = false;
    if (!status || r.done) break;
    bool writing = sent < out.size() || !source_done;
    if (read == IoState::kDone || (writing && wrote == IoState::kDone)) continue;
    short events = 0;
    if (read == IoState::kWantRead || wrote == IoState::kWantRead) events |= POLLIN;
    if (read == IoState::kWantWrite || wrote == IoState::kWantWrite) events |= POLLOUT;
    status = wait(events, begun);
    if (!status) break;
  }
  kept = status && !broken && r.keep_alive && !r.stopped && source_done && sent == out.size();
  if (!kept) wire = Wire{};
  if (!status) return tl::unexpected<base::Error>(status.error());
  return std::move(r.answer);
}

base::Error HttpClient::Impl::timeout_error() const {
  return {Code::kUnavailable,
          fmt::format("{}: no whole answer within {} ms", endpoint.text(), options.total_timeout_ms)};
}

// Until the socket is ready, in short pieces where somebody may end the wait.
Status HttpClient::Impl::wait(short events, std::chrono::steady_clock::time_point begun) {
  constexpr int64_t kPieceMs = 100;
  const auto idle_since = std::chrono::steady_clock::now();
  for (;;) {
    int64_t left = options.io_timeout_ms - milliseconds_since(idle_since);
    if (left <= 0)
      return fail(Code::kUnavailable,
                  fmt::format("{}: nothing moved for {} ms", endpoint.text(), options.io_timeout_ms));
    if (options.total_timeout_ms > 0) {
      int64_t left_of_all = options.total_timeout_ms - milliseconds_since(begun);
      if (left_of_all <= 0) return tl::unexpected(timeout_error());
      left = std::min(left, left_of_all);
    }
    if (options.cancelled) {
      if (options.cancelled())
        return fail(Code::kUnavailable, fmt::format("{}: the call was cancelled", endpoint.text()));
      left = std::min(left, kPieceMs);
    }
    if (wait_for(wire.fd.get(), events, static_cast<int>(left))) return {};
  }
}

Status HttpClient::Impl::read_some(Reading& r, const HttpCall& call, IoState* state) {
  if (r.begin == r.end) r.begin = r.end = 0;
  if (r.end == r.buffer.size()) {
    if (r.begin > 0) {
      std::copy(r.buffer.begin() + static_cast<ptrdiff_t>(r.begin), r.buffer.begin() + static_cast<ptrdiff_t>(r.end),
                r.buffer.begin());
      r.end -= r.begin;
      r.begin = 0;
    } else {
      r.buffer.resize(r.buffer.size() * 2);  // only a head needs it, which has its own limit
    }
  }
  IoResult result = wire.read(r.buffer.data() + r.end, r.buffer.size() - r.end);
  *state = result.state;
  if (result.state == IoState::kError)
    return fail(Code::kUnavailable, fmt::format("reading from {} failed: {}", endpoint.text(), wire.error()));
  if (result.state == IoState::kDone) r.end += result.bytes;
  if (result.state == IoState::kDone || result.state == IoState::kEof)
    return parse(r, call, result.state == IoState::kEof);
  return {};
}

Status HttpClient::Impl::parse(Reading& r, const HttpCall& call, bool eof) {
  while (!r.have_head && !r.done) {
    size_t before = r.begin;
    TAMIS_CHECK(parse_head(r, call));
    if (r.begin == before) break;  // incomplete
  }
  if (r.have_head && !r.done) {
    if (r.framing == Framing::kChunked) {
      size_t decoded_end = r.begin, raw = r.begin;
      ParseState state = r.chunks.decode(r.buffer.data(), decoded_end, raw, r.end);
      std::string_view piece(r.buffer.data() + r.begin, decoded_end - r.begin);
      r.begin = raw;
      if (state == ParseState::kError) return tl::unexpected(protocol_error(r.chunks.error().message));
      TAMIS_CHECK(take_body(r, call, piece));
      r.done = r.done || state == ParseState::kDone;
    } else {
      size_t take = r.end - r.begin;
      if (r.framing == Framing::kLength && take > r.left) take = static_cast<size_t>(r.left);
      std::string_view piece(r.buffer.data() + r.begin, take);
      r.begin += take;
      if (r.framing == Framing::kLength) r.left -= take;
      TAMIS_CHECK(take_body(r, call, piece));
      r.done = r.done || (r.framing == Framing::kLength && r.left == 0);
    }
  }
  if (!eof || r.done) return {};
  r.keep_alive = false;
  if (r.have_head && r.framing == Framing::kUntilClose) {
    r.done = true;
    return {};
  }
  return fail(Code::kUnavailable,
              fmt::format("{} closed the connection before its answer was complete", endpoint.text()));
}

Status HttpClient::Impl::parse_head(Reading& r, const HttpCall& call) {
  std::string_view text(r.buffer.data() + r.begin, r.end - r.begin);
  size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos ? text.size() > options.head_bytes_max : end > options.head_bytes_max)
    return tl::unexpected(protocol_error("its head is too large"));
  if (end == std::string_view::npos) return {};
  std::string_view head = text.substr(0, end + 2);
  r.begin += end + 4;
  size_t line_end = head.find("\r\n");
  std::string_view line = head.substr(0, line_end);
  if (line.size() < 12 || (line.substr(0, 9) != "HTTP/1.1 " && line.substr(0, 9) != "HTTP/1.0 ") ||
      std::from_chars(line.data() + 9, line.data() + 12, r.answer.status).ptr != line.data() + 12)
    return tl::unexpected(protocol_error("its status line is not HTTP/1.1"));
  r.keep_alive = line[7] == '1';
  head.remove_prefix(line_end + 2);
  r.answer.headers.clear();
  while (!head.empty()) {
    line_end = head.find("\r\n");
    line = head.substr(0, line_end);
    head.remove_prefix(line_end + 2);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) || !is_field_value(line))
      return tl::unexpected(protocol_error("a header is not NAME: VALUE"));
    r.answer.headers.emplace_back(line.substr(0, colon), trim_blanks(line.substr(colon + 1)));
  }
  if (r.answer.status >= 100 && r.answer.status < 200) return {};  // the real answer follows
  r.have_head = true;
  return set_framing(r, call);
}

Status HttpClient::Impl::set_framing(Reading& r, const HttpCall& call) {
  if (equals_ignoring_case(r.answer.header("connection"), "close")) r.keep_alive = false;
  if (call.method == "HEAD" || r.answer.status == 204 || r.answer.status == 304) {
    r.done = true;
    return {};
  }
  std::string_view length = r.answer.header("content-length"), coding = r.answer.header("transfer-encoding");
  if (!coding.empty()) {
    if (!length.empty() || !equals_ignoring_case(coding, "chunked"))
      return tl::unexpected(protocol_error("its body is framed in an unknown way"));
    r.framing = Framing::kChunked;
  } else if (!length.empty()) {
    auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), r.left);
    if (error != std::errc() || end != length.data() + length.size())
      return tl::unexpected(protocol_error("its Content-Length is not a number"));
    r.framing = Framing::kLength;
    r.done = r.left == 0;
  } else {
    r.framing = Framing::kUntilClose;
    r.keep_alive = false;
  }
  return {};
}

Status HttpClient::Impl::take_body(Reading& r, const HttpCall& call, std::string_view piece) {
  if (piece.empty()) return {};
  if (call.sink && r.answer.status / 100 == 2) {
    if (!call.sink(piece)) r.stopped = r.done = true;
    return {};
  }
  if (r.answer.body.size() + piece.size() > options.body_bytes_max)
    return fail(Code::kLimit,
                fmt::format("the answer of {} is larger than {} bytes", endpoint.text(), options.body_bytes_max));
  r.answer.body.append(piece);
  return {};
}

Result<HttpAnswer> HttpClient::get(std::string_view path) {
  HttpCall request;
  request.path = path;
  return call(request);
}

Result<HttpAnswer> HttpClient::post(std::string_view path, std::string body) {
  HttpCall request;
  request.method = "POST";
  request.path = path;
  request.body = std::move(body);
  return call(request);
}

void HttpClient::close() { impl_->wire = Wire{}; }

}  // namespace tamis::net
