#include "cel/unparse.h"

#include <charconv>

#include "cel/lexer.h"
#include "cel/literal.h"
#include "cel/macros.h"

namespace tamis::cel {
namespace {

// Higher binds tighter.
enum Precedence : int { kConditional = 0, kOr, kAnd, kRelation, kSum, kProduct, kUnary, kMember };

struct Infix {
  std::string_view function, text;
  int precedence;
};
constexpr Infix kInfix[] = {
    {"_||_", " || ", kOr},      {"_&&_", " && ", kAnd},      {"_<_", " < ", kRelation},   {"_<=_", " <= ", kRelation},
    {"_>_", " > ", kRelation},  {"_>=_", " >= ", kRelation}, {"_==_", " == ", kRelation}, {"_!=_", " != ", kRelation},
    {"@in", " in ", kRelation}, {"_+_", " + ", kSum},        {"_-_", " - ", kSum},        {"_*_", " * ", kProduct},
    {"_/_", " / ", kProduct},   {"_%_", " % ", kProduct},
};

const Infix* infix_of(const Expr& e) {
  if (e.kind != ExprKind::kCall || e.member || e.args.size() != 2) return nullptr;
  for (const Infix& infix : kInfix) {
    if (infix.function == e.name) return &infix;
  }
  return nullptr;
}

bool is_call(const Expr& e, std::string_view function, size_t args) {
  return e.kind == ExprKind::kCall && !e.member && e.name == function && e.args.size() == args;
}

bool is_unary(const Expr& e) { return is_call(e, "!_", 1) || is_call(e, "-_", 1); }

int precedence_of(const Expr& e) {
  if (const Infix* infix = infix_of(e)) return infix->precedence;
  if (is_call(e, "_?_:_", 3)) return kConditional;
  if (is_unary(e)) return kUnary;
  return kMember;
}

class Writer {
 public:
  std::string take(const Expr& e) {
    write(e, kConditional);
    return std::move(out_);
  }

 private:
  void write(const Expr& e, int at_least) {
    bool parentheses = precedence_of(e) < at_least;
    if (parentheses) out_ += '(';
    write_bare(e);
    if (parentheses) out_ += ')';
  }

  void write_bare(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kConst:
        return write_constant(e.constant);
      case ExprKind::kIdent:
        return write_ident(e);
      case ExprKind::kSelect:
        return write_select(e);
      case ExprKind::kCall:
        return write_call(e);
      case ExprKind::kList:
        return write_items(e, '[', ']', 1);
      case ExprKind::kMap:
        return write_items(e, '{', '}', 2);
      case ExprKind::kStruct:
        return write_struct(e);
      case ExprKind::kMacro:
        return write_macro(e);
    }
  }

  void write_constant(Value v) {
    char buffer[40];
    switch (v.kind) {
      case event::Kind::kBool:
        out_ += v.b ? "true" : "false";
        return;
      case event::Kind::kInt:
        out_ += std::to_string(v.i);
        return;
      case event::Kind::kUint:
        out_ += std::to_string(v.u) + "u";
        return;
      case event::Kind::kString:
        out_ += quote(v.str(), false);
        return;
      case event::Kind::kBytes:
        out_ += quote(v.str(), true);
        return;
      case event::Kind::kDouble: {
        auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, v.d);
        std::string text(buffer, error == std::errc{} ? end : buffer);
        if (text.find_first_of(".ein") == std::string::npos) text += ".0";
        out_ += text;
        return;
      }
      default:
        out_ += "null";
        return;
    }
  }

  void write_ident(const Expr& e) {
    std::string name = (e.absolute ? "." : "") + variable_text(e.name);
    out_ += e.test_only ? "has(" + name + ")" : name;
  }

  void write_field(const std::string& name) { out_ += is_identifier(name) ? name : "`" + name + "`"; }

  void write_select(const Expr& e) {
    if (e.test_only) out_ += "has(";
    write(*e.args[0], kMember);
    out_ += e.optional ? ".?" : ".";
    write_field(e.name);
    if (e.test_only) out_ += ')';
  }

  void write_args(const Expr& e, size_t first) {
    for (size_t i = first; i < e.args.size(); ++i) {
      if (i > first) out_ += ", ";
      write(*e.args[i], kConditional);
    }
  }

