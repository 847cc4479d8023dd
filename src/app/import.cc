#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "app/command.h"
#include "app/data_session.h"
#include "app/filter_import.h"
#include "app/progress.h"
#include "archive/convert.h"
#include "base/file.h"
#include "event/json_writer.h"
#include "event/ndjson.h"

namespace tamis::app {
namespace {

constexpr uint64_t kRefusalsShownMax = 20;
constexpr uint64_t kPendingBytesHigh = 16 << 20;
constexpr uint64_t kCheckEvery = 4096;

struct Options {
  DataSessionOptions session;
  std::vector<std::string> events;
  std::string type;
  bool archive_only = false, json = false;
};

class Import {
 public:
  explicit Import(const Options& options) : options_(options) {}

  base::Result<int> run() {
    Interrupt::install();
    TAMIS_TRY(session, DataSession::open(options_.session));
    service_ = session->service();
    if (service_ == nullptr) {
      return base::fail(base::Code::kUnavailable,
                        options_.session.data +
                            " is held by a server; events of now are sent to it, and the past "
                            "is imported before it starts");
    }
    if (!options_.type.empty() && service_->policy()->find_type(options_.type) == nullptr) {
      std::string known;
      for (const policy::EventType& type : service_->policy()->types)
        known += (known.empty() ? "" : ", ") + type.schema.name;
      return base::invalid("--type " + options_.type + ": the policy has no such event type; it has: " + known);
    }
    if (!options_.session.intel.empty()) intel_refused_ = service_->intel()->faults().count;
    // Rows that a crash left to be added again count as well, so they are put into files first.
    TAMIS_CHECK(service_->flush());
    newest_ms_ = service_->data()->archive().stats().newest_ms;
    door::Service::Lease lease(*service_);
    for (const std::string& path : options_.events) {
      TAMIS_CHECK(import_file(*lease, path));
      if (Interrupt::requested()) break;
    }
    TAMIS_CHECK(session->checkpoint(true));
    TAMIS_CHECK(service_->data()->join_files());
    report();
    if (Interrupt::requested()) return kInterrupted;
    return refused_ + older_ + intel_refused_ == 0 ? kGood : kNo;
  }

 private:
  base::Status import_table(door::Service::Worker& worker, const std::string& path) {
    TAMIS_TRY(table, archive::TableFile::open(path, *service_->policy()));
    Progress progress("import", table->rows_total(), options_.session.quiet);
    std::string_view line;
    while (!Interrupt::requested()) {
      TAMIS_TRY(more, table->next(line));
      if (!more) break;
      TAMIS_CHECK(import_line(worker, path, table->row(), line));
      progress.step(table->row(), imported_);
    }
    return {};
  }

  base::Status import_file(door::Service::Worker& worker, const std::string& path) {
    if (archive::is_table_file(path)) return import_table(worker, path);
    TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
    Progress progress("import", file.bytes_total(), options_.session.quiet);
    std::string_view line;
    while (!Interrupt::requested()) {
      base::Result<bool> more = file.next(line);
      if (!more && more.error().code == base::Code::kLimit) {
        refuse(more.error().message);
        continue;
      }
      if (!more) return tl::unexpected(more.error());
      if (!*more) break;
      TAMIS_CHECK(import_line(worker, path, file.line_number(), line));
      progress.step(file.bytes_read(), imported_);
    }
    return {};
  }

  base::Status import_line(door::Service::Worker& worker, const std::string& path, uint64_t number,
                           std::string_view line) {
    // The disk sets the pace.
    if (++lines_ % kCheckEvery == 0) {
      if (service_->pending_bytes() > kPendingBytesHigh) TAMIS_CHECK(service_->sync());
      if (service_->data()->archive().stats().pending_rows > kRowsPending) TAMIS_CHECK(service_->flush());
    }
    auto done = service_->import(worker, options_.type, line, options_.archive_only,
                                 options_.archive_only ? INT64_MIN : newest_ms_);
    if (done) {
      const bool repeated = *done == door::Service::Outcome::kRepeated;
      ++(repeated ? repeated_ : imported_);
      const event::Event& event = worker.event.event();
      for (const event::DroppedField& field : event.dropped) {
        if (!repeated) ++dropped_[event.schema->name][event.schema->fields[static_cast<size_t>(field.field)].name];
      }
      return {};
    }
    if (done.error().code == base::Code::kUnavailable) return tl::unexpected(done.error());
    if (done.error().code == base::Code::kDenied) {
      ++older_;
    } else {
      refuse(path + ":" + std::to_string(number) + ": " + done.error().message);
    }
    return {};
  }

  void refuse(const std::string& message) {
    if (++refused_ <= kRefusalsShownMax) std::fprintf(stderr, "%s\n", message.c_str());
  }

