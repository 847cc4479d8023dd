// Any text as every kind of field that attributes are derived from: nothing may crash, and what comes out is valid
// UTF-8 within bounds.
#include "base/assert.h"
#include "event/derive.h"
#include "event/domain.h"
#include "event/json_fault.h"

namespace tamis::event {
namespace {

void check(Semantic semantic, std::string_view text) {
  static base::Arena arena;
  arena.reset();
  EventSchema schema;
  schema.fields.emplace_back();
  schema.fields[0].semantic = semantic;
  std::vector<Value> slots = {Value::string(text)};
  for (const AttributeInfo& info : attributes_of(semantic)) {
    schema.derived.push_back({info.attribute, 0, static_cast<int32_t>(slots.size())});
    slots.push_back(Value::integer(1));
  }
  Event event;
  event.schema = &schema;
  event.slots = slots;
  derive(event, nullptr, arena);
  for (size_t i = 1; i < slots.size(); ++i) {
    if (!slots[i].is(Kind::kString)) continue;
    TAMIS_ASSERT(find_invalid_utf8(slots[i].str()) == std::string_view::npos);
    TAMIS_ASSERT(slots[i].size <= text.size() + 64);
  }
  // A domain in the one form stays as it is, and its parts are its ends.
  const std::string_view domain = normalise_domain(text, arena);
  TAMIS_ASSERT(domain.empty() || normalise_domain(domain, arena) == domain);
  TAMIS_ASSERT(domain.ends_with(registered_domain(domain)));
}

}  // namespace
}  // namespace tamis::event

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tamis::event::Semantic;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Text of a field is valid UTF-8 when it gets this far.
  if (tamis::event::find_invalid_utf8(text) != std::string_view::npos) return 0;
  for (const Semantic semantic :
       {Semantic::kIp, Semantic::kEmail, Semantic::kDomain, Semantic::kUrl, Semantic::kUserAgent}) {
    tamis::event::check(semantic, text);
  }
  return 0;
}
