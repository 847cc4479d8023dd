#include "mail/dkim.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <memory>

#include "event/domain.h"
#include "mail/ascii.h"
#include "mail/dkim_pieces.h"
#include "mail/transfer.h"

namespace tamis::mail {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

DkimVerdict verdict(DkimResult result, std::string_view reason) {
  DkimVerdict v;
  v.result = result;
  v.reason = reason;
  return v;
}

// The key of p=: RSA as SubjectPublicKeyInfo, or as a bare RSAPublicKey as some write; Ed25519 as its 32 bytes.
Key read_key(const std::string& der, bool ed25519) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  if (ed25519) return Key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, at, der.size()));
  Key key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key) {
    at = reinterpret_cast<const unsigned char*>(der.data());
    key.reset(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, static_cast<long>(der.size())));
  }
  if (key && EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) key.reset();
  return key;
}

struct FreeKeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};

bool signature_fits(EVP_PKEY* key, const PreparedSignature& s) {
  const auto* signature = reinterpret_cast<const unsigned char*>(s.signature.data());
  const auto* digest = reinterpret_cast<const unsigned char*>(s.digest.data());
  if (s.ed25519) {
    // Ed25519 signs the hash of the data as its message (RFC 8463 section 3).
    const Context context(EVP_MD_CTX_new());
    return context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), signature, s.signature.size(), digest, s.digest.size()) == 1;
  }
  const std::unique_ptr<EVP_PKEY_CTX, FreeKeyContext> context(EVP_PKEY_CTX_new(key, nullptr));
  return context && EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context.get(), s.sha1 ? EVP_sha1() : EVP_sha256()) == 1 &&
         EVP_PKEY_verify(context.get(), signature, s.signature.size(), digest, s.digest.size()) == 1;
}

// Checks a key record against what a signature says of itself. The key comes out, or a verdict.
Key usable_key(const PreparedSignature& s, std::string_view record, base::Arena& arena, DkimVerdict& out) {
  TagList tags;
  parse_tags(record, arena, tags);
  const std::string_view version = tags.find("v"), kind = tags.find("k"), hashes = tags.find("h");
  const TagList::Tag* p = tags.find_tag("p");
  if (tags.broken || p == nullptr || (!version.empty() && version != "DKIM1")) {
    out = verdict(DkimResult::kPermError, "the key record is malformed");
    return nullptr;
  }
  if (p->value.empty()) {
    out = verdict(DkimResult::kPermError, "the key was revoked");
    return nullptr;
  }
  if ((kind.empty() ? "rsa" : kind) != (s.ed25519 ? "ed25519" : "rsa")) {
    out = verdict(DkimResult::kPermError, "the key is of another kind");
    return nullptr;
  }
  if (!hashes.empty() && !tag_list_has(hashes, s.sha1 ? "sha1" : "sha256")) {
    out = verdict(DkimResult::kPermError, "the key does not allow this hash");
    return nullptr;
  }
  const std::string_view services = tags.find("s");
  if (!services.empty() && !tag_list_has(services, "*") && !tag_list_has(services, "email")) {
    out = verdict(DkimResult::kPermError, "the key is not for mail");
    return nullptr;
  }
  const std::string_view flags = tags.find("t");
  out.testing = tag_list_has(flags, "y");
  if (tag_list_has(flags, "s") && s.identity_domain != s.domain) {
    out = verdict(DkimResult::kPermError, "the key allows no subdomain");
    return nullptr;
  }
  Key key = read_key(base64_bytes(p->value), s.ed25519);
  if (!key) out = verdict(DkimResult::kPermError, "the key cannot be read");
  return key;
}

// The signed headers (RFC 6376 section 5.4.2): of a name given twice the last comes first; missing ones give nothing.
void append_signed_headers(const Message& message, std::string_view names, bool relaxed, std::string& out) {
  const auto headers = message.headers_of(message.parts[0]);
  std::vector<bool> used(headers.size(), false);
  size_t count = 0;
  while (!names.empty() && count++ < 512) {
    const size_t colon = std::min(names.find(':'), names.size());
    const std::string_view name = trim(names.substr(0, colon));
    names.remove_prefix(std::min(colon + 1, names.size()));
    for (size_t i = headers.size(); i-- > 0;) {
      if (used[i] || headers[i].name.size() != name.size()) continue;
      bool same = true;
      for (size_t k = 0; k < name.size() && same; ++k) same = to_lower(name[k]) == to_lower(headers[i].name[k]);
      if (!same) continue;
      used[i] = true;
      canonicalise_header(headers[i].raw, relaxed, out);
      break;
    }
  }
}

}  // namespace

std::string base64_bytes(std::string_view base64) {
  std::string out(base64.size() + 4, '\0');
  const Decoded decoded = decode_base64(base64, out.data(), out.size());
  out.resize(decoded.broken ? 0 : decoded.bytes);
  return out;
}

