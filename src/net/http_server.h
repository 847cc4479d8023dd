// HttpServer: the HTTP/1.1 server under every HTTP door of Tamis. It exists because a decision takes a few microseconds
// and the kernel's TCP read and write about six and a half: the server may add only about one. So: one epoll loop per
// thread, a strict parser that copies nothing, handlers called inline on the loop, answers of pipelined requests
// written together. HTTP as of RFC 9110 and RFC 9112; bodies by Content-Length or chunked; TLS 1.2 and 1.3.
//
// How it is used (by doors and by app/):
//
//   HttpServer server({.listen = {{.address = "127.0.0.1:8080"}}});
//   server.get("/healthz", [](const Request&, Response& out) { out.append("{\"ok\":true}"); });
//   server.post("/v1/decide/{type}", [&](const Request& in, Response& out) {
//     decide(in.param(0), in.body(), out.body());
//   }, {.body_bytes_max = 1 << 20, .gate = require_role(tokens, Role::kDecide)});
//   server.stream(Method::kPost, "/v1/decide", [&](const Request&, Response& out) {
//     out.set_content_type("application/x-ndjson");
//     return std::make_unique<DecideLines>(engine);   // a LineStream
//   });
//   TAMIS_CHECK(server.start());
//   ...
//   server.stop(5'000);
//
// Threading: routes, every() and metrics are set up before start(). Handlers, gates and streams run on a loop thread;
// with `threads` = 1 (the default) never two at once, with more they run concurrently and must be thread-safe. A
// handler must not block: all connections of its loop wait for it. Work that takes longer than a millisecond goes
// elsewhere and answers through Response::defer(). post() and stop() may be called from any thread; stop() not from a
// loop thread. Handlers must not throw (an exception ends the process).
//
// What is refused, always with an answer that says why and then a close: Content-Length together with
// Transfer-Encoding, repeated or non-numeric Content-Length, any coding but `chunked`, bare CR or LF, obs-fold, blanks
// around a header's name, control bytes, a missing or doubled Host, HTTP versions other than 1.0 and 1.1: whatever two
// HTTP parsers in a row could understand differently (request smuggling). Chunk extensions and trailers are read and
// dropped.
//
// Every limit and timeout is an option below. Its own errors have the body of Response::set_error() with these codes:
// bad_request 400, not_found 404, method_not_allowed 405, timeout 408, too_large 413, uri_too_long 414,
// expectation_failed 417, headers_too_large 431, not_implemented 501, overloaded 503, version_not_supported 505.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"
#include "net/loop_server.h"

namespace tamis::base {
class MetricRegistry;
}

namespace tamis::net {

// Handles one whole request. `out` is a fresh 200 with an empty body.
using Handler = std::function<void(const Request& in, Response& out)>;

// Runs when the head of a request has arrived, before its body is read (and before "100 Continue"): the place for
// authorisation and rate limits. True lets the request pass; false makes `out` the answer, and the body is discarded.
// Headers added by a gate that lets the request pass are kept.
using Gate = std::function<bool(const Request& in, Response& out)>;

// What a stream sees on each call.
struct StreamInput {
  std::string_view data;  // decoded body bytes not yet consumed; kBodyPaddingBytes readable bytes follow
  bool last = false;      // the body ends with `data`
  bool full = false;      // `data` cannot grow any more: consume something, or the stream is aborted
};

// Handles one request piece by piece, in constant memory. Made when the head has arrived, destroyed after the last call
// or as soon as the client has gone (the destructor is the only notice of that).
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // Consumes a prefix of `in.data` and returns its length; the rest is shown again, at the same or another address,
  // with more behind it. Called when there are new bytes, once with `last` (again while it consumes only a part), and
  // after back-pressure has eased when bytes were left over or call_again() was asked for. Bytes left over after `last`
  // that the handler does not consume are dropped. Status and headers may be set until the first byte has been written
  // to `out.body()`. Small answers that are complete at once go out with a Content-Length, others chunked (to HTTP/1.0
  // clients: ended by close).
  virtual size_t on_body(const StreamInput& in, Response& out) = 0;
};
// May set status, content type and headers. Returning null makes `out` the answer, like a gate's false.
using StreamFactory = std::function<std::unique_ptr<StreamHandler>(const Request& in, Response& out)>;

// NDJSON and other line protocols: cuts the body at "\n" (a "\r" before it is dropped, empty lines are skipped, the
// last line needs no "\n"). Pauses by itself while the client does not take the answers.
class LineStream : public StreamHandler {
 public:
  // One line without its end; kBodyPaddingBytes readable bytes follow. `number` counts all lines from 1.
  virtual void on_line(std::string_view line, uint64_t number, Response& out) = 0;
  // A line longer than the route's stream_buffer_bytes; it is skipped to its end.
  virtual void on_overlong_line(uint64_t number, Response& out) = 0;
  // After the last line.
  virtual void on_end(Response&) {}

