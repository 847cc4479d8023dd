#include "archive/scan_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "archive/archive_impl.h"

namespace tamis::archive {
namespace {

bool depends_on_network_table(event::Attribute attribute) {
  return attribute == event::Attribute::kAsn || attribute == event::Attribute::kCountry ||
         attribute == event::Attribute::kNetworkTag;
}

// A column that holds what the slot would hold.
const ColumnSpec* usable(const Layout& layout, const ColumnSpec& wanted) {
  const ColumnSpec* spec = layout.find(wanted.name);
  const bool good = spec != nullptr && !spec->dropped && !spec->tokened && spec->type == wanted.type &&
                    spec->fingerprint == wanted.fingerprint;
  return good ? spec : nullptr;
}

SlotSource source_of(const Layout& layout, const TypeLayout& wanted, const event::EventSchema& schema, size_t at) {
  const ColumnSpec& spec = wanted.layout.columns[kSystemColumns + at];
  SlotSource source;
  source.slot = wanted.slots[at];
  source.name = spec.name;
  source.type = spec.type;
  source.slot_type = wanted.slot_types[at];
  if (const ColumnSpec* found = usable(layout, spec)) {
    source.from = SlotSource::From::kColumn;
    source.column = found->column;
    return source;
  }
  for (const event::Derived& derived : schema.derived) {
    if (derived.slot != source.slot || depends_on_network_table(derived.attribute)) continue;
    // Field i is column i.
    const ColumnSpec* field =
        usable(layout, wanted.layout.columns[kSystemColumns + static_cast<size_t>(derived.source)]);
    if (field == nullptr) continue;
    source.from = SlotSource::From::kDerived;
    source.column = field->column;
    source.derived = derived;
  }
  return source;
}

}  // namespace

base::Result<LayoutPlan> plan_layout(const Layout& layout, const TypeLayout& wanted, const ScanRequest& request) {
  LayoutPlan plan;
  plan.layout = &layout;
  for (const int32_t slot : request.slots) {
    SlotSource source;
    source.slot = slot;
    auto at = std::find(wanted.slots.begin(), wanted.slots.end(), slot);
    if (at != wanted.slots.end()) {
      source = source_of(layout, wanted, request.type->schema, static_cast<size_t>(at - wanted.slots.begin()));
    } else if (slot >= 0 && slot == request.type->time_slot) {
      source.from = SlotSource::From::kTime;
    } else if (slot >= 0 && slot == request.type->points_slot) {
      source.from = SlotSource::From::kPoints;
    } else {
      return base::invalid(fmt::format("slot {} of {} is no field, derived attribute or feature, so it is not archived",
                                       slot, request.type->schema.name));
    }
    plan.slots.push_back(std::move(source));
  }
  return plan;
}

std::vector<FilePointer> files_in_window(const Manifest& manifest, const ScanRequest& request) {
  std::vector<FilePointer> out;
  for (const FilePointer& file : manifest.files) {
    if (file->type != request.type->schema.name) continue;
    if (file->to_ms < request.from_ms || file->from_ms >= request.to_ms) continue;
    if (!request.only.empty()) {
      auto at = std::lower_bound(request.only.begin(), request.only.end(), file->first);
      if (at == request.only.end() || *at > file->last) continue;
    }
    out.push_back(file);
  }
  return out;
}

base::Result<std::vector<std::string>> missing_of(const Manifest& manifest, const ScanRequest& request) {
  if (request.type == nullptr || request.policy == nullptr) return base::invalid("a scan needs a type and its policy");
  const TypeLayout wanted = layout_of(*request.policy, *request.type);
  std::vector<std::string> names;
  std::set<const Layout*> seen;
  for (const FilePointer& file : files_in_window(manifest, request)) {
    if (!seen.insert(file->layout.get()).second) continue;
    TAMIS_TRY(plan, plan_layout(*file->layout, wanted, request));
    for (const SlotSource& source : plan.slots) {
      if (source.from != SlotSource::From::kMissing) continue;
      if (std::find(names.begin(), names.end(), source.name) == names.end()) names.push_back(source.name);
    }
  }
  return names;
}

std::string time_sql(int64_t time_ms) {
  // Beyond what a timestamp holds there is no event either.
  constexpr int64_t kFar = INT64_MAX / 2'000;
  return fmt::format("make_timestamp({}::BIGINT)", std::clamp(time_ms, -kFar, kFar) * 1'000);
}

}  // namespace tamis::archive
