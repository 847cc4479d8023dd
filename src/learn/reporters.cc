#include "learn/reporters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/hash.h"

namespace tamis::learn {
namespace {

constexpr std::string_view kMagic = "TAMISREP1";
constexpr int64_t kDayMs = 86'400'000;
// Old judgements fade, so that trust that was earned long ago cannot be spent for ever.
constexpr float kJudgedMax = 200;
constexpr size_t kKnownBytes = 8 + 4 + 4 + 8;

template <class T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
T take(std::string_view& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

int64_t day_of(int64_t now_ms) { return now_ms >= 0 ? now_ms / kDayMs : (now_ms + 1) / kDayMs - 1; }

}  // namespace

Reporters::Reporters(const ReporterOptions& options) : options_(options) {
  options_.tracked_max = std::clamp(options_.tracked_max, 1u, 10'000'000u);
}

Reporters::Known& Reporters::Table::at(uint64_t who, uint32_t tracked_max) {
  if (const auto found = known.find(who); found != known.end()) {
    order.splice(order.begin(), order, found->second);
    return order.front();
  }
  if (known.size() >= tracked_max) {
    known.erase(order.back().who);
    order.pop_back();
  }
  order.push_front({});
  order.front().who = who;
  known[who] = order.begin();
  return order.front();
}

const Reporters::Known* Reporters::Table::find(uint64_t who) const {
  const auto found = known.find(who);
  return found == known.end() ? nullptr : &*found->second;
}

float Reporters::trust_of(uint64_t reporter) const {
  const Known* known = judged_.find(reporter);
  const float agreed = options_.agreed_before + (known != nullptr ? known->first : 0);
  const float judged = options_.judged_before + (known != nullptr ? known->second : 0);
  // Half right is what a coin gets.
  return judged > 0 ? std::clamp(2 * agreed / judged - 1, 0.0f, 1.0f) : 0;
}

float Reporters::left_of(Table& table, uint64_t who, int64_t day, float most) {
  Known& known = table.at(who, options_.tracked_max);
  if (known.day != day) {
    known.day = day;
    known.first = 0;
  }
  return std::max(0.0f, most - known.first);
}

float Reporters::weight_of(const Report& report) {
  const int64_t day = day_of(report.now_ms);
  float weight = trust_of(report.reporter);
  if (weight < options_.overturn_trust_min && report.contradicted > options_.overturn_logit_max) return 0;
  if (weight >= options_.proven_trust) weight = 1;
  weight = std::min(weight, left_of(by_reporter_, report.reporter, day, options_.reporter_day_max));
  if (report.network != 0)
    weight = std::min(weight, left_of(by_network_, report.network, day, options_.network_day_max));
  if (report.campaign != 0) {
    weight = std::min(weight, left_of(by_campaign_, report.campaign, day, options_.campaign_day_max));
  }
  by_reporter_.at(report.reporter, options_.tracked_max).first += weight;
  if (report.network != 0) by_network_.at(report.network, options_.tracked_max).first += weight;
  if (report.campaign != 0) by_campaign_.at(report.campaign, options_.tracked_max).first += weight;
  return weight;
}

void Reporters::confirm(uint64_t reporter, bool agreed) {
  Known& known = judged_.at(reporter, options_.tracked_max);
  if (known.second >= kJudgedMax) {
    known.first *= 0.5f;
    known.second *= 0.5f;
  }
  known.first += agreed ? 1.0f : 0.0f;
  known.second += 1;
}

void Reporters::forget(uint64_t reporter) {
  for (Table* table : {&judged_, &by_reporter_}) {
    const auto found = table->known.find(reporter);
    if (found == table->known.end()) continue;
    table->order.erase(found->second);
    table->known.erase(found);
  }
}

std::string Reporters::save() const {
  std::string out(kMagic);
  for (const Table* table : {&judged_, &by_reporter_, &by_network_, &by_campaign_}) {
    put(out, static_cast<uint64_t>(table->order.size()));
    for (const Known& known : table->order) {
      put(out, known.who);
      put(out, known.first);
      put(out, known.second);
      put(out, known.day);
    }
  }
  put(out, base::hash64(out));
  return out;
}

base::Result<Reporters> Reporters::load(std::string_view bytes, const ReporterOptions& options) {
  const auto broken = [] { return base::invalid("this is no table of reporters, or it is damaged"); };
  if (bytes.size() < kMagic.size() + 8 || bytes.substr(0, kMagic.size()) != kMagic) return broken();
  std::string_view sum = bytes.substr(bytes.size() - 8);
  bytes.remove_suffix(8);
  if (take<uint64_t>(sum) != base::hash64(bytes)) return broken();
  bytes.remove_prefix(kMagic.size());
  Reporters reporters(options);
  for (Table* table : {&reporters.judged_, &reporters.by_reporter_, &reporters.by_network_, &reporters.by_campaign_}) {
    if (bytes.size() < 8) return broken();
    const auto number = take<uint64_t>(bytes);
    if (number > bytes.size() / kKnownBytes) return broken();
    std::vector<Known> all(number);
    for (Known& known : all) {
      known.who = take<uint64_t>(bytes);
      known.first = take<float>(bytes);
      known.second = take<float>(bytes);
      known.day = take<int64_t>(bytes);
      if (!(known.first >= 0 && known.first <= 1e9f && known.second >= 0 && known.second <= 1e9f)) return broken();
    }
    // Oldest first, so that a smaller bound keeps the newest.
    for (auto known = all.rbegin(); known != all.rend(); ++known) {
      if (table->find(known->who) != nullptr) return broken();
      Known& place = table->at(known->who, reporters.options_.tracked_max);
      place = *known;
    }
  }
  if (!bytes.empty()) return broken();
  return reporters;
}

}  // namespace tamis::learn
