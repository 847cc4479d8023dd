// Derived attributes: computed from one field alone, with no state. Called on door threads while an event is enriched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/line_faults.h"
#include "base/result.h"
#include "event/ip.h"
#include "event/schema.h"

namespace tamis::event {

// What is known of networks: prefix to AS number, country and tag. Loaded from CSV files; immutable and shared.
// CSV with a header line that names its columns: prefix, and any of asn ("64496" or "AS64496"), country (two letters)
// and tag, in any order; empty where unknown. `#` starts a comment line. A prefix is a network or a single address,
// IPv4 or IPv6. Where several rows, of one or several files, name the same prefix, the last one that knows a fact gives
// it. Cost: 1 000 000 prefixes load in about a second and take about 40 MB.
class NetworkIntel {
 public:
  // A line that cannot be used is passed over, see faults(). Errors name file, line and what was expected: a wrong
  // header, a file in which no line can be used. `names`: how to call the files in words; empty: as they are.
  // `may_be_empty`: a file may also have nothing but a header.
  static base::Result<std::shared_ptr<const NetworkIntel>> load(const std::vector<std::string>& csv_files,
                                                                const std::vector<std::string>& names = {},
                                                                bool may_be_empty = false);
  // Lines that were passed over.
  virtual const base::LineFaults& faults() const = 0;
  struct Facts {
    int64_t asn = -1;          // -1: unknown
    std::string_view country;  // empty: unknown
    std::string_view tag;
  };
  // Longest matching prefix per fact: a /32 that only has a tag leaves asn and country to the networks around it.
  // Cost: about 100 ns with a million prefixes and a cold cache, far less for addresses seen lately. Views are valid as
  // long as the table.
  virtual Facts find(const IpData& ip) const = 0;
  // Distinct prefixes loaded.
  virtual size_t size() const = 0;
  virtual ~NetworkIntel() = default;

 protected:
  NetworkIntel() = default;
};

// Fills the slots of schema.derived. Attributes of absent or unusable fields become absent. `intel` may be null. Text
// points into the field's text, the arena or `intel`. Cheapest if schema.derived is grouped by source: then each field
// is taken apart once.
void derive(Event& event, const NetworkIntel* intel, base::Arena& arena);

}  // namespace tamis::event
