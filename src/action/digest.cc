#include "action/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/assert.h"

namespace tamis::action {
namespace {

std::string hex_of(const unsigned char* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(count * 2);
  for (size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 digest;
  digest.add(bytes);
  return digest.hex();
}

std::string hmac_sha256_hex(std::string_view key, std::string_view bytes) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const unsigned char* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out, &size);
  TAMIS_ASSERT(done != nullptr);
  return hex_of(out, size);
}

std::string random_hex(size_t bytes) {
  unsigned char out[64];
  TAMIS_ASSERT(bytes <= sizeof out);
  TAMIS_ASSERT(RAND_bytes(out, static_cast<int>(bytes)) == 1);
  return hex_of(out, bytes);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  TAMIS_ASSERT(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::add(std::string_view bytes) { TAMIS_ASSERT(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1); }

std::string Sha256::hex() {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  TAMIS_ASSERT(EVP_DigestFinal_ex(context_, out, &size) == 1);
  return hex_of(out, size);
}

}  // namespace tamis::action
