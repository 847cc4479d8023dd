#include "engine/engine.h"

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/hash.h"
#include "engine/impl.h"
#include "engine/settle.h"
#include "event/json_writer.h"

namespace tamis::engine {

using cel::NodeId;
using cel::Plan;
using event::Kind;

bool usable(Value v) { return !v.is_error() && !v.is(Kind::kAbsent); }

std::string_view as_text(Value v, base::Arena& arena) {
  if (v.is(Kind::kString)) return v.str();
  std::string text = v.is(Kind::kInt) ? std::to_string(v.i) : event::debug_string(v);
  return arena.copy(text);
}

namespace {

Value timestamp_of(int64_t time_ms) {
  int64_t seconds = time_ms >= 0 ? time_ms / 1000 : -((999 - time_ms) / 1000);
  return Value::timestamp(seconds, static_cast<uint32_t>(time_ms - seconds * 1000) * 1'000'000);
}

// A value in a sentence, as a person reads it: times as in JSON and whole numbers without CEL's `timestamp("...")` and
// `7u`.
void append_words(Value v, std::string& out, base::Arena& arena) {
  if (!v.is(Kind::kUint) && !v.is(Kind::kTimestamp) && !v.is(Kind::kDuration)) {
    out += as_text(v, arena);
    return;
  }
  size_t begin = out.size();
  event::JsonWriter(out).value(v);
  if (out[begin] != '"') return;
  out.pop_back();
  out.erase(begin, 1);
}

}  // namespace

bool Engine::Impl::list_contains(int64_t list, Value value) const {
  auto i = static_cast<size_t>(list);
  return active->lists[i]->contains(value, now) || active->run_time_lists[i]->contains(value, now);
}

Value Engine::Impl::labels_of(int64_t kind, Value value, base::Arena& arena) const {
  return label_store->names(active->policy->entity_kinds[static_cast<size_t>(kind)], as_text(value, arena), now, arena);
}

Engine::PreparedPointer Engine::Impl::no_policy() {
  PreparedPointer prepared(new Prepared);
  prepared->policy = std::make_shared<const policy::Policy>();
  return prepared;
}

Engine::Engine(EngineOptions options) : impl_(std::make_unique<Impl>()) { impl_->options = options; }
Engine::~Engine() = default;

void Engine::reset() {
  EngineOptions options = impl_->options;
  impl_ = std::make_unique<Impl>();
  impl_->options = options;
}

void Engine::use_state_key(const base::SipKey& key) {
  TAMIS_ASSERT(!impl_->activated);
  impl_->options.state_key = key;
}

const EngineOptions& Engine::options() const { return impl_->options; }

void Engine::Impl::take_over(Prepared& next) {
  const policy::Policy& old_policy = *active->policy;
  for (size_t i = 0; i < next.policy->features.size(); ++i) {
    const policy::FeatureDecl& decl = next.policy->features[i];
    for (size_t k = 0; k < old_policy.features.size(); ++k) {
      const policy::FeatureDecl& old = old_policy.features[k];
      bool same = old.spec.name == decl.spec.name && old.fingerprint == decl.fingerprint;
      if (same && active->tables[k] != nullptr) next.tables[i] = std::move(active->tables[k]);
    }
  }
  for (size_t i = 0; i < next.policy->detectors.size(); ++i) {
    const policy::DetectorDecl& decl = next.policy->detectors[i];
    for (size_t k = 0; k < old_policy.detectors.size(); ++k) {
      const policy::DetectorDecl& old = old_policy.detectors[k];
      bool same = old.name == decl.name && old.fingerprint == decl.fingerprint;
      if (!same || active->detectors[k] == nullptr) continue;
      next.detectors[i] = std::move(active->detectors[k]);
      next.detectors[i]->use_model(decl);
    }
  }
  for (size_t i = 0; i < next.policy->lists.size(); ++i) {
    for (size_t k = 0; k < old_policy.lists.size(); ++k) {
      bool same = old_policy.lists[k].name == next.policy->lists[i].name &&
                  old_policy.lists[k].kind == next.policy->lists[i].kind;
      if (!same || active->run_time_lists[k] == nullptr) continue;
      if (active->run_time_lists[k]->ignores_case() == next.run_time_lists[i]->ignores_case()) {
        next.run_time_lists[i] = std::move(active->run_time_lists[k]);
      } else {  // the same entries, to be found otherwise
        active->run_time_lists[k]->for_each([&](const state::ListEntry& entry) {
          (void)next.run_time_lists[i]->put(entry);  // only a list that is full now takes no more
        });
      }
    }
  }
}

void Engine::activate(PreparedPointer prepared) {
  Impl& impl = *impl_;
  std::map<std::pair<std::string, std::string>, RuleStats> old_stats;
  if (impl.activated) {
    for (size_t t = 0; t < impl.stats.size(); ++t) {
      const policy::EventType& type = impl.active->policy->types[t];
      for (size_t r = 0; r < type.rules.size(); ++r) old_stats[{type.schema.name, type.rules[r].id}] = impl.stats[t][r];
    }
    impl.take_over(*prepared);
    if (impl.snapshot != nullptr) {
      auto keep = [&impl](auto& part) {
        if (part != nullptr) impl.snapshot->kept.push_back(std::move(part));
      };
      for (auto& table : impl.active->tables) keep(table);
      for (auto& list : impl.active->run_time_lists) keep(list);
      for (auto& detector : impl.active->detectors) keep(detector);
    }
  }
  impl.active = std::move(prepared);
  impl.activated = true;
  impl.stats.clear();
  impl.verdicts.clear();
  for (auto& type : impl.active->types) {
    for (FeatureAccess& access : type->accesses) access.table = impl.active->tables[access.feature].get();
    impl.verdicts.emplace_back(type->type->ladder.size());
    std::vector<RuleStats>& counts = impl.stats.emplace_back(type->type->rules.size());
    for (size_t r = 0; r < counts.size(); ++r) {
      auto found = old_stats.find({type->type->schema.name, type->type->rules[r].id});
      if (found != old_stats.end()) counts[r] = found->second;
    }
  }
  impl.decision = Decision{};
  impl.finding_count = 0;
  std::erase_if(impl.dropped, [&](const auto& counted) {
    const policy::EventType* type = impl.active->policy->find_type(counted.first.first);
    if (type == nullptr) return true;
    const std::vector<event::Field>& fields = type->schema.fields;
    return std::none_of(fields.begin(), fields.end(),
                        [&](const event::Field& field) { return field.name == counted.first.second; });
  });
}

const std::shared_ptr<const policy::Policy>& Engine::policy() const {
  static const std::shared_ptr<const policy::Policy> kNone;
  return impl_->activated ? impl_->active->policy : kNone;
}

// Sets the engine's time and the decision's; true if the event may update state.
bool Engine::Impl::set_time(const PreparedEvent& prepared, int64_t receive_ms) {
  const event::Event& event = const_cast<PreparedEvent&>(prepared).event();
  int64_t t = event.time_ms;
  if (!event.has_time) t = receive_ms != kNoReceiveTime ? receive_ms : (now == INT64_MIN ? 0 : now);
  if (receive_ms != kNoReceiveTime) t = std::min(t, std::max(receive_ms, now));
  now = std::max(now, t);
  decision.time_ms = t;
  decision.late = now - t > event.schema->lateness_ms;
  return !decision.late;
}

void Engine::Impl::find_keys(ActiveType& type, base::Arena&) {
  const Plan& plan = type.type->plan;
  for (FeatureAccess& access : type.accesses) {
    if (access.each) {
      access.key_count = keys_of_each(plan, access.by, type.frame, access.keys);
      access.has_key = access.key_count > 0;
      for (size_t i = 0; i < access.key_count; ++i) access.table->prefetch(access.keys[i]);
      continue;
    }
    access.has_key = true;
    access.key = 0;
    for (NodeId node : access.by) {
      Value v = plan.eval(node, type.frame);
      if (!usable(v)) {
        access.has_key = false;
        break;
      }
      access.key = base::combine64(access.key, event::hash(v));
    }
    if (access.has_key) access.table->prefetch(access.key);
  }
}

// Whether and with which value the event counts for a feature.
void Engine::Impl::evaluate_update(ActiveType& type, FeatureAccess& access) {
  const Plan& plan = type.type->plan;
  const policy::FeatureUpdate* update = access.update;
  access.counts = update != nullptr && access.has_key && !decision.late;
  if (!access.counts) return;
  if (update->where != cel::kNoNode && plan.test(update->where, type.frame) != Plan::Truth::kTrue) {
    access.counts = false;
    return;
  }
  if (update->of != cel::kNoNode) {
    access.of = plan.eval(update->of, type.frame);
    access.counts = usable(access.of);
  }
  access.hit = update->hit != cel::kNoNode && plan.test(update->hit, type.frame) == Plan::Truth::kTrue;
}

// The largest of what the keys have.
void Engine::Impl::read_each(FeatureAccess& access, event::Event& event, base::Arena& arena) {
  const bool with_it = access.include_self && access.counts;
  for (auto [window, slot] : access.reads) event.slots[static_cast<size_t>(slot)] = Value::absent();
  for (size_t i = 0; i < access.key_count; ++i) {
    const state::Cursor cursor = access.table->find(access.keys[i]);
    for (auto [window, slot] : access.reads) {
      const Value v = with_it ? access.table->read_with(cursor, decision.time_ms, window, access.of, access.hit, arena)
                              : access.table->read(cursor, decision.time_ms, window, arena);
      Value& most = event.slots[static_cast<size_t>(slot)];
      if (!usable(v)) continue;
      const bool is_more = !usable(most) || (v.is(Kind::kDouble) ? v.d > most.d : v.i > most.i);
      if (is_more) most = v;
    }
  }
}

void Engine::Impl::read_features(ActiveType& type, event::Event& event, base::Arena& arena) {
  for (FeatureAccess& access : type.accesses) {
    evaluate_update(type, access);
    if (access.reads.empty() || !access.has_key) continue;
    if (access.each) {
      read_each(access, event, arena);
      continue;
    }
    access.cursor = access.table->find(access.key);
    for (auto [window, slot] : access.reads) {
      event.slots[static_cast<size_t>(slot)] =
          access.include_self && access.counts
              ? access.table->read_with(access.cursor, decision.time_ms, window, access.of, access.hit, arena)
              : access.table->read(access.cursor, decision.time_ms, window, arena);
    }
  }
  for (const policy::FeatureRead& read : type.type->reads) {
    decision.features.emplace_back(read.name, event.slots[static_cast<size_t>(read.slot)]);
  }
}

std::string_view Engine::Impl::fill(const Plan& plan, const policy::Template& pieces, cel::Frame& frame,
                                    base::Arena& arena) {
  scratch.clear();
  for (const policy::TemplatePiece& piece : pieces) {
    if (piece.node == cel::kNoNode) {
      scratch += piece.literal;
      continue;
    }
    Value v = plan.eval(piece.node, frame);
    if (usable(v)) {
      append_words(v, scratch, arena);
    } else {
      scratch += "(unknown)";
    }
  }
  return arena.copy(scratch);
}

// What the rule lays down. A late event changes nothing, so it lays down nothing.
void Engine::Impl::add_marks(ActiveType& type, uint32_t rule_number, base::Arena& arena) {
  const policy::Rule& rule = type.type->rules[rule_number];
  const Plan& plan = type.type->plan;
  auto expiry = [this](int64_t for_ms) { return for_ms == policy::kForever ? 0 : now + for_ms; };
  for (const policy::LabelEffect& label : rule.labels) {
    Value entity = plan.eval(label.entity, type.frame);
    if (!usable(entity)) continue;
    decision.effects.push_back({Effect::Kind::kLabel, rule_number, label.entity_kind, as_text(entity, arena),
                                label.name, expiry(label.for_ms)});
  }
  for (const policy::ListEffect& list : rule.lists) {
    Value value = plan.eval(list.value, type.frame);
    if (!usable(value)) continue;
    decision.effects.push_back({Effect::Kind::kListEntry,
                                rule_number,
                                active->policy->lists[list.list].name,
                                as_text(value, arena),
                                {},
                                expiry(list.for_ms)});
  }
}

void Engine::Impl::add_effects(ActiveType& type, uint32_t rule_number, base::Arena& arena) {
  if (!decision.late) add_marks(type, rule_number, arena);
  for (const policy::NotifyEffect& notify : type.type->rules[rule_number].notify) {
    decision.effects.push_back({Effect::Kind::kNotify,
                                rule_number,
                                notify.channel,
                                fill(type.type->plan, notify.message, type.frame, arena),
                                {},
                                0});
  }
}

void Engine::Impl::add_match(ActiveType& type, uint32_t rule_number, base::Arena& arena, RuleStats& count) {
  const policy::Rule& rule = type.type->rules[rule_number];
  const Plan& plan = type.type->plan;
  Match match;
  match.rule = rule_number;
  match.acts = rule.mode == policy::Mode::kLive;
  if (rule.mode == policy::Mode::kCanary && rule.canary_by != cel::kNoNode) {
    match.acts = in_canary(rule.id, plan.eval(rule.canary_by, type.frame), rule.canary_percent);
  }
  ++(match.acts ? count.matched : count.shadow);
  if (rule.points != cel::kNoNode) match.points = number_or(plan.eval(rule.points, type.frame), 0);
  if (rule.value != cel::kNoNode) {
    Value v = plan.eval(rule.value, type.frame);
    match.value = usable(v) ? v : Value::absent();
  }
  if (!rule.reason.empty()) match.reason = fill(plan, rule.reason, type.frame, arena);
  decision.matches.push_back(match);
  if (match.acts) add_effects(type, rule_number, arena);
}

void Engine::Impl::run_rules(ActiveType& type, const event::Event& event, base::Arena& arena,
                             std::vector<RuleStats>& counts) {
  type.index.match(event.slots, type.frame, type.outcome);
  for (uint32_t rule : type.outcome.matched) add_match(type, rule, arena, counts[rule]);
  for (uint32_t rule : type.outcome.errors) ++counts[rule].errors;
}

// Points, verdict and score from the rules that act.
void Engine::Impl::settle(ActiveType& active_type, event::Event& event) {
  const policy::EventType& type = *active_type.type;
  Settlement settlement;
  for (const Match& match : decision.matches) {
    if (match.acts) settlement.add(type, type.rules[match.rule].verdict, match.points);
  }
  decision.points = settlement.points;
  decision.verdict = settlement.verdict(type);
  if (type.points_slot >= 0) event.slots[static_cast<size_t>(type.points_slot)] = Value::real(decision.points);
  if (type.score != cel::kNoNode) {
    double score = number_or(type.plan.eval(type.score, active_type.frame), 0);
    decision.score = std::clamp(score, 0.0, 1.0);
  }
}

void Engine::Impl::explain(ActiveType& type, const event::Event& event, base::Arena& arena) {
  decision.explained = event.slots;
  const Plan& plan = type.type->plan;
  for (const Match& match : decision.matches) {
    for (NodeId clause : plan.disjuncts(type.type->rules[match.rule].when)) {
      if (plan.test(clause, type.frame) != Plan::Truth::kTrue) continue;
      for (NodeId node : plan.conjuncts(clause)) {
        Condition condition;
        condition.rule = match.rule;
        condition.text = arena.copy(plan.text(node));
        std::vector<int32_t> slots = plan.slots_read(node);
        using Pair = std::pair<std::string_view, Value>;
        Pair* read = static_cast<Pair*>(arena.allocate(sizeof(Pair) * slots.size(), alignof(Pair)));
        for (size_t i = 0; i < slots.size(); ++i) {
          auto slot = static_cast<size_t>(slots[i]);
          new (&read[i]) Pair(type.slot_names[slot], event.slots[slot]);
        }
        condition.read = {read, slots.size()};
        decision.conditions.push_back(condition);
      }
    }
  }
}

void Engine::Impl::update_features(ActiveType& type) {
  for (FeatureAccess& access : type.accesses) {
    if (!access.counts) continue;
    for (size_t i = 0; access.each && i < access.key_count; ++i) {
      access.table->update(access.table->find(access.keys[i]), decision.time_ms, now, access.of, access.hit);
    }
    if (access.each) continue;
    if (access.reads.empty()) access.cursor = access.table->find(access.key);
    access.table->update(access.cursor, decision.time_ms, now, access.of, access.hit);
  }
}

void Engine::Impl::apply_effects() {
  for (const Effect& effect : decision.effects) {
    const std::string author = "rule:" + decision.type->rules[effect.rule].id;
    int64_t expires = effect.expires_ms == 0 ? INT64_MAX : effect.expires_ms;
    if (effect.kind == Effect::Kind::kLabel) {
      state::Label label{std::string(effect.name), author, {}, now, expires};
      (void)label_store->set(effect.target, effect.value, label);  // a full store is told by its metrics
    } else if (effect.kind == Effect::Kind::kListEntry) {
      for (auto& list : active->run_time_lists) {
        if (list->name() == effect.target) (void)list->add({std::string(effect.value), expires, {}, author, now});
      }
    }
  }
}

// One bounded piece of housekeeping an event, in turn over everything that expires.
void Engine::Impl::keep_house() {
  size_t tables = active->tables.size();
  size_t lists = active->run_time_lists.size();
  auto turn = static_cast<size_t>(housekeeping++ % (tables + lists + 2));
  if (turn < tables) {
    active->tables[turn]->advance(now);
  } else if (turn < tables + lists) {
    active->run_time_lists[turn - tables]->advance(now);
    active->lists[turn - tables]->advance(now);
  } else if (turn == tables + lists) {
    label_store->advance(now);
  } else {
    recent_ids.advance(now);
  }
}

uint64_t Engine::repeat_of(const PreparedEvent& event) const {
  const Impl& impl = *impl_;
  TAMIS_ASSERT(impl.activated && event.policy() == impl.active->policy);
  if (event.id_key() == 0 || impl.active->policy->types[event.type_index()].unique_ms == 0) return 0;
  return impl.recent_ids.find(event.id_key(), impl.now, impl.newest_record);
}

void Engine::prefetch(const PreparedEvent& event) const {
  if (event.id_key() != 0) impl_->recent_ids.prefetch(event.id_key());
}

// Late events are remembered as well: a repeated delivery is one however late.
void Engine::Impl::remember_id(const PreparedEvent& prepared) {
  int64_t unique_ms = decision.type->unique_ms;
  if (prepared.id_key() != 0 && unique_ms > 0) recent_ids.add(prepared.id_key(), decision.record, now + unique_ms, now);
}

void Engine::Impl::decide_one(PreparedEvent& prepared, int64_t receive_ms, Explain explain_it, uint64_t record,
                              uint32_t depth) {
  ActiveType& type = *active->types[prepared.type_index()];
  event::Event& event = prepared.event();
  base::Arena& arena = prepared.arena();
  Decision& d = decision;
  d.policy = active->policy.get();
  d.type = type.type;
  d.points = d.score = 0;
  d.matches.clear();
  d.conditions.clear();
  d.explained = {};
  d.effects.clear();
  d.features.clear();
  d.shown.clear();
  d.account = {};
  d.record = record;
  d.dropped = event.dropped;
  for (const event::DroppedField& field : d.dropped) ++dropped[{type.type->schema.name, d.dropped_name(field)}];
  set_time(prepared, receive_ms);
  if (type.type->time_slot >= 0) {
    event.slots[static_cast<size_t>(type.type->time_slot)] = timestamp_of(d.time_ms);
  }
  d.id = event.id.empty() ? arena.copy("n" + std::to_string(decided + 1)) : event.id;

  type.frame.begin(event.slots.data(), arena, this, options.cost_max);
  find_keys(type, arena);
  read_features(type, event, arena);
  run_detectors(type, event, depth);
  run_rules(type, event, arena, stats[prepared.type_index()]);
  settle(type, event);
  for (const policy::ShownField& shown : type.type->shown) {
    d.shown.emplace_back(shown.name, event.slots[static_cast<size_t>(shown.slot)]);
  }
  if (explain_it == Explain::kYes) explain(type, event, arena);
  update_features(type);
  apply_effects();
  ++verdicts[prepared.type_index()][static_cast<size_t>(d.verdict)];
}

const Decision& Engine::decide(PreparedEvent& prepared, int64_t receive_ms, Explain explain, uint64_t record) {
  Impl& impl = *impl_;
  TAMIS_ASSERT(impl.activated && prepared.policy() == impl.active->policy);
  if (record == 0) record = impl.decided + 1;
  impl.newest_record = std::max(impl.newest_record, record);
  prefetch(prepared);
  impl.finding_count = 0;
  impl.decide_one(prepared, receive_ms, explain, record, 0);
  impl.remember_id(prepared);
  impl.keep_house();
  ++impl.decided;
  if (!impl.pending.empty()) impl.decide_findings(record, explain);
  return impl.decision;
}

void Engine::tick(int64_t now_ms) {
  impl_->now = std::max(impl_->now, now_ms);
  for (auto& table : impl_->active->tables) table->advance(impl_->now);
  impl_->label_store->advance(impl_->now);
  impl_->recent_ids.advance(impl_->now);
}

int64_t Engine::now_ms() const { return impl_->now; }
uint64_t Engine::decided() const { return impl_->decided; }
const std::vector<std::vector<RuleStats>>& Engine::rule_stats() const { return impl_->stats; }

const std::vector<std::vector<uint64_t>>& Engine::verdict_counts() const { return impl_->verdicts; }

std::vector<DroppedCount> Engine::dropped_counts() const {
  std::vector<DroppedCount> all;
  for (const auto& [of, count] : impl_->dropped) all.push_back({of.first, of.second, count});
  return all;
}

std::vector<std::pair<std::string, state::TableStats>> Engine::feature_stats() const {
  std::vector<std::pair<std::string, state::TableStats>> all;
  for (const auto& table : impl_->active->tables) all.emplace_back(table->spec().name, table->stats());
  return all;
}

RuleIndex::Stats Engine::index_stats(size_t type_index) const {
  return impl_->active->types[type_index]->index.stats();
}

uint64_t Engine::digest() const {
  uint64_t digest = base::combine64(static_cast<uint64_t>(impl_->now), impl_->decided);
  for (const auto& table : impl_->active->tables) {
    digest = base::combine64(digest, base::hash64(table->spec().name));
    digest = base::combine64(digest, table->digest());
  }
  for (const auto& detector : impl_->active->detectors) digest = base::combine64(digest, detector->digest());
  for (const auto& list : impl_->active->run_time_lists) digest = base::combine64(digest, list->digest());
  digest = base::combine64(digest, impl_->recent_ids.digest());
  return base::combine64(digest, impl_->label_store->digest());
}

}  // namespace tamis::engine
