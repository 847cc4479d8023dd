#include "replay/retroact.h"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/match_plan.h"

namespace tamis::replay {
namespace {

using event::JsonWriter;
using event::Kind;
using event::Value;

const policy::Rule* find_rule(const policy::EventType& type, std::string_view id) {
  for (const policy::Rule& rule : type.rules) {
    if (rule.id == id) return &rule;
  }
  return nullptr;
}

std::string text_of(Value v) {
  if (v.is(Kind::kString)) return std::string(v.str());
  return v.is(Kind::kInt) ? std::to_string(v.i) : event::debug_string(v);
}

bool usable(Value v) { return !v.is_error() && !v.is(Kind::kAbsent); }

std::string key_of(const action::Place& place) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(place.kind)));
  return key.append(place.on).append(1, '\0').append(place.value).append(1, '\0').append(place.name);
}

// Items of one part of the scan, each place once, in the order in which they came.
struct Items {
  std::vector<action::BatchItem> all;
  std::unordered_map<std::string, size_t> places;

  void add(action::BatchItem item) {
    auto [found, fresh] = places.emplace(key_of(item.place), all.size());
    if (fresh) {
      all.push_back(std::move(item));
    } else {
      all[found->second].records += item.records;
    }
  }
};

using Subjects = std::map<std::pair<std::string, std::string>, uint64_t>;  // kind and value of an entity: events

// Evaluates the rule's effects on the rows that it matches.
class Collector final : public MatchVisitor {
 public:
  Collector(const RetroRequest& request, const Truth& truth, const cel::Host* host) : request_(request), host_(host) {
    for (const policy::EventType& type : request.policy->types) {
      const policy::Rule* rule = find_rule(type, request.rule);
      rules_.push_back(rule);
      truths_.emplace_back(truth, type);
      std::set<int32_t> slots;
      if (rule != nullptr) {
        for (int32_t slot : truths_.back().slots()) slots.insert(slot);
        const bool by_event = rule->labels.empty() && !type.entities.empty();
        if (by_event) slots.insert(type.entities.front().slot);
        ids_ |= truths_.back().needs_ids();
      }
      auto read = [&](cel::NodeId node) {
        for (int32_t slot : type.plan.slots_read(node)) slots.insert(slot);
      };
      if (rule != nullptr) {
        for (const policy::LabelEffect& label : rule->labels) read(label.entity);
        for (const policy::ListEffect& list : rule->lists) read(list.value);
      }
      also_.emplace_back(slots.begin(), slots.end());
    }
  }

  const std::vector<std::vector<int32_t>>& also() const { return also_; }
  bool ids() const { return ids_; }
  bool knows_rule() const {
    return std::any_of(rules_.begin(), rules_.end(), [](const policy::Rule* rule) { return rule != nullptr; });
  }
  // Whether the rule does anything that can be done afterwards.
  bool acts() const {
    return std::any_of(rules_.begin(), rules_.end(), [this](const policy::Rule* rule) {
      return rule != nullptr && (!rule->labels.empty() || !rule->lists.empty() ||
                                 (request_.revisions && (rule->verdict >= 0 || rule->points != cel::kNoNode)));
    });
  }

  void begin(size_t parts) override { parts_.resize(parts); }

  void visit(size_t part_number, const MatchBatch& batch) override {
    Part& part = parts_[part_number];
    const policy::EventType& type = request_.policy->types[batch.type];
    const policy::Rule& rule = *rules_[batch.type];
    if (part.frames.empty()) part.frames.resize(request_.policy->types.size());
    auto& frame = part.frames[batch.type];
    if (frame == nullptr) frame = std::make_unique<cel::Frame>(type.plan);
    std::vector<Value> slots(static_cast<size_t>(type.slot_count), Value::absent());
    for (uint32_t row = 0; row < batch.rows; ++row) {
      if (!batch.matched[row]) continue;
      ++part.matched;
      const Known known =
          truths_[batch.type].of(batch.id == nullptr ? std::string_view() : batch.id[row], batch.columns, row);
      part.good += known == Known::kGood;
      part.bad += known == Known::kBad;
      if (rule.labels.empty()) note_entity(part, type, batch, row);
      if (request_.revisions && batch.id != nullptr && !batch.id[row].empty() && !batch.old_verdict[row].empty() &&
          batch.new_verdict[row] != batch.old_verdict[row]) {
        action::Place place{action::Place::Kind::kRevision, type.schema.name, std::string(batch.id[row]),
                            std::string(batch.new_verdict[row]), std::string(batch.old_verdict[row])};
        note_event(part, place, known, batch, row);
        part.items.add({std::move(place), state::kNeverExpires, 0, 1});
      }
      if (rule.labels.empty() && rule.lists.empty()) continue;
      for (int32_t slot : also_[batch.type]) {
        auto s = static_cast<size_t>(slot);
        slots[s] = s < batch.columns.size() ? batch.columns[s].at(row) : Value::absent();
      }
      part.arena.reset();
      frame->begin(slots.data(), part.arena, host_);
      add_effects(type, rule, *frame, part.items);
    }
  }

