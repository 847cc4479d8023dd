#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/factor_words.h"
#include "app/json_view.h"
#include "engine/engine.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"

namespace tamis::app {
namespace {

using engine::Engine;
using event::Kind;
using event::Value;

struct Options {
  DataSessionOptions session;  // with a data folder: what was decided there
  std::string policy, id, type, decision, reason;
  std::vector<std::string> events, intel;
  bool json = false;
};

Value at(Value map, std::string_view key) {
  if (!map.is(Kind::kMap)) return Value::absent();
  const Value* found = event::map_find(*map.map, Value::string(key));
  return found == nullptr ? Value::absent() : *found;
}

std::span<const Value> items_of(Value list) {
  return list.is(Kind::kList) ? list.list_items() : std::span<const Value>();
}

// A value as a person reads it: text without quotes, and no more digits than tell something.
std::string plain(Value v) {
  if (v.is(Kind::kString)) return std::string(v.str());
  if (v.is(Kind::kAbsent) || v.is(Kind::kNull)) return "unknown";
  std::string out;
  event::JsonWriter(out).value(v);
  if (!v.is(Kind::kDouble) || out.size() <= 8) return out;
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.6g", v.d);
  return digits;
}

void tell_rule(Value decision, Value rule, std::string& out) {
  out += "  - " + plain(rule) + "\n";
  for (Value condition : items_of(at(decision, "conditions"))) {
    if (!event::equal(at(condition, "rule"), rule)) continue;
    if (plain(at(condition, "when")) == "true") continue;  // a rule without a condition
    out += "      because " + plain(at(condition, "when"));
    Value read = at(condition, "read");
    std::string values;
    for (uint32_t i = 0; read.is(Kind::kMap) && i < read.map->size; ++i) {
      const event::MapEntry& entry = read.map->entries[i];
      values += (values.empty() ? "" : ", ") + plain(entry.key) + " is " + plain(entry.value);
    }
    out += values.empty() ? "\n" : "   (" + values + ")\n";
  }
}

void tell_list(Value decision, std::string_view key, std::string_view title, std::string& out) {
  std::span<const Value> items = items_of(at(decision, key));
  if (items.empty()) return;
  out.append(title).append("\n");
  for (Value item : items) out += "  - " + plain(item) + "\n";
}

// Which of the rules that acted the verdict is from, where there is more than one thing that it could be from.
void tell_deciding(Value decision, std::string& out) {
  const std::span<const Value> rules = items_of(at(decision, "rules")), deciding = items_of(at(decision, "decided_by"));
  if (!at(decision, "decided_by").is(Kind::kList) || rules.size() < 2) return;
  if (deciding.empty()) {
    out += "None of them asks for " + plain(at(decision, "verdict")) +
           " by itself: it is what their points together come to.\n";
    return;
  }
  std::string names;
  for (Value rule : deciding) names += (names.empty() ? "" : ", ") + plain(rule);
  out +=
      "The verdict is that of " + names + (deciding.size() == rules.size() ? ".\n" : ", which wins over the others.\n");
}

// What was remembered, without what detectors gave: that is told by itself, for each as a whole.
std::string features_words(Value decision, const std::vector<std::string>& detectors) {
  const Value features = at(decision, "features");
  std::string out;
  for (uint32_t i = 0; features.is(Kind::kMap) && i < features.map->size; ++i) {
    const event::MapEntry& entry = features.map->entries[i];
    const std::string name = plain(entry.key);
    const bool of_detector = std::any_of(detectors.begin(), detectors.end(),
                                         [&name](const std::string& own) { return name.starts_with(own + "."); });
    if (!of_detector) out += "  " + name + " = " + plain(entry.value) + "\n";
  }
  return out.empty() ? out : "What was remembered at that moment:\n" + out;
}

// What detectors said, factor by factor.
std::string detectors_words(const JsonView& decision, std::vector<std::string>& detectors) {
  std::string out;
  const JsonView all = decision["explanation"];
  for (Value v : all.items()) {
    const JsonView said = all.item(v);
    detectors.push_back(said["detector"].text());
    out += detector_words(said);
  }
  return out.empty() ? out : out + kOddsHint + "\n";
}

// The decision in words. `decision` is the object that the engine writes, with its conditions; `view` is the same.
std::string tell(Value decision, const JsonView& view) {
  std::string out = plain(at(decision, "type")) + " " + plain(at(decision, "id")) +
                    " was decided: " + plain(at(decision, "verdict")) + ".\n";
  if (at(decision, "overload").is_true())
    out += "The server was too busy to look at it; this is the declared answer.\n";
  if (at(decision, "late").is_true()) out += "It came too late to count for later events.\n";
  Value dropped = at(decision, "dropped");
  for (uint32_t i = 0; dropped.is(Kind::kMap) && i < dropped.map->size; ++i) {
    const event::MapEntry& entry = dropped.map->entries[i];
    out += "The field " + plain(entry.key) + " was not read, since its value has another type: " + plain(entry.value) +
           ".\n";
  }
  tell_list(decision, "reasons", "In short:", out);
  std::span<const Value> rules = items_of(at(decision, "rules"));
  out += rules.empty() ? "No rule acted.\n" : "Rules that acted:\n";
  for (Value rule : rules) tell_rule(decision, rule, out);
  tell_deciding(decision, out);
  std::span<const Value> shadow = items_of(at(decision, "shadow"));
  if (!shadow.empty()) out += "Rules that only watch and would have matched (no effect):\n";
  for (Value rule : shadow) tell_rule(decision, rule, out);
  std::vector<std::string> detectors;
  out += detectors_words(view, detectors);
  out += features_words(decision, detectors);
  for (Value label : items_of(at(decision, "labels"))) {
    out += "It set the label " + plain(at(label, "name")) + " on " + plain(at(label, "on")) + " " +
           plain(at(label, "value")) + ".\n";
  }
  out += "Points " + plain(at(decision, "points")) + ", score " + plain(at(decision, "score")) + ", policy " +
         plain(at(decision, "policy")) + ".\n";
  return out;
}

base::Status print(const std::string& json, bool as_json) {
  TAMIS_TRY(view, JsonView::parse(json));
  const Value decision = view.value();
  if (!at(decision, "verdict").is(Kind::kString)) return base::invalid("this is not a decision: it has no \"verdict\"");
  std::fputs(as_json ? (json + "\n").c_str() : tell(decision, view).c_str(), stdout);
  return {};
}

// What was decided about an event in a data folder, just now or long ago.
base::Status explain_stored(const Options& options) {
  if (options.events.size() > 1 || options.events.empty() == options.id.empty())
    return base::invalid("expected the id of one event behind --data DIR");
  DataSessionOptions reading = options.session;
  reading.reads = true;
  TAMIS_TRY(session, DataSession::open(reading));
  const std::string id = options.id.empty() ? options.events.front() : options.id;
  std::string path = "/v1/decisions/" + url_escape(options.type.empty() ? "*" : options.type) + "/" + url_escape(id);
  if (!options.reason.empty()) path += "?reason=" + url_escape(options.reason);
  TAMIS_TRY(text, session->get(path));
  TAMIS_TRY(stored, JsonView::parse(text));
  std::string decision;
  event::JsonWriter(decision).value(stored["decision"].value());
  if (!options.json) std::printf("At %s: ", stored["time"].text().c_str());
  return print(decision, options.json);
}

// Decides the events in order up to the one that is asked for, and returns its decision.
base::Result<std::string> decide_until(const Options& options) {
  policy::Loaded loaded = policy::load_folder(options.policy);
  print_diagnostics(loaded, options.policy);
  if (loaded.policy == nullptr) return base::invalid("the policy has errors");
  std::shared_ptr<const event::NetworkIntel> intel;
  if (!options.intel.empty()) {
    TAMIS_TRY(loaded_intel, event::NetworkIntel::load(options.intel));
    intel = std::move(loaded_intel);
    print_faults(intel->faults(), "--intel");
  }
  Engine engine;
  engine.activate(loaded.policy);
  engine::PreparedEvent prepared;
  std::string found, refusal;
  for (const std::string& path : options.events) {
    TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
    std::string_view line;
    while (true) {
      TAMIS_TRY(more, file.next(line));
      if (!more) break;
      base::Status ready = prepared.prepare(loaded.policy, {}, line, intel.get());
      if (!ready) {
        refusal = path + ":" + std::to_string(file.line_number()) + ": " + ready.error().message;
        continue;
      }
      const engine::Decision& d = engine.decide(prepared, Engine::kNoReceiveTime, Engine::Explain::kYes);
      bool wanted =
          options.id.empty() || (d.id == options.id && (options.type.empty() || options.type == d.type->schema.name));
      if (!wanted) continue;
      found.clear();
      engine::write_json(d, found);
      if (!options.id.empty()) return found;
    }
  }
  if (!found.empty()) return found;
  std::string what = options.id.empty() ? "no event could be decided" : "no event has the id \"" + options.id + "\"";
  return base::fail(base::Code::kNotFound, what + (refusal.empty() ? "" : "; the last refused line: " + refusal));
}

base::Status explain(const Options& options) {
  if (!options.session.data.empty()) return explain_stored(options);
  if (!options.decision.empty()) {
    TAMIS_TRY(file, event::NdjsonFile::open(options.decision, kLineBytesMax));
    std::string_view line;
    std::string last;
    while (true) {
      TAMIS_TRY(more, file.next(line));
      if (!more) break;
      base::Arena arena;
      TAMIS_TRY(decision, event::JsonReader::to_value(line, arena));
      last = line;
      if (!options.id.empty() && plain(at(decision, "id")) == options.id) return print(last, options.json);
    }
    if (options.id.empty() && !last.empty()) return print(last, options.json);
    if (options.id.empty()) return base::fail(base::Code::kNotFound, options.decision + " has no decisions");
    return base::fail(base::Code::kNotFound, options.decision + " has no decision with the id \"" + options.id + "\"");
  }
  if (options.policy.empty() || options.events.empty()) {
    return base::invalid(
        "expected --data DIR and an id, --policy DIR and EVENTS, or --decision FILE; see tamis explain --help");
  }
  TAMIS_TRY(decision, decide_until(options));
  return print(decision, options.json);
}

}  // namespace

Command add_explain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy");
  app.add_option("--id", options->id, "Id of the event; without it the last event is explained");
  app.add_option("--type", options->type, "Type of the event, where ids repeat between types");
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag")
      ->allow_extra_args(false);
  app.add_option("--decision", options->decision,
                 "Explain a decision that was made elsewhere (made with --explain or ?explain=1); - is stdin");
  app.add_flag("--json", options->json, "The decision with its conditions, as JSON");
  app.add_option("--data", options->session.data,
                 "Explain what was decided in this data folder; then ID is an event's");
  app.add_option("--reason", options->reason, "With --data: why you look, for the audit trail");
  app.add_option("EVENTS", options->events,
                 "Files of events up to the one to explain, - is stdin; with --data the id of the event");
  app.footer("Example: tamis explain --data DIR s-4711");
  return [options] {
    base::Status done = explain(*options);
    return done ? kGood : complain(done.error().message);
  };
}

}  // namespace tamis::app
