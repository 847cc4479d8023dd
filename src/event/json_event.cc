#include "event/json_event.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "event/json_convert.h"
#include "event/json_fault.h"
#include "event/json_plan.h"
#include "event/time_text.h"

namespace tamis::event {
namespace {

using base::Code;
using base::Status;

// More plans than a policy has event types, twice over for the time of a reload.
constexpr size_t kPlansMax = 512;
constexpr size_t kCapacityMin = 4096;
constexpr std::string_view kLargeNumber = "-0.0";

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string joined(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& part : path) text += (text.empty() ? "" : ".") + part;
  return in_quotes(text);
}

// Where the sender has to look, if that is not the field's name.
std::string place_of(const Field& field) {
  const bool elsewhere = !field.path.empty() && (field.path.size() > 1 || field.path[0] != field.name);
  return elsewhere ? " (at " + joined(field.path) + ")" : "";
}

std::string_view name_of(JsonTape::Kind kind) {
  switch (kind) {
    case JsonTape::Kind::kArray:
      return "an array";
    case JsonTape::Kind::kObject:
      return "an object";
    case JsonTape::Kind::kString:
      return "a string";
    case JsonTape::Kind::kTrue:
    case JsonTape::Kind::kFalse:
      return "true or false";
    case JsonTape::Kind::kNull:
      return "null";
    default:
      return "a number";
  }
}

}  // namespace

struct JsonReader::Impl {
  explicit Impl(const JsonLimits& wanted) : limits(wanted), parser(std::max(wanted.bytes_max, kCapacityMin)) {
    // The parser addresses 32 bits and counts the items of a container in 24.
    limits.bytes_max = std::min(limits.bytes_max, size_t{1} << 31);
    limits.list_items_max = std::min(limits.list_items_max, size_t{0xFFFFFE});
    limits.depth_max = std::clamp(limits.depth_max, size_t{1}, size_t{256});  // reading recurses
  }

  Status parse(std::string_view json);
  bool parse_without_large(std::string_view json);
  bool holds_large(size_t at) const;
  Status explain(std::string_view json, simdjson::error_code error) const;
  bool reserve(size_t bytes);
  JsonPlan& plan_of(const EventSchema& schema);
  bool walk(JsonPlan& plan, JsonPlan::Node& node, size_t object, Event& event, JsonConverter& converter,
            base::Arena& arena);
  bool take(const JsonPlan::Target& target, size_t from, Event& event, JsonConverter& converter, base::Arena& arena);
  bool complete(const JsonPlan& plan, Event& event);
  bool miss(const JsonPlan::Target& target, const EventSchema& schema, JsonConverter& converter, base::Arena& arena);
  bool fail_target(const JsonPlan::Target& target, const EventSchema& schema, const JsonConverter& converter);
  void drop(int32_t field, std::string_view why, base::Arena& arena) { dropped.push_back({field, arena.copy(why)}); }
  bool pass_large(const JsonPlan& plan, const JsonPlan::Key& key, std::string_view name, base::Arena& arena);
  bool pass_flat(const JsonPlan& plan, const JsonPlan::Key& key, size_t at, JsonConverter& converter,
                 base::Arena& arena);

  struct KnownPlan {
    uint64_t fingerprint;
    std::unique_ptr<JsonPlan> plan;
  };

  JsonLimits limits;
  simdjson::dom::parser parser;
  std::unique_ptr<char[]> padded;
  size_t capacity = 0;
  JsonTape tape;
  bool has_document = false;
  bool has_large = false;  // numbers beyond all ranges, for which kLargeNumber stands
  std::vector<KnownPlan> plans;
  uint64_t event_number = 0;
  size_t unknown_fields = 0;
  std::vector<DroppedField> dropped;
  std::vector<int32_t> below;  // room for pass_flat()
  std::string error;
};

