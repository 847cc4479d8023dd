// Policy: a folder of YAML, checked as a whole and compiled. Immutable and shared: the engine runs one, a reload builds
// the next one aside and swaps. Every name is resolved to a number here, so nothing is looked up by text per event.
//
// The format is documented in docs/POLICY.md; this header is what its compiler leaves behind.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "cel/plan.h"
#include "event/schema.h"
#include "policy/detector_kinds.h"
#include "state/feature.h"
#include "state/label.h"
#include "state/list.h"

namespace tamis::model {
class Trees;
}

namespace tamis::policy {

using cel::kNoNode;
using cel::NodeId;
using event::Value;

struct Diagnostic {
  enum class Severity : uint8_t { kError, kWarning };
  Severity severity = Severity::kError;
  std::string file;         // relative to the policy folder
  uint32_t line = 0;        // from 1; 0: the file as a whole
  uint32_t column = 0;      // from 1, in code points
  std::string message;      // what is wrong, what was expected
  std::string source_line;  // the line itself
  uint32_t length = 1;      // columns to underline
  std::string hint;         // "did you mean ...?" or empty
};
// As a compiler prints it: file:line:column: error: message, the line, a caret, the hint.
std::string to_string(const Diagnostic& diagnostic);

enum class Mode : uint8_t { kOff, kShadow, kCanary, kLive };

// Text with expressions in braces: "{signups} signups from {ip.net24}". Pieces alternate as they stand.
struct TemplatePiece {
  std::string literal;
  NodeId node = kNoNode;  // kNoNode: the literal
};
using Template = std::vector<TemplatePiece>;

inline constexpr int64_t kForever = 0;

struct LabelEffect {
  std::string entity_kind;
  NodeId entity = kNoNode;  // the value of the entity, string or int
  std::string name;
  int64_t for_ms = kForever;
};
struct ListEffect {
  uint32_t list = 0;
  NodeId value = kNoNode;
  int64_t for_ms = kForever;
};
struct NotifyEffect {
  std::string channel;
  Template message;
};

struct RuleTest {
  // Names as in expressions (fields, derived attributes, features) with their values; `labels` and `lists` for what is
  // in force. Everything else is absent.
  std::map<std::string, Value> given;
  std::vector<std::pair<std::string, std::vector<std::string>>> labels;  // expression text of the entity, names
  // Entries that lists have for this test besides their own: number of the list, values as written.
  std::vector<std::pair<uint32_t, std::vector<std::string>>> lists;
  std::string expect;  // a verdict, "match", "no match" or "error"
  bool has_expect_value = false;
  Value expect_value;  // of the rule's `value`
  std::string file;
  uint32_t line = 0;
};

// One rule as it applies to one event type. A rule `on` several types is compiled once for each.
struct Rule {
  std::string id;
  Mode mode = Mode::kShadow;
  double canary_percent = 0;   // (0, 100]
  NodeId canary_by = kNoNode;  // the entity whose hash decides
  NodeId when = kNoNode;
  NodeId value = kNoNode;   // `value:`, or kNoNode
  int32_t verdict = -1;     // position in EventType::ladder, or -1
  NodeId points = kNoNode;  // number; kNoNode: none
  std::vector<LabelEffect> labels;
  std::vector<ListEffect> lists;
  std::vector<NotifyEffect> notify;
  Template reason;
  std::string say;  // what may be told to a customer, or empty
  std::string owner;
  std::string doc;
  std::string when_text;  // as written
  std::vector<RuleTest> tests;
  std::string file;
  uint32_t line = 0;

