// What the verification of DKIM and of ARC have in common; for mail/dkim.cc and mail/arc.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mail/trace.h"

namespace tamis::mail {

std::string base64_bytes(std::string_view base64);  // empty: broken
std::string signature_digest(std::string_view data, bool sha1);
// Digits alone, at most 18 of them.
bool read_tag_number(std::string_view text, uint64_t& out);
// "a:b : c" has the item, which is in lower case.
bool tag_list_has(std::string_view list, std::string_view item);
// The canonical form of the very field that holds a signature: without the value of its b= and without its line end.
std::string canonical_signature_field(std::string_view raw, const TagList& tags, bool relaxed);

}  // namespace tamis::mail
