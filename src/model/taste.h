// What single recipients want otherwise than the rest: a small correction on top of the common model, learned from
// their first few corrections, without a copy of the model for anyone.
//
// One table of fixed size serves all recipients: a weight per recipient and feature, by a hash of both, and one per
// recipient alone. Only the features that tell who writes and what about are crossed (headers, subject, links; a share
// of the words); what is learned is what the common model got wrong for this recipient, and its reach is bounded, so
// that a taste can turn a doubtful verdict but not let plain malice through.
//
//   float logit = model.score(features, scratch).logit + taste.logit_of(recipient, features);
//   taste.learn(recipient, features, common_logit, spam);    // a correction by this recipient
//
// Deterministic and bounded: 2^slots_log2 floats, whatever happens. Concurrent reads are fine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/features.h"

namespace tamis::model {

class Taste {
 public:
  static constexpr float kReach = 4;  // the most log-odds that a taste adds

  explicit Taste(uint32_t slots_log2 = 18);  // 8..22; 1 MB as set

  // `recipient` is a keyed hash of the address; 0 is nobody and has no taste.
  float logit_of(uint64_t recipient, FeatureSpan features) const;
  // `common_logit` is what the common model says of the message, without the taste.
  void learn(uint64_t recipient, FeatureSpan features, float common_logit, bool spam);

  // Forgets what this recipient wants of messages with these features.
  void forget(uint64_t recipient, FeatureSpan features);

  size_t memory_bytes() const { return slots_.capacity() * sizeof(float); }
  std::string save() const;
  static base::Result<Taste> load(std::string_view bytes);

 private:
  size_t slot_of(uint64_t recipient, uint64_t feature) const;

  uint32_t slots_log2_;
  std::vector<float> slots_;
};

}  // namespace tamis::model
