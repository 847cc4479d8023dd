// HttpSession: HTTP's Session (net/session.h), the whole state machine of one server connection.
//
// Memory: a session at rest between requests holds no buffer; while bytes of a request or an answer are pending it
// borrows an Exchange from the loop's pool, so a loop that serves thousands of connections works in the same few warm
// buffers. Not thread-safe; all sessions of a loop share one SessionEnv.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_parser.h"
#include "net/http_router.h"
#include "net/http_server.h"
#include "net/session.h"

namespace tamis::net {

// The buffers of one request and its answer. Internal to HttpSession.
struct Exchange {
  std::unique_ptr<char[]> buffer;  // [begin, end) arrived and is not yet consumed
  size_t capacity = 0;             // without the padding behind it
  size_t begin = 0, end = 0;
  size_t body_begin = 0, body_end = 0;  // decoded body bytes not yet consumed
  size_t raw = 0;                       // first byte not yet decoded (or of the next request)
  HeadParser parser;
  ChunkDecoder chunks;
  Request request;
  Response response;
  const Route* route = nullptr;
  std::unique_ptr<StreamHandler> stream;
  std::string out;
  size_t out_sent = 0;
};

// Keeps exchanges for reuse; large buffers are not kept.
class ExchangePool {
 public:
  explicit ExchangePool(size_t keep_max = 256) : keep_max_(keep_max) {}
  std::unique_ptr<Exchange> take();
  void give_back(std::unique_ptr<Exchange> exchange);

 private:
  size_t keep_max_;
  std::vector<std::unique_ptr<Exchange>> free_;
};

// Requests begun and not answered, over all loops of a server.
class InFlight {
 public:
  virtual ~InFlight() = default;
  virtual bool try_add() = 0;  // false at the limit
  virtual void add() = 0;      // work that has already begun counts beyond the limit
  virtual void remove() = 0;
  // Bytes of bodies that are still to be answered; false where they would be too many.
  virtual bool try_hold(size_t) { return true; }
  virtual void release(size_t) {}
};

// What the sessions of one loop share.
struct SessionEnv {
  const Router* router = nullptr;
  const HttpLimits* limits = nullptr;
  ExchangePool* pool = nullptr;
  InFlight* in_flight = nullptr;
  HttpServerStats* stats = nullptr;  // this loop's own
  uint64_t now_ms = 0;               // set by the loop before it calls any session
  std::string date = "Thu, 01 Jan 1970 00:00:00 GMT";
  bool draining = false;  // finish what is in progress, then close
};

class HttpSession final : public Session {
 public:
  explicit HttpSession(SessionEnv& env) : env_(env) {}
  ~HttpSession() override { close(); }
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // Begins a new connection on this object. `make_deferred` gives the reply object for Response::defer(), told the
  // number of the request, which complete_deferred() must repeat.
  void open(const PeerAddress* peer, bool tls, std::function<std::shared_ptr<DeferredReply>(uint64_t)> make_deferred);
  // Releases everything; calls no handler, but destroys a running stream's. Idempotent.
  void close() override;

  std::span<char> read_space() override;
  void received(size_t bytes) override;
  void received_eof() override;

  std::string_view output() const override;
  void sent(size_t bytes) override;

  bool wants_read() const override;
  bool wants_write() const override { return exchange_ && exchange_->out_sent < exchange_->out.size(); }
  bool finished() const override { return state_ == State::kClosed; }
  bool lingering() const override { return state_ == State::kLinger; }
  bool idle() const override { return state_ == State::kHead && !exchange_; }

  uint64_t deadline_ms() const override { return deadline_ms_; }
  void on_timeout() override;
  void drain() override;

  void complete_deferred(uint64_t request_number, int status, std::string_view content_type, std::string&& body);

 private:
  enum class State : uint8_t { kHead, kBody, kStream, kDiscard, kDeferred, kFlush, kLinger, kClosed };
  enum class Step : uint8_t { kAgain, kWait };
  enum class Phase : uint8_t { kIdle, kHead, kBody, kStream, kDeferred, kWrite, kLinger };

  void process();
  Step step_head();
  void begin_request();
  bool accept_request(Exchange& x);
  bool find_route(Exchange& x);
  bool check_query(Exchange& x);
  Step step_body();
  Step step_stream();
  Step step_discard();
  // Decodes what has arrived and sets body_complete_. False when the request has been answered with an error.
  bool decode_body();
  uint64_t body_bytes_max() const;
  bool hold_body(uint64_t bytes);

  void run_handler();
  void drop_request();
  void answer();
  void answer_error(const HttpError& error);
  void refuse_request();
  void append_head(std::string_view framing);
  void stream_output(bool ended);
  void end_request();
  void end_connection(bool linger);
  void abort();

  size_t pending_output() const { return exchange_->out.size() - exchange_->out_sent; }
  bool output_is_high() const { return exchange_ && pending_output() >= env_.limits->output_bytes_high; }
  void compact();
  void grow(size_t capacity);
  void settle(size_t progress_bytes);
  Phase phase() const;
  uint64_t timeout_ms(Phase phase) const;
  void leave_flight();

  SessionEnv& env_;
  std::unique_ptr<Exchange> exchange_;
  const PeerAddress* peer_ = nullptr;
  std::function<std::shared_ptr<DeferredReply>(uint64_t)> make_deferred_;
  std::function<std::shared_ptr<DeferredReply>()> make_deferred_now_;
  State state_ = State::kClosed;
  Phase phase_ = Phase::kIdle;
  bool tls_ = false;
  bool eof_ = false;
  bool close_after_ = false;  // of the request in progress
  bool linger_ = false;       // after kFlush
  bool in_flight_ = false;    // counted in env_.in_flight
  bool body_complete_ = false;
  bool stream_head_sent_ = false;
  bool stream_again_ = false;  // the handler is owed a call even without new bytes
  uint64_t request_number_ = 0;
  uint64_t phase_request_ = 0;  // request_number_ when phase_ began
  uint64_t body_left_ = 0;      // of a Content-Length body: bytes still to be decoded
  uint64_t body_total_ = 0;     // decoded bytes of this request
  uint64_t body_held_ = 0;      // of the sum that all bodies may have together
  uint64_t linger_bytes_ = 0;
  uint64_t progress_ = 0;  // bytes since the deadline was last moved
  uint64_t deadline_ms_ = 0;
};

}  // namespace tamis::net
