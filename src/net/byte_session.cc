#include "net/byte_session.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace tamis::net {
namespace {

constexpr size_t kBufferBytes = 16 * 1024;
constexpr size_t kReadSpaceMin = 4 * 1024;
constexpr size_t kReadSpaceMax = 256 * 1024;
constexpr size_t kKeptOutBytes = 64 * 1024;

}  // namespace

void ByteSession::open(const PeerAddress& peer, SessionLink link) {
  close();
  peer_ = &peer;
  link_ = std::move(link);
  state_ = State::kOpen;
  phase_ = Phase::kIdle;
  eof_ = eof_told_ = waiting_ = renew_ = false;
  linger_bytes_ = progress_ = request_deadline_ms_ = 0;
  deadline_ms_ = env_.now_ms + static_cast<uint64_t>(env_.limits.idle_timeout_ms);
  on_open();
}

void ByteSession::close() {
  if (state_ != State::kClosed || peer_ != nullptr) on_close();
  state_ = State::kClosed;
  peer_ = nullptr;
  link_ = {};
  waiting_ = false;
  ++wait_number_;
  out_.clear();
  if (out_.capacity() > kKeptOutBytes) out_.shrink_to_fit();
  out_sent_ = 0;
  release_buffer();
}

void ByteSession::release_buffer() {
  if (capacity_ == kBufferBytes && env_.spare == nullptr) env_.spare = std::move(buffer_);
  buffer_.reset();
  capacity_ = begin_ = end_ = 0;
}

// --- bytes ---

std::span<char> ByteSession::read_space() {
  if (buffer_ == nullptr) {
    buffer_ = env_.spare != nullptr ? std::move(env_.spare) : std::unique_ptr<char[]>(new char[kBufferBytes]);
    capacity_ = kBufferBytes;
  }
  if (state_ == State::kLinger) begin_ = end_ = 0;
  if (capacity_ - end_ < kReadSpaceMin) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ - end_ < kReadSpaceMin) {
    std::unique_ptr<char[]> larger(new char[capacity_ * 2]);
    std::memcpy(larger.get(), buffer_.get(), end_);
    buffer_ = std::move(larger);
    capacity_ *= 2;
  }
  return {buffer_.get() + end_, std::min(capacity_ - end_, kReadSpaceMax)};
}

void ByteSession::received(size_t bytes) {
  TAMIS_ASSERT(bytes <= capacity_ - end_);
  env_.stats.read_bytes += bytes;
  if (state_ == State::kLinger) {
    linger_bytes_ += bytes;
    if (linger_bytes_ > kLingerBytesMax) state_ = State::kClosed;
  } else {
    end_ += bytes;
    process();
  }
  settle(bytes);
}

void ByteSession::received_eof() {
  eof_ = true;
  if (state_ == State::kLinger) state_ = State::kClosed;
  process();
  settle(0);
}

void ByteSession::sent(size_t bytes) {
  TAMIS_ASSERT(bytes <= out_.size() - out_sent_);
  env_.stats.written_bytes += bytes;
  out_sent_ += bytes;
  if (out_sent_ == out_.size()) {
    out_.clear();
    if (out_.capacity() > kKeptOutBytes) out_.shrink_to_fit();
    out_sent_ = 0;
    // Closing a socket with unread bytes would take the answer away from the peer.
    if (state_ == State::kFlush) state_ = eof_ ? State::kClosed : State::kLinger;
  }
  process();
  settle(bytes);
}

bool ByteSession::wants_read() const {
  if (eof_ || state_ == State::kClosed || state_ == State::kFlush) return false;
  if (state_ == State::kLinger) return true;
  return !waiting_ && out_.size() - out_sent_ < env_.limits.output_bytes_high;
}

// --- the state machine ---

void ByteSession::process() {
  size_t consumed = 1;
  while (state_ == State::kOpen && !waiting_ && begin_ < end_ && consumed > 0 &&
         out_.size() - out_sent_ < env_.limits.output_bytes_high) {
    consumed = on_input({buffer_.get() + begin_, end_ - begin_});
    TAMIS_ASSERT(consumed <= end_ - begin_);
    begin_ += consumed;
  }
  if (begin_ == end_) begin_ = end_ = 0;
  if (state_ != State::kOpen || waiting_) return;
  if (consumed == 0 && end_ - begin_ >= env_.limits.input_bytes_max) {
    on_overrun();
    finish();
  } else if (eof_ && (begin_ == end_ || consumed == 0)) {
    end_of_input();
  } else if (env_.draining && idle()) {
    finish();
  }
}

