#include "detect/signup_parts.h"

#include <algorithm>
#include <numeric>

#include "detect/signup_split.h"

namespace tamis::detect {
namespace {

std::vector<SplitRow> rows_of(const std::vector<const SignupFacts*>& members) {
  std::vector<SplitRow> rows;
  rows.reserve(members.size());
  for (const SignupFacts* facts : members) rows.push_back(SplitRow::of(*facts));
  return rows;
}

std::vector<uint8_t> best_split(const std::vector<SplitRow>& rows, const std::vector<uint32_t>& some) {
  std::vector<SplitRow> chosen;
  chosen.reserve(some.size());
  for (uint32_t row : some) chosen.push_back(rows[row]);
  Splitting split(chosen);
  while (!split.work(SIZE_MAX)) {
  }
  return split.sides();
}

// Numbers of parts by size: 0 is the largest one.
void order_by_size(std::vector<uint32_t>& part, uint32_t parts) {
  std::vector<uint32_t> count(parts, 0), order(parts), place(parts);
  for (uint32_t p : part) ++count[p];
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return count[a] > count[b]; });
  for (uint32_t i = 0; i < parts; ++i) place[order[i]] = i;
  for (uint32_t& p : part) p = place[p];
}

}  // namespace

std::vector<uint32_t> part_members(const std::vector<const SignupFacts*>& members) {
  std::vector<uint32_t> part(members.size(), 0);
  const std::vector<SplitRow> rows = rows_of(members);
  std::vector<std::vector<uint32_t>> open(1);
  open[0].resize(members.size());
  std::iota(open[0].begin(), open[0].end(), 0);
  uint32_t parts = 1;
  while (!open.empty() && parts < kPartsMax) {
    const std::vector<uint32_t> some = std::move(open.back());
    open.pop_back();
    const std::vector<uint8_t> side = best_split(rows, some);
    if (side.empty()) continue;
    std::array<std::vector<uint32_t>, 2> halves;
    for (size_t i = 0; i < some.size(); ++i) halves[side[i]].push_back(some[i]);
    for (uint32_t row : halves[1]) part[row] = parts;
    ++parts;
    open.push_back(std::move(halves[0]));
    open.push_back(std::move(halves[1]));
  }
  order_by_size(part, parts);
  return part;
}

bool are_apart(const std::vector<const SignupFacts*>& one, const std::vector<const SignupFacts*>& other) {
  std::vector<const SignupFacts*> all = one;
  all.insert(all.end(), other.begin(), other.end());
  std::vector<uint8_t> side(all.size(), 1);
  std::fill(side.begin(), side.begin() + static_cast<std::ptrdiff_t>(one.size()), 0);
  return Splitting::tells(rows_of(all), std::move(side));
}

}  // namespace tamis::detect
