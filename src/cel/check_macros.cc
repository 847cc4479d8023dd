// Macros in the checker. Each is checked as the expansion that cel-spec gives for it would be.
#include "cel/checker.h"
#include "cel/macros.h"

namespace tamis::cel {
namespace {

using Kind = Type::Kind;

bool can_be_ordered(const Type& type) {
  switch (type.kind) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kTimestamp:
    case Kind::kDuration:
    case Kind::kParam:
      return true;
    case Kind::kWrapper:
      return can_be_ordered(type.params[0]);
    default:
      return type.is_dyn();
  }
}

}  // namespace

void Checker::visit_macro(Expr& e) {
  switch (e.macro) {
    case Macro::kBind:
      return visit_bind(e);
    case Macro::kOptMap:
    case Macro::kOptFlatMap:
      return visit_optional_macro(e);
    default:
      return visit_comprehension(e);
  }
}

// Visits all arguments but the first, in the scope of the variables added last; then leaves that scope.
void Checker::visit_scoped(Expr& e, size_t locals) {
  for (size_t i = 1; i < e.args.size(); ++i) visit(*e.args[i]);
  locals_.resize(locals_.size() - locals);
}

void Checker::visit_bind(Expr& e) {
  visit(*e.args[0]);
  locals_.push_back({e.var1, e.args[0]->type});
  visit_scoped(e, 1);
  set_type(e, e.args[1]->type);
}

void Checker::visit_optional_macro(Expr& e) {
  visit(*e.args[0]);
  Type value = Type::dyn();
  if (check_) {
    Type target = known(e.args[0]->type);
    if (target.kind == Kind::kOptional) {
      value = target.params[0];
    } else if (!target.is_dyn()) {
      Type inner = unifier_.fresh();
      if (unifier_.assign(target, Type::optional(inner))) {
        value = inner;
      } else {
        issue(*e.args[0],
              "`" + std::string(macro_name(e.macro, false)) + "` is called on an optional, found " + show(target));
        value = Type::error();
      }
    }
  }
  locals_.push_back({e.var1, value});
  visit_scoped(e, 1);
  const Expr& body = *e.args[1];
  if (e.macro == Macro::kOptMap) return set_type(e, Type::optional(body.type));
  Type flat = Type::optional(check_ ? unifier_.fresh() : Type::dyn());
  if (check_ && !unifier_.assign(body.type, flat)) {
    issue(body, "the expression of `optFlatMap` must be an optional, found " + show(body.type));
    return set_type(e, Type::error());
  }
  set_type(e, body.type);
}

// The types of the variables of a comprehension: elements of a list, keys of a map; index and element, key and value.
void Checker::range_types(const Expr& e, Type& first, Type& second) {
  const Expr& range = *e.args[0];
  Type type = known(range.type);
  bool two = !e.var2.empty();
  first = second = Type::dyn();
  if (type.kind == Kind::kList) {
    first = two ? Type::integer() : type.params[0];
    second = type.params[0];
  } else if (type.kind == Kind::kMap && e.macro != Macro::kSortBy) {
    first = type.params[0];
    second = type.params[1];
  } else if (type.kind == Kind::kParam) {
    unifier_.assign(Type::dyn(), type);
  } else if (!type.is_dyn()) {
    std::string name(macro_name(e.macro, two));
    issue(range,
          "`" + name + "` goes over a list" + (e.macro == Macro::kSortBy ? "" : " or a map") + ", found " + show(type));
    first = second = Type::error();
  }
}

void Checker::visit_comprehension(Expr& e) {
  visit(*e.args[0]);
  Type first = Type::dyn(), second = Type::dyn();
  if (check_) range_types(e, first, second);
  Type element = first;
  locals_.push_back({e.var1, std::move(first)});
  bool two = !e.var2.empty();
  if (two) locals_.push_back({e.var2, std::move(second)});
  visit_scoped(e, two ? 2 : 1);
  set_type(e, check_ ? comprehension_type(e, element) : Type::dyn());
}

Type Checker::comprehension_type(const Expr& e, const Type& element) {
  const Expr& last = *e.args.back();
  bool is_test = e.macro == Macro::kAll || e.macro == Macro::kExists || e.macro == Macro::kExistsOne;
  if (is_test || e.macro == Macro::kFilter || e.args.size() == 3) expect_bool(*e.args[1]);
  switch (e.macro) {
    case Macro::kFilter:
      return Type::list(element);
    case Macro::kMap:
    case Macro::kMapFilter:
    case Macro::kTransformList:
      return Type::list(last.type);
    case Macro::kTransformMap:
      return Type::map(element, last.type);
    case Macro::kTransformMapEntry: {
      Type map = Type::map(unifier_.fresh(), unifier_.fresh());
      if (unifier_.assign(last.type, map)) return known(last.type).is_dyn() ? map : last.type;
      issue(last, "the expression of `transformMapEntry` must be a map, found " + show(last.type));
      return Type::error();
    }
    case Macro::kSortBy: {
      Type key = known(last.type);
      if (!can_be_ordered(key)) issue(last, "`sortBy` needs a key that has an order, found " + show(key));
      return e.args[0]->type;
    }
    default:
      return Type::boolean();
  }
}

}  // namespace tamis::cel
