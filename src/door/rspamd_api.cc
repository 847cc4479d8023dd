#include "door/rspamd_api.h"

#include <chrono>
#include <memory>

#include "door/http_answer.h"
#include "door/mail_text.h"
#include "door/rspamd_wire.h"
#include "net/auth.h"

namespace tamis::door::rspamd {
namespace {

using net::Request;
using net::Response;
using net::Role;

constexpr net::RoleSet kTeachers = Role::kIngest | Role::kAnalyst;
constexpr net::RoleSet kReaders = Role::kMetrics | Role::kSupport | Role::kAnalyst | Role::kIngest;
constexpr net::RoleSet kScanners = Role::kDecide | Role::kIngest | Role::kAnalyst;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int64_t wall_clock_ms() {
  using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::system_clock;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

void refuse(Response& out, int status, std::string_view code, std::string_view sentence) {
  out.set_status(status);
  out.set_content_type("application/json");
  out.body() = error_json(code, sentence);
}

void refuse(Response& out, const base::Error& error) {
  int status = error.code == base::Code::kLimit ? 413 : status_of(error);
  refuse(out, status, word_of(error), error.message);
}

bool is_of_this_machine(const net::PeerAddress& peer) {
  using Family = net::PeerAddress::Family;
  return peer.family == Family::kUnix || (peer.family == Family::kIp4 && peer.bytes[0] == 127) || peer.text() == "::1";
}

// Who may use the controller. The caller's record is left for the handler.
net::Gate password_gate(const MailContext& context, net::RoleSet any_of) {
  const net::TokenStore* tokens = context.options.tokens;
  return [tokens, any_of](const Request& in, Response& out) {
    if (tokens == nullptr) {
      if (is_of_this_machine(in.peer())) return true;
      refuse(out, 403, "denied", "without a file of tokens the controller answers this machine only");
      return false;
    }
    const net::Caller* caller = tokens->check(trimmed(in.header("Password")));
    if (caller == nullptr) {
      refuse(out, 403, "unauthorised", "the header Password holds no valid token");
      return false;
    }
    if (!caller->roles.has_any(any_of)) {
      refuse(out, 403, "denied", "this token lacks a role: expected one of " + any_of.text());
      return false;
    }
    in.set_context(caller);
    return true;
  };
}

// A message on its way through the scanner, and what is needed to answer.
struct Pending {
  explicit Pending(std::shared_ptr<MailContext> in) : context(std::move(in)), share(context->budget) {}
  void fail(const base::Error& error) {
    int status = error.code == base::Code::kLimit ? 413 : status_of(error);
    reply->send(status, "application/json", error_json(word_of(error), error.message));
  }

  const std::shared_ptr<MailContext> context;
  BudgetShare share;
  std::shared_ptr<net::DeferredReply> reply;
  std::string header, own_name;  // of the message; as Authentication-Results names us
  double started_s = 0;
  bool quarantines = false;
};

// Takes the message off a request and counts it; null: `out` says why not.
std::unique_ptr<std::string> take_message(MailContext& context, const Request& in, Response& out) {
  if (auto status = refuse_foreign(in); !status) {
    refuse(out, status.error());
    return nullptr;
  }
  auto message = read_message(in, context.message_bytes_max);
  if (!message) {
    bool large = message.error().code == base::Code::kLimit;
    (large ? context.rspamd.oversized : context.rspamd.broken).fetch_add(1, std::memory_order_relaxed);
    refuse(out, message.error());
    return nullptr;
  }
  return std::make_unique<std::string>(std::move(*message));
}

void overloaded(MailContext& context, Response& out) {
  context.rspamd.overloaded.fetch_add(1, std::memory_order_relaxed);
  refuse(out, 503, "overloaded", "too many messages are in progress, try again later");
}

void check(const std::shared_ptr<MailContext>& shared, const Request& in, Response& out) {
  MailContext& context = *shared;
  auto message = take_message(context, in, out);
  if (message == nullptr) return;
  if (message->empty()) return refuse(out, 400, "invalid", "the body is empty: expected a message");
  MailRequest request = read_envelope(in, context.options.recipients_max);
  if (request.received_by.empty()) request.received_by = context.options.own_name;
  auto pending = std::make_shared<Pending>(shared);
  if (!pending->share.hold(message->size())) return overloaded(context, out);
  pending->started_s = now_s();
  pending->header = header_of(*message);
  pending->own_name = request.received_by;
  pending->quarantines = in.has_header("Milter");
  bool explain = same_name(in.header("Tamis-Explain"), "yes");
  request.message = std::move(*message);
  pending->reply = out.defer();
  context.scanner.scan(std::move(request), explain, [pending](base::Result<MailVerdict> result) {
    MailCounters& counters = pending->context->rspamd;
    (result ? counters.scanned : counters.failed).fetch_add(1, std::memory_order_relaxed);
    if (!result) return pending->fail(result.error());
    Shown shown{now_s() - pending->started_s, pending->header, pending->own_name, pending->quarantines};
    pending->reply->send(200, "application/json", verdict_json(*result, shown));
  });
}

// The commonest slip with two ports: 404 alone would not tell which of the two is wrong.
void teach_elsewhere(const Request&, Response& out) {
  refuse(out, 404, "not_found", "this port only scans: teaching is at the controller's (serve --rspamd-controller)");
}

void learn(const std::shared_ptr<MailContext>& shared, MailCorrection::Label label, const Request& in, Response& out) {
  MailContext& context = *shared;
  auto message = take_message(context, in, out);
  if (message == nullptr) return;
  MailCorrection correction;
  correction.label = label;
  correction.id = std::string(trimmed(in.header("Tamis-Id")));
  if (correction.id.empty() == message->empty())
    return refuse(out, 400, "invalid",
                  "expected a message as the body, or the id of a decision as the header Tamis-Id");
  auto pending = std::make_shared<Pending>(shared);
  if (!pending->share.hold(message->size())) return overloaded(context, out);
  correction.message = std::move(*message);
  auto name = [&](const char* header) { return std::string(without_brackets(in.header(header)).substr(0, 1'024)); };
  correction.recipient = name(in.has_header("Deliver-To") ? "Deliver-To" : "Rcpt");
  // A script that speaks for many mailboxes says for which.
  correction.reporter = name(in.has_header("User") ? "User" : "Deliver-To");
  correction.network = std::string(trimmed(in.header("Tamis-Reporter-Ip")));
  const auto* caller = static_cast<const net::Caller*>(in.context());
  if (correction.reporter.empty()) correction.reporter = caller == nullptr ? "controller" : caller->name;
  pending->reply = out.defer();
  context.scanner.learn(std::move(correction), [pending](base::Status status) {
    if (!status) return pending->fail(status.error());
    pending->reply->send(200, "application/json", "{\"success\":true}\n");
  });
}

}  // namespace

net::HttpLimits limits_for(const MailContext& context) {
  net::HttpLimits limits;
  limits.head_bytes_max = 256 * 1024;  // a header line for each recipient
  limits.header_count_max = context.options.recipients_max + 100;
  limits.connections_max = context.options.connections_max;
  limits.connections_per_address_max = context.options.connections_max;  // the mail server is one address
  limits.in_flight_max = context.options.connections_max;
  limits.body_bytes_total_max = context.options.memory_bytes_max;
  limits.body_timeout_ms = context.options.request_timeout_ms;
  limits.head_timeout_ms = context.options.request_timeout_ms;
  return limits;
}

void add_routes(net::HttpServer& server, const std::shared_ptr<MailContext>& shared, bool controller) {
  const MailContext& context = *shared;
  auto options = [&](net::RoleSet any_of, size_t body_bytes_max) {
    net::RouteOptions route{.body_bytes_max = body_bytes_max, .gate = {}};
    if (controller) route.gate = password_gate(context, any_of);
    return route;
  };
  // A packed body is never longer than what it packs, but for a frame's few bytes.
  size_t message_bytes_max = context.message_bytes_max + 1'024;
  for (const char* path : {"/checkv2", "/check"})
    server.post(
        path, [shared](const Request& in, Response& out) { check(shared, in, out); },
        options(kScanners, message_bytes_max));
  server.get("/ping", [](const Request&, Response& out) {
    out.set_content_type("text/plain");
    out.append("pong\r\n");
  });
  using Label = MailCorrection::Label;
  constexpr std::pair<const char*, Label> kLessons[] = {
      {"/learnspam", Label::kSpam}, {"/learnham", Label::kHam}, {"/tamis/forget", Label::kForget}};
  if (!controller) {
    for (auto [path, label] : kLessons) server.post(path, teach_elsewhere, options(kTeachers, message_bytes_max));
    return;
  }
  for (auto [path, label] : kLessons)
    server.post(
        path, [shared, taught = label](const Request& in, Response& out) { learn(shared, taught, in, out); },
        options(kTeachers, message_bytes_max));
  server.get(
      "/stat",
      [shared](const Request&, Response& out) { out.body() = stat_json(shared->scanner.stats(), wall_clock_ms()); },
      options(kReaders, 0));
  server.get(
      "/auth",
      [shared](const Request&, Response& out) { out.body() = stat_json(shared->scanner.stats(), wall_clock_ms()); },
      options(kReaders, 0));
}

}  // namespace tamis::door::rspamd
