#include "net/http_server.h"

#include <atomic>
#include <ctime>

#include "base/assert.h"
#include "base/metrics.h"
#include "net/http_session.h"

namespace tamis::net {
namespace {

class InFlightCounter : public InFlight {
 public:
  InFlightCounter(size_t max, size_t bytes_max) : max_(max), bytes_max_(bytes_max == 0 ? SIZE_MAX : bytes_max) {}
  bool try_add() override {
    if (count_.fetch_add(1, std::memory_order_relaxed) < max_) return true;
    remove();
    return false;
  }
  void add() override { count_.fetch_add(1, std::memory_order_relaxed); }
  void remove() override { count_.fetch_sub(1, std::memory_order_relaxed); }
  bool try_hold(size_t bytes) override {
    size_t before = bytes_.fetch_add(bytes, std::memory_order_relaxed);
    if (before <= bytes_max_ && bytes <= bytes_max_ - before) return true;
    release(bytes);
    return false;
  }
  void release(size_t bytes) override { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  std::atomic<size_t> count_{0};
  const size_t bytes_max_;
  std::atomic<size_t> bytes_{0};
};

class Reply : public DeferredReply {
 public:
  Reply(SessionLink link, uint64_t request_number) : link_(std::move(link)), request_number_(request_number) {}
  ~Reply() override {
    send(500, "application/json", "{\"error\":\"internal\",\"message\":\"the request was dropped unanswered\"}\n");
  }
  void send(int status, std::string_view content_type, std::string body) override {
    if (sent_.exchange(true)) return;
    link_.post([number = request_number_, status, type = std::string(content_type),
                text = std::move(body)](Session& session) mutable {
      static_cast<HttpSession&>(session).complete_deferred(number, status, type, std::move(text));
    });
  }

 private:
  const SessionLink link_;
  const uint64_t request_number_;
  std::atomic<bool> sent_{false};
};

// What the HTTP sessions of one loop share.
class HttpProtocol : public Protocol {
 public:
  HttpProtocol(const Router& router, const HttpLimits& limits, InFlight& in_flight) {
    env_.router = &router;
    env_.limits = &limits;
    env_.pool = &pool_;
    env_.in_flight = &in_flight;
    env_.stats = &stats_;
  }
  std::unique_ptr<Session> make_session() override { return std::make_unique<HttpSession>(env_); }
  void open(Session& session, const PeerAddress& peer, bool tls, SessionLink link) override {
    static_cast<HttpSession&>(session).open(&peer, tls, [link = std::move(link)](uint64_t request_number) {
      return std::make_shared<Reply>(link, request_number);
    });
  }
  void set_now_ms(uint64_t now_ms) override;
  void begin_drain() override { env_.draining = true; }
  ServerStats& stats() override { return stats_; }

 private:
  ServerStats stats_;
  ExchangePool pool_;
  SessionEnv env_;
  uint64_t date_second_ = 0;
};

void HttpProtocol::set_now_ms(uint64_t now_ms) {
  env_.now_ms = now_ms;
  if (now_ms / 1000 == date_second_) return;
  date_second_ = now_ms / 1000;
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char text[64];  // the names are not left to the locale
  auto n = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday], utc.tm_mday,
                         kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  env_.date.assign(text, static_cast<size_t>(n));
}

LoopServerOptions server_options(const HttpServerOptions& options) {
  LoopServerOptions out;
  out.listen = options.listen;
  out.threads = options.threads;
  out.backlog = options.backlog;
  out.connections_max = options.limits.connections_max;
  out.connections_per_address_max = options.limits.connections_per_address_max;
  out.handshake_timeout_ms = options.limits.head_timeout_ms;
  return out;
}

}  // namespace

struct HttpServer::Impl {
  explicit Impl(const HttpServerOptions& options)
      : limits(options.limits),
        in_flight(options.limits.in_flight_max, options.limits.body_bytes_total_max),
        server(server_options(options), [this] { return std::make_unique<HttpProtocol>(router, limits, in_flight); }) {}

  const HttpLimits limits;
  Router router;
  std::vector<std::string> routes;
  InFlightCounter in_flight;
  LoopServer server;  // its loops use what stands above
};

HttpServer::HttpServer(HttpServerOptions options) : impl_(std::make_unique<Impl>(options)) {}

HttpServer::~HttpServer() { stop(0); }

void HttpServer::route(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  TAMIS_ASSERT(!impl_->server.started() && handler);
  impl_->routes.push_back(std::string(method_name(method)) + " " + std::string(pattern));
  impl_->router.add(method, pattern, Route{std::move(handler), nullptr, std::move(options)});
}

void HttpServer::stream(Method method, std::string_view pattern, StreamFactory factory, RouteOptions options) {
  TAMIS_ASSERT(!impl_->server.started() && factory);
  impl_->routes.push_back(std::string(method_name(method)) + " " + std::string(pattern));
  impl_->router.add(method, pattern, Route{nullptr, std::move(factory), std::move(options)});
}

const std::vector<std::string>& HttpServer::routes() const { return impl_->routes; }

void HttpServer::name_queries(const QueryNames& names_of) {
  TAMIS_ASSERT(!impl_->server.started());
  impl_->router.for_each([&](Method method, std::string_view pattern, Route& route) {
    route.options.query_names = names_of(std::string(method_name(method)) + " " + std::string(pattern));
  });
}

void HttpServer::every(int interval_ms, std::function<void()> task) {
  impl_->server.every(interval_ms, std::move(task));
}

void HttpServer::after_batch(std::function<void()> task) { impl_->server.after_batch(std::move(task)); }

void HttpServer::register_metrics(base::MetricRegistry& registry) {
  TAMIS_ASSERT(!impl_->server.started());
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

base::Status HttpServer::start() { return impl_->server.start(); }
const std::vector<std::string>& HttpServer::addresses() const { return impl_->server.addresses(); }
uint16_t HttpServer::port() const { return impl_->server.port(); }
bool HttpServer::post_task(std::function<void()> task) { return impl_->server.post_task(std::move(task)); }
void HttpServer::stop(int drain_ms) { impl_->server.stop(drain_ms); }
HttpServerStats HttpServer::stats() const { return impl_->server.stats(); }

}  // namespace tamis::net
