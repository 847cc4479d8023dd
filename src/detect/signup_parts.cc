#include "detect/signup_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace tamis::detect {
namespace {

constexpr double kLeast = 10;       // members of a part
constexpr double kGainEach = 0.15;  // log-likelihood a member of the smaller part, in each of two groups
constexpr double kGainLeast = 10;   // of all members, in each of two groups
constexpr int kRounds = 12;
constexpr int kBegins = 6;  // values of an attribute that a split is tried from

// What is compared, by groups that have nothing to do with each other in one campaign. Country, language, time zone and
// network of one address go together, and so do all marks of one device.
enum Group : uint8_t { kOfName, kOfDevice, kOfPlace, kOfRecovery, kOfPace, kGroups };
// Traits by their place: values of shape of the name, hardware, agent, provider, locale, class of network, recovery and
// form; then the times to fill the form and at the captcha.
constexpr size_t kTraits = 8, kCurves = 2, kAll = kTraits + kCurves;
constexpr std::array<Group, kAll> kGroupOf = {kOfName,  kOfDevice,   kOfDevice, kOfPlace, kOfPlace,
                                              kOfPlace, kOfRecovery, kOfPace,   kOfPace,  kOfPace};
// Where a member belongs, traits of one thing count together as one.
constexpr std::array<double, kAll> kWeight = {1, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1};
// How much of a trait is a part's own.
constexpr std::array<double, 3> kShares = {0, 0.6, 0.95};

struct Row {
  std::array<uint32_t, kTraits> value{};  // numbers of values, 0: not given
  std::array<double, kCurves> x{};        // logarithms, below zero: not given
};

// Sums of one curve, from which one member can be left out.
struct Curve {
  double n = 0, sum = 0, squares = 0;
  void add(double x, double sign) { n += sign, sum += sign * x, squares += sign * x * x; }
  // Logarithm of the predictive density, Student's t with a weak prior of the spread.
  double log_density(double x) const {
    if (n < 1) return -3;
    const double mean = sum / n, around = std::max(0.0, squares - sum * mean);
    const double degrees = 3 + n, variance = std::max((around + 3 * 0.25) / degrees, 0.0144) * (1 + 1 / n);
    const double z2 = (x - mean) * (x - mean) / variance;
    return -0.9189 - 0.5 * std::log(variance) - 0.5 * (degrees + 1) * std::log1p(z2 / degrees);
  }
};

// The members' values by how often they are there.
struct Model {
  std::array<std::vector<double>, kTraits> count;
  std::array<double, kTraits> known{};
  std::array<Curve, kCurves> curve;
  double members = 0;

  explicit Model(const std::array<uint32_t, kTraits>& values) {
    for (size_t t = 0; t < kTraits; ++t) count[t].assign(values[t], 0);
  }
  void add(const Row& row, double sign) {
    members += sign;
    for (size_t t = 0; t < kTraits; ++t) {
      if (row.value[t] == 0) continue;
      count[t][row.value[t]] += sign;
      known[t] += sign;
    }
    for (size_t c = 0; c < kCurves; ++c)
      if (row.x[c] >= 0) curve[c].add(row.x[c], sign);
  }
};

// One side of a split: its members, how much of each trait is its own, and what that gains in predicting them.
struct Half {
  Model model;
  std::array<double, kAll> share{}, gain{};
  explicit Half(const std::array<uint32_t, kTraits>& values) : model(values) {}
};

class Parting {
 public:
  explicit Parting(const std::vector<const SignupFacts*>& members) {
    std::array<std::unordered_map<uint32_t, uint32_t>, kTraits> numbers;
    rows_.reserve(members.size());
    for (const SignupFacts* facts : members) {
      const auto& v = facts->value;
      const std::array<uint32_t, kTraits> raw = {
          v[kShape], v[kHardware], v[kAgent], v[kAsn], v[kLocale], uint32_t(facts->net) + 1, v[kRecovery], v[kForm]};
      Row row;
      for (size_t t = 0; t < kTraits; ++t) {
        if (raw[t] == 0) continue;
        row.value[t] = numbers[t].try_emplace(raw[t], static_cast<uint32_t>(numbers[t].size()) + 1).first->second;
      }
      row.x[0] = static_cast<double>(facts->measure[kFill]);
      row.x[1] = static_cast<double>(facts->measure[kCaptcha]);
      rows_.push_back(row);
    }
    for (size_t t = 0; t < kTraits; ++t) values_[t] = static_cast<uint32_t>(numbers[t].size()) + 1;
    part_.assign(rows_.size(), 0);
  }

