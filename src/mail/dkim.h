// DKIM (RFC 6376, RFC 8301, RFC 8463): canonical forms, signatures taken apart, verification with a key record that the
// caller has fetched. ARC's message signatures and seals (RFC 8617) use the same pieces: mail/arc.h.
//
// Nothing here asks DNS: dkim_key_name() says which TXT record is wanted, verify_dkim() takes its text. Thread-safe; no
// state. Cost: about 1 us a KB for hashing and canonicalising, 30 us for RSA with 2048 bits, 120 us for Ed25519.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/message.h"
#include "mail/trace.h"

namespace tamis::mail {

// Results as RFC 8601 names them.
enum class DkimResult : uint8_t { kNone, kPass, kFail, kPolicy, kNeutral, kTempError, kPermError };
std::string_view name_of(DkimResult result);

struct DkimVerdict {
  DkimResult result = DkimResult::kNone;
  std::string_view reason;  // a constant: "body hash differs"
  bool weak = false;        // an RSA key under 1024 bits, or rsa-sha1: kPolicy
  bool body_cut = false;    // l= left a part of the body unsigned
  bool testing = false;     // the key says t=y
};

struct DkimSignature {
  const Header* header = nullptr;
  TagList tags;
  std::string_view domain, selector, identity;  // d=, s=, i= (default "@" and d=)
  bool relaxed_headers = false, relaxed_body = false;
  bool sha1 = false, ed25519 = false;
  int64_t signed_s = 0, expires_s = 0;  // 0: not told
  bool has_length = false;
  uint64_t length = 0;
  DkimVerdict verdict;  // kNone: to be verified; else what is wrong with its form
};

// Reads the signature of a DKIM-Signature header (or ARC-Message-Signature with `arc`).
DkimSignature parse_dkim_signature(const Header& header, base::Arena& arena, bool arc = false);

// "selector._domainkey.domain", whose TXT records hold the key.
std::string dkim_key_name(const DkimSignature& signature);

// Verifies against the text of a key record ("v=DKIM1; k=rsa; p=..."). `now_s` 0: expiry is not looked at.
DkimVerdict verify_dkim(const Message& message, const DkimSignature& signature, std::string_view key_record,
                        int64_t now_s, base::Arena& arena);

// What is left of a signature once the message was read: enough to verify it when the key is there, and nothing of the
// content. verify_dkim() is prepare and verify in one.
struct PreparedSignature {
  std::string key_name;                 // whose TXT records hold the key
  std::string domain, identity_domain;  // d=, and of i=
  std::string digest;                   // of the signed headers
  std::string signature;                // the bytes of b=
  bool sha1 = false, ed25519 = false, body_cut = false;
  DkimVerdict verdict;  // kNone: it takes the key to tell; else it has failed without
};
// Hashes of one message's body, so that signatures which agree on its form share the work.
class BodyHashes {
 public:
  struct Hash {
    std::string digest;
    uint64_t bytes = 0;  // of the canonical body that are hashed
    bool cut = false;    // there are more
  };
  // The first `length` bytes of the canonical form; UINT64_MAX: all.
  const Hash& of(std::string_view body, bool relaxed, bool sha1, uint64_t length);

 private:
  struct Known {
    bool relaxed, sha1;
    uint64_t length;
    Hash hash;
  };
  std::deque<Known> known_;
};
// `hashes`: of this message, for the next of its signatures; null: each for itself.
PreparedSignature prepare_dkim(const Message& message, const DkimSignature& signature, int64_t now_s,
                               base::Arena& arena, BodyHashes* hashes = nullptr);
DkimVerdict verify_prepared(const PreparedSignature& signature, std::string_view key_record);

// Appends a header field or body in canonical form (RFC 6376 section 3.4). `length_max` is l=.
void canonicalise_header(std::string_view raw_field, bool relaxed, std::string& out);
void canonicalise_body(std::string_view body, bool relaxed, std::string& out, uint64_t length_max = UINT64_MAX);

}  // namespace tamis::mail
