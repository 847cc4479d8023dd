#include "cel/lexer.h"

#include <algorithm>
#include <array>

#include "cel/literal.h"
#include "cel/utf8.h"

namespace tamis::cel {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_quoted_part(char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '/' || c == ' '; }

constexpr std::array<std::string_view, 17> kReserved = {"as",        "break",  "const",  "continue", "else", "for",
                                                        "function",  "if",     "import", "let",      "loop", "package",
                                                        "namespace", "return", "var",    "void",     "while"};

struct Operator {
  std::string_view text;
  Token token;
};
// Longer ones first.
constexpr std::array<Operator, 22> kOperators = {{
    {"==", Token::kEqual},      {"!=", Token::kNotEqual},    {"<=", Token::kLessEqual}, {">=", Token::kGreaterEqual},
    {"&&", Token::kAnd},        {"||", Token::kOr},          {"<", Token::kLess},       {">", Token::kGreater},
    {"[", Token::kLeftBracket}, {"]", Token::kRightBracket}, {"{", Token::kLeftBrace},  {"}", Token::kRightBrace},
    {"(", Token::kLeftParen},   {")", Token::kRightParen},   {".", Token::kDot},        {",", Token::kComma},
    {"-", Token::kMinus},       {"!", Token::kNot},          {"?", Token::kQuestion},   {":", Token::kColon},
    {"+", Token::kPlus},        {"*", Token::kStar},
}};

class Lexer {
 public:
  Lexer(std::string_view source, std::vector<Issue>& issues) : source_(source), issues_(issues) {}

  std::vector<Lexeme> run(size_t tokens_max) {
    std::vector<Lexeme> out;
    while (true) {
      skip_space();
      Lexeme next;
      next.begin = next.end = at_;
      if (at_ < source_.size()) {
        if (out.size() >= tokens_max) {
          fail(at_, at_, "the expression is too long: more than " + std::to_string(tokens_max) + " tokens");
        } else {
          next.token = scan();
          next.end = at_;
        }
      }
      if (failed_) next = {Token::kEnd, next.begin, next.begin};
      out.push_back(next);
      if (next.token == Token::kEnd) return out;
    }
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  void fail(size_t begin, size_t end, std::string message, std::string hint = {}) {
    failed_ = true;
    issues_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), std::move(message), std::move(hint)});
  }

  void skip_space() {
    while (at_ < source_.size()) {
      char c = source_[at_];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
        ++at_;
      } else if (c == '/' && peek(1) == '/') {
        size_t newline = source_.find('\n', at_);
        at_ = static_cast<uint32_t>(newline == std::string_view::npos ? source_.size() : newline);
      } else {
        return;
      }
    }
  }

  Token scan() {
    char c = peek();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    if (c == '"' || c == '\'') return text(Token::kString, false);
    if (is_letter(c)) {
      size_t quote = prefix_length();
      if (quote > 0) {
        std::string_view prefix = source_.substr(at_, quote);
        bool raw = prefix.find_first_of("rR") != std::string_view::npos;
        bool bytes = prefix.find_first_of("bB") != std::string_view::npos;
        at_ += static_cast<uint32_t>(quote);
        return text(bytes ? Token::kBytes : Token::kString, raw);
      }
      return word();
    }
    if (c == '`') return quoted();
    if (c == '/') return ++at_, Token::kSlash;
    if (c == '%') return ++at_, Token::kPercent;
    for (const Operator& op : kOperators) {
      if (source_.substr(at_, op.text.size()) == op.text) {
        at_ += static_cast<uint32_t>(op.text.size());
        return op.token;
      }
    }
    return unknown();
  }

  // Length of a prefix such as r, b, bR that stands before a quote; 0 if there is none.
  size_t prefix_length() const {
    size_t n = 0;
    if (peek(n) == 'b' || peek(n) == 'B') ++n;
    if (peek(n) == 'r' || peek(n) == 'R') ++n;
    return n > 0 && (peek(n) == '"' || peek(n) == '\'') ? n : 0;
  }

  Token number() {
    if (peek() == '0' && peek(1) == 'x' && is_hex(peek(2))) {
      at_ += 2;
      while (is_hex(peek())) ++at_;
      return unsigned_suffix() ? Token::kUint : Token::kInt;
    }
    while (is_digit(peek())) ++at_;
    bool real = false;
    if (peek() == '.' && is_digit(peek(1))) {
      real = true;
      ++at_;
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      size_t digits = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
      if (is_digit(peek(digits))) {
        real = true;
        at_ += static_cast<uint32_t>(digits);
        while (is_digit(peek())) ++at_;
      }
    }
    if (real) return Token::kDouble;
    return unsigned_suffix() ? Token::kUint : Token::kInt;
  }

  bool unsigned_suffix() {
    if (peek() != 'u' && peek() != 'U') return false;
    ++at_;
    return true;
  }

  Token text(Token token, bool raw) {
    size_t begin = at_;
    char quote = peek();
    bool triple = peek(1) == quote && peek(2) == quote;
    at_ += triple ? 3 : 1;
    while (at_ < source_.size()) {
      char c = source_[at_];
      if (c == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
        at_ += triple ? 3 : 1;
        return token;
      }
      if (!triple && (c == '\n' || c == '\r')) break;
      bool escaped = c == '\\' && !raw && at_ + 1 < source_.size() && peek(1) != '\n' && peek(1) != '\r';
      at_ += escaped ? 2 : 1;
    }
    std::string closing(triple ? 3 : 1, quote);
    fail(begin, std::min<size_t>(at_, source_.size()), "this text has no end: expected a closing " + closing,
         triple ? "" : "a text over several lines stands between three quotes");
    return Token::kEnd;
  }

  Token word() {
    uint32_t begin = at_;
    while (is_letter(peek()) || is_digit(peek())) ++at_;
    std::string_view found = source_.substr(begin, at_ - begin);
    if (found == "true") return Token::kTrue;
    if (found == "false") return Token::kFalse;
    if (found == "null") return Token::kNull;
    if (found == "in") return Token::kIn;
    return Token::kIdent;
  }

  Token quoted() {
    uint32_t begin = at_++;
    while (is_quoted_part(peek())) ++at_;
    if (peek() == '`' && at_ > begin + 1) {
      ++at_;
      return Token::kQuoted;
    }
    fail(begin, at_ + 1 <= source_.size() ? at_ + 1 : at_,
         "a field in back-quotes consists of letters, digits and _ . - / and spaces, and ends with a back-quote");
    return Token::kEnd;
  }

  Token unknown() {
    char c = peek();
    size_t length = code_point_bytes(source_, at_);
    std::string shown(source_.substr(at_, length));
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) shown = "\\x" + hex_byte(static_cast<unsigned char>(c));
    std::string hint;
    if (c == '&') hint = "`and` is written &&";
    if (c == '|') hint = "`or` is written ||";
    if (c == '=') hint = "equality is written ==";
    fail(at_, at_ + length, "unexpected character `" + shown + "`", hint);
    return Token::kEnd;
  }

  std::string_view source_;
  std::vector<Issue>& issues_;
  uint32_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

