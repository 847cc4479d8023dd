#include "net/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

namespace tamis::net {
namespace {

using base::Code;
using base::fail;
using base::Result;

// The newest error of OpenSSL's queue in words; empties the queue. Errors that only say which library another one came
// from ("system lib") are passed over for that other one, where there is one.
std::string openssl_error() {
  unsigned long code = 0;
  while (unsigned long next = ERR_get_error()) {
    bool says_why = ERR_SYSTEM_ERROR(next) || (ERR_GET_REASON(next) & ERR_RFLAG_COMMON) == 0;
    if (code == 0 || says_why) code = next;
  }
  if (code == 0) return "unknown reason";
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : fmt::format("OpenSSL error {:#x}", code);
}

// A BIO on a socket that it does not own. OpenSSL's own calls write(), which raises SIGPIPE when the peer has gone.
int bio_write(BIO* bio, const char* from, int bytes) {
  BIO_clear_retry_flags(bio);
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  auto n = send(fd, from, static_cast<size_t>(bytes), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int bio_read(BIO* bio, char* to, int bytes) {
  BIO_clear_retry_flags(bio);
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  auto n = recv(fd, to, static_cast<size_t>(bytes), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tamis socket");
    if (made == nullptr) return made;
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    BIO_meth_set_create(made, bio_create);
    return made;
  }();
  return method;
}

SSL* new_ssl(SSL_CTX* context, int fd) {
  SSL* ssl = SSL_new(context);
  BIO* bio = socket_method() == nullptr ? nullptr : BIO_new(socket_method());
  if (ssl == nullptr || bio == nullptr) {
    SSL_free(ssl);
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  SSL_set_bio(ssl, bio, bio);
  return ssl;
}

// Forward secrecy and authenticated encryption only (RFC 9325 section 4.2).
constexpr char kCiphers12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

SSL_CTX* new_context(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  if (context == nullptr) return nullptr;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kCiphers12);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return context;
}

constexpr unsigned char kAlpn[] = "\x08http/1.1";

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_bytes, const unsigned char* in, unsigned in_bytes,
                void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_bytes, kAlpn, sizeof kAlpn - 1, in, in_bytes) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2: no protocol in common
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// An encrypted key must be an error, not a question on the terminal.
int no_password(char*, int, int, void*) { return -1; }

Result<SSL_CTX*> load_server_context(const TlsServerOptions& options) {
  ERR_clear_error();
  SSL_CTX* context = new_context(TLS_server_method());
  if (context == nullptr) return fail(Code::kInternal, "cannot make a TLS context: " + openssl_error());
  // Requests are framed, so a client that goes without a close_notify can cut nothing off unseen.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_default_passwd_cb(context, no_password);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  std::string what;
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    what = fmt::format("cannot use the certificate file {}: {}", options.certificate_file, openssl_error());
  else if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    what = fmt::format("cannot use the key file {}: {}", options.key_file, openssl_error());
  else if (SSL_CTX_check_private_key(context) != 1)
    what = fmt::format("the key in {} does not belong to the certificate in {}", options.key_file,
                       options.certificate_file);
  if (what.empty()) return context;
  SSL_CTX_free(context);
  return base::invalid(std::move(what));
}

bool is_ip_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

TlsStream::~TlsStream() { SSL_free(ssl_); }

IoResult TlsStream::result(int returned) {
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
      return {IoState::kWantRead};
    case SSL_ERROR_WANT_WRITE:
      return {IoState::kWantWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {IoState::kEof};
    case SSL_ERROR_SYSCALL:
      error_ = errno != 0 ? std::strerror(errno) : "the peer closed the connection";
      ERR_clear_error();
      return {IoState::kError};
    default: {
      long verified = SSL_get_verify_result(ssl_);
      error_ = openssl_error();
      if (verified != X509_V_OK) error_ += fmt::format(" ({})", X509_verify_cert_error_string(verified));
      return {IoState::kError};
    }
  }
}

IoResult TlsStream::handshake() {
  ERR_clear_error();
  int returned = SSL_do_handshake(ssl_);
  return returned == 1 ? IoResult{IoState::kDone} : result(returned);
}

IoResult TlsStream::read(char* to, size_t bytes) {
  ERR_clear_error();
  size_t n = 0;
  int returned = SSL_read_ex(ssl_, to, bytes, &n);
  return returned == 1 ? IoResult{IoState::kDone, n} : result(returned);
}

IoResult TlsStream::write(const char* from, size_t bytes) {
  ERR_clear_error();
  size_t n = 0;
  int returned = SSL_write_ex(ssl_, from, bytes, &n);
  return returned == 1 ? IoResult{IoState::kDone, n} : result(returned);
}

bool TlsStream::has_pending() const { return SSL_pending(ssl_) > 0; }

void TlsStream::send_close() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string TlsStream::peer_fingerprint() const {
  X509* certificate = SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr) return {};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned bytes = 0;
  std::string text;
  if (X509_digest(certificate, EVP_sha256(), digest, &bytes) == 1)
    for (unsigned i = 0; i < bytes; ++i) text += fmt::format("{:02x}", digest[i]);
  X509_free(certificate);
  return text;
}

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::load(TlsServerOptions options) {
  std::shared_ptr<TlsServerContext> made(new TlsServerContext(std::move(options)));
  TAMIS_CHECK(made->reload());
  return made;
}

TlsServerContext::~TlsServerContext() { SSL_CTX_free(context_); }

base::Status TlsServerContext::reload() {
  TAMIS_TRY(fresh, load_server_context(options_));
  std::lock_guard lock(mutex_);
  SSL_CTX_free(context_);  // counted: connections keep theirs
  context_ = fresh;
  return {};
}

std::unique_ptr<TlsStream> TlsServerContext::accept(int fd) const {
  std::lock_guard lock(mutex_);
  SSL* ssl = new_ssl(context_, fd);
  if (ssl == nullptr) return nullptr;
  SSL_set_accept_state(ssl);
  std::unique_ptr<TlsStream> stream(new TlsStream);
  stream->ssl_ = ssl;
  return stream;
}

Result<std::shared_ptr<TlsClientContext>> TlsClientContext::load(TlsClientOptions options) {
  ERR_clear_error();
  std::string& pin = options.pinned_fingerprint;
  pin.erase(std::remove(pin.begin(), pin.end(), ':'), pin.end());
  std::transform(pin.begin(), pin.end(), pin.begin(), [](char c) { return c >= 'A' && c <= 'F' ? char(c + 32) : c; });
  bool is_hex =
      std::all_of(pin.begin(), pin.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!pin.empty() && (pin.size() != 64 || !is_hex))
    return base::invalid("a pinned fingerprint is the certificate's SHA-256: 64 hexadecimal digits");
  std::shared_ptr<TlsClientContext> made(new TlsClientContext(std::move(options)));
  made->context_ = new_context(TLS_client_method());
  if (made->context_ == nullptr) return fail(Code::kInternal, "cannot make a TLS context: " + openssl_error());
  SSL_CTX_set_alpn_protos(made->context_, kAlpn, sizeof kAlpn - 1);
  if (!made->options_.pinned_fingerprint.empty()) {
    SSL_CTX_set_verify(made->context_, SSL_VERIFY_NONE, nullptr);
    return made;
  }
  SSL_CTX_set_verify(made->context_, SSL_VERIFY_PEER, nullptr);
  const std::string& file = made->options_.ca_file;
  int loaded = file.empty() ? SSL_CTX_set_default_verify_paths(made->context_)
                            : SSL_CTX_load_verify_file(made->context_, file.c_str());
  if (loaded != 1) return base::invalid(fmt::format("cannot use the CA file {}: {}", file, openssl_error()));
  return made;
}

TlsClientContext::~TlsClientContext() { SSL_CTX_free(context_); }

std::unique_ptr<TlsStream> TlsClientContext::connect(int fd, const std::string& host) const {
  SSL* ssl = new_ssl(context_, fd);
  if (ssl == nullptr) return nullptr;
  std::unique_ptr<TlsStream> stream(new TlsStream);
  stream->ssl_ = ssl;
  SSL_set_connect_state(ssl);
  if (is_ip_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host.c_str());
    SSL_set1_host(ssl, host.c_str());
  }
  return stream;
}

}  // namespace tamis::net
