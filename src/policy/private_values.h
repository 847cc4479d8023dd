// Which values of a policy are private: those of `private: token` fields, and whatever gives them away. One place
// decides it, for the archive (tokens), the engine (what state forgets), retention, and what `tamis check` tells.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "policy/policy.h"

namespace tamis::policy {

// Whether whoever knows the attribute knows (nearly) which value its field had: the network of an address and the local
// part of a mail address do; their country and their domain do not.
bool gives_away(event::Semantic of, event::Attribute attribute);

// Whether readings are, or contain, single values of what is aggregated.
bool hands_out_values(state::Aggregate aggregate);

// Whether the slot is a private field, or an attribute that gives one away. Features are asked below.
bool is_private(const EventType& type, int32_t slot);

// Whether readings of the feature are, or contain, single values of private fields: last, set, top_k, min and max of
// them. A number that many events went into (count, sum, mean, quantile, distinct) names nobody.
bool gives_private_values(const Policy& policy, uint32_t feature);

// Whether the feature remembers single values that are private or name an entity: what an erasure must look at.
bool remembers_people(const Policy& policy, uint32_t feature);

// How old a private value in the state of features can be, at most, once dead keys are swept: of the widest window with
// its lateness. A value leaves a key's record once an event comes that is newer by two windows and the lateness, and
// the record goes when its newest event is as old. 0: no feature gives private values.
int64_t private_span_ms(const Policy& policy);

// Kinds of entities that private fields and attributes name.
std::set<std::string> private_kinds(const Policy& policy);

// Whether anything in the policy is private.
bool has_private_fields(const Policy& policy);

// What is private where no field says so: values of labels and list entries that people and rules set, and what people
// write.
class PrivateNames {
 public:
  PrivateNames() = default;
  explicit PrivateNames(const Policy& policy);
  bool any() const { return any_; }
  // Entities of this kind.
  bool has_kind(std::string_view kind) const { return kinds_.find(kind) != kinds_.end(); }
  // An entry of a list: where rules put private values there, where it is of networks, and wherever it is an address.
  bool has_entry(std::string_view list, std::string_view value) const;
  const std::set<std::string, std::less<>>& kinds() const { return kinds_; }
  const std::set<std::string, std::less<>>& lists() const { return lists_; }

 private:
  bool any_ = false;
  std::set<std::string, std::less<>> kinds_, lists_;
};

// Whether some word of the text is a mail address, an IP address or a network.
bool names_address(std::string_view text);

}  // namespace tamis::policy
