// Random expressions and random batches for the tests that hold the two evaluators equal. All choices come from one
// seed, so a failure is repeated by its seed.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/hash.h"
#include "cel/columns.h"
#include "cel/plan_test_kit.h"

namespace tamis::cel::kit {

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t bits() { return base::mix64(state_++); }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(bits() % n); }
  bool chance(uint32_t percent) { return below(100) < percent; }
  template <class T, size_t N>
  T pick(const T (&items)[N]) {
    return items[below(N)];
  }

 private:
  uint64_t state_;
};

// Well-typed expressions over the variables of the kit, as text.
class ExpressionGen {
 public:
  explicit ExpressionGen(Dice& dice) : dice_(dice) {}

  std::string boolean(int depth) {
    if (depth <= 0) return bool_leaf();
    switch (dice_.below(14)) {
      case 0:
        return "(" + boolean(depth - 1) + " && " + boolean(depth - 1) + ")";
      case 1:
        return "(" + boolean(depth - 1) + " || " + boolean(depth - 1) + ")";
      case 2:
        return "(" + boolean(depth - 1) + " && " + boolean(depth - 1) + " && " + bool_leaf() + ")";
      case 3:
        return "!" + paren(boolean(depth - 1));
      case 4:
        return "(" + boolean(depth - 1) + " ? " + boolean(depth - 1) + " : " + boolean(depth - 1) + ")";
      case 5:
        return paren(integer(depth - 1)) + comparison() + paren(integer(depth - 1));
      case 6:
        return paren(real(depth - 1)) + comparison() + paren(real(depth - 1));
      case 7:
        return paren(text(depth - 1)) + comparison() + paren(text(depth - 1));
      case 8:
        return paren(text(depth - 1)) + text_test() + "(" + text(0) + ")";
      case 9:
        return quantifier(depth);
      case 10:
        return paren(integer(depth - 1)) + " in " + ints(depth - 1);
      case 11:
        return "dyn(" + any(depth - 1) + ")" + (dice_.chance(50) ? " == " : " != ") + "dyn(" + any(depth - 1) + ")";
      case 12:
        return optional_int(depth - 1) + ".hasValue()";
      default:
        return bool_leaf();
    }
  }

  std::string integer(int depth) {
    static const char* kLeaves[] = {"n", "m",  "n", "size(s)", "size(tags)",         "1",
                                    "0", "-7", "3", "100",     "9223372036854775807"};
    if (depth <= 0) return std::string(local_or(dice_.pick(kLeaves)));
    switch (dice_.below(9)) {
      case 0:
      case 1:
        return paren(integer(depth - 1)) + arithmetic() + paren(integer(depth - 1));
      case 2:
        return "(" + boolean(depth - 1) + " ? " + integer(depth - 1) + " : " + integer(depth - 1) + ")";
      case 3:
        return "size(" + text(depth - 1) + ")";
      case 4:
        return "int(" + real(depth - 1) + ")";
      case 5:
        return ints(depth - 1) + "[" + integer(0) + "]";
      case 6:
        return optional_int(depth - 1) + ".orValue(" + integer(depth - 1) + ")";
      case 7:
        return "-" + paren(integer(depth - 1));
      default:
        return integer(0);
    }
  }

  std::string real(int depth) {
    static const char* kLeaves[] = {"x", "y", "x", "0.5", "-1.5", "0.0", "1e300", "double(n)"};
    if (depth <= 0) return dice_.pick(kLeaves);
    static const char* kOperators[] = {" + ", " - ", " * ", " / "};
    if (dice_.chance(60)) return paren(real(depth - 1)) + dice_.pick(kOperators) + paren(real(depth - 1));
    if (dice_.chance(30)) return "(n * " + real(depth - 1) + ")";  // int with double: an extension
    return "double(" + integer(depth - 1) + ")";
  }

