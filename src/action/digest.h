// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), as lower-case hexadecimal. For chains, seals and signatures; keys
// of tables use base/hash.h.
#pragma once

#include <string>
#include <string_view>

// OpenSSL's own type, so that its headers stay out of here.
struct evp_md_ctx_st;

namespace tamis::action {

inline constexpr size_t kSha256HexBytes = 64;

std::string sha256_hex(std::string_view bytes);
std::string hmac_sha256_hex(std::string_view key, std::string_view bytes);
// `bytes` random bytes (at most 64) from the system's cryptographic source, in hexadecimal. For salts, which must not
// follow from anything that is known; nothing that decides uses it.
std::string random_hex(size_t bytes);

// The same over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  std::string hex();  // once, at the end

 private:
  evp_md_ctx_st* context_;
};

}  // namespace tamis::action
