// Backfill: events of the past for the features and detectors that a policy to be activated adds. Nothing is decided.
#pragma once

#include <memory>
#include <vector>

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

  // What filling one feature or detector reads of the events of one type: slots of fields and derived attributes.
  struct Need {
    size_t type = 0;  // place in policy()->types
    bool is_detector = false;
    uint32_t place = 0;  // in policy()->features or ->detectors
    std::vector<int32_t> slots;
  };
  std::vector<Need> needs() const;
  // For an event of which not all is known: what does not get it, by place; empty: everything does.
  struct LeftOut {
    std::vector<bool> features, detectors;
  };

  // An event of policy(), in the order of the journal. Time passes as in Engine::decide().
  void feed(PreparedEvent& event, int64_t receive_ms, const LeftOut& left_out = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::engine
