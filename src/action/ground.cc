#include "action/ground.h"

namespace tamis::action {
namespace {

engine::Act act_at(const Place& place, std::string_view batch) {
  engine::Act act;
  act.value = place.value;
  act.batch = batch;
  if (place.kind == Place::Kind::kList) {
    act.list = place.on;
  } else {
    act.entity_kind = entity_kind_of(place);
    act.name = place.name;
  }
  return act;
}

}  // namespace

std::string entity_kind_of(const Place& place) {
  return place.kind == Place::Kind::kRevision ? "event:" + place.on : place.on;
}

std::optional<Mark> ActGround::look(const Place& place) {
  if (place.kind == Place::Kind::kList) {
    auto entry = list_entry(place.on, place.value);
    if (!entry) return std::nullopt;
    return Mark{entry->author, entry->note, entry->since_ms, entry->expires_ms};
  }
  for (const state::Label& label : labels(entity_kind_of(place), place.value)) {
    if (label.name == place.name) return Mark{label.author, label.reason, label.since_ms, label.expires_ms};
  }
  return std::nullopt;
}

base::Status ActGround::put(const Place& place, const Mark& mark, std::string_view batch) {
  engine::Act act = act_at(place, batch);
  act.kind = place.kind == Place::Kind::kList ? engine::Act::Kind::kListRestore : engine::Act::Kind::kLabelRestore;
  act.author = mark.author;
  act.reason = mark.reason;
  act.since_ms = mark.since_ms;
  act.expires_ms = mark.expires_ms;
  return this->act(act);
}

base::Status ActGround::remove(const Place& place, std::string_view batch, std::string_view by, std::string_view why) {
  engine::Act act = act_at(place, batch);
  act.kind = place.kind == Place::Kind::kList ? engine::Act::Kind::kListRemove : engine::Act::Kind::kLabelClear;
  act.author = by;
  act.reason = why;
  act.since_ms = now_ms();
  act.was = place.was;
  base::Status status = this->act(act);
  if (!status && status.error().code == base::Code::kNotFound) return {};  // it expired just now
  return status;
}

}  // namespace tamis::action
