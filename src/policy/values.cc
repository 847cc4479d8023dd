#include "policy/values.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <vector>

#include "base/text.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "policy/reader.h"

namespace tamis::policy {

namespace {

using event::Type;
using event::Value;

bool parse_unsigned(std::string_view text, uint64_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Value timestamp_ms(int64_t ms) {
  int64_t seconds = ms / 1000, rest = ms % 1000;
  if (rest < 0) --seconds, rest += 1000;
  return Value::timestamp(seconds, static_cast<uint32_t>(rest) * 1'000'000);
}

std::optional<Value> read_scalar(const Node& node, const Type& type, base::Arena& arena) {
  const std::string& text = node.text;
  int64_t i = 0;
  uint64_t u = 0;
  double d = 0;
  switch (type.kind) {
    case Type::Kind::kBool:
      if (node.is_plain() && (text == "true" || text == "false")) return Value::boolean(text == "true");
      break;
    case Type::Kind::kInt:
      if (node.is_plain() && parse_integer(text, i)) return Value::integer(i);
      break;
    case Type::Kind::kUint:
      if (node.is_plain() && parse_unsigned(text, u)) return Value::uinteger(u);
      break;
    case Type::Kind::kDouble:
      if (node.is_plain() && parse_number(text, d)) return Value::real(d);
      break;
    case Type::Kind::kString:
      return Value::string(arena.copy(text));
    case Type::Kind::kBytes:
      return Value::bytes(arena.copy(text));
    case Type::Kind::kTimestamp:
      if (auto ms = event::parse_time_ms(text, event::TimeFormat::kAuto)) return timestamp_ms(*ms);
      break;
    case Type::Kind::kDuration:
      if (auto ms = base::parse_duration_ms(text)) return Value::duration(*ms * 1'000'000);
      break;
    default:
      break;
  }
  return std::nullopt;
}

std::optional<Value> read_dyn(const Node& node, std::string_view what, base::Arena& arena, Diagnostics& diagnostics) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return Value::null();
    case Node::Kind::kSequence:
      return read_value(node, Type::list(Type::dyn()), what, arena, diagnostics);
    case Node::Kind::kMap:
      return read_value(node, Type::map(Type::string(), Type::dyn()), what, arena, diagnostics);
    case Node::Kind::kScalar:
      break;
  }
  for (const Type& type : {Type::boolean(), Type::integer(), Type::real()}) {
    if (auto value = read_scalar(node, type, arena)) return value;
  }
  return Value::string(arena.copy(node.text));
}

std::optional<Value> read_items(const Node& node, const Type& type, std::string_view what, base::Arena& arena,
                                Diagnostics& diagnostics) {
  Value* items = arena.allocate_array<Value>(node.items.size());
  for (size_t i = 0; i < node.items.size(); ++i) {
    auto item = read_value(node.items[i], type.params[0], what, arena, diagnostics);
    if (!item) return std::nullopt;
    items[i] = *item;
  }
  return Value::list({items, node.items.size()});
}

std::optional<Value> read_entries(const Node& node, const Type& type, std::string_view what, base::Arena& arena,
                                  Diagnostics& diagnostics) {
  event::MapEntry* entries = arena.allocate_array<event::MapEntry>(node.entries());
  for (size_t i = 0; i < node.entries(); ++i) {
    auto value = read_value(node.value(i), type.params[1], what, arena, diagnostics);
    if (!value) return std::nullopt;
    entries[i] = {Value::string(arena.copy(node.key(i).text)), *value};
  }
  return event::make_map(arena, {entries, node.entries()});
}

std::string_view example(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kTimestamp:
      return " like 2026-01-31T12:00:00Z";
    case Type::Kind::kDuration:
      return " like 90d or 1h30m";
    case Type::Kind::kBool:
      return ", true or false";
    default:
      return "";
  }
}

std::string with_n(const std::string& text, const JsonContext& context) {
  if (context.replace_n.empty()) return text;
  std::string out = text;
  for (size_t at = out.find("{n}"); at != std::string::npos; at = out.find("{n}", at + context.replace_n.size())) {
    out.replace(at, 3, context.replace_n);
  }
  return out;
}

