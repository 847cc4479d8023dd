// A whole request of rspamd's protocol as arbitrary bytes: through the HTTP session and the routes' own reading of
// headers and packed bodies, and the answer that a verdict on it gets.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "door/mail_scanner_test_kit.h"
#include "door/rspamd_wire.h"
#include "event/json_event.h"
#include "net/http_session.h"

namespace {

using namespace tamis;

constexpr size_t kMessageBytesMax = 64 * 1024;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

class Unbounded : public net::InFlight {
 public:
  bool try_add() override { return true; }
  void add() override {}
  void remove() override {}
};

void check_json(const std::string& text) {
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = text.size() + 1;
  check(event::JsonReader::to_value(text, arena, limits).has_value(), "an answer that is no JSON");
}

void handle(const net::Request& in, net::Response& out) {
  if (auto status = door::rspamd::refuse_foreign(in); !status) {
    out.body() = door::rspamd::error_json("denied", status.error().message);
    return check_json(out.body());
  }
  auto message = door::rspamd::read_message(in, kMessageBytesMax);
  if (!message) {
    out.body() = door::rspamd::error_json("invalid", message.error().message);
    return check_json(out.body());
  }
  check(message->size() <= kMessageBytesMax, "a message beyond the limit");
  door::MailRequest request = door::rspamd::read_envelope(in, 8);
  check(request.recipients.size() <= 8, "recipients beyond the limit");
  // What the sender wrote comes back in names, reasons and headers.
  door::FakeScanner scanner;
  scanner.reply = request.sender;
  request.message = std::move(*message);
  std::string text = request.message.substr(0, 200), name = request.helo;
  scanner.scan(std::move(request), false, [&](base::Result<door::MailVerdict> verdict) {
    if (!verdict) return;
    verdict->symbols.push_back({name, 1, text});
    verdict->add_headers.push_back({name, text});
    out.body() = door::rspamd::verdict_json(*verdict, {0.5, text, name, false});
    check_json(out.body());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  net::Router router;
  router.add(net::Method::kPost, "/checkv2", {handle, nullptr, {.body_bytes_max = kMessageBytesMax, .gate = {}}});
  net::HttpLimits limits;
  net::HttpServerStats stats;
  net::ExchangePool pool;
  Unbounded in_flight;
  net::SessionEnv env;
  env.router = &router;
  env.limits = &limits;
  env.pool = &pool;
  env.in_flight = &in_flight;
  env.stats = &stats;
  net::PeerAddress peer;
  net::HttpSession session(env);
  session.open(&peer, false, [](uint64_t) { return nullptr; });
  // The fuzzer writes headers and a body; the length is right.
  size_t body = bytes.find("\r\n\r\n");
  std::string head = "POST /checkv2 HTTP/1.0\r\n" + bytes.substr(0, body);
  std::string rest = body == std::string::npos ? std::string() : bytes.substr(body + 4);
  std::string whole = head + "\r\nContent-Length: " + std::to_string(rest.size()) + "\r\n\r\n" + rest;
  for (std::string_view left = whole; !left.empty() && session.wants_read();) {
    auto space = session.read_space();
    size_t n = std::min(space.size(), left.size());
    std::memcpy(space.data(), left.data(), n);
    session.received(n);
    left.remove_prefix(n);
    while (session.wants_write()) session.sent(session.output().size());
  }
  session.close();
  return 0;
}
