#include "detect/signup_split.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "detect/fast_math.h"

namespace tamis::detect {
namespace {

constexpr double kGainEach = 0.15;  // log-likelihood a member of the smaller side, in each of two groups
constexpr double kGainLeast = 10;   // of all members, in each of two groups
constexpr int kRounds = 12;
constexpr size_t kValuesTried = 6;   // of a trait
constexpr size_t kBeginsMax = 8;     // that are followed
constexpr double kAssociation = 2;   // standard deviations by which another group depends on where a split begins
constexpr size_t kProductsMax = 16;  // ratios that are multiplied before their logarithm is taken
constexpr uint32_t kAllTraits = (1u << SplitRow::kAll) - 1;
// How much of a trait may be a side's own; or nothing.
constexpr std::array<double, 2> kShareOf = {0.6, 0.95};
// Traits that say the same twice count half where a member belongs.
constexpr uint32_t kHalfWeight = 0b0000111110;

}  // namespace

SplitRow SplitRow::of(const SignupFacts& facts) {
  const auto& v = facts.value;
  SplitRow row;
  row.value = {v[kShape],    v[kHardware], v[kAgent], v[kAsn], v[kLocale], uint32_t(facts.net) + 1,
               v[kRecovery], v[kForm]};
  row.x = {facts.measure[kFill], facts.measure[kCaptcha]};
  return row;
}

// Student's t with a weak prior of the spread.
double Splitting::Curve::log_density(double x) const {
  if (n < 1) return -3;
  const double mean = sum / n, around = std::max(0.0, squares - sum * mean);
  const double degrees = 3 + n, variance = std::max((around + 3 * 0.25) / degrees, 0.0144) * (1 + 1 / n);
  const double z2 = (x - mean) * (x - mean) / variance;
  return -0.9189 - 0.5 * fast_log(variance) - 0.5 * (degrees + 1) * fast_log1p(z2 / degrees);
}

Splitting::Splitting(const std::vector<SplitRow>& rows) : size_(rows.size()) {
  number(rows);
  all_.count.assign(first_[kTraits], 0);
  for (size_t i = 0; i < size_; ++i) put(all_, i, 1);
  rarity_.assign(first_[kTraits], 0);
  for (size_t t = 0; t < kTraits; ++t)
    for (uint32_t place = first_[t]; place < first_[t + 1]; ++place)
      if (all_.count[place] > 1.5f) rarity_[place] = (all_.known[t] - 1) / (all_.count[place] - 1);
  usual_.resize(size_);
  for (size_t i = 0; i < size_; ++i)
    for (size_t c = 0; c < kCurves; ++c) {
      const auto x = static_cast<double>(x_[i][c]);
      if (x >= 0) usual_[i][c] = static_cast<float>(all_.curve[c].without(x).log_density(x));
    }
  if (size_ < 2 * kLeast)
    stage_ = Stage::kDone;
  else
    find_begins();
}

void Splitting::number(const std::vector<SplitRow>& rows) {
  value_.resize(size_);
  x_.resize(size_);
  uint32_t next = 1;  // place 0 stands for what is not given
  for (size_t t = 0; t < kTraits; ++t) {
    first_[t] = next;
    std::unordered_map<uint32_t, uint32_t> places;
    for (size_t i = 0; i < size_; ++i) {
      const uint32_t value = rows[i].value[t];
      if (value == 0) continue;
      const auto [place, is_new] = places.try_emplace(value, next);
      next += is_new;
      value_[i][t] = place->second;
    }
  }
  first_[kTraits] = next;
  for (size_t i = 0; i < size_; ++i) x_[i] = rows[i].x;
}

void Splitting::put(Half& half, size_t row, double sign) const {
  half.members += sign;
  for (size_t t = 0; t < kTraits; ++t) {
    const uint32_t place = value_[row][t];
    if (place == 0) continue;
    half.count[place] += static_cast<float>(sign);
    half.known[t] += static_cast<float>(sign);
  }
  for (size_t c = 0; c < kCurves; ++c)
    if (x_[row][c] >= 0) half.curve[c].add(static_cast<double>(x_[row][c]), sign);
}

Splitting::Halves Splitting::parted(const std::vector<uint8_t>& sides) const {
  Halves halves;
  for (Half& half : halves) half.count.assign(first_[kTraits], 0);
  for (size_t i = 0; i < size_; ++i) put(halves[sides[i]], i, 1);
  return halves;
}

void Splitting::find_begins() {
  constexpr float kMembers = static_cast<float>(kLeast);
  for (size_t t = 0; t < kTraits; ++t) {
    std::vector<uint32_t> places(first_[t + 1] - first_[t]);
    std::iota(places.begin(), places.end(), first_[t]);
    std::stable_sort(places.begin(), places.end(),
                     [&](uint32_t a, uint32_t b) { return all_.count[a] > all_.count[b]; });
    if (places.size() > kValuesTried) places.resize(kValuesTried);
    for (uint32_t place : places)
      if (all_.count[place] >= kMembers && all_.count[place] <= static_cast<float>(size_) - kMembers)
        begins_.push_back({t, place, 0, 0});
  }
  for (size_t c = 0; c < kCurves; ++c) {
    std::vector<float> x;
    for (size_t i = 0; i < size_; ++i)
      if (x_[i][c] >= 0) x.push_back(x_[i][c]);
    if (x.size() < 2 * kLeast) continue;
    std::sort(x.begin(), x.end());
    for (double part : {0.25, 0.5, 0.75}) {
      const float limit = x[static_cast<size_t>(part * static_cast<double>(x.size()))];
      begins_.push_back({kTraits + c, 0, static_cast<double>(limit), 0});
    }
  }
}

std::vector<uint8_t> Splitting::sides_of(const Begin& begin) const {
  std::vector<uint8_t> sides(size_);
  for (size_t i = 0; i < size_; ++i)
    sides[i] = begin.trait < kTraits ? value_[i][begin.trait] == begin.value
                                     : static_cast<double>(x_[i][begin.trait - kTraits]) > begin.limit;
  return sides;
}

// How much the most dependent trait of another group depends on the split, in standard deviations: Pearson's statistic
// of values, the square of Welch's of times.
double Splitting::association(const Begin& begin) const {
  const Halves halves = parted(sides_of(begin));
  if (few(halves) < double(kLeast)) return 0;
  double most = 0;
  for (size_t t = 0; t < kAll; ++t) {
    if (kGroupOf[t] == kGroupOf[begin.trait]) continue;
    double statistic = 0, freedom = 0;
    if (t < kTraits) {
      const double known = static_cast<double>(all_.known[t]);
      const double share = static_cast<double>(halves[1].known[t]) / std::max(known, 1.0);
      if (share <= 0 || share >= 1) continue;
      for (uint32_t place = first_[t]; place < first_[t + 1]; ++place) {
        const auto count = static_cast<double>(all_.count[place]);
        if (count < 1.5) continue;
        const double away = static_cast<double>(halves[1].count[place]) - count * share;
        statistic += away * away / (count * share * (1 - share));
        ++freedom;
      }
    } else {
      const Curve& a = halves[0].curve[t - kTraits];
      const Curve& b = halves[1].curve[t - kTraits];
      if (a.n < 3 || b.n < 3) continue;
      const auto of_mean = [](const Curve& c) { return (c.squares - c.sum * c.sum / c.n) / (c.n - 1) / c.n; };
      const double away = a.sum / a.n - b.sum / b.n;
      statistic = away * away / std::max(of_mean(a) + of_mean(b), 1e-4);
      freedom = 1;
    }
    if (freedom > 0) most = std::max(most, (statistic - freedom) / std::sqrt(2 * freedom));
  }
  return most;
}

// Those from which something else depends most; in what has nothing to do with each other there are none.
void Splitting::choose_begins() {
  std::erase_if(begins_, [](const Begin& b) { return b.score < kAssociation; });
  std::stable_sort(begins_.begin(), begins_.end(), [](const Begin& a, const Begin& b) { return a.score > b.score; });
  if (begins_.size() > kBeginsMax) begins_.resize(kBeginsMax);
  at_ = 0;
}

// How much likelier the member's trait is on the side, from which it is left out if it is in it, than among all others.
inline double Splitting::ratio(size_t row, const Half& half, bool is_in, size_t trait) const {
  const float itself = is_in ? 1 : 0;
  if (trait >= kTraits) {
    const size_t c = trait - kTraits;
    const auto x = static_cast<double>(x_[row][c]);
    if (x < 0) return 1;
    const Curve& curve = half.curve[c];
    const double density = is_in ? curve.without(x).log_density(x) : curve.log_density(x);
    return fast_exp(std::clamp(density - static_cast<double>(usual_[row][c]), -20.0, 20.0));
  }
  const uint32_t place = value_[row][trait];
  const float known = half.known[trait] - itself;
  if (place == 0 || rarity_[place] == 0 || known < 1) return 1;
  return static_cast<double>((half.count[place] - itself) / known * rarity_[place]);
}

// How well the member fits in the side, by these traits: no logarithm, for it is only compared.
double Splitting::worth(size_t row, const Half& half, bool is_in, uint32_t traits) const {
  double whole = half.members - is_in + 1, halves = 1;
  for (size_t t = 0; t < kAll; ++t) {
    if (half.share[t] == 0 || (traits >> t & 1) == 0) continue;
    const double mixed = 1 - half.share[t] + half.share[t] * ratio(row, half, is_in, t);
    ((kHalfWeight >> t & 1) != 0 ? halves : whole) *= mixed;
  }
  return whole * std::sqrt(halves);
}

void Splitting::begin_weighing(uint32_t traits) {
  weighed_ = traits;
  row_ = products_ = 0;
  sum_ = {};
  for (auto& half : product_)
    for (auto& trait : half) trait.fill(1);
}

void Splitting::weigh(size_t row, const Halves& halves, const std::vector<uint8_t>& sides) {
  const size_t side = sides[row];
  for (size_t t = 0; t < kAll; ++t) {
    if ((weighed_ >> t & 1) == 0) continue;
    const double r = ratio(row, halves[side], true, t);
    for (size_t k = 0; k < kShares; ++k) product_[side][t][k] *= 1 - kShareOf[k] + kShareOf[k] * r;
  }
  if (++products_ < kProductsMax && row + 1 < size_) return;
  products_ = 0;
  for (size_t s = 0; s < 2; ++s)
    for (size_t t = 0; t < kAll; ++t)
      for (size_t k = 0; k < kShares; ++k) {
        if ((weighed_ >> t & 1) != 0) sum_[s][t][k] += fast_log(product_[s][t][k]);
        product_[s][t][k] = 1;
      }
}

void Splitting::end_weighing(Halves& halves) {
  for (size_t s = 0; s < 2; ++s)
    for (size_t t = 0; t < kAll; ++t) {
      if ((weighed_ >> t & 1) == 0) continue;
      halves[s].share[t] = halves[s].gain[t] = 0;
      for (size_t k = 0; k < kShares; ++k)
        if (sum_[s][t][k] > halves[s].gain[t]) halves[s].gain[t] = sum_[s][t][k], halves[s].share[t] = kShareOf[k];
    }
}

void Splitting::next() {
  if (at_ >= begins_.size()) {
    stage_ = Stage::kDone;
    return;
  }
  side_ = sides_of(begins_[at_++]);
  half_ = parted(side_);
  round_ = 0;
  begin_weighing(kAllTraits);
  stage_ = Stage::kWeigh;
}

void Splitting::end_round() {
  if (few(half_) < double(kLeast)) {
    stage_ = Stage::kNext;
  } else if (moved_ == 0) {
    begin_telling();
  } else {
    ++round_;
    begin_weighing(kAllTraits);
    stage_ = Stage::kWeigh;
  }
}

void Splitting::begin_telling() {
  std::vector<uint8_t> turned = side_;
  if (!turned.empty() && turned[0] != 0)
    for (uint8_t& s : turned) s ^= 1;
  if (std::find(told_.begin(), told_.end(), turned) != told_.end()) {
    stage_ = Stage::kNext;
    return;
  }
  told_.push_back(std::move(turned));
  by_others_.resize(size_);
  group_ = 0, telling_ = 0, gain_ = 0, row_ = 0;
  stage_ = Stage::kAssign;
}

// What a split by everything but the group gains in predicting the group: a split by itself would always gain. Marks of
// one thing say the same: the most telling one counts. What makes up a pace is of its own each.
double Splitting::group_gain() const {
  double gain = 0;
  for (size_t t = 0; t < kAll; ++t) {
    if (kGroupOf[t] != group_) continue;
    const double of = parted_[0].gain[t] + parted_[1].gain[t];
    gain = group_ == kOfPace ? gain + of : std::max(gain, of);
  }
  return gain;
}

void Splitting::end_group(double gain) {
  telling_ += gain > std::max(kGainLeast, kGainEach * few(half_));
  gain_ += gain;
  row_ = 0;
  if (++group_ < kGroups && telling_ + static_cast<int>(kGroups - group_) >= 2) {
    stage_ = Stage::kAssign;
    return;
  }
  if (telling_ >= 2 && gain_ > most_) most_ = gain_, best_ = side_;
  stage_ = Stage::kNext;
}

bool Splitting::work(size_t comparisons) {
  const auto of_group = [this] {
    uint32_t traits = 0;
    for (size_t t = 0; t < kAll; ++t) traits |= uint32_t{kGroupOf[t] == group_} << t;
    return traits;
  };
  // Does a member after the other as long as there is time; whether it was the last.
  size_t left = comparisons;
  const auto each_row = [&](auto&& visit) {
    for (; row_ < size_ && left > 0; ++row_, --left) visit(row_);
    return row_ == size_;
  };
  while (stage_ != Stage::kDone && left > 0) {
    switch (stage_) {
      case Stage::kRank:
        if (at_ == begins_.size()) {
          choose_begins();
          stage_ = Stage::kNext;
          break;
        }
        begins_[at_].score = association(begins_[at_]);
        ++at_;
        left -= std::min(left, size_ / 4);
        break;
      case Stage::kNext:
        next();
        left -= std::min(left, size_ / 4);
        break;
      case Stage::kWeigh:
        if (!each_row([&](size_t i) { weigh(i, half_, side_); })) break;
        end_weighing(half_);
        row_ = moved_ = 0;
        if (round_ == kRounds)
          begin_telling();
        else
          stage_ = Stage::kMove;
        break;
      case Stage::kMove:
        if (!each_row([&](size_t i) {
              const uint8_t from = side_[i];
              const uint8_t to = worth(i, half_[1], from == 1, kAllTraits) > worth(i, half_[0], from == 0, kAllTraits);
              if (to == from) return;
              ++moved_;
              side_[i] = to;
              put(half_[from], i, -1);
              put(half_[to], i, 1);
            }))
          break;
        end_round();
        break;
      case Stage::kAssign:
        if (!each_row([&](size_t i) {
              const uint32_t others = kAllTraits & ~of_group();
              by_others_[i] = worth(i, half_[1], side_[i] == 1, others) > worth(i, half_[0], side_[i] == 0, others);
            }))
          break;
        parted_ = parted(by_others_);
        if (few(parted_) < double(kLeast)) {
          end_group(0);
          break;
        }
        begin_weighing(of_group());
        stage_ = Stage::kWeighGroup;
        break;
      case Stage::kWeighGroup:
        if (!each_row([&](size_t i) { weigh(i, parted_, by_others_); })) break;
        end_weighing(parted_);
        end_group(group_gain());
        break;
      case Stage::kDone:
        break;
    }
  }
  return is_done();
}

bool Splitting::tells(const std::vector<SplitRow>& rows, std::vector<uint8_t> sides) {
  Splitting split(rows);
  if (split.is_done()) return false;
  split.begins_.clear();
  split.side_ = std::move(sides);
  split.half_ = split.parted(split.side_);
  if (few(split.half_) < double(kLeast)) return false;
  split.round_ = kRounds;
  split.begin_weighing(kAllTraits);
  split.stage_ = Stage::kWeigh;
  while (!split.work(SIZE_MAX)) {
  }
  return !split.best_.empty();
}

}  // namespace tamis::detect