bool is_text_type(const Type* type) {
  return type != nullptr && (type->kind == Type::Kind::kString || type->kind == Type::Kind::kBytes);
}

void append_scalar(std::string& out, const Node& node, const Type* type, const JsonContext& context) {
  std::string text = with_n(node.text, context);
  event::JsonWriter writer(out);
  int64_t i = 0;
  uint64_t u = 0;
  double d = 0;
  if (!node.is_plain() || is_text_type(type)) {
    writer.string(text);
  } else if (text == "true" || text == "false") {
    writer.boolean(text == "true");
  } else if (parse_integer(text, i)) {
    writer.integer(i);
  } else if (parse_unsigned(text, u)) {
    writer.uinteger(u);
  } else if (parse_number(text, d) && std::isfinite(d)) {
    writer.real(d);
  } else {
    writer.string(text);
  }
}

// The type of the field that stands at this path, or null; `path` is that of a part of an event.
const Type* type_at(const JsonContext& context, const std::vector<std::string>& path) {
  if (context.schema == nullptr) return nullptr;
  for (const event::Field& field : context.schema->fields) {
    if (field.path == path) return &field.type;
  }
  return nullptr;
}

void append_node(std::string& out, const Node& node, const Type* type, const JsonContext& context,
                 std::vector<std::string>* path) {
  const Type* inner = nullptr;
  switch (node.kind) {
    case Node::Kind::kNull:
      out += "null";
      break;
    case Node::Kind::kScalar:
      append_scalar(out, node, type, context);
      break;
    case Node::Kind::kSequence:
      if (type != nullptr && type->kind == Type::Kind::kList) inner = &type->params[0];
      out += '[';
      for (size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += ',';
        append_node(out, node.items[i], inner, context, nullptr);
      }
      out += ']';
      break;
    case Node::Kind::kMap:
      if (type != nullptr && type->kind == Type::Kind::kMap) inner = &type->params[1];
      out += '{';
      for (size_t i = 0; i < node.entries(); ++i) {
        if (i > 0) out += ',';
        event::append_json_string(out, node.key(i).text);
        out += ':';
        if (path != nullptr) path->push_back(node.key(i).text);
        const Type* at_path = path != nullptr ? type_at(context, *path) : nullptr;
        append_node(out, node.value(i), at_path != nullptr ? at_path : inner, context,
                    at_path == nullptr ? path : nullptr);
        if (path != nullptr) path->pop_back();
      }
      out += '}';
      break;
  }
}

}  // namespace

std::optional<Value> read_value(const Node& node, const Type& type, std::string_view what, base::Arena& arena,
                                Diagnostics& diagnostics) {
  if (type.is_dyn()) return read_dyn(node, what, arena, diagnostics);
  if (node.is_null()) return Value::absent();
  if (type.kind == Type::Kind::kWrapper || type.kind == Type::Kind::kOptional) {
    return read_value(node, type.params[0], what, arena, diagnostics);
  }
  if (node.is_sequence() && type.kind == Type::Kind::kList) return read_items(node, type, what, arena, diagnostics);
  if (node.is_map() && type.kind == Type::Kind::kMap) return read_entries(node, type, what, arena, diagnostics);
  if (node.is_scalar()) {
    if (auto value = read_scalar(node, type, arena)) return value;
    diagnostics.error(
        node, fmt::format("{} is {}{}, not {}", what, event::to_string(type), example(type), quoted(node.text)));
    return std::nullopt;
  }
  diagnostics.error(node,
                    fmt::format("{} is {}{}, not {}", what, event::to_string(type), example(type), kind_name(node)));
  return std::nullopt;
}

void append_yaml_as_json(std::string& out, const Node& node, const Type* type, const JsonContext& context) {
  std::vector<std::string> path;
  append_node(out, node, type, context, &path);
}

}  // namespace tamis::policy