  void write_call(const Expr& e) {
    if (const Infix* infix = infix_of(e)) return write_infix(e, *infix);
    if (is_unary(e)) return write_unary(e);
    if (is_call(e, "_?_:_", 3)) {
      write(*e.args[0], kOr);
      out_ += " ? ";
      write(*e.args[1], kOr);
      out_ += " : ";
      return write(*e.args[2], kConditional);
    }
    bool optional = is_call(e, "_[?_]", 2);
    if (optional || is_call(e, "_[_]", 2)) {
      write(*e.args[0], kMember);
      out_ += optional ? "[?" : "[";
      write(*e.args[1], kConditional);
      out_ += ']';
      return;
    }
    if (e.member && !e.args.empty()) {
      write(*e.args[0], kMember);
      out_ += '.';
    } else if (e.absolute) {
      out_ += '.';
    }
    out_ += e.name + "(";
    write_args(e, e.member ? 1 : 0);
    out_ += ')';
  }

  void write_infix(const Expr& e, const Infix& infix) {
    bool chain = infix.precedence == kOr || infix.precedence == kAnd;
    write(*e.args[0], infix.precedence);
    out_ += infix.text;
    write(*e.args[1], infix.precedence + (chain ? 0 : 1));
  }

  // `!` and `-` cannot stand before each other, and a minus before a number would become part of it.
  void write_unary(const Expr& e) {
    const Expr& operand = *e.args[0];
    out_ += e.name[0];
    bool same = is_unary(operand) && operand.name == e.name;
    event::Kind kind = operand.kind == ExprKind::kConst ? operand.constant.kind : event::Kind::kAbsent;
    bool is_number = kind == event::Kind::kInt || kind == event::Kind::kDouble;
    bool parentheses = e.name == "-_" && (is_number || starts_with_number(operand));
    if (!parentheses) return write(operand, same ? kUnary : kMember);
    out_ += '(';
    write(operand, kConditional);
    out_ += ')';
  }

  // Whether the text of a member chain begins with a number: 5.foo()
  static bool starts_with_number(const Expr& e) {
    const Expr* at = &e;
    while (!at->args.empty()) {
      bool chain = (at->kind == ExprKind::kSelect && !at->test_only) || (at->kind == ExprKind::kCall && at->member) ||
                   is_call(*at, "_[_]", 2) || is_call(*at, "_[?_]", 2) ||
                   (at->kind == ExprKind::kMacro && at->macro != Macro::kBind);
      if (!chain) return false;
      at = at->args[0].get();
    }
    return at->kind == ExprKind::kConst &&
           (at->constant.kind == event::Kind::kInt || at->constant.kind == event::Kind::kDouble);
  }

  void write_items(const Expr& e, char open, char close, size_t width) {
    out_ += open;
    for (size_t i = 0; i < e.args.size(); ++i) {
      bool is_value = width == 2 && i % 2 == 1;
      if (i > 0) out_ += is_value ? ": " : ", ";
      size_t entry = i / width;
      if (!is_value && entry < e.optional_entries.size() && e.optional_entries[entry]) out_ += '?';
      write(*e.args[i], kConditional);
    }
    out_ += close;
  }

  void write_struct(const Expr& e) {
    out_ += (e.absolute ? "." : "") + e.name + "{";
    for (size_t i = 0; i < e.args.size(); ++i) {
      if (i > 0) out_ += ", ";
      write_field(e.field_names[i]);
      out_ += ": ";
      write(*e.args[i], kConditional);
    }
    out_ += '}';
  }

  void write_macro(const Expr& e) {
    bool two = !e.var2.empty();
    if (e.macro == Macro::kBind) {
      out_ += "cel.bind(" + variable_text(e.var1) + ", ";
      write_args(e, 0);
      out_ += ')';
      return;
    }
    write(*e.args[0], kMember);
    out_ += '.';
    out_ += macro_name(e.macro, two);
    out_ += "(" + variable_text(e.var1) + (two ? ", " + variable_text(e.var2) : "") + ", ";
    write_args(e, 1);
    out_ += ')';
  }

  std::string out_;
};

}  // namespace

std::string to_text(const Expr& expr) { return Writer().take(expr); }

}  // namespace tamis::cel
