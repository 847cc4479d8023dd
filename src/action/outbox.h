// Outbox: what leaves the house. Notices go as signed webhooks to the channels that want their topic, each at least
// once, with a key by which the receiver knows a repetition. The service enqueues, senders deliver, `tamis outbox` and
// the API show what waits and what was given up.
//
// A delivery is one HTTP POST of the notice's JSON body with these headers:
//   Tamis-Signature: t=UNIX,v1=HEX   HMAC-SHA-256 over "UNIX.BODY" under the channel's secret; one v1 for each secret
//   Idempotency-Key: KEY             the same for each repetition of the notice
//   Tamis-Topic, Tamis-Attempt
// 2xx is delivered. 408, 429, 3xx (redirects are not followed), 5xx and failures of the network are tried again, later
// and later (doubled from backoff_first_ms to backoff_max_ms, less up to half by a hash of key and attempt; Retry-After
// is heeded), until give_up_ms have passed. Any other 4xx is dead at once. Dead letters wait for a person, who tries
// them again or drops them. While a channel fails time after time, it is tried only now and then.
//
// Order. Notices of one channel with the same `order` (an account, say) go one after the other; a later one waits until
// the earlier one is delivered or dead. Others overtake each other.
//
// Durability. FOLDER/outbox.db (SQLite, write-ahead log, synced at each commit). enqueue() only fills a buffer, which
// is committed every sync_ms; sync() waits for that. After a crash the service enqueues again what its journal tells
// since the last snapshot: keys that are queued, dead, or were delivered within done_keep_ms are ignored. So call
// sync() before a snapshot is given its name.
//
// Limits. A full queue (rows or bytes, dead letters included) refuses what is new (kLimit, counted): what was accepted
// is never lost to make room. Dead letters beyond dead_max or older than dead_keep_ms are dropped, the oldest first,
// counted. A body that is too large is refused.
//
// Threading: all methods from any thread. start() makes `concurrency` threads for each channel and one that commits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace tamis::action {

struct ChannelOptions {
  std::string name = {};
  std::string url = {};  // "https://HOST[:PORT]/PATH?QUERY"; http:// only where private addresses are allowed
  // Up to three lines, each a secret of at least 16 bytes; the first is the newest. Never logged.
  std::string secret_file = {};
  std::vector<std::string> topics = {};  // "decision.changed", "notify.*", "*"
  uint32_t concurrency = 2;              // 1 to 16
  int connect_timeout_ms = 5'000;
  int timeout_ms = 10'000;     // of a whole delivery
  bool allow_private = false;  // addresses of this machine, of private networks and other special ones
  std::string ca_file = {};    // PEM; empty: the system's authorities. Certificates are always verified
  int64_t backoff_first_ms = 1'000;
  int64_t backoff_max_ms = 3'600'000;
  int64_t give_up_ms = int64_t{3} * 86'400'000;
};

struct OutboxOptions {
  uint64_t items_max = 1'000'000;
  uint64_t bytes_max = uint64_t{1} << 30;           // of bodies
  uint64_t body_bytes_max = 256 * 1024;             // of one
  uint64_t pending_bytes_max = uint64_t{64} << 20;  // enqueued and not yet committed
  uint64_t dead_max = 100'000;
  int64_t dead_keep_ms = int64_t{30} * 86'400'000;
  int64_t done_keep_ms = int64_t{7} * 86'400'000;
  uint64_t done_max = 5'000'000;  // keys of what was delivered
  int sync_ms = 10;
};

struct Notice {
  std::string topic;
  std::string key;    // of the notice, at most 200 bytes of ASCII: record number and place in it, say
  std::string order;  // at most 1024 bytes; empty: any order
  std::string body;   // JSON
};

struct OutboxItem {
  uint64_t id = 0;
  std::string channel, topic, key, order;
  enum class State : uint8_t {
    kQueued,
    kDead,
    kBehind
  } state = State::kQueued;  // kBehind: an earlier one of its order
  uint64_t body_bytes = 0;
  uint32_t attempts = 0;
  int64_t enqueued_ms = 0, next_ms = 0;
  int last_status = 0;     // of HTTP; 0: there was no answer
  std::string last_error;  // with the start of the answer
};

struct OutboxFilter {
  std::string channel = {};
  bool dead = true;       // dead letters, else what waits
  uint64_t after_id = 0;  // for the next page
  size_t limit = 100;
};

struct ChannelStats {
  std::string name;  // also of channels that are no longer configured, whose items wait
  bool configured = false;
  uint64_t queued = 0, dead = 0;
  uint64_t delivered = 0, failed = 0;  // attempts since start
  int64_t oldest_ms = 0;               // of what waits; 0: nothing does
  int64_t paused_until_ms = 0;         // it fails time after time
  std::string last_error;
};

struct OutboxStats {
  std::vector<ChannelStats> channels;
  uint64_t refused = 0;   // by a full queue
  uint64_t repeated = 0;  // keys that were known
  uint64_t dropped = 0;   // dead letters beyond their limits
  uint64_t pending_bytes = 0;
  std::string failure;  // why the last commit failed
};

class Outbox {
 public:
  // Errors name the channel and what is wrong: its url, its secret file, a name twice; or the folder: no access, in use
  // by another process, damaged.
  static base::Result<std::unique_ptr<Outbox>> open(const std::string& folder, std::vector<ChannelOptions> channels,
                                                    const base::Clock& clock, OutboxOptions options = {});
  virtual ~Outbox() = default;  // stops, and commits what is pending

  virtual void start() = 0;
  // Ends the deliveries under way (within about 100 ms, or connect_timeout_ms) and waits for the senders. enqueue() and
  // sync() go on working.
  virtual void stop() = 0;

  // For how many channels it is. Never blocks for the disk.
  virtual base::Result<size_t> enqueue(const Notice& notice) = 0;
  virtual base::Status sync() = 0;

  virtual OutboxStats stats() const = 0;
  virtual base::Result<std::vector<OutboxItem>> list(const OutboxFilter& filter) const = 0;
  virtual base::Result<std::string> body(uint64_t id) const = 0;
  // Dead letters again, from the first attempt on; behind others of their order. Gives how many there were.
  virtual base::Result<uint64_t> retry(std::span<const uint64_t> ids) = 0;
  // Whatever state they are in.
  virtual base::Result<uint64_t> drop(std::span<const uint64_t> ids) = 0;
  // Drops everything whose body, key or order has this text (letter case of ASCII ignored).
  virtual base::Result<uint64_t> erase(std::string_view text) = 0;
  // Drops everything that was enqueued before that time, in whatever state.
  virtual base::Result<uint64_t> forget(int64_t before_ms) = 0;
};

}  // namespace tamis::action
