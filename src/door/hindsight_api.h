// The part of the HTTP API with which an analyst looks back and acts on the past: backtests, searches, action batches
// and their undo. All of it runs as jobs. docs/API.md is the reference. Wire format only.
#pragma once

#include <memory>

#include "door/jobs.h"
#include "door/past_api.h"
#include "net/http_server.h"

namespace tamis::door {

class HindsightApi {
 public:
  // The service of `desk` has a data folder. Errors: batches that cannot be read.
  static base::Result<std::unique_ptr<HindsightApi>> open(Desk& desk, Jobs& jobs);
  ~HindsightApi();  // the jobs have ended
  action::Batches& batches();
  void add_routes(net::HttpServer& server, const PastApi::MakeRoute& route);

 private:
  HindsightApi();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
