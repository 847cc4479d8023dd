// The part of the HTTP API for auditors and for services that follow what people do: versions of the policy, the audit
// trail, the feed of changes, and the description of the whole API. docs/API.md is the reference. Wire format only.
#pragma once

#include <memory>
#include <string_view>

#include "door/desk.h"

namespace tamis::door {

class RecordApi {
 public:
  // `desk` outlives this; its service has a data folder. Stop the server first.
  RecordApi(net::HttpServer& server, Desk& desk, const MakeRoute& route);
  ~RecordApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// docs/openapi.json, as it was when the program was built.
std::string_view openapi_json();

}  // namespace tamis::door
