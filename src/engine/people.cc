// What people do to the engine's state, and what they ask of it.
#include <algorithm>
#include <charconv>
#include <set>

#include "base/assert.h"
#include "base/hash.h"
#include "engine/impl.h"

namespace tamis::engine {
namespace {

constexpr std::string_view kEventKind = "event:";
constexpr size_t kEntryBytesMax = 4096, kTextBytesMax = 1024;

}  // namespace

base::Result<size_t> Engine::Impl::managed_list(std::string_view list) const {
  for (size_t i = 0; i < active->run_time_lists.size(); ++i) {
    const policy::ListDecl& decl = active->policy->lists[i];
    if (decl.name != list) continue;
    if (decl.managed) return i;
    return base::invalid("list \"" + decl.name + "\" takes no entries at run time: it is not declared `managed: true`");
  }
  return base::fail(base::Code::kNotFound, "no list \"" + std::string(list) + "\" in the policy");
}

base::Status Engine::check_entity_kind(std::string_view entity_kind) const {
  const policy::Policy& policy = *impl_->active->policy;
  const std::vector<std::string>& kinds = policy.entity_kinds;
  bool is_event = entity_kind.substr(0, kEventKind.size()) == kEventKind;
  bool known = is_event ? policy.find_type(entity_kind.substr(kEventKind.size())) != nullptr
                        : std::find(kinds.begin(), kinds.end(), entity_kind) != kinds.end();
  if (known) return {};
  std::string names;
  for (const std::string& kind : kinds) names += kind + ", ";
  return base::fail(base::Code::kNotFound, "no entity kind \"" + std::string(entity_kind.substr(0, 100)) +
                                               "\" in the policy; it has: " + names +
                                               "and event:TYPE for each event type");
}

namespace {

base::Status check_entry(const state::ListEntry& entry) {
  if (entry.value.size() <= kEntryBytesMax && entry.note.size() <= kTextBytesMax &&
      entry.author.size() <= kTextBytesMax) {
    return {};
  }
  return base::fail(base::Code::kLimit, "a list entry has 4096 bytes at most, its note and author 1024");
}

}  // namespace

base::Status Engine::add_list_entry(std::string_view list, const state::ListEntry& entry) {
  TAMIS_TRY(i, impl_->managed_list(list));
  TAMIS_CHECK(check_entry(entry));
  return impl_->active->run_time_lists[i]->add(entry);
}

base::Status Engine::restore_list_entry(std::string_view list, const state::ListEntry& entry) {
  TAMIS_TRY(i, impl_->managed_list(list));
  TAMIS_CHECK(check_entry(entry));
  return impl_->active->run_time_lists[i]->put(entry);
}

base::Status Engine::remove_list_entry(std::string_view list, std::string_view value) {
  for (size_t i = 0; i < impl_->active->run_time_lists.size(); ++i) {
    if (impl_->active->policy->lists[i].name != list) continue;
    if (impl_->active->run_time_lists[i]->remove(value)) return {};
    return base::fail(base::Code::kNotFound, "list \"" + std::string(list) + "\" has no run-time entry \"" +
                                                 std::string(value) + "\"; entries of its files are changed there");
  }
  return base::fail(base::Code::kNotFound, "no list \"" + std::string(list) + "\" in the policy");
}

namespace {

// Whether `word` stands in `text` between blanks.
bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos && !word.empty(); at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || text[at - 1] == ' ') && (end == text.size() || text[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

bool Engine::on_list(std::string_view list, std::string_view value) const {
  for (size_t i = 0; i < impl_->active->lists.size(); ++i) {
    if (impl_->active->policy->lists[i].name != list) continue;
    return impl_->list_contains(static_cast<int64_t>(i), event::Value::string(value));
  }
  return false;
}

std::optional<state::ListEntry> Engine::list_entry(std::string_view list, std::string_view value) const {
  for (const auto& run_time : impl_->active->run_time_lists) {
    if (run_time->name() != list) continue;
    auto entry = run_time->find(value);
    if (entry && entry->expires_ms <= impl_->now) return std::nullopt;
    return entry;
  }
  return std::nullopt;
}

base::Result<uint64_t> Engine::visit_list(std::string_view list, uint64_t after, size_t limit,
                                          const std::function<void(const state::ListEntry&)>& visit) const {
  for (const auto& run_time : impl_->active->run_time_lists) {
    if (run_time->name() == list) return run_time->visit(after, limit, impl_->now, visit);
  }
  return base::fail(base::Code::kNotFound, "no list \"" + std::string(list) + "\" in the policy");
}

base::Result<uint64_t> Engine::visit_policy_list(std::string_view list, uint64_t after, size_t limit,
                                                 const std::function<void(const state::ListEntry&)>& visit) const {
  for (const auto& of_policy : impl_->active->lists) {
    if (of_policy->name() == list) return of_policy->visit(after, limit, impl_->now, visit);
  }
  return base::fail(base::Code::kNotFound, "no list \"" + std::string(list) + "\" in the policy");
}

namespace {

// The entry of `list` that matches the value, which is text as people write it.
std::optional<state::ListEntry> match_text(const state::List& list, std::string_view value, int64_t now_ms) {
  if (list.kind() == state::ListKind::kInt) {
    int64_t number = 0;
    auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (bad != std::errc() || end != value.data() + value.size()) return std::nullopt;
    return list.match(event::Value::integer(number), now_ms);
  }
  size_t slash = value.find('/');
  if (list.kind() != state::ListKind::kNetwork || slash == std::string_view::npos) {
    return list.match(event::Value::string(value), now_ms);
  }
  auto entry = list.match(event::Value::string(value.substr(0, slash)), now_ms);
  if (!entry) return std::nullopt;
  auto bits_of = [](std::string_view text) {
    int bits = 128;
    size_t at = text.find('/');
    if (at != std::string_view::npos) std::from_chars(text.data() + at + 1, text.data() + text.size(), bits);
    return bits;
  };
  if (bits_of(entry->value) > bits_of(value)) return std::nullopt;  // it covers only a part of the network
  return entry;
}

}  // namespace

std::vector<Engine::ListMatch> Engine::list_matches(std::string_view value) const {
  std::vector<ListMatch> found;
  for (size_t i = 0; i < impl_->active->lists.size(); ++i) {
    const std::string& name = impl_->active->policy->lists[i].name;
    if (auto entry = match_text(*impl_->active->lists[i], value, impl_->now)) found.push_back({name, true, *entry});
    const auto& run_time = impl_->active->run_time_lists[i];
    if (auto entry = match_text(*run_time, value, impl_->now)) found.push_back({name, false, *entry});
  }
  return found;
}

base::Status Engine::set_label(std::string_view entity_kind, std::string_view value, const state::Label& label) {
  TAMIS_CHECK(check_entity_kind(entity_kind));
  TAMIS_CHECK(impl_->label_store->set(entity_kind, value, label));
  impl_->cluster_labelled(entity_kind, value, label.name, label.expires_ms);
  return {};
}

base::Status Engine::restore_label(std::string_view entity_kind, std::string_view value, const state::Label& label) {
  TAMIS_CHECK(check_entity_kind(entity_kind));
  TAMIS_CHECK(impl_->label_store->put(entity_kind, value, label));
  impl_->cluster_labelled(entity_kind, value, label.name, label.expires_ms);
  return {};
}

bool Engine::clear_label(std::string_view entity_kind, std::string_view value, std::string_view name) {
  const bool was_there = impl_->label_store->clear(entity_kind, value, name);
  if (was_there) impl_->cluster_labelled(entity_kind, value, name, 0);
  return was_there;
}

std::vector<state::Label> Engine::labels(std::string_view entity_kind, std::string_view value) const {
  return impl_->label_store->get(entity_kind, value, impl_->now);
}

uint64_t Engine::visit_labels(uint64_t after, size_t limit, const state::LabelStore::Visit& visit) const {
  return impl_->label_store->visit(after, limit, impl_->now, visit);
}

Engine::Erased Engine::erase_entity(std::string_view entity_kind, std::string_view value) {
  Erased erased;
  erased.labels = impl_->label_store->erase(entity_kind, value);
  for (auto& list : impl_->active->run_time_lists) {
    erased.list_entries += list->remove(value);
    if (list->kind() != state::ListKind::kString) continue;
    // Entries of several words, such as who does not want to hear from whom, are of everybody in them.
    std::vector<std::string> of_several;
    list->for_each([&](const state::ListEntry& entry) {
      if (has_word(entry.value, value)) of_several.push_back(entry.value);
    });
    for (const std::string& entry : of_several) erased.list_entries += list->remove(entry);
  }
  if (entity_kind == "account") {
    for (auto& detector : impl_->active->detectors) detector->erase(value);
  }
  return erased;
}

// Under `each`: all keys where a part before it is the value, else that of the member which is; and those that remember
// what the event brought.
void Engine::Impl::forget_each(ActiveType& type, FeatureAccess& access, std::string_view value, base::Arena& arena,
                               Forgotten& forgotten) {
  const cel::Plan& plan = type.type->plan;
  bool all = false;
  for (size_t i = 0; i + 1 < access.by.size(); ++i) all |= as_text(plan.eval(access.by[i], type.frame), arena) == value;
  std::set<uint64_t> own;
  const Value list = plan.eval(access.by.back(), type.frame);
  uint64_t before = 0;
  for (size_t i = 0; i + 1 < access.by.size(); ++i)
    before = base::combine64(before, event::hash(plan.eval(access.by[i], type.frame)));
  for (const Value& member : list.list_items()) {
    if (as_text(member, arena) == value) own.insert(base::combine64(before, event::hash(member)));
  }
  const policy::FeatureUpdate* update = access.update;
  Value of = Value::absent();
  if (update != nullptr && update->of != cel::kNoNode && active->remembers_people[access.feature])
    of = plan.eval(update->of, type.frame);
  for (size_t i = 0; i < access.key_count; ++i) {
    if (all || own.contains(access.keys[i])) {
      forgotten.keys += access.table->forget(access.keys[i]);
    } else if (usable(of) && access.table->holds(access.keys[i], of)) {
      forgotten.others_keys += access.table->forget(access.keys[i]);
    }
  }
}

Engine::Forgotten Engine::forget_keys(PreparedEvent& prepared, std::string_view value) {
  TAMIS_ASSERT(impl_->activated && prepared.policy() == impl_->active->policy);
  ActiveType& type = *impl_->active->types[prepared.type_index()];
  base::Arena& arena = prepared.arena();
  type.frame.begin(prepared.event().slots.data(), arena, impl_.get(), impl_->options.cost_max);
  impl_->find_keys(type, arena);
  Forgotten forgotten;
  for (FeatureAccess& access : type.accesses) {
    if (!access.has_key) continue;
    if (access.each) {
      impl_->forget_each(type, access, value, arena, forgotten);
      continue;
    }
    auto is_value = [&](cel::NodeId node) { return as_text(type.type->plan.eval(node, type.frame), arena) == value; };
    if (std::any_of(access.by.begin(), access.by.end(), is_value)) {
      forgotten.keys += access.table->forget(access.key);
      continue;
    }
    const policy::FeatureUpdate* update = access.update;
    if (update == nullptr || update->of == cel::kNoNode || !impl_->active->remembers_people[access.feature]) continue;
    const Value of = type.type->plan.eval(update->of, type.frame);
    if (!usable(of) || !access.table->holds(access.key, of)) continue;
    forgotten.others_keys += access.table->forget(access.key);
  }
  if (prepared.id_key() != 0) impl_->recent_ids.forget(prepared.id_key());
  return forgotten;
}

namespace {

constexpr uint64_t kForgetItems = 4096;  // of one part
constexpr int kForgetSweeps = 256;       // of 32 places each, of labels and lists: they have holes

}  // namespace

uint64_t Engine::forget_before(int64_t before_ms, uint32_t part, uint32_t parts) {
  uint64_t keys = 0;
  for (size_t i = 0; i < impl_->active->tables.size(); ++i) {
    if (!impl_->active->gives_private_values[i]) continue;
    impl_->active->tables[i]->advance(impl_->now);  // what is dead by now goes, too
    keys += impl_->active->tables[i]->forget_before(before_ms, part, parts);
  }
  for (int i = 0; i < kForgetSweeps; ++i) {
    impl_->label_store->advance(before_ms);
    for (auto& list : impl_->active->run_time_lists) list->advance(before_ms);
  }
  return keys;
}

uint32_t Engine::forget_parts() const {
  uint64_t items = impl_->label_store->entities();
  for (size_t i = 0; i < impl_->active->tables.size(); ++i) {
    if (impl_->active->gives_private_values[i]) items += impl_->active->tables[i]->stats().keys;
  }
  for (auto& list : impl_->active->run_time_lists) items += list->size();
  return static_cast<uint32_t>(items / kForgetItems + 1);
}

}  // namespace tamis::engine
