// Macros as loops. Their meaning is that of the expansions in cel-spec ("Macros") and of the two-variable comprehension
// extension: all() and exists() absorb errors as && and || do, the others do not.
#include <algorithm>

#include "cel/eval.h"

namespace tamis::cel {

using event::error_limit;
using event::error_no_such_overload;
using event::MapEntry;

// One run over a range: sets the variables for each element and restores what they held before, because a plan may
// use the same level in an enclosing loop (see PlanBuilder::define).
struct Evaluator::Loop {
  Loop(Evaluator& evaluator, const Node& n, Value over)
      : self(evaluator),
        level(n.slot),
        vars(n.vars),
        turn_cost(n.aux),
        range(over),
        size(over.is(Kind::kList) ? over.size : over.map->size) {
    Value* locals = self.frame_.locals.data() + level;
    saved[0] = locals[0];
    if (vars == 2) saved[1] = locals[1];
  }
  ~Loop() {
    Value* locals = self.frame_.locals.data() + level;
    locals[0] = saved[0];
    if (vars == 2) locals[1] = saved[1];
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Moves to element i; false at the end or when the cost bound is reached.
  bool set(uint32_t i) {
    if (!self.charge(turn_cost)) {
      limited = true;
      return false;
    }
    Value* locals = self.frame_.locals.data() + level;
    if (range.is(Kind::kList)) {
      locals[0] = vars == 2 ? Value::integer(i) : range.items[i];
      if (vars == 2) locals[1] = range.items[i];
    } else {
      locals[0] = range.map->entries[i].key;
      if (vars == 2) locals[1] = range.map->entries[i].value;
    }
    return true;
  }
  Value first() const { return self.frame_.locals[level]; }

  Evaluator& self;
  int32_t level;
  uint8_t vars;
  int64_t turn_cost;
  Value range;
  uint32_t size;
  bool limited = false;
  Value saved[2];
};

namespace {

// Entries of a map under construction, in the arena, doubling.
struct EntryList {
  base::Arena& arena;
  MapEntry* entries = nullptr;
  uint32_t size = 0, capacity = 0;

  void add(Value key, Value value) {
    if (size == capacity) {
      uint32_t more = capacity == 0 ? 8 : capacity * 2;
      MapEntry* to = arena.allocate_array<MapEntry>(more);
      std::copy(entries, entries + size, to);
      entries = to;
      capacity = more;
    }
    entries[size++] = {key, value};
  }
};

Value not_a_bool(Value v) { return v.is_error() ? v : error_no_such_overload(); }

}  // namespace

Value Evaluator::eval_macro(const Node& n) {
  if (n.op == Op::kBind || n.op == Op::kOptMap || n.op == Op::kOptFlatMap) return eval_bind(n);
  Value range = eval(arg(n, 0));
  if (range.is_error()) return range;
  bool list = range.is(Kind::kList);
  if (!list && (!range.is(Kind::kMap) || n.op == Op::kSortBy)) return error_no_such_overload();
  return run_loop(n, range);
}

Value Evaluator::run_loop(const Node& n, Value range) {
  Loop loop(*this, n, range);
  Value result;
  switch (n.op) {
    case Op::kAll:
    case Op::kExists:
    case Op::kExistsOne:
      result = run_quantifier(n, loop);
      break;
    case Op::kTransformMap:
    case Op::kTransformMapEntry:
      result = run_map_builder(n, loop);
      break;
    case Op::kSortBy:
      result = run_sort(n, loop);
      break;
    default:
      result = run_list_builder(n, loop);
      break;
  }
  return loop.limited ? error_limit() : result;
}

Value Evaluator::run_quantifier(const Node& n, Loop& loop) {
  NodeId predicate = arg(n, 1);
  if (n.op == Op::kExistsOne) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < loop.size && loop.set(i); ++i) {
      Value v = eval(predicate);
      if (!v.is(Kind::kBool)) return not_a_bool(v);
      found += v.b ? 1 : 0;
    }
    return Value::boolean(found == 1);
  }
  bool decided = n.op == Op::kExists;
  Value error;
  for (uint32_t i = 0; i < loop.size && loop.set(i); ++i) {
    Value v = eval(predicate);
    if (v.is(Kind::kBool)) {
      if (v.b == decided) return v;
    } else if (!error.is_error()) {
      error = not_a_bool(v);
    }
  }
  return error.is_error() ? error : Value::boolean(!decided);
}

