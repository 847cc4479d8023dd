#include "event/json_plan.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "base/hash.h"

namespace tamis::event {
namespace {

const std::vector<std::string>& path_of(const Field& field, std::vector<std::string>& storage) {
  if (!field.path.empty()) return field.path;
  storage.assign(1, field.name);
  return storage;
}

uint64_t hash_path(const std::vector<std::string>& path, uint64_t seed) {
  for (const std::string& part : path) seed = base::combine64(seed, base::hash64(part));
  return base::combine64(seed, path.size());
}

}  // namespace

uint64_t plan_fingerprint(const EventSchema& schema) {
  uint64_t hash = hash_path(schema.id_path, 1);
  hash = base::combine64(hash_path(schema.time_path, hash), schema.strict ? 1 : 0);
  for (const Field& field : schema.fields) {
    hash = base::combine64(hash, base::hash64(field.name));
    hash = hash_path(field.path, hash);
    const uint64_t flags = uint64_t{field.required} << 1 | uint64_t{field.fallback.has_value()};
    hash = base::combine64(hash, uint64_t(field.type.kind) << 16 | uint64_t(field.semantic) << 8 | flags);
  }
  return hash == 0 ? 1 : hash;
}

// The tree while it is built.
struct JsonPlan::Draft {
  struct Entry {
    std::string name;
    std::unique_ptr<Draft> below;
    std::vector<Target> targets;
  };
  std::vector<Entry> entries;

  void add(const std::vector<std::string>& path, Target target) {
    Draft* at = this;
    for (size_t i = 0; i < path.size(); ++i) {
      Entry& entry = at->entry(path[i]);
      if (i + 1 == path.size()) {
        entry.targets.push_back(target);
        return;
      }
      if (!entry.below) entry.below = std::make_unique<Draft>();
      at = entry.below.get();
    }
  }

 private:
  Entry& entry(const std::string& name) {
    for (Entry& known : entries) {
      if (known.name == name) return known;
    }
    entries.push_back({name, nullptr, {}});
    return entries.back();
  }
};

JsonPlan::JsonPlan(const EventSchema& schema) {
  Draft draft;
  std::vector<std::string> storage;
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    const Field& field = schema.fields[i];
    draft.add(path_of(field, storage), {Role::kField, field.type.kind, field.semantic, static_cast<int32_t>(i),
                                        field.required || schema.strict});
    if (field.required || field.fallback) to_complete_.push_back(static_cast<int32_t>(i));
  }
  draft.add(schema.id_path, {Role::kId, Type::Kind::kString, Semantic::kNone, -1});
  draft.add(schema.time_path, {Role::kTime, Type::Kind::kTimestamp, Semantic::kNone, -1});
  nodes_.emplace_back();
  build(draft, 0);
  for (size_t i = 0; i < keys_.size(); ++i) keys_[i].name = names_[i].data();
}

// True if something in it must be read.
bool JsonPlan::build(const Draft& draft, int32_t node) {
  const size_t table_size = std::bit_ceil(draft.entries.size() * 2 + 2);
  const uint32_t mask = static_cast<uint32_t>(table_size - 1);
  const uint32_t table_begin = static_cast<uint32_t>(table_.size());
  table_.resize(table_.size() + table_size, 0);
  const size_t first_key = keys_.size();
  for (const Draft::Entry& entry : draft.entries) {
    Key key{};
    key.name_bytes = static_cast<uint32_t>(entry.name.size());
    key.target_begin = static_cast<uint32_t>(targets_.size());
    targets_.insert(targets_.end(), entry.targets.begin(), entry.targets.end());
    key.target_end = static_cast<uint32_t>(targets_.size());
    uint32_t slot = static_cast<uint32_t>(base::hash64(entry.name)) & mask;
    while (table_[table_begin + slot] != 0) slot = (slot + 1) & mask;
    keys_.push_back(key);
    names_.push_back(entry.name);
    table_[table_begin + slot] = static_cast<uint32_t>(keys_.size());
  }
  // The first guess is the order of the schema.
  const size_t count = draft.entries.size();
  for (size_t i = 0; i + 1 < count; ++i) keys_[first_key + i].next = static_cast<int32_t>(first_key + i + 1);
  Node& here = nodes_[static_cast<size_t>(node)];
  here.first = count == 0 ? -1 : static_cast<int32_t>(first_key);
  here.table_begin = table_begin;
  here.table_mask = mask;
  here.keys_begin = static_cast<uint32_t>(first_key);
  here.keys_end = static_cast<uint32_t>(first_key + count);
  bool must = false;
  for (size_t i = 0; i < count; ++i) {
    const std::vector<Target>& targets = draft.entries[i].targets;
    Key& key = keys_[first_key + i];
    key.must = std::any_of(targets.begin(), targets.end(), [](const Target& target) { return target.must; });
    must = must || key.must;
    if (draft.entries[i].below) {
      const auto child = static_cast<int32_t>(nodes_.size());
      key.child = child;
      nodes_.emplace_back();
      const bool must_below = build(*draft.entries[i].below, child);  // keys may have moved
      keys_[first_key + i].must_below = must_below;
      must = must || must_below;
    }
  }
  return must;
}

void JsonPlan::visit_fields_below(const Key& key, std::vector<int32_t>& fields) const {
  if (key.child < 0) return;
  const Node& below = nodes_[static_cast<size_t>(key.child)];
  for (uint32_t k = below.keys_begin; k < below.keys_end; ++k) {
    for (uint32_t i = keys_[k].target_begin; i < keys_[k].target_end; ++i) {
      if (targets_[i].role == Role::kField) fields.push_back(targets_[i].field);
    }
    visit_fields_below(keys_[k], fields);
  }
}

JsonPlan::Key* JsonPlan::find_by_hash(const Node& node, int32_t& guess, std::string_view name) {
  uint32_t slot = static_cast<uint32_t>(base::hash64(name)) & node.table_mask;
  for (;;) {
    const uint32_t number = table_[node.table_begin + slot];
    if (number == 0) return nullptr;
    const Key& key = keys_[number - 1];
    if (key.name_bytes == name.size() && std::memcmp(names_[number - 1].data(), name.data(), name.size()) == 0) {
      guess = static_cast<int32_t>(number - 1);
      return &keys_[number - 1];
    }
    slot = (slot + 1) & node.table_mask;
  }
}

}  // namespace tamis::event
