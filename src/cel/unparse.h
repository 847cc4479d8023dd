// Expressions back to text, for explanations and for canonical keys of equal expressions.
#pragma once

#include <string>

#include "cel/ast.h"

namespace tamis::cel {

// The expression as CEL, with no more parentheses and blanks than it needs. parse() of the text gives the same tree,
// but that the operands of a chain of && or || may be grouped in another way.
std::string to_text(const Expr& expr);

}  // namespace tamis::cel