  // Of all parts together, in their order.
  void take(RetroPlan& plan, Subjects& subjects) {
    Items all;
    std::map<uint64_t, RetroEvent> some;
    for (Part& part : parts_) {
      plan.matched += part.matched, plan.matched_good += part.good, plan.matched_bad += part.bad;
      for (action::BatchItem& item : part.items.all) all.add(std::move(item));
      for (const auto& [subject, count] : part.subjects) subjects[subject] += count;
      some.merge(part.revised);
      part.items = {};
    }
    plan.items = std::move(all.all);
    for (auto& [hash, event] : some) {
      if (plan.revised.size() < request_.samples) plan.revised.push_back(std::move(event));
    }
  }

 private:
  struct Part {
    Items items;
    uint64_t matched = 0, good = 0, bad = 0;
    Subjects subjects;
    std::map<uint64_t, RetroEvent> revised;  // those whose records hash lowest
    base::Arena arena;
    std::vector<std::unique_ptr<cel::Frame>> frames;  // by type
  };

  static void note_entity(Part& part, const policy::EventType& type, const MatchBatch& batch, uint32_t row) {
    if (type.entities.empty()) return;
    const policy::EntityField& first = type.entities.front();
    const auto slot = static_cast<size_t>(first.slot);
    Value v = slot < batch.columns.size() ? batch.columns[slot].at(row) : Value::absent();
    if (usable(v) && !v.is(Kind::kNull)) ++part.subjects[{first.kind, text_of(v)}];
  }

  void note_event(Part& part, const action::Place& place, Known known, const MatchBatch& batch, uint32_t row) const {
    const uint64_t hash = base::mix64(batch.n[row]);
    if (request_.samples == 0 || (part.revised.size() >= request_.samples && hash > part.revised.rbegin()->first))
      return;
    part.revised[hash] = {place.on, place.value, place.was, place.name, batch.time_ms[row], known};
    if (part.revised.size() > request_.samples) part.revised.erase(std::prev(part.revised.end()));
  }

  void add_effects(const policy::EventType& type, const policy::Rule& rule, cel::Frame& frame, Items& items) const {
    for (const policy::LabelEffect& label : rule.labels) {
      Value entity = type.plan.eval(label.entity, frame);
      if (!usable(entity)) continue;
      action::Place place{action::Place::Kind::kLabel, label.entity_kind, text_of(entity), label.name};
      items.add({std::move(place), state::kNeverExpires, label.for_ms == policy::kForever ? 0 : label.for_ms, 1});
    }
    for (const policy::ListEffect& list : rule.lists) {
      Value value = type.plan.eval(list.value, frame);
      if (!usable(value)) continue;
      action::Place place{action::Place::Kind::kList, request_.policy->lists[list.list].name, text_of(value), {}};
      items.add({std::move(place), state::kNeverExpires, list.for_ms == policy::kForever ? 0 : list.for_ms, 1});
    }
  }

  const RetroRequest& request_;
  const cel::Host* host_;
  std::vector<const policy::Rule*> rules_;  // by type; null: the rule is not of it
  std::vector<std::vector<int32_t>> also_;  // by type
  std::vector<TruthOfType> truths_;         // by type
  bool ids_ = false;
  std::deque<Part> parts_;
};

// The entities that labels would mark, or that the events are of, by kind and value.
class Entities {
 public:
  Entities(const std::vector<action::BatchItem>& items, const Subjects& subjects) {
    for (const action::BatchItem& item : items) {
      if (item.place.kind == action::Place::Kind::kLabel) add(item.place.on, item.place.value, item.records);
    }
    for (const auto& [subject, count] : subjects) add(subject.first, subject.second, count);
  }

