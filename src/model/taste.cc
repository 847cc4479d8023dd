#include "model/taste.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr std::string_view kMagic = "TAMISTA1";
constexpr float kStep = 6;           // with the vector at unit length
constexpr float kAloneShare = 0.3f;  // how much of it the recipient alone takes, whatever the message
constexpr uint64_t kAlone = ~uint64_t{0};
constexpr float kWeightMax = 1e4f;
constexpr uint32_t kSlotsLog2Min = 8;
constexpr uint32_t kSlotsLog2Max = 22;

// Of the words of the text every fourth, by hash: the same of every message.
bool is_crossed(FeatureId id) {
  switch (static_cast<Place>(place_of(id))) {
    case Place::kHeader:
    case Place::kSubject:
    case Place::kLink:
      return true;
    case Place::kBody:
      return (id & kFeatureHashMask) % 4 == 0;
    default:
      return false;
  }
}

float unit_of(FeatureSpan features) {
  const auto crossed = std::count_if(features.begin(), features.end(), is_crossed);
  return 1.0f / std::sqrt(static_cast<float>(crossed) + 1);
}

}  // namespace

Taste::Taste(uint32_t slots_log2)
    : slots_log2_(std::clamp(slots_log2, kSlotsLog2Min, kSlotsLog2Max)), slots_(size_t{1} << slots_log2_) {}

size_t Taste::slot_of(uint64_t recipient, uint64_t feature) const {
  return base::mix64(recipient ^ base::mix64(feature)) >> (64 - slots_log2_);
}

float Taste::logit_of(uint64_t recipient, FeatureSpan features) const {
  if (recipient == 0) return 0;
  float sum = 0;
  for (const FeatureId id : features) {
    if (is_crossed(id)) sum += slots_[slot_of(recipient, id)];
  }
  sum = sum * unit_of(features) + kAloneShare * slots_[slot_of(recipient, kAlone)];
  return std::clamp(sum, -kReach, kReach);
}

void Taste::forget(uint64_t recipient, FeatureSpan features) {
  if (recipient == 0) return;
  for (const FeatureId id : features) {
    if (is_crossed(id)) slots_[slot_of(recipient, id)] = 0;
  }
  slots_[slot_of(recipient, kAlone)] = 0;
}

void Taste::learn(uint64_t recipient, FeatureSpan features, float common_logit, bool spam) {
  if (recipient == 0) return;
  const float logit = common_logit + logit_of(recipient, features);
  const float wrong = (spam ? 1.0f : 0.0f) - static_cast<float>(logistic(logit));
  const float step = kStep * wrong * unit_of(features);
  const auto move = [&](size_t slot, float by) {
    slots_[slot] = std::clamp(slots_[slot] + by, -kWeightMax, kWeightMax);
  };
  for (const FeatureId id : features) {
    if (is_crossed(id)) move(slot_of(recipient, id), step);
  }
  move(slot_of(recipient, kAlone), kAloneShare * wrong);
}

std::string Taste::save() const {
  std::string out(kMagic);
  out.append(reinterpret_cast<const char*>(&slots_log2_), sizeof slots_log2_);
  out.append(reinterpret_cast<const char*>(slots_.data()), slots_.size() * sizeof(float));
  const uint64_t sum = base::hash64(out);
  out.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return out;
}

base::Result<Taste> Taste::load(std::string_view bytes) {
  const auto broken = [] { return base::invalid("this is no table of tastes, or it is damaged"); };
  constexpr size_t kHead = kMagic.size() + sizeof(uint32_t);
  if (bytes.size() < kHead + sizeof(uint64_t) || bytes.substr(0, kMagic.size()) != kMagic) return broken();
  uint32_t slots_log2 = 0;
  std::memcpy(&slots_log2, bytes.data() + kMagic.size(), sizeof slots_log2);
  if (slots_log2 < kSlotsLog2Min || slots_log2 > kSlotsLog2Max) return broken();
  const size_t table = (size_t{1} << slots_log2) * sizeof(float);
  if (bytes.size() != kHead + table + sizeof(uint64_t)) return broken();
  uint64_t sum = 0;
  std::memcpy(&sum, bytes.data() + kHead + table, sizeof sum);
  if (sum != base::hash64(bytes.substr(0, kHead + table))) return broken();
  Taste taste(slots_log2);
  std::memcpy(taste.slots_.data(), bytes.data() + kHead, table);
  for (const float weight : taste.slots_) {
    if (!(weight >= -kWeightMax && weight <= kWeightMax)) return broken();
  }
  return taste;
}

}  // namespace tamis::model
