#include "base/base64.h"

#include <array>
#include <cstdint>

namespace tamis::base {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  for (auto& value : values) value = 0xFF;
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  values['-'] = 62;
  values['_'] = 63;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = make_values();

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) out += kAlphabet[bits >> shift & 63];
  }
  const size_t rest = bytes.size() - i;
  if (rest == 0) return;
  const uint32_t bits = byte(i) << 16 | (rest == 2 ? byte(i + 1) << 8 : 0);
  out += kAlphabet[bits >> 18 & 63];
  out += kAlphabet[bits >> 12 & 63];
  out += rest == 2 ? kAlphabet[bits >> 6 & 63] : '=';
  out += '=';
}

size_t decode_base64(std::string_view text, char* out) {
  if (text.size() % 4 == 0) {
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return kNotBase64;
  size_t written = 0;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == 0xFF) return kNotBase64;
    bits = bits << 6 | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[written++] = static_cast<char>(bits >> held & 0xFF);
    }
  }
  // Bits left over must be zero, else two texts would mean the same bytes.
  if ((bits & ((1u << held) - 1)) != 0) return kNotBase64;
  return written;
}

}  // namespace tamis::base