  // Whether the first `size` members and the others differ in two groups at least.
  bool is_split_at(size_t size) const {
    std::vector<uint32_t> all(rows_.size());
    std::iota(all.begin(), all.end(), 0);
    Model model(values_);
    std::array<Half, 2> half = {Half(values_), Half(values_)};
    std::vector<uint8_t> side(rows_.size());
    for (size_t i = 0; i < rows_.size(); ++i) {
      side[i] = i >= size;
      model.add(rows_[i], 1);
      half[side[i]].model.add(rows_[i], 1);
    }
    weigh(all, model, side, half);
    return told(all, model, half, side) > 0;
  }

  std::vector<uint32_t> run() {
    std::vector<uint32_t> all(rows_.size());
    std::iota(all.begin(), all.end(), 0);
    divide(std::move(all));
    return by_size();
  }

 private:
  // Parts the members again and again, as long as it tells.
  void divide(std::vector<uint32_t> whole) {
    std::vector<std::vector<uint32_t>> open = {std::move(whole)};
    while (!open.empty() && parts_ < kPartsMax) {
      const std::vector<uint32_t> some = std::move(open.back());
      open.pop_back();
      if (static_cast<double>(some.size()) < 2 * kLeast) continue;
      std::vector<uint8_t> side = best_split(some);
      if (side.empty()) continue;
      std::array<std::vector<uint32_t>, 2> halves;
      for (size_t i = 0; i < some.size(); ++i) halves[side[i]].push_back(some[i]);
      for (uint32_t row : halves[1]) part_[row] = parts_;
      ++parts_;
      open.push_back(std::move(halves[0]));
      open.push_back(std::move(halves[1]));
    }
  }

  std::vector<uint8_t> best_split(const std::vector<uint32_t>& some) const {
    Model all(values_);
    for (uint32_t row : some) all.add(rows_[row], 1);
    std::vector<uint8_t> best;
    double most = 0;
    const auto consider = [&](std::vector<uint8_t> side) {
      const double gain = settle(some, all, side);
      if (gain > most) most = gain, best = std::move(side);
    };
    for (size_t t = 0; t < kTraits; ++t) {
      std::vector<uint32_t> values(all.count[t].size());
      std::iota(values.begin(), values.end(), 0);
      std::stable_sort(values.begin(), values.end(),
                       [&](uint32_t a, uint32_t b) { return all.count[t][a] > all.count[t][b]; });
      for (size_t k = 0; k < std::min<size_t>(kBegins, values.size()); ++k) {
        if (all.count[t][values[k]] < kLeast || all.count[t][values[k]] > all.members - kLeast) continue;
        std::vector<uint8_t> side(some.size());
        for (size_t i = 0; i < some.size(); ++i) side[i] = rows_[some[i]].value[t] == values[k];
        consider(std::move(side));
      }
    }
    for (size_t c = 0; c < kCurves; ++c) {
      std::vector<double> x;
      for (uint32_t row : some)
        if (rows_[row].x[c] >= 0) x.push_back(rows_[row].x[c]);
      if (static_cast<double>(x.size()) < 2 * kLeast) continue;
      std::sort(x.begin(), x.end());
      for (double at : {0.25, 0.5, 0.75}) {
        const double limit = x[static_cast<size_t>(at * static_cast<double>(x.size()))];
        std::vector<uint8_t> side(some.size());
        for (size_t i = 0; i < some.size(); ++i) side[i] = rows_[some[i]].x[c] > limit;
        consider(std::move(side));
      }
    }
    return best;
  }

  static double few(const std::array<Half, 2>& half) { return std::min(half[0].model.members, half[1].model.members); }

  // Moves members to the side that predicts them better until none moves; what the split tells then, 0: too little.
  double settle(const std::vector<uint32_t>& some, const Model& all, std::vector<uint8_t>& side) const {
    std::array<Half, 2> half = {Half(values_), Half(values_)};
    for (size_t i = 0; i < some.size(); ++i) half[side[i]].model.add(rows_[some[i]], 1);
    for (int round = 0;; ++round) {
      weigh(some, all, side, half);
      if (round == kRounds) break;
      size_t moved = 0;
      for (size_t i = 0; i < some.size(); ++i) {
        const Row& row = rows_[some[i]];
        half[side[i]].model.add(row, -1);
        const uint8_t to = worth(row, half[1], all) > worth(row, half[0], all);
        moved += to != side[i];
        side[i] = to;
        half[to].model.add(row, 1);
      }
      if (few(half) < kLeast) return 0;
      if (moved == 0) break;
    }
    return told(some, all, half, side);
  }

  // What a split gains, 0 where it is not told in two groups.
  double told(const std::vector<uint32_t>& some, const Model& all, const std::array<Half, 2>& half,
              const std::vector<uint8_t>& side) const {
    double sum = 0;
    int telling = 0;
    for (int g = 0; g < kGroups; ++g) {
      const double gain = foretold(some, all, half, side, static_cast<Group>(g));
      telling += gain > std::max(kGainLeast, kGainEach * few(half));
      sum += gain;
    }
    return telling >= 2 ? sum : 0;
  }

