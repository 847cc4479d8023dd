// Arbitrary bytes as the one file of a policy: nothing may crash, hang or grow without bound, every place that a
// message names exists, and a policy that is accepted evaluates on an event with nothing in it.
#include <cstdint>

#include "base/assert.h"
#include "policy/policy.h"

namespace {

namespace base = tamis::base;
namespace cel = tamis::cel;
namespace event = tamis::event;
namespace policy = tamis::policy;

class NoHost : public cel::Host {
 public:
  bool list_contains(int64_t, event::Value) const override { return false; }
  event::Value labels_of(int64_t, event::Value, base::Arena&) const override { return event::Value::list({}); }
};

void evaluate(const policy::EventType& type) {
  base::Arena arena;
  NoHost host;
  std::vector<event::Value> slots(static_cast<size_t>(type.slot_count));
  cel::Frame frame(type.plan);
  frame.begin(slots.data(), arena, &host, 10'000);
  for (const policy::Rule& rule : type.rules) type.plan.test(rule.when, frame);
  for (const policy::FeatureRead& read : type.reads) {
    TAMIS_ASSERT(read.slot >= 0 && read.slot < type.slot_count);
    for (policy::NodeId by : read.by) type.plan.eval(by, frame);
  }
  type.plan.eval(type.score, frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 64 * 1024) return 0;
  policy::Loaded loaded = policy::load_files({{"p.yaml", std::string(reinterpret_cast<const char*>(data), size)}});
  TAMIS_ASSERT(loaded.policy != nullptr || !loaded.diagnostics.empty());
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    TAMIS_ASSERT(d.line == 0 || d.column >= 1);
    TAMIS_ASSERT(!policy::to_string(d).empty());
  }
  if (loaded.policy != nullptr) {
    for (const policy::EventType& type : loaded.policy->types) evaluate(type);
  }
  return 0;
}
