#include "event/schema.h"

#include "event/json_plan.h"

namespace tamis::event {

void EventSchema::seal() { fingerprint = plan_fingerprint(*this); }

}  // namespace tamis::event
