#include "app/eval_answers.h"

#include <algorithm>

#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::MapEntry;
using event::Value;

std::span<const MapEntry> entries_of(Value map) { return {map.map->entries, map.map->size}; }

bool has_verdict(const policy::Policy& policy, std::string_view verdict) {
  return std::any_of(policy.types.begin(), policy.types.end(), [&](const policy::EventType& type) {
    return std::find(type.ladder.begin(), type.ladder.end(), verdict) != type.ladder.end();
  });
}

}  // namespace

base::Status EvalAnswers::read(const std::vector<std::string>& texts, const policy::Policy& policy) {
  for (const std::string& text : texts) {
    const size_t at = std::min(text.find('='), text.size());
    const std::string verdict = text.substr(0, at);
    if (!has_verdict(policy, verdict)) {
      return base::invalid("--answer: no event type has a verdict \"" + verdict + "\"");
    }
    const std::string_view json = std::string_view(text).substr(std::min(at + 1, text.size()));
    auto value = event::JsonReader::to_value(arena_.copy(json), arena_);
    if (!value || !value->is(Kind::kMap)) {
      return base::invalid("--answer " + verdict + ": expected a JSON object, like {\"type\": \"challenge\"}" +
                           (value ? "" : ": " + value.error().message));
    }
    answers_.emplace_back(verdict, *value);
  }
  return {};
}

const std::string* EvalAnswers::to(std::string_view verdict, std::string_view line) {
  const auto found =
      std::find_if(answers_.begin(), answers_.end(), [&](const auto& answer) { return answer.first == verdict; });
  if (found == answers_.end()) return nullptr;
  base::Arena arena;
  const auto event = event::JsonReader::to_value(line, arena);
  if (!event || !event->is(Kind::kMap)) return nullptr;
  const auto replaced = entries_of(found->second);
  text_.clear();
  event::JsonWriter json(text_);
  json.begin_object();
  for (const MapEntry& entry : entries_of(*event)) {
    const bool is_replaced = std::any_of(replaced.begin(), replaced.end(),
                                         [&](const MapEntry& other) { return other.key.str() == entry.key.str(); });
    if (!is_replaced) json.key(entry.key.str()).value(entry.value);
  }
  for (const MapEntry& entry : replaced) json.key(entry.key.str()).value(entry.value);
  json.end_object();
  return &text_;
}

}  // namespace tamis::app
