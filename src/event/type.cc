#include "event/type.h"

#include <array>
#include <cctype>

namespace tamis::event {
namespace {

using Kind = Type::Kind;

constexpr int kDepthMax = 64;

// Kinds that are written with one word and take no parameters.
struct Word {
  std::string_view word;
  Kind kind;
};
constexpr std::array<Word, 11> kWords = {{
    {"dyn", Kind::kDyn},
    {"null", Kind::kNull},
    {"bool", Kind::kBool},
    {"int", Kind::kInt},
    {"uint", Kind::kUint},
    {"double", Kind::kDouble},
    {"string", Kind::kString},
    {"bytes", Kind::kBytes},
    {"timestamp", Kind::kTimestamp},
    {"duration", Kind::kDuration},
    {"error", Kind::kError},
}};

// Kinds that take parameters, how many, and whether they may be left out.
struct Constructor {
  std::string_view word;
  Kind kind;
  size_t arity;
  bool bare;  // the word alone means "of dyn"
};
constexpr std::array<Constructor, 5> kConstructors = {{
    {"list", Kind::kList, 1, true},
    {"map", Kind::kMap, 2, true},
    {"type", Kind::kType, 1, true},
    {"optional_type", Kind::kOptional, 1, true},
    {"wrapper", Kind::kWrapper, 1, false},
}};

void append(const Type& type, std::string& out);

void append_params(const std::vector<Type>& params, std::string& out) {
  if (params.empty()) return;
  out += '(';
  for (size_t i = 0; i < params.size(); ++i) {
    if (i > 0) out += ", ";
    append(params[i], out);
  }
  out += ')';
}

void append(const Type& type, std::string& out) {
  for (const Word& w : kWords) {
    if (w.kind == type.kind) {
      out += w.word;
      return;
    }
  }
  for (const Constructor& c : kConstructors) {
    if (c.kind == type.kind) {
      out += c.word;
      append_params(type.params, out);
      return;
    }
  }
  if (type.kind == Kind::kParam) out += '~';
  out += type.name;
  append_params(type.params, out);
}

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.'; }

// The names of well-known messages that are values of the language (cel-spec, "Dynamic Values").
bool well_known(std::string_view name, Type& out) {
  constexpr std::string_view prefix = "google.protobuf.";
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  if (name == "Timestamp") return out = Type::timestamp(), true;
  if (name == "Duration") return out = Type::duration(), true;
  if (name == "Any" || name == "Value") return out = Type::dyn(), true;
  if (name == "Struct") return out = Type::map(Type::string(), Type::dyn()), true;
  if (name == "ListValue") return out = Type::list(Type::dyn()), true;
  if (name == "NullValue") return out = Type::null(), true;
  if (name == "BoolValue") return out = Type::wrapper(Type::boolean()), true;
  if (name == "BytesValue") return out = Type::wrapper(Type::bytes()), true;
  if (name == "StringValue") return out = Type::wrapper(Type::string()), true;
  if (name == "DoubleValue" || name == "FloatValue") return out = Type::wrapper(Type::real()), true;
  if (name == "Int32Value" || name == "Int64Value") return out = Type::wrapper(Type::integer()), true;
  if (name == "UInt32Value" || name == "UInt64Value") return out = Type::wrapper(Type::uinteger()), true;
  return false;
}

bool can_be_wrapped(const Type& type) {
  switch (type.kind) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kDyn:
    case Kind::kParam:
      return true;
    default:
      return false;
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<Type> parse() {
    TAMIS_TRY(type, parse_one(0));
    skip_space();
    if (at_ != text_.size()) return wrong("the end of the type");
    return type;
  }

 private:
  tl::unexpected<base::Error> wrong(std::string_view expected) const {
    return base::invalid("type `" + std::string(text_.substr(0, 200)) + "`: expected " + std::string(expected) +
                         " at byte " + std::to_string(at_));
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view take_name() {
    skip_space();
    size_t begin = at_;
    if (at_ < text_.size() && is_name_start(text_[at_])) {
      while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  base::Result<Type> parse_one(int depth) {
    if (depth > kDepthMax) return base::fail(base::Code::kLimit, "a type is nested too deeply");
    bool is_param = take('~');
    std::string_view name = take_name();
    if (name.empty()) return wrong("the name of a type, such as int, string or list(int)");
    if (is_param) return Type::param(std::string(name));
    std::vector<Type> params;
    bool has_params = take('(');
    if (has_params) {
      do {
        TAMIS_TRY(param, parse_one(depth + 1));
        params.push_back(std::move(param));
      } while (take(','));
      if (!take(')')) return wrong("`,` or `)`");
    }
    return make(name, has_params, std::move(params));
  }

  base::Result<Type> make(std::string_view name, bool has_params, std::vector<Type> params) const {
    if (name == "null_type") name = "null";
    if (name == "any") name = "dyn";
    if (name == "optional") name = "optional_type";
    Type type;
    bool is_word = well_known(name, type);
    for (const Word& w : kWords) {
      if (w.word == name) type.kind = w.kind, is_word = true;
    }
    if (is_word) {
      if (has_params) return wrong("no parameters after `" + std::string(name) + "`");
      return type;
    }
    for (const Constructor& c : kConstructors) {
      if (c.word != name) continue;
      type.kind = c.kind;
      if (!has_params && c.kind == Kind::kType) return type;
      if (!has_params && c.bare) params.assign(c.arity, Type::dyn());
      if (params.size() != c.arity)
        return wrong(std::to_string(c.arity) + " parameter(s) of `" + std::string(name) + "`");
      if (c.kind == Kind::kWrapper && !can_be_wrapped(params[0])) return wrong("a primitive type in `wrapper`");
      type.params = std::move(params);
      return type;
    }
    return Type::opaque(std::string(name), std::move(params));
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string to_string(const Type& type) {
  std::string out;
  append(type, out);
  return out;
}

base::Result<Type> parse_type(std::string_view text) {
  if (text.size() > 4096) return base::fail(base::Code::kLimit, "a type is longer than 4096 bytes");
  return Parser(text).parse();
}

}  // namespace tamis::event
