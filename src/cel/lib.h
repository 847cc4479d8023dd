// What the function libraries of this room share: building their tables, charging cost, refusing large outputs.
// Included by lib_*.cc and their tests only.
#pragma once

#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cel/function.h"

namespace tamis::cel::lib {

using event::ErrorCode;
using event::Kind;

// No function returns more than this, whatever its arguments.
inline constexpr size_t kOutputBytesMax = 1 << 20;
inline constexpr size_t kOutputItemsMax = kOutputBytesMax / sizeof(Value);

// A table under construction. Rows of one function stand together, the more specific first.
class Table {
 public:
  using Invoke = Value (*)(Call&, const Value*);

  Overload& global(std::string id, std::string function, std::vector<Type> params, Type result, Invoke invoke) {
    return add(std::move(id), std::move(function), false, std::move(params), std::move(result), invoke);
  }
  Overload& member(std::string id, std::string function, std::vector<Type> params, Type result, Invoke invoke) {
    return add(std::move(id), std::move(function), true, std::move(params), std::move(result), invoke);
  }
  std::vector<Overload> take() { return std::move(rows_); }

 private:
  Overload& add(std::string id, std::string function, bool is_member, std::vector<Type> params, Type result,
                Invoke invoke) {
    Overload row;
    row.id = std::move(id);
    row.function = std::move(function);
    row.member = is_member;
    row.params = std::move(params);
    row.result = std::move(result);
    row.invoke = invoke;
    rows_.push_back(std::move(row));
    return rows_.back();
  }

  std::vector<Overload> rows_;
};

void add_conversions(Table& table);  // lib_conversion.cc
void add_time(Table& table);         // lib_time.cc
void add_format(Table& table);       // lib_format.cc

// Takes `units` of the evaluation's budget. False: it is used up, and the function returns error_limit().
inline bool charge(Call& call, size_t units) {
  constexpr size_t kMost = size_t{1} << 62;
  call.cost_left -= static_cast<int64_t>(units < kMost ? units : kMost);
  return call.cost_left > 0;
}
inline bool charge_bytes(Call& call, size_t bytes) { return charge(call, bytes / 16); }

// An error whose message is the pieces one after another.
Value fail(Call& call, ErrorCode code, std::initializer_list<std::string_view> pieces);
inline Value invalid(Call& call, std::initializer_list<std::string_view> pieces) {
  return fail(call, ErrorCode::kInvalidArgument, pieces);
}
// `text` for a message: quoted and cut.
std::string shown(std::string_view text);

// Text that grows in the arena. Over kOutputBytesMax it stops growing, and finish() gives error_limit().
class TextOut {
 public:
  explicit TextOut(base::Arena& arena) : arena_(arena) {}
  void append(std::string_view text) {
    if (text.empty() || !reserve(text.size())) return;
    std::memcpy(data_ + size_, text.data(), text.size());
    size_ += text.size();
  }
  void append(char c) { append(std::string_view(&c, 1)); }
  void append(size_t count, char c);
  size_t size() const { return size_; }
  bool too_large() const { return too_large_; }
  std::string_view text() const { return {data_, size_}; }
  Value finish() const { return too_large_ ? event::error_limit() : Value::string(text()); }

 private:
  bool reserve(size_t more);

  base::Arena& arena_;
  char* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
  bool too_large_ = false;
};

// The decimal digits of the shortest number that reads back as `value` (finite), and the power of ten of the first:
// 0.00125 is "125" and -3. The sign is not in the digits.
struct Digits {
  char text[24];
  int count = 0;
  int exponent = 0;
};
Digits shortest_digits(double value);
// "0.00125", "100000000000000000000000": no exponent ever; NaN, Infinity, -Infinity by name.
void append_plain(TextOut& out, double value);
// As C's %g with the shortest digits that read back the same: an exponent below 1e-4 and from 1e21 on.
void append_general(TextOut& out, double value);
// False for anything but a decimal number, inf, infinity or nan; overflow is an error, underflow gives zero.
bool parse_double(std::string_view text, double& out);

// True for null, false, 0, "", an empty list, the epoch, ...: what optional.ofNonZeroValue() makes absent.
bool is_zero(Value value);
// The element or value that `key` stands for in a list, map or optional of these; shared by all overloads of _[_].
Value index_value(Call& call, Value container, Value key, bool optional);

}  // namespace tamis::cel::lib
