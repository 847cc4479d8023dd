// The parser: recursive descent over the tokens (cel-spec, "Syntax"). Both its own recursion and the depth of the tree
// that it makes are limited, so that nothing which walks the tree later can exhaust the stack.
#include <algorithm>

#include "cel/ast.h"
#include "cel/lexer.h"
#include "cel/literal.h"
#include "cel/macros.h"

namespace tamis::cel {
namespace {

struct BinaryOperator {
  Token token;
  int precedence;
  const char* function;
};
constexpr BinaryOperator kBinary[] = {
    {Token::kLess, 3, "_<_"},    {Token::kLessEqual, 3, "_<=_"},
    {Token::kGreater, 3, "_>_"}, {Token::kGreaterEqual, 3, "_>=_"},
    {Token::kEqual, 3, "_==_"},  {Token::kNotEqual, 3, "_!=_"},
    {Token::kIn, 3, "@in"},      {Token::kPlus, 4, "_+_"},
    {Token::kMinus, 4, "_-_"},   {Token::kStar, 5, "_*_"},
    {Token::kSlash, 5, "_/_"},   {Token::kPercent, 5, "_%_"},
};

const BinaryOperator* find_binary(Token token) {
  for (const BinaryOperator& op : kBinary) {
    if (op.token == token) return &op;
  }
  return nullptr;
}

// A subtree and how deep it is. A null tree means that parsing has failed, and the issue has been added.
struct Node {
  ExprPtr expr;
  uint32_t depth = 0;
  explicit operator bool() const { return expr != nullptr; }
};

class Parser {
 public:
  Parser(const Env& env, Compiled& out, const CompileLimits& limits)
      : env_(env), out_(out), limits_(limits), source_(out.ast.source) {}

  void run() {
    tokens_ = lex(source_, size_t{4} * limits_.nodes_max, out_.issues);
    if (!out_.issues.empty()) return;
    Node root = parse_expr();
    if (root && peek() != Token::kEnd) {
      root = unexpected(peek() == Token::kQuestion ? "the end of the expression or an operator; a condition ?: inside "
                                                     "another stands in parentheses"
                                                   : "an operator or the end of the expression");
    }
    if (out_.issues.empty()) out_.ast.root = std::move(root.expr);
    if (out_.issues.size() > limits_.issues_max) out_.issues.resize(limits_.issues_max);
  }

 private:
  // --- tokens ---

