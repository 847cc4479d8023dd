#include "policy/slot_names.h"

#include "event/schema.h"

namespace tamis::policy {

std::vector<std::string> slot_names(const EventType& type) {
  std::vector<std::string> names(static_cast<size_t>(type.slot_count));
  const auto& fields = type.schema.fields;
  for (size_t i = 0; i < fields.size(); ++i) names[i] = fields[i].name;
  for (const event::Derived& derived : type.schema.derived) {
    const event::Field& source = fields[static_cast<size_t>(derived.source)];
    for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
      if (info.attribute != derived.attribute) continue;
      names[static_cast<size_t>(derived.slot)] = source.name + "." + std::string(info.name);
    }
  }
  for (const FeatureRead& read : type.reads) names[static_cast<size_t>(read.slot)] = read.name;
  for (const DetectorRead& read : type.detector_reads) names[static_cast<size_t>(read.slot)] = read.name;
  if (type.time_slot >= 0) names[static_cast<size_t>(type.time_slot)] = "event.time";
  return names;
}

}  // namespace tamis::policy