std::vector<Lexeme> lex(std::string_view source, size_t tokens_max, std::vector<Issue>& issues) {
  size_t bad = invalid_utf8_at(source);
  if (bad != std::string_view::npos) {
    auto at = static_cast<uint32_t>(bad);
    issues.push_back(
        {at, at + 1,
         "the expression is not valid UTF-8: unexpected byte 0x" + hex_byte(static_cast<unsigned char>(source[bad])),
         ""});
    return {Lexeme{Token::kEnd, at, at}};
  }
  return Lexer(source, issues).run(tokens_max);
}

bool is_reserved(std::string_view word) {
  return std::find(kReserved.begin(), kReserved.end(), word) != kReserved.end();
}

bool is_identifier(std::string_view text) {
  if (text.empty() || !is_letter(text[0])) return false;
  if (text == "true" || text == "false" || text == "null" || text == "in") return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

std::string describe(Token token) {
  switch (token) {
    case Token::kEnd:
      return "the end of the expression";
    case Token::kInt:
      return "an int";
    case Token::kUint:
      return "a uint";
    case Token::kDouble:
      return "a double";
    case Token::kString:
      return "a string";
    case Token::kBytes:
      return "bytes";
    case Token::kIdent:
      return "a name";
    case Token::kQuoted:
      return "a back-quoted field";
    case Token::kTrue:
      return "`true`";
    case Token::kFalse:
      return "`false`";
    case Token::kNull:
      return "`null`";
    case Token::kIn:
      return "`in`";
    case Token::kSlash:
      return "`/`";
    case Token::kPercent:
      return "`%`";
    default:
      for (const Operator& op : kOperators) {
        if (op.token == token) return "`" + std::string(op.text) + "`";
      }
      return "a token";
  }
}

}  // namespace tamis::cel
