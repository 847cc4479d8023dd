// The part of the HTTP API that makes clients work: challenges issued and verified, and the page's side of it, which
// browsers load. docs/CHALLENGES.md is the reference. Wire format only; door/challenge.h has the rest.
#pragma once

#include <memory>

#include "door/challenge.h"
#include "door/desk.h"

namespace tamis::door {

class ChallengeApi {
 public:
  // `service` outlives this. Stop the server first. The files for browsers need no role.
  ChallengeApi(net::HttpServer& server, Service& service, const MakeRoute& route, const ChallengeOptions& options = {});
  ~ChallengeApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What browsers load: challenge.js, challenge_worker.js, challenge.html.
std::string_view challenge_file(std::string_view name);

}  // namespace tamis::door
