// The rules benchmark for plan_bench.cc and columns_bench.cc: the folder named by TAMIS_RULES_BENCH holds
// events.ndjson, rules.cel.json and expected.json (as made by its generator). Without it those benchmarks are skipped.
#pragma once

#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cel/plan.h"

namespace tamis::cel::rules_bench {

struct Data {
  Env env{Dialect::kTamis};
  std::vector<std::string> fields;
  std::vector<Type> types;
  std::vector<std::string> rules;
  std::vector<uint64_t> expected;  // hits by rule
  base::Arena arena{1 << 20};
  std::vector<std::vector<Value>> events;  // by slot
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Value to_value(simdjson::dom::element json, base::Arena& arena) {
  if (json.is<bool>()) return Value::boolean(bool(json));
  if (json.is<int64_t>()) return Value::integer(int64_t(json));
  if (json.is<double>()) return Value::real(double(json));
  if (json.is<std::string_view>()) return Value::string(arena.copy(std::string_view(json)));
  simdjson::dom::array array = json;
  Value* items = arena.allocate_array<Value>(array.size());
  uint32_t count = 0;
  for (auto item : array) items[count++] = to_value(item, arena);
  return Value::list({items, count});
}

inline Type type_of(simdjson::dom::element json) {
  if (json.is<bool>()) return Type::boolean();
  if (json.is<int64_t>()) return Type::integer();
  if (json.is<double>()) return Type::real();
  if (json.is<std::string_view>()) return Type::string();
  return Type::list(Type::string());
}

// Null if the folder is not given. Loaded once.
inline Data* load() {
  static Data data;
  static bool loaded = [] {
    const char* folder = std::getenv("TAMIS_RULES_BENCH");
    if (folder == nullptr) return false;
    simdjson::dom::parser parser;
    std::string path = folder;
    std::istringstream lines(read_text(path + "/events.ndjson"));
    for (std::string line; std::getline(lines, line);) {
      simdjson::dom::object event = parser.parse(line);
      std::vector<Value> slots;
      for (auto [key, value] : event) {
        if (data.events.empty()) {
          data.fields.emplace_back(key);
          data.types.push_back(type_of(value));
        }
        Value v = to_value(value, data.arena);
        // The generator writes whole doubles without a fraction; the schema says double.
        if (v.is(event::Kind::kInt) && data.types[slots.size()] == Type::real()) v = Value::real(double(v.i));
        slots.push_back(v);
      }
      data.events.push_back(std::move(slots));
    }
    for (size_t i = 0; i < data.fields.size(); ++i) {
      Variable v;
      v.name = data.fields[i];
      v.type = data.types[i];
      v.slot = static_cast<int32_t>(i);
      data.env.add_variable(v);
    }
    std::string rules = read_text(path + "/rules.cel.json"), expected = read_text(path + "/expected.json");
    for (auto rule : simdjson::dom::array(parser.parse(rules))) {
      data.rules.emplace_back(std::string_view(rule["expr"]));
    }
    for (auto hits : simdjson::dom::array(parser.parse(expected)["hits"])) data.expected.push_back(uint64_t(hits));
    return true;
  }();
  return loaded ? &data : nullptr;
}

// All rules in one plan; aborts if one does not compile.
inline Plan make_plan(const Data& data, std::vector<NodeId>& roots) {
  PlanBuilder builder;
  for (const std::string& rule : data.rules) {
    Compiled compiled = compile(data.env, rule);
    TAMIS_ASSERT(compiled.ok());
    roots.push_back(builder.add(compiled));
  }
  return builder.build();
}

}  // namespace tamis::cel::rules_bench
