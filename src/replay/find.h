// Find: an expression as a search over the past. It is what could stand as `when:` in a rule, and is checked, means and
// runs as that: it is compiled as one more rule of the policy.
//
// Use: compile_search() tells what is wrong with the expression, in the words of a policy; find() runs what compiled.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "policy/policy.h"
#include "replay/matches.h"

namespace tamis::replay {

struct Search {
  std::shared_ptr<const policy::Policy> policy;  // with the search as a rule; null: it does not compile
  std::string rule;                              // the id of that rule
  std::vector<std::string> types;                // in which it makes sense
  // With places in the expression (file empty, line and column from 1), or in the policy's files.
  std::vector<policy::Diagnostic> diagnostics;
};
// `files` are those of a policy (Loaded::files). `types` empty: all event types in which the expression type-checks.
Search compile_search(const std::vector<policy::SourceFile>& files, std::string_view expression,
                      const std::vector<std::string>& types);

struct FindRequest {
  const Search* search = nullptr;
  int64_t from_ms = INT64_MIN;  // time in [from_ms, to_ms)
  int64_t to_ms = INT64_MAX;
  uint32_t rows = 20;               // shown of the newest
  uint32_t oldest = 5;              // shown of the oldest, never more than `rows`
  std::vector<std::string> facets;  // names of fields, attributes, features whose values are counted
  uint32_t facet_values = 10;       // most frequent ones
  bool always_scan = false;         // look at each event in its file, also where SQL alone could count
  bool in_memory = true;            // use columns in memory where they are there, and have them taken there
  int threads = 0;
};

struct FindResult {
  std::vector<std::string> types;
  bool columnar = false;
  std::string replayed_because;
  uint64_t count = 0;    // events for which the expression is true
  uint64_t scanned = 0;  // events that had to be looked at
  int64_t first_ms = 0, last_ms = 0;

  int64_t bucket_ms = 0;                                // of the histogram: at most 200 in the window
  std::vector<std::pair<int64_t, uint64_t>> histogram;  // beginning, events; ascending, only where there are any
  std::vector<std::pair<int64_t, uint64_t>> per_day;

  struct Facet {
    std::string name;
    std::vector<std::pair<std::string, uint64_t>> values;  // JSON of the value, events; most frequent first
    uint64_t others = 0;                                   // events with another value
    uint64_t absent = 0;                                   // events without one
    bool rough = false;  // there were so many values that the counts of rare ones may be too low
  };
  std::vector<Facet> facets;
  std::vector<std::string> unread;  // facets that the archive does not have

  std::vector<std::string> newest;  // rows as JSON objects with all that is stored, newest first
  std::vector<std::string> oldest;  // oldest first
  double seconds = 0;
};

base::Result<FindResult> find(const FindRequest& request, const MatchSource& source,
                              const std::function<bool(uint64_t, uint64_t)>& keep_going);

void write_json(const FindResult& result, std::string& out);

}  // namespace tamis::replay
