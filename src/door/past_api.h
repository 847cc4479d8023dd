// The part of the HTTP API that is about what is kept: queries, stored decisions, backtests, action batches, truth, and
// the jobs they run as. docs/API.md is the reference. Wire format only.
#pragma once

#include <functional>
#include <memory>

#include "door/service.h"
#include "net/auth.h"
#include "net/http_server.h"

namespace tamis::door {

class PastApi {
 public:
  using MakeRoute = std::function<net::RouteOptions(net::RoleSet roles, size_t body_bytes_max)>;
  // `service` has a data folder. Stop the server before this is destroyed. Errors: action batches that cannot be read.
  static base::Result<std::unique_ptr<PastApi>> open(net::HttpServer& server, Service& service, const MakeRoute& route);
  ~PastApi();

 private:
  PastApi();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
