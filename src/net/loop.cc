#include "net/loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/assert.h"
#include "base/log.h"

namespace tamis::net {
namespace {

uint64_t clock_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// What an epoll event is about: two bits of kind, then an index or a connection's id.
constexpr uint64_t kKindShift = 62;
constexpr uint64_t kKindConnection = 0, kKindListener = 1, kKindWake = 2;
constexpr int kEventsMax = 256;
constexpr int kAcceptsMax = 64;           // per event, so that a connection flood does not starve the connected
constexpr int kReadsMax = 8;              // per event, of a TLS connection's buffered records
constexpr int kWritesMax = 8;             // per event
constexpr uint64_t kAcceptPauseMs = 100;  // when file descriptors have run out

}  // namespace

// --- what threads share ---

Mailbox::Mailbox() : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { TAMIS_ASSERT(wake_); }

void Mailbox::wake() {
  uint64_t one = 1;
  // A full counter has woken the loop already.
  [[maybe_unused]] auto n = write(wake_.get(), &one, sizeof one);
}

bool Mailbox::post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (!open_) return false;
  tasks_.push_back(std::move(task));
  wake();
  return true;
}

bool Mailbox::post_to(Letter letter) {
  std::lock_guard lock(mutex_);
  if (!open_) return false;
  letters_.push_back(std::move(letter));
  wake();
  return true;
}

void Mailbox::ask_to_stop(uint64_t drain_until_ms) {
  std::lock_guard lock(mutex_);
  stop_ms_ = drain_until_ms;
  wake();
}

void Mailbox::drain(std::vector<std::function<void()>>& tasks, std::vector<Letter>& letters, uint64_t& stop_ms) {
  std::lock_guard lock(mutex_);
  uint64_t count;
  [[maybe_unused]] auto n = read(wake_.get(), &count, sizeof count);
  tasks.swap(tasks_);
  letters.swap(letters_);
  if (stop_ms_ != 0) stop_ms = stop_ms_;
}

void Mailbox::close() {
  std::lock_guard lock(mutex_);
  open_ = false;
  tasks_.clear();
  letters_.clear();
}

void SessionLink::post(std::function<void(Session&)> task) const {
  if (mailbox_ != nullptr) mailbox_->post_to({connection_, std::move(task)});
}

bool ConnectionLimiter::try_add(const PeerAddress& peer) {
  std::lock_guard lock(mutex_);
  if (total_ >= total_max_) return false;
  if (peer.family != PeerAddress::Family::kUnix) {
    size_t& count = per_address_[peer.limit_key()];
    if (count >= per_address_max_) return false;
    ++count;
  }
  ++total_;
  return true;
}

void ConnectionLimiter::remove(const PeerAddress& peer) {
  std::lock_guard lock(mutex_);
  --total_;
  if (peer.family == PeerAddress::Family::kUnix) return;
  auto it = per_address_.find(peer.limit_key());
  TAMIS_ASSERT(it != per_address_.end());
  if (--it->second == 0) per_address_.erase(it);
}

void SharedStats::publish(const ServerStats& stats) {
  uint64_t values[kFields];
  std::memcpy(values, &stats, sizeof stats);
  for (size_t i = 0; i < kFields; ++i) fields_[i].store(values[i], std::memory_order_relaxed);
}

void SharedStats::add_to(ServerStats& sum) const {
  uint64_t values[kFields];
  std::memcpy(values, &sum, sizeof sum);
  for (size_t i = 0; i < kFields; ++i) values[i] += fields_[i].load(std::memory_order_relaxed);
  std::memcpy(&sum, values, sizeof sum);
}

// --- the loop ---

struct Loop::Connection : TimerLink {
  explicit Connection(std::unique_ptr<Session> made) : session(std::move(made)) {}
  uint64_t id() const { return (uint64_t{generation} << 32) | slot; }

  uint32_t slot = 0;
  uint32_t generation = 0;  // tells a reused slot from an old event; below 2^30
  uint32_t interest = 0;    // what epoll watches
  bool open = false;
  bool handshaking = false;
  bool write_shut = false;
  bool dirty = false;
  uint64_t handshake_deadline_ms = 0;
  Fd fd;
  std::unique_ptr<TlsStream> tls;
  PeerAddress peer;
  const std::unique_ptr<Session> session;

