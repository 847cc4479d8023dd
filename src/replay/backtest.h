// Backtest: what a rule, or a whole policy, would have done with the events of the past, and how good that would have
// been. Stands on matches.h, which says what "would have" means.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/line_faults.h"
#include "base/result.h"
#include "replay/class_rates.h"
#include "replay/matches.h"
#include "replay/truth.h"

namespace tamis::replay {

struct BacktestRequest {
  std::shared_ptr<const policy::Policy> policy;
  std::string rule;             // its id; empty: the policy as a whole
  int64_t from_ms = INT64_MIN;  // time in [from_ms, to_ms)
  int64_t to_ms = INT64_MAX;
  const Truth* truth = nullptr;  // or null: no precision and recall
  uint32_t samples = 5;          // of each kind
  bool always_replay = false;
  int threads = 0;  // 0: one a core
  // A field or attribute by which honest people are told apart, for event types that have it: whom a rule hits.
  std::string class_field = "ip_class";
};

struct BacktestResult {
  std::string rule, policy_version;
  int64_t from_ms = 0, to_ms = 0;  // as asked for, cut to what there is
  std::vector<std::string> types;
  bool columnar = false;
  std::string replayed_because;  // why not; empty if columnar

  uint64_t events = 0;
  uint64_t events_gone = 0;  // not among them: values that a replay reads are not kept any more
  uint64_t matched = 0;      // a rule: events that it matches; a policy: with another verdict than the mildest
  uint64_t gained = 0;       // the verdict becomes harsher than the stored one
  uint64_t lost = 0;         // milder
  Share precision;           // bad ones among the matched events of which the truth is known
  Share recall;              // matched ones among the bad events
  uint64_t known_good = 0, known_bad = 0;  // events of which the truth is known
  // By event type and class, in their order: of the events of which the truth is known. What has no class is "(none)";
  // beyond kClassesMax of a type it is "(others)".
  struct ClassShare {
    std::string type, name;
    Share false_positives;  // matched ones among the good
    Share recall;           // among the bad
  };
  std::vector<ClassShare> per_class;
  std::string class_field;                // empty: no event type has it
  base::LineFaults truth_faults;          // of a table of truth that came with the request: told, not made here
  std::vector<std::string> truth_unread;  // entities that the archive does not have: their truth could not count

  struct Day {
    int64_t day_ms = 0;  // its beginning, UTC
    uint64_t events = 0, matched = 0, gained = 0, lost = 0;
  };
  std::vector<Day> per_day;  // ascending, days with events

  // Events with another rule on them: those that both match.
  struct Overlap {
    std::string rule;
    uint64_t both = 0;  // of the events that the tested rule matches, by what is stored
  };
  std::vector<Overlap> overlap;  // the ten that have most

  struct Sample {
    uint64_t record = 0;
    std::string id, type;
    int64_t time_ms = 0;
    std::string old_verdict, new_verdict;
    std::vector<std::pair<std::string, std::string>> values;  // what the rule reads: name, JSON
  };
  enum SampleKind : uint8_t { kMatched, kMatchedGood, kMatchedBad, kMissedBad, kGained, kLost, kSampleKinds };
  std::vector<Sample> samples[kSampleKinds];  // chosen evenly and always the same, by record

  double seconds = 0;             // of the clock
  double evaluation_seconds = 0;  // of all threads, without reading
};

// `keep_going` gets (done, all); false stops, which is an error (kUnavailable).
base::Result<BacktestResult> backtest(const BacktestRequest& request, const MatchSource& source,
                                      const std::function<bool(uint64_t, uint64_t)>& keep_going);

// Appends one JSON object: rule, policy, types, from, to, events, events_gone, matched, gained, lost, precision,
// precision_interval, recall, recall_interval (null where there is no truth), truth, per_day, overlap, samples,
// columnar, replayed_because, seconds, cost_us_per_event.
void write_json(const BacktestResult& result, std::string& out);

}  // namespace tamis::replay
