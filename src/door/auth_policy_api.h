// The part of the HTTP API that a mail server asks about logins: Dovecot's auth-policy protocol (doc.dovecot.org,
// "Authentication Policy"). `allow` comes before a password is checked and is answered with a number (-1: refuse; 0: go
// on; more: wait so many seconds first); `report` tells how the login ended. Wire format only.
//
// An `allow` is decided as an event of the type `attempt`, a `report` as one of the type `login`; the verdict of the
// attempt's policy is the answer. Dovecot can ask once more when the password was right; that `attempt` says
// `verified`, and whoever it refuses never signed in. How a login went on that had to wait is a `challenge` event as
// well. A policy that has no such type lets everybody go on. docs/AUTH_POLICY.md is the reference.
#pragma once

#include <memory>

#include "door/desk.h"

namespace tamis::door {

class AuthPolicyApi {
 public:
  // `service` outlives this. Stop the server first.
  AuthPolicyApi(net::HttpServer& server, Service& service, const MakeRoute& route);
  ~AuthPolicyApi();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::door
