// Macros (cel-spec, "Macros", and the macros of the extension libraries): the parser hands each call here, and what is
// a macro becomes one node. Nothing is expanded, so nesting costs no more than it is long. Private to the room.
#pragma once

#include "cel/ast.h"

namespace tamis::cel {

// `call` is a kCall as written. Turns it into a kMacro, or into the tested selection of has(), if it is one. Wrong
// arguments of a macro become issues; the node is then of no further use. Returns by how much the tree may have become
// deeper.
//
// Where the dialect is strict, the block extension is known too: cel.block([a, b], e) is a chain of cel.bind, whose
// variables are written cel.index(0), cel.index(1); cel.iterVar(0, 0) names a variable of a comprehension.
uint32_t recognise_macro(const Env& env, ExprPtr& call, std::vector<Issue>& issues);

// The name that a macro is written with: "all", "existsOne", "cel.bind". exists_one is written so for one variable.
std::string_view macro_name(Macro macro, bool two_variables);

// How a variable is written: itself, or cel.index(0) for one that the block extension made.
std::string variable_text(std::string_view name);

}  // namespace tamis::cel
