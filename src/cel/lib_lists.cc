// The lists and sets extensions.
#include <algorithm>
#include <bit>

#include "cel/lib.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::error_limit;

// The elements of a list for "is there an equal one?": a scan while small, a hash table in the arena beyond.
class ElementSet {
 public:
  ElementSet(Call& call, size_t elements_max) : call_(call) {
    slots_ = elements_max <= kLinearMax ? 0 : std::bit_ceil(2 * elements_max);
    values_ = call.arena.allocate_array<Value>(elements_max);
    if (slots_ == 0) return;
    table_ = call.arena.allocate_array<uint32_t>(slots_);
    std::fill(table_, table_ + slots_, 0u);
  }

  // False if an equal element was there already.
  bool add(Value v) {
    uint32_t* place = find(v);
    if (place == nullptr) return false;
    if (slots_ > 0) *place = size_ + 1;
    values_[size_++] = v;
    return true;
  }
  bool contains(Value v) { return find(v) == nullptr; }
  std::span<const Value> values() const { return {values_, size_}; }
  // False once the budget of the evaluation is used up.
  bool charge_one() { return charge(call_, slots_ == 0 ? 1 + size_ / 2 : 2); }

 private:
  static constexpr size_t kLinearMax = 16;

  // Null if an equal element is there, else where it would go.
  uint32_t* find(Value v) {
    if (slots_ == 0) {
      for (uint32_t i = 0; i < size_; ++i) {
        if (event::equal(values_[i], v)) return nullptr;
      }
      return &nowhere_;
    }
    size_t at = event::hash(v) & (slots_ - 1);
    for (; table_[at] != 0; at = (at + 1) & (slots_ - 1)) {
      if (event::equal(values_[table_[at] - 1], v)) return nullptr;
    }
    return &table_[at];
  }

  Call& call_;
  size_t slots_ = 0;
  uint32_t* table_ = nullptr;
  Value* values_ = nullptr;
  uint32_t size_ = 0;
  uint32_t nowhere_ = 0;  // what find() points at where there is no table
};

Value slice(Call& call, const Value* v) {
  int64_t start = v[1].i, end = v[2].i;
  if (start < 0 || end < start || end > v[0].size) {
    return fail(call, ErrorCode::kOutOfRange,
                {"slice(", std::to_string(start), ", ", std::to_string(end), ") of a list of ",
                 std::to_string(v[0].size), " elements"});
  }
  return Value::list(v[0].list_items().subspan(static_cast<size_t>(start), static_cast<size_t>(end - start)));
}

// How many elements the flattened list has, counting stopped above the limit.
size_t flat_size(std::span<const Value> items, int64_t depth) {
  size_t size = 0;
  for (Value item : items) {
    size += item.is(Kind::kList) && depth > 0 ? flat_size(item.list_items(), depth - 1) : 1;
    if (size > kOutputItemsMax) return size;
  }
  return size;
}

Value* flatten_into(Value* out, std::span<const Value> items, int64_t depth) {
  for (Value item : items) {
    if (item.is(Kind::kList) && depth > 0) {
      out = flatten_into(out, item.list_items(), depth - 1);
    } else {
      *out++ = item;
    }
  }
  return out;
}

Value flatten_to(Call& call, Value list, int64_t depth) {
  if (depth < 0) return invalid(call, {"flatten() to a negative depth: ", std::to_string(depth)});
  size_t size = flat_size(list.list_items(), depth);
  if (size > kOutputItemsMax || !charge(call, size + list.size)) return error_limit();
  Value* items = call.arena.allocate_array<Value>(size);
  flatten_into(items, list.list_items(), depth);
  return Value::list({items, size});
}

Value flatten(Call& call, const Value* v) { return flatten_to(call, v[0], 1); }
Value flatten_depth(Call& call, const Value* v) { return flatten_to(call, v[0], v[1].i); }

// The elements of `items` in the ascending order of `keys`; equal keys keep their order.
Value sort_by_keys(Call& call, Value items, Value keys) {
  if (items.size != keys.size) return invalid(call, {"sorting needs one key for each element"});
  if (items.size == 0) return items;
  for (Value key : keys.list_items()) {
    if (key.kind != keys.items[0].kind) {
      return invalid(call, {"a list can be sorted by values of one type only, not by ", event::type_name(keys.items[0]),
                            " and ", event::type_name(key)});
    }
    if (event::compare(key, key) != 0) {
      return invalid(call, {event::debug_string(key, 60), " has no place in an order"});
    }
  }
  size_t depth = static_cast<size_t>(std::bit_width(items.size));
  if (!charge(call, items.size * depth)) return event::error_limit();
  uint32_t* order = call.arena.allocate_array<uint32_t>(items.size);
  for (uint32_t i = 0; i < items.size; ++i) order[i] = i;
  // Ties go by position: stable without the memory that std::stable_sort takes.
  std::sort(order, order + items.size, [&](uint32_t a, uint32_t b) {
    int c = event::compare(keys.items[a], keys.items[b]);
    return c != 0 ? c < 0 : a < b;
  });
  Value* sorted = call.arena.allocate_array<Value>(items.size);
  for (uint32_t i = 0; i < items.size; ++i) sorted[i] = items.items[order[i]];
  return Value::list({sorted, items.size});
}

