// TLS on non-blocking sockets, by OpenSSL 3: TLS 1.2 (ECDHE with AEAD only) and 1.3, no renegotiation, no compression,
// ALPN "http/1.1". A context holds certificates and is shared by threads; a stream belongs to one connection and
// thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// OpenSSL's own types, so that its headers stay out of here.
struct ssl_st;
struct ssl_ctx_st;

namespace tamis::net {

enum class IoState : uint8_t { kDone, kWantRead, kWantWrite, kEof, kError };
struct IoResult {
  IoState state;
  size_t bytes = 0;  // with kDone
};

// Encrypts one connection. Does not own the socket, which must outlive it. Writes never raise SIGPIPE.
class TlsStream {
 public:
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Call until kDone.
  IoResult handshake();
  IoResult read(char* to, size_t bytes);
  // May be repeated with other memory that begins with the same bytes.
  IoResult write(const char* from, size_t bytes);
  // Decrypted bytes wait inside, so the socket's readability says nothing.
  bool has_pending() const;
  // Tells the peer that nothing follows. Best effort, never blocks.
  void send_close();
  // After kError: why, in words.
  const std::string& error() const { return error_; }
  // SHA-256 of the peer's certificate (DER) in lower-case hexadecimal, empty when there is none.
  std::string peer_fingerprint() const;

 private:
  friend class TlsServerContext;
  friend class TlsClientContext;
  TlsStream() = default;
  IoResult result(int returned);

  ssl_st* ssl_ = nullptr;
  std::string error_;
};

struct TlsServerOptions {
  std::string certificate_file = {};  // PEM: the server's certificate, then intermediates
  std::string key_file = {};          // PEM, unencrypted
};

class TlsServerContext {
 public:
  // Errors name the file and the reason; a key that does not match its certificate is one.
  static base::Result<std::shared_ptr<TlsServerContext>> load(TlsServerOptions options);
  ~TlsServerContext();
  // Reads the files again; connections that exist keep theirs. On an error the old certificate stays in use.
  base::Status reload();
  // Null when memory is exhausted.
  std::unique_ptr<TlsStream> accept(int fd) const;

 private:
  explicit TlsServerContext(TlsServerOptions options) : options_(std::move(options)) {}

  const TlsServerOptions options_;
  mutable std::mutex mutex_;  // guards context_
  ssl_ctx_st* context_ = nullptr;
};

struct TlsClientOptions {
  std::string ca_file = {};             // PEM; empty: the system's authorities
  std::string pinned_fingerprint = {};  // SHA-256 of the certificate in hexadecimal: then nothing else is checked
};

class TlsClientContext {
 public:
  static base::Result<std::shared_ptr<TlsClientContext>> load(TlsClientOptions options);
  ~TlsClientContext();
  // `host` is verified against the certificate and sent as SNI when it is a name. A pin is checked by handshake(). Null
  // when memory is exhausted.
  std::unique_ptr<TlsStream> connect(int fd, const std::string& host) const;
  const std::string& pinned_fingerprint() const { return options_.pinned_fingerprint; }

 private:
  explicit TlsClientContext(TlsClientOptions options) : options_(std::move(options)) {}

  const TlsClientOptions options_;
  ssl_ctx_st* context_ = nullptr;
};

}  // namespace tamis::net