  IoResult read(std::span<char> space) {
    if (tls) return tls->read(space.data(), space.size());
    for (;;) {
      ssize_t n = recv(fd.get(), space.data(), space.size(), 0);
      if (n > 0) return {IoState::kDone, static_cast<size_t>(n)};
      if (n == 0) return {IoState::kEof};
      if (errno == EAGAIN) return {IoState::kWantRead};
      if (errno != EINTR) return {IoState::kError};
    }
  }
  IoResult write(std::string_view text) {
    if (tls) return tls->write(text.data(), text.size());
    for (;;) {
      ssize_t n = send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n >= 0) return {IoState::kDone, static_cast<size_t>(n)};
      if (errno == EAGAIN) return {IoState::kWantWrite};
      if (errno != EINTR) return {IoState::kError};
    }
  }
};

Loop::Loop(std::unique_ptr<Protocol> protocol, int handshake_timeout_ms, ConnectionLimiter& limiter)
    : protocol_(std::move(protocol)),
      stats_(protocol_->stats()),
      limiter_(limiter),
      handshake_timeout_ms_(static_cast<uint64_t>(handshake_timeout_ms)),
      mailbox_(std::make_shared<Mailbox>()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wheel_(clock_ms()) {
  TAMIS_ASSERT(epoll_);
  update_clock();
}

Loop::~Loop() {
  for (auto& connection : connections_)
    if (connection->open) close_connection(*connection);
  mailbox_->close();
}

base::Status Loop::open(std::vector<Listener> listeners) {
  listeners_ = std::move(listeners);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kKindWake << kKindShift;
  bool ok = epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, mailbox_->wake_fd(), &event) == 0;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    event.events = EPOLLIN | (listeners_[i].exclusive ? static_cast<uint32_t>(EPOLLEXCLUSIVE) : 0u);
    event.data.u64 = (kKindListener << kKindShift) | i;
    ok = ok && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listeners_[i].fd, &event) == 0;
  }
  if (!ok) return base::fail(base::Code::kUnavailable, "cannot watch a socket: " + errno_text(errno));
  return {};
}

void Loop::update_clock() {
  now_ms_ = clock_ms();
  protocol_->set_now_ms(now_ms_);
}

int Loop::wait_timeout_ms(bool was_busy) const {
  // While busy the next event comes soon anyway; looking for the next timer is for a loop about to sleep.
  int64_t wait = was_busy && open_count_ > 0 ? static_cast<int64_t>(TimerWheel::kTickMs) : wheel_.wait_ms(now_ms_);
  auto until = [&](uint64_t at_ms) {
    int64_t left = at_ms > now_ms_ ? static_cast<int64_t>(at_ms - now_ms_) : 0;
    if (wait < 0 || left < wait) wait = left;
  };
  for (const PeriodicTask& task : periodic_) until(task.next_ms);
  if (stop_ms_ != 0) until(stop_ms_);
  if (accept_paused_)
    for (const Listener& listener : listeners_)
      if (listener.paused_until_ms != 0) until(listener.paused_until_ms);
  return static_cast<int>(std::min<int64_t>(wait, 60'000));
}

void Loop::run() {
  std::vector<epoll_event> events(kEventsMax);
  int count = 0;
  while (stop_ms_ == 0 || (open_count_ > 0 && now_ms_ < stop_ms_)) {
    count = epoll_wait(epoll_.get(), events.data(), kEventsMax, wait_timeout_ms(count > 0));
    TAMIS_ASSERT(count >= 0 || errno == EINTR);
    update_clock();
    uint64_t requests_before = stats_.requests;
    for (int i = 0; i < count; ++i) dispatch(events[static_cast<size_t>(i)]);
    wheel_.advance(now_ms_, [&](TimerLink& link) { on_timer(static_cast<Connection&>(link)); });
    run_periodic();
    end_turn(requests_before);
  }
  for (auto& connection : connections_)
    if (connection->open) close_connection(*connection);
  mailbox_->close();
  shared_stats_.publish(stats_);
}

void Loop::dispatch(const epoll_event& event) {
  uint64_t id = event.data.u64 & ((uint64_t{1} << kKindShift) - 1);
  switch (event.data.u64 >> kKindShift) {
    case kKindListener:
      return accept_some(id);
    case kKindWake:
      return run_mailbox();
    default:
      if (Connection* c = find(id)) on_event(*c, event.events);
  }
}

Loop::Connection* Loop::find(uint64_t id) {
  auto slot = static_cast<uint32_t>(id);
  if (slot >= connections_.size()) return nullptr;
  Connection* c = connections_[slot].get();
  return c->open && c->id() == id ? c : nullptr;
}

namespace {

int64_t user_at_the_other_end(int fd) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return -1;
  return static_cast<int64_t>(credentials.uid);
}

}  // namespace

void Loop::accept_some(size_t index) {
  Listener& listener = listeners_[index];
  for (int i = 0; i < kAcceptsMax; ++i) {
    sockaddr_storage storage{};
    socklen_t bytes = sizeof storage;
    Fd fd(accept4(listener.fd, reinterpret_cast<sockaddr*>(&storage), &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
      if (errno == EAGAIN) return;
      // Out of descriptors or memory: try again a little later instead of spinning.
      TAMIS_LOG(kWarn, "net", "cannot accept a connection").field("reason", errno_text(errno));
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener.fd, nullptr);
      listener.paused_until_ms = now_ms_ + kAcceptPauseMs;
      accept_paused_ = true;
      return;
    }
    ++stats_.connections_accepted;
    PeerAddress peer = PeerAddress::from(storage);
    if (peer.family == PeerAddress::Family::kUnix) peer.user_id = user_at_the_other_end(fd.get());
    if (limiter_.try_add(peer))
      add_connection(std::move(fd), peer, listener);
    else
      ++stats_.connections_refused;
  }
}

void Loop::add_connection(Fd fd, const PeerAddress& peer, const Listener& listener) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.push_back(std::make_unique<Connection>(protocol_->make_session()));
    connections_.back()->slot = free_slots_.back();
  }
  Connection& c = *connections_[free_slots_.back()];
  if (peer.family != PeerAddress::Family::kUnix) {
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  c.generation = (c.generation + 1) & ((1u << 30) - 1);
  epoll_event event{};
  event.events = c.interest = EPOLLIN;
  event.data.u64 = (kKindConnection << kKindShift) | c.id();
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return limiter_.remove(peer);
  free_slots_.pop_back();
  c.fd = std::move(fd);
  c.peer = peer;
  c.open = true;
  c.write_shut = c.dirty = false;
  ++open_count_;
  stats_.connections_open = open_count_;
  c.handshaking = listener.tls != nullptr;
  if (c.handshaking) {
    c.tls = listener.tls->accept(c.fd.get());
    c.handshake_deadline_ms = now_ms_ + handshake_timeout_ms_;
  }
  protocol_->open(*c.session, c.peer, c.handshaking, SessionLink(mailbox_, c.id()));
  if (c.handshaking && c.tls == nullptr) return close_connection(c);
  wheel_.arm(c, c.handshaking ? c.handshake_deadline_ms : c.session->deadline_ms());
}

