#include "net/http_session.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace tamis::net {
namespace {

constexpr size_t kQueryNameShownMax = 100;
constexpr size_t kBufferBytes = 16 * 1024;       // of a fresh exchange
constexpr size_t kKeptBufferBytes = 128 * 1024;  // larger ones are freed after use
constexpr size_t kReadSpaceMin = 4 * 1024;       // worth a system call
constexpr size_t kStreamReadSpaceMin = 32 * 1024;
constexpr size_t kReadSpaceMax = 256 * 1024;  // of one call, so that one connection does not starve the others
constexpr uint64_t kDeferredTimeoutMs = 120'000;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

std::unique_ptr<Exchange> ExchangePool::take() {
  if (free_.empty()) {
    auto exchange = std::make_unique<Exchange>();
    exchange->buffer.reset(new char[kBufferBytes + kBodyPaddingBytes]);
    exchange->capacity = kBufferBytes;
    return exchange;
  }
  auto exchange = std::move(free_.back());
  free_.pop_back();
  return exchange;
}

void ExchangePool::give_back(std::unique_ptr<Exchange> exchange) {
  Exchange& x = *exchange;
  if (free_.size() >= keep_max_ || x.capacity > kKeptBufferBytes || x.out.capacity() > 4 * kKeptBufferBytes ||
      x.response.body().capacity() > 4 * kKeptBufferBytes)
    return;
  x.begin = x.end = x.raw = x.body_begin = x.body_end = 0;
  x.out.clear();
  x.out_sent = 0;
  x.route = nullptr;
  x.stream.reset();
  free_.push_back(std::move(exchange));
}

void HttpSession::open(const PeerAddress* peer, bool tls,
                       std::function<std::shared_ptr<DeferredReply>(uint64_t)> make_deferred) {
  close();
  peer_ = peer;
  tls_ = tls;
  make_deferred_ = std::move(make_deferred);
  make_deferred_now_ = [this] { return make_deferred_(request_number_); };
  state_ = State::kHead;
  eof_ = close_after_ = linger_ = false;
  linger_bytes_ = 0;
  request_number_ = 0;
  phase_ = Phase::kIdle;
  phase_request_ = 0;
  progress_ = 0;
  deadline_ms_ = env_.now_ms + timeout_ms(Phase::kIdle);
}

void HttpSession::close() {
  leave_flight();
  if (exchange_) {
    exchange_->stream.reset();
    env_.pool->give_back(std::move(exchange_));
  }
  state_ = State::kClosed;
}

// --- the input buffer ---

std::span<char> HttpSession::read_space() {
  if (!exchange_) {
    exchange_ = env_.pool->take();
    exchange_->parser.reset();
    exchange_->request.clear();
  }
  Exchange& x = *exchange_;
  if (state_ == State::kLinger) x.begin = x.end = x.raw = x.body_begin = x.body_end = 0;
  size_t want = state_ == State::kStream ? kStreamReadSpaceMin : kReadSpaceMin;
  if (x.capacity - x.end < want) compact();
  if (x.capacity - x.end < want) grow(x.capacity * 2);
  return {x.buffer.get() + x.end, std::min(x.capacity - x.end, kReadSpaceMax)};
}

// Moves what is still needed to the front of the buffer.
void HttpSession::compact() {
  Exchange& x = *exchange_;
  char* base = x.buffer.get();
  bool in_request = state_ == State::kBody || state_ == State::kStream || state_ == State::kDiscard;
  size_t head = in_request ? x.parser.head_bytes() : x.end - x.begin;
  if (x.begin > 0) {
    std::memmove(base, base + x.begin, head);
    x.request.rebase(base + x.begin, head, base);
  }
  if (in_request) {
    size_t body = x.body_end - x.body_begin, rest = x.end - x.raw;
    std::memmove(base + head, base + x.body_begin, body);
    std::memmove(base + head + body, base + x.raw, rest);
    x.body_begin = head;
    x.body_end = x.raw = head + body;
    x.end = x.raw + rest;
  } else {
    x.end = head;
  }
  x.begin = 0;
}

void HttpSession::grow(size_t capacity) {
  Exchange& x = *exchange_;
  std::unique_ptr<char[]> larger(new char[capacity + kBodyPaddingBytes]);
  std::memcpy(larger.get(), x.buffer.get(), x.end);
  x.request.rebase(x.buffer.get(), x.end, larger.get());
  x.buffer = std::move(larger);
  x.capacity = capacity;
}

void HttpSession::received(size_t bytes) {
  Exchange& x = *exchange_;
  TAMIS_ASSERT(bytes <= x.capacity - x.end);
  env_.stats->read_bytes += bytes;
  if (state_ == State::kLinger) {
    linger_bytes_ += bytes;
    if (linger_bytes_ > kLingerBytesMax) state_ = State::kClosed;
  } else {
    x.end += bytes;
    process();
  }
  settle(bytes);
}

void HttpSession::received_eof() {
  eof_ = true;
  switch (state_) {
    case State::kBody:
    case State::kDiscard:
      ++env_.stats->aborted;
      end_connection(false);
      break;
    case State::kStream:
      if (!body_complete_) {
        ++env_.stats->aborted;
        end_connection(false);
      }
      break;
    case State::kLinger:
      state_ = State::kClosed;
      break;
    default:
      process();
  }
  settle(0);
}

std::string_view HttpSession::output() const {
  if (!exchange_) return {};
  return std::string_view(exchange_->out).substr(exchange_->out_sent);
}

void HttpSession::sent(size_t bytes) {
  Exchange& x = *exchange_;
  TAMIS_ASSERT(bytes <= pending_output());
  env_.stats->written_bytes += bytes;
  x.out_sent += bytes;
  if (x.out_sent == x.out.size()) {
    x.out.clear();
    x.out_sent = 0;
    if (state_ == State::kFlush) state_ = linger_ && !eof_ ? State::kLinger : State::kClosed;
  } else if (x.out_sent > kKeptBufferBytes && x.out_sent > x.out.size() / 2) {
    x.out.erase(0, x.out_sent);
    x.out_sent = 0;
  }
  process();
  settle(bytes);
}

bool HttpSession::wants_read() const {
  switch (state_) {
    case State::kHead:
    case State::kBody:
    case State::kDiscard:
      return !eof_ && !output_is_high();
    case State::kStream:
      return !eof_ && !output_is_high() && !stream_again_ && !body_complete_;
    case State::kLinger:
      return !eof_;
    default:
      return false;
  }
}

// --- the state machine ---

void HttpSession::process() {
  for (Step step = Step::kAgain; step == Step::kAgain;) {
    switch (state_) {
      case State::kHead:
        step = step_head();
        break;
      case State::kBody:
        step = step_body();
        break;
      case State::kStream:
        step = step_stream();
        break;
      case State::kDiscard:
        step = step_discard();
        break;
      default:
        step = Step::kWait;
    }
  }
}

HttpSession::Step HttpSession::step_head() {
  if (!exchange_ || exchange_->begin == exchange_->end) {
    if (eof_ || env_.draining) end_connection(false);
    return Step::kWait;
  }
  if (output_is_high()) return Step::kWait;
  Exchange& x = *exchange_;
  const HttpLimits& limits = *env_.limits;
  HeadLimits head_limits{limits.request_line_bytes_max, limits.head_bytes_max, limits.header_count_max};
  switch (x.parser.parse(x.buffer.get() + x.begin, x.end - x.begin, head_limits, x.request)) {
    case ParseState::kMore:
      if (eof_) {
        ++env_.stats->aborted;
        end_connection(false);
      }
      return Step::kWait;
    case ParseState::kError:
      ++request_number_;
      answer_error(x.parser.error());
      return Step::kWait;
    case ParseState::kDone:
      break;
  }
  begin_request();
  return Step::kAgain;
}

void HttpSession::begin_request() {
  Exchange& x = *exchange_;
  ++request_number_;
  x.raw = x.body_begin = x.body_end = x.begin + x.parser.head_bytes();
  x.chunks.reset();
  x.response.clear();
  x.request.peer_ = peer_;
  x.request.tls_ = tls_;
  x.request.now_ms_ = env_.now_ms;
  body_left_ = x.parser.content_length();
  body_total_ = 0;
  body_complete_ = !x.parser.chunked() && body_left_ == 0;
  stream_head_sent_ = stream_again_ = false;
  uint64_t requests_max = env_.limits->requests_per_connection_max;
  close_after_ = !x.parser.keep_alive() || (requests_max != 0 && request_number_ >= requests_max);
  if (!accept_request(x)) return refuse_request();
  if (x.parser.expect_continue() && !body_complete_ && x.raw == x.end) x.out.append(kContinue);
  state_ = x.stream ? State::kStream : State::kBody;
  stream_again_ = x.stream != nullptr && body_complete_;
}

bool HttpSession::find_route(Exchange& x) {
  Router::Match match = env_.router->find(x.request);
  x.route = match.route;
  if (match.bad_escape) {
    x.response.set_error(400, "bad_request", "the path has a bad percent-escape");
    return false;
  }
  if (match.route != nullptr) return true;
  if (!match.path_known) {
    x.response.set_error(404, "not_found", "there is nothing at this path");
    return false;
  }
  std::string allowed;
  for (unsigned i = 0; i <= static_cast<unsigned>(Method::kOptions); ++i) {
    if ((match.methods & (1u << i)) == 0) continue;
    if (!allowed.empty()) allowed += ", ";
    allowed += method_name(static_cast<Method>(i));
  }
  x.response.set_error(405, "method_not_allowed", "this path takes " + allowed);
  x.response.add_header("Allow", allowed);
  return false;
}

bool HttpSession::check_query(Exchange& x) {
  const auto& names = x.route->options.query_names;
  if (!names || x.request.query().empty()) return true;
  const auto unknown = x.request.query_name_besides(*names);
  if (!unknown) return true;
  std::string known;
  for (const std::string& name : *names) known += (known.empty() ? "" : ", ") + name;
  x.response.set_error(400, "invalid",
                       "?" + unknown->substr(0, kQueryNameShownMax) + "=: no such parameter here; this path takes " +
                           (known.empty() ? "none" : known));
  return false;
}

// False: x.response is the answer.
bool HttpSession::accept_request(Exchange& x) {
  if (!find_route(x)) return false;
  const RouteOptions& options = x.route->options;
  if (options.gate && !options.gate(x.request, x.response)) return false;
  if (!check_query(x)) return false;
  if (body_left_ > body_bytes_max()) {
    x.response.set_error(413, "too_large", "the body is larger than this path takes");
    return false;
  }
  if (!x.route->stream && !hold_body(body_left_)) {
    x.response.set_error(503, "overloaded", "too many bytes of requests are in progress");
    x.response.add_header("Retry-After", "1");
    return false;
  }
  // Whole requests are answered before anything else happens, only unfinished ones are in flight.
  bool arrived = !x.parser.chunked() && body_left_ <= x.end - x.raw;
  if (!arrived) {
    if (!env_.in_flight->try_add()) {
      x.response.set_error(503, "overloaded", "too many requests are in progress");
      x.response.add_header("Retry-After", "1");
      return false;
    }
    in_flight_ = true;
  }
  if (x.route->stream) {
    x.stream = x.route->stream(x.request, x.response);
    if (x.stream == nullptr) return false;
  }
  return true;
}

uint64_t HttpSession::body_bytes_max() const {
  const Route& route = *exchange_->route;
  return route.stream && route.options.body_bytes_max == 0 ? UINT64_MAX : route.options.body_bytes_max;
}

// Sends the answer that is already known and gets rid of the body that may follow.
void HttpSession::refuse_request() {
  Exchange& x = *exchange_;
  bool body_may_not_come = x.parser.expect_continue() && x.raw == x.end;
  bool body_is_long = !x.parser.chunked() && body_left_ > env_.limits->discard_bytes_max;
  if (!body_complete_ && (body_may_not_come || body_is_long)) close_after_ = true;
  answer();
  leave_flight();
  if (body_complete_)
    end_request();
  else if (close_after_)
    end_connection(true);
  else
    state_ = State::kDiscard;
}

// --- ends ---

void HttpSession::end_request() {
  Exchange& x = *exchange_;
  leave_flight();
  x.begin = x.raw;
  if (close_after_ || env_.draining) return end_connection(x.begin != x.end);
  if (x.begin == x.end) x.begin = x.end = 0;
  x.parser.reset();
  x.request.clear();
  state_ = State::kHead;
}

void HttpSession::end_connection(bool linger) {
  leave_flight();
  if (exchange_) exchange_->stream.reset();
  linger_ = linger;
  if (wants_write())
    state_ = State::kFlush;
  else
    state_ = linger && !eof_ ? State::kLinger : State::kClosed;
}

void HttpSession::abort() {
  ++env_.stats->aborted;
  leave_flight();
  if (exchange_) exchange_->stream.reset();
  state_ = State::kClosed;
}

void HttpSession::leave_flight() {
  if (in_flight_) env_.in_flight->remove();
  in_flight_ = false;
  if (body_held_ > 0) env_.in_flight->release(body_held_);
  body_held_ = 0;
}

void HttpSession::drain() {
  if (idle()) end_connection(false);
}

// --- time ---

HttpSession::Phase HttpSession::phase() const {
  if (wants_write()) return Phase::kWrite;
  switch (state_) {
    case State::kBody:
    case State::kDiscard:
      return Phase::kBody;
    case State::kStream:
      return Phase::kStream;
    case State::kDeferred:
      return Phase::kDeferred;
    case State::kLinger:
      return Phase::kLinger;
    default:
      return exchange_ ? Phase::kHead : Phase::kIdle;
  }
}

uint64_t HttpSession::timeout_ms(Phase phase) const {
  const HttpLimits& limits = *env_.limits;
  switch (phase) {
    case Phase::kIdle:
      return static_cast<uint64_t>(limits.idle_timeout_ms);
    case Phase::kHead:
      return static_cast<uint64_t>(limits.head_timeout_ms);
    case Phase::kBody:
      return static_cast<uint64_t>(limits.body_timeout_ms);
    case Phase::kStream:
      return static_cast<uint64_t>(limits.stream_timeout_ms);
    case Phase::kWrite:
      return static_cast<uint64_t>(limits.write_timeout_ms);
    case Phase::kDeferred:
      return kDeferredTimeoutMs;
    case Phase::kLinger:
      break;
  }
  return kLingerTimeoutMs;
}

// After every event: gives an idle connection's buffers back and moves the deadline. A deadline moves when a phase
// begins (so a head has a fixed time, however it trickles in), and in it only by enough progress.
void HttpSession::settle(size_t progress_bytes) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kHead && exchange_ && exchange_->begin == exchange_->end && !wants_write())
    env_.pool->give_back(std::move(exchange_));
  Phase now = phase();
  progress_ += progress_bytes;
  bool renew = now != phase_ || request_number_ != phase_request_;
  if (now == Phase::kBody || now == Phase::kWrite) renew = renew || progress_ >= env_.limits->progress_bytes;
  if (now == Phase::kStream) renew = renew || progress_bytes > 0;
  if (!renew) return;
  phase_ = now;
  phase_request_ = request_number_;
  progress_ = 0;
  deadline_ms_ = env_.now_ms + timeout_ms(now);
}

void HttpSession::on_timeout() {
  if (state_ == State::kClosed) return;
  if (phase_ != Phase::kLinger) ++env_.stats->timeouts;
  switch (phase_) {
    case Phase::kIdle:
      end_connection(false);
      break;
    case Phase::kHead:
      ++request_number_;
      answer_error({408, "timeout", "the request did not arrive in time"});
      break;
    case Phase::kBody:
    case Phase::kStream:
      if (state_ == State::kDiscard)
        end_connection(false);
      else
        answer_error({408, "timeout", "the request's body did not arrive in time"});
      break;
    case Phase::kDeferred:
      answer_error({503, "overloaded", "the answer was not ready in time"});
      break;
    case Phase::kWrite:
      abort();
      break;
    case Phase::kLinger:
      state_ = State::kClosed;
  }
  settle(0);
}

}  // namespace tamis::net
