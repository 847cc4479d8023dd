// Standing: all that is in force on one entity, and why: what a support agent, an analyst or an auditor asks for when
// somebody says "my account is blocked". Labels and list entries come from the engine, decisions and acts of people
// from the archive.
//
// What may be shown to whom is decided by the writers below, in one place: an analyst sees everything, a support agent
// neither points, scores, feature values nor the words that rules write for analysts, a customer only sentences that
// name no rule, list, label, threshold or other customer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "engine/engine.h"
#include "event/json_writer.h"
#include "policy/policy.h"

namespace tamis::replay {

// A label, or an entry of a list that matches.
struct Mark {
  std::string on, value;   // the entity that carries the label; of a list entry the entry itself
  std::string name;        // of the label; empty for a list entry
  std::string list;        // of the list entry; empty for a label
  bool of_policy = false;  // an entry of the policy's own files: nobody can take it back at run time
  std::string by;          // a person, or "rule:ID"; empty: not known
  std::string reason;
  std::string say;                                          // of the rule: what may be told to a customer
  int64_t since_ms = 0, expires_ms = state::kNeverExpires;  // since 0: not known
  bool is_over = false;  // a rule set it, and people have found its entity good since: policies heed that
};

struct PastDecision {
  std::string type, id, verdict, policy;
  std::vector<std::string> rules, reasons, say;
  double points = 0, score = 0;
  int64_t time_ms = 0;
  std::string revised;   // the verdict in force instead, of a later revision
  bool is_over = false;  // what it began was taken back since: revised to a milder verdict, or settled below
};

struct PastAct {
  std::string act, list, name, by, reason, batch;
  int64_t time_ms = 0;
};

struct Standing {
  std::string on, value;
  int64_t now_ms = 0;  // the engine's time
  std::vector<Mark> labels, entries, revisions;
  std::vector<Mark> around;             // labels and entries of what it is part of: of an address its networks
  uint64_t events = 0, intervened = 0;  // in the window: all of them, and those with another verdict than the mildest
  int64_t window_ms = 0;
  std::vector<PastDecision> decisions;  // the newest that were not the mildest, or were revised
  std::vector<PastAct> acts;            // what people did to it, newest first, truth included
  std::string truth;                    // the last one: "good", "bad" or a class; empty: nobody has said
  int64_t truth_ms = 0;
  // When people last took something back that was in force on it, found it (of an event: its account) good, or refuted
  // the cluster that it is in; 0: never. What checks did before that is over.
  int64_t settled_ms = 0;
  int64_t found_good_ms = 0;  // of these the last two
};

struct StandingOptions {
  int64_t window_ms = int64_t{30} * 86'400'000;
  size_t decisions_max = 20;
  size_t acts_max = 20;
  // Secrets of the days whose keys are still held (replay/keys.h): what the archive has only as a token is found
  // by the tokens of the value, which is known to whoever asks.
  std::vector<std::string> day_keys;
};

using WithEngine = std::function<void(const std::function<void(engine::Engine&)>&)>;

// An entity kind of the policy, or "event:TYPE". Errors: kNotFound with the nearest name and all there are.
base::Status check_kind(const policy::Policy& policy, std::string_view on);
// The value as the engine and the archive write it: addresses and networks in canonical form, domains in lower case.
// Errors: an address, network or number that is none.
base::Result<std::string> canonical_value(std::string_view on, std::string_view value);
// The same, and the value as it is where it has no such form.
std::string one_spelling(std::string_view on, std::string_view value);

// `archive` may be null: then there is no past. Cost: some milliseconds for each event type that has such entities.
base::Result<Standing> find_standing(const policy::Policy& policy, const archive::Archive* archive,
                                     const WithEngine& with_engine, std::string_view on, std::string_view value,
                                     const StandingOptions& options = {});

enum class Reader : uint8_t { kAnalyst, kSupport, kCustomer };
// "analyst", "support", "customer".
base::Result<Reader> reader_named(std::string_view name);
void write_json(const Standing& standing, Reader reader, std::string& out);
// Two to four sentences.
std::vector<std::string> customer_words(const Standing& standing);

}  // namespace tamis::replay