  // Whether what it says to customers is true of a decision with this verdict: a rule with a verdict of its own says
  // what that one does ("we try again"), which did not happen where another won.
  bool speaks_of(int32_t decided) const { return !say.empty() && (verdict < 0 || verdict == decided); }
};

// A feature as one event type reads it: slot `slot` takes window `window` of feature `feature` under the key made of
// the values of `by`. If any of `by` is absent or an error the slot is absent. `each`: the last of `by` is a list, each
// member of which makes a key of its own, the first kEachMax different ones; the slot takes the largest of what they
// have.
inline constexpr size_t kEachMax = 16;
struct FeatureRead {
  uint32_t feature = 0;
  uint32_t window = 0;
  int32_t slot = 0;
  std::vector<NodeId> by;
  bool each = false;
  bool include_self = false;  // then `of`, `where` and `hit` of this type's FeatureUpdate apply, if it has one
  std::string name;           // the variable: "signups_per_net_1h"
};
// How one event type feeds a feature: under one key or, with `each`, once under each.
struct FeatureUpdate {
  uint32_t feature = 0;
  std::vector<NodeId> by;
  bool each = false;
  NodeId where = kNoNode;  // filter; kNoNode: every event
  NodeId of = kNoNode;     // the value aggregated
  NodeId hit = kNoNode;    // ratio: the numerator's condition
};

// How one event type feeds a detector: for each input that is given, what it is.
struct DetectorFeed {
  uint32_t detector = 0;
  DetectorPart part = DetectorPart::kSignup;
  std::vector<std::pair<DetectorInput, NodeId>> inputs;
};
// An output of a detector that some expression of an event type reads; and what explains it, where anything of the
// detector is read: that is stored with the event and told on demand, but no part of the answer.
struct DetectorRead {
  uint32_t detector = 0;
  uint32_t output = 0;
  int32_t slot = 0;
  std::string name;  // "signup_clusters.score"
  bool is_quiet = false;
};

// What decisions of a type show besides what all have: a field, attribute, feature or output under a name of its own.
struct ShownField {
  std::string name;
  std::string of;  // "account"
  int32_t slot = 0;
};

struct EntityField {
  std::string kind;  // account, ip, network, domain, device, ...
  int32_t slot = 0;
  std::string name;  // the field or attribute
};

enum class FailMode : uint8_t { kOpen, kClosed };

struct EventType {
  event::EventSchema schema;
  int32_t slot_count = 0;  // fields, derived attributes, features, lets, then `points`
  cel::Plan plan;
  std::vector<std::string> ladder;  // verdicts, mildest first; [0] is the default
  int32_t override_verdict = -1;    // a matching live rule with this verdict wins over all others; -1: none does
  // Points from which a verdict applies, ascending by points: (points, position in ladder).
  std::vector<std::pair<double, int32_t>> thresholds;
  NodeId score = kNoNode;  // double 0..1; may read `points`
  int32_t points_slot = -1;
  int32_t time_slot = -1;  // of `event.time`, the engine's time of the event as a timestamp; -1: nobody reads it
  std::vector<FeatureRead> reads;  // those that some expression of this type uses
  std::vector<FeatureUpdate> updates;
  std::vector<DetectorFeed> feeds;           // in the order of the policy's detectors
  std::vector<DetectorRead> detector_reads;  // those that some expression of this type uses, or that explain them
  std::vector<ShownField> shown;
  std::vector<Rule> rules;            // in order of file and place; modes kOff included
  std::vector<EntityField> entities;  // first: the one that canaries go by
  int64_t unique_ms = 86'400'000;     // events of one id within so long are one event; 0: each is its own
  FailMode overload = FailMode::kOpen;
  std::string overload_verdict;  // what a caller gets when the server cannot decide in time

  // The verdict's place in the ladder; -1: it is not there.
  int32_t place_of(std::string_view verdict) const {
    const auto at = std::find(ladder.begin(), ladder.end(), verdict);
    return at == ladder.end() ? -1 : static_cast<int32_t>(at - ladder.begin());
  }
};

struct FeatureDecl {
  state::FeatureSpec spec;
  std::vector<std::string> variables;  // one per window
  bool include_self = false;
  // Changes exactly when kept state no longer fits the declaration: a reload keeps the state where it is equal.
  uint64_t fingerprint = 0;
  std::string doc;
};

struct DetectorDecl {
  std::string name;
  DetectorKind kind = DetectorKind::kSignupClusters;
  std::vector<int64_t> limits;  // by place in DetectorKindInfo::limits
  std::string model_file;       // as the policy names it; empty: no model
  std::shared_ptr<const model::Trees> model;
  // Changes exactly when kept state no longer fits: with the kind and its limits, not with what feeds it
  // or with the model over it.
  uint64_t fingerprint = 0;
  std::string doc;
};

struct ListDecl {
  std::string name;
  state::ListKind kind = state::ListKind::kString;
  bool ignore_case = false;  // of strings
  uint64_t entries_max = 10'000'000;
  std::vector<state::ListEntry> entries;  // inline and from files
  bool managed = false;                   // entries of run time survive a reload
  std::string doc;
};

// A test of the whole policy: events in order, and what is decided for them.
struct PolicyTest {
  struct Step {
    std::string type;
    std::string event_json;
    std::string expect_verdict;  // empty: not compared
    bool has_rules = false;
    std::vector<std::string> expect_rules;  // ids that must match, in any order
    std::map<std::string, Value> expect_features;
    std::vector<std::string> expect_dropped;  // fields of another type than sent; none unless named
    uint32_t line = 0;
  };
  std::string name;
  std::vector<Step> steps;
  std::string file;
  uint32_t line = 0;
};

struct Policy {
  std::string version;  // 16 hex digits: a hash of all files by name and content
  std::string name;
  std::vector<EventType> types;
  std::vector<FeatureDecl> features;
  std::vector<DetectorDecl> detectors;
  std::vector<ListDecl> lists;
  std::vector<std::string> entity_kinds;  // numbers in handles of type tamis.entity_kind
  std::vector<PolicyTest> tests;
  int32_t raw_days = 30;    // after so many days tokens stand for the values of `private: token` fields
  int32_t keep_days = 365;  // of events, and of fields that say nothing else
  std::vector<std::string> type_path = {"type"};  // where the event type stands in JSON that does not name it elsewhere
  std::shared_ptr<base::Arena> memory;            // what the Values here point to

  const EventType* find_type(std::string_view name) const;
};

// A file of a policy, by name relative to its folder: YAML, or a list file that the YAML names.
struct SourceFile {
  std::string name;
  std::string text;
};

struct Loaded {
  std::shared_ptr<const Policy> policy;  // null if there is an error
  std::vector<Diagnostic> diagnostics;   // errors and warnings, by file and line
  std::vector<SourceFile> files;         // all that was read; load_files() of it gives the same policy
};

// Reads DIR/**/*.yaml and *.yml (sorted by name) and the list files that they name, and compiles them.
Loaded load_folder(const std::string& folder);
// The same from memory: files whose names do not end in .yaml or .yml are list files.
Loaded load_files(const std::vector<SourceFile>& files);

}  // namespace tamis::policy
