// Bearer tokens (RFC 6750) with roles, for doors that programs and people call.
//
// A token is `tok_` + 8 hexadecimal digits that name it + `_` + 43 characters that hold 256 random bits. It is shown
// once, when it is made; what is kept is one line of the tokens file:
//
//   # name : roles : hash
//   billing-service:decide,ingest:v1.5f0c93ab.<salt, 32 hex digits>.<SHA-256 of salt and token, 64 hex digits>
//
// Why a plain salted SHA-256 and no slow key derivation: those exist because people choose passwords that can be
// guessed. 256 random bits cannot be, at any speed of guessing; the hash only has to be one-way, and cheap checks keep
// a flood of bad tokens from becoming a denial of service. The salt keeps equal tokens in two files from looking equal.
// The eight digits find the line, so a check hashes at most once however many tokens exist; they are no secret and may
// be logged, the rest must not be.
//
// Threading: a TokenStore may be used from all threads. Cost of check(): under 0.3 us for a token seen lately (a cache
// holds its keyed SipHash, never the token), about a microsecond else. Comparisons take constant time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "net/http_server.h"
#include "net/rate_limit.h"

namespace tamis::net {

enum class Role : uint8_t {
  kIngest,   // send events without waiting for a decision
  kDecide,   // ask for decisions
  kAnalyst,  // read everything, change rules, lists and labels
  kSupport,  // read decisions and explanations
  kMetrics,  // read metrics
  kAdmin,    // everything
};
std::string_view role_name(Role role);

// A set of roles. Admin contains all others.
class RoleSet {
 public:
  constexpr RoleSet() = default;
  constexpr RoleSet(Role role) : bits_(bit(role)) {}
  constexpr RoleSet operator|(RoleSet other) const { return from_bits(bits_ | other.bits_); }
  constexpr bool has(Role role) const { return (bits_ & (bit(role) | bit(Role::kAdmin))) != 0; }
  constexpr bool has_any(RoleSet of) const { return (bits_ & (of.bits_ | bit(Role::kAdmin))) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const RoleSet&) const = default;
  // "decide,ingest"; the error names the word that is no role.
  static base::Result<RoleSet> parse(std::string_view text);
  std::string text() const;

 private:
  static constexpr uint32_t bit(Role role) { return 1u << static_cast<unsigned>(role); }
  static constexpr RoleSet from_bits(uint32_t bits) {
    RoleSet set;
    set.bits_ = bits;
    return set;
  }
  uint32_t bits_ = 0;
};
constexpr RoleSet operator|(Role a, Role b) { return RoleSet(a) | RoleSet(b); }

// Who presented a token. Stays valid as long as its TokenStore.
struct Caller {
  std::string name;
  std::string id;  // the eight digits
  RoleSet roles;
  uint64_t limit_key = 0;  // for rate limits
};

struct NewToken {
  std::string token;  // show once, never keep
  std::string line;   // for the tokens file, without the line end
};

class TokenStore {
 public:
  static constexpr size_t kTokensMax = 10'000;
  static constexpr size_t kFileBytesMax = 4 << 20;

  // Reads a tokens file. Errors name the file and the line.
  static base::Result<std::unique_ptr<TokenStore>> load(std::string path);
  // The same from text, for tests; `name` stands for the file in errors.
  static base::Result<std::unique_ptr<TokenStore>> parse(std::string_view text, std::string name);
  ~TokenStore();

  // Reads the file again. On an error the old tokens stay in force. A request that has passed its check goes on.
  base::Status reload();

  // Who this token belongs to; null when nobody.
  const Caller* check(std::string_view token) const;
  size_t size() const;

  // `name`: letters, digits, "-", "_" and ".", at most 64. Random bits come from the kernel.
  static base::Result<NewToken> generate(std::string_view name, RoleSet roles);

 private:
  struct Entry {
    const Caller* caller;
    std::array<uint8_t, 16> salt;
    std::array<uint8_t, 32> hash;
  };
  using Table = std::unordered_map<std::string, Entry>;
  struct CacheSlot {
    std::array<uint64_t, 2> key{};
    uint64_t generation = 0;  // 0: unused
    const Caller* caller = nullptr;
  };
  static constexpr size_t kCacheSlots = 1'024;
  static constexpr size_t kCacheLocks = 16;

  explicit TokenStore(std::string path);
  base::Status replace(std::string_view text);
  base::Status parse_line(std::string_view line, Table& table);
  const Caller* intern(std::string_view name, std::string_view id, RoleSet roles);
  const Caller* check_slowly(std::string_view token) const;

  const std::string path_;
  std::array<uint64_t, 2> cache_key_;  // random, of this process
  mutable std::mutex mutex_;           // guards the next two
  Table table_;
  std::map<std::string, std::unique_ptr<Caller>, std::less<>>
      callers_;  // all that ever were, by their line without hash
  std::atomic<uint64_t> generation_{0};
  mutable std::array<std::mutex, kCacheLocks> cache_locks_;
  mutable std::vector<CacheSlot> cache_;
};

struct GateLimits {
  RateLimiter* per_caller = nullptr;   // may be null; must outlive the server
  RateLimiter* per_address = nullptr;  // taken first, so it also bounds the guessing of tokens
};

// A gate that asks for a token with one of these roles: 401 without a valid one, 403 without a role, 429 beyond a
// limit. A null `tokens` lets everyone pass with all roles (for a server that listens on this machine only). `tokens`
// must outlive the server.
Gate require_role(const TokenStore* tokens, RoleSet any_of, GateLimits limits = {});

// In a handler behind such a gate: who calls.
const Caller& caller_of(const Request& request);

}  // namespace tamis::net
