// Ground: what an action batch stands on, the state of the engine with its journal. The service implements it; tests
// have one of their own. Batches know places (a label of an entity, an entry of a list, a revision of a past decision)
// and the marks that lie there, and nothing of how they are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/act.h"
#include "state/label.h"
#include "state/list.h"

namespace tamis::action {

// Where something can lie: at most one mark a place.
struct Place {
  enum class Kind : uint8_t {
    kLabel,     // label `name` on the entity (on, value)
    kList,      // entry `value` of the list `on`; no name
    kRevision,  // verdict `name` for the event (type on, id value): the label `name` on the entity kind "event:TYPE"
  };
  Kind kind = Kind::kLabel;
  std::string on;
  std::string value;
  std::string name;
  std::string was = {};  // kRevision: the verdict of the decision as it was made, where that is known

  bool operator==(const Place&) const = default;
};

// What lies at a place.
struct Mark {
  std::string author;
  std::string reason;  // the note of a list entry
  int64_t since_ms = 0;
  int64_t expires_ms = state::kNeverExpires;

  bool operator==(const Mark&) const = default;
};

// Who changed a place last, and when, as far as somebody still knows.
struct LastChange {
  std::string who;
  int64_t when_ms = 0;
};

// Called from the threads that apply and undo batches.
class Ground {
 public:
  virtual ~Ground() = default;

  // Runs `use`, while nobody else changes state or journal. look(), put() and remove() are called within. It is short:
  // at most BatchOptions::hold_items places.
  virtual void hold(const std::function<void()>& use) = 0;

  // The mark in force now; a mark whose expiry has come does not lie there any more.
  virtual std::optional<Mark> look(const Place& place) = 0;
  // Lays the mark exactly as it is given, whatever lay there, and journals that as an act of the batch: with times of
  // the mark, so that a replay does the same. Need not be durable yet. Errors: kUnavailable when nothing can be
  // journaled now (the batch stops, and can go on later); anything else is the fault of this place alone.
  virtual base::Status put(const Place& place, const Mark& mark, std::string_view batch) = 0;
  // Takes away what lies there, likewise; who did so and why is told with the act. Fine if nothing does.
  virtual base::Status remove(const Place& place, std::string_view batch, std::string_view by,
                              std::string_view why) = 0;

  // Without hold(): journals a record about a batch (a JSON object, see Batches); waits until all that was journaled is
  // on disk; the time that goes into marks (the engine's, in milliseconds).
  virtual base::Status record(std::string_view json) = 0;
  virtual base::Status sync() = 0;
  virtual int64_t now_ms() = 0;

  // For values that may not be kept any more: what stands for one that was put down on the day of `time_ms`, under a
  // key that the folder keeps for as long as it keeps events of that day; empty where there is none. And all places
  // where something lies now, which are told apart by it. visit() is called without hold().
  virtual std::string token(int64_t /*time_ms*/, std::string_view /*value*/) { return {}; }
  virtual void visit(const std::function<void(const Place&)>& /*use*/) {}

  // Who took away or changed what lay at a place, for the report of an undo, where the mark there does not say it.
  // Asked without hold(), and for few places; may look into the archive.
  virtual std::optional<LastChange> last_change(const Place&) { return std::nullopt; }
};

// The same in terms of engine::Act: what the service implements.
class ActGround : public Ground {
 public:
  std::optional<Mark> look(const Place& place) final;
  base::Status put(const Place& place, const Mark& mark, std::string_view batch) final;
  base::Status remove(const Place& place, std::string_view batch, std::string_view by, std::string_view why) final;

 protected:
  // Journals the act and folds it; within hold(). What the engine would refuse is not journaled.
  virtual base::Status act(const engine::Act& act) = 0;
  virtual std::vector<state::Label> labels(std::string_view entity_kind, std::string_view value) = 0;
  virtual std::optional<state::ListEntry> list_entry(std::string_view list, std::string_view value) = 0;
};

// The entity kind of the label at a place.
std::string entity_kind_of(const Place& place);

}  // namespace tamis::action
