// HttpClient: a small blocking HTTP/1.1 client for the command line, webhooks and tests. One server, one connection at
// a time, kept open between requests. Not thread-safe; everything ends within the timeouts.
//
//   TAMIS_TRY(client, HttpClient::open("http://127.0.0.1:8080"));
//   TAMIS_TRY(answer, client.post("/v1/decide/login", event_json));
//   if (answer.status == 200) ...
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tamis::net {

class TlsClientContext;  // net/tls.h
struct PeerAddress;      // net/socket.h

struct HttpClientOptions {
  int connect_timeout_ms = 5'000;  // and of the TLS handshake
  int io_timeout_ms = 30'000;      // without a byte moving in either direction
  int total_timeout_ms = 0;        // of a call behind the connecting, however the bytes drip; 0: no bound
  size_t head_bytes_max = 64 * 1024;
  size_t body_bytes_max = size_t{64} << 20;  // of an answer that is collected, not streamed
  // Asked before a connection to an address of the server is made, whatever its name resolves to just then: false
  // refuses it. Null: all addresses may be connected to.
  std::function<bool(const PeerAddress&)> may_connect = nullptr;
  // Asked at least every 100 ms while a call waits; true ends it with an error. Null: nothing ends it.
  std::function<bool()> cancelled = nullptr;
  std::string bearer_token = {};  // sent with every request
  // For https. Null: the system's authorities.
  std::shared_ptr<TlsClientContext> tls = nullptr;
};

struct HttpAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // empty when it went to a sink

  // First value, empty when absent; the name in any case.
  std::string_view header(std::string_view name) const;
};

struct HttpCall {
  std::string method = "GET";
  std::string path = "/";  // with the query, already escaped
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string content_type = "application/json";  // sent when there is a body
  std::string body = {};
  // Instead of `body`: appends the next piece to its argument, false when there is none. Sent chunked, while the answer
  // is read at the same time, so a stream of any length needs constant memory.
  std::function<bool(std::string& piece)> source = nullptr;
  // Receives the body of a 2xx answer in pieces; false stops and closes the connection. Others are collected.
  std::function<bool(std::string_view piece)> sink = nullptr;
};

class HttpClient {
 public:
  // "http://HOST[:PORT]", "https://HOST[:PORT]" or "unix:PATH". Connects with the first request.
  static base::Result<HttpClient> open(std::string_view url, HttpClientOptions options = {});
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Any status is a value; errors are those of the network and of the protocol. A request on a kept connection that
  // turns out to be closed is sent again on a new one when its method is idempotent.
  base::Result<HttpAnswer> call(const HttpCall& call);
  base::Result<HttpAnswer> get(std::string_view path);
  base::Result<HttpAnswer> post(std::string_view path, std::string body);

  // Drops the kept connection.
  void close();

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::net
