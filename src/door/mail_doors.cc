#include "door/mail_doors.h"

#include <algorithm>

#include "base/metrics.h"
#include "door/mail_context.h"
#include "door/milter_session.h"
#include "door/rspamd_api.h"
#include "door/spamd_session.h"
#include "net/byte_session.h"
#include "net/http_server.h"
#include "net/loop_server.h"

namespace tamis::door {
namespace {

template <class SessionType>
class MailProtocol : public net::Protocol {
 public:
  MailProtocol(MailContext& context, const net::ByteLimits& limits) : context_(context) { env_.limits = limits; }
  std::unique_ptr<net::Session> make_session() override { return std::make_unique<SessionType>(env_, context_); }
  void open(net::Session& session, const net::PeerAddress& peer, bool, net::SessionLink link) override {
    static_cast<SessionType&>(session).open(peer, std::move(link));
  }
  void set_now_ms(uint64_t now_ms) override { env_.now_ms = now_ms; }
  void begin_drain() override { env_.draining = true; }
  net::ServerStats& stats() override { return env_.stats; }

 private:
  MailContext& context_;
  net::ByteEnv env_;
};

class Doors : public MailDoors {
 public:
  Doors(MailScanner& scanner, const MailDoorOptions& options)
      : context_(std::make_shared<MailContext>(scanner, options)) {}
  ~Doors() override { stop(0); }

  base::Status start();
  const std::vector<MailDoorAddress>& addresses() const override { return addresses_; }
  void register_metrics(base::MetricRegistry& registry) override;
  void stop(int drain_ms) override;

 private:
  template <class SessionType>
  base::Status open_bytes(const char* door, const std::string& address, const net::ByteLimits& limits);
  base::Status open_http(const char* door, const std::string& address, bool controller);

  const std::shared_ptr<MailContext> context_;
  std::vector<MailDoorAddress> addresses_;
  std::vector<std::unique_ptr<net::LoopServer>> byte_servers_;
  std::vector<std::unique_ptr<net::HttpServer>> http_servers_;
};

base::Status of_door(const char* door, base::Status status) {
  if (status) return status;
  return base::fail(status.error().code, std::string("--") + door + ": " + status.error().message);
}

template <class SessionType>
base::Status Doors::open_bytes(const char* door, const std::string& address, const net::ByteLimits& limits) {
  if (address.empty()) return {};
  const MailDoorOptions& options = context_->options;
  net::LoopServerOptions server;
  server.listen[0].address = address;
  server.listen[0].unix_mode = options.unix_mode;
  server.threads = options.threads;
  server.connections_max = server.connections_per_address_max = options.connections_max;
  auto made = std::make_unique<net::LoopServer>(
      server, [this, limits] { return std::make_unique<MailProtocol<SessionType>>(*context_, limits); });
  TAMIS_CHECK(of_door(door, made->start()));
  addresses_.push_back({door, made->addresses()[0]});
  byte_servers_.push_back(std::move(made));
  return {};
}

base::Status Doors::open_http(const char* door, const std::string& address, bool controller) {
  if (address.empty()) return {};
  const MailDoorOptions& options = context_->options;
  net::HttpServerOptions server;
  server.listen[0].address = address;
  server.listen[0].unix_mode = options.unix_mode;
  server.threads = options.threads;
  server.limits = rspamd::limits_for(*context_);
  auto made = std::make_unique<net::HttpServer>(server);
  rspamd::add_routes(*made, context_, controller);
  TAMIS_CHECK(of_door(door, made->start()));
  addresses_.push_back({door, made->addresses()[0]});
  http_servers_.push_back(std::move(made));
  return {};
}

base::Status Doors::start() {
  const MailDoorOptions& options = context_->options;
  net::ByteLimits milter;
  milter.input_bytes_max = milter::kFrameBytesMax + 8;
  milter.idle_timeout_ms = options.milter_idle_timeout_ms;
  milter.request_timeout_ms = options.request_timeout_ms;
  TAMIS_CHECK(open_bytes<MilterSession>("milter", options.milter, milter));
  net::ByteLimits spamd;
  spamd.input_bytes_max = spamd::kHeadBytesMax;
  spamd.idle_timeout_ms = options.request_timeout_ms;
  spamd.request_timeout_ms = options.request_timeout_ms;
  TAMIS_CHECK(open_bytes<SpamdSession>("spamd", options.spamd, spamd));
  TAMIS_CHECK(open_bytes<SpamdOutSession>("spamd-out", options.spamd_out, spamd));
  TAMIS_CHECK(open_http("rspamd", options.rspamd, false));
  return open_http("rspamd-controller", options.rspamd_controller, true);
}

void Doors::register_metrics(base::MetricRegistry& registry) {
  struct Kind {
    const char* outcome;
    std::atomic<uint64_t> MailCounters::*count;
  };
  constexpr Kind kKinds[] = {{"scanned", &MailCounters::scanned},     {"failed", &MailCounters::failed},
                             {"oversized", &MailCounters::oversized}, {"overloaded", &MailCounters::overloaded},
                             {"broken", &MailCounters::broken},       {"late", &MailCounters::late}};
  const std::pair<const char*, MailCounters*> kDoors[] = {
      {"milter", &context_->milter}, {"spamd", &context_->spamd}, {"rspamd", &context_->rspamd}};
  for (auto [door, counters] : kDoors)
    for (const Kind& kind : kKinds)
      registry.counter_from("tamis_mail_door_messages_total", "Messages by door and outcome.",
                            {{"door", door}, {"outcome", kind.outcome}},
                            [of = counters, count = kind.count] { return static_cast<double>((of->*count).load()); });
  registry.gauge_from("tamis_mail_door_bytes", "Bytes of messages in progress.", {},
                      [this] { return static_cast<double>(context_->budget.used()); });
}

void Doors::stop(int drain_ms) {
  for (auto& server : byte_servers_) server->stop(drain_ms);
  for (auto& server : http_servers_) server->stop(drain_ms);
}

}  // namespace

base::Result<std::unique_ptr<MailDoors>> start_mail_doors(MailScanner& scanner, const MailDoorOptions& options) {
  auto doors = std::make_unique<Doors>(scanner, options);
  TAMIS_CHECK(doors->start());
  return std::unique_ptr<MailDoors>(std::move(doors));
}

}  // namespace tamis::door