void Loop::on_event(Connection& c, uint32_t events) {
  if (c.handshaking && !handshake(c)) return;
  bool readable = (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0;
  if (readable && c.session->wants_read())
    read_some(c);
  else if (events & (EPOLLHUP | EPOLLERR))
    return close_connection(c);  // gone, and nothing to be read
  respond(c);
}

// True when the handshake is done and the session may go on.
bool Loop::handshake(Connection& c) {
  IoResult result = c.tls->handshake();
  uint32_t interest = result.state == IoState::kWantWrite ? EPOLLOUT : EPOLLIN;
  if (result.state == IoState::kError || result.state == IoState::kEof) {
    ++stats_.tls_failures;
    close_connection(c);
    return false;
  }
  if (result.state == IoState::kDone) c.handshaking = false;
  if (interest != c.interest) {
    epoll_event event{};
    event.events = c.interest = interest;
    event.data.u64 = (kKindConnection << kKindShift) | c.id();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.fd.get(), &event);
  }
  return !c.handshaking;
}

void Loop::read_some(Connection& c) {
  for (int i = 0; i < kReadsMax && c.session->wants_read(); ++i) {
    IoResult result = c.read(c.session->read_space());
    switch (result.state) {
      case IoState::kDone:
        c.session->received(result.bytes);
        break;
      case IoState::kEof:
        return c.session->received_eof();
      case IoState::kError:
        ++stats_.aborted;
        return c.session->close();
      default:
        return c.session->received(0);
    }
    // A plain socket tells by epoll that there is more; decrypted bytes do not.
    if (!c.tls || !c.tls->has_pending()) return;
  }
}

void Loop::respond(Connection& c) {
  if (after_batch_ && c.session->wants_write()) {
    if (!c.dirty) dirty_.push_back(c.id());
    c.dirty = true;
    return;
  }
  flush(c);
  finish_event(c);
}

void Loop::flush(Connection& c) {
  for (int i = 0; i < kWritesMax && c.session->wants_write(); ++i) {
    IoResult result = c.write(c.session->output());
    if (result.state == IoState::kDone) {
      c.session->sent(result.bytes);
    } else if (result.state == IoState::kWantWrite || result.state == IoState::kWantRead) {
      return;
    } else {
      ++stats_.aborted;
      return c.session->close();
    }
  }
}

