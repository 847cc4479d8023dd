// Backfill: events of the past for the features and detectors that a policy to be activated adds. Nothing is decided.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace tamis::engine {

class Backfill {
 public:
  // `now` decides until then; features of `next` that it has with the same declaration keep their state and get
  // nothing from here.
  Backfill(const Engine& now, Engine::Prepared& next);
  ~Backfill();

  // Whether there is a feature or detector to fill.
  bool needed() const;
  const std::shared_ptr<const policy::Policy>& policy() const;
  // An event of policy(), in the order of the journal. Time passes as in Engine::decide().
  void feed(PreparedEvent& event, int64_t receive_ms);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::engine
