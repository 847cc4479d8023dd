// The front end against the cases of the specification's own suite, where TAMIS_SHARED names the folder that has them:
// every expression that should parse does, every deduced type is the expected one, and nothing that should evaluate is
// refused by the checker.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <filesystem>

#include "cel/ast.h"

namespace tamis::cel {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

std::string text(const object& o, const char* key) {
  std::string_view found;
  return o[key].get(found) == simdjson::SUCCESS ? std::string(found) : std::string();
}

bool flag(const object& o, const char* key) {
  bool found = false;
  return o[key].get(found) == simdjson::SUCCESS && found;
}

bool needs(const object& test, std::string_view what) {
  simdjson::dom::array all;
  if (test["needs"].get(all) != simdjson::SUCCESS) return false;
  for (element e : all) {
    if (std::string_view(e) == what) return true;
  }
  return false;
}

Overload read_overload(const std::string& function, const object& o) {
  Overload out;
  out.id = text(o, "id");
  out.function = function;
  out.member = flag(o, "member");
  for (element param : o["params"].get_array())
    out.params.push_back(event::parse_type(std::string_view(param)).value());
  out.result = event::parse_type(text(o, "result")).value();
  return out;
}

Env read_env(const object& test) {
  Env env(Dialect::kStrict);
  env.set_container(text(test, "container"));
  if (flag(test, "disable_macros")) env.enable_macros(false);
  simdjson::dom::array declared;
  if (test["type_env"].get(declared) != simdjson::SUCCESS) return env;
  int32_t slot = 0;
  for (object entry : declared) {
    std::string name = text(entry, "name");
    if (text(entry, "kind") == "ident") {
      env.add_variable({name, event::parse_type(text(entry, "type")).value(), slot++, {}});
    } else {
      for (object o : entry["overloads"].get_array()) env.add_overload(read_overload(name, o));
    }
  }
  return env;
}

// Empty if the front end treats the case as it should.
std::string run(const object& test) {
  Env env = read_env(test);
  object expect = test["expect"];
  bool wants_error = !expect["error"].is_null() && expect["error"].error() == simdjson::SUCCESS;
  Compiled compiled = compile(env, text(test, "expr"), !flag(test, "disable_check"));
  if (!compiled.ok()) return wants_error ? "" : compiled.issues[0].message;
  std::string type = text(expect, "type");
  if (!type.empty() && event::to_string(compiled.type()) != type) {
    return "expected type " + type + ", found " + event::to_string(compiled.type());
  }
  return {};
}

TEST(FrontConformance, TreatsEachCaseAsExpected) {
  const char* shared = std::getenv("TAMIS_SHARED");
  std::string path = std::string(shared == nullptr ? "" : shared) + "/data/cel/cel-conformance.json";
  if (shared == nullptr || !std::filesystem::exists(path))
    GTEST_SKIP() << "TAMIS_SHARED names no folder with the cases";
  simdjson::dom::parser parser;
  element root;
  ASSERT_EQ(parser.load(path).get(root), simdjson::SUCCESS);
  size_t run_count = 0;
  for (object test : root["tests"].get_array()) {
    if (needs(test, "wkt")) continue;
    ++run_count;
    std::string wrong = run(test);
    EXPECT_EQ(wrong, "") << text(test, "file") << "/" << text(test, "section") << "/" << text(test, "name") << ": "
                         << text(test, "expr");
  }
  EXPECT_GT(run_count, 1000u);
}

}  // namespace
}  // namespace tamis::cel
