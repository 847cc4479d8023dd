#include "net/auth.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/assert.h"
#include "base/hash.h"
#include "base/siphash.h"

namespace tamis::net {
namespace {

using base::Code;
using base::fail;
using base::Result;
using base::Status;

constexpr std::string_view kRoleNames[] = {"ingest", "decide", "analyst", "support", "metrics", "admin"};
constexpr size_t kIdBytes = 8;       // of text
constexpr size_t kSecretBytes = 43;  // of text: base64url of 32 bytes
constexpr std::string_view kPrefix = "tok_";
constexpr size_t kTokenBytes = kPrefix.size() + kIdBytes + 1 + kSecretBytes;
constexpr size_t kCallersMax = 100'000;

std::string to_hex(const uint8_t* bytes, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

bool from_hex(std::string_view text, uint8_t* bytes, size_t count) {
  if (text.size() != 2 * count) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    bytes[i / 2] = static_cast<uint8_t>(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
  }
  return true;
}

// base64url without padding (RFC 4648 section 5).
std::string to_base64url(const uint8_t* bytes, size_t count) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < count; ++i) {
    bits = (bits << 8) | bytes[i];
    for (held += 8; held >= 6; held -= 6) text += kLetters[(bits >> (held - 6)) & 63];
  }
  if (held > 0) text += kLetters[(bits << (6 - held)) & 63];
  return text;
}

void random_bytes(void* to, size_t count) {
  // Up to 256 bytes come whole once the kernel's generator is ready.
  TAMIS_ASSERT(count <= 256 && getrandom(to, count, 0) == static_cast<ssize_t>(count));
}

std::array<uint8_t, 32> hash_token(const std::array<uint8_t, 16>& salt, std::string_view token) {
  std::array<uint8_t, 16 + kTokenBytes> text;
  TAMIS_ASSERT(token.size() == kTokenBytes);
  std::memcpy(text.data(), salt.data(), salt.size());
  std::memcpy(text.data() + salt.size(), token.data(), token.size());
  std::array<uint8_t, 32> hash{};
  int ok = EVP_Digest(text.data(), text.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
  TAMIS_ASSERT(ok == 1);
  OPENSSL_cleanse(text.data(), text.size());
  return hash;
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  for (char c : name) {
    bool ok =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
    if (!ok) return false;
  }
  return true;
}

bool has_token_form(std::string_view token) {
  return token.size() == kTokenBytes && token.substr(0, kPrefix.size()) == kPrefix &&
         token[kPrefix.size() + kIdBytes] == '_';
}

// Cuts the text before the next `separator` off `left`.
std::string_view cut(std::string_view& left, char separator) {
  size_t at = left.find(separator);
  std::string_view head = left.substr(0, at);
  left = at == std::string_view::npos ? std::string_view() : left.substr(at + 1);
  return head;
}

}  // namespace

std::string_view role_name(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

Result<RoleSet> RoleSet::parse(std::string_view text) {
  RoleSet set;
  while (!text.empty()) {
    std::string_view word = cut(text, ',');
    size_t i = 0;
    while (i < std::size(kRoleNames) && kRoleNames[i] != word) ++i;
    if (i == std::size(kRoleNames))
      return base::invalid(
          fmt::format("`{}` is no role: expected ingest, decide, analyst, support, metrics or admin", word));
    set = set | static_cast<Role>(i);
  }
  if (set.empty()) return base::invalid("no role is given: expected for example decide,ingest");
  return set;
}

std::string RoleSet::text() const {
  std::string text;
  for (size_t i = 0; i < std::size(kRoleNames); ++i) {
    if ((bits_ & bit(static_cast<Role>(i))) == 0) continue;
    if (!text.empty()) text += ',';
    text += kRoleNames[i];
  }
  return text;
}

TokenStore::TokenStore(std::string path) : path_(std::move(path)), cache_(kCacheSlots) {
  random_bytes(cache_key_.data(), sizeof cache_key_);
}
TokenStore::~TokenStore() = default;

Result<std::unique_ptr<TokenStore>> TokenStore::load(std::string path) {
  std::unique_ptr<TokenStore> store(new TokenStore(std::move(path)));
  TAMIS_CHECK(store->reload());
  return store;
}

Result<std::unique_ptr<TokenStore>> TokenStore::parse(std::string_view text, std::string name) {
  std::unique_ptr<TokenStore> store(new TokenStore(std::move(name)));
  TAMIS_CHECK(store->replace(text));
  return store;
}

Status TokenStore::reload() {
  std::ifstream file(path_, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  if (!file || !file.read(text.data(), static_cast<std::streamsize>(text.size())).eof()) {
    if (file)
      return fail(Code::kLimit, fmt::format("{}: the tokens file is larger than {} bytes", path_, kFileBytesMax));
    return fail(Code::kNotFound, fmt::format("{}: cannot read the tokens file", path_));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return replace(text);
}

Status TokenStore::replace(std::string_view text) {
  std::lock_guard lock(mutex_);
  Table table;
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view line = cut(text, '\n');
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (auto status = parse_line(line, table); !status)
      return fail(status.error().code, fmt::format("{}:{}: {}", path_, number, status.error().message));
  }
  table_ = std::move(table);
  generation_.fetch_add(1);
  return {};
}

Status TokenStore::parse_line(std::string_view line, Table& table) {
  std::string_view left = line;
  std::string_view name = cut(left, ':'), roles_text = cut(left, ':');
  if (!is_name(name)) return base::invalid("expected NAME:ROLE,ROLE:HASH with a name of letters, digits, - _ and .");
  TAMIS_TRY(roles, RoleSet::parse(roles_text));
  std::string_view version = cut(left, '.'), id = cut(left, '.'), salt = cut(left, '.');
  Entry entry{};
  uint8_t id_bytes[kIdBytes / 2];
  if (version != "v1" || !from_hex(id, id_bytes, sizeof id_bytes) || !from_hex(salt, entry.salt.data(), 16) ||
      !from_hex(left, entry.hash.data(), 32))
    return base::invalid("the hash is malformed: expected v1.ID.SALT.HASH in lower-case hexadecimal");
  if (table.size() >= kTokensMax) return fail(Code::kLimit, fmt::format("more than {} tokens", kTokensMax));
  entry.caller = intern(name, id, roles);
  if (entry.caller == nullptr) return fail(Code::kLimit, "too many different tokens since the start");
  if (!table.emplace(id, entry).second) return base::invalid(fmt::format("the token id {} occurs twice", id));
  return {};
}

// Callers are kept for good, because requests in progress point at them.
const Caller* TokenStore::intern(std::string_view name, std::string_view id, RoleSet roles) {
  std::string key = fmt::format("{}:{}:{}", name, id, roles.text());
  auto it = callers_.find(key);
  if (it == callers_.end()) {
    if (callers_.size() >= kCallersMax) return nullptr;
    auto made = std::make_unique<Caller>(Caller{std::string(name), std::string(id), roles, base::hash64(id)});
    it = callers_.emplace(std::move(key), std::move(made)).first;
  }
  return it->second.get();
}

const Caller* TokenStore::check(std::string_view token) const {
  if (!has_token_form(token)) return nullptr;
  std::array<uint64_t, 2> key = base::siphash128(cache_key_, token);
  uint64_t generation = generation_.load(std::memory_order_acquire);
  size_t slot_index = key[0] % kCacheSlots;
  {
    std::lock_guard lock(cache_locks_[slot_index % kCacheLocks]);
    const CacheSlot& slot = cache_[slot_index];
    if (slot.generation == generation && CRYPTO_memcmp(slot.key.data(), key.data(), sizeof key) == 0)
      return slot.caller;
  }
  const Caller* caller = check_slowly(token);
  if (caller == nullptr) return nullptr;  // unknown tokens are not cached: they would push known ones out
  std::lock_guard lock(cache_locks_[slot_index % kCacheLocks]);
  cache_[slot_index] = {key, generation, caller};
  return caller;
}

const Caller* TokenStore::check_slowly(std::string_view token) const {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    auto it = table_.find(std::string(token.substr(kPrefix.size(), kIdBytes)));
    if (it == table_.end()) return nullptr;
    entry = it->second;
  }
  std::array<uint8_t, 32> hash = hash_token(entry.salt, token);
  return CRYPTO_memcmp(hash.data(), entry.hash.data(), hash.size()) == 0 ? entry.caller : nullptr;
}

size_t TokenStore::size() const {
  std::lock_guard lock(mutex_);
  return table_.size();
}

Result<NewToken> TokenStore::generate(std::string_view name, RoleSet roles) {
  if (!is_name(name))
    return base::invalid(fmt::format("`{}` is no token name: expected up to 64 letters, digits, - _ and .", name));
  if (roles.empty()) return base::invalid("a token needs a role: expected for example decide,ingest");
  uint8_t id[kIdBytes / 2], secret[32];
  std::array<uint8_t, 16> salt;
  random_bytes(id, sizeof id);
  random_bytes(secret, sizeof secret);
  random_bytes(salt.data(), salt.size());
  NewToken made;
  std::string id_text = to_hex(id, sizeof id);
  made.token = fmt::format("{}{}_{}", kPrefix, id_text, to_base64url(secret, sizeof secret));
  OPENSSL_cleanse(secret, sizeof secret);
  auto hash = hash_token(salt, made.token);
  made.line = fmt::format("{}:{}:v1.{}.{}.{}", name, roles.text(), id_text, to_hex(salt.data(), salt.size()),
                          to_hex(hash.data(), hash.size()));
  return made;
}

// --- the gate ---

namespace {

const Caller& anonymous() {
  static const Caller caller{"anonymous", "", Role::kAdmin, 0};
  return caller;
}

bool too_many(RateLimiter* limiter, uint64_t key, const Request& in, Response& out, std::string_view of_what) {
  if (limiter == nullptr) return false;
  uint64_t wait_ms = limiter->take(key, in.now_ms());
  if (wait_ms == 0) return false;
  out.set_error(429, "rate_limited", fmt::format("too many requests of this {}", of_what));
  out.add_header("Retry-After", std::to_string((wait_ms + 999) / 1000));
  return true;
}

}  // namespace

Gate require_role(const TokenStore* tokens, RoleSet any_of, GateLimits limits) {
  return [tokens, any_of, limits](const Request& in, Response& out) {
    if (too_many(limits.per_address, in.peer().limit_key(), in, out, "address")) return false;
    const Caller* caller = tokens == nullptr ? &anonymous() : tokens->check(in.bearer_token());
    if (caller == nullptr) {
      out.set_error(401, "unauthorized", "a valid token is needed: Authorization: Bearer tok_...");
      out.add_header("WWW-Authenticate", "Bearer");
      return false;
    }
    if (!caller->roles.has_any(any_of)) {
      out.set_error(403, "forbidden", fmt::format("this needs one of the roles {}", any_of.text()));
      return false;
    }
    if (tokens != nullptr && too_many(limits.per_caller, caller->limit_key, in, out, "token")) return false;
    in.set_context(caller);
    return true;
  };
}

const Caller& caller_of(const Request& request) {
  TAMIS_ASSERT(request.context() != nullptr);
  return *static_cast<const Caller*>(request.context());
}

}  // namespace tamis::net
