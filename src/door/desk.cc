#include "door/desk.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "event/json_writer.h"

namespace tamis::door {
namespace {

std::string user_named(int64_t user_id) {
  std::array<char, 4096> memory;
  passwd entry{}, *found = nullptr;
  int failed = getpwuid_r(static_cast<uid_t>(user_id), &entry, memory.data(), memory.size(), &found);
  return failed != 0 || found == nullptr ? "uid:" + std::to_string(user_id) : std::string(found->pw_name);
}

}  // namespace

Desk::Caller Desk::caller_of(const net::Request& in) {
  Caller caller{"anonymous", net::Role::kAdmin, {}};
  const auto* known = static_cast<const net::Caller*>(in.context());
  if (known != nullptr) {
    caller.name = known->name;
    caller.roles = known->roles;
  }
  bool has_token = known != nullptr && !known->id.empty();
  if (!has_token && in.peer().user_id >= 0) caller.name = user_named(in.peer().user_id);
  caller.reason = in.header("Tamis-Reason");
  if (caller.reason.empty()) caller.reason = in.query_value("reason").value_or("");
  return caller;
}

base::Status Desk::note(const Caller& caller, action::AuditEntry entry, action::Audit::Durability durability) {
  if (service_.data() == nullptr) return {};
  entry.who = caller.name;
  if (entry.why.empty()) entry.why = caller.reason;
  TAMIS_TRY(number, service_.data()->audit().append(entry, durability));
  (void)number;
  return {};
}

base::Status Desk::note_look(const Caller& caller, std::string_view what, std::string_view on, std::string_view value,
                             std::string detail) {
  action::AuditEntry entry;
  entry.what = what;
  entry.on = on;
  entry.value = value;
  entry.detail = std::move(detail);
  base::Status noted = note(caller, std::move(entry), action::Audit::Durability::kSoon);
  if (noted) return {};
  return base::fail(base::Code::kUnavailable,
                    "nothing is shown that is not in the audit trail, and it cannot be "
                    "written: " +
                        noted.error().message);
}

base::Status Desk::note_soon(const Caller& caller, action::AuditEntry entry) {
  return note(caller, std::move(entry), action::Audit::Durability::kSoon);
}

base::Status Desk::note_change(const Caller& caller, action::AuditEntry entry) {
  base::Status noted = note(caller, std::move(entry), action::Audit::Durability::kDurable);
  if (noted) return {};
  return base::fail(base::Code::kUnavailable, "done, but not in the audit trail: " + noted.error().message);
}

base::Status Desk::sync_notes() {
  if (service_.data() == nullptr) return {};
  base::Status noted = service_.data()->audit().sync();
  if (noted) return {};
  return base::fail(base::Code::kUnavailable, "done, but not in the audit trail: " + noted.error().message);
}

base::Result<replay::DataFolder*> Desk::data() {
  if (service_.data() != nullptr) return service_.data();
  return base::fail(base::Code::kNotFound, "the server keeps nothing: it has no --data folder");
}

base::Result<std::shared_ptr<const policy::Policy>> Desk::policy() {
  auto found = service_.policy();
  if (found != nullptr) return found;
  return base::fail(base::Code::kUnavailable, "no policy is active yet");
}

base::Result<uint64_t> query_number(const net::Request& in, std::string_view name, uint64_t fallback, uint64_t low,
                                    uint64_t high) {
  auto text = in.query_value(name);
  if (!text) return fallback;
  uint64_t number = 0;
  auto [end, bad] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (bad == std::errc() && end == text->data() + text->size() && number >= low && number <= high) return number;
  return base::invalid("?" + std::string(name) + "=: expected a whole number from " + std::to_string(low) + " to " +
                       std::to_string(high));
}

}  // namespace tamis::door
