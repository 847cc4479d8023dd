// Webhook: one channel's way out, without queue and threads. Private to this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "action/outbox.h"
#include "net/http_client.h"
#include "net/socket.h"
#include "net/tls.h"

namespace tamis::action {

struct Channel {
  ChannelOptions options;
  std::string origin;  // "https://host:port"
  std::string path;
  std::vector<std::string> secrets;
  std::shared_ptr<net::TlsClientContext> tls;

  bool wants(std::string_view topic) const;
};
base::Result<Channel> open_channel(const ChannelOptions& options);

// "t=UNIX,v1=HEX,v1=HEX"
std::string signature(const std::vector<std::string>& secrets, int64_t unix_s, std::string_view body);

// Whether anybody on the Internet can have this address: not of a loopback, private, link-local, shared, documentation,
// benchmark or multicast network, nor of one that leads to such by translation (RFC 6890 and its registries).
bool is_public(const net::PeerAddress& address);

// From the count of failed attempts, the first being 1: the doubled wait, less up to its half by `hash`.
int64_t backoff_ms(const ChannelOptions& options, uint32_t attempts, uint64_t hash);

struct Attempt {
  enum class Outcome : uint8_t { kDelivered, kRetry, kDead } outcome = Outcome::kRetry;
  int status = 0;
  int64_t retry_after_ms = 0;
  std::string error;
};
Attempt deliver(net::HttpClient& client, const Channel& channel, const OutboxItem& item, const std::string& body,
                int64_t now_ms);

}  // namespace tamis::action
