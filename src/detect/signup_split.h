// The best split of some members in two, and whether it tells: the heart of what tells campaigns apart that met in one
// cluster (signup_parts.h says when they do).
//
// Work can be done piece by piece, so that it fits between events: the result does not depend on how it was cut, and
// what is left can be done anew from the rows.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "detect/signup_facts.h"

namespace tamis::detect {

// What is compared of a member. Traits by their place: shape of the name, hardware, agent, provider, locale, class of
// network, recovery and form; then the logarithms of the times to fill the form and at the captcha, below zero if they
// are not given.
struct SplitRow {
  static constexpr size_t kTraits = 8, kCurves = 2, kAll = kTraits + kCurves;
  std::array<uint32_t, kTraits> value{};  // 0: not given
  std::array<float, kCurves> x{};
  static SplitRow of(const SignupFacts& facts);
};

class Splitting {
 public:
  static constexpr size_t kLeast = 10;  // members of a side

  explicit Splitting(const std::vector<SplitRow>& rows);
  // Goes on for about so many comparisons of one member (a tenth of a microsecond each), and says whether all is done.
  bool work(size_t comparisons);
  bool is_done() const { return stage_ == Stage::kDone; }
  // Once it is done: the side of each member. Nothing: they belong together.
  const std::vector<uint8_t>& sides() const { return best_; }
  // Whether this very split, a side for each row, tells.
  static bool tells(const std::vector<SplitRow>& rows, std::vector<uint8_t> sides);

 private:
  static constexpr size_t kAll = SplitRow::kAll, kTraits = SplitRow::kTraits, kCurves = SplitRow::kCurves;
  static constexpr size_t kShares = 2;

  enum class Stage : uint8_t { kRank, kNext, kWeigh, kMove, kAssign, kWeighGroup, kDone };
  // What a group of attributes is about; they have nothing to do with each other in one campaign. Country, language,
  // time zone and network of one address go together, and so do all marks of one device.
  enum Group : uint8_t { kOfName, kOfDevice, kOfPlace, kOfRecovery, kOfPace, kGroups };
  static constexpr std::array<Group, kAll> kGroupOf = {kOfName,  kOfDevice,   kOfDevice, kOfPlace, kOfPlace,
                                                       kOfPlace, kOfRecovery, kOfPace,   kOfPace,  kOfPace};

  // Sums of one curve, from which one member can be left out.
  struct Curve {
    double n = 0, sum = 0, squares = 0;
    void add(double x, double sign) { n += sign, sum += sign * x, squares += sign * x * x; }
    Curve without(double x) const { return {n - 1, sum - x, squares - x * x}; }
    double log_density(double x) const;
  };
  // One side: its members' values by how often they are there, and how much of each trait is its own.
  struct Half {
    std::vector<float> count;  // by number of a value, all traits behind each other
    std::array<float, kTraits> known{};
    std::array<Curve, kCurves> curve{};
    double members = 0;
    std::array<double, kAll> share{}, gain{};
  };
  using Halves = std::array<Half, 2>;
  // Where a split is tried from: who has the value of the trait, or is above the limit.
  struct Begin {
    size_t trait = 0;
    uint32_t value = 0;
    double limit = 0, score = 0;
  };

  void number(const std::vector<SplitRow>& rows);
  void find_begins();
  void put(Half& half, size_t row, double sign) const;
  Halves parted(const std::vector<uint8_t>& sides) const;
  std::vector<uint8_t> sides_of(const Begin& begin) const;
  double association(const Begin& begin) const;
  void choose_begins();
  double ratio(size_t row, const Half& half, bool is_in, size_t trait) const;
  double worth(size_t row, const Half& half, bool is_in, uint32_t traits) const;
  void begin_weighing(uint32_t traits);
  void weigh(size_t row, const Halves& halves, const std::vector<uint8_t>& sides);
  void end_weighing(Halves& halves);
  void begin_group();
  void end_group(double gain);
  void next();
  void begin_telling();
  void end_round();
  double group_gain() const;
  static double few(const Halves& halves) { return std::min(halves[0].members, halves[1].members); }

  size_t size_ = 0;
  std::vector<std::array<uint32_t, kTraits>> value_;  // places in Half::count; 0: not given
  std::vector<std::array<float, kCurves>> x_;
  std::vector<std::array<float, kCurves>> usual_;  // log density of each time among all others
  std::array<uint32_t, kTraits + 1> first_{};      // place of a trait's first value
  std::vector<float> rarity_;                      // by place: (known - 1) / (count - 1) among all, 0 where it is alone
  Half all_;

  Stage stage_ = Stage::kRank;
  std::vector<Begin> begins_;
  size_t at_ = 0;   // of begins_
  size_t row_ = 0;  // of the members
  int round_ = 0;
  size_t moved_ = 0;
  std::vector<uint8_t> side_, by_others_, best_;
  std::vector<std::vector<uint8_t>> told_;  // what other begins came to
  Halves half_, parted_;
  uint32_t weighed_ = 0;  // traits, as bits
  std::array<std::array<std::array<double, kShares>, kAll>, 2> product_{}, sum_{};
  size_t products_ = 0;
  size_t group_ = 0;
  int telling_ = 0;
  double gain_ = 0, most_ = 0;
};

}  // namespace tamis::detect