  Token peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)].token; }
  const Lexeme& current() const { return tokens_[at_]; }
  std::string_view text_of(const Lexeme& lexeme) const {
    return source_.substr(lexeme.begin, lexeme.end - lexeme.begin);
  }
  uint32_t last_end() const { return at_ > 0 ? tokens_[at_ - 1].end : 0; }

  bool take(Token token) {
    if (peek() != token) return false;
    if (at_ + 1 < tokens_.size()) ++at_;
    return true;
  }

  void issue(uint32_t begin, uint32_t end, std::string message, std::string hint = {}) {
    out_.issues.push_back({begin, end, std::move(message), std::move(hint)});
  }

  Node unexpected(std::string_view expected) {
    const Lexeme& found = current();
    std::string_view text = text_of(found);
    std::string shown = text.empty() || text.size() > 40 ? describe(found.token) : "`" + std::string(text) + "`";
    std::string hint;
    if (text == "and") hint = "`and` is written &&";
    if (text == "or") hint = "`or` is written ||";
    if (text == "not") hint = "`not` is written !";
    if (is_reserved(text)) hint = "`" + std::string(text) + "` is a reserved word";
    std::string what = found.token == Token::kEnd ? "the expression ends too early" : "unexpected " + shown;
    issue(found.begin, found.end, what + "; expected " + std::string(expected), std::move(hint));
    return {};
  }

  bool expect(Token token, std::string_view also = {}) {
    if (take(token)) return true;
    std::string expected = describe(token);
    if (!also.empty()) expected = std::string(also) + " or " + expected;
    unexpected(expected);
    return false;
  }

  // --- nodes ---

  // Makes a node, within the limits. `depth` is that of its deepest child.
  Node make(ExprKind kind, uint32_t begin, uint32_t end, uint32_t depth) {
    if (depth >= limits_.depth_max) {
      issue(begin, end, "the expression is nested more than " + std::to_string(limits_.depth_max) + " deep",
            "split it with `let` or parentheses of even halves");
      return {};
    }
    if (++nodes_ > limits_.nodes_max) {
      issue(begin, end, "the expression has more than " + std::to_string(limits_.nodes_max) + " parts");
      return {};
    }
    Node node;
    node.expr = std::make_unique<Expr>();
    node.expr->kind = kind;
    node.expr->begin = begin;
    node.expr->end = end;
    node.depth = depth + 1;
    return node;
  }

  Node make_constant(Value value, const Lexeme& from) {
    Node node = make(ExprKind::kConst, from.begin, from.end, 0);
    if (node) node.expr->constant = value;
    return node;
  }

  Node make_operator(const char* function, Node a, Node b) {
    Node node = make(ExprKind::kCall, a.expr->begin, b.expr->end, std::max(a.depth, b.depth));
    if (!node) return node;
    node.expr->name = function;
    node.expr->args.push_back(std::move(a.expr));
    node.expr->args.push_back(std::move(b.expr));
    return node;
  }

  // `&&` and `||` are associative, errors included, so a long chain becomes a flat tree.
  Node make_balanced(const char* function, std::vector<Node>& operands, size_t begin, size_t end) {
    if (end - begin == 1) return std::move(operands[begin]);
    size_t middle = begin + (end - begin + 1) / 2;
    Node a = make_balanced(function, operands, begin, middle);
    if (!a) return a;
    Node b = make_balanced(function, operands, middle, end);
    if (!b) return b;
    return make_operator(function, std::move(a), std::move(b));
  }

  // --- grammar ---

  Node parse_expr() {
    if (nesting_ >= limits_.depth_max) {
      issue(current().begin, current().end,
            "the expression is nested more than " + std::to_string(limits_.depth_max) + " deep");
      return {};
    }
    ++nesting_;
    Node node = parse_conditional();
    --nesting_;
    return node;
  }

  Node parse_conditional() {
    Node condition = parse_logical(Token::kOr);
    if (!condition || !take(Token::kQuestion)) return condition;
    Node yes = parse_logical(Token::kOr);
    if (!yes || !expect(Token::kColon)) return {};
    Node no = parse_expr();
    if (!no) return {};
    Node node =
        make(ExprKind::kCall, condition.expr->begin, no.expr->end, std::max({condition.depth, yes.depth, no.depth}));
    if (!node) return node;
    node.expr->name = "_?_:_";
    node.expr->args.push_back(std::move(condition.expr));
    node.expr->args.push_back(std::move(yes.expr));
    node.expr->args.push_back(std::move(no.expr));
    return node;
  }

  Node parse_logical(Token token) {
    auto operand = [&] { return token == Token::kOr ? parse_logical(Token::kAnd) : parse_binary(3); };
    Node first = operand();
    if (!first || peek() != token) return first;
    std::vector<Node> operands;
    operands.push_back(std::move(first));
    while (take(token)) {
      Node next = operand();
      if (!next) return next;
      operands.push_back(std::move(next));
    }
    return make_balanced(token == Token::kOr ? "_||_" : "_&&_", operands, 0, operands.size());
  }

  Node parse_binary(int precedence) {
    Node left = parse_unary();
    while (left) {
      const BinaryOperator* op = find_binary(peek());
      if (op == nullptr || op->precedence < precedence) return left;
      take(op->token);
      Node right = parse_binary(op->precedence + 1);
      if (!right) return right;
      left = make_operator(op->function, std::move(left), std::move(right));
    }
    return left;
  }

  bool is_number(Token token) const { return token == Token::kInt || token == Token::kDouble; }

  Node parse_unary() {
    Token sign = peek();
    if (sign != Token::kNot && sign != Token::kMinus) return parse_member();
    size_t first = at_;
    // The minus in front of a number belongs to the number, so that the least int can be written.
    while (peek() == sign && !(sign == Token::kMinus && is_number(peek(1)))) take(sign);
    size_t count = at_ - first;
    Node node = parse_member();
    for (size_t i = count; node && i > 0; --i) {
      Node outer = make(ExprKind::kCall, tokens_[first + i - 1].begin, node.expr->end, node.depth);
      if (!outer) return outer;
      outer.expr->name = sign == Token::kNot ? "!_" : "-_";
      outer.expr->args.push_back(std::move(node.expr));
      node = std::move(outer);
    }
    return node;
  }

  Node parse_member() {
    bool is_name = peek() == Token::kIdent || (peek() == Token::kDot && peek(1) == Token::kIdent);
    Node node = parse_primary();
    // Whether `node` is still a dotted name, which a `{` would make the name of a message.
    is_name = is_name && node && node.expr->kind == ExprKind::kIdent && !node.expr->test_only;
    while (node) {
      if (take(Token::kDot)) {
        is_name = is_name && peek() == Token::kIdent;
        node = parse_selection(std::move(node));
        is_name = is_name && node && node.expr->kind == ExprKind::kSelect;
      } else if (take(Token::kLeftBracket)) {
        is_name = false;
        node = parse_index(std::move(node));
      } else if (is_name && peek() == Token::kLeftBrace) {
        is_name = false;
        node = parse_struct(std::move(node));
      } else {
        return node;
      }
    }
    return node;
  }

  // Behind `e.`
  Node parse_selection(Node operand) {
    bool optional = take(Token::kQuestion);
    const Lexeme name = current();
    if (!take(Token::kIdent) && !take(Token::kQuoted)) return unexpected("the name of a field or method");
    if (name.token == Token::kIdent && !optional && take(Token::kLeftParen)) {
      uint32_t begin = operand.expr->begin;
      return parse_call(std::string(text_of(name)), std::move(operand), begin, false);
    }
    Node node = make(ExprKind::kSelect, operand.expr->begin, name.end, operand.depth);
    if (!node) return node;
    std::string_view text = text_of(name);
    if (name.token == Token::kQuoted) text = text.substr(1, text.size() - 2);
    node.expr->name = text;
    node.expr->optional = optional;
    node.expr->args.push_back(std::move(operand.expr));
    return node;
  }

  // Behind `e[`
  Node parse_index(Node operand) {
    bool optional = take(Token::kQuestion);
    Node index = parse_expr();
    if (!index || !expect(Token::kRightBracket)) return {};
    Node node = make_operator(optional ? "_[?_]" : "_[_]", std::move(operand), std::move(index));
    if (node) node.expr->end = last_end();
    return node;
  }

  // Behind `f(`. `target` is empty for a global call.
  Node parse_call(std::string function, Node target, uint32_t begin, bool absolute) {
    std::vector<Node> args;
    bool member = static_cast<bool>(target);
    if (member) args.push_back(std::move(target));
    if (!take(Token::kRightParen)) {
      do {
        args.push_back(parse_expr());
        if (!args.back()) return {};
      } while (take(Token::kComma));
      if (!expect(Token::kRightParen, "`,`")) return {};
    }
    uint32_t depth = 0;
    for (const Node& arg : args) depth = std::max(depth, arg.depth);
    Node node = make(ExprKind::kCall, begin, last_end(), depth);
    if (!node) return node;
    node.expr->name = std::move(function);
    node.expr->member = member;
    node.expr->absolute = absolute;
    for (Node& arg : args) node.expr->args.push_back(std::move(arg.expr));
    node.depth += recognise_macro(env_, node.expr, out_.issues);
    if (node.depth <= limits_.depth_max) return node;
    issue(begin, last_end(), "the expression is nested more than " + std::to_string(limits_.depth_max) + " deep");
    return {};
  }

  Node parse_primary() {
    const Lexeme start = current();
    switch (start.token) {
      case Token::kDot:
      case Token::kIdent:
        return parse_name();
      case Token::kLeftParen:
        return parse_parenthesised();
      case Token::kLeftBracket:
        return parse_list();
      case Token::kLeftBrace:
        return parse_map();
      default:
        return parse_literal();
    }
  }

  Node parse_parenthesised() {
    uint32_t begin = current().begin;
    take(Token::kLeftParen);
    Node node = parse_expr();
    if (!node || !expect(Token::kRightParen)) return {};
    node.expr->begin = begin;
    node.expr->end = last_end();
    return node;
  }

  Node parse_name() {
    uint32_t begin = current().begin;
    bool absolute = take(Token::kDot);
    const Lexeme name = current();
    std::string text(text_of(name));
    if (peek() != Token::kIdent || is_reserved(text)) return unexpected("a name");
    take(Token::kIdent);
    if (take(Token::kLeftParen)) return parse_call(std::move(text), {}, begin, absolute);
    Node node = make(ExprKind::kIdent, begin, name.end, 0);
    if (!node) return node;
    node.expr->name = std::move(text);
    node.expr->absolute = absolute;
    return node;
  }

  Node parse_list() {
    uint32_t begin = current().begin;
    take(Token::kLeftBracket);
    std::vector<Node> items;
    std::vector<bool> optional;
    if (!parse_items(Token::kRightBracket, false, items, optional)) return {};
    return make_aggregate(ExprKind::kList, begin, std::move(items), std::move(optional));
  }

  Node parse_map() {
    uint32_t begin = current().begin;
    take(Token::kLeftBrace);
    std::vector<Node> items;
    std::vector<bool> optional;
    if (!parse_items(Token::kRightBrace, true, items, optional)) return {};
    return make_aggregate(ExprKind::kMap, begin, std::move(items), std::move(optional));
  }

  // The elements of a list, or keys and values of a map, up to and with the closing token.
  bool parse_items(Token closing, bool pairs, std::vector<Node>& items, std::vector<bool>& optional) {
    bool any_optional = false;
    while (peek() != closing) {
      if (items.empty() && peek() == Token::kComma && peek(1) == closing) break;
      optional.push_back(take(Token::kQuestion));
      any_optional = any_optional || optional.back();
      items.push_back(parse_expr());
      if (!items.back()) return false;
      if (pairs) {
        if (!expect(Token::kColon)) return false;
        items.push_back(parse_expr());
        if (!items.back()) return false;
      }
      if (peek() != Token::kComma) break;
      take(Token::kComma);
    }
    if (items.empty()) take(Token::kComma);
    if (!any_optional) optional.clear();
    return expect(closing, "`,`");
  }

  Node make_aggregate(ExprKind kind, uint32_t begin, std::vector<Node> items, std::vector<bool> optional) {
    uint32_t depth = 0;
    for (const Node& item : items) depth = std::max(depth, item.depth);
    Node node = make(kind, begin, last_end(), depth);
    if (!node) return node;
    node.expr->optional_entries = std::move(optional);
    for (Node& item : items) node.expr->args.push_back(std::move(item.expr));
    return node;
  }

  // At the `{` behind a dotted name.
  Node parse_struct(Node name) {
    std::string message;
    bool absolute = dotted(*name.expr, message);
    uint32_t begin = name.expr->begin;
    take(Token::kLeftBrace);
    std::vector<Node> values;
    std::vector<std::string> fields;
    while (peek() != Token::kRightBrace) {
      if (values.empty() && peek() == Token::kComma && peek(1) == Token::kRightBrace) break;
      take(Token::kQuestion);
      const Lexeme field = current();
      if (!take(Token::kIdent) && !take(Token::kQuoted)) return unexpected("the name of a field");
      std::string_view text = text_of(field);
      if (field.token == Token::kQuoted) text = text.substr(1, text.size() - 2);
      fields.emplace_back(text);
      if (!expect(Token::kColon)) return {};
      values.push_back(parse_expr());
      if (!values.back()) return {};
      if (!take(Token::kComma)) break;
    }
    if (values.empty()) take(Token::kComma);
    if (!expect(Token::kRightBrace, "`,`")) return {};
    Node node = make_aggregate(ExprKind::kStruct, begin, std::move(values), {});
    if (!node) return node;
    node.expr->name = std::move(message);
    node.expr->absolute = absolute;
    node.expr->field_names = std::move(fields);
    return node;
  }

  // Writes the dotted name that `expr` is; returns whether it has a leading dot.
  static bool dotted(const Expr& expr, std::string& out) {
    std::vector<std::string_view> parts;
    const Expr* at = &expr;
    for (; at->kind == ExprKind::kSelect; at = at->args[0].get()) parts.push_back(at->name);
    out = at->name;
    for (size_t i = parts.size(); i > 0; --i) out.append(".").append(parts[i - 1]);
    return at->absolute;
  }

  Node parse_literal() {
    Lexeme from = current();
    bool negative = peek() == Token::kMinus && is_number(peek(1)) && take(Token::kMinus);
    const Lexeme token = current();
    from.end = token.end;
    std::string_view text = text_of(token);
    switch (token.token) {
      case Token::kTrue:
        return take(token.token), make_constant(Value::boolean(true), from);
      case Token::kFalse:
        return take(token.token), make_constant(Value::boolean(false), from);
      case Token::kNull:
        return take(token.token), make_constant(Value::null(), from);
      case Token::kInt:
        return make_number(parse_int(text, negative), from, Value::integer);
      case Token::kUint:
        return make_number(parse_uint(text), from, Value::uinteger);
      case Token::kDouble: {
        auto value = parse_double(text);
        if (value && negative) *value = -*value;
        return make_number(value, from, Value::real);
      }
      case Token::kString:
      case Token::kBytes:
        return make_text(token);
      default:
        return unexpected("an expression");
    }
  }

  // A wrong number does not stop the parser: it is told with whatever else is wrong.
  template <class T>
  Node make_number(const base::Result<T>& number, const Lexeme& from, Value (*to_value)(T)) {
    take(peek());
    if (!number) issue(from.begin, from.end, number.error().message);
    return make_constant(to_value(number.value_or(T{})), from);
  }

  Node make_text(const Lexeme& token) {
    take(token.token);
    size_t error_at = 0;
    auto text = unquote(text_of(token), error_at);
    if (!text) {
      auto at = token.begin + static_cast<uint32_t>(error_at);
      issue(at, std::min(at + 2, token.end), text.error().message);
      return make_constant(Value::null(), token);
    }
    std::string_view kept = out_.ast.arena->copy(*text);
    return make_constant(token.token == Token::kString ? Value::string(kept) : Value::bytes(kept), token);
  }

  const Env& env_;
  Compiled& out_;
  const CompileLimits& limits_;
  std::string_view source_;
  std::vector<Lexeme> tokens_;
  size_t at_ = 0;
  uint32_t nesting_ = 0;
  uint32_t nodes_ = 0;
};

}  // namespace

Compiled parse(const Env& env, std::string_view source, const CompileLimits& limits) {
  Compiled out;
  out.ast.arena = std::make_unique<base::Arena>(1024);
  if (source.size() > limits.source_bytes_max) {
    out.issues.push_back({limits.source_bytes_max, limits.source_bytes_max,
                          "the expression is longer than " + std::to_string(limits.source_bytes_max) + " bytes", ""});
    return out;
  }
  out.ast.source = source;
  Parser(env, out, limits).run();
  return out;
}

}  // namespace tamis::cel