// map, filter and transformList: with or without a predicate, with or without a transformation.
Value Evaluator::run_list_builder(const Node& n, Loop& loop) {
  bool filters = n.op == Op::kFilter || n.argc == 3;
  if (!charge(loop.size)) return error_limit();
  Value* items = arena().allocate_array<Value>(loop.size);
  uint32_t count = 0;
  for (uint32_t i = 0; i < loop.size && loop.set(i); ++i) {
    if (filters) {
      Value keep = eval(arg(n, 1));
      if (!keep.is(Kind::kBool)) return not_a_bool(keep);
      if (!keep.b) continue;
    }
    Value v = n.op == Op::kFilter ? loop.first() : eval(arg(n, n.argc - 1));
    if (v.is_error()) return v;
    items[count++] = v;
  }
  return Value::list({items, count});
}

Value Evaluator::run_map_builder(const Node& n, Loop& loop) {
  EntryList entries{arena()};
  for (uint32_t i = 0; i < loop.size && loop.set(i); ++i) {
    if (n.argc == 3) {
      Value keep = eval(arg(n, 1));
      if (!keep.is(Kind::kBool)) return not_a_bool(keep);
      if (!keep.b) continue;
    }
    Value v = eval(arg(n, n.argc - 1));
    if (v.is_error()) return v;
    if (n.op == Op::kTransformMap) {
      entries.add(loop.first(), v);
      continue;
    }
    if (!v.is(Kind::kMap)) return error_no_such_overload();
    if (!charge(v.map->size)) return error_limit();
    for (uint32_t k = 0; k < v.map->size; ++k) entries.add(v.map->entries[k].key, v.map->entries[k].value);
  }
  if (loop.limited || !charge(entries.size)) return error_limit();
  return event::make_map(arena(), {entries.entries, entries.size});
}

// Keys must be comparable with each other; equal keys keep their order.
Value Evaluator::run_sort(const Node& n, Loop& loop) {
  if (!charge(int64_t{loop.size} * 8)) return error_limit();
  struct Keyed {
    Value key, item;
  };
  Keyed* items = arena().allocate_array<Keyed>(loop.size);
  for (uint32_t i = 0; i < loop.size && loop.set(i); ++i) {
    Value key = eval(arg(n, 1));
    if (key.is_error()) return key;
    if (key.kind != (i == 0 ? key.kind : items[0].key.kind) || event::compare(key, key) == 2) {
      return error_no_such_overload();
    }
    items[i] = {key, loop.range.items[i]};
  }
  if (loop.limited) return error_limit();
  // Insertion into sorted halves: std::stable_sort would ask the heap for a buffer.
  Keyed* other = arena().allocate_array<Keyed>(loop.size);
  for (size_t width = 1; width < loop.size; width *= 2) {
    for (size_t from = 0; from < loop.size; from += 2 * width) {
      size_t middle = std::min<size_t>(from + width, loop.size), end = std::min<size_t>(from + 2 * width, loop.size);
      std::merge(items + from, items + middle, items + middle, items + end, other + from,
                 [](const Keyed& a, const Keyed& b) { return event::compare(a.key, b.key) == -1; });
    }
    std::swap(items, other);
  }
  Value* sorted = arena().allocate_array<Value>(loop.size);
  for (uint32_t i = 0; i < loop.size; ++i) sorted[i] = items[i].item;
  return Value::list({sorted, loop.size});
}

// cel.bind(), optMap() and optFlatMap(): a variable with one value. An error bound to a variable is one only when the
// variable is read, as in the expansion.
Value Evaluator::eval_bind(const Node& n) {
  Value init = eval(arg(n, 0));
  if (n.op != Op::kBind) {
    if (init.is_error()) return init;
    if (!init.is(Kind::kOptional)) return error_no_such_overload();
    if (init.optional == nullptr) return init;
    init = *init.optional;
  }
  Value saved = frame_.locals[n.slot];
  frame_.locals[n.slot] = init;
  Value result = eval(arg(n, 1));
  frame_.locals[n.slot] = saved;
  if (n.op == Op::kOptMap && !result.is_error()) return some(result);
  if (n.op == Op::kOptFlatMap && !result.is_error() && !result.is(Kind::kOptional)) return error_no_such_overload();
  return result;
}

}  // namespace tamis::cel
