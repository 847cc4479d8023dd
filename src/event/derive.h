// Derived attributes: computed from one field alone, with no state. Called on door threads while an event is enriched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/ip.h"
#include "event/schema.h"

namespace tamis::event {

// What is known of networks: prefix to AS number, country and tag. Loaded from CSV files; immutable and shared.
// CSV with a header line that names its columns: prefix, and any of asn, country, tag. `#` starts a comment.
class NetworkIntel {
 public:
  static base::Result<std::shared_ptr<const NetworkIntel>> load(const std::vector<std::string>& csv_files);
  struct Facts {
    int64_t asn = -1;          // -1: unknown
    std::string_view country;  // empty: unknown
    std::string_view tag;
  };
  // Longest matching prefix per fact. Cost: under 100 ns with a million prefixes.
  Facts find(const IpData& ip) const;
  virtual ~NetworkIntel() = default;

 protected:
  NetworkIntel() = default;
};

// Fills the slots of schema.derived. Attributes of absent or unusable fields become absent. `intel` may be null.
void derive(Event& event, const NetworkIntel* intel, base::Arena& arena);

}  // namespace tamis::event
