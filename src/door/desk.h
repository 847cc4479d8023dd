// Desk: what the routes that people use share: who asks, work that takes longer than an event loop may wait, and the
// audit trail. Private to this room.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "action/audit.h"
#include "base/result.h"
#include "door/background.h"
#include "door/service.h"
#include "door/soon.h"
#include "net/auth.h"
#include "net/http_server.h"

namespace tamis::door {

using MakeRoute = std::function<net::RouteOptions(net::RoleSet roles, size_t body_bytes_max)>;

class MailService;

class Desk {
 public:
  explicit Desk(Service& service) : service_(service) {}

  // Who asks: a token's name, on a unix socket the user at its other end, else "anonymous"; and why, if they say so in
  // the header Tamis-Reason or as ?reason=.
  struct Caller {
    std::string name;
    net::RoleSet roles;
    std::string reason;
    bool is_admin() const { return roles.has(net::Role::kAdmin); }
  };
  static Caller caller_of(const net::Request& in);

  // Runs `work` on another thread than the loop's; it appends the body of the answer, or gives the error. Whatever it
  // reads of the request was copied before.
  using Work = std::function<base::Status(std::string& body)>;
  void soon(net::Response& out, Work work) { answer_soon(background_, out, std::move(work)); }
  // The same for what takes a minute, so that nobody waits behind it.
  void soon_slow(net::Response& out, Work work) { answer_soon(slow_, out, std::move(work)); }

  // Notes what was done or looked at. Nothing without a data folder. The error of a change says that it is done.
  base::Status note_look(const Caller& caller, std::string_view what, std::string_view on, std::string_view value,
                         std::string detail = {});
  base::Status note_change(const Caller& caller, action::AuditEntry entry);
  // For one of many: durable after Service::sync() and sync_notes().
  base::Status note_soon(const Caller& caller, action::AuditEntry entry);
  base::Status sync_notes();

  // The data folder; kNotFound without one.
  base::Result<replay::DataFolder*> data();
  // The policy; kUnavailable before there is one.
  base::Result<std::shared_ptr<const policy::Policy>> policy();
  Service& service() { return service_; }
  // Who learns from the truth about mail; may be null.
  MailService* mail() const { return mail_; }
  void set_mail(MailService* mail) { mail_ = mail; }

 private:
  base::Status note(const Caller& caller, action::AuditEntry entry, action::Audit::Durability durability);
  Service& service_;
  MailService* mail_ = nullptr;
  Background background_{256}, slow_{8};
};

// The whole number in ?NAME=, within [low, high].
base::Result<uint64_t> query_number(const net::Request& in, std::string_view name, uint64_t fallback, uint64_t low,
                                    uint64_t high);

}  // namespace tamis::door
