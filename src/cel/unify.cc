#include "cel/unify.h"

#include <algorithm>
#include <charconv>

namespace tamis::cel {
namespace {

using Kind = Type::Kind;

constexpr int kDepthMax = 1000;
constexpr int kTypeNodesMax = 2000;
constexpr int kTypeDepthMax = 300;
constexpr size_t kNone = ~size_t{0};

// Type variables are parameters whose name no source can write: "%0", "%1", ...
size_t variable_of(const Type& type) {
  if (type.kind != Kind::kParam || !type.name.starts_with('%')) return kNone;
  size_t number = kNone;
  std::from_chars(type.name.data() + 1, type.name.data() + type.name.size(), number);
  return number;
}

// Abstract types and times take null, as they did before there were wrappers; primitives only in their wrappers.
bool is_nullable(const Type& type) {
  switch (type.kind) {
    case Kind::kNull:
    case Kind::kWrapper:
    case Kind::kOpaque:
    case Kind::kOptional:
    case Kind::kTimestamp:
    case Kind::kDuration:
      return true;
    default:
      return false;
  }
}

bool is_small(const Type& type, int depth, int& size_left) {
  if (--size_left <= 0 || depth > kTypeDepthMax) return false;
  return std::all_of(type.params.begin(), type.params.end(),
                     [&](const Type& param) { return is_small(param, depth + 1, size_left); });
}

bool is_open(const Type& type) { return type.is_dyn() || type.kind == Kind::kParam; }

}  // namespace

bool has_params(const Type& type) {
  return type.kind == Kind::kParam || std::any_of(type.params.begin(), type.params.end(), has_params);
}

Type bounded(Type type) {
  int size_left = kTypeNodesMax;
  return is_small(type, 0, size_left) ? type : Type::dyn();
}

bool is_certain(const Type& type) {
  if (is_open(type) || type.kind == Kind::kWrapper || type.kind == Kind::kNull) return false;
  return std::all_of(type.params.begin(), type.params.end(), is_certain);
}

Type Unifier::fresh() {
  bindings_.emplace_back();
  return Type::param("%" + std::to_string(bindings_.size() - 1));
}

Type Unifier::instantiate(const Type& type, Names& names) {
  if (type.kind == Kind::kParam) {
    for (const auto& [name, variable] : names) {
      if (name == type.name) return variable;
    }
    names.emplace_back(type.name, fresh());
    return names.back().second;
  }
  if (!has_params(type)) return type;
  Type out{type.kind, type.name, {}};
  for (const Type& param : type.params) out.params.push_back(instantiate(param, names));
  return out;
}

void Unifier::set(size_t variable, Type type) {
  trail_.push_back({variable, std::move(bindings_[variable])});
  bindings_[variable] = std::move(type);
}

void Unifier::rollback(size_t mark) {
  while (trail_.size() > mark) {
    bindings_[trail_.back().variable] = std::move(trail_.back().before);
    trail_.pop_back();
  }
}

bool Unifier::assign(const Type& from, const Type& to) {
  size_t start = mark();
  if (assignable(from, to, 0)) return true;
  rollback(start);
  return false;
}

bool Unifier::assignable(const Type& from, const Type& to, int depth) {
  if (depth > kDepthMax) work_left_ = 0;
  if (!spend()) return false;
  if (to.kind == Kind::kParam) {
    bool bound = false;
    if (bind(from, to, depth, bound)) return true;
    if (bound) return false;
  }
  if (from.kind == Kind::kParam) {
    bool bound = false;
    return bind(to, from, depth, bound);
  }
  if (from.is_dyn() || to.is_dyn()) return true;
  if (from.kind == Kind::kNull) return is_nullable(to);
  if (to.kind == Kind::kNull) return is_nullable(from);
  if (from.kind == Kind::kWrapper) return assignable(from.params[0], to, depth + 1);
  if (to.kind == Kind::kWrapper) return assignable(from, to.params[0], depth + 1);
  if (from.kind != to.kind) return false;
  if (from.kind == Kind::kType) return true;
  return from.name == to.name && assignable_all(from.params, to.params, depth + 1);
}

bool Unifier::assignable_all(const std::vector<Type>& from, const std::vector<Type>& to, int depth) {
  if (from.size() != to.size()) return false;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!assignable(from[i], to[i], depth)) return false;
  }
  return true;
}

bool Unifier::bind(const Type& type, const Type& variable, int depth, bool& bound) {
  if (type == variable) return bound = true;
  size_t number = variable_of(variable);
  if (number >= bindings_.size()) return false;
  if (bindings_[number]) {
    bound = true;
    Type before = *bindings_[number];
    if (type == before) return true;
    if (!assignable(type, before, depth + 1)) return false;
    Type common = generalise(type, before);
    if (!occurs(variable, common, depth)) set(number, std::move(common));
    return true;
  }
  if (occurs(variable, type, depth)) return false;
  set(number, type);
  return true;
}

bool Unifier::occurs(const Type& variable, const Type& in, int depth) {
  if (depth > kDepthMax) work_left_ = 0;
  if (!spend()) return true;
  if (variable == in) return true;
  if (in.kind == Kind::kParam) {
    size_t number = variable_of(in);
    return number < bindings_.size() && bindings_[number] && occurs(variable, *bindings_[number], depth + 1);
  }
  return std::any_of(in.params.begin(), in.params.end(),
                     [&](const Type& param) { return occurs(variable, param, depth + 1); });
}

Type Unifier::generalise(const Type& a, const Type& b) {
  if (!spend()) return Type::dyn();
  if (is_open(a)) return a;
  if (is_open(b)) return b;
  if (a.kind == Kind::kNull) return b;
  if (b.kind == Kind::kNull) return a;
  if (a.kind == Kind::kWrapper) return a;
  if (b.kind == Kind::kWrapper) return b;
  bool alike = a.kind == b.kind && a.name == b.name;
  if (a.kind == Kind::kType) return alike && a == b ? a : Type{Kind::kType, {}, {}};
  if (!alike || a.params.size() != b.params.size()) return Type::dyn();
  Type out{a.kind, a.name, {}};
  for (size_t i = 0; i < a.params.size(); ++i) out.params.push_back(generalise(a.params[i], b.params[i]));
  return out;
}

Type Unifier::substitute(const Type& type, bool to_dyn) {
  if (!has_params(type)) return type;
  int size_left = kTypeNodesMax;
  Type out = replace(type, to_dyn, 0, size_left);
  return size_left > 0 ? out : Type::dyn();
}

Type Unifier::replace(const Type& type, bool to_dyn, int depth, int& size_left) {
  if (depth > kDepthMax) size_left = 0;
  if (--size_left <= 0 || !spend()) return Type::dyn();
  if (type.kind == Kind::kParam) {
    size_t number = variable_of(type);
    if (number < bindings_.size() && bindings_[number]) {
      // By value: the vector may grow meanwhile only in fresh(), yet a copy keeps this free of that thought.
      return replace(Type(*bindings_[number]), to_dyn, depth + 1, size_left);
    }
    return to_dyn ? Type::dyn() : type;
  }
  Type out{type.kind, type.name, {}};
  out.params.reserve(type.params.size());
  for (const Type& param : type.params) out.params.push_back(replace(param, to_dyn, depth + 1, size_left));
  return out;
}

}  // namespace tamis::cel
