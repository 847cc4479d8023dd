#include "net/http_server.h"

#include <pthread.h>
#include <unistd.h>
#include <csignal>

#include <chrono>
#include <thread>

#include "base/assert.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "net/http_loop.h"

namespace tamis::net {

struct HttpServer::Impl {
  explicit Impl(HttpServerOptions given)
      : options(std::move(given)),
        in_flight(options.limits.in_flight_max),
        limiter(options.limits.connections_max, options.limits.connections_per_address_max) {}

  base::Status open();
  void run();
  void remove_unix_files() {
    for (const std::string& path : unix_paths) unlink(path.c_str());
    unix_paths.clear();
  }

  const HttpServerOptions options;
  Router router;
  std::vector<std::string> routes;
  InFlightCounter in_flight;
  ConnectionLimiter limiter;
  std::vector<PeriodicTask> periodic;
  std::function<void()> after_batch;
  std::vector<ListenSocket> shared_listeners;  // unix sockets, used by all loops
  std::vector<std::string> addresses;
  std::vector<std::string> unix_paths;  // removed at the end
  uint16_t port = 0;
  std::vector<std::unique_ptr<HttpLoop>> loops;
  std::vector<std::thread> threads;
  bool started = false;
};

// Binds everything before the first loop exists, so that an error leaves nothing behind.
base::Status HttpServer::Impl::open() {
  auto loop_count = static_cast<size_t>(options.threads);
  std::vector<std::vector<HttpLoop::Listener>> listeners(loop_count);
  for (const ListenOptions& listen : options.listen) {
    TAMIS_TRY(endpoint, Endpoint::parse(listen.address));
    ListenSocketOptions socket_options{options.backlog, loop_count > 1 && !endpoint.is_unix, listen.unix_mode};
    TAMIS_TRY(first, listen_on(endpoint, socket_options));
    addresses.push_back(first.bound.text());
    if (endpoint.is_unix) {
      unix_paths.push_back(endpoint.host);
      for (auto& of_loop : listeners) {
        HttpLoop::Listener listener;
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
      HttpLoop::Listener listener;
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
    loops.push_back(std::make_unique<HttpLoop>(router, options.limits, in_flight, limiter));
    TAMIS_CHECK(loops.back()->open(std::move(listeners[i])));
  }
  return {};
}

void HttpServer::Impl::run() {
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
      base::answer_soon("http");
      raw->run();
    });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

HttpServer::HttpServer(HttpServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  TAMIS_ASSERT(impl_->options.threads >= 1 && impl_->options.threads <= 256);
}

HttpServer::~HttpServer() { stop(0); }

void HttpServer::route(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  TAMIS_ASSERT(!impl_->started && handler);
  impl_->routes.push_back(std::string(method_name(method)) + " " + std::string(pattern));
  impl_->router.add(method, pattern, Route{std::move(handler), nullptr, std::move(options)});
}

void HttpServer::stream(Method method, std::string_view pattern, StreamFactory factory, RouteOptions options) {
  TAMIS_ASSERT(!impl_->started && factory);
  impl_->routes.push_back(std::string(method_name(method)) + " " + std::string(pattern));
  impl_->router.add(method, pattern, Route{nullptr, std::move(factory), std::move(options)});
}

const std::vector<std::string>& HttpServer::routes() const { return impl_->routes; }

void HttpServer::every(int interval_ms, std::function<void()> task) {
  TAMIS_ASSERT(!impl_->started && interval_ms >= 1);
  impl_->periodic.push_back({static_cast<uint64_t>(interval_ms), 0, std::move(task)});
}

void HttpServer::after_batch(std::function<void()> task) {
  TAMIS_ASSERT(!impl_->started && !impl_->after_batch);
  impl_->after_batch = std::move(task);
}

void HttpServer::register_metrics(base::MetricRegistry& registry) {
  TAMIS_ASSERT(!impl_->started);
  auto counter = [&](const char* name, const char* help, base::MetricLabels labels, auto read) {
    registry.counter_from(name, help, std::move(labels), [this, read] { return static_cast<double>(read(stats())); });
  };
  using Stats = const HttpServerStats&;
  counter("tamis_http_connections_accepted_total", "Connections accepted.", {},
          [](Stats s) { return s.connections_accepted; });
  counter("tamis_http_connections_refused_total", "Connections closed at once because of a connection limit.", {},
          [](Stats s) { return s.connections_refused; });
  counter("tamis_http_timeouts_total", "Connections that ran into a timeout.", {}, [](Stats s) { return s.timeouts; });
  counter("tamis_http_aborted_total", "Connections that ended within a request or an answer.", {},
          [](Stats s) { return s.aborted; });
  counter("tamis_http_tls_failures_total", "TLS handshakes that failed.", {}, [](Stats s) { return s.tls_failures; });
  counter("tamis_http_read_bytes_total", "Bytes read, without TLS.", {}, [](Stats s) { return s.read_bytes; });
  counter("tamis_http_written_bytes_total", "Bytes written, without TLS.", {}, [](Stats s) { return s.written_bytes; });
  for (size_t c = 2; c <= 5; ++c)
    counter("tamis_http_requests_total", "Requests answered, by class of status.",
            {{"class", std::to_string(c) + "xx"}}, [c](Stats s) { return s.responses_by_class[c]; });
  registry.gauge_from("tamis_http_connections", "Open connections.", {},
                      [this] { return static_cast<double>(stats().connections_open); });
  registry.gauge_from("tamis_http_in_flight", "Requests begun and not answered.", {},
                      [this] { return static_cast<double>(impl_->in_flight.count()); });
}

base::Status HttpServer::start() {
  TAMIS_ASSERT(!impl_->started);
  if (auto status = impl_->open(); !status) {
    impl_->remove_unix_files();
    return status;
  }
  impl_->started = true;
  impl_->run();
  return {};
}

const std::vector<std::string>& HttpServer::addresses() const { return impl_->addresses; }
uint16_t HttpServer::port() const { return impl_->port; }

bool HttpServer::post_task(std::function<void()> task) {
  return impl_->started && !impl_->loops.empty() && impl_->loops.front()->mailbox()->post(std::move(task));
}

void HttpServer::stop(int drain_ms) {
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

HttpServerStats HttpServer::stats() const {
  HttpServerStats sum;
  for (const auto& loop : impl_->loops) loop->stats().add_to(sum);
  return sum;
}

}  // namespace tamis::net
