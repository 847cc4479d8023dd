// Names of HTML: its elements with what matters of them, and its entities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mail/ascii.h"

namespace tamis::mail {

constexpr uint32_t html_name_hash(std::string_view name) {
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(to_lower(c))) * 16777619u;
  return hash;
}

enum TagTraits : uint8_t { kVoid = 1, kBlock = 2, kRawText = 4, kCell = 8 };

struct HtmlTag {
  std::string_view name;
  uint8_t traits;
};
// Null: no element of HTML. `hash` is html_name_hash(name).
const HtmlTag* find_html_tag(std::string_view name, uint32_t hash);

}  // namespace tamis::mail
