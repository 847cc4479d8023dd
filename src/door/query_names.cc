#include "door/query_names.h"

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "door/record_api.h"
#include "event/json_event.h"

namespace tamis::door {
namespace {

using event::Value;
using Names = std::vector<std::string>;

Value at(Value map, std::string_view key) {
  const Value* found = map.is(event::Kind::kMap) ? event::map_find(*map.map, Value::string(key)) : nullptr;
  return found == nullptr ? Value::absent() : *found;
}

std::string text(Value value) { return value.is(event::Kind::kString) ? std::string(value.str()) : std::string(); }

Names names_of(Value operation) {
  Names names;
  const Value parameters = at(operation, "parameters");
  if (parameters.is(event::Kind::kList)) {
    for (const Value& one : parameters.list_items()) {
      if (text(at(one, "in")) == "query") names.push_back(text(at(one, "name")));
    }
  }
  if (std::find(names.begin(), names.end(), "reason") == names.end()) names.emplace_back("reason");
  return names;
}

// By route, as HttpServer::routes() has them.
std::map<std::string, Names> documented() {
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = openapi_json().size() + 1;
  auto document = event::JsonReader::to_value(openapi_json(), arena, limits);
  TAMIS_ASSERT(document.has_value());
  std::map<std::string, Names> out;
  const Value paths = at(*document, "paths");
  TAMIS_ASSERT(paths.is(event::Kind::kMap));
  for (uint32_t i = 0; i < paths.map->size; ++i) {
    const event::MapEntry& path = paths.map->entries[i];
    for (uint32_t k = 0; k < path.value.map->size; ++k) {
      const event::MapEntry& operation = path.value.map->entries[k];
      std::string method(operation.key.str());
      for (char& c : method) c = static_cast<char>(c - 32);
      const std::string own = text(at(operation.value, "x-tamis-path"));
      out[method + " " + (own.empty() ? std::string(path.key.str()) : own)] = names_of(operation.value);
    }
  }
  return out;
}

}  // namespace

void name_queries(net::HttpServer& server) {
  const std::map<std::string, Names> known = documented();
  server.name_queries([&known](const std::string& route) -> std::optional<Names> {
    const std::string_view path = std::string_view(route).substr(route.find(' ') + 1);
    if (!path.starts_with("/v1/") || path.starts_with("/v1/challenges/challenge")) return std::nullopt;
    const auto found = known.find(route);
    TAMIS_ASSERT(found != known.end());  // openapi_test holds the two to each other
    return found->second;
  });
}

}  // namespace tamis::door
