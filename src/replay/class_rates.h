// Whom a rule or a policy hits: of events of which the truth is known, how many honest and how many bad ones, told
// apart by event type and by class (of the network, or any other field). What `tamis backtest` and `tamis eval` report,
// and the bounds that the latter holds a policy to.
//
// Types are never pooled: one with many events would hide what another does to the same people.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "event/value.h"

namespace tamis::replay {

// A share with its 95 % interval (Wilson 1927), unknown where it is of nothing.
struct Share {
  uint64_t part = 0, of = 0;
  bool known() const { return of != 0; }
  double value() const { return static_cast<double>(part) / static_cast<double>(of); }
  std::pair<double, double> interval() const;  // 0 to 1 of nothing
};

// Events of one type and class of which the truth is known.
struct ClassCell {
  uint64_t good = 0, hit_good = 0, bad = 0, hit_bad = 0;
  void add(bool is_bad, bool hit) {
    ++(is_bad ? bad : good);
    if (hit) ++(is_bad ? hit_bad : hit_good);
  }
  void add(const ClassCell& other) {
    good += other.good, hit_good += other.hit_good;
    bad += other.bad, hit_bad += other.hit_bad;
  }
  Share false_positives() const { return {hit_good, good}; }
  Share recall() const { return {hit_bad, bad}; }
};
// By name of the class.
using ClassCells = std::map<std::string, ClassCell, std::less<>>;

// The name of the class that a value is; "(none)" for an absent one. `room` is for values that are no text.
std::string_view class_name(event::Value v, std::string& room);

// The cell of a class. Beyond kClassesMax of them further ones are counted together, as kOtherClasses.
inline constexpr size_t kClassesMax = 64;
inline constexpr std::string_view kOtherClasses = "(others)";
ClassCell& cell_of(ClassCells& cells, std::string_view name);

// The largest share of honest events of a class that may be hit.
struct RateBound {
  std::string type;  // empty: in each event type
  std::string name;  // of the class
  double most = 0;
};
// "tor=0.5%", "signup/tor=0.005". What stands before the first slash is a type if `types` has it, else all of it is the
// class. Errors say what is wrong with the text.
base::Result<RateBound> read_rate_bound(const std::string& text, const std::vector<std::string>& types);
// An error if two of them are of the same type and class.
base::Status check_bounds(const std::vector<RateBound>& bounds);

// A bound laid beside what was counted for one event type.
struct RateCheck {
  enum class Result : uint8_t { kHolds, kExceeds, kUnknown };  // kUnknown: there are no honest events
  std::string type;                                            // empty where no type has honest events of the class
  std::string name;
  double most = 0;
  Share rate;  // honest events that are hit
  Result result = Result::kUnknown;
  // Whether the 95 % interval lies on that side of the bound as a whole; if not, there are too few events to tell, and
  // it would take `sure_from` of them at this rate (0: no number would do).
  bool sure = false;
  uint64_t sure_from = 0;

  std::string where() const { return type.empty() ? name : type + "/" + name; }
  // For people: "signup/tor: 2.000 % of honest events are treated harshly, at most 0.500 % may be (2 of 100; ...)".
  std::string words() const;
};
// In each event type that has honest events of the class, in their order; a bound of one type goes before one of all.
std::vector<RateCheck> check_rates(const std::vector<RateBound>& bounds,
                                   const std::map<std::string, ClassCells>& by_type);

}  // namespace tamis::replay
