// LateGuard: where the threshold lies while feedback comes late and is of spam alone.
//
// A model that hears of spam only, for hundreds of messages, takes every stranger for spam, as it learns what is common
// to all mail as signs of spam. With prompt feedback the first wanted message among them corrects that; with late
// feedback hundreds were judged before. So while corrections come late and hardly any is of wanted mail, a message has
// to be as surely spam as four of five of the newest spams were, each before it was learned, or of log-odds 5. In all
// other cases the threshold is the model's own.
//
// How late a correction comes is told by what was scanned since: more than 64 messages are late, and one that is not
// among the newest 4 096 tells nothing, as mail that was never scanned here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "model/features.h"

namespace tamis::learn {

class LateGuard {
 public:
  LateGuard();

  // A message was scanned. From any thread.
  void scanned(model::FeatureSpan features) const;
  // A message was learned for the first time; `logit` is what the model said of it before. One thread at a time.
  void learned(model::FeatureSpan features, bool spam, float logit);
  // Log-odds that spam has to have beyond the model's threshold; 0 or above. From any thread.
  float logit() const { return logit_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kScans = 4096;
  static constexpr size_t kSpams = 64;
  using Scans = std::array<std::atomic<uint64_t>, kScans>;

  void note_lateness(uint64_t hash);
  float low_logit() const;  // that four of five of the newest spams are above

  std::unique_ptr<Scans> scans_;
  mutable std::atomic<uint64_t> scanned_{0};
  std::array<float, kSpams> spams_{};  // the newest, a ring
  size_t spams_seen_ = 0;
  float late_ = 0;          // the share of late ones among the newest corrections
  float ham_share_ = 0.5f;  // of wanted mail among them
  std::atomic<float> logit_{0};
};

}  // namespace tamis::learn
