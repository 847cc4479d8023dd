// Request and Response: what an HTTP handler reads and writes. See net/http_server.h for the server around them.
//
// Lifetime: every string_view of a Request points into the connection's input buffer and is valid until the handler
// returns (of a stream: until on_body() returns). Neither object is thread-safe; both belong to the loop that calls.
// Cost: neither allocates once the loop is warm.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/socket.h"

namespace tamis::net {

enum class Method : uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions };
std::string_view method_name(Method method);

// A name as the client wrote it and its value without surrounding blanks.
struct Header {
  std::string_view name;
  std::string_view value;
};

// Readable bytes guaranteed behind body() and behind the `data` of a stream (their content is unspecified), so that a
// parser which reads ahead, as simdjson does, works in place.
inline constexpr size_t kBodyPaddingBytes = 64;

class Request {
 public:
  Method method() const { return method_; }
  // The path as it was sent, percent-escapes included, without the query. Begins with "/"; "*" for OPTIONS *.
  std::string_view path() const { return path_; }
  // What follows the first "?", undecoded; empty without one.
  std::string_view query() const { return query_; }
  // The decoded value of a query parameter ("+" is a space), nothing when absent or badly escaped. Allocates.
  std::optional<std::string> query_value(std::string_view name) const;
  // All of them, in their order, up to one that is badly escaped; at most `max`.
  std::vector<std::string> query_values(std::string_view name, size_t max) const;

  // The decoded name of the first query parameter that is none of these (as it was sent where it is badly escaped).
  std::optional<std::string> query_name_besides(std::span<const std::string> names) const;

  // The decoded value of the nth `{name}` of the route's pattern, counted from 0.
  std::string_view param(size_t index) const { return index < param_count_ ? params_[index] : std::string_view(); }

  // First value of a header, empty when absent. `name` in any case. Linear in the number of headers.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  std::span<const Header> headers() const { return headers_; }
  std::string_view host() const { return host_; }
  std::string_view authorization() const { return authorization_; }
  std::string_view content_type() const { return content_type_; }
  // The token of "Authorization: Bearer TOKEN", empty when there is none.
  std::string_view bearer_token() const;

  // The whole decoded body; empty in a gate and in a stream. kBodyPaddingBytes readable bytes follow.
  std::string_view body() const { return body_; }

  // Who is at the other end of the connection (not what a proxy's header says).
  const PeerAddress& peer() const { return *peer_; }
  bool tls() const { return tls_; }
  // The loop's clock, read once per batch of events: CLOCK_MONOTONIC in milliseconds.
  uint64_t now_ms() const { return now_ms_; }

  // A gate leaves here what the handler needs (e.g. the caller's token record). Must outlive the request.
  void set_context(const void* context) const { context_ = context; }
  const void* context() const { return context_; }

 private:
  friend class HttpSession;
  friend class HeadParser;
  friend class Router;
  static constexpr size_t kParamsMax = 4;

  void clear();
  // The input buffer moved from `old_base` to `new_base`.
  void rebase(const char* old_base, size_t old_bytes, const char* new_base);

  Method method_ = Method::kGet;
  bool tls_ = false;
  bool http_1_0_ = false;
  uint8_t param_count_ = 0;
  std::string_view path_, query_, host_, authorization_, content_type_, body_;
  std::array<std::string_view, kParamsMax> params_;
  std::vector<Header> headers_;
  std::string param_scratch_;  // decoded parameters
  const PeerAddress* peer_ = nullptr;
  uint64_t now_ms_ = 0;
  mutable const void* context_ = nullptr;
};

// An answer that a handler gives later, from any thread. Made by Response::defer(). Dropping it unsent answers 500, so
// a client never waits for nothing. The connection handles no further request until then; other connections go on.
class DeferredReply {
 public:
  virtual ~DeferredReply() = default;
  // Sends the answer, once; later calls do nothing. If the client has gone the answer is dropped.
  virtual void send(int status, std::string_view content_type, std::string body) = 0;
};

class Response {
 public:
  // 200 unless set. 100..199 are not allowed here; 204 and 304 have no body.
  void set_status(int status) { status_ = status; }
  int status() const { return status_; }
  // "application/json" unless set. Copied. Must be a field value; "application/octet-stream" is sent otherwise.
  void set_content_type(std::string_view type);
  // Adds a header line. Control characters in the value become "?", so no caller's data can start a new line.
  // Content-Length, Connection, Date, Transfer-Encoding and Content-Type are the server's: asserted.
  void add_header(std::string_view name, std::string_view value);

  // Append the body here; the buffer is reused between requests. In a stream: what is here when on_body() returns goes
  // out as one chunk.
  std::string& body() { return body_; }
  void append(std::string_view text) { body_.append(text); }

  // Replaces everything by `{"error":CODE,"message":MESSAGE}` with this status: the form of the server's own errors.
  // `code` is a word for programs ("not_found"), `message` a sentence for people; both are escaped.
  void set_error(int status, std::string_view code, std::string_view message);

  // After this answer the connection is closed.
  void close_connection() { close_ = true; }

  // The answer comes later (see DeferredReply). Whatever was set here so far is dropped. Not in a stream or a gate.
  std::shared_ptr<DeferredReply> defer();

  // --- In a stream only ---
  // Bytes that may still be written before the server stops reading. A handler that sees 0 should return from on_body()
  // with the rest unconsumed; it is called again when the client has taken what was sent.
  size_t room_bytes() const { return body_.size() < room_bytes_ ? room_bytes_ - body_.size() : 0; }
  // The handler has more to write than fits: call on_body() again when the client has taken what was sent, even if
  // there are no new bytes. So a large answer is made piece by piece.
  void call_again() { call_again_ = true; }
  // Ends the answer now; the rest of the request's body is discarded without calling the handler again.
  void finish() { finished_ = true; }
  bool finished() const { return finished_; }

 private:
  friend class HttpSession;
  void clear();

  int status_ = 200;
  bool close_ = false;
  bool finished_ = false;
  bool call_again_ = false;
  size_t room_bytes_ = 0;
  std::string content_type_;
  std::string headers_;  // finished lines
  std::string body_;
  std::function<std::shared_ptr<DeferredReply>()>* make_deferred_ = nullptr;
  std::shared_ptr<DeferredReply> deferred_;
};

// The word for a status ("Not Found"), "Status" for one that has none here.
std::string_view status_text(int status);

}  // namespace tamis::net