void ByteSession::end_of_input() {
  if (!eof_told_) {
    eof_told_ = true;
    if (begin_ != end_ || in_request()) ++env_.stats.aborted;
    on_eof(buffer_ == nullptr ? std::string_view() : std::string_view(buffer_.get() + begin_, end_ - begin_));
    begin_ = end_ = 0;
    if (waiting_) return;
  }
  finish();
}

uint64_t ByteSession::wait(int timeout_ms) {
  waiting_ = true;
  wait_ms_ = timeout_ms;
  renew_ = true;
  return ++wait_number_;
}

bool ByteSession::proceed(uint64_t number) {
  if (!waiting_ || number != wait_number_ || state_ != State::kOpen) return false;
  waiting_ = false;
  return true;
}

void ByteSession::go_on() {
  process();
  settle(0);
}

void ByteSession::finish() {
  if (state_ != State::kOpen) return;
  waiting_ = false;
  if (wants_write())
    state_ = State::kFlush;
  else
    state_ = eof_ ? State::kClosed : State::kLinger;
}

void ByteSession::abort() {
  if (state_ == State::kClosed) return;
  ++env_.stats.aborted;
  waiting_ = false;
  state_ = State::kClosed;
}

void ByteSession::drain() {
  if (idle() && !wants_write()) finish();
  settle(0);
}

// --- time ---

ByteSession::Phase ByteSession::phase() const {
  if (wants_write()) return Phase::kWrite;
  if (state_ == State::kLinger) return Phase::kLinger;
  if (waiting_) return Phase::kWait;
  return begin_ != end_ || in_request() ? Phase::kRequest : Phase::kIdle;
}

int ByteSession::timeout_ms(Phase phase) const {
  switch (phase) {
    case Phase::kIdle:
      return env_.limits.idle_timeout_ms;
    case Phase::kRequest:
      return env_.limits.request_timeout_ms;
    case Phase::kWait:
      return wait_ms_;
    case Phase::kWrite:
      return env_.limits.write_timeout_ms;
    case Phase::kLinger:
      break;
  }
  return kLingerTimeoutMs;
}

// After every event: gives an idle connection's buffer back and moves the deadline. It moves when a phase begins or
// something whole has arrived, and else only by enough progress.
void ByteSession::settle(size_t progress_bytes) {
  if (state_ == State::kClosed) return;
  if (begin_ == end_ && !in_request()) release_buffer();
  Phase now = phase();
  progress_ += progress_bytes;
  bool moves = now == Phase::kRequest || now == Phase::kWrite;
  if (now != Phase::kRequest)
    request_deadline_ms_ = 0;
  else if (request_deadline_ms_ == 0 || renew_)
    request_deadline_ms_ = env_.now_ms + static_cast<uint64_t>(env_.limits.request_total_timeout_ms);
  if (now != phase_ || renew_ || (moves && progress_ >= env_.limits.progress_bytes) ||
      (now == Phase::kIdle && progress_bytes > 0)) {
    progress_ = 0;
    deadline_ms_ = env_.now_ms + static_cast<uint64_t>(timeout_ms(now));
  }
  if (request_deadline_ms_ != 0) deadline_ms_ = std::min(deadline_ms_, request_deadline_ms_);
  phase_ = now;
  renew_ = false;
}

void ByteSession::on_timeout() {
  if (state_ == State::kClosed) return;
  if (phase_ != Phase::kLinger && phase_ != Phase::kIdle) ++env_.stats.timeouts;
  switch (phase_) {
    case Phase::kIdle:
      state_ = State::kClosed;
      break;
    case Phase::kRequest:
      on_request_late();
      finish();
      break;
    case Phase::kWait:
      if (!waiting_) break;  // answered in this very turn
      waiting_ = false;
      ++wait_number_;
      on_wait_over();
      process();
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
