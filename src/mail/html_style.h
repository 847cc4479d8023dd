// The part of CSS that can hide text: what a declaration list makes of an element.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::mail {

inline constexpr uint32_t kColourUnset = 0xff000000u;    // inherited
inline constexpr uint32_t kColourUnknown = 0xfe000000u;  // set to something that we cannot compare

enum class Hiding : uint8_t { kNone, kDisplay, kSize, kPlace };

struct Style {
  uint32_t colour = kColourUnset, ground = kColourUnset;  // 0xrrggbb
  Hiding hiding = Hiding::kNone;
  bool shown_again = false;  // a font size that can be read, which ends an inherited tiny one
};

// "display: none; color: #fff". Later declarations win.
void apply_declarations(std::string_view declarations, Style& style);

// "#fff", "rgb(1, 2, 3)", "white", "ffffff" (old attributes); kColourUnknown if not understood.
uint32_t parse_colour(std::string_view value);

// Too near to each other to be read.
bool alike(uint32_t colour, uint32_t ground);

}  // namespace tamis::mail