  std::vector<RetroEntity>& all() { return all_; }

  // What the archive knows of them. Reads the columns that name such entities, of all time.
  base::Status look_up(const policy::Policy& policy, const archive::Archive& archive) {
    for (const policy::EventType& type : policy.types) {
      archive::ScanRequest scan;
      scan.policy = &policy;
      scan.type = &type;
      std::vector<std::pair<int32_t, const Places*>> fields;
      for (const policy::EntityField& field : type.entities) {
        auto places = by_kind_.find(field.kind);
        if (places == by_kind_.end()) continue;
        scan.slots = {field.slot};
        auto missing = archive.missing(scan);
        if (missing && missing->empty()) fields.emplace_back(field.slot, &places->second);
      }
      scan.slots.clear();
      for (const auto& [slot, places] : fields) scan.slots.push_back(slot);
      if (scan.slots.empty()) continue;
      auto rows = archive.scan(scan);
      if (!rows && rows.error().code == base::Code::kNotFound) continue;  // no event of this type is there
      if (!rows) return tl::unexpected(rows.error());
      TAMIS_CHECK(read(**rows, type, fields));
    }
    return {};
  }

 private:
  using Places = std::unordered_map<std::string, size_t>;

  void add(const std::string& kind, const std::string& value, uint64_t matched) {
    auto [found, fresh] = by_kind_[kind].emplace(value, all_.size());
    if (fresh) {
      RetroEntity entity;
      entity.kind = kind;
      entity.value = value;
      all_.push_back(std::move(entity));
    }
    all_[found->second].matched += matched;
  }

  base::Status read(archive::Scan& scan, const policy::EventType& type,
                    const std::vector<std::pair<int32_t, const Places*>>& fields) {
    std::string value;
    while (true) {
      TAMIS_TRY(batch, scan.next());
      if (batch->rows == 0) return {};
      for (const auto& [slot, places] : fields) {
        const cel::Column& column = batch->columns[static_cast<size_t>(slot)];
        for (uint32_t row = 0; row < batch->rows; ++row) {
          Value v = column.at(row);
          if (!usable(v) || v.is(Kind::kNull)) continue;
          value = v.is(Kind::kString) ? std::string(v.str()) : text_of(v);
          auto found = places->find(value);
          if (found == places->end()) continue;
          RetroEntity& entity = all_[found->second];
          if (entity.events++ == 0 || batch->time_ms[row] < entity.first_ms) entity.first_ms = batch->time_ms[row];
          entity.accepted += batch->verdict != nullptr && batch->verdict[row] == type.ladder[0];
        }
      }
    }
  }

  std::map<std::string, Places, std::less<>> by_kind_;
  std::vector<RetroEntity> all_;
};

// The first `count` by `before`.
template <class Before>
std::vector<RetroEntity> first_of(const std::vector<RetroEntity>& all, size_t count, Before before) {
  std::vector<RetroEntity> some(std::min(count, all.size()));
  std::partial_sort_copy(all.begin(), all.end(), some.begin(), some.end(), before);
  return some;
}

void write_entities(const std::vector<RetroEntity>& entities, JsonWriter& json) {
  json.begin_array();
  for (const RetroEntity& entity : entities) {
    json.begin_object().key("on").string(entity.kind).key("value").string(entity.value);
    json.key("matched").uinteger(entity.matched).key("events").uinteger(entity.events);
    json.key("accepted").uinteger(entity.accepted).key("first");
    entity.events == 0 ? json.null() : json.string(event::format_time_ms(entity.first_ms));
    json.key("truth");
    entity.known_good ? json.string("good") : entity.known_bad ? json.string("bad") : json.null();
    json.end_object();
  }
  json.end_array();
}

std::string_view name_of(Known known) { return known == Known::kGood ? "good" : "bad"; }

void write_events(const std::vector<RetroEvent>& events, JsonWriter& json) {
  json.begin_array();
  for (const RetroEvent& event : events) {
    json.begin_object().key("type").string(event.type).key("id").string(event.id);
    json.key("time").string(event::format_time_ms(event.time_ms));
    json.key("was").string(event.was).key("becomes").string(event.becomes).key("truth");
    event.known == Known::kNot ? json.null() : json.string(name_of(event.known));
    json.end_object();
  }
  json.end_array();
}

