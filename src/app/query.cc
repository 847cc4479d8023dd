#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/progress.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/value.h"
#include "replay/journal_replay.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::Value;

constexpr size_t kCellWidthMax = 60;

struct Options {
  DataSessionOptions session;
  std::string sql;
  uint64_t rows_max = 1000;
  double seconds = 60;
  bool json = false, csv = false;
};

std::string cell(Value v) {
  if (v.is(Kind::kNull)) return "";
  if (v.is(Kind::kString)) return std::string(v.str());
  std::string out;
  event::JsonWriter(out).value(v);
  return out;
}

// Length in code points: good enough to line up columns.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string csv_of(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

class Answer {
 public:
  base::Status read(std::string_view json) {
    event::JsonLimits limits;
    limits.bytes_max = json.size() + 1;
    limits.list_items_max = SIZE_MAX;
    TAMIS_TRY(value, event::JsonReader::to_value(json, arena_, limits));
    const Value* columns = event::map_find(*value.map, Value::string("columns"));
    const Value* rows = event::map_find(*value.map, Value::string("rows"));
    const Value* cut = event::map_find(*value.map, Value::string("cut"));
    for (Value column : columns->list_items()) {
      head_.push_back(cell(*event::map_find(*column.map, Value::string("name"))));
    }
    for (Value row : rows->list_items()) {
      std::vector<std::string> cells;
      for (Value v : row.list_items()) cells.push_back(cell(v));
      rows_.push_back(std::move(cells));
    }
    cut_ = cut != nullptr && cut->b;
    return {};
  }

  void print_csv() const {
    auto line = [](const std::vector<std::string>& cells) {
      for (size_t i = 0; i < cells.size(); ++i) std::printf("%s%s", i == 0 ? "" : ",", csv_of(cells[i]).c_str());
      std::printf("\n");
    };
    line(head_);
    for (const auto& row : rows_) line(row);
  }

  void print_table() const {
    std::vector<size_t> widths;
    for (const std::string& name : head_) widths.push_back(width_of(name));
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i)
        widths[i] = std::min(kCellWidthMax, std::max(widths[i], width_of(row[i])));
    }
    auto line = [&](const std::vector<std::string>& cells) {
      std::string out;
      for (size_t i = 0; i < cells.size(); ++i) {
        out += cells[i];
        size_t width = width_of(cells[i]);
        if (i + 1 < cells.size()) out.append(width < widths[i] ? widths[i] - width + 2 : 2, ' ');
      }
      std::printf("%s\n", out.c_str());
    };
    line(head_);
    std::vector<std::string> rule;
    for (size_t width : widths) rule.emplace_back(width, '-');
    line(rule);
    for (const auto& row : rows_) line(row);
    if (cut_) std::fprintf(stderr, "there are more rows; --rows gives more of them\n");
  }

 private:
  base::Arena arena_;
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
  bool cut_ = false;
};

base::Result<int> query(Options options) {
  Interrupt::install();
  options.session.state = false;
  options.session.reads = true;
  TAMIS_TRY(session, DataSession::open(options.session));
  std::string body = "{\"sql\":" + json_text(options.sql) + ",\"rows_max\":" + std::to_string(options.rows_max) +
                     ",\"time_ms\":" + std::to_string(static_cast<int64_t>(options.seconds * 1000)) + "}";
  TAMIS_TRY(text, session->post("/v1/query", std::move(body)));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  Answer answer;
  TAMIS_CHECK(answer.read(text));
  options.csv ? answer.print_csv() : answer.print_table();
  return kGood;
}

std::string hex16(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

// Folds the journal from its beginning, with no regard to snapshots: what a recovery must come to.
base::Result<int> digest_from_start(const DataSessionOptions& options) {
  replay::JournalReplayOptions replay;
  replay.data = options.data;
  engine::Engine engine;
  Progress progress("fold", 0, options.quiet);
  auto keep_going = [&](uint64_t done, uint64_t, uint64_t decided) {
    progress.step(done, decided);
    return !Interrupt::requested();
  };
  TAMIS_TRY(result, replay::replay_journal(replay, engine, nullptr, keep_going));
  (void)result;
  if (Interrupt::requested()) return kInterrupted;
  std::printf("%s\n", hex16(engine.digest()).c_str());
  return kGood;
}

base::Result<int> digest(DataSessionOptions options, bool json) {
  Interrupt::install();
  options.reads = true;
  TAMIS_TRY(session, DataSession::open(options));
  TAMIS_TRY(text, session->get("/v1/digest"));
  if (json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  base::Arena arena;
  TAMIS_TRY(value, event::JsonReader::to_value(text, arena));
  std::printf("%s\n", cell(*event::map_find(*value.map, Value::string("digest"))).c_str());
  return kGood;
}

}  // namespace

Command add_query(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--rows", options->rows_max, "Most rows of the answer")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--seconds", options->seconds, "Time limit")->check(CLI::Range(0.001, 600.0))->capture_default_str();
  auto* json = app.add_flag("--json", options->json, "As JSON: columns, rows, cut");
  app.add_flag("--csv", options->csv, "As CSV")->excludes(json);
  app.add_option("SQL", options->sql, "A reading statement; docs/ARCHIVE.md names the tables")->required();
  app.footer(
      "Tables: one for each event type, `events` (what all types have), `acts` (of people and batches), `truth`.\n"
      "Example: tamis query --data DIR \"SELECT verdict, count(*) FROM signup GROUP BY 1\"");
  return [options] {
    base::Result<int> code = query(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_digest(CLI::App& app) {
  auto options = std::make_shared<DataSessionOptions>();
  auto json = std::make_shared<bool>(false);
  auto from_start = std::make_shared<bool>(false);
  app.add_option("--data", options->data, "The data folder")->required();
  auto* as_json = app.add_flag("--json", *json, "As JSON, with the number of the last record");
  app.add_flag("--from-start", *from_start, "Of a fold of the whole journal instead, to compare: no snapshot is used")
      ->excludes(as_json);
  app.footer("Equal digests mean equal state: features, labels, lists, recent ids, time.");
  return [options, json, from_start] {
    Interrupt::install();
    base::Result<int> code = *from_start ? digest_from_start(*options) : digest(*options, *json);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
