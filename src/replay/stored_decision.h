// A decision of the past as the archive has it, written as it was answered then.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "archive/archive.h"
#include "base/result.h"
#include "policy/policy.h"

namespace tamis::replay {

// Appends the decision of record `number` of this type, as engine::write_json() wrote it but for what is not kept
// (conditions). Errors: kNotFound.
base::Status write_stored_decision(const archive::Archive& archive, const policy::EventType& type, uint64_t number,
                                   std::string& out);

// The same with the event's fields and when it came, by the event's id; the newest of several. For people.
base::Status write_stored_event(const archive::Archive& archive, const policy::EventType& type, std::string_view id,
                                std::string& out);

}  // namespace tamis::replay