  // What a split by everything but the group gains in predicting the group: a split by itself would always gain.
  double foretold(const std::vector<uint32_t>& some, const Model& all, const std::array<Half, 2>& half,
                  const std::vector<uint8_t>& side, Group group) const {
    std::array<Half, 2> others = half;
    for (Half& h : others)
      for (size_t t = 0; t < kAll; ++t)
        if (kGroupOf[t] == group) h.share[t] = 0;
    std::vector<uint8_t> by_others(some.size());
    for (size_t i = 0; i < some.size(); ++i) {
      const Row& row = rows_[some[i]];
      others[side[i]].model.add(row, -1);
      by_others[i] = worth(row, others[1], all) > worth(row, others[0], all);
      others[side[i]].model.add(row, 1);
    }
    std::array<Half, 2> parted = {Half(values_), Half(values_)};
    for (size_t i = 0; i < some.size(); ++i) parted[by_others[i]].model.add(rows_[some[i]], 1);
    if (few(parted) < kLeast) return 0;
    weigh(some, all, by_others, parted);
    // Marks of one thing say the same: the most telling one counts. What makes up a pace is of its own each.
    double gain = 0;
    for (size_t t = 0; t < kAll; ++t) {
      if (kGroupOf[t] != group) continue;
      const double of = parted[0].gain[t] + parted[1].gain[t];
      gain = group == kOfPace ? gain + of : std::max(gain, of);
    }
    return gain;
  }

  // How much of each trait is the half's own: nothing of what it does not share. Each member is left out in turn.
  void weigh(const std::vector<uint32_t>& some, const Model& all, const std::vector<uint8_t>& side,
             std::array<Half, 2>& half) const {
    std::array<std::array<std::array<double, kShares.size()>, kAll>, 2> gain{};
    for (size_t i = 0; i < some.size(); ++i) {
      const Row& row = rows_[some[i]];
      Half& h = half[side[i]];
      h.model.add(row, -1);
      for (size_t t = 0; t < kAll; ++t) {
        const double r = ratio(row, h.model, all, t);
        for (size_t k = 0; k < kShares.size(); ++k) gain[side[i]][t][k] += std::log(1 - kShares[k] + kShares[k] * r);
      }
      h.model.add(row, 1);
    }
    for (size_t s = 0; s < 2; ++s) {
      for (size_t t = 0; t < kAll; ++t) {
        const auto most = std::max_element(gain[s][t].begin(), gain[s][t].end());
        half[s].share[t] = kShares[static_cast<size_t>(most - gain[s][t].begin())];
        half[s].gain[t] = *most;
      }
    }
  }

  // How much likelier the member's trait is in the model, which does not have it, than among all others.
  static double ratio(const Row& row, const Model& m, const Model& all, size_t t) {
    if (t >= kTraits) {
      const double x = row.x[t - kTraits];
      if (x < 0) return 1;
      Curve others = all.curve[t - kTraits];
      others.add(x, -1);
      return std::exp(std::clamp(m.curve[t - kTraits].log_density(x) - others.log_density(x), -20.0, 20.0));
    }
    const uint32_t value = row.value[t];
    if (value == 0 || all.count[t][value] < 1.5 || m.known[t] < 1) return 1;
    return m.count[t][value] / m.known[t] * (all.known[t] - 1) / (all.count[t][value] - 1);
  }
  static double worth(const Row& row, const Half& h, const Model& all) {
    double sum = std::log(h.model.members + 1);
    for (size_t t = 0; t < kAll; ++t)
      if (h.share[t] > 0) sum += kWeight[t] * std::log(1 - h.share[t] + h.share[t] * ratio(row, h.model, all, t));
    return sum;
  }

  std::vector<uint32_t> by_size() const {
    std::vector<uint32_t> count(parts_, 0), order(parts_), place(parts_);
    for (uint32_t p : part_) ++count[p];
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return count[a] > count[b]; });
    for (uint32_t i = 0; i < parts_; ++i) place[order[i]] = i;
    std::vector<uint32_t> out(part_.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = place[part_[i]];
    return out;
  }

  std::vector<Row> rows_;
  std::array<uint32_t, kTraits> values_{};
  std::vector<uint32_t> part_;
  uint32_t parts_ = 1;
};

}  // namespace

std::vector<uint32_t> part_members(const std::vector<const SignupFacts*>& members) {
  if (static_cast<double>(members.size()) < 2 * kLeast) return std::vector<uint32_t>(members.size(), 0);
  return Parting(members).run();
}

bool are_apart(const std::vector<const SignupFacts*>& one, const std::vector<const SignupFacts*>& other) {
  std::vector<const SignupFacts*> all = one;
  all.insert(all.end(), other.begin(), other.end());
  return Parting(all).is_split_at(one.size());
}

}  // namespace tamis::detect
