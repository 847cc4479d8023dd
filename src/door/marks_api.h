// The part of the HTTP API with which people mark things: labels, entries of lists, truth. docs/API.md is the
// reference. Wire format only. Without a data folder there is no truth and no audit trail; the rest works.
#pragma once

#include <memory>

#include "door/desk.h"

namespace tamis::door {

class MarksApi {
 public:
  // `desk` outlives this. Stop the server first.
  MarksApi(net::HttpServer& server, Desk& desk, const MakeRoute& route);
  ~MarksApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
