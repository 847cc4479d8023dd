// The HTTP API: events in, decisions out, and the policy behind them. docs/API.md is its reference. Wire format only;
// everything is decided by the Service.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/result.h"
#include "door/service.h"
#include "net/auth.h"
#include "net/http_server.h"

namespace tamis::door {

class MailService;

struct HttpApiOptions {
  std::string policy_folder;                // what POST /v1/policy/reload reads
  const net::TokenStore* tokens = nullptr;  // null: every caller may do everything
  bool trust_unix = false;                  // callers on unix sockets need no token
  net::GateLimits limits;
  MailService* mail = nullptr;  // null: no routes for mail, and truth about mail is not learned
  size_t event_bytes_max = 1 << 20;
  size_t policy_bytes_max = 64 << 20;
};

// Adds all routes. `service`, `metrics` and `server` outlive each other's use: stop the server first.
class HttpApi {
 public:
  // Errors: something in the data folder that cannot be read.
  static base::Result<std::unique_ptr<HttpApi>> open(net::HttpServer& server, Service& service,
                                                     base::MetricRegistry& metrics, HttpApiOptions options);
  ~HttpApi();

 private:
  HttpApi();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The statistics behind `tamis top` and GET /v1/stats, as JSON.
void write_stats(Service& service, std::string& out);
// Rules, features and the intake in Prometheus' text form, behind the metrics of the registry.
void write_engine_metrics(Service& service, std::string& out);

}  // namespace tamis::door
