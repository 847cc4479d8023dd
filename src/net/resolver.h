// Resolver: asks DNS without blocking. The interface is what door/mail_auth.h knows; tests and simulations put a fake
// behind it (net/resolver_test_kit.h), a server opens the real one:
//
//   TAMIS_TRY(resolver, open_resolver("system", {}, clock));    // or "off", or "192.0.2.53,[2001:db8::53]:5353"
//   resolver->ask({DnsType::kTxt, "example.com"}, 2'000, [](const std::shared_ptr<const DnsAnswer>& answer) { ... });
//
// Threading: ask() may be called from any thread, also from `done`. `done` is called exactly once: before ask() returns
// if the answer is cached or DNS is off, else on the resolver's thread, at the latest a tick after `timeout_ms`. It
// must not block. A resolver that ends answers all open questions with kFailed and returns when the last `done` has.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "event/dns.h"

namespace tamis::net {

struct ResolverStats {
  uint64_t asked = 0;        // ask() calls
  uint64_t from_cache = 0;   // answered by the cache
  uint64_t joined = 0;       // joined an equal question that was under way
  uint64_t sent = 0;         // questions given to the network
  uint64_t timed_out = 0;    // callers that ran out of time
  uint64_t failed = 0;       // questions that ended without an answer
  uint64_t turned_away = 0;  // for lack of room
  uint64_t cache_entries = 0, cache_bytes = 0;
  uint64_t in_flight = 0, waiting = 0;  // now: questions under way, callers that wait
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  using Done = std::function<void(const std::shared_ptr<const event::DnsAnswer>&)>;
  virtual void ask(const event::DnsQuestion& question, int64_t timeout_ms, Done done) = 0;
  virtual bool is_off() const { return false; }
  virtual ResolverStats stats() const { return {}; }
};

struct ResolverOptions {
  // Of one attempt, and attempts at each server. A caller's own time limit may be shorter: the question goes on for the
  // cache, up to timeout_ms * attempts (twice that with backing off) for each server.
  int64_t timeout_ms = 1'000;
  int attempts = 2;
  size_t in_flight_max = 256;   // questions on the network; more wait for their turn
  size_t waiting_max = 16'384;  // callers; more are answered with kFailed at once
  size_t cache_entries_max = 32'768;
  size_t cache_bytes_max = size_t{16} << 20;
  // Answers are kept for their TTL within these bounds; names and records that do not exist for their negative TTL, at
  // most negative_ttl_max_s; failures and timeouts for failure_ttl_s, so that a dead server is not asked by every
  // message.
  uint32_t ttl_min_s = 1, ttl_max_s = 86'400, negative_ttl_max_s = 900, failure_ttl_s = 5;
};

// "off": every question is answered with kOff at once. "system": the servers of /etc/resolv.conf. Else up to eight
// servers HOST[:PORT], as addresses ([v6]:PORT), parted by commas. `clock` must outlive the resolver.
base::Result<std::unique_ptr<Resolver>> open_resolver(std::string_view servers, const ResolverOptions& options,
                                                      const base::Clock& clock);

}  // namespace tamis::net
