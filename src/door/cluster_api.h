// The part of the HTTP API about clusters of accounts: the list, the page of one with what its members share, what
// people say of it, and the action on its members, past ones too. docs/API.md is the reference.
#pragma once

#include <memory>

#include "action/batch.h"
#include "door/desk.h"

namespace tamis::door {

class ClusterApi {
 public:
  // `desk` and `batches` outlive this; there is a data folder. Stop the server first.
  ClusterApi(net::HttpServer& server, Desk& desk, action::Batches& batches, const MakeRoute& route);
  ~ClusterApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
