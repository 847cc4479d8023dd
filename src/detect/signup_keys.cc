#include "detect/signup_keys.h"

#include <cmath>

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

SignupKeys signup_keys(const SignupFacts& facts, const Expected& expected) {
  std::array<uint64_t, kParts> value{};
  std::array<double, kParts> log_p{};
  for (size_t a = 0; a < kAttributes; ++a) value[a] = facts.value[a], log_p[a] = expected.log_p[a];
  const auto step = [&](Measure m, Part part, double width) {
    const double x = static_cast<double>(facts.measure[m]);
    if (x < 0) return;
    value[part] = uint64_t(x / width) + 1;
    log_p[part] = std::min(0.0, expected.log_density[m] + std::log(width));
  };
  step(kFill, kFillStep, kFillWidth);
  step(kCaptcha, kCaptchaStep, kCaptchaWidth);

  SignupKeys out;
  const auto group = uint64_t(net_group(facts.net));
  for (size_t k = 0; k < kPairKeys; ++k) {
    uint64_t h = (k + 1) * 8 + group;
    double p = 0;
    bool given = true;
    for (uint8_t part : kKinds[k].part) {
      if (part == kNone) continue;
      given = given && value[part] != 0;
      h = base::combine64(h, value[part]);
      p += log_p[part];
    }
    if (!given) continue;
    out.key[k] = h | 1u;
    out.log_p[k] = static_cast<float>(p);
  }
  for (size_t s = 0; s < kSoloKeys; ++s) {
    const uint32_t v = facts.value[kSolo[s]];
    if (v != 0) out.key[kPairKeys + s] = base::combine64(1000 + s, v) | 1u;
  }
  return out;
}

}  // namespace tamis::detect
