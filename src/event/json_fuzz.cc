// Any bytes as an event of a schema with every type of field, and as any JSON: nothing may crash, what is accepted must
// be what find_json_fault() accepts, and what is written back must read as the same value.
#include <cstdlib>

#include "base/assert.h"
#include "event/json_event.h"
#include "event/json_fault.h"
#include "event/json_writer.h"
#include "event/ndjson.h"

namespace tamis::event {
namespace {

EventSchema make_schema(bool strict) {
  EventSchema schema;
  schema.strict = strict;
  const auto add = [&](const char* name, Type type, Semantic semantic = Semantic::kNone) {
    schema.fields.emplace_back();
    schema.fields.back().name = name;
    schema.fields.back().type = std::move(type);
    schema.fields.back().semantic = semantic;
  };
  add("b", Type::boolean());
  add("i", Type::integer());
  add("u", Type::uinteger());
  add("d", Type::real());
  add("s", Type::string());
  add("p", Type::string(), Semantic::kIp);
  add("y", Type::bytes());
  add("t", Type::timestamp());
  add("n", Type::duration());
  add("l", Type::list(Type::integer()));
  add("m", Type::map(Type::string(), Type::list(Type::string())));
  add("x", Type::dyn());
  add("z", Type::string());
  schema.fields.back().path = {"o", "p", "z"};
  schema.fields[1].fallback = Value::integer(7);
  schema.seal();
  return schema;
}

void check_event(std::string_view text) {
  static const EventSchema schema = make_schema(false), strict = make_schema(true);
  static JsonReader reader;
  static base::Arena arena;
  static std::vector<Value> slots(schema.fields.size());
  arena.reset();
  if (!reader.parse(text)) return;
  Event event;
  event.slots = slots;
  const std::vector<std::string> path = {"o", "p"};
  reader.text_at(path, arena);
  event.schema = &strict;
  const bool is_strict = reader.read(event, arena).has_value();
  TAMIS_ASSERT(event.dropped.empty());
  event.schema = &schema;
  if (!reader.read(event, arena)) {
    TAMIS_ASSERT(!is_strict);
    return;
  }
  // What a strict schema takes loses nothing; what is dropped takes its default or is absent.
  TAMIS_ASSERT(!is_strict || event.dropped.empty());
  for (const DroppedField& dropped : event.dropped) {
    const auto index = static_cast<size_t>(dropped.field);
    TAMIS_ASSERT(index < slots.size() && !dropped.why.empty());
    TAMIS_ASSERT(index == 1 ? equal(slots[1], Value::integer(7)) : slots[index].is(Kind::kAbsent));
  }
  std::string out;
  JsonWriter writer(out);
  writer.begin_array();
  for (const Value slot : slots) writer.value(slot);
  writer.end_array();
  TAMIS_ASSERT(JsonReader::to_value(out, arena));
}

void check_value(std::string_view text) {
  static base::Arena arena;
  arena.reset();
  const JsonLimits limits;
  const auto value = JsonReader::to_value(text, arena, limits);
  const bool is_json = !find_json_fault(text, limits.depth_max).has_value();
  TAMIS_ASSERT(is_json || !value);
  if (!value) return;
  std::string out;
  JsonWriter(out).value(*value);
  const auto back = JsonReader::to_value(out, arena, limits);
  TAMIS_ASSERT(back && equal(*back, *value));
}

void check_lines(std::string_view text) {
  NdjsonSplitter splitter(16);
  std::string_view line;
  const size_t half = text.size() / 2;
  splitter.feed(text.substr(0, half));
  for (int feeds = 0;;) {
    const NdjsonSplitter::Step step = splitter.next(line);
    if (step == NdjsonSplitter::Step::kEnd) return;
    if (step == NdjsonSplitter::Step::kLine) TAMIS_ASSERT(!line.empty() && line.size() <= 16);
    if (step != NdjsonSplitter::Step::kMore) continue;
    feeds++ == 0 ? splitter.feed(text.substr(half)) : splitter.finish();
  }
}

}  // namespace
}  // namespace tamis::event

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tamis::event::check_event(text);
  tamis::event::check_value(text);
  tamis::event::check_lines(text);
  return 0;
}