void write_share(uint64_t good, uint64_t bad, JsonWriter& json) {
  good + bad == 0 ? json.null() : json.real(static_cast<double>(good) / static_cast<double>(good + bad));
}

}  // namespace

base::Result<RetroPlan> plan_retroact(const RetroRequest& request, const MatchSource& source, const Truth& truth,
                                      const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  std::vector<int64_t> lists(request.policy->lists.size());
  std::iota(lists.begin(), lists.end(), 0);
  PolicyLists host(*request.policy, lists);
  Collector collector(request, truth, &host);
  if (collector.knows_rule() && !collector.acts()) {
    return base::invalid("rule \"" + request.rule +
                         "\" has nothing to do to the past: no verdict, points, label or list entry");
  }
  MatchRequest matches;
  matches.policy = request.policy;
  matches.rule = request.rule;
  matches.from_ms = request.from_ms;
  matches.to_ms = request.to_ms;
  matches.also = collector.also();
  matches.ids = request.revisions || collector.ids();
  matches.matches_only = true;
  RetroPlan plan;
  TAMIS_TRY(summary, find_matches(matches, source, collector, keep_going));
  plan.summary = std::move(summary);
  Subjects subjects;
  collector.take(plan, subjects);
  TAMIS_TRY(events, stored_events(*source.archive, plan.summary.types, request.from_ms, request.to_ms));
  plan.events = plan.summary.columnar ? events : plan.summary.events;
  Entities entities(plan.items, subjects);
  TAMIS_CHECK(entities.look_up(*request.policy, *source.archive));
  for (RetroEntity& entity : entities.all()) {
    Known known = truth.of_entity(entity.kind, entity.value);
    entity.known_good = known == Known::kGood;
    entity.known_bad = known == Known::kBad;
    plan.known_good += entity.known_good;
    plan.known_bad += entity.known_bad;
  }
  const std::vector<RetroEntity>& all = entities.all();
  plan.entities = all.size();
  plan.oldest = first_of(all, request.samples, [](const RetroEntity& a, const RetroEntity& b) {
    if ((a.events == 0) != (b.events == 0)) return b.events == 0;
    return std::tie(a.first_ms, a.value) < std::tie(b.first_ms, b.value);
  });
  // Trusted is who was good by truth, then who was let pass most often.
  plan.most_trusted = first_of(all, request.samples, [](const RetroEntity& a, const RetroEntity& b) {
    if (a.known_good != b.known_good) return a.known_good;
    return std::tie(b.accepted, a.value) < std::tie(a.accepted, b.value);
  });
  plan.samples = first_of(all, request.samples, [](const RetroEntity& a, const RetroEntity& b) {
    uint64_t x = base::hash64(a.value), y = base::hash64(b.value);  // evenly, and always the same
    return std::tie(x, a.value) < std::tie(y, b.value);
  });
  return plan;
}

void write_json(const RetroPlan& plan, const action::BatchPreview& preview, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("matched").uinteger(plan.matched).key("matched_good").uinteger(plan.matched_good);
  json.key("matched_bad").uinteger(plan.matched_bad).key("matched_good_share");
  write_share(plan.matched_good, plan.matched_bad, json);
  json.key("items").uinteger(plan.items.size());
  json.key("labels").uinteger(preview.labels).key("entries").uinteger(preview.entries);
  json.key("revisions").uinteger(preview.revisions).key("fresh").uinteger(preview.fresh);
  json.key("replaced").uinteger(preview.replaced).key("already").uinteger(preview.already);
  json.key("entities").uinteger(plan.entities).key("known_good").uinteger(plan.known_good);
  json.key("known_bad").uinteger(plan.known_bad).key("known_good_share");
  write_share(plan.known_good, plan.known_bad, json);
  json.key("oldest");
  write_entities(plan.oldest, json);
  json.key("most_trusted");
  write_entities(plan.most_trusted, json);
  json.key("samples");
  write_entities(plan.samples, json);
  json.key("revised");
  write_events(plan.revised, json);
  json.key("events").uinteger(plan.events).key("columnar").boolean(plan.summary.columnar);
  if (!plan.summary.columnar) json.key("replayed_because").string(plan.summary.replayed_because);
  json.end_object();
}

}  // namespace tamis::replay