  std::string text(int depth) {
    static const char* kLeaves[] = {"s",       "t", "s", "'a'", "''", "'pay'", "'payment'", "\"\\u00e9t\\u00e9\"",
                                    "ip.net24"};
    if (depth <= 0) return dice_.pick(kLeaves);
    switch (dice_.below(5)) {
      case 0:
        return paren(text(depth - 1)) + " + " + paren(text(depth - 1));
      case 1:
        return "string(" + integer(depth - 1) + ")";
      case 2:
        return "(" + boolean(depth - 1) + " ? " + text(depth - 1) + " : " + text(depth - 1) + ")";
      case 3:
        return paren(text(depth - 1)) + ".lowerAscii()";
      default:
        return text(0);
    }
  }

  std::string ints(int depth) {
    if (depth <= 0) return dice_.chance(50) ? "nums" : "[1, n, 3]";
    std::string q = fresh();
    switch (dice_.below(4)) {
      case 0:
        return "nums.map(" + q + ", " + within(q, [&] { return integer(depth - 1); }) + ")";
      case 1:
        return "nums.filter(" + q + ", " + within(q, [&] { return boolean(depth - 1); }) + ")";
      case 2:
        return "[" + integer(depth - 1) + ", ?" + optional_int(depth - 1) + "]";
      default:
        return "(" + ints(depth - 1) + " + nums)";
    }
  }

 private:
  std::string bool_leaf() {
    static const char* kLeaves[] = {"b",
                                    "c",
                                    "!b",
                                    "has(n)",
                                    "has(s)",
                                    "has(ip.net24)",
                                    "!has(x)",
                                    "n > 3",
                                    "n == 5",
                                    "n <= m",
                                    "m != 0",
                                    "x < 0.5",
                                    "x >= y",
                                    "y != 0.0",
                                    "n > 2.5",
                                    "u > 3u",
                                    "u == 7u",
                                    "s == 'payment'",
                                    "s == 'login'",
                                    "s != 'a'",
                                    "t == 'pay'",
                                    "s in ['a', 'payment', 'q']",
                                    "t in ['a', 'b', 'c', 'd', 'e', 'pay']",
                                    "n in [1, 2, 3, 4, 5, 6]",
                                    "n in [5]",
                                    "s.contains('ay')",
                                    "s.startsWith('pay')",
                                    "t.endsWith('t')",
                                    "s.matches('^p.*t$')",
                                    "t.matches('[ae]+')",
                                    "raw == b'x'",
                                    "time > timestamp(1000)",
                                    "span < duration('3s')",
                                    "any == 5",
                                    "any == 'a'",
                                    "any > 2",
                                    "any in [1, 'a', 2.0, null, true]",
                                    "any != null",
                                    "'vip' in tags",
                                    "attrs.kind == 'x'",
                                    "has(attrs.kind)",
                                    "attrs.?kind.orValue('y') == 'y'",
                                    "attrs['n'] > 3",
                                    "5 in nums",
                                    "time.getFullYear() == 1970",
                                    "s < 'm'",
                                    "time + span > timestamp(500)",
                                    "any",
                                    "any + 1 > 3",
                                    "n / m == 1",
                                    "n % m == 0",
                                    "1 / 0 == 1",
                                    "true",
                                    "false"};
    return dice_.pick(kLeaves);
  }
  std::string quantifier(int depth) {
    static const char* kMacros[] = {"all", "exists", "exists_one"};
    std::string q = fresh();
    std::string range = dice_.chance(70) ? "nums" : ints(depth - 2);
    return range + "." + dice_.pick(kMacros) + "(" + q + ", " + within(q, [&] { return boolean(depth - 1); }) + ")";
  }
  std::string optional_int(int depth) {
    if (depth <= 0 || dice_.chance(40)) return dice_.chance(50) ? "nums[?0]" : "optional.of(n)";
    return dice_.chance(50) ? "optional.none().or(" + optional_int(depth - 1) + ")"
                            : "nums[?" + integer(depth - 1) + "]";
  }
  std::string any(int depth) {
    switch (dice_.below(5)) {
      case 0:
        return integer(depth);
      case 1:
        return real(depth);
      case 2:
        return text(depth);
      case 3:
        return boolean(depth);
      default:
        return "any";
    }
  }
  std::string comparison() {
    static const char* kAll[] = {" == ", " != ", " < ", " <= ", " > ", " >= "};
    return dice_.pick(kAll);
  }
  std::string arithmetic() {
    static const char* kAll[] = {" + ", " - ", " * ", " / ", " % "};
    return dice_.pick(kAll);
  }
  std::string text_test() {
    static const char* kAll[] = {".contains", ".startsWith", ".endsWith", ".matches"};
    return dice_.pick(kAll);
  }
  static std::string paren(const std::string& e) { return "(" + e + ")"; }
  std::string fresh() { return "q" + std::to_string(locals_.size()); }
  template <class F>
  std::string within(const std::string& local, F make) {
    locals_.push_back(local);
    std::string body = make();
    locals_.pop_back();
    return body;
  }
  std::string local_or(const char* leaf) {
    return !locals_.empty() && dice_.chance(60) ? locals_[dice_.below(static_cast<uint32_t>(locals_.size()))] : leaf;
  }

