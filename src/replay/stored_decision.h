// A decision of the past as the archive has it, written as it was answered then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "archive/archive.h"
#include "base/result.h"
#include "policy/policy.h"

namespace tamis::replay {

// The policy of a version; null: nobody has it any more.
using PolicyOf = std::function<std::shared_ptr<const policy::Policy>(std::string_view version)>;

// Appends the decision of record `number` of this type, byte for byte as engine::write_json() wrote it but for what is
// not kept: conditions, digits of a time below a microsecond, line feeds within a reason, values that retention has
// taken. Features are those of the policy that decided, or of `type` where it is not to be had. Errors: kNotFound.
base::Status write_stored_decision(const archive::Archive& archive, const policy::Policy& current,
                                   const policy::EventType& type, const PolicyOf& policy_of, uint64_t number,
                                   std::string& out);

// The same with what rules did (`effects`), the event's fields and when it came, by the event's id; the newest of
// several. For people; `explained`: with what detectors said, factor by factor.
base::Status write_stored_event(const archive::Archive& archive, const policy::Policy& current,
                                const policy::EventType& type, const PolicyOf& policy_of, std::string_view id,
                                bool explained, std::string& out);

}  // namespace tamis::replay