JsonReader::JsonReader(JsonLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
JsonReader::~JsonReader() = default;
JsonReader::JsonReader(JsonReader&&) noexcept = default;
JsonReader& JsonReader::operator=(JsonReader&&) noexcept = default;

size_t JsonReader::unknown_fields() const { return impl_->unknown_fields; }

// Grows buffer, parser and document together, in powers of two, so that a stream of slowly growing events settles.
bool JsonReader::Impl::reserve(size_t bytes) {
  if (bytes <= capacity) return true;
  capacity = 0;
  const size_t wanted = std::bit_ceil(std::max(bytes, kCapacityMin));
  if (parser.allocate(wanted, limits.depth_max + 1) != simdjson::SUCCESS) return false;
  if (parser.doc.allocate(wanted) != simdjson::SUCCESS) return false;
  padded = std::make_unique<char[]>(wanted + simdjson::SIMDJSON_PADDING);
  capacity = wanted;
  return true;
}

Status JsonReader::Impl::parse(std::string_view json) {
  has_document = false;
  if (json.size() > limits.bytes_max) {
    return base::fail(Code::kLimit, "the JSON text has " + std::to_string(json.size()) +
                                        " bytes, more than the limit of " + std::to_string(limits.bytes_max));
  }
  if (!reserve(json.size() + 1)) return base::fail(Code::kUnavailable, "no memory to parse JSON");
  if (!json.empty()) std::memcpy(padded.get(), json.data(), json.size());
  std::memset(padded.get() + json.size(), ' ', simdjson::SIMDJSON_PADDING);
  const simdjson::error_code code = parser.parse(padded.get(), json.size(), false).error();
  if (code != simdjson::SUCCESS) [[unlikely]]
    return explain(json, code);
  tape = JsonTape(parser.doc.tape.get(), parser.doc.string_buf.get());
  has_document = true;
  return {};
}

Status JsonReader::Impl::explain(std::string_view json, simdjson::error_code code) const {
  if (code == simdjson::MEMALLOC) return base::fail(Code::kUnavailable, "no memory to parse JSON");
  const std::optional<JsonFault> fault = find_json_fault(json, limits.depth_max);
  if (!fault) return base::invalid(std::string("not valid JSON: ") + simdjson::error_message(code));
  std::string message = "not valid JSON at byte " + std::to_string(fault->offset) + ": " + fault->what;
  const bool is_limit = code == simdjson::DEPTH_ERROR;
  if (is_limit) message += ", the limit is " + std::to_string(limits.depth_max);
  return base::fail(is_limit ? Code::kLimit : Code::kInvalid, std::move(message));
}

// A number beyond all ranges is no reason to refuse an event that nobody reads it of. Slow: such events are rare.
bool JsonReader::Impl::parse_without_large(std::string_view json) {
  std::vector<JsonPiece> large;
  if (json.size() > limits.bytes_max || find_json_fault(json, limits.depth_max, &large) || large.empty()) return false;
  std::string text(json);
  for (const JsonPiece& piece : large) {
    // The shortest is 1e309.
    text.replace(piece.begin, piece.end - piece.begin, piece.end - piece.begin, ' ');
    text.replace(piece.begin, kLargeNumber.size(), kLargeNumber);
  }
  if (!parse(text)) return false;
  has_large = true;
  return true;
}

// Whether such a number may be in the value: a real -0.0 looks the same.
bool JsonReader::Impl::holds_large(size_t at) const {
  switch (tape.kind(at)) {
    case JsonTape::Kind::kDouble:
      return tape.real(at) == 0 && std::signbit(tape.real(at));
    case JsonTape::Kind::kObject:
      for (size_t i = tape.first(at); i != tape.end(at); i = tape.next(i + 1)) {
        if (holds_large(i + 1)) return true;
      }
      return false;
    case JsonTape::Kind::kArray:
      for (size_t i = tape.first(at); i != tape.end(at); i = tape.next(i)) {
        if (holds_large(i)) return true;
      }
      return false;
    default:
      return false;
  }
}

Status JsonReader::parse(std::string_view json) {
  impl_->has_large = false;
  Status status = impl_->parse(json);
  if (!status && !impl_->parse_without_large(json)) return status;
  const JsonTape::Kind kind = impl_->tape.kind(JsonTape::kRoot);
  if (kind != JsonTape::Kind::kObject) {
    impl_->has_document = false;
    return base::invalid("expected a JSON object, found " + std::string(name_of(kind)));
  }
  return {};
}

std::string_view JsonReader::text_at(std::span<const std::string> path, base::Arena& arena) {
  if (!impl_->has_document || path.empty()) return {};
  const JsonTape& tape = impl_->tape;
  size_t at = JsonTape::kRoot;
  for (const std::string& key : path) {
    if (tape.kind(at) != JsonTape::Kind::kObject) return {};
    const size_t end = tape.end(at);
    at = tape.first(at);
    while (at != end && tape.text(at) != key) at = tape.next(at + 1);
    if (at == end) return {};
    ++at;
  }
  std::string_view text;
  JsonConverter converter(tape, arena, impl_->limits, false);
  return converter.to_id(at, text) ? text : std::string_view{};
}

JsonPlan& JsonReader::Impl::plan_of(const EventSchema& schema) {
  const uint64_t fingerprint = schema.fingerprint != 0 ? schema.fingerprint : plan_fingerprint(schema);
  for (KnownPlan& known : plans) {
    if (known.fingerprint == fingerprint) return *known.plan;
  }
  if (plans.size() >= kPlansMax) plans.clear();
  plans.push_back({fingerprint, std::make_unique<JsonPlan>(schema)});
  return *plans.back().plan;
}

Status JsonReader::read(Event& event, base::Arena& arena) {
  TAMIS_ASSERT(event.schema != nullptr && event.slots.size() >= event.schema->fields.size());
  Impl& impl = *impl_;
  if (!impl.has_document) return base::invalid("there is no parsed JSON to read from");
  std::fill_n(event.slots.begin(), event.schema->fields.size(), Value::absent());
  event.id = {};
  event.time_ms = 0;
  event.has_time = false;
  event.dropped = {};
  impl.unknown_fields = 0;
  impl.dropped.clear();
  JsonPlan& plan = impl.plan_of(*event.schema);
  impl.event_number = plan.next_event();
  JsonConverter converter(impl.tape, arena, impl.limits, false, event.schema->strict);
  const bool done =
      impl.walk(plan, plan.root(), JsonTape::kRoot, event, converter, arena) && impl.complete(plan, event);
  if (!done) [[unlikely]]
    return base::invalid(std::move(impl.error));
  event.dropped = impl.dropped;
  return {};
}

// A number beyond all ranges stands at the key, and somebody reads it.
bool JsonReader::Impl::pass_large(const JsonPlan& plan, const JsonPlan::Key& key, std::string_view name,
                                  base::Arena& arena) {
  if (key.must) {
    error = "the key " + in_quotes(name) + ": a number is out of range";
    return false;
  }
  for (uint32_t i = key.target_begin; i < key.target_end; ++i) {
    drop(plan.targets()[i].field, "a number is out of range", arena);
  }
  return true;
}

// Fields are expected below the key, and there is no object.
bool JsonReader::Impl::pass_flat(const JsonPlan& plan, const JsonPlan::Key& key, size_t at, JsonConverter& converter,
                                 base::Arena& arena) {
  converter.refuse(at, "map");
  if (key.must_below) {
    error =
        "key " + in_quotes({key.name, key.name_bytes}) + ": " + converter.why() + ", but fields are expected below it";
    return false;
  }
  below.clear();
  plan.visit_fields_below(key, below);
  for (const int32_t field : below) drop(field, converter.why_by_kind() + " above it", arena);
  converter.forget_fault();
  return true;
}

bool JsonReader::Impl::walk(JsonPlan& plan, JsonPlan::Node& node, size_t object, Event& event, JsonConverter& converter,
                            base::Arena& arena) {
  const JsonTape document = tape;  // a local copy stays in registers
  int32_t* guess = &node.first;
  const size_t end = document.end(object);
  for (size_t at = document.first(object); at != end; at = document.next(at)) {
    const std::string_view name = document.text(at++);
    JsonPlan::Key* key = plan.find(node, *guess, name);
    if (key == nullptr) {
      ++unknown_fields;
      continue;
    }
    guess = &key->next;
    if (key->seen == event_number) [[unlikely]] {
      error = "the key " + in_quotes(name) + " occurs twice";
      return false;
    }
    key->seen = event_number;
    if (document.kind(at) == JsonTape::Kind::kNull) continue;
    if (has_large && key->target_begin < key->target_end && holds_large(at)) [[unlikely]] {
      if (!pass_large(plan, *key, name, arena)) return false;
    } else {
      for (uint32_t i = key->target_begin; i < key->target_end; ++i) {
        if (!take(plan.targets()[i], at, event, converter, arena)) return false;
      }
    }
    if (key->child < 0) continue;
    if (document.kind(at) != JsonTape::Kind::kObject) [[unlikely]] {
      if (!pass_flat(plan, *key, at, converter, arena)) return false;
      continue;
    }
    if (!walk(plan, plan.node(key->child), at, event, converter, arena)) return false;
  }
  return true;
}

bool JsonReader::Impl::take(const JsonPlan::Target& target, size_t from, Event& event, JsonConverter& converter,
                            base::Arena& arena) {
  if (target.role == JsonPlan::Role::kField) {
    const auto index = static_cast<size_t>(target.field);
    Value& slot = event.slots[index];
    // The common cases need neither a call nor a look at the schema. They write the members of the slot in place:
    // a Value made elsewhere and copied is read back in one piece right after it was written in several, which stalls
    // the processor for longer than all the rest takes.
    const JsonTape::Kind found = tape.kind(from);
    if (found == JsonTape::Kind::kString && target.kind == Type::Kind::kString && target.semantic != Semantic::kIp &&
        target.semantic != Semantic::kDomain) {
      const std::string_view text = tape.text(from);
      slot.kind = Kind::kString;
      slot.size = static_cast<uint32_t>(text.size());
      slot.text = text.data();
      return true;
    }
    if (found == JsonTape::Kind::kInt && target.kind == Type::Kind::kInt) {
      slot.kind = Kind::kInt;
      slot.i = tape.integer(from);
      return true;
    }
    if (found == JsonTape::Kind::kDouble && target.kind == Type::Kind::kDouble) {
      slot.kind = Kind::kDouble;
      slot.d = tape.real(from);
      return true;
    }
    if (converter.convert(from, event.schema->fields[index].type, target.semantic, slot)) return true;
    slot = Value::absent();
  } else if (target.role == JsonPlan::Role::kId) {
    if (converter.to_id(from, event.id)) return true;
  } else {
    int64_t seconds = 0;
    uint32_t nanos = 0;
    if (converter.to_instant(from, event.schema->time_format, seconds, nanos)) {
      event.time_ms = seconds * 1000 + nanos / 1'000'000;
      event.has_time = true;
      return true;
    }
  }
  return miss(target, *event.schema, converter, arena);
}

// What cannot be read is as if it had not been sent, or refuses the event.
bool JsonReader::Impl::miss(const JsonPlan::Target& target, const EventSchema& schema, JsonConverter& converter,
                            base::Arena& arena) {
  if (target.must) return fail_target(target, schema, converter);
  drop(target.field, converter.why_by_kind(), arena);
  converter.forget_fault();
  return true;
}

bool JsonReader::Impl::fail_target(const JsonPlan::Target& target, const EventSchema& schema,
                                   const JsonConverter& converter) {
  if (target.role == JsonPlan::Role::kField) {
    const Field& field = schema.fields[static_cast<size_t>(target.field)];
    error = "field " + in_quotes(field.name) + converter.where() + place_of(field);
  } else {
    const bool is_id = target.role == JsonPlan::Role::kId;
    error = (is_id ? "the id at " : "the time at ") + joined(is_id ? schema.id_path : schema.time_path);
  }
  error += ": " + converter.why();
  return false;
}

// Defaults, then what is required.
bool JsonReader::Impl::complete(const JsonPlan& plan, Event& event) {
  for (const int32_t index : plan.to_complete()) {
    Value& slot = event.slots[static_cast<size_t>(index)];
    if (!slot.is(Kind::kAbsent)) continue;
    const Field& field = event.schema->fields[static_cast<size_t>(index)];
    if (field.fallback) {
      slot = *field.fallback;
    } else if (field.required) {
      error = "field " + in_quotes(field.name) + place_of(field) + " is required, and missing";
      return false;
    }
  }
  return true;
}

base::Result<Value> JsonReader::to_value(std::string_view json, base::Arena& arena, const JsonLimits& limits) {
  Impl impl(limits);
  TAMIS_CHECK(impl.parse(json));
  JsonConverter converter(impl.tape, arena, impl.limits, true);
  Value value;
  if (converter.to_any(JsonTape::kRoot, value)) return value;
  const std::string at = converter.where().empty() ? "" : "at " + converter.where() + ": ";
  return base::invalid(at + converter.why());
}

base::Result<int64_t> parse_time_ms(std::string_view text, TimeFormat format) {
  int64_t seconds = 0;
  uint32_t nanos = 0;
  bool done = false;
  if (format == TimeFormat::kAuto || format == TimeFormat::kRfc3339) done = parse_timestamp(text, seconds, nanos);
  if (!done) {
    int64_t whole = 0;
    double real = 0;
    const char* end = text.data() + text.size();
    if (const auto read = std::from_chars(text.data(), end, whole); read.ec == std::errc{} && read.ptr == end) {
      done = instant_of(whole, format, seconds, nanos);
    } else if (const auto other = std::from_chars(text.data(), end, real);
               other.ec == std::errc{} && other.ptr == end) {
      done = instant_of(real, format, seconds, nanos);
    }
  }
  if (done) return seconds * 1000 + nanos / 1'000'000;
  return base::invalid("expected a time as RFC 3339 or as a number since the epoch, found " +
                       in_quotes(text.substr(0, 60)));
}

std::string format_time_ms(int64_t time_ms) {
  int64_t seconds = time_ms / 1000;
  int64_t rest = time_ms % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  seconds = std::clamp(seconds, kTimestampSecondsMin, kTimestampSecondsMax);
  // The text without fraction ends in "Z", which gives way to the milliseconds.
  char buffer[kTimeTextBytesMax];
  std::string text(format_timestamp(seconds, 0, buffer));
  text.back() = '.';
  for (const int64_t divisor : {100, 10, 1}) text += static_cast<char>('0' + rest / divisor % 10);
  return text + "Z";
}

}  // namespace tamis::event
