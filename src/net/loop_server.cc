#include "net/loop_server.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "base/assert.h"
#include "base/thread.h"
#include "net/loop.h"

namespace tamis::net {

struct LoopServer::Impl {
  Impl(LoopServerOptions given, std::function<std::unique_ptr<Protocol>()> make)
      : options(std::move(given)),
        make_protocol(std::move(make)),
        limiter(options.connections_max, options.connections_per_address_max) {}

  base::Status open();
  void run();
  void remove_unix_files() {
    for (const std::string& path : unix_paths) unlink(path.c_str());
    unix_paths.clear();
  }

  const LoopServerOptions options;
  const std::function<std::unique_ptr<Protocol>()> make_protocol;
  ConnectionLimiter limiter;
  std::vector<PeriodicTask> periodic;
  std::function<void()> after_batch;
  std::vector<ListenSocket> shared_listeners;  // unix sockets, used by all loops
  std::vector<std::string> addresses;
  std::vector<std::string> unix_paths;  // removed at the end
  uint16_t port = 0;
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::thread> threads;
  bool started = false;
};

// Binds everything before the first loop exists, so that an error leaves nothing behind.
base::Status LoopServer::Impl::open() {
  auto loop_count = static_cast<size_t>(options.threads);
  std::vector<std::vector<Loop::Listener>> listeners(loop_count);
  for (const ListenOptions& listen : options.listen) {
    TAMIS_TRY(endpoint, Endpoint::parse(listen.address));
    ListenSocketOptions socket_options{options.backlog, loop_count > 1 && !endpoint.is_unix, listen.unix_mode};
    TAMIS_TRY(first, listen_on(endpoint, socket_options));
    addresses.push_back(first.bound.text());
    if (endpoint.is_unix) {
      unix_paths.push_back(endpoint.host);
      for (auto& of_loop : listeners) {
        Loop::Listener listener;
        listener.fd = first.fd.get();
        listener.tls = listen.tls;
        listener.exclusive = loop_count > 1;
        of_loop.push_back(std::move(listener));
      }
      shared_listeners.push_back(std::move(first));
      continue;
    }
    if (port == 0) port = first.bound.port;
    Endpoint bound = first.bound;
    for (size_t i = 0; i < loop_count; ++i) {
      Loop::Listener listener;
      if (i == 0) {
        listener.owned = std::move(first.fd);
      } else {
        TAMIS_TRY(more, listen_on(bound, socket_options));
        listener.owned = std::move(more.fd);
      }
      listener.fd = listener.owned.get();
      listener.tls = listen.tls;
      listeners[i].push_back(std::move(listener));
    }
  }
  for (size_t i = 0; i < loop_count; ++i) {
    loops.push_back(std::make_unique<Loop>(make_protocol(), options.handshake_timeout_ms, limiter));
    TAMIS_CHECK(loops.back()->open(std::move(listeners[i])));
  }
  return {};
}

void LoopServer::Impl::run() {
  uint64_t now_ms = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
  for (PeriodicTask& task : periodic) {
    task.next_ms = now_ms + task.interval_ms;
    loops.front()->add_periodic(std::move(task));
  }
  if (after_batch) loops.front()->set_after_batch(std::move(after_batch));
  // Signals are the main thread's business.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (auto& loop : loops)
    threads.emplace_back([raw = loop.get()] {
      base::answer_soon("loop");
      raw->run();
    });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LoopServer::LoopServer(LoopServerOptions options, std::function<std::unique_ptr<Protocol>()> make_protocol)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(make_protocol))) {
  TAMIS_ASSERT(impl_->options.threads >= 1 && impl_->options.threads <= 256);
}

LoopServer::~LoopServer() { stop(0); }

void LoopServer::every(int interval_ms, std::function<void()> task) {
  TAMIS_ASSERT(!impl_->started && interval_ms >= 1);
  impl_->periodic.push_back({static_cast<uint64_t>(interval_ms), 0, std::move(task)});
}

void LoopServer::after_batch(std::function<void()> task) {
  TAMIS_ASSERT(!impl_->started && !impl_->after_batch);
  impl_->after_batch = std::move(task);
}

base::Status LoopServer::start() {
  TAMIS_ASSERT(!impl_->started);
  if (auto status = impl_->open(); !status) {
    impl_->remove_unix_files();
    return status;
  }
  impl_->started = true;
  impl_->run();
  return {};
}

bool LoopServer::started() const { return impl_->started; }
const std::vector<std::string>& LoopServer::addresses() const { return impl_->addresses; }
uint16_t LoopServer::port() const { return impl_->port; }

bool LoopServer::post_task(std::function<void()> task) {
  return impl_->started && !impl_->loops.empty() && impl_->loops.front()->mailbox()->post(std::move(task));
}

void LoopServer::stop(int drain_ms) {
  Impl& impl = *impl_;
  if (impl.threads.empty()) return;
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(drain_ms);
  auto until_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(until.time_since_epoch()).count());
  for (auto& loop : impl.loops) loop->mailbox()->ask_to_stop(until_ms);
  for (std::thread& thread : impl.threads) thread.join();
  impl.threads.clear();
  impl.shared_listeners.clear();
  impl.remove_unix_files();
}

ServerStats LoopServer::stats() const {
  ServerStats sum;
  for (const auto& loop : impl_->loops) loop->stats().add_to(sum);
  return sum;
}

}  // namespace tamis::net
