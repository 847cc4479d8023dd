#include "mail/punycode.h"

#include <array>
#include <cstdint>
#include <optional>

#include "mail/charset.h"

namespace tamis::mail {
namespace {

// RFC 3492, section 5.
constexpr uint32_t kBase = 36, kTMin = 1, kTMax = 26, kSkew = 38, kDamp = 700, kFirstBias = 72, kFirstPoint = 0x80;
constexpr uint32_t kPointMax = 0x10ffff;
constexpr size_t kPointsMax = 63, kDomainBytesMax = 255;

uint32_t digit_of(char c) {
  if (c >= 'a' && c <= 'z') return static_cast<uint32_t>(c - 'a');
  if (c >= 'A' && c <= 'Z') return static_cast<uint32_t>(c - 'A');
  return c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0') + 26 : kBase;
}

// Section 6.1.
uint32_t adapt(uint32_t delta, uint32_t points, bool first) {
  delta = first ? delta / kDamp : delta / 2;
  delta += delta / points;
  uint32_t k = 0;
  for (; delta > (kBase - kTMin) * kTMax / 2; k += kBase) delta /= kBase - kTMin;
  return k + (kBase - kTMin + 1) * delta / (delta + kSkew);
}

// Section 6.2, of what stands behind "xn--".
std::optional<std::u32string> decode(std::string_view text) {
  std::u32string points;
  const size_t hyphen = text.rfind('-');
  if (hyphen != std::string_view::npos) {
    for (const char c : text.substr(0, hyphen)) {
      if (static_cast<unsigned char>(c) >= kFirstPoint) return std::nullopt;
      points.push_back(static_cast<char32_t>(c));
    }
    text.remove_prefix(hyphen + 1);
  }
  uint64_t n = kFirstPoint, at = 0;
  uint32_t bias = kFirstBias;
  while (!text.empty()) {
    const uint64_t before = at;
    uint64_t weight = 1;
    for (uint32_t k = kBase;; k += kBase) {
      const uint32_t digit = text.empty() ? kBase : digit_of(text.front());
      if (digit >= kBase) return std::nullopt;
      text.remove_prefix(1);
      at += digit * weight;
      if (at > UINT32_MAX) return std::nullopt;
      const uint32_t threshold = k <= bias ? kTMin : k >= bias + kTMax ? kTMax : k - bias;
      if (digit < threshold) break;
      weight *= kBase - threshold;
      if (weight > UINT32_MAX) return std::nullopt;
    }
    const uint64_t count = points.size() + 1;
    bias = adapt(static_cast<uint32_t>(at - before), static_cast<uint32_t>(count), before == 0);
    n += at / count;
    at %= count;
    if (n > kPointMax || (n >= 0xd800 && n < 0xe000) || count > kPointsMax) return std::nullopt;
    points.insert(points.begin() + static_cast<std::ptrdiff_t>(at++), static_cast<char32_t>(n));
  }
  return points;
}

bool is_encoded(std::string_view label) {
  return label.size() > 4 && (label[0] == 'x' || label[0] == 'X') && (label[1] == 'n' || label[1] == 'N') &&
         label[2] == '-' && label[3] == '-';
}

}  // namespace

std::string shown_domain(std::string_view domain) {
  std::string out;
  if (domain.size() > kDomainBytesMax) return std::string(domain);
  while (true) {
    const size_t end = domain.find('.');
    const std::string_view label = domain.substr(0, end);
    const auto points = is_encoded(label) ? decode(label.substr(4)) : std::nullopt;
    if (!points) out += label;
    for (const char32_t point : points.value_or(std::u32string())) {
      std::array<char, 4> bytes{};
      out.append(bytes.data(), put_code_point(point, bytes.data()));
    }
    if (end == std::string_view::npos) return out;
    out += '.';
    domain.remove_prefix(end + 1);
  }
}

}  // namespace tamis::mail
