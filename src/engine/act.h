// Act: what a person does to the engine's state at run time: a list entry, a label, a truth. One record of the journal,
// written with absolute times, so that a replay does the same.
//
// list_restore and label_restore take back: they set author, since and expiry exactly as given, where list_add and
// label_set would keep the `since` and the later expiry of what is in force. A truth says what an entity or an event
// turned out to be ("good", "bad" or a class of one's own); it is kept in the archive, and the detectors of the engine
// hear of it where it is about an account. truth_clear takes back what its author said of it; what another said last
// counts then.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/engine.h"

namespace tamis::engine {

struct Act {
  enum class Kind : uint8_t {
    kListAdd,
    kListRemove,
    kLabelSet,
    kLabelClear,
    kListRestore,
    kLabelRestore,
    kTruth,
    kTruthClear
  };
  Kind kind = Kind::kListAdd;
  std::string list;         // list acts
  std::string entity_kind;  // label acts and truth: a kind of the policy, or "event:TYPE"
  std::string value;        // the entry, or the value of the entity (of an event: its id)
  std::string name;         // of the label; of a truth: good, bad, or a class
  std::string author;       // of a truth: its source
  std::string reason;
  std::string batch;  // the action batch that made it, or empty
  // Of a revision that is taken back: the verdict of the decision as it was made, for whoever is told of it; or empty.
  std::string was = {};
  int64_t since_ms = 0;
  int64_t expires_ms = state::kNeverExpires;

  bool is_on_list() const { return kind == Kind::kListAdd || kind == Kind::kListRemove || kind == Kind::kListRestore; }
  bool is_truth() const { return kind == Kind::kTruth || kind == Kind::kTruthClear; }
  bool operator==(const Act&) const = default;
};

// Reads {"act": "list_add|list_remove|label_set|label_clear|list_restore|label_restore|truth|truth_clear", "list",
// "on", "value", "name", "author", "reason", "batch", "was", "since": RFC 3339, "for": "6h" or "expires": RFC 3339}.
// Without "since" it is now_ms. A truth has no "for" and no "expires". `act` and `list` may be given by the caller
// instead (a door that has them in its path). Errors name the key that is missing or wrong.
base::Result<Act> parse_act(std::string_view json, int64_t now_ms, std::string_view list = {});
// With absolute times; parse_act() of it gives the same act.
std::string to_json(const Act& act);
base::Status apply(Engine& engine, const Act& act);

}  // namespace tamis::engine
