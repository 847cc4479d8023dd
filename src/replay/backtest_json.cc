#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/backtest.h"

namespace tamis::replay {

using event::JsonWriter;

namespace {

void write_share(JsonWriter& json, std::string_view name, const Share& share) {
  json.key(name);
  if (!share.known()) {
    json.null().key(std::string(name) + "_interval").null();
    return;
  }
  auto [low, high] = share.interval();
  json.real(share.value());
  json.key(std::string(name) + "_interval").begin_array().real(low).real(high).end_array();
}

void write_sample(JsonWriter& json, const BacktestResult::Sample& sample) {
  json.begin_object();
  json.key("record").uinteger(sample.record).key("id").string(sample.id).key("type").string(sample.type);
  json.key("time").string(event::format_time_ms(sample.time_ms));
  json.key("old_verdict");
  sample.old_verdict.empty() ? json.null() : json.string(sample.old_verdict);
  json.key("new_verdict");
  sample.new_verdict.empty() ? json.null() : json.string(sample.new_verdict);
  json.key("values").begin_object();
  for (const auto& [name, value] : sample.values) json.key(name).raw(value);
  json.end_object().end_object();
}

void write_samples(JsonWriter& json, const BacktestResult& result) {
  static constexpr std::string_view kNames[] = {"matched",    "matched_good", "matched_bad",
                                                "missed_bad", "gained",       "lost"};
  static_assert(std::size(kNames) == BacktestResult::kSampleKinds);
  json.key("samples").begin_object();
  for (size_t k = 0; k < std::size(kNames); ++k) {
    json.key(kNames[k]).begin_array();
    for (const auto& sample : result.samples[k]) write_sample(json, sample);
    json.end_array();
  }
  json.end_object();
}

void write_classes(JsonWriter& json, const BacktestResult& result) {
  json.key("class");
  result.class_field.empty() ? json.null() : json.string(result.class_field);
  json.key("per_class").begin_array();
  for (const auto& row : result.per_class) {
    json.begin_object().key("type").string(row.type).key("class").string(row.name);
    json.key("good").uinteger(row.false_positives.of).key("matched_good").uinteger(row.false_positives.part);
    write_share(json, "false_positives", row.false_positives);
    json.key("bad").uinteger(row.recall.of).key("matched_bad").uinteger(row.recall.part).end_object();
  }
  json.end_array();
}

void write_names(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  json.key(key).begin_array();
  for (const std::string& name : names) json.string(name);
  json.end_array();
}

}  // namespace

void write_json(const BacktestResult& result, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  json.key("rule");
  result.rule.empty() ? json.null() : json.string(result.rule);
  json.key("policy").string(result.policy_version);
  write_names(json, "types", result.types);
  if (result.events != 0) {
    json.key("from").string(event::format_time_ms(result.from_ms));
    json.key("to").string(event::format_time_ms(result.to_ms));
  }
  json.key("events").uinteger(result.events).key("events_gone").uinteger(result.events_gone);
  json.key("matched").uinteger(result.matched);
  json.key("gained").uinteger(result.gained).key("lost").uinteger(result.lost);
  write_share(json, "precision", result.precision);
  write_share(json, "recall", result.recall);
  json.key("truth").begin_object().key("good").uinteger(result.known_good).key("bad").uinteger(result.known_bad);
  write_names(json, "unread", result.truth_unread);
  if (result.truth_faults.count > 0) {
    json.key("refused").uinteger(result.truth_faults.count);
    write_names(json, "faults", result.truth_faults.first);
  }
  json.end_object();
  json.key("per_day").begin_array();
  for (const auto& day : result.per_day) {
    json.begin_object().key("day").string(event::format_time_ms(day.day_ms).substr(0, 10));
    json.key("events").uinteger(day.events).key("matched").uinteger(day.matched);
    json.key("gained").uinteger(day.gained).key("lost").uinteger(day.lost).end_object();
  }
  json.end_array();
  write_classes(json, result);
  json.key("overlap").begin_array();
  for (const auto& other : result.overlap) {
    double share = result.matched == 0 ? 0 : static_cast<double>(other.both) / static_cast<double>(result.matched);
    json.begin_object().key("rule").string(other.rule).key("both").uinteger(other.both);
    json.key("share").real(share).end_object();
  }
  json.end_array();
  write_samples(json, result);
  json.key("columnar").boolean(result.columnar);
  if (!result.columnar) json.key("replayed_because").string(result.replayed_because);
  json.key("seconds").real(result.seconds).key("cost_us_per_event");
  result.events == 0 ? json.null() : json.real(result.evaluation_seconds * 1e6 / static_cast<double>(result.events));
  json.end_object();
}

}  // namespace tamis::replay
