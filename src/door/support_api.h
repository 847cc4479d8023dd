// The part of the HTTP API for support agents: why something is as it is, release, and the erasure of a person.
// docs/API.md is the reference. Wire format only: replay/standing.h and replay/erase.h know.
#pragma once

#include <memory>

#include "door/desk.h"

namespace tamis::door {

class SupportApi {
 public:
  // `desk` outlives this. Stop the server first.
  SupportApi(net::HttpServer& server, Desk& desk, const MakeRoute& route);
  ~SupportApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
