#include "learn/late_guard.h"

#include <algorithm>

#include "base/hash.h"

namespace tamis::learn {
namespace {

constexpr uint64_t kLateScans = 64;
constexpr float kStep = 0.05f;      // shares follow about the newest twenty corrections
constexpr float kHamEnough = 0.2f;  // with this share of wanted mail the guard has nothing to do
constexpr size_t kSpamsLeast = 8;   // fewer say nothing of how sure the model is of spam
constexpr float kLogitMax = 5;      // a sure model is not asked to be surer than one in 150

uint64_t hash_of(model::FeatureSpan features) {
  return base::hash64(features.data(), features.size_bytes()) | 1;  // 0 is an empty place
}

}  // namespace

LateGuard::LateGuard() : scans_(std::make_unique<Scans>()) {}

void LateGuard::scanned(model::FeatureSpan features) const {
  const uint64_t at = scanned_.fetch_add(1, std::memory_order_relaxed);
  (*scans_)[at % kScans].store(hash_of(features), std::memory_order_relaxed);
}

void LateGuard::note_lateness(uint64_t hash) {
  const uint64_t end = scanned_.load(std::memory_order_relaxed);
  for (uint64_t age = 0; age < std::min<uint64_t>(end, kScans); ++age) {
    if ((*scans_)[(end - 1 - age) % kScans].load(std::memory_order_relaxed) != hash) continue;
    late_ += kStep * ((age >= kLateScans ? 1.0f : 0.0f) - late_);
    return;
  }
}

float LateGuard::low_logit() const {
  std::array<float, kSpams> sorted = spams_;
  const size_t held = std::min(spams_seen_, kSpams);
  const auto low = sorted.begin() + static_cast<std::ptrdiff_t>(held / 5);
  std::nth_element(sorted.begin(), low, sorted.begin() + static_cast<std::ptrdiff_t>(held));
  return *low;
}

void LateGuard::learned(model::FeatureSpan features, bool spam, float logit) {
  note_lateness(hash_of(features));
  ham_share_ += kStep * ((spam ? 0.0f : 1.0f) - ham_share_);
  if (spam) spams_[spams_seen_++ % kSpams] = logit;
  float guard = 0;
  if (late_ > 0.5f && ham_share_ < kHamEnough && spams_seen_ >= kSpamsLeast) {
    guard = (1 - ham_share_ / kHamEnough) * std::clamp(low_logit(), 0.0f, kLogitMax);
  }
  logit_.store(guard, std::memory_order_relaxed);
}

}  // namespace tamis::learn
