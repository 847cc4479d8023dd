#include "replay/retention.h"

#include "base/file.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/keys.h"
#include "replay/snapshot.h"

namespace tamis::replay {
namespace {

constexpr int64_t kDayMs = 86'400'000;

std::string day_text(int64_t time_ms) { return event::format_time_ms(time_ms).substr(0, 10); }

// Once a day at most: the engine's part is the last, and says that all of it is done.
base::Status forget_private(DataFolder& folder, const PastRawDays& past, const DataFolder::WithEngine& with_engine,
                            const RetainOptions& options, RetentionReport& report) {
  TAMIS_TRY(lines, folder.audit().forget(
                       past.before_ms, [&](const action::AuditLine& line) { return private_parts(line, past.names); }));
  report.audit_lines = lines;
  if (options.rest) TAMIS_CHECK(options.rest(past, report));
  TAMIS_TRY(keys, folder.forget_before(past.before_ms, with_engine, options.keep_going));
  report.state_keys = keys;
  return {};
}

base::Status trim(DataFolder& folder, const PastRawDays& past, const DataFolder::WithEngine& with_engine,
                  std::mutex& checkpoint_mutex, const RetainOptions& options, RetentionReport& report) {
  auto once = [&](bool with_any) {
    std::lock_guard no_checkpoint(checkpoint_mutex);
    return folder.trim(past.before_ms, with_engine, with_any);
  };
  TAMIS_TRY(trimmed, once(false));
  if (trimmed.needs_snapshot && options.checkpoint) {
    TAMIS_CHECK(options.checkpoint());
    TAMIS_TRY(again, once(true));
    trimmed = again;
  }
  report.segments_removed = trimmed.segments;
  report.snapshots_removed = trimmed.snapshots;
  report.first_record = folder.first_number();
  return {};
}

}  // namespace

action::AuditParts private_parts(const action::AuditLine& line, const policy::PrivateNames& names) {
  action::AuditParts parts;
  const bool of_list = line.on.starts_with("list:");
  parts.value = names.has_kind(line.on) ||
                (of_list && names.has_entry(std::string_view(line.on).substr(5), line.value)) ||
                policy::names_address(line.value);
  auto says = [&](const std::string& text) {
    return policy::names_address(text) ||
           (parts.value && !line.value.empty() && text.find(line.value) != std::string::npos);
  };
  parts.why = says(line.why);
  // Expressions and SQL quote whatever was looked for.
  const bool is_question = line.what == "query.run" || line.what.starts_with("job.");
  parts.detail = is_question || says(line.detail);
  return parts;
}

base::Result<RetentionReport> retain(DataFolder& folder, const policy::Policy& policy,
                                     const DataFolder::WithEngine& with_engine, std::mutex& checkpoint_mutex,
                                     const RetainOptions& options) {
  RetentionReport report;
  archive::Archive::Retention retention;
  retention.now_ms = options.now_ms;
  retention.raw_days = policy.raw_days;
  retention.keep_days = policy.keep_days;
  retention.key_of_day = [&](std::string_view day) { return key_of_day(folder.path(), day); };
  // A damaged file is left as it is, and is the last thing that is told: all else that is too old goes.
  auto archive = folder.archive().retain(policy, retention, options.keep_going);
  if (!archive && archive.error().code != base::Code::kUnavailable) return tl::unexpected(archive.error());
  if (archive) report.archive = *archive;
  PastRawDays past;
  const int64_t raw_ms = options.now_ms - policy.raw_days * kDayMs;
  past.before_ms = raw_ms - ((raw_ms % kDayMs) + kDayMs) % kDayMs;
  past.names = policy::PrivateNames(policy);
  if (past.names.any() && folder.forgotten_before_ms() < past.before_ms)
    TAMIS_CHECK(forget_private(folder, past, with_engine, options, report));
  {
    std::lock_guard no_checkpoint(checkpoint_mutex);
    TAMIS_TRY(records, folder.forget_past(past.before_ms, with_engine));
    report.past_records = records;
  }
  TAMIS_CHECK(trim(folder, past, with_engine, checkpoint_mutex, options, report));
  report.keys_destroyed = destroy_keys(folder.path(), day_text(options.now_ms - (policy.keep_days + 1) * kDayMs));
  if (!archive) return tl::unexpected(archive.error());
  return report;
}

void write_json(const RetentionReport& report, std::string& out) {
  event::JsonWriter json(out);
  json.begin_object().key("files_rewritten").uinteger(report.archive.files_rewritten);
  json.key("files_removed").uinteger(report.archive.files_removed);
  json.key("rows_removed").uinteger(report.archive.rows_removed);
  json.key("values_dropped").uinteger(report.archive.values_dropped);
  json.key("values_tokened").uinteger(report.archive.values_tokened);
  json.key("state_keys").uinteger(report.state_keys).key("past_records").uinteger(report.past_records);
  json.key("audit_lines").uinteger(report.audit_lines).key("batch_items").uinteger(report.batch_items);
  json.key("notices").uinteger(report.notices);
  json.key("segments_removed").uinteger(report.segments_removed);
  json.key("snapshots_removed").uinteger(report.snapshots_removed);
  json.key("keys_destroyed").uinteger(report.keys_destroyed);
  json.key("first_record").uinteger(report.first_record).end_object();
}

}  // namespace tamis::replay
