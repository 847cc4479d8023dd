#include "mail/arc.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>

#include "event/domain.h"
#include "mail/ascii.h"
#include "mail/dkim_pieces.h"

namespace tamis::mail {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// A hash that grows set by set; what each seal signs is its state then and the seal itself.
class ChainHash {
 public:
  ChainHash() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(std::string_view data) { EVP_DigestUpdate(context_.get(), data.data(), data.size()); }
  std::string with(std::string_view data) const {
    const Context copy(EVP_MD_CTX_new());
    std::array<unsigned char, EVP_MAX_MD_SIZE> out;
    unsigned size = 0;
    if (EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1 ||
        EVP_DigestUpdate(copy.get(), data.data(), data.size()) != 1 ||
        EVP_DigestFinal_ex(copy.get(), out.data(), &size) != 1) {
      return {};
    }
    return {reinterpret_cast<const char*>(out.data()), size};
  }

 private:
  Context context_;
};

struct ArcSet {
  const Header *results = nullptr, *signature = nullptr, *seal = nullptr;
};

// The sets by their instance; false: one is doubled, missing, or out of bounds.
bool gather_sets(const Message& message, base::Arena& arena, std::vector<ArcSet>& sets) {
  for (const Header& header : message.headers_of(message.parts[0])) {
    const bool results = header.id == HeaderId::kArcAuthenticationResults, seal = header.id == HeaderId::kArcSeal;
    if (!results && !seal && header.id != HeaderId::kArcMessageSignature) continue;
    TagList tags;
    parse_tags(header.value.substr(0, 8192), arena, tags);
    uint64_t instance = 0;
    // Results begin with the instance; signatures and seals have it anywhere.
    const std::string_view first = header.value.substr(0, std::min(header.value.find(';'), header.value.size()));
    const bool misplaced = results && trim(first.substr(0, std::min(first.find('='), first.size()))) != "i";
    if (misplaced || !read_tag_number(tags.find("i"), instance) || instance < 1 || instance > kArcSetsMax) return false;
    if (sets.size() < instance) sets.resize(instance);
    ArcSet& set = sets[instance - 1];
    const Header*& slot = results ? set.results : seal ? set.seal : set.signature;
    if (slot != nullptr) return false;
    slot = &header;
  }
  return std::all_of(sets.begin(), sets.end(), [](const ArcSet& set) {
    return set.results != nullptr && set.signature != nullptr && set.seal != nullptr;
  });
}

std::string canonical(const Header& header) {
  std::string out;
  canonicalise_header(header.raw, true, out);
  return out;
}

// What is wrong with the form of a seal; empty: nothing. `out` is ready but for its digest.
std::string_view read_seal(const Header& header, bool first, TagList& tags, base::Arena& arena,
                           PreparedSignature& out) {
  if (header.value.size() > 16 * 1024) return "a seal is too long";
  parse_tags(header.value, arena, tags);
  const std::string_view domain = event::normalise_domain(tags.find("d"), arena), selector = tags.find("s");
  // A seal signs a fixed set of headers: h= would be another.
  if (tags.broken || tags.gaps || domain.empty() || event::normalise_domain(selector, arena).empty() ||
      tags.find("b").empty() || tags.find_tag("h") != nullptr) {
    return "a seal is malformed";
  }
  const std::string_view algorithm = tags.find("a");
  if (algorithm != "rsa-sha256" && algorithm != "ed25519-sha256") return "the algorithm of a seal is unknown";
  uint64_t number = 0;
  if (tags.find_tag("t") != nullptr && !read_tag_number(tags.find("t"), number)) return "a seal is malformed";
  if (!equals_lower(tags.find("cv"), first ? "none" : "pass")) return "a seal says that the chain was broken";
  out.key_name = std::string(selector) + "._domainkey." + std::string(domain);
  out.domain = out.identity_domain = domain;
  out.ed25519 = algorithm == "ed25519-sha256";
  out.signature = base64_bytes(tags.find("b"));
  return {};
}

}  // namespace

std::string_view name_of(ArcResult result) {
  constexpr std::string_view names[] = {"none", "pass", "fail", "temperror"};
  return names[static_cast<size_t>(result)];
}

PreparedArc prepare_arc(const Message& message, base::Arena& arena, BodyHashes* hashes) {
  PreparedArc out;
  std::vector<ArcSet> sets;
  const auto fail = [&](std::string_view reason) {
    out.verdict.result = ArcResult::kFail;
    out.verdict.reason = reason;
    return out;
  };
  const bool whole = gather_sets(message, arena, sets);
  out.verdict.sets = static_cast<uint32_t>(sets.size());
  if (!whole) return fail("a set is doubled, missing or malformed");
  if (sets.empty()) return out;
  ChainHash chain;  // what the seals sign: the sets in order, each seal without its b=
  for (size_t i = 0; i < sets.size(); ++i) {
    TagList tags;
    PreparedSignature& seal = out.seals.emplace_back();
    const std::string_view fault = read_seal(*sets[i].seal, i == 0, tags, arena, seal);
    out.verdict.newest_domain = seal.domain;
    if (!fault.empty()) return fail(fault);
    chain.add(canonical(*sets[i].results));
    chain.add(canonical(*sets[i].signature));
    seal.digest = chain.with(canonical_signature_field(sets[i].seal->raw, tags, true));
    chain.add(canonical(*sets[i].seal));
  }
  const DkimSignature signature = parse_dkim_signature(*sets.back().signature, arena, true);
  // Seals come after the signature, which so cannot cover them.
  if (tag_list_has(signature.tags.find("h"), "arc-seal")) return fail("a message signature covers a seal");
  out.newest = prepare_dkim(message, signature, 0, arena, hashes);
  if (out.newest.verdict.result != DkimResult::kNone) return fail("the newest message signature does not verify");
  out.newest_results = sets.back().results->value;
  return out;
}

ArcVerdict finish_arc(const PreparedArc& arc, ArcKeys& keys) {
  ArcVerdict out = arc.verdict;
  if (out.result != ArcResult::kNone || out.sets == 0) return out;
  const auto fail = [&out](std::string_view reason) {
    out.result = ArcResult::kFail;
    out.reason = reason;
    return out;
  };
  if (verify_prepared(arc.newest, keys.key_of(arc.newest.key_name)).result != DkimResult::kPass) {
    return fail("the newest message signature does not verify");
  }
  for (size_t i = arc.seals.size(); i-- > 0;) {
    if (verify_prepared(arc.seals[i], keys.key_of(arc.seals[i].key_name)).result != DkimResult::kPass) {
      return fail("a seal does not verify");
    }
  }
  out.result = ArcResult::kPass;
  return out;
}

ArcVerdict verify_arc(const Message& message, ArcKeys& keys, base::Arena& arena) {
  return finish_arc(prepare_arc(message, arena), keys);
}

}  // namespace tamis::mail