bool read_tag_number(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  out = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    out = out * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

bool tag_list_has(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const size_t colon = std::min(list.find(':'), list.size());
    if (equals_lower(trim(list.substr(0, colon)), item)) return true;
    list.remove_prefix(std::min(colon + 1, list.size()));
  }
  return false;
}

std::string signature_digest(std::string_view data, bool sha1) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), out.data(), &size, sha1 ? EVP_sha1() : EVP_sha256(), nullptr) != 1)
    return {};
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string canonical_signature_field(std::string_view raw, const TagList& tags, bool relaxed) {
  std::string field(raw);
  const TagList::Tag* b = tags.find_tag("b");
  const size_t value = raw.find(':') + 1;
  if (b != nullptr && value + b->end <= field.size()) field.erase(value + b->begin, b->end - b->begin);
  std::string out;
  canonicalise_header(field, relaxed, out);
  if (out.ends_with("\r\n")) out.resize(out.size() - 2);
  return out;
}

std::string_view name_of(DkimResult result) {
  constexpr std::string_view names[] = {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"};
  return names[static_cast<size_t>(result)];
}

void canonicalise_header(std::string_view raw, bool relaxed, std::string& out) {
  if (!relaxed) {
    for (const char c : raw) {
      if (c == '\n' && !out.ends_with('\r')) out += '\r';  // messages that lost their CR on the way through files
      out += c;
    }
    if (!raw.ends_with('\n')) out += "\r\n";
    return;
  }
  const size_t colon = std::min(raw.find(':'), raw.size());
  for (const char c : trim(raw.substr(0, colon))) out += to_lower(c);
  out += ':';
  bool space = false, any = false;
  for (const char c : raw.substr(std::min(colon + 1, raw.size()))) {
    if (c == '\r' || c == '\n') continue;
    if (is_blank(c)) {
      space = true;
      continue;
    }
    if (space && any) out += ' ';
    space = false;
    any = true;
    out += c;
  }
  out += "\r\n";
}

void canonicalise_body(std::string_view body, bool relaxed, std::string& out, uint64_t length_max) {
  const size_t begin = out.size();
  size_t at = 0, empty_lines = 0;
  while (at < body.size()) {
    const size_t lf = body.find('\n', at);
    std::string_view line = body.substr(at, (lf == std::string_view::npos ? body.size() : lf) - at);
    at = lf == std::string_view::npos ? body.size() : lf + 1;
    if (lf != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
    if (relaxed) {
      while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    }
    if (line.empty()) {
      ++empty_lines;
      continue;
    }
    for (; empty_lines > 0; --empty_lines) out += "\r\n";
    bool space = false;
    for (const char c : line) {
      if (relaxed && is_blank(c)) {
        if (!space) out += ' ';
        space = true;
      } else {
        out += c;
        space = false;
      }
    }
    out += "\r\n";
    if (out.size() - begin >= length_max) break;
  }
  if (!relaxed && out.size() == begin) out += "\r\n";
  if (out.size() - begin > length_max) out.resize(begin + length_max);
}

DkimSignature parse_dkim_signature(const Header& header, base::Arena& arena, bool arc) {
  DkimSignature s;
  s.header = &header;
  const auto broken = [&](std::string_view reason) {
    s.verdict = verdict(DkimResult::kPermError, reason);
    return s;
  };
  if (header.value.size() > 16 * 1024) return broken("the signature is too long");
  parse_tags(header.value, arena, s.tags);
  if (s.tags.broken || s.tags.gaps) return broken("the tag list is malformed");
  s.domain = event::normalise_domain(s.tags.find("d"), arena);
  s.selector = s.tags.find("s");
  s.identity = s.tags.find("i");
  const std::string_view algorithm = s.tags.find("a"), canonical = s.tags.find("c");
  if (!arc && s.tags.find("v") != "1") return broken("the version is not 1");
  if (s.domain.empty() || s.selector.empty()) return broken("domain or selector is missing");
  if (event::normalise_domain(s.selector, arena).empty()) return broken("the selector is not a name");
  const TagList::Tag* headers = s.tags.find_tag("h");
  if (s.tags.find("b").empty() || s.tags.find("bh").empty() || headers == nullptr) {
    return broken("b=, bh= or h= is missing");
  }
  // What a sealer of ARC signs is its own choice.
  if (!arc && !tag_list_has(headers->value, "from")) return broken("From is not signed");
  if (algorithm == "rsa-sha1") {
    s.sha1 = true;
  } else if (algorithm == "ed25519-sha256") {
    s.ed25519 = true;
  } else if (algorithm != "rsa-sha256") {
    return broken("the algorithm is unknown");
  }
  const std::string_view head = canonical.substr(0, canonical.find('/'));
  const std::string_view body = canonical.find('/') == std::string_view::npos ? "" : canonical.substr(head.size() + 1);
  // Without c= DKIM is simple, ARC relaxed, as its implementations and their suite have it.
  s.relaxed_headers = head == "relaxed" || (arc && head.empty());
  s.relaxed_body = body == "relaxed" || (arc && canonical.empty());
  if (canonical.empty() && s.tags.find_tag("c") != nullptr) return broken("the canonical form is unknown");
  if ((!head.empty() && head != "simple" && head != "relaxed") ||
      (!body.empty() && body != "simple" && body != "relaxed")) {
    return broken("the canonical form is unknown");
  }
  if (!arc && !s.identity.empty()) {
    const std::string_view of = event::normalise_domain(s.identity.substr(s.identity.rfind('@') + 1), arena);
    const bool within = of == s.domain || (of.size() > s.domain.size() && of.ends_with(s.domain) &&
                                           of[of.size() - s.domain.size() - 1] == '.');
    if (!within) return broken("i= is outside of d=");
  } else {
    s.identity = s.domain;
  }
  uint64_t number = 0;
  if (read_tag_number(s.tags.find("t"), number)) s.signed_s = static_cast<int64_t>(number);
  if (read_tag_number(s.tags.find("x"), number)) s.expires_s = static_cast<int64_t>(number);
  if (s.expires_s != 0 && s.expires_s < s.signed_s) return broken("it expires before it was signed");
  const std::string_view length = s.tags.find("l");
  if (!length.empty()) {
    s.has_length = true;
    if (!read_tag_number(length, s.length)) return broken("l= is not a number");
  }
  return s;
}

std::string dkim_key_name(const DkimSignature& s) {
  return std::string(s.selector) + "._domainkey." + std::string(s.domain);
}

const BodyHashes::Hash& BodyHashes::of(std::string_view body, bool relaxed, bool sha1, uint64_t length) {
  for (const Known& known : known_) {
    if (known.relaxed == relaxed && known.sha1 == sha1 && known.length == length) return known.hash;
  }
  std::string canonical;
  canonicalise_body(body, relaxed, canonical, length == UINT64_MAX ? length : length + 1);
  Hash hash;
  hash.cut = canonical.size() > length;
  if (hash.cut) canonical.resize(length);
  hash.bytes = canonical.size();
  hash.digest = signature_digest(canonical, sha1);
  known_.push_back({relaxed, sha1, length, std::move(hash)});
  return known_.back().hash;
}

PreparedSignature prepare_dkim(const Message& message, const DkimSignature& s, int64_t now_s, base::Arena& arena,
                               BodyHashes* hashes) {
  PreparedSignature out;
  out.verdict = s.verdict;
  if (s.verdict.result != DkimResult::kNone) return out;
  const auto failed = [&out](std::string_view reason) {
    out.verdict = verdict(DkimResult::kFail, reason);
    return out;
  };
  if (now_s != 0 && s.expires_s != 0 && now_s > s.expires_s) return failed("it has expired");
  out.key_name = dkim_key_name(s);
  out.domain = s.domain;
  out.identity_domain = event::normalise_domain(s.identity.substr(s.identity.rfind('@') + 1), arena);
  out.sha1 = s.sha1;
  out.ed25519 = s.ed25519;
  BodyHashes own;
  const BodyHashes::Hash& body = (hashes != nullptr ? *hashes : own)
                                     .of(message.body, s.relaxed_body, s.sha1, s.has_length ? s.length : UINT64_MAX);
  if (s.has_length && s.length > body.bytes) return failed("l= is longer than the body");
  out.body_cut = body.cut;
  if (body.digest != base64_bytes(s.tags.find("bh"))) return failed("body hash differs");
  std::string data;
  append_signed_headers(message, s.tags.find("h"), s.relaxed_headers, data);
  data += canonical_signature_field(s.header->raw, s.tags, s.relaxed_headers);
  out.digest = signature_digest(data, s.sha1);
  out.signature = base64_bytes(s.tags.find("b"));
  return out;
}

DkimVerdict verify_prepared(const PreparedSignature& s, std::string_view key_record) {
  if (s.verdict.result != DkimResult::kNone) return s.verdict;
  base::Arena arena(1024);
  DkimVerdict out;
  const Key key = usable_key(s, key_record, arena, out);
  if (!key) return out;
  out.body_cut = s.body_cut;
  const auto finish = [&out](DkimResult result, std::string_view reason) {
    out.result = result;
    out.reason = reason;
    return out;
  };
  if (!signature_fits(key.get(), s)) return finish(DkimResult::kFail, "the signature does not fit the headers");
  out.weak = s.sha1 || (!s.ed25519 && EVP_PKEY_get_bits(key.get()) < 1024);
  if (out.weak) return finish(DkimResult::kPolicy, "the key or hash is too weak (RFC 8301)");
  return finish(DkimResult::kPass, "");
}

DkimVerdict verify_dkim(const Message& message, const DkimSignature& signature, std::string_view key_record,
                        int64_t now_s, base::Arena& arena) {
  return verify_prepared(prepare_dkim(message, signature, now_s, arena), key_record);
}

}  // namespace tamis::mail
