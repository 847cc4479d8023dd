// What a session does with the body of a request: decoding, handlers that take it whole, and streams.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "net/http_session.h"

namespace tamis::net {

namespace {
constexpr uint64_t kUncountedBodyBytes = 64 * 1024;
constexpr size_t kLargeBufferBytes = 256 * 1024;  // is not held while an answer is waited for
constexpr size_t kRoomBytes = 16 * 1024;
}  // namespace

bool HttpSession::decode_body() {
  Exchange& x = *exchange_;
  if (x.parser.chunked()) {
    size_t before = x.body_end;
    ParseState state = x.chunks.decode(x.buffer.get(), x.body_end, x.raw, x.end);
    body_total_ += x.body_end - before;
    if (state == ParseState::kError) {
      if (state_ == State::kDiscard)
        end_connection(true);  // the answer is out already
      else
        answer_error(x.chunks.error());
      return false;
    }
    body_complete_ = state == ParseState::kDone;
  } else {
    auto take = static_cast<size_t>(std::min<uint64_t>(body_left_, x.end - x.raw));
    x.body_end += take;
    x.raw += take;
    body_left_ -= take;
    body_total_ += take;
    body_complete_ = body_left_ == 0;
  }
  if (state_ != State::kDiscard && body_total_ > body_bytes_max()) {
    answer_error({413, "too_large", "the body is larger than this path takes"});
    return false;
  }
  if (state_ == State::kBody && !hold_body(body_total_)) {
    answer_error({503, "overloaded", "too many bytes of requests are in progress"});
    return false;
  }
  return true;
}

// Counts a body among those in progress. One with a length counts whole before it arrives.
bool HttpSession::hold_body(uint64_t bytes) {
  if (bytes <= kUncountedBodyBytes || bytes <= body_held_) return true;
  uint64_t more = bytes - body_held_;
  if (!env_.in_flight->try_hold(more)) return false;
  body_held_ += more;
  return true;
}

HttpSession::Step HttpSession::step_body() {
  if (!decode_body() || !body_complete_) return Step::kWait;
  run_handler();
  return state_ == State::kDeferred ? Step::kWait : Step::kAgain;
}

void HttpSession::run_handler() {
  Exchange& x = *exchange_;
  x.request.body_ = {x.buffer.get() + x.body_begin, x.body_end - x.body_begin};
  x.response.make_deferred_ = &make_deferred_now_;
  x.route->handler(x.request, x.response);
  x.response.make_deferred_ = nullptr;
  if (x.response.deferred_) {
    if (!in_flight_) env_.in_flight->add();
    in_flight_ = true;
    state_ = State::kDeferred;
    x.response.deferred_.reset();  // only the handler keeps it: dropping it answers
    if (x.capacity > kLargeBufferBytes) drop_request();
    return;
  }
  answer();
  end_request();
}

// The handler has seen the request, and its answer comes later: a large body need not wait for it. What follows stays.
void HttpSession::drop_request() {
  Exchange& x = *exchange_;
  const size_t rest = x.end - x.raw;
  const size_t capacity = rest + kRoomBytes;
  std::unique_ptr<char[]> smaller(new char[capacity + kBodyPaddingBytes]);
  std::memcpy(smaller.get(), x.buffer.get() + x.raw, rest);
  x.buffer = std::move(smaller);
  x.capacity = capacity;
  // Nothing of it may be looked at any more but what shapes the answer.
  const auto [method, http_1_0] = std::pair(x.request.method_, x.request.http_1_0_);
  x.request.clear();
  x.request.method_ = method, x.request.http_1_0_ = http_1_0;
  x.begin = x.raw = x.body_begin = x.body_end = 0;
  x.end = rest;
}

void HttpSession::complete_deferred(uint64_t request_number, int status, std::string_view content_type,
                                    std::string&& body) {
  if (state_ != State::kDeferred || request_number != request_number_) return;
  Response& response = exchange_->response;
  response.clear();
  response.set_status(status);
  response.set_content_type(content_type);
  response.body_ = std::move(body);
  answer();
  end_request();
  process();
  settle(0);
}

HttpSession::Step HttpSession::step_discard() {
  Exchange& x = *exchange_;
  if (!decode_body()) return Step::kWait;
  x.body_begin = x.body_end;
  if (body_complete_) {
    end_request();
    return Step::kAgain;
  }
  if (body_total_ > env_.limits->discard_bytes_max) end_connection(true);
  return Step::kWait;
}

HttpSession::Step HttpSession::step_stream() {
  if (output_is_high()) return Step::kWait;
  Exchange& x = *exchange_;
  bool was_complete = body_complete_;
  size_t before = x.body_end;
  if (!body_complete_ && !decode_body()) return Step::kWait;
  if (x.body_end == before && body_complete_ == was_complete && !stream_again_) return Step::kWait;
  StreamInput in;
  in.data = {x.buffer.get() + x.body_begin, x.body_end - x.body_begin};
  in.last = body_complete_;
  in.full = !in.last && in.data.size() >= x.route->options.stream_buffer_bytes;
  x.response.room_bytes_ = env_.limits->output_bytes_high - pending_output();
  x.response.call_again_ = false;
  size_t consumed = x.stream->on_body(in, x.response);
  TAMIS_ASSERT(consumed <= in.data.size());
  x.body_begin += consumed;
  size_t left = in.data.size() - consumed;
  bool stuck = consumed == 0 && x.response.body_.empty();
  // A handler that asks to be called again without having done anything would spin.
  bool again = x.response.call_again_ && !(stuck && pending_output() == 0);
  bool paused = again || (left > 0 && x.response.room_bytes() == 0) || left >= x.route->options.stream_buffer_bytes;
  bool ended = x.response.finished_ || (in.last && !again && (left == 0 || stuck));
  if (!ended && in.full && stuck && !again) {
    answer_error({413, "too_large", "a piece of the body is larger than this path takes"});
    return Step::kWait;
  }
  stream_output(ended);
  if (!ended) {
    stream_again_ = in.last || paused;
    return stream_again_ && !stuck ? Step::kAgain : Step::kWait;
  }
  x.stream.reset();
  leave_flight();
  if (!body_complete_) {
    if (close_after_) {
      end_connection(true);
      return Step::kWait;
    }
    body_total_ = 0;
    state_ = State::kDiscard;
  } else {
    end_request();
  }
  return Step::kAgain;
}

}  // namespace tamis::net
