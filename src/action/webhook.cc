#include "action/webhook.h"

#include <algorithm>
#include <charconv>

#include "action/digest.h"
#include "action/json_text.h"
#include "base/file.h"

namespace tamis::action {
namespace {

constexpr size_t kSecretBytesMin = 16, kSecretsMax = 3, kSecretFileBytesMax = 4096;
constexpr size_t kAnswerBytesMax = 64 * 1024;

bool in_network(const uint8_t* address, std::initializer_list<uint8_t> network, int bits) {
  for (uint8_t byte : network) {
    int mask = bits >= 8 ? 0xff : 0xff00 >> bits & 0xff;
    if ((*address++ & mask) != (byte & mask)) return false;
    bits -= 8;
    if (bits <= 0) break;
  }
  return true;
}

bool is_public_v4(const uint8_t* a) {
  return !(in_network(a, {0}, 8) || in_network(a, {10}, 8) || in_network(a, {100, 64}, 10) || in_network(a, {127}, 8) ||
           in_network(a, {169, 254}, 16) || in_network(a, {172, 16}, 12) || in_network(a, {192, 0, 0}, 24) ||
           in_network(a, {192, 0, 2}, 24) || in_network(a, {192, 88, 99}, 24) || in_network(a, {192, 168}, 16) ||
           in_network(a, {198, 18}, 15) || in_network(a, {198, 51, 100}, 24) || in_network(a, {203, 0, 113}, 24) ||
           a[0] >= 224);
}

base::Result<std::vector<std::string>> read_secrets(const std::string& path) {
  TAMIS_TRY(content, base::read_file(path, kSecretFileBytesMax));
  std::vector<std::string> secrets;
  for (size_t at = 0; at < content.size();) {
    size_t end = std::min(content.find('\n', at), content.size());
    std::string line = content.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) secrets.push_back(std::move(line));
    at = end + 1;
  }
  bool good = !secrets.empty() && secrets.size() <= kSecretsMax;
  for (const std::string& secret : secrets) good = good && secret.size() >= kSecretBytesMin;
  if (!good) return base::invalid(path + ": expected one to three lines, each a secret of 16 bytes or more");
  return secrets;
}

base::Status check_options(const ChannelOptions& options) {
  bool name_is_good = !options.name.empty() && options.name.size() <= 64;
  for (char c : options.name) name_is_good = name_is_good && static_cast<uint8_t>(c) > 0x20 && c != 0x7f;
  if (!name_is_good || !is_valid_utf8(options.name)) return base::invalid("its name is empty, too long or has blanks");
  if (options.topics.empty()) return base::invalid("it has no topics");
  if (options.concurrency < 1 || options.concurrency > 16) return base::invalid("its concurrency is not 1 to 16");
  if (options.timeout_ms < 1 || options.connect_timeout_ms < 1) return base::invalid("a timeout is not positive");
  if (options.backoff_first_ms < 1 || options.backoff_max_ms < options.backoff_first_ms || options.give_up_ms < 0) {
    return base::invalid("its back-off is not positive, or falls");
  }
  return {};
}

}  // namespace

bool Channel::wants(std::string_view topic) const {
  return std::any_of(options.topics.begin(), options.topics.end(), [&](std::string_view wanted) {
    if (wanted.empty() || wanted.back() != '*') return wanted == topic;
    wanted.remove_suffix(1);
    return topic.substr(0, wanted.size()) == wanted;
  });
}

base::Result<Channel> open_channel(const ChannelOptions& options) {
  auto fault = [&](const base::Error& error) {
    return base::fail(error.code, "channel \"" + fit_text(options.name, 64) + "\": " + error.message);
  };
  if (auto good = check_options(options); !good) return fault(good.error());
  Channel channel;
  channel.options = options;
  std::string_view url = options.url;
  bool plain = url.substr(0, 7) == "http://", secure = url.substr(0, 8) == "https://";
  if (!plain && !secure) return fault({base::Code::kInvalid, "its url is not https://HOST/PATH"});
  if (plain && !options.allow_private) {
    return fault({base::Code::kInvalid, "its url is http://, which is for private addresses only: use https://"});
  }
  size_t slash = url.find_first_of("/?#", secure ? 8 : 7);
  channel.origin = url.substr(0, slash);
  channel.path = slash == std::string_view::npos ? "/" : std::string(url.substr(slash));
  bool path_is_good = channel.path.front() == '/' && channel.path.find('#') == std::string::npos;
  for (char c : channel.path)
    path_is_good = path_is_good && static_cast<uint8_t>(c) > 0x20 && static_cast<uint8_t>(c) < 0x7f;
  if (!path_is_good) return fault({base::Code::kInvalid, "the path of its url is not plain ASCII without a fragment"});
  auto secrets = read_secrets(options.secret_file);
  if (!secrets) return fault(secrets.error());
  channel.secrets = std::move(*secrets);
  if (secure) {
    net::TlsClientOptions tls_options;
    tls_options.ca_file = options.ca_file;
    auto tls = net::TlsClientContext::load(tls_options);
    if (!tls) return fault(tls.error());
    channel.tls = std::move(*tls);
  }
  net::HttpClientOptions client;
  client.tls = channel.tls;
  if (auto opened = net::HttpClient::open(channel.origin, client); !opened) return fault(opened.error());
  return channel;
}

