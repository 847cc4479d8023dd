// Links taken apart: where they lead, what they show, and the tricks played between the two. Found in HTML by its
// elements, in text as URLs written out.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/anomaly.h"
#include "mail/html.h"
#include "mail/limits.h"

namespace tamis::mail {

enum class LinkTrick : uint16_t {
  kShownDiffers = 1,          // what is shown is a host of another registrable domain than the target
  kHostIsAddress = 2,         // an IP address
  kHostObfuscated = 4,        // the host as written is not the host as it is: %-escapes, decimal or octal addresses
  kUserInfo = 8,              // "https://bank.example@evil.example/"
  kPunycode = 16,             // a label "xn--"
  kHostMixedScript = 32,      // Latin letters with look-alikes in one label
  kPortOdd = 64,              // a port that is not the scheme's own
  kUrlInUrl = 128,            // another URL in path or query
  kEmailInUrl = 256,          // a mail address in path, query or fragment
  kSchemeOdd = 512,           // javascript:, data:, vbscript:, file:, ...
  kHidden = 1024,             // cannot be seen
  kHostDeep = 2048,           // four labels or more before the registrable domain
  kDomainInSubdomain = 4096,  // "bank.com.evil.example": a public suffix in front of the registrable domain
  kShownIsUrl = 8192,         // shows a URL or host
};
inline constexpr unsigned kLinkTricks = 14;
std::string_view name_of(LinkTrick trick);

struct Link {
  std::string_view target;  // as given
  std::string_view shown;
  std::string_view scheme, host, domain, path, query;  // of the target; domain: the registrable one, or the address
  std::string_view shown_domain;                       // of what is shown, if that is a host
  LinkKind kind = LinkKind::kText;
  uint16_t tricks = 0;

  bool has(LinkTrick trick) const { return (tricks & static_cast<uint16_t>(trick)) != 0; }
};

// One link taken apart. mailto: and tel: have no host; a mailto's domain is its address's.
Link make_link(const HtmlLink& link, base::Arena& arena);

struct FoundText {
  std::string_view text;
  bool email = false;
};
// URLs ("https://...", "www. ...", "host.example/path") and mail addresses written out in text, in order, at most
// `found_max`; returns how many there were more. Cost: 1 ns a byte.
size_t find_in_text(std::string_view text, size_t found_max, base::Arena& arena, std::vector<FoundText>& out);

}  // namespace tamis::mail
