// A tree as an S-expression, for tests: shows exactly how it is grouped, which to_text() hides.
#pragma once

#include <string>

#include "cel/ast.h"
#include "cel/macros.h"
#include "cel/unparse.h"

namespace tamis::cel {

inline std::string tree_text(const Expr& e) {
  std::string out;
  auto args = [&](size_t width = 1) {
    for (size_t i = 0; i < e.args.size(); ++i) {
      bool optional = i % width == 0 && i / width < e.optional_entries.size() && e.optional_entries[i / width];
      out += (optional ? " ?" : " ") + tree_text(*e.args[i]);
    }
    out += ")";
  };
  switch (e.kind) {
    case ExprKind::kConst:
      return to_text(e);
    case ExprKind::kIdent:
      return (e.test_only ? "has:" : "") + std::string(e.absolute ? "." : "") + e.name;
    case ExprKind::kSelect:
      out = std::string("(") + (e.test_only ? "has" : e.optional ? ".?" : ".") + "`" + e.name + "`";
      break;
    case ExprKind::kCall:
      out = std::string("(") + (e.member ? "m:" : "") + (e.absolute ? "." : "") + e.name;
      break;
    case ExprKind::kList:
      out = "(list";
      break;
    case ExprKind::kMap:
      out = "(map";
      args(2);
      return out;
    case ExprKind::kStruct:
      out = "(struct " + std::string(e.absolute ? "." : "") + e.name;
      for (const std::string& field : e.field_names) out += " " + field;
      break;
    case ExprKind::kMacro:
      out = "(#" + std::string(macro_name(e.macro, !e.var2.empty())) + " " + e.var1 +
            (e.var2.empty() ? "" : " " + e.var2);
      break;
  }
  args();
  return out;
}

}  // namespace tamis::cel