  void report() {
    if (options_.json) {
      std::string out;
      event::JsonWriter json(out);
      json.begin_object().key("imported").uinteger(imported_).key("refused").uinteger(refused_);
      json.key("older").uinteger(older_).key("repeated").uinteger(repeated_);
      if (intel_refused_ > 0) json.key("intel_refused").uinteger(intel_refused_);
      if (!dropped_.empty()) json.key("dropped").begin_object();
      for (const auto& [type, fields] : dropped_) {
        json.key(type).begin_object();
        for (const auto& [field, count] : fields) json.key(field).uinteger(count);
        json.end_object();
      }
      if (!dropped_.empty()) json.end_object();
      json.end_object();
      std::printf("%s\n", out.c_str());
      return;
    }
    if (options_.session.quiet) return;
    std::fprintf(stderr, "%llu imported, %llu refused, %llu were there already\n", ull(imported_), ull(refused_),
                 ull(repeated_));
    for (const auto& [type, fields] : dropped_) {
      for (const auto& [field, count] : fields) {
        std::fprintf(stderr, "of %s the field %s had another type %llu times and was not read\n", type.c_str(),
                     field.c_str(), ull(count));
      }
    }
    if (older_ > 0) {
      std::fprintf(stderr,
                   "%llu are older than the newest event of %s and were left out: to keep them without deciding them, "
                   "import them with --archive-only\n",
                   ull(older_), options_.session.data.c_str());
    }
  }

  static unsigned long long ull(uint64_t v) { return v; }
  static constexpr uint64_t kRowsPending = 200'000;

  const Options& options_;
  door::Service* service_ = nullptr;
  int64_t newest_ms_ = INT64_MIN;
  uint64_t intel_refused_ = 0;
  uint64_t lines_ = 0, imported_ = 0, refused_ = 0, older_ = 0, repeated_ = 0;
  std::map<std::string, std::map<std::string, uint64_t>> dropped_;  // by event type and field
};

struct FilterOptions {
  std::string folder, out;
};

base::Status write_files(const std::vector<policy::SourceFile>& files, const std::string& out) {
  auto there = base::list_files(out);
  if (there && !there->empty()) return base::invalid(out + " has files; expected a folder that is new or empty");
  for (const policy::SourceFile& file : files) {
    const std::string path = out + "/" + file.name;
    TAMIS_CHECK(base::make_folders(path.substr(0, path.rfind('/'))));
    TAMIS_CHECK(base::write_file_atomically(path, file.text));
  }
  return {};
}

base::Result<int> import_filter(const FilterOptions& options,
                                base::Result<ImportedFilter> (*read)(const std::string&)) {
  TAMIS_TRY(imported, read(options.folder));
  TAMIS_TRY(files, policy_of(imported));
  TAMIS_CHECK(write_files(files, options.out));
  size_t entries = 0;
  for (const auto& [name, list] : imported.own_lists) entries += list.entries.size();
  for (const auto& [name, values] : imported.entries) entries += values.size();
  std::string text;
  for (const ImportNote& note : imported.left_behind) text += note.where + ": " + note.what + ": " + note.why + "\n";
  std::fputs(text.c_str(), stdout);
  std::fprintf(stderr, "%zu rules and %zu entries of lists are in %s; %zu items did not translate\n",
               imported.rules.size(), entries, options.out.c_str(), imported.left_behind.size());
  return kGood;
}

void add_filter(CLI::App& app, const char* name, const char* help, std::shared_ptr<int>& which, int number,
                const std::shared_ptr<FilterOptions>& options) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("DIR", options->folder, "Folder of its configuration")->required();
  command->add_option("--out", options->out, "Folder of the new policy, which must be new or empty")->required();
  command->callback([which, number] { *which = number; });
}

}  // namespace

Command add_import(CLI::App& app) {
  auto filter = std::make_shared<FilterOptions>();
  auto which = std::make_shared<int>(0);
  add_filter(app, "rspamd", "Maps, lists and thresholds of rspamd as a policy for mail", which, 1, filter);
  add_filter(app, "spamassassin", "Lists and rules of SpamAssassin as a policy for mail", which, 2, filter);
  auto options = std::make_shared<Options>();
  options->session.must_exist = false;
  app.add_option("--data", options->session.data, "The data folder; made if it is not there");
  app.add_option("--policy", options->session.policy, "Folder of the policy that decides the events");
  app.add_option("--intel", options->session.intel, "CSV files of network facts: prefix, asn, country, tag")
      ->allow_extra_args(false);
  app.add_option("--type", options->type,
                 "The type of all these events, whatever they say: for tables without a column that names it");
  app.add_flag("--archive-only", options->archive_only,
               "Keep the events without deciding them; they may be of any age");
  app.add_flag("--json", options->json, "The summary on stdout as JSON");
  app.add_flag("-q,--quiet", options->session.quiet, "No progress and no summary");
  app.add_option("EVENTS", options->events,
                 "Files of events: one JSON object a line (also .jsonl.gz, .jsonl.zst), CSV (.csv, .tsv, also .gz and "
                 ".zst) or Parquet (.parquet); - is stdin");
  app.footer(
      "Decides and stores past events as if they had arrived live: an event's own time stands for its arrival, and\n"
      "nothing is done outside. A column of CSV or Parquet is the key of its name; its cells are read as the policy's\n"
      "field says, and empty ones are absent. Refused events are told as FILE:LINE, or FILE:ROW without the line of\n"
      "names. Exit code 1 if events were refused or left out.");
  return [options, filter, which] {
    if (*which != 0) {
      const base::Result<int> code = import_filter(*filter, *which == 1 ? read_rspamd : read_spamassassin);
      return code ? *code : complain(code.error().message);
    }
    if (options->session.data.empty() || options->session.policy.empty() || options->events.empty()) {
      std::fputs("tamis: --data, --policy and EVENTS are required, or rspamd or spamassassin and its folder\n", stderr);
      return kFailed;
    }
    base::Result<int> code = Import(*options).run();
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
