// What others wrote about a message on its way: Received lines (RFC 5321 section 4.4), Authentication-Results
// (RFC 8601), and the tag lists of DKIM-Signature (RFC 6376) and ARC (RFC 8617). Read as claims: whoever uses them must
// know which of them its own servers wrote. No DNS. Results point into the arena.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/header.h"

namespace tamis::mail {

// "a=1; b=2" of RFC 6376 section 3.2; folding white space in values is kept by `raw`, dropped by find().
struct TagList {
  struct Tag {
    std::string_view name, value;  // value: trimmed, without the white space of folds
    size_t begin = 0, end = 0;     // of the raw value in the parsed text, white space included
  };
  std::vector<Tag> tags;
  bool broken = false;  // a tag twice, one without "=", or with a name that is none
  bool gaps = false;    // ";;": not allowed, but common in key records
  std::string_view find(std::string_view name) const;
  const Tag* find_tag(std::string_view name) const;
};
void parse_tags(std::string_view text, base::Arena& arena, TagList& out);

struct Received {
  std::string_view helo;  // as the client said
  std::string_view host;  // as the server saw it by DNS; empty if it wrote none
  std::string_view ip;    // of the client, canonical text; empty if none
  std::string_view by;
  std::string_view with;  // "ESMTPS", upper case
  std::string_view for_address;
  int64_t date_s = 0;
  bool has_date = false;
  bool tls = false;
};
Received parse_received(std::string_view value, base::Arena& arena);

struct AuthResult {
  std::string_view server;  // authserv-id
  std::string_view method;  // "dkim", "spf", "dmarc", "arc", ...
  std::string_view result;  // "pass", "fail", ...
  std::string_view domain;  // of header.d, smtp.mailfrom, smtp.helo or header.from, the first there is
};
// Appends the results of one header, at most `results_max` in `out`.
void parse_authentication_results(std::string_view value, size_t results_max, base::Arena& arena,
                                  std::vector<AuthResult>& out);

}  // namespace tamis::mail
