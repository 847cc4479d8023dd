#include "app/json_view.h"

#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::app {

using event::Kind;
using event::Value;

base::Result<JsonView> JsonView::parse(std::string_view json) {
  auto arena = std::make_shared<base::Arena>();
  event::JsonLimits limits;
  limits.bytes_max = json.size() + 1;
  limits.list_items_max = SIZE_MAX;
  TAMIS_TRY(value, event::JsonReader::to_value(arena->copy(json), *arena, limits));
  return JsonView(std::move(arena), value);
}

JsonView JsonView::operator[](std::string_view key) const {
  const Value* found = value_.is(Kind::kMap) ? event::map_find(*value_.map, Value::string(key)) : nullptr;
  return JsonView(arena_, found == nullptr ? Value::absent() : *found);
}

std::span<const Value> JsonView::items() const {
  return value_.is(Kind::kList) ? value_.list_items() : std::span<const Value>();
}

bool JsonView::has() const { return !value_.is(Kind::kAbsent) && !value_.is(Kind::kNull); }

std::string JsonView::text(std::string_view otherwise) const {
  if (!has()) return std::string(otherwise);
  if (value_.is(Kind::kString)) return std::string(value_.str());
  std::string out;
  event::JsonWriter(out).value(value_);
  return out;
}

double JsonView::number() const {
  if (value_.is(Kind::kDouble)) return value_.d;
  if (value_.is(Kind::kUint)) return static_cast<double>(value_.u);
  return value_.is(Kind::kInt) ? static_cast<double>(value_.i) : 0;
}

uint64_t JsonView::count() const {
  if (value_.is(Kind::kUint)) return value_.u;
  return value_.is(Kind::kInt) && value_.i > 0 ? static_cast<uint64_t>(value_.i) : 0;
}

bool JsonView::truth() const { return value_.is(Kind::kBool) && value_.b; }

}  // namespace tamis::app
