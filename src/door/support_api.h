// The part of the HTTP API for support agents: why something is as it is, release, and the erasure of a person.
// docs/API.md is the reference. Wire format only: replay/standing.h and replay/erase.h know.
#pragma once

#include <memory>

#include "action/batch.h"
#include "door/desk.h"

namespace tamis::door {

class SupportApi {
 public:
  // `desk` and `batches` (null without a data folder) outlive this. Stop the server first.
  SupportApi(net::HttpServer& server, Desk& desk, action::Batches* batches, const MakeRoute& route);
  ~SupportApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
