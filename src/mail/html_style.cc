#include "mail/html_style.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#include "mail/ascii.h"

namespace tamis::mail {
namespace {

struct NamedColour {
  std::string_view name;
  uint32_t rgb;
};
constexpr NamedColour kColours[] = {
    {"white", 0xffffff},      {"black", 0x000000},      {"red", 0xff0000},         {"blue", 0x0000ff},
    {"green", 0x008000},      {"gray", 0x808080},       {"grey", 0x808080},        {"silver", 0xc0c0c0},
    {"yellow", 0xffff00},     {"navy", 0x000080},       {"maroon", 0x800000},      {"orange", 0xffa500},
    {"purple", 0x800080},     {"snow", 0xfffafa},       {"ivory", 0xfffff0},       {"azure", 0xf0ffff},
    {"whitesmoke", 0xf5f5f5}, {"ghostwhite", 0xf8f8ff}, {"floralwhite", 0xfffaf0}, {"lightgray", 0xd3d3d3},
    {"lightgrey", 0xd3d3d3},  {"aqua", 0x00ffff},       {"lime", 0x00ff00},        {"teal", 0x008080},
};

// The leading number of a value and its unit; false: no number.
bool read_number(std::string_view value, double& number, std::string_view& unit) {
  size_t at = 0;
  bool negative = false;
  if (at < value.size() && (value[at] == '-' || value[at] == '+')) negative = value[at++] == '-';
  double result = 0, scale = 0;
  bool digits = false;
  for (; at < value.size() && at < 24; ++at) {
    if (value[at] == '.' && scale == 0) {
      scale = 1;
    } else if (is_digit(value[at])) {
      digits = true;
      if (scale == 0) {
        result = result * 10 + (value[at] - '0');
      } else {
        scale /= 10;
        result += (value[at] - '0') * scale;
      }
    } else {
      break;
    }
  }
  number = negative ? -result : result;
  unit = trim(value.substr(at));
  return digits;
}

// Below this many pixels nobody reads.
bool tiny_font(std::string_view value, bool& readable) {
  double size = 0;
  std::string_view unit;
  if (!read_number(value, size, unit)) return false;
  double pixels = size;
  if (starts_lower(unit, "pt")) pixels = size * 4 / 3;
  if (starts_lower(unit, "em") || starts_lower(unit, "rem")) pixels = size * 16;
  if (starts_lower(unit, "%")) pixels = size * 16 / 100;
  readable = pixels >= 4;
  return pixels < 2.01;
}

bool zero(std::string_view value) {
  double number = 0;
  std::string_view unit;
  return read_number(value, number, unit) && number < 1.01 && number > -1.01 && !unit.starts_with('%') &&
         (number < 0.01 || starts_lower(unit, "px"));
}

bool far_outside(std::string_view value) {
  double number = 0;
  std::string_view unit;
  if (!read_number(value, number, unit)) return false;
  return number <= (starts_lower(unit, "px") || unit.empty() ? -500 : starts_lower(unit, "%") ? -100 : -50);
}

struct Boxes {
  bool clipped = false, no_height = false, no_width = false;
};

void apply_one(std::string_view name, std::string_view value, Style& style, Boxes& boxes) {
  if (equals_lower(name, "display")) {
    if (starts_lower(value, "none")) style.hiding = Hiding::kDisplay;
  } else if (equals_lower(name, "visibility")) {
    if (starts_lower(value, "hidden") || starts_lower(value, "collapse")) style.hiding = Hiding::kDisplay;
  } else if (equals_lower(name, "mso-hide")) {
    // Hidden in one mail program only: what the others show counts.
  } else if (equals_lower(name, "opacity")) {
    double number = 1;
    std::string_view unit;
    if (read_number(value, number, unit) && number < 0.06) style.hiding = Hiding::kDisplay;
  } else if (equals_lower(name, "font-size")) {
    bool readable = false;
    if (tiny_font(value, readable)) style.hiding = Hiding::kSize;
    style.shown_again = readable;
  } else if (equals_lower(name, "color")) {
    style.colour = parse_colour(value);
    if (starts_lower(value, "transparent")) style.hiding = Hiding::kDisplay;
  } else if (equals_lower(name, "background-color")) {
    style.ground = parse_colour(value);
  } else if (equals_lower(name, "background")) {
    style.ground = find_lower(value, "url(") != std::string_view::npos ? kColourUnknown : parse_colour(value);
  } else if (equals_lower(name, "background-image")) {
    if (!starts_lower(value, "none")) style.ground = kColourUnknown;
  } else if (equals_lower(name, "overflow")) {
    boxes.clipped |= starts_lower(value, "hidden");
  } else if (equals_lower(name, "height") || equals_lower(name, "max-height")) {
    boxes.no_height |= zero(value);
  } else if (equals_lower(name, "width") || equals_lower(name, "max-width")) {
    boxes.no_width |= zero(value);
  } else if (equals_lower(name, "text-indent") || equals_lower(name, "left") || equals_lower(name, "top") ||
             equals_lower(name, "margin-left") || equals_lower(name, "right")) {
    if (far_outside(value)) style.hiding = Hiding::kPlace;
  } else if (equals_lower(name, "clip")) {
    if (starts_lower(value, "rect(0") || starts_lower(value, "rect(1px")) style.hiding = Hiding::kPlace;
  }
}

}  // namespace

void apply_declarations(std::string_view declarations, Style& style) {
  Boxes boxes;
  size_t at = 0;
  while (at < declarations.size()) {
    size_t end = declarations.find(';', at);
    if (end == std::string_view::npos) end = declarations.size();
    const std::string_view one = declarations.substr(at, end - at);
    const size_t colon = one.find(':');
    if (colon != std::string_view::npos)
      apply_one(trim(one.substr(0, colon)), trim(one.substr(colon + 1)), style, boxes);
    at = end + 1;
  }
  if (boxes.clipped && (boxes.no_height || boxes.no_width)) style.hiding = Hiding::kPlace;
}

uint32_t parse_colour(std::string_view value) {
  value = trim(value);
  if (value.empty()) return kColourUnknown;
  if (starts_lower(value, "rgb")) {
    const size_t open = value.find('(');
    if (open == std::string_view::npos) return kColourUnknown;
    uint32_t parts[3] = {0, 0, 0};
    size_t part = 0;
    bool digit = false;
    for (size_t i = open + 1; i < value.size() && value[i] != ')'; ++i) {
      if (is_digit(value[i])) {
        parts[part] = std::min<uint32_t>(parts[part] * 10 + static_cast<uint32_t>(value[i] - '0'), 255);
        digit = true;
      } else if (digit && (value[i] == ',' || value[i] == ' ')) {
        digit = false;
        if (++part == 3) break;
      } else if (value[i] == '%' || value[i] == '.') {
        return kColourUnknown;
      }
    }
    return parts[0] << 16 | parts[1] << 8 | parts[2];
  }
  const std::string_view hex = value[0] == '#' ? value.substr(1) : value;
  size_t digits = 0;
  uint32_t rgb = 0;
  while (digits < hex.size() && digits < 6 && hex_value(hex[digits]) >= 0) {
    rgb = rgb << 4 | static_cast<uint32_t>(hex_value(hex[digits++]));
  }
  if (digits == 6) return rgb;
  if (digits == 3 && value[0] == '#') {
    const uint32_t r = rgb >> 8, g = rgb >> 4 & 15, b = rgb & 15;
    return r * 0x110000 + g * 0x1100 + b * 0x11;
  }
  size_t end = 0;
  while (end < value.size() && is_alpha(value[end])) ++end;
  for (const NamedColour& named : kColours) {
    if (equals_lower(value.substr(0, end), named.name)) return named.rgb;
  }
  return kColourUnknown;
}

bool alike(uint32_t colour, uint32_t ground) {
  if (colour >= kColourUnknown || ground >= kColourUnknown) return false;
  int distance = 0;
  for (int shift = 16; shift >= 0; shift -= 8) {
    distance += std::abs(static_cast<int>(colour >> shift & 255) - static_cast<int>(ground >> shift & 255));
  }
  return distance <= 24;
}

}  // namespace tamis::mail