  Dice& dice_;
  std::vector<std::string> locals_;
};

// A batch of random columns with what they point to.
class BatchGen {
 public:
  static constexpr uint32_t kRows = 40;

  explicit BatchGen(Dice& dice) : dice_(dice) {
    stores_.resize(kSlots);
    for (int32_t slot = 0; slot < kSlots; ++slot) columns_.push_back(column(slot));
  }
  std::span<const Column> columns() const { return columns_; }
  std::vector<Value> row(uint32_t r) const {
    std::vector<Value> slots(kSlots + 8);
    for (int32_t slot = 0; slot < kSlots; ++slot) slots[slot] = columns_[slot].at(r);
    return slots;
  }

  // A value that the slot usually has.
  Value typical(int32_t slot) {
    static const int64_t kInts[] = {0, 1, 2, 3, 4, 5, 6, -1, 100, INT64_MAX, INT64_MIN};
    static const double kReals[] = {0, 0.25, 0.5, 1, 2.5, -1.5, 1e300, -0.0};
    static const char* kTexts[] = {
        "", "a", "pay", "payment", "login", "b", "\xc3\xa9t\xc3\xa9", "a longer text that says payment"};
    switch (slot) {
      case kN:
      case kM:
        return Value::integer(dice_.pick(kInts));
      case kU:
        return Value::uinteger(static_cast<uint64_t>(dice_.pick(kInts)));
      case kX:
      case kY:
        if (dice_.chance(5)) return Value::real(std::numeric_limits<double>::quiet_NaN());
        if (dice_.chance(5)) return Value::real(std::numeric_limits<double>::infinity());
        return Value::real(dice_.pick(kReals));
      case kB:
      case kC:
        return Value::boolean(dice_.chance(50));
      case kBytes:
        return Value::bytes(dice_.pick(kTexts));
      case kTime:
        return Value::timestamp(int64_t{dice_.below(2000)} - 500, dice_.below(1000) * 1'000'000);
      case kSpan:
        return Value::duration(int64_t{dice_.below(6)} * 1'000'000'000);
      case kTags:
        return list({Value::string("new"), Value::string(dice_.pick(kTexts)), Value::string("vip")});
      case kNums:
        return list({Value::integer(dice_.pick(kInts)), Value::integer(5), Value::integer(dice_.pick(kInts))});
      case kAttrs:
        return attrs();
      case kAny:
        return typical(static_cast<int32_t>(dice_.below(kAny)));
      default:
        return Value::string(dice_.pick(kTexts));
    }
  }

 private:
  struct Store {
    std::vector<uint8_t> states, bools;
    std::vector<int64_t> ints;
    std::vector<uint64_t> uints;
    std::vector<double> doubles;
    std::vector<std::string_view> texts;
    std::vector<uint32_t> codes;
    std::vector<Value> values, dictionary;
  };

  Value list(std::initializer_list<Value> items) {
    uint32_t count = dice_.below(static_cast<uint32_t>(items.size()) + 1);
    Value* to = arena_.allocate_array<Value>(count);
    std::copy(items.begin(), items.begin() + count, to);
    return Value::list({to, count});
  }
  Value attrs() {
    event::MapEntry entries[] = {{Value::string("kind"), Value::string(dice_.chance(50) ? "x" : "y")},
                                 {Value::string("n"), dice_.chance(50) ? Value::integer(4) : Value::string("four")}};
    event::MapEntry* to = arena_.allocate_array<event::MapEntry>(2);
    std::copy(entries, entries + 2, to);
    return event::make_map(arena_, {to, dice_.below(3)});
  }
  Value odd(int32_t slot) {
    switch (dice_.below(6)) {
      case 0:
        return Value::absent();
      case 1:
        return Value::null();
      case 2:
        return event::error_overflow();
      case 3:
        return typical(kAny);
      default:
        return typical(slot);
    }
  }

  Column column(int32_t slot) {
    Store& store = stores_[slot];
    Column c;
    if (dice_.chance(6)) return c;
    if (slot == kTags || slot == kNums || slot == kAttrs || slot == kAny || dice_.chance(25)) {
      bool tame = dice_.chance(50);
      for (uint32_t r = 0; r < kRows; ++r) store.values.push_back(tame ? typical(slot) : odd(slot));
      c.layout = Column::Layout::kValues;
      c.values = store.values.data();
      return c;
    }
    if (dice_.chance(50)) {
      for (uint32_t r = 0; r < kRows; ++r) store.states.push_back(dice_.chance(70) ? 0 : dice_.chance(70) ? 1 : 2);
      c.states = store.states.data();
      c.error = event::error_out_of_range();
    }
    if (dice_.chance(40)) {
      for (uint32_t i = 0; i < 8; ++i) store.dictionary.push_back(typical(slot));
      for (uint32_t r = 0; r < kRows; ++r) store.codes.push_back(dice_.below(8));
      c.layout = Column::Layout::kDictionary;
      c.codes = store.codes.data();
      c.dictionary = store.dictionary;
      return c;
    }
    typed(c, store, slot);
    return c;
  }

  void typed(Column& c, Store& store, int32_t slot) {
    for (uint32_t r = 0; r < kRows; ++r) {
      Value v = typical(slot);
      store.bools.push_back(v.is_true() ? 1 : 0);
      store.ints.push_back(slot == kTime ? v.i * 1'000'000 + v.size / 1'000 : v.i);
      store.uints.push_back(v.u);
      store.doubles.push_back(v.d);
      store.texts.push_back(v.is(event::Kind::kString) || v.is(event::Kind::kBytes) ? v.str() : std::string_view());
    }
    using Layout = Column::Layout;
    switch (slot) {
      case kN:
      case kM:
        c.layout = Layout::kInt;
        break;
      case kTime:
        c.layout = Layout::kTimestamp;
        break;
      case kSpan:
        c.layout = Layout::kDuration;
        break;
      case kU:
        c.layout = Layout::kUint;
        break;
      case kX:
      case kY:
        c.layout = Layout::kDouble;
        break;
      case kB:
      case kC:
        c.layout = Layout::kBool;
        break;
      case kBytes:
        c.layout = Layout::kBytes;
        break;
      default:
        c.layout = Layout::kString;
        break;
    }
    switch (c.layout) {
      case Layout::kUint:
        c.uints = store.uints.data();
        break;
      case Layout::kDouble:
        c.doubles = store.doubles.data();
        break;
      case Layout::kBool:
        c.bools = store.bools.data();
        break;
      case Layout::kBytes:
      case Layout::kString:
        c.texts = store.texts.data();
        break;
      default:
        c.ints = store.ints.data();
        break;
    }
  }

  Dice& dice_;
  base::Arena arena_;
  std::vector<Store> stores_;
  std::vector<Column> columns_;
};

}  // namespace tamis::cel::kit
