#include <algorithm>

#include "door/http_api.h"
#include "event/json_writer.h"

namespace tamis::door {

using engine::Engine;
using event::JsonWriter;

namespace {

struct Snapshot {
  std::shared_ptr<const policy::Policy> policy;
  std::vector<std::vector<engine::RuleStats>> rules;
  std::vector<std::pair<std::string, state::TableStats>> features;
  std::vector<std::vector<uint64_t>> verdicts;
  std::vector<engine::DroppedCount> dropped;
};

Snapshot snapshot(Service& service) {
  Snapshot s;
  if (service.policy() == nullptr) return s;
  service.with_engine([&](Engine& engine) {
    s.policy = engine.policy();
    s.rules = engine.rule_stats();
    s.features = engine.feature_stats();
    s.verdicts = engine.verdict_counts();
    s.dropped = engine.dropped_counts();
  });
  return s;
}

// A label value of Prometheus' text form.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void family(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type);
  out.append("\n");
}

void sample(std::string& out, std::string_view name, std::string_view labels, uint64_t value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(std::to_string(value)).append("\n");
}

void write_outbox_metrics(const action::Outbox& outbox, const Service& service, std::string& out) {
  action::OutboxStats stats = outbox.stats();
  auto each_channel = [&](std::string_view name, std::string_view type, std::string_view help, auto&& value) {
    family(out, name, type, help);
    for (const action::ChannelStats& channel : stats.channels) {
      sample(out, name, "channel=" + quoted(channel.name), value(channel));
    }
  };
  using Channel = action::ChannelStats;
  each_channel("tamis_outbox_queued", "gauge", "Notices that wait to be delivered.",
               [](const Channel& c) { return c.queued; });
  each_channel("tamis_outbox_dead", "gauge", "Notices that were given up and wait for a person.",
               [](const Channel& c) { return c.dead; });
  each_channel("tamis_outbox_delivered_total", "counter", "Notices delivered.",
               [](const Channel& c) { return c.delivered; });
  each_channel("tamis_outbox_failed_attempts_total", "counter", "Attempts to deliver that failed.",
               [](const Channel& c) { return c.failed; });
  each_channel("tamis_outbox_oldest_seconds", "gauge", "Age of the oldest notice that waits.", [&](const Channel& c) {
    int64_t age_ms = c.oldest_ms == 0 ? 0 : service.now_ms() - c.oldest_ms;
    return static_cast<uint64_t>(std::max<int64_t>(age_ms, 0) / 1000);
  });
  family(out, "tamis_outbox_lost_total", "counter", "Notices that the outbox refused: full, or too large.");
  sample(out, "tamis_outbox_lost_total", {}, service.notices_lost());
  family(out, "tamis_outbox_failing", "gauge", "1 while the outbox cannot be written.");
  sample(out, "tamis_outbox_failing", {}, stats.failure.empty() ? 0 : 1);
}

}  // namespace

void write_stats(Service& service, std::string& out) {
  Snapshot s = snapshot(service);
  const Service::Counters& c = service.counters();
  JsonWriter json(out);
  json.begin_object();
  json.key("policy").string(s.policy == nullptr ? "" : s.policy->version);
  json.key("started_ms").integer(service.started_ms()).key("now_ms").integer(service.now_ms());
  json.key("decided").uinteger(c.decided).key("refused").uinteger(c.refused).key("overload").uinteger(c.overload);
  json.key("late").uinteger(c.late).key("accepted").uinteger(c.accepted);
  json.key("intake_events").uinteger(c.intake_events).key("intake_bytes").uinteger(c.intake_bytes);
  json.key("reloads").uinteger(c.reloads).key("reload_failures").uinteger(c.reload_failures);
  if (const base::Histogram* latency = service.latency(); latency != nullptr) {
    json.key("latency_us").begin_object();
    for (auto [name, q] :
         {std::pair("p50", 0.5), std::pair("p90", 0.9), std::pair("p99", 0.99), std::pair("max", 1.0)}) {
      json.key(name).real(static_cast<double>(latency->quantile(q)) / 1000.0);
    }
    json.end_object();
  }
  json.key("verdicts").begin_array();
  for (size_t t = 0; t < s.verdicts.size(); ++t) {
    const policy::EventType& type = s.policy->types[t];
    for (size_t v = 0; v < s.verdicts[t].size(); ++v) {
      json.begin_object().key("type").string(type.schema.name).key("verdict").string(type.ladder[v]);
      json.key("count").uinteger(s.verdicts[t][v]).end_object();
    }
  }
  json.end_array().key("dropped").begin_array();
  for (const engine::DroppedCount& dropped : s.dropped) {
    json.begin_object().key("type").string(dropped.type).key("field").string(dropped.field);
    json.key("count").uinteger(dropped.count).end_object();
  }
  json.end_array().key("rules").begin_array();
  for (size_t t = 0; t < s.rules.size(); ++t) {
    const policy::EventType& type = s.policy->types[t];
    for (size_t r = 0; r < s.rules[t].size(); ++r) {
      json.begin_object().key("type").string(type.schema.name).key("id").string(type.rules[r].id);
      json.key("matched").uinteger(s.rules[t][r].matched).key("shadow").uinteger(s.rules[t][r].shadow);
      json.key("errors").uinteger(s.rules[t][r].errors).end_object();
    }
  }
  json.end_array().key("features").begin_array();
  for (const auto& [name, stats] : s.features) {
    json.begin_object().key("name").string(name).key("keys").uinteger(stats.keys).key("bytes").uinteger(stats.bytes);
    json.key("evicted").uinteger(stats.evicted).key("ignored").uinteger(stats.ignored);
    json.key("late").uinteger(stats.late).end_object();
  }
  json.end_array().end_object();
}

