#include "detect/signup_keys.h"

#include <algorithm>

#include "base/hash.h"

namespace tamis::detect {
namespace {

// Parts of keys beyond the attributes: times in steps.
enum Part : uint8_t { kFillStep = kAttributes, kCaptchaStep, kParts, kNone = 255 };

struct KeyKind {
  std::array<uint8_t, 4> part;
};

constexpr KeyKind kKinds[kPairKeys] = {
    {{kShape, kForm, kFillStep, kCaptchaStep}},  {{kFine, kDevice, kNone, kNone}},
    {{kShape, kLocale, kForm, kNone}},           {{kShape, kNetwork, kNone, kNone}},
    {{kShape, kRecovery, kFillStep, kNone}},     {{kDevice, kLocale, kNone, kNone}},
    {{kDevice, kFillStep, kForm, kNone}},        {{kDevice, kNetwork, kNone, kNone}},
    {{kHardware, kShape, kNone, kNone}},         {{kNetwork, kForm, kFillStep, kNone}},
    {{kLocale, kForm, kFillStep, kCaptchaStep}}, {{kRecovery, kForm, kFillStep, kCaptchaStep}},
    {{kRecovery, kLocale, kFillStep, kNone}},    {{kStem, kDevice, kNone, kNone}},
    {{kStem, kNetwork, kNone, kNone}},           {{kStem, kForm, kFillStep, kNone}},
    {{kAgent, kShape, kLocale, kNone}},          {{kAsn, kShape, kForm, kFillStep}},
    {{kAgent, kForm, kFillStep, kCaptchaStep}},  {{kRecovery, kDevice, kNone, kNone}},
    {{kFine, kLocale, kFillStep, kNone}},        {{kMailbox, kForm, kNone, kNone}},
    {{kCarried, kForm, kNone, kNone}},
};
constexpr Attribute kSolo[kSoloKeys] = {kDevice, kNetwork, kStem, kRecovery, kMailbox, kCookie};

constexpr double kFillWidth = 0.34657359, kCaptchaWidth = 0.69314718;  // nats: half an octave, an octave

}  // namespace

int net_group(NetClass net) {
  switch (net) {
    case NetClass::kHosting:
    case NetClass::kVpn:
      return 1;
    case NetClass::kTor:
      return 2;
    default:
      return 0;
  }
}

namespace {

uint64_t mixed(size_t part, uint64_t value) { return base::mix64(value + (uint64_t{part} << 32)); }
uint64_t solo_key(size_t place, uint64_t mixed_value) { return base::mix64(mixed_value + 1000 + place) | 1u; }

}  // namespace

uint64_t cookie_key(const SignupFacts& facts) {
  constexpr size_t kPlace = kSoloKeys - 1;
  static_assert(kSolo[kPlace] == kCookie);
  return facts.value[kCookie] == 0 ? 0 : solo_key(kPlace, mixed(kCookie, facts.value[kCookie]));
}

SignupKeys signup_keys(const SignupFacts& facts) {
  // Mixed once; a key is then a sum with odd factors by place, mixed again.
  std::array<uint64_t, kParts> value{};
  for (size_t a = 0; a < kAttributes; ++a)
    if (facts.value[a] != 0) value[a] = mixed(a, facts.value[a]);
  if (facts.value[kCarried] == kNotCarried) value[kCarried] = 0;  // what nearly all have in common leads nowhere
  const auto step = [&](Measure m, Part part, double width) {
    const auto x = static_cast<double>(facts.measure[m]);
    // What an event says may be anything; beyond this no two are told apart.
    if (x >= 0) value[part] = mixed(part, uint64_t(std::min(x / width, 1e15)));
  };
  step(kFill, kFillStep, kFillWidth);
  step(kCaptcha, kCaptchaStep, kCaptchaWidth);

  SignupKeys out;
  const auto group = uint64_t(net_group(facts.net));
  for (size_t k = 0; k < kPairKeys; ++k) {
    uint64_t h = (k + 1) * 8 + group;
    bool given = true;
    for (uint8_t part : kKinds[k].part) {
      if (part == kNone) break;
      given = given && value[part] != 0;
      h = h * 0x9e3779b97f4a7c15u + value[part];
    }
    if (given) out.key[k] = base::mix64(h) | 1u;
  }
  for (size_t s = 0; s < kSoloKeys; ++s)
    if (value[kSolo[s]] != 0) out.key[kPairKeys + s] = solo_key(s, value[kSolo[s]]);
  return out;
}

std::array<double, kPairKeys> chance_of(const SignupFacts& facts, const Expected& expected) {
  std::array<double, kParts> p;
  for (size_t a = 0; a < kAttributes; ++a) p[a] = expected.p[a];
  const auto step = [&](Measure m, double width) {
    return facts.measure[m] < 0 ? 1.0 : std::min(1.0, expected.density[m] * width);
  };
  p[kFillStep] = step(kFill, kFillWidth);
  p[kCaptchaStep] = step(kCaptcha, kCaptchaWidth);
  std::array<double, kPairKeys> out;
  for (size_t k = 0; k < kPairKeys; ++k) {
    out[k] = 1;
    for (uint8_t part : kKinds[k].part) {
      if (part == kNone) break;
      out[k] *= p[part];
    }
  }
  return out;
}

}  // namespace tamis::detect
