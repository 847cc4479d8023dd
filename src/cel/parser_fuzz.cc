// Arbitrary bytes as an expression: parsing, resolving, checking and writing back never crash or hang, and what is
// written back parses to the same text.
#include <cstdint>
#include <cstdlib>

#include "cel/ast.h"
#include "cel/unparse.h"

namespace {

using tamis::cel::Env;
using tamis::cel::Overload;
using tamis::cel::Type;

Env make_env(tamis::cel::Dialect dialect) {
  Env env(dialect);
  env.set_container("a.b");
  int32_t slot = 0;
  for (auto [name, type] : {std::pair("i", "int"),
                            {"s", "string"},
                            {"l", "list(string)"},
                            {"m", "map(string, int)"},
                            {"x", "dyn"},
                            {"a.b.c", "string"},
                            {"o", "optional_type(list(int))"}}) {
    env.add_variable({name, *tamis::event::parse_type(type), slot++, {}});
  }
  Overload pair;
  pair.id = "pair";
  pair.function = "pair";
  pair.params = {Type::param("T"), Type::param("U")};
  pair.result = Type::opaque("pair", {Type::param("T"), Type::param("U")});
  env.add_overload(pair);
  return env;
}

void check_text(const tamis::cel::Env& env, const tamis::cel::Compiled& compiled) {
  if (compiled.ast.root == nullptr) return;
  std::string text = tamis::cel::to_text(*compiled.ast.root);
  tamis::cel::CompileLimits wide;
  wide.source_bytes_max = 1u << 20;
  auto again = tamis::cel::parse(env, text, wide);
  if (again.ast.root == nullptr || tamis::cel::to_text(*again.ast.root) != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const strict = new tamis::cel::Env(make_env(tamis::cel::Dialect::kStrict));
  static const auto* const ours = new tamis::cel::Env(make_env(tamis::cel::Dialect::kTamis));
  std::string_view source(reinterpret_cast<const char*>(data), size);
  check_text(*strict, tamis::cel::parse(*strict, source));
  (void)tamis::cel::compile(*strict, source, true);
  (void)tamis::cel::compile(*ours, source, true);
  auto unchecked = tamis::cel::compile(*ours, source, false);
  for (const auto* issues : {&unchecked.issues}) {
    for (const auto& issue : *issues) {
      if (issue.begin > issue.end || issue.end > size) std::abort();
    }
  }
  return 0;
}