std::string signature(const std::vector<std::string>& secrets, int64_t unix_s, std::string_view body) {
  std::string time = std::to_string(unix_s), out = "t=" + time;
  std::string covered = time + ".";
  covered += body;
  for (const std::string& secret : secrets) out += ",v1=" + hmac_sha256_hex(secret, covered);
  return out;
}

bool is_public(const net::PeerAddress& address) {
  const uint8_t* a = address.bytes.data();
  if (address.family == net::PeerAddress::Family::kIp4) return is_public_v4(a);
  if (address.family != net::PeerAddress::Family::kIp6) return false;
  // Of IPv6 only 2000::/3 is global, and of that not protocol assignments, documentation and 6to4.
  return in_network(a, {0x20}, 3) && !in_network(a, {0x20, 0x01, 0x00}, 23) &&
         !in_network(a, {0x20, 0x01, 0x0d, 0xb8}, 32) && !in_network(a, {0x20, 0x02}, 16) &&
         !in_network(a, {0x3f, 0xff, 0x00}, 20);
}

int64_t backoff_ms(const ChannelOptions& options, uint32_t attempts, uint64_t hash) {
  int64_t wait = options.backoff_first_ms;
  for (uint32_t i = 1; i < attempts && wait < options.backoff_max_ms; ++i) wait *= 2;
  wait = std::min(wait, options.backoff_max_ms);
  return wait - static_cast<int64_t>(hash % (static_cast<uint64_t>(wait) / 2 + 1));
}

Attempt deliver(net::HttpClient& client, const Channel& channel, const OutboxItem& item, const std::string& body,
                int64_t now_ms) {
  net::HttpCall call;
  call.method = "POST";
  call.path = channel.path;
  call.body = body;
  call.headers = {{"User-Agent", "Tamis"},
                  {"Tamis-Signature", signature(channel.secrets, now_ms / 1'000, body)},
                  {"Idempotency-Key", item.key},
                  {"Tamis-Topic", item.topic},
                  {"Tamis-Attempt", std::to_string(item.attempts + 1)}};
  // What a receiver says to a success is of no interest; one that goes on and on is not listened to.
  size_t heard = 0;
  call.sink = [&heard](std::string_view piece) { return (heard += piece.size()) < kAnswerBytesMax; };
  auto answer = client.call(call);
  Attempt attempt;
  if (!answer) {
    // A request that cannot even be written will not be better later.
    attempt.outcome = answer.error().code == base::Code::kInvalid ? Attempt::Outcome::kDead : Attempt::Outcome::kRetry;
    attempt.error = fit_text(answer.error().message, 500);
    return attempt;
  }
  attempt.status = answer->status;
  if (answer->status >= 200 && answer->status < 300) {
    attempt.outcome = Attempt::Outcome::kDelivered;
    return attempt;
  }
  bool lasting = answer->status >= 400 && answer->status < 500 && answer->status != 408 && answer->status != 429;
  attempt.outcome = lasting ? Attempt::Outcome::kDead : Attempt::Outcome::kRetry;
  attempt.error = fit_text("HTTP " + std::to_string(answer->status) + ": " + answer->body, 300);
  std::string_view after = answer->header("retry-after");
  int64_t seconds = 0;
  if (std::from_chars(after.data(), after.data() + after.size(), seconds).ec == std::errc() && seconds > 0) {
    attempt.retry_after_ms = std::min<int64_t>(seconds, 86'400) * 1'000;
  }
  return attempt;
}

}  // namespace tamis::action
