#include "policy/private_values.h"

#include <algorithm>

#include "event/ip.h"

namespace tamis::policy {
namespace {

using event::Attribute;
using event::Semantic;

bool names_an_entity(const EventType& type, int32_t slot) {
  return std::any_of(type.entities.begin(), type.entities.end(),
                     [&](const EntityField& entity) { return entity.slot == slot; });
}

// Whether some event type feeds the feature with a value made of a slot for which `wanted` holds.
template <class Wanted>
bool is_fed_with(const Policy& policy, uint32_t feature, Wanted wanted) {
  if (!hands_out_values(policy.features[feature].spec.aggregate)) return false;
  for (const EventType& type : policy.types) {
    for (const FeatureUpdate& update : type.updates) {
      if (update.feature != feature || update.of == kNoNode) continue;
      for (const int32_t slot : type.plan.slots_read(update.of)) {
        if (wanted(type, slot)) return true;
      }
    }
  }
  return false;
}

}  // namespace

bool hands_out_values(state::Aggregate aggregate) {
  using state::Aggregate;
  switch (aggregate) {
    case Aggregate::kLast:
    case Aggregate::kSet:
    case Aggregate::kTopK:
    case Aggregate::kMin:
    case Aggregate::kMax:
      return true;
    default:
      return false;
  }
}

bool gives_away(Semantic of, Attribute attribute) {
  switch (attribute) {
    case Attribute::kNet24:
    case Attribute::kNet16:
    case Attribute::kNet64:
    case Attribute::kLocal:
    case Attribute::kBaseLocal:
    case Attribute::kPath:
    case Attribute::kQuery:
    case Attribute::kHost:
      return true;
    case Attribute::kRegistered:
      return of == Semantic::kDomain;  // all that there is of a domain, and little of an address
    default:
      return false;
  }
}

bool is_private(const EventType& type, int32_t slot) {
  const std::vector<event::Field>& fields = type.schema.fields;
  if (slot < 0) return false;
  if (static_cast<size_t>(slot) < fields.size()) return fields[static_cast<size_t>(slot)].token;
  for (const event::Derived& derived : type.schema.derived) {
    if (derived.slot != slot) continue;
    const event::Field& source = fields[static_cast<size_t>(derived.source)];
    return source.token && gives_away(source.semantic, derived.attribute);
  }
  return false;
}

bool gives_private_values(const Policy& policy, uint32_t feature) { return is_fed_with(policy, feature, is_private); }

bool remembers_people(const Policy& policy, uint32_t feature) {
  return is_fed_with(policy, feature, [](const EventType& type, int32_t slot) {
    return is_private(type, slot) || names_an_entity(type, slot);
  });
}

int64_t private_span_ms(const Policy& policy) {
  int64_t span_ms = 0;
  for (uint32_t i = 0; i < policy.features.size(); ++i) {
    const state::FeatureSpec& spec = policy.features[i].spec;
    if (spec.windows_ms.empty() || !gives_private_values(policy, i)) continue;
    const int64_t lateness_ms = std::clamp<int64_t>(spec.lateness_ms, 0, state::kLatenessMaxMs);
    span_ms = std::max(span_ms, 2 * (2 * spec.windows_ms.back() + lateness_ms));
  }
  return span_ms;
}

std::set<std::string> private_kinds(const Policy& policy) {
  std::set<std::string> kinds;
  for (const EventType& type : policy.types) {
    for (const EntityField& entity : type.entities) {
      if (is_private(type, entity.slot)) kinds.insert(entity.kind);
    }
  }
  return kinds;
}

bool has_private_fields(const Policy& policy) {
  return std::any_of(policy.types.begin(), policy.types.end(), [](const EventType& type) {
    return std::any_of(type.schema.fields.begin(), type.schema.fields.end(),
                       [](const event::Field& field) { return field.token; });
  });
}

PrivateNames::PrivateNames(const Policy& policy) : any_(has_private_fields(policy)) {
  if (!any_) return;
  for (const std::string& kind : private_kinds(policy)) kinds_.insert(kind);
  for (const ListDecl& list : policy.lists) {
    if (list.kind == state::ListKind::kNetwork) lists_.insert(list.name);
  }
  for (const EventType& type : policy.types) {
    for (const Rule& rule : type.rules) {
      for (const ListEffect& effect : rule.lists) {
        const std::vector<int32_t> slots = type.plan.slots_read(effect.value);
        const bool feeds = std::any_of(slots.begin(), slots.end(), [&](int32_t slot) {
          if (is_private(type, slot)) return true;
          return std::any_of(type.reads.begin(), type.reads.end(), [&](const FeatureRead& read) {
            return read.slot == slot && gives_private_values(policy, read.feature);
          });
        });
        if (feeds) lists_.insert(policy.lists[effect.list].name);
      }
    }
  }
}

bool PrivateNames::has_entry(std::string_view list, std::string_view value) const {
  return any_ && (lists_.find(list) != lists_.end() || names_address(value));
}

bool names_address(std::string_view text) {
  auto is_part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == ':' ||
           c == '@' || c == '-' || c == '_' || c == '+' || (c & 0x80) != 0;
  };
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_part(text[end])) ++end;
    std::string_view word = text.substr(at, end - at);
    at = end + 1;
    while (!word.empty() && (word.back() == '.' || word.back() == ':')) word.remove_suffix(1);
    const size_t sign = word.find('@');
    if (sign != std::string_view::npos && sign > 0 && sign + 1 < word.size()) return true;
    event::IpData ip;
    if (word.find_first_of(".:") != std::string_view::npos && event::parse_ip(word, ip)) return true;
  }
  return false;
}

}  // namespace tamis::policy