  size_t on_body(const StreamInput& in, Response& out) final;

 private:
  uint64_t number_ = 0;
  bool skipping_ = false;
};

struct RouteOptions {
  size_t body_bytes_max = 1 << 20;          // larger bodies: 413. Streams: the sum, 0 = unlimited
  size_t stream_buffer_bytes = 256 * 1024;  // streams: the longest piece the handler may wait for
  Gate gate = {};                           // may be empty
  // Behind the gate a query parameter with another name is refused with 400. Nothing: any may come.
  std::optional<std::vector<std::string>> query_names = {};
};

struct HttpLimits {
  size_t request_line_bytes_max = 8 * 1024;    // 414 beyond
  size_t head_bytes_max = 32 * 1024;           // request line and headers: 431 beyond
  size_t header_count_max = 100;               // 431 beyond
  size_t output_bytes_high = 256 * 1024;       // unsent answer bytes of a connection above which it is not read
  size_t discard_bytes_max = 256 * 1024;       // of a refused body; beyond it the connection is closed
  size_t connections_max = 10'000;             // further ones are closed at once
  size_t connections_per_address_max = 1'000;  // of one IPv4 address or IPv6 /64; unix sockets are exempt
  size_t in_flight_max = 1'000;                // requests begun and not answered at the end of a turn: 503 beyond
  // Of the bodies that arrive whole and are not answered, together: 503 beyond. 0 = unlimited. Small ones do not count.
  size_t body_bytes_total_max = 0;
  uint64_t requests_per_connection_max = 0;  // then "Connection: close"; 0 = unlimited
  int idle_timeout_ms = 75'000;              // between requests
  int head_timeout_ms = 10'000;  // from the first byte of a request to the end of its head, and TLS handshake
  // A body, and the reading of an answer, must each move on by at least progress_bytes (or to its end) within its
  // timeout, so one byte now and then does not hold a connection.
  int body_timeout_ms = 15'000;
  int stream_timeout_ms = 120'000;  // the same for stream routes, where any byte counts as progress
  int write_timeout_ms = 30'000;
  size_t progress_bytes = 4 * 1024;
};

struct HttpServerOptions {
  std::vector<ListenOptions> listen = {ListenOptions{}};
  int threads = 1;
  int backlog = 1'024;
  HttpLimits limits = {};
};

// Counts since start, summed over loops; reading is approximate while the server runs.
using HttpServerStats = ServerStats;

class HttpServer {
 public:
  explicit HttpServer(HttpServerOptions options = {});
  ~HttpServer();  // stop(0)
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // A pattern is an exact path, or has segments `{name}` that match one non-empty segment, or ends in `{name...}` that
  // matches the rest (also none). Literal segments win over `{}`. At most four parameters. GET routes answer HEAD too.
  // A malformed or repeated pattern is a programming error: asserted. Parameters reach the handler percent-decoded; a
  // bad escape answers 400.
  void route(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  void get(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    route(Method::kGet, pattern, std::move(handler), std::move(options));
  }
  void post(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    route(Method::kPost, pattern, std::move(handler), std::move(options));
  }
  void stream(Method method, std::string_view pattern, StreamFactory factory, RouteOptions options = {});

  // What was added so far, as "GET /v1/labels/{kind}/{value...}": to hold a description of the API against.
  const std::vector<std::string>& routes() const;

  // Asks for the `query_names` of each route added so far, named as in routes(). Before start() only.
  using QueryNames = std::function<std::optional<std::vector<std::string>>(const std::string& route)>;
  void name_queries(const QueryNames& names_of);

  // Runs `task` about every `interval_ms` (at least 1) on the first loop's thread, between requests: the engine's tick,
  // group commits. Before start() only.
  void every(int interval_ms, std::function<void()> task);
  // Runs `task` after each turn of the first loop that handled requests, before their answers are written: the place to
  // make a whole batch durable at once. Before start() only.
  void after_batch(std::function<void()> task);

  // Counters and gauges with the prefix `tamis_http_`, read from the server when they are shown: the registry must not
  // be shown any more once the server is destroyed. One server per registry. Before start() only.
  void register_metrics(base::MetricRegistry& registry);

  // Binds all addresses and starts the loop threads. Errors name the address and the system's reason.
  base::Status start();
  // What was bound, in the order of `listen`, with the real port: "127.0.0.1:43211", "unix:/run/tamis.sock".
  const std::vector<std::string>& addresses() const;
  // Port of the first TCP address, 0 when there is none.
  uint16_t port() const;

  // Runs `task` soon on the first loop's thread. False when the server is not running (the task is then dropped).
  // Tasks posted earlier run earlier.
  bool post_task(std::function<void()> task);

  // Stops listening, lets requests in progress finish for up to `drain_ms` (their answers say "Connection: close"),
  // closes everything and joins the threads. Idempotent; not for two threads at once.
  void stop(int drain_ms);

  HttpServerStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::net
