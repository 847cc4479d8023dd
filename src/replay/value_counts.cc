#include "replay/value_counts.h"

#include <algorithm>

#include "base/hash.h"
#include "event/json_writer.h"

namespace tamis::replay {

using cel::Column;
using event::Kind;
using event::Value;

namespace {

constexpr size_t kValuesMax = 200'000;  // counted one by one
constexpr uint64_t kSmall = 1 << 16;

std::string json_of(int64_t number) {
  std::string json;
  event::JsonWriter(json).integer(number);
  return json;
}

}  // namespace

void ValueCounts::add(const Column& column, std::span<const uint32_t> rows) {
  if (column.layout == Column::Layout::kDictionary) return add_codes(column, rows);
  if (column.layout == Column::Layout::kInt) return add_numbers(column, rows);
  if (column.layout == Column::Layout::kAbsent) {
    absent_ += rows.size();
    return;
  }
  for (const uint32_t row : rows) add_value(column.at(row));
}

void ValueCounts::add_codes(const Column& column, std::span<const uint32_t> rows) {
  // Of a dictionary that comes again and again, the counts of its entries are looked up once.
  if (column.dictionary_id == 0 || column.dictionary_id != dictionary_id_) {
    add_entries();
    dictionary_id_ = column.dictionary_id;
    entries_.assign(column.dictionary.size(), Entry());
  }
  for (const uint32_t row : rows) {
    if (column.states != nullptr && column.states[row] != Column::kOk) {
      ++absent_;
      continue;
    }
    Entry& entry = entries_[column.codes[row]];
    if (entry.to == nullptr) [[unlikely]]
      entry.to = count_of(column.dictionary[column.codes[row]]);
    ++entry.count;
  }
}

void ValueCounts::add_entries() const {
  for (Entry& entry : entries_) {
    if (entry.to != nullptr) *entry.to += entry.count;
    entry.count = 0;
  }
}

void ValueCounts::add_numbers(const Column& column, std::span<const uint32_t> rows) {
  if (small_.empty()) small_.resize(kSmall);
  for (const uint32_t row : rows) {
    if (column.states != nullptr && column.states[row] != Column::kOk) {
      ++absent_;
      continue;
    }
    const int64_t number = column.ints[row];
    if (static_cast<uint64_t>(number) < kSmall) {
      ++small_[static_cast<uint64_t>(number)];
    } else {
      add_number(number, 1);
    }
  }
}

void ValueCounts::add_value(Value value) {
  if (value.is(Kind::kInt)) return add_number(value.i, 1);
  if (value.is(Kind::kUint) && value.u <= INT64_MAX) return add_number(static_cast<int64_t>(value.u), 1);
  ++*count_of(value);
}

void ValueCounts::add_number(int64_t number, uint64_t times) {
  if (static_cast<uint64_t>(number) < kSmall) {
    if (small_.empty()) small_.resize(kSmall);
    small_[static_cast<uint64_t>(number)] += times;
    return;
  }
  if (numbers_used_ * 2 >= numbers_.size()) grow_numbers();
  const size_t mask = numbers_.size() - 1;
  size_t at = base::mix64(static_cast<uint64_t>(number)) & mask;
  while (numbers_[at].count != 0 && numbers_[at].number != number) at = (at + 1) & mask;
  if (numbers_[at].count == 0) {
    if (numbers_used_ >= kValuesMax) {
      dropped_ += times;
      return;
    }
    ++numbers_used_;
    numbers_[at].number = number;
  }
  numbers_[at].count += times;
}

void ValueCounts::grow_numbers() {
  std::vector<Number> before(std::max<size_t>(numbers_.size() * 2, 1'024));
  before.swap(numbers_);
  const size_t mask = numbers_.size() - 1;
  for (const Number& known : before) {
    if (known.count == 0) continue;
    size_t at = base::mix64(static_cast<uint64_t>(known.number)) & mask;
    while (numbers_[at].count != 0) at = (at + 1) & mask;
    numbers_[at] = known;
  }
}

uint64_t* ValueCounts::count_of(Value value) {
  if (value.is(Kind::kAbsent) || value.is_error()) return &absent_;
  json_.clear();
  event::JsonWriter(json_).value(value);
  auto found = counts_.find(std::string_view(json_));
  if (found != counts_.end()) return &found->second;
  return counts_.size() < kValuesMax ? &counts_.emplace(json_, 0).first->second : &dropped_;
}

template <class Each>
void ValueCounts::each_number(Each each) const {
  for (size_t i = 0; i < small_.size(); ++i) {
    if (small_[i] != 0) each(static_cast<int64_t>(i), small_[i]);
  }
  for (const Number& known : numbers_) {
    if (known.count != 0) each(known.number, known.count);
  }
}

void ValueCounts::merge(const ValueCounts& other) {
  other.add_entries();
  absent_ += other.absent_, dropped_ += other.dropped_;
  for (const auto& [json, count] : other.counts_) counts_[json] += count;
  other.each_number([this](int64_t number, uint64_t count) { add_number(number, count); });
}

FindResult::Facet ValueCounts::take(std::string name, size_t most) const {
  add_entries();
  FindResult::Facet facet;
  facet.name = std::move(name);
  facet.absent = absent_;
  facet.others = dropped_;
  facet.rough = dropped_ != 0;
  // The least count that is shown; only what reaches it is written as JSON.
  std::vector<uint64_t> counts;
  uint64_t sum = 0;
  auto note = [&](uint64_t count) {
    counts.push_back(count);
    sum += count;
  };
  for (const auto& [json, count] : counts_) note(count);
  each_number([&](int64_t, uint64_t count) { note(count); });
  uint64_t least = 1;
  if (most == 0) {
    least = UINT64_MAX;
  } else if (counts.size() > most) {
    std::nth_element(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(most - 1), counts.end(),
                     std::greater<>());
    least = std::max<uint64_t>(counts[most - 1], 1);
  }
  for (const auto& [json, count] : counts_) {
    if (count >= least) facet.values.emplace_back(json, count);
  }
  each_number([&](int64_t number, uint64_t count) {
    if (count >= least) facet.values.emplace_back(json_of(number), count);
  });
  std::sort(facet.values.begin(), facet.values.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (facet.values.size() > most) facet.values.resize(most);
  for (const auto& [json, count] : facet.values) sum -= count;
  facet.others += sum;
  return facet;
}

}  // namespace tamis::replay
