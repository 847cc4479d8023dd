// The lexer of CEL (cel-spec, "Syntax"): source text to tokens. It looks at bytes only; what a literal means is in
// literal.h. Private to the room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cel/ast.h"

namespace tamis::cel {

enum class Token : uint8_t {
  kEnd,
  kInt,     // 12, 0xff
  kUint,    // 12u
  kDouble,  // 1.5, 1e9, .5
  kString,  // with its prefix and quotes
  kBytes,   // likewise
  kIdent,   // also reserved words: the parser knows where they are allowed
  kQuoted,  // `content-type`, with the back-quotes
  kTrue,
  kFalse,
  kNull,
  kIn,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAnd,
  kOr,
  kLeftBracket,
  kRightBracket,
  kLeftBrace,
  kRightBrace,
  kLeftParen,
  kRightParen,
  kDot,
  kComma,
  kMinus,
  kNot,
  kQuestion,
  kColon,
  kPlus,
  kStar,
  kSlash,
  kPercent,
};

struct Lexeme {
  Token token = Token::kEnd;
  uint32_t begin = 0, end = 0;
};

// All tokens, the last being kEnd. On an error adds one issue and stops with kEnd there. The source must be shorter
// than 4 GiB. Gives up with an issue after `tokens_max` tokens.
std::vector<Lexeme> lex(std::string_view source, size_t tokens_max, std::vector<Issue>& issues);

// Words that cannot be used as names of variables or functions.
bool is_reserved(std::string_view word);
bool is_identifier(std::string_view text);

// How a token is named in messages: "`)`", "a string", "the end of the expression".
std::string describe(Token token);

}  // namespace tamis::cel
