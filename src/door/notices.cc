#include "door/notices.h"

#include <algorithm>
#include <cstdio>

#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door {
namespace {

using engine::Act;
using event::JsonWriter;
using event::Kind;

constexpr std::string_view kEventKind = "event:";
constexpr size_t kOrderBytesMax = 1024;

// "KIND:VALUE" of an entity; long values by their hash.
std::string order_of(std::string_view kind, std::string_view value) {
  std::string order = std::string(kind) + ":";
  if (order.size() + value.size() <= kOrderBytesMax) return order.append(value);
  return order.substr(0, kOrderBytesMax / 2) + std::to_string(base::hash64(value));
}

// The first entity that the event has.
std::string order_of(const engine::PreparedEvent& prepared, const engine::Decision& decision) {
  const event::Event& event = const_cast<engine::PreparedEvent&>(prepared).event();
  for (const policy::EntityField& entity : decision.type->entities) {
    event::Value value = event.slots[static_cast<size_t>(entity.slot)];
    if (value.is(Kind::kString)) return order_of(entity.kind, value.str());
    if (value.is(Kind::kInt)) return order_of(entity.kind, std::to_string(value.i));
  }
  return {};
}

void write_act(const Act& act, uint64_t record, int64_t receive_ms, JsonWriter& json) {
  auto put = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) json.key(key).string(text);
  };
  put("author", act.author);
  put("reason", act.reason);
  put("batch", act.batch);
  if (act.expires_ms != state::kNeverExpires) json.key("expires").string(event::format_time_ms(act.expires_ms));
  json.key("time").string(event::format_time_ms(receive_ms)).key("record").uinteger(record);
}

// The verdict of the newest revision; empty: the decision as it was made.
std::string revision_in_force(const engine::Engine& engine, const Act& act) {
  std::vector<state::Label> labels = engine.labels(act.entity_kind, act.value);
  auto newest = std::max_element(labels.begin(), labels.end(),
                                 [](const state::Label& a, const state::Label& b) { return a.since_ms < b.since_ms; });
  return newest == labels.end() ? std::string() : newest->name;
}

}  // namespace

void Notices::put(action::Notice& notice, uint64_t record, size_t place) {
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(base::hash64(notice.body)));
  notice.key = std::to_string(record) + ":" + std::to_string(place) + ":" + hash;
  if (!outbox_->enqueue(notice)) ++lost_;
}

void Notices::decided(const engine::PreparedEvent& event, const engine::Decision& decision, uint64_t record) {
  if (outbox_ == nullptr) return;
  for (size_t place = 0; place < decision.effects.size(); ++place) {
    const engine::Effect& effect = decision.effects[place];
    if (effect.kind != engine::Effect::Kind::kNotify) continue;
    action::Notice notice;
    notice.topic = "notify." + std::string(effect.target);
    notice.order = order_of(event, decision);
    JsonWriter json(notice.body);
    json.begin_object().key("topic").string(notice.topic);
    json.key("type").string(decision.type->schema.name).key("id").string(decision.id);
    json.key("time").string(event::format_time_ms(decision.time_ms));
    json.key("rule").string(decision.type->rules[effect.rule].id).key("message").string(effect.value);
    json.key("verdict").string(decision.verdict_name()).key("policy").string(decision.policy->version);
    json.key("record").uinteger(record).end_object();
    put(notice, record, place);
  }
}

void Notices::acted(const Act& act, const engine::Engine& engine, uint64_t record, int64_t receive_ms) {
  if (outbox_ == nullptr || act.is_truth()) return;
  bool is_event = !act.is_on_list() && act.entity_kind.starts_with(kEventKind);
  bool takes_away = act.kind == Act::Kind::kListRemove || act.kind == Act::Kind::kLabelClear;
  action::Notice notice;
  notice.topic = is_event           ? "decision.changed"
                 : act.is_on_list() ? (takes_away ? "list.removed" : "list.added")
                                    : (takes_away ? "label.cleared" : "label.set");
  notice.order = order_of(act.is_on_list() ? "list:" + act.list : act.entity_kind, act.value);
  JsonWriter json(notice.body);
  json.begin_object().key("topic").string(notice.topic);
  if (is_event) {
    std::string verdict = revision_in_force(engine, act);
    json.key("type").string(std::string_view(act.entity_kind).substr(kEventKind.size())).key("id").string(act.value);
    json.key("change").string(takes_away ? "revision_cleared" : "revision_set").key("revision").string(act.name);
    // Where no revision is left, the decision is in force as it was made; null: nobody said how that was.
    if (verdict.empty()) verdict = act.was;
    json.key("verdict");
    verdict.empty() ? json.null() : json.string(verdict);
  } else if (act.is_on_list()) {
    json.key("list").string(act.list).key("value").string(act.value);
  } else {
    json.key("on").string(act.entity_kind).key("value").string(act.value).key("name").string(act.name);
  }
  write_act(act, record, receive_ms, json);
  json.end_object();
  put(notice, record, 0);
}

}  // namespace tamis::door
