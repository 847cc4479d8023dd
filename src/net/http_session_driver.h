// For tests and the fuzzer: an HttpSession with a few routes, driven with bytes instead of a socket. Records what the
// handlers saw, so that two runs can be compared.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_session.h"

namespace tamis::net {

class SessionDriver : public InFlight {
 public:
  explicit SessionDriver(HttpLimits with = {}) : limits(with), session_(env_) {
    env_.router = &router;
    env_.limits = &limits;
    env_.pool = &pool_;
    env_.in_flight = this;
    env_.stats = &stats;
    env_.now_ms = 1'000'000;
    add_routes();
    session_.open(&peer_, false, [this](uint64_t number) { return make_reply(number); });
  }
  ~SessionDriver() override { session_.close(); }

  // Feeds bytes in one piece (as far as the session takes them) and collects the output.
  void feed(std::string_view bytes) {
    while (!bytes.empty() && session_.wants_read()) {
      auto space = session_.read_space();
      size_t n = std::min(space.size(), bytes.size());
      std::memcpy(space.data(), bytes.data(), n);
      session_.received(n);
      bytes.remove_prefix(n);
      if (take_output) collect();
    }
  }
  void feed_eof() {
    if (session_.wants_read()) session_.received_eof();
    if (take_output) collect();
  }
  // Takes up to `bytes_max` of the output, as a slow reader does.
  size_t collect(size_t bytes_max = SIZE_MAX) {
    size_t total = 0;
    while (session_.wants_write() && total < bytes_max) {
      std::string_view text = session_.output().substr(0, bytes_max - total);
      output.append(text);
      total += text.size();
      session_.sent(text.size());
    }
    return total;
  }
  // Lets time pass; true when the session's deadline fired.
  bool advance(uint64_t ms) {
    env_.now_ms += ms;
    if (session_.finished() || env_.now_ms < session_.deadline_ms()) return false;
    session_.on_timeout();
    collect();
    return true;
  }
  HttpSession& session() { return session_; }
  SessionEnv& env() { return env_; }

  // What the handlers saw, one entry per request or line.
  std::vector<std::string> seen;
  std::string output;
  bool take_output = true;
  HttpLimits limits;
  HttpServerStats stats;
  Router router;
  size_t in_flight = 0;
  size_t in_flight_limit = 100;
  size_t streams_alive = 0;
  int pieces_max = 1'000;      // of 1000 bytes, of GET /pieces
  size_t big_bytes = 100'000;  // of GET /big
  std::shared_ptr<DeferredReply> deferred;

  bool try_add() override {
    if (in_flight >= in_flight_limit) return false;
    ++in_flight;
    return true;
  }
  void add() override { ++in_flight; }
  void remove() override { --in_flight; }

 private:
  struct Reply : DeferredReply {
    Reply(SessionDriver& to, uint64_t number) : driver(to), request_number(number) {}
    void send(int status, std::string_view type, std::string body) override {
      driver.session_.complete_deferred(request_number, status, type, std::move(body));
      if (driver.take_output) driver.collect();
    }
    SessionDriver& driver;
    uint64_t request_number;
  };
  std::shared_ptr<DeferredReply> make_reply(uint64_t number) { return std::make_shared<Reply>(*this, number); }

  struct Lines : LineStream {
    explicit Lines(SessionDriver& to) : driver(to) { ++driver.streams_alive; }
    ~Lines() override { --driver.streams_alive; }
    void on_line(std::string_view line, uint64_t, Response& out) override {
      driver.seen.push_back("line " + std::string(line));
      out.append(line);
      out.append("\n");
      if (line == "stop") out.finish();
    }
    void on_overlong_line(uint64_t, Response& out) override {
      driver.seen.push_back("overlong");
      out.append("overlong\n");
    }
    void on_end(Response&) override { driver.seen.push_back("end"); }
    SessionDriver& driver;
  };
  // Writes a long answer piece by piece.
  struct Pieces : StreamHandler {
    explicit Pieces(int max) : pieces_max(max) {}
    size_t on_body(const StreamInput& in, Response& out) override {
      out.append(std::string(1000, static_cast<char>('a' + pieces % 26)));
      if (++pieces < pieces_max) out.call_again();
      return in.data.size();
    }
    const int pieces_max;
    int pieces = 0;
  };

  void record(const Request& in) {
    std::string text(method_name(in.method()));
    text.append(" ").append(in.path()).append("?").append(in.query());
    for (const Header& header : in.headers()) text.append("|").append(header.name).append("=").append(header.value);
    text.append("|").append(in.param(0)).append("|").append(in.param(1)).append("|").append(in.body());
    seen.push_back(std::move(text));
  }
  void add_routes() {
    Handler echo = [this](const Request& in, Response& out) {
      record(in);
      out.append(in.body());
    };
    router.add(Method::kGet, "/", {echo, nullptr, {}});
    router.add(Method::kPost, "/echo", {echo, nullptr, {.body_bytes_max = 100'000}});
    router.add(Method::kPost, "/v1/decide/{type}", {echo, nullptr, {}});
    router.add(Method::kPut, "/a/{x}/b/{y...}", {echo, nullptr, {}});
    Gate gate = [](const Request& in, Response& out) {
      out.add_header("X-Gate", "seen");
      if (in.bearer_token() == "sesame") return true;
      out.set_error(401, "unauthorised", "a token is needed");
      return false;
    };
    router.add(Method::kPost, "/gated", {echo, nullptr, {.gate = gate}});
    router.add(Method::kPost, "/named",
               {echo, nullptr, {.gate = gate, .query_names = std::vector<std::string>{"a b", "c"}}});
    router.add(Method::kPost, "/unasked", {echo, nullptr, {.query_names = std::vector<std::string>()}});
    router.add(Method::kGet, "/none", {[](const Request&, Response& out) { out.set_status(204); }, nullptr, {}});
    router.add(Method::kGet, "/big",
               {[this](const Request&, Response& out) { out.append(std::string(big_bytes, 'x')); }, nullptr, {}});
    router.add(Method::kPost, "/later",
               {[this](const Request& in, Response& out) {
                  record(in);
                  deferred = out.defer();
                },
                nullptr,
                {}});
    StreamFactory lines = [this](const Request&, Response& out) {
      out.set_content_type("application/x-ndjson");
      return std::make_unique<Lines>(*this);
    };
    router.add(Method::kPost, "/lines", {nullptr, lines, {.body_bytes_max = 0, .stream_buffer_bytes = 4096}});
    router.add(Method::kGet, "/pieces",
               {nullptr, [this](const Request&, Response&) { return std::make_unique<Pieces>(pieces_max); }, {}});
    router.add(Method::kPost, "/refused",
               {nullptr,
                [](const Request&, Response& out) -> std::unique_ptr<StreamHandler> {
                  out.set_error(409, "conflict", "not now");
                  return nullptr;
                },
                {}});
  }

  SessionEnv env_;
  ExchangePool pool_;
  PeerAddress peer_;
  HttpSession session_;
};

// Statuses of the answers in `output`, without 100 Continue.
inline std::vector<int> statuses(std::string_view output) {
  std::vector<int> found;
  constexpr std::string_view kStart = "HTTP/1.1 ";
  for (size_t at = output.find(kStart); at != std::string_view::npos; at = output.find(kStart, at + 1)) {
    int status = std::atoi(std::string(output.substr(at + kStart.size(), 3)).c_str());
    if (status >= 200) found.push_back(status);
  }
  return found;
}

}  // namespace tamis::net
