// Retention and erasure: each file that something in it must go from is written anew and takes the place of the old one
// in the manifest, one by one, so that both can be stopped at any moment and go on later.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "archive/archive_impl.h"
#include "base/thread.h"
#include "event/json_writer.h"
#include "policy/private_values.h"

namespace tamis::archive {
namespace {

constexpr uint64_t kFingerprintsOfAttributes = 1'000;  // above them are those of features

// What a policy says of a column now; what was so when the file was written counts as well.
struct Rule {
  bool secret = false;
  int32_t keep_days = 0;
};

Rule rule_of(const ColumnSpec& spec, const Layout& now) {
  const ColumnSpec* current = now.find(spec.name);
  if (current == nullptr) return {spec.secret, spec.keep_days};
  return {spec.secret || current->secret, current->keep_days};
}

struct Ages {
  int64_t now_ms;
  // Whether the last moment of the day is so many days past.
  bool over(int64_t day, int32_t days) const { return (day + 1) * kDayMs + int64_t{days} * kDayMs <= now_ms; }
};

// What the engine wrote about an event, in words that may hold private values.
bool is_prose(uint32_t column) { return column == kReasons || column == kValues || column == kEffects; }

std::string token_sql(const std::string& column) {
  return fmt::format("tamis_token({}::VARCHAR) AS {}", column, column);
}

std::string sql_texts(const std::set<std::string, std::less<>>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + sql_text(text);
  return list.empty() ? "NULL" : list;
}

// The same as policy::names_address(), as far as SQL can tell; it may be more.
constexpr std::string_view kAddress =
    "[^ ]@[^ ]|[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+|[0-9A-Fa-f]*::[0-9A-Fa-f]*|([0-9A-Fa-f]+:){7}";

// Of a row of acts, the value as a token where it is of an entity or entry that is private, and its reason only where
// that does not say it.
std::string act_sql(const ColumnSpec& spec, const policy::PrivateNames& names) {
  const std::string column = sql_name(spec.column);
  const std::string is_private =
      fmt::format("(kind IN ({}) OR (coalesce(list, '') <> '' AND (list IN ({}) OR regexp_matches(value, {}))))",
                  sql_texts(names.kinds()), sql_texts(names.lists()), sql_text(kAddress));
  if (spec.name == "value")
    return fmt::format("CASE WHEN coalesce({0}, false) THEN tamis_token({1}) ELSE {1} END AS {1}", is_private, column);
  return fmt::format(
      "CASE WHEN coalesce({0} AND contains({1}, value), false) OR coalesce(regexp_matches({1}, {2}), false) THEN NULL "
      "ELSE {1} END AS {1}",
      is_private, column, sql_text(kAddress));
}

enum class Fate : uint8_t { kStays, kDropped, kTokened };

struct FileAge {
  bool raw_over = false;   // raw values must go
  bool rows_over = false;  // all that has no longer time of its own must go
};

Fate fate_of(uint32_t column, const ColumnSpec& spec, const Rule& rule, bool has_secrets, const FileAge& age,
             const Ages& ages, int64_t day) {
  if (spec.dropped) return Fate::kStays;
  if (column < kSystemColumns) {
    if (column == kN || column == kTime) return Fate::kStays;
    if (age.rows_over) return Fate::kDropped;
    return age.raw_over && has_secrets && is_prose(column) ? Fate::kDropped : Fate::kStays;
  }
  if (rule.keep_days != 0 ? ages.over(day, rule.keep_days) : age.rows_over) return Fate::kDropped;
  if (!age.raw_over || !rule.secret || spec.tokened) return Fate::kStays;
  // A list out of a feature cannot be compared with anything as a token.
  const bool feature = spec.fingerprint > kFingerprintsOfAttributes;
  return feature && spec.type != ColumnType::kString ? Fate::kDropped : Fate::kTokened;
}

base::Error left_as_they_are(const std::vector<std::string>& files, std::string_view what) {
  const std::string more = files.size() > 1 ? fmt::format("; so with {} more files", files.size() - 1) : "";
  return {base::Code::kUnavailable, fmt::format("{}. All other files are done, but {}{}", files.front(), what, more)};
}

// SQL that is true where a column that belongs to nobody says the value all the same: a feature that hands out values
// of other events, the words of a decision. Empty: such a column does not.
std::string mention_sql(const ColumnSpec& spec, std::ptrdiff_t place, const std::string& value,
                        const std::string& token) {
  std::string quoted;  // as JSON
  event::JsonWriter(quoted).string(value);
  const std::string name = sql_name(spec.column);
  if (place < kSystemColumns) {
    if (!is_prose(static_cast<uint32_t>(place))) return {};
    const std::string text = spec.type == ColumnType::kTexts ? fmt::format("array_to_string({}, chr(10))", name) : name;
    const std::string inner = quoted.substr(1, quoted.size() - 2);
    return fmt::format("(contains({0}, {1}) OR contains({0}, {2}))", text, sql_text(value), sql_text(inner));
  }
  const bool feature = spec.fingerprint > kFingerprintsOfAttributes;
  if (!feature) return {};
  if (spec.type == ColumnType::kString) return fmt::format("({0} = {1} OR {0} = {2})", name, sql_text(value), token);
  if (spec.type != ColumnType::kJson) return {};
  const bool whole_number = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  std::string sql = fmt::format("contains({}, {})", name, sql_text(quoted));
  if (whole_number)
    sql += fmt::format(" OR regexp_matches({}, {})", name, sql_text("(^|[^0-9.-])" + value + "([^0-9.]|$)"));
  return "(" + sql + ")";
}

}  // namespace

// An instance of its own, which goes afterwards: events are flushed meanwhile.
base::Status ArchiveImpl::open_writer(std::unique_ptr<ParquetWriter>& parquet) const {
  if (parquet) return {};
  TAMIS_TRY(opened, ParquetWriter::open(writer_options()));
  parquet = std::move(opened);
  return {};
}

base::Status ArchiveImpl::put_in_place(const FilePointer& file, const std::vector<FilePointer>& added) {
  std::lock_guard writing(write_mutex_);
  return replace({file}, added, 0);
}

// Damage must not get hashes of its own.
bool ArchiveImpl::is_whole(const DataFile& file, const std::set<std::string>* columns, std::vector<std::string>& left) {
  std::string why = file.lost ? lost_error(file).message : file.damage();
  if (why.empty()) {
    auto read = file.verify(columns, nullptr);
    if (read) return true;
    why = read.error().message;
  }
  left.push_back(std::move(why));
  return false;
}

base::Status ArchiveImpl::count_values(ParquetWriter& parquet, const DataFile& file, Rewrite& how) {
  std::string dropped = "0", tokened = "0";
  for (size_t i = 0; i < how.layout.columns.size(); ++i) {
    const ColumnSpec& now = how.layout.columns[i];
    const ColumnSpec& before = file.layout->columns[i];
    const std::string count = fmt::format(" + count({})", sql_name(before.column));
    if (now.dropped && !before.dropped) dropped += count;
    if (now.tokened && !before.tokened) tokened += count;
  }
  const std::string from = read_sql({file.shared_from_this()});
  TAMIS_TRY(values_dropped, parquet.number(fmt::format("SELECT ({})::BIGINT FROM {}", dropped, from)));
  TAMIS_TRY(values_tokened, parquet.number(fmt::format("SELECT ({})::BIGINT FROM {}", tokened, from)));
  how.values_dropped = static_cast<uint64_t>(values_dropped);
  how.values_tokened = static_cast<uint64_t>(values_tokened);
  return {};
}

base::Status ArchiveImpl::rewrite(ParquetWriter& parquet, const FilePointer& file, const Rewrite& how,
                                  RetentionReport& report) {
  parquet.set_token_key(how.key);
  TAMIS_TRY(manifest, current());
  TAMIS_TRY(written, new_file(file->type, file->day, file->first, file->last));
  written->doomed = true;  // until it is known to be whole
  written->from_ms = file->from_ms;
  written->to_ms = file->to_ms;
  std::string list;
  for (const std::string& expression : how.expressions) list += (list.empty() ? "" : ", ") + expression;
  const std::string where = how.where.empty() ? "" : fmt::format(" WHERE NOT coalesce({}, false)", how.where);
  TAMIS_CHECK(
      parquet.write(fmt::format("SELECT {} FROM {}{}", list, read_sql({file}), where), file->rows, written->absolute));
  TAMIS_TRY(rows, parquet.number("SELECT count(*) FROM " + read_sql({written})));
  written->rows = static_cast<uint64_t>(rows);
  TAMIS_CHECK(measure(*written));
  // Equal layouts share their address, so that their files can be joined.
  for (const FilePointer& other : manifest->files) {
    if (!written->layout && *other->layout == how.layout) written->layout = other->layout;
  }
  if (!written->layout) written->layout = std::make_shared<const Layout>(how.layout);
  const bool empty = written->rows == 0;
  written->doomed = empty;
  std::vector<FilePointer> added;
  if (!empty) added.push_back(written);
  TAMIS_CHECK(put_in_place(file, added));
  ++(empty ? report.files_removed : report.files_rewritten);
  report.rows_removed += file->rows - written->rows;
  report.values_dropped += how.values_dropped;
  report.values_tokened += how.values_tokened;
  return {};
}

base::Result<Archive::RetentionReport> ArchiveImpl::retain(const policy::Policy& policy, const Retention& retention,
                                                           const std::function<bool()>& keep_going) {
  if (options_.read_only) return base::fail(base::Code::kDenied, "the archive is open for reading only");
  if (!retention.key_of_day) return base::invalid("retention needs the keys of days");
  std::lock_guard changing(change_mutex_);
  return base::run_as(base::work_behind, "retain", [&] { return retain_files(policy, retention, keep_going); });
}

base::Result<Archive::RetentionReport> ArchiveImpl::retain_files(const policy::Policy& policy,
                                                                 const Retention& retention,
                                                                 const std::function<bool()>& keep_going) {
  const Ages ages{retention.now_ms};
  const policy::PrivateNames names(policy);
  RetentionReport report;
  std::vector<std::string> left;
  std::unique_ptr<ParquetWriter> parquet;
  TAMIS_TRY(manifest, current());
  for (const FilePointer& file : manifest->files) {
    if (keep_going && !keep_going()) break;
    const policy::EventType* type = file->type.empty() ? nullptr : policy.find_type(file->type);
    const Layout now = type == nullptr ? Layout{} : layout_of(policy, *type).layout;
    FileAge age{ages.over(file->day, retention.raw_days), ages.over(file->day, retention.keep_days)};
    Rewrite how;
    how.layout = *file->layout;
    bool has_secrets = false, anything_left = file->type.empty();
    for (const ColumnSpec& spec : how.layout.columns) has_secrets = has_secrets || rule_of(spec, now).secret;
    const bool acts_go = file->type.empty() && age.raw_over && names.any() &&
                         std::any_of(how.layout.columns.begin(), how.layout.columns.end(),
                                     [](const ColumnSpec& spec) { return spec.name == "value" && !spec.tokened; });
    for (uint32_t i = 0; i < how.layout.columns.size(); ++i) {
      ColumnSpec& spec = how.layout.columns[i];
      const std::string name = sql_name(spec.column);
      Fate fate = Fate::kStays;
      std::string token = token_sql(name);
      if (!file->type.empty()) {
        fate = fate_of(i, spec, rule_of(spec, now), has_secrets, age, ages, file->day);
      } else if (acts_go && spec.name == "value") {
        token = act_sql(spec, names);
        fate = Fate::kTokened;
      }
      if (fate == Fate::kTokened) {
        spec.tokened = true;
        spec.type = ColumnType::kString;
      }
      if (fate == Fate::kDropped) spec.dropped = true;
      if (fate != Fate::kStays) how.changed = true;
      if (!spec.dropped)
        how.expressions.push_back(fate == Fate::kTokened             ? token
                                  : acts_go && spec.name == "reason" ? act_sql(spec, names)
                                                                     : name);
      // Numbers and times alone tell nothing.
      anything_left = anything_left || (!spec.dropped && i != kN && i != kTime);
    }
    if (!how.changed && anything_left) continue;
    if (!anything_left) {
      TAMIS_CHECK(put_in_place(file, {}));
      ++report.files_removed;
      report.rows_removed += file->rows;
      continue;
    }
    if (!is_whole(*file, nullptr, left)) continue;
    how.key = retention.key_of_day(day_text(file->day));
    base::Status status = open_writer(parquet);
    if (status) status = count_values(*parquet, *file, how);
    if (status) status = rewrite(*parquet, file, how, report);
    if (!status) {
      remember(status);
      return tl::unexpected<base::Error>(std::move(status).error());
    }
  }
  if (!left.empty()) return tl::unexpected<base::Error>(left_as_they_are(left, "nothing in it was forgotten"));
  return report;
}

base::Result<uint64_t> ArchiveImpl::erase(const policy::Policy& policy, std::string_view kind, std::string_view value,
                                          const std::function<std::string(std::string_view day)>& key_of_day) {
  if (options_.read_only) return base::fail(base::Code::kDenied, "the archive is open for reading only");
  if (!key_of_day) return base::invalid("erasing needs the keys of days");
  stop_warming();  // files that are replaced are to be gone when this returns
  std::lock_guard changing(change_mutex_);
  // A person waits for it.
  return base::run_as(base::work_after, "erase", [&] { return erase_from_files(policy, kind, value, key_of_day); });
}

base::Result<uint64_t> ArchiveImpl::erase_from_files(
    const policy::Policy& policy, std::string_view kind, std::string_view value,
    const std::function<std::string(std::string_view day)>& key_of_day) {
  RetentionReport report;
  std::vector<std::string> left;
  std::unique_ptr<ParquetWriter> parquet;
  TAMIS_TRY(manifest, current());
  for (const FilePointer& file : manifest->files) {
    const policy::EventType* type = file->type.empty() ? nullptr : policy.find_type(file->type);
    const Layout now = type == nullptr ? Layout{} : layout_of(policy, *type).layout;
    Rewrite how;
    how.layout = *file->layout;
    const bool type_is_acts = file->type.empty();
    std::string mentions;  // of the value in rows that stay
    std::set<std::string> looked_at;
    const std::string raw = sql_text(value);
    const std::string token = sql_text(token_of(key_of_day(day_text(file->day)), value));
    for (const ColumnSpec& spec : how.layout.columns) {
      if (spec.dropped) continue;
      const ColumnSpec* current_spec = now.find(spec.name);
      const bool names_it = spec.entity == kind || (current_spec != nullptr && current_spec->entity == kind);
      const std::string said = names_it || type_is_acts
                                   ? std::string()
                                   : mention_sql(spec, &spec - how.layout.columns.data(), std::string(value), token);
      if (names_it || type_is_acts || !said.empty()) looked_at.insert(spec.column);
      if (said.empty()) {
        how.expressions.push_back(sql_name(spec.column));
      } else {
        how.expressions.push_back(
            fmt::format("CASE WHEN coalesce({1}, false) THEN NULL ELSE {0} END AS {0}", sql_name(spec.column), said));
        mentions += fmt::format("{}coalesce({}, false)", mentions.empty() ? "" : " OR ", said);
      }
      if (!names_it || kind.empty()) continue;
      how.where += fmt::format("{}coalesce({}::VARCHAR = {}, false)", how.where.empty() ? "" : " OR ",
                               sql_name(spec.column), spec.tokened ? token : raw);
    }
    if (file->type.empty())
      how.where =
          fmt::format("(kind = {} OR coalesce(list, '') <> '') AND value IN ({}, {})", sql_text(kind), raw, token);
    if (how.where.empty()) how.where = "false";
    if (mentions.empty()) mentions = "false";
    if (!is_whole(*file, &looked_at, left)) continue;
    TAMIS_CHECK(open_writer(parquet));
    auto hits =
        parquet->number(fmt::format("SELECT count(*) FROM {} WHERE {} OR {}", read_sql({file}), how.where, mentions));
    base::Status status;
    if (!hits) {
      status = tl::unexpected<base::Error>(std::move(hits).error());
    } else if (*hits > 0) {
      if (!is_whole(*file, nullptr, left)) continue;
      status = rewrite(*parquet, file, how, report);
    }
    if (!status) {
      remember(status);
      return tl::unexpected<base::Error>(std::move(status).error());
    }
  }
  if (!left.empty()) return tl::unexpected<base::Error>(left_as_they_are(left, "it was not looked at"));
  return report.rows_removed;
}

}  // namespace tamis::archive
