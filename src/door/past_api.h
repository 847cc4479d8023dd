// The part of the HTTP API that is about what is kept: queries, stored decisions, backtests, action batches, truth, and
// the jobs they run as. docs/API.md is the reference. Wire format only.
#pragma once

#include <memory>

#include "action/batch.h"
#include "door/desk.h"
#include "net/http_server.h"

namespace tamis::door {

class PastApi {
 public:
  using MakeRoute = door::MakeRoute;
  // The service of `desk` has a data folder. Stop the server before this is destroyed. Errors: action batches that
  // cannot be read.
  static base::Result<std::unique_ptr<PastApi>> open(net::HttpServer& server, Desk& desk, const MakeRoute& route);
  ~PastApi();
  action::Batches& batches();

 private:
  PastApi();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
