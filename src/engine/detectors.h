// Detectors as the engine runs them: what src/detect computes, fed by what a policy says of it
// (policy/detector_kinds.h), with its state in the engine's snapshots and what it found as findings. Private to this
// room but for the facts of clusters, which engine.h hands out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "detect/signup_clusters.h"
#include "engine/engine.h"
#include "policy/policy.h"
#include "state/pieces.h"

namespace tamis::engine {

// The inputs of one event, by DetectorInput; absent where not given.
using DetectorInputs = std::array<event::Value, policy::kDetectorInputs>;

// What a detector found while it took an event: about one cluster, or about the event's account.
struct Found {
  std::string_view finding;      // found, grown, actionable, takeover; empty: nothing
  detect::ClusterFacts cluster;  // number zero: it is about the account itself, and of this only the score counts
};

// What an event is called, by which truth may come later.
struct EventName {
  std::string_view type, id;
};

class Detector : public state::SnapshotPart {
 public:
  static std::unique_ptr<Detector> make(const policy::DetectorDecl& decl, const base::SipKey& state_key);

  // Takes an event. What it says of it is read by output() until the next call.
  virtual void feed(policy::DetectorPart part, int64_t t_ms, const DetectorInputs& inputs, const EventName& name) = 0;
  virtual event::Value output(uint32_t output) = 0;
  virtual Found found() const { return {}; }

  // A policy that keeps this detector's state may bring another model, or none.
  virtual void use_model(const policy::DetectorDecl&) {}

  virtual void erase(std::string_view account) = 0;
  // What somebody has found out about one account; nothing: it is not known any more.
  virtual void truth(std::string_view, std::optional<bool>, int64_t) {}
  // And about one event.
  virtual void truth_of_event(const EventName&, std::optional<bool>, int64_t) {}
  // What it said of the event that it took last, if that was a signup.
  virtual std::optional<SeenSignup> seen_signup() const { return std::nullopt; }
  virtual std::optional<AccountHindsight> hindsight(std::string_view) const { return std::nullopt; }
  // What people say of a cluster: confirmed; or cleared until then (0: not any more).
  enum class ClusterSaying : uint8_t { kConfirmed, kCleared };
  virtual void say(uint64_t, ClusterSaying, int64_t) {}
  // Null: it finds none.
  virtual const detect::SignupClusters* clusters() const { return nullptr; }
  virtual uint64_t bytes() const = 0;
  virtual uint64_t digest() const = 0;
};

// Of views that a cluster's members share something of.
int64_t views_of(const detect::ClusterFacts& cluster);

}  // namespace tamis::engine
