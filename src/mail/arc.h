// ARC (RFC 8617): the chain of those who handled a message and sealed what they saw of its authentication. Like
// mail/dkim.h: nothing here asks DNS, prepare_arc() reads the message and tells the keys that it takes, finish_arc()
// holds the chain against them. Thread-safe; no state. Cost: that of one DKIM signature for the newest set and 30 us
// (RSA, 2048 bits) for each seal; hashing is linear in the sets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/dkim.h"
#include "mail/message.h"

namespace tamis::mail {

// kTempError: a key could not be had now; no result of RFC 8617, which has only the other three.
enum class ArcResult : uint8_t { kNone, kPass, kFail, kTempError };
std::string_view name_of(ArcResult result);

inline constexpr uint32_t kArcSetsMax = 50;

struct ArcVerdict {
  ArcResult result = ArcResult::kNone;
  std::string_view reason;  // a constant
  uint32_t sets = 0;
  std::string newest_domain;  // d= of the newest seal
};

struct PreparedArc {
  ArcVerdict verdict;  // kNone with sets: it takes the keys to tell; else it is decided
  PreparedSignature newest;
  std::vector<PreparedSignature> seals;  // oldest first
  std::string_view newest_results;       // the value of the newest ARC-Authentication-Results, in the message
};
PreparedArc prepare_arc(const Message& message, base::Arena& arena, BodyHashes* hashes = nullptr);

// The keys of a chain: the text of the TXT record of a name, empty if there is none.
class ArcKeys {
 public:
  virtual ~ArcKeys() = default;
  virtual std::string key_of(const std::string& name) = 0;
};
ArcVerdict finish_arc(const PreparedArc& arc, ArcKeys& keys);
// Both in one.
ArcVerdict verify_arc(const Message& message, ArcKeys& keys, base::Arena& arena);

}  // namespace tamis::mail
