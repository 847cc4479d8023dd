// For the tests of the function libraries: calls a function by name as the evaluator would, by the kinds of its
// arguments, and shows the result as text; errors as "!" and their code.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "cel/lib.h"

namespace tamis::cel::lib {

class FakeHost : public Host {
 public:
  bool list_contains(int64_t list, Value value) const override {
    return list == 7 && value.is(Kind::kString) && value.str() == "listed";
  }
  Value labels_of(int64_t kind, Value value, base::Arena& arena) const override {
    Value* names = arena.allocate_array<Value>(2);
    names[0] = Value::string(arena.copy("kind" + std::to_string(kind)));
    names[1] = Value::string(arena.copy(event::debug_string(value)));
    return Value::list({names, 2});
  }
};

class Lab {
 public:
  std::vector<const Overload*> find(std::string_view function) const {
    std::vector<const Overload*> found;
    for (const auto* library : {&standard_library(), &string_library(), &math_library(), &encoder_library(),
                                &list_library(), &network_library(), &optional_library(), &tamis_library()}) {
      for (const Overload& row : *library) {
        if (row.function == function) found.push_back(&row);
      }
    }
    return found;
  }

  Value call(std::string_view function, std::vector<Value> args) {
    for (const Overload* row : find(function)) {
      size_t params = row->params.size();
      if (row->variadic ? args.size() < params : args.size() != params) continue;
      bool fitting = true;
      for (size_t i = 0; i < args.size(); ++i) {
        fitting = fitting && fits(row->params[std::min(i, params - 1)], args[i]);
      }
      if (!fitting) continue;
      if (row->variadic) {
        std::vector<Value> rest(args.begin() + static_cast<ptrdiff_t>(params) - 1, args.end());
        args.resize(params - 1);
        args.push_back(list(std::move(rest)));
      }
      Call context{arena, &host, cost};
      Value result = row->invoke(context, args.data());
      cost_used = cost - context.cost_left;
      return result;
    }
    return event::error_no_such_overload();
  }

  std::string run(std::string_view function, std::vector<Value> args) { return show(call(function, std::move(args))); }

  static std::string show(Value v) {
    if (!v.is_error()) return event::debug_string(v, 5000);
    static constexpr const char* kCodes[] = {"!no_field", "!no_overload",  "!overflow", "!zero",
                                             "!invalid",  "!out_of_range", "!limit",    "!other"};
    return kCodes[static_cast<int>(v.error_data->code)];
  }

  Value list(std::vector<Value> items) {
    lists_.push_back(std::move(items));
    return Value::list(lists_.back());
  }
  Value map(std::vector<event::MapEntry> entries) {
    maps_.push_back(std::move(entries));
    return event::make_map(arena, maps_.back());
  }
  Value ip(std::string_view text) { return call("ip", {Value::string(text)}); }
  Value cidr(std::string_view text) { return call("cidr", {Value::string(text)}); }
  Value timestamp(std::string_view text) { return call("timestamp", {Value::string(text)}); }
  Value duration(std::string_view text) { return call("duration", {Value::string(text)}); }

  base::Arena arena;
  FakeHost host;
  int64_t cost = 10'000'000;
  int64_t cost_used = 0;

 private:
  std::deque<std::vector<Value>> lists_;
  std::deque<std::vector<event::MapEntry>> maps_;
};

inline Value S(std::string_view text) { return Value::string(text); }
inline Value B(std::string_view text) { return Value::bytes(text); }
inline Value I(int64_t v) { return Value::integer(v); }
inline Value U(uint64_t v) { return Value::uinteger(v); }
inline Value D(double v) { return Value::real(v); }
inline Value T(bool v) { return Value::boolean(v); }

struct Case {
  const char* function;
  std::vector<Value> args;
  const char* expected;
};

inline void check_all(Lab& lab, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    std::string shown = c.function;
    for (Value arg : c.args) shown += " " + event::debug_string(arg, 80);
    EXPECT_EQ(lab.run(c.function, c.args), c.expected) << shown;
  }
}

}  // namespace tamis::cel::lib