void write_engine_metrics(Service& service, std::string& out) {
  Snapshot s = snapshot(service);
  const Service::Counters& c = service.counters();
  auto counter = [&](std::string_view name, std::string_view help, uint64_t value) {
    family(out, name, "counter", help);
    sample(out, name, {}, value);
  };
  counter("tamis_decisions_total", "Events decided.", c.decided);
  counter("tamis_events_refused_total", "Events refused as malformed.", c.refused);
  family(out, "tamis_fields_dropped_total", "counter", "Fields of events that had another type and were not read.");
  for (const engine::DroppedCount& dropped : s.dropped) {
    sample(out, "tamis_fields_dropped_total", "type=" + quoted(dropped.type) + ",field=" + quoted(dropped.field),
           dropped.count);
  }
  counter("tamis_overload_answers_total", "Events answered as overload declares.", c.overload);
  counter("tamis_late_events_total", "Events decided beyond their lateness.", c.late);
  counter("tamis_events_accepted_total", "Events taken to be decided later.", c.accepted);
  counter("tamis_policy_reloads_total", "Policies activated.", c.reloads);
  counter("tamis_policy_reload_failures_total", "Policies refused.", c.reload_failures);
  family(out, "tamis_intake_bytes", "gauge", "Bytes of events accepted and not yet decided.");
  sample(out, "tamis_intake_bytes", {}, c.intake_bytes);
  counter("tamis_events_repeated_total", "Events that were delivered again and got the decision of before.",
          c.repeated);
  family(out, "tamis_journal_pending_bytes", "gauge", "Bytes of records that are not on disk yet.");
  sample(out, "tamis_journal_pending_bytes", {}, service.pending_bytes());
  family(out, "tamis_data_failing", "gauge", "1 while the journal or the archive cannot be written.");
  sample(out, "tamis_data_failing", {}, service.failure().empty() ? 0 : 1);
  counter("tamis_checkpoints_total", "Snapshots written.", c.checkpoints);
  counter("tamis_checkpoint_failures_total", "Snapshots that could not be written.", c.checkpoint_failures);
  if (replay::DataFolder* data = service.data(); data != nullptr) {
    archive::ArchiveStats archive = data->archive().stats();
    family(out, "tamis_archive_rows", "gauge", "Events and acts in the archive's files.");
    sample(out, "tamis_archive_rows", {}, archive.rows);
    family(out, "tamis_archive_bytes", "gauge", "Size of the archive's files.");
    sample(out, "tamis_archive_bytes", {}, archive.bytes);
    family(out, "tamis_archive_damaged", "gauge", "1 while a file of the archive is missing or known to be damaged.");
    sample(out, "tamis_archive_damaged", {}, archive.damage.empty() ? 0 : 1);
    family(out, "tamis_archive_unverified_files", "gauge", "Files of the archive without hashes, from before.");
    sample(out, "tamis_archive_unverified_files", {}, archive.files_unverified);
    family(out, "tamis_archive_pending_rows", "gauge", "Rows that are not in files yet.");
    sample(out, "tamis_archive_pending_rows", {}, archive.pending_rows);
    if (action::Outbox* outbox = service.outbox(); outbox != nullptr) write_outbox_metrics(*outbox, service, out);
    family(out, "tamis_journal_records", "counter", "The number of the last record.");
    sample(out, "tamis_journal_records", {}, data->last_number());
  }
  family(out, "tamis_verdicts_total", "counter", "Decisions by event type and verdict.");
  for (size_t t = 0; t < s.verdicts.size(); ++t) {
    const policy::EventType& type = s.policy->types[t];
    for (size_t v = 0; v < s.verdicts[t].size(); ++v) {
      sample(out, "tamis_verdicts_total", "type=" + quoted(type.schema.name) + ",verdict=" + quoted(type.ladder[v]),
             s.verdicts[t][v]);
    }
  }
  family(out, "tamis_rule_matches_total", "counter", "Matches of a rule, by whether it acted.");
  auto each_rule = [&](auto&& emit) {
    for (size_t t = 0; t < s.rules.size(); ++t) {
      for (size_t r = 0; r < s.rules[t].size(); ++r) {
        const policy::EventType& type = s.policy->types[t];
        emit("type=" + quoted(type.schema.name) + ",rule=" + quoted(type.rules[r].id), s.rules[t][r]);
      }
    }
  };
  each_rule([&](const std::string& labels, const engine::RuleStats& stats) {
    sample(out, "tamis_rule_matches_total", labels + ",outcome=\"acted\"", stats.matched);
    sample(out, "tamis_rule_matches_total", labels + ",outcome=\"shadow\"", stats.shadow);
  });
  family(out, "tamis_rule_errors_total", "counter", "Evaluations of a rule that ended in an error.");
  each_rule([&](const std::string& labels, const engine::RuleStats& stats) {
    sample(out, "tamis_rule_errors_total", labels, stats.errors);
  });
  family(out, "tamis_feature_keys", "gauge", "Live keys of a feature.");
  for (const auto& [name, stats] : s.features) sample(out, "tamis_feature_keys", "feature=" + quoted(name), stats.keys);
  family(out, "tamis_feature_bytes", "gauge", "Memory of a feature.");
  for (const auto& [name, stats] : s.features)
    sample(out, "tamis_feature_bytes", "feature=" + quoted(name), stats.bytes);
}

}  // namespace tamis::door
