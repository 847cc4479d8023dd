// What the engine holds of an active policy: per event type a frame, a rule index and the way to its features.
// Private to this room.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/detectors.h"
#include "engine/engine.h"
#include "engine/rule_index.h"

namespace tamis::engine {

// One feature under one key, as one event type uses it: read into slots, then updated. The key is found once for both.
struct FeatureAccess {
  uint32_t feature = 0;
  std::vector<cel::NodeId> by;
  bool each = false;                                // then `keys` are what it has instead of `key` and `cursor`
  std::vector<std::pair<uint32_t, int32_t>> reads;  // window, slot
  bool include_self = false;
  const policy::FeatureUpdate* update = nullptr;
  // Of the event being decided:
  state::FeatureTable* table = nullptr;
  state::Cursor cursor;
  uint64_t key = 0;
  std::array<uint64_t, policy::kEachMax> keys{};
  size_t key_count = 0;
  bool has_key = false;
  bool counts = false;  // the event updates the feature
  bool hit = false;
  Value of;
};

// The keys that the event in the frame has under `each`, different ones in the order of the list: how many there are;
// none where a part is absent or an error.
size_t keys_of_each(const cel::Plan& plan, const std::vector<cel::NodeId>& by, cel::Frame& frame,
                    std::array<uint64_t, policy::kEachMax>& keys);

struct ActiveType {
  ActiveType(const policy::EventType& t, bool use_index);

  const policy::EventType* type;
  cel::Frame frame;
  RuleIndex index;
  std::vector<FeatureAccess> accesses;
  std::vector<std::string> slot_names;
  RuleIndex::Outcome outcome;
};

class Engine::Prepared {
 public:
  std::shared_ptr<const policy::Policy> policy;
  std::vector<std::unique_ptr<ActiveType>> types;
  std::vector<std::unique_ptr<state::List>> lists;           // entries of the policy
  std::vector<std::unique_ptr<state::List>> run_time_lists;  // entries of run time, kept across activations
  std::vector<std::unique_ptr<state::FeatureTable>> tables;
  std::vector<std::unique_ptr<Detector>> detectors;
  std::vector<bool> gives_private_values, remembers_people;  // by feature (policy/private_values.h)
  int32_t finding_type = -1;                                 // place of the event type of findings, -1: there is none
};

}  // namespace tamis::engine