// After everything that may have changed the session: close, or watch what it now waits for.
void Loop::finish_event(Connection& c) {
  for (int i = 0; i < kReadsMax && c.tls && c.tls->has_pending() && c.session->wants_read(); ++i) {
    read_some(c);
    flush(c);
  }
  if (c.session->finished()) return close_connection(c);
  if (c.session->lingering() && !c.write_shut) {
    c.write_shut = true;
    if (c.tls) c.tls->send_close();
    shutdown(c.fd.get(), SHUT_WR);
  }
  uint32_t interest = (c.session->wants_read() ? EPOLLIN : 0u) | (c.session->wants_write() ? EPOLLOUT : 0u);
  // Pending decrypted bytes would wait for ever: a writable socket brings us back at once.
  if (c.tls && c.tls->has_pending() && c.session->wants_read()) interest |= EPOLLOUT;
  if (interest != c.interest) {
    epoll_event event{};
    event.events = c.interest = interest;
    event.data.u64 = (kKindConnection << kKindShift) | c.id();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.fd.get(), &event);
  }
  uint64_t deadline_ms = c.session->deadline_ms();
  if (!wheel_.is_armed(c) || wheel_.due_ms(c) > deadline_ms + TimerWheel::kTickMs) wheel_.arm(c, deadline_ms);
}

void Loop::close_connection(Connection& c) {
  if (c.tls && !c.write_shut && !c.handshaking) c.tls->send_close();
  c.session->close();
  c.tls.reset();
  c.fd.reset();
  wheel_.cancel(c);
  c.open = false;
  limiter_.remove(c.peer);
  free_slots_.push_back(c.slot);
  --open_count_;
  stats_.connections_open = open_count_;
}

void Loop::on_timer(Connection& c) {
  if (c.handshaking) {
    if (now_ms_ < c.handshake_deadline_ms) return wheel_.arm(c, c.handshake_deadline_ms);
    ++stats_.timeouts;
    return close_connection(c);
  }
  if (now_ms_ < c.session->deadline_ms()) return wheel_.arm(c, c.session->deadline_ms());
  c.session->on_timeout();
  respond(c);
}

void Loop::run_mailbox() {
  std::vector<std::function<void()>> tasks;
  std::vector<Mailbox::Letter> letters;
  uint64_t stop_ms = stop_ms_;
  mailbox_->drain(tasks, letters, stop_ms);
  for (auto& task : tasks) task();
  for (auto& letter : letters) {
    Connection* c = find(letter.connection);
    if (c == nullptr) continue;
    letter.task(*c->session);
    respond(*c);
  }
  bool begins = stop_ms_ == 0 && stop_ms != 0;
  stop_ms_ = stop_ms;
  if (begins) begin_drain();
}

void Loop::begin_drain() {
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].paused_until_ms == 0) accept_some(i);  // who is in the queue has been promised a connection
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listeners_[i].fd, nullptr);
  }
  listeners_.clear();
  accept_paused_ = false;
  protocol_->begin_drain();
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& c = *connections_[i];
    if (!c.open || c.handshaking) continue;
    // Bytes that have arrived already are still a request in progress.
    if (c.session->idle()) read_some(c);
    c.session->drain();
    respond(c);
  }
}

void Loop::run_periodic() {
  for (size_t i = 0; i < periodic_.size(); ++i) {
    PeriodicTask& task = periodic_[i];
    if (now_ms_ < task.next_ms) continue;
    task.next_ms = std::max(task.next_ms + task.interval_ms, now_ms_ + 1);
    task.run();
  }
  if (!accept_paused_) return;
  accept_paused_ = false;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    Listener& listener = listeners_[i];
    if (listener.paused_until_ms == 0) continue;
    if (now_ms_ < listener.paused_until_ms) {
      accept_paused_ = true;
      continue;
    }
    listener.paused_until_ms = 0;
    epoll_event event{};
    event.events = EPOLLIN | (listener.exclusive ? static_cast<uint32_t>(EPOLLEXCLUSIVE) : 0u);
    event.data.u64 = (kKindListener << kKindShift) | i;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener.fd, &event);
  }
}

void Loop::end_turn(uint64_t requests_before) {
  if (after_batch_ && stats_.requests != requests_before) after_batch_();
  for (size_t i = 0; i < dirty_.size(); ++i) {
    Connection* c = find(dirty_[i]);
    if (c == nullptr) continue;
    c->dirty = false;
    flush(*c);
    finish_event(*c);
  }
  dirty_.clear();
  shared_stats_.publish(stats_);
}

}  // namespace tamis::net