Value sort(Call& call, const Value* v) { return sort_by_keys(call, v[0], v[0]); }
Value sort_by(Call& call, const Value* v) { return sort_by_keys(call, v[0], v[1]); }

Value range(Call& call, const Value* v) {
  size_t size = v[0].i < 0 ? 0 : static_cast<size_t>(v[0].i);
  if (size > kOutputItemsMax || !charge(call, size)) return error_limit();
  Value* items = call.arena.allocate_array<Value>(size);
  for (size_t i = 0; i < size; ++i) items[i] = Value::integer(static_cast<int64_t>(i));
  return Value::list({items, size});
}

Value reverse(Call& call, const Value* v) {
  if (!charge(call, v[0].size)) return error_limit();
  Value* items = call.arena.allocate_array<Value>(v[0].size);
  std::reverse_copy(v[0].items, v[0].items + v[0].size, items);
  return Value::list({items, v[0].size});
}

Value distinct(Call& call, const Value* v) {
  ElementSet set(call, v[0].size);
  for (Value item : v[0].list_items()) {
    if (!set.charge_one()) return error_limit();
    set.add(item);
  }
  return Value::list(set.values());
}

enum class Answer { kNo, kYes, kLimit };

// Whether all (or any) elements of `items` are in `of`.
Answer members(Call& call, Value of, Value items, bool all) {
  ElementSet set(call, of.size);
  for (Value item : of.list_items()) {
    if (!set.charge_one()) return Answer::kLimit;
    set.add(item);
  }
  for (Value item : items.list_items()) {
    if (!set.charge_one()) return Answer::kLimit;
    if (set.contains(item) != all) return all ? Answer::kNo : Answer::kYes;
  }
  return all ? Answer::kYes : Answer::kNo;
}

Value to_value(Answer answer) {
  return answer == Answer::kLimit ? error_limit() : Value::boolean(answer == Answer::kYes);
}

Value sets_contains(Call& call, const Value* v) { return to_value(members(call, v[0], v[1], true)); }
Value sets_intersects(Call& call, const Value* v) { return to_value(members(call, v[0], v[1], false)); }
Value sets_equivalent(Call& call, const Value* v) {
  Answer answer = members(call, v[0], v[1], true);
  return to_value(answer == Answer::kYes ? members(call, v[1], v[0], true) : answer);
}

std::vector<Overload> make_lists() {
  const Type i = Type::integer(), t = Type::param("T"), list = Type::list(t), dyns = Type::list(Type::dyn());
  const Type boolean = Type::boolean();
  Table table;
  table.member("list_slice", "slice", {list, i, i}, list, slice);
  table.member("list_flatten", "flatten", {Type::list(list)}, list, flatten);
  table.member("list_flatten_int", "flatten", {dyns, i}, dyns, flatten_depth);
  const std::pair<const char*, Type> comparable[] = {{"int", Type::integer()},       {"uint", Type::uinteger()},
                                                     {"double", Type::real()},       {"bool", boolean},
                                                     {"duration", Type::duration()}, {"timestamp", Type::timestamp()},
                                                     {"string", Type::string()},     {"bytes", Type::bytes()}};
  for (const auto& [name, type] : comparable) {
    table.member(std::string("list_") + name + "_sort", "sort", {Type::list(type)}, Type::list(type), sort);
  }
  for (const auto& [name, type] : comparable) {
    table.member(std::string("list_") + name + "_sortByAssociatedKeys", "@sortByAssociatedKeys",
                 {list, Type::list(type)}, list, sort_by);
  }
  table.global("lists_range", "lists.range", {i}, Type::list(i), range);
  table.member("list_reverse", "reverse", {list}, list, reverse);
  table.member("list_distinct", "distinct", {list}, list, distinct);
  table.global("list_sets_contains_list", "sets.contains", {list, list}, boolean, sets_contains);
  table.global("list_sets_equivalent_list", "sets.equivalent", {list, list}, boolean, sets_equivalent);
  table.global("list_sets_intersects_list", "sets.intersects", {list, list}, boolean, sets_intersects);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& list_library() {
  static const std::vector<Overload> table = lib::make_lists();
  return table;
}

}  // namespace tamis::cel
