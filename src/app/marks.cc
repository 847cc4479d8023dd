// What people mark: label, list, truth.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "base/file.h"
#include "event/json_writer.h"

namespace tamis::app {
namespace {

constexpr size_t kCsvBytesMax = size_t{1} << 30;
constexpr size_t kPostBytesMax = 8 << 20;

struct Options {
  DataSessionOptions session;
  std::string kind, value, name, lasts, reason, source, time, file;
  uint64_t limit = 1'000;
  bool json = false;
};

using Run = base::Result<int> (*)(const Options&);

std::string object_of(std::initializer_list<std::pair<const char*, const std::string*>> parts) {
  std::string out = "{";
  for (auto [key, text] : parts) {
    if (!text->empty()) out += (out.size() > 1 ? ",\"" : "\"") + std::string(key) + "\":" + json_text(*text);
  }
  return out + "}";
}

std::string short_time(const JsonView& time, const char* otherwise) {
  return time.has() ? time.text().substr(0, 16) + "Z" : otherwise;
}

void print_label(const JsonView& label, bool with_entity) {
  std::string entity = with_entity ? label["on"].text() + " " + label["value"].text() + "  " : std::string();
  std::printf("%s%s  since %s  until %s  by %s%s%s\n", entity.c_str(), label["name"].text().c_str(),
              short_time(label["since"], "?").c_str(), short_time(label["expires"], "cleared").c_str(),
              label["author"].text("?").c_str(), label["reason"].text().empty() ? "" : ": ",
              label["reason"].text().c_str());
}

base::Result<int> post(const Options& options, const std::string& path, std::string body) {
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->post(path, std::move(body)));
  if (options.json) std::fwrite(text.data(), 1, text.size(), stdout);
  return kGood;
}

base::Result<int> set_label(const Options& o) {
  return post(
      o, "/v1/labels",
      object_of({{"on", &o.kind}, {"value", &o.value}, {"name", &o.name}, {"for", &o.lasts}, {"reason", &o.reason}}));
}

base::Result<int> clear_label(const Options& o) {
  const std::string act = "label_clear";
  return post(
      o, "/v1/labels",
      object_of({{"act", &act}, {"on", &o.kind}, {"value", &o.value}, {"name", &o.name}, {"reason", &o.reason}}));
}

base::Result<int> show_labels(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/labels/" + url_escape(o.kind) + "/" + url_escape(o.value)));
  if (o.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(answer, JsonView::parse(text));
  for (event::Value v : answer["labels"].items()) print_label(answer.item(v), false);
  return answer["labels"].items().empty() ? kNo : kGood;
}

// All pages of a listing, until `limit` items were printed.
base::Result<int> print_pages(const Options& o, const std::string& path, const char* key,
                              void (*print)(const JsonView&)) {
  TAMIS_TRY(session, DataSession::open(o.session));
  std::string next = "0";
  uint64_t shown = 0;
  while (!next.empty() && shown < o.limit && !Interrupt::requested()) {
    uint64_t page = std::min<uint64_t>(o.limit - shown, 1'000);
    TAMIS_TRY(text, session->get(path + (path.find('?') == std::string::npos ? "?" : "&") + "after=" + next +
                                 "&limit=" + std::to_string(page)));
    TAMIS_TRY(answer, JsonView::parse(text));
    for (event::Value v : answer[key].items()) {
      JsonView item = answer.item(v);
      ++shown;
      if (!o.json) {
        print(item);
        continue;
      }
      std::string line;
      event::JsonWriter(line).value(v);
      std::printf("%s\n", line.c_str());
    }
    next = answer["next"].text();
  }
  if (!next.empty()) std::fprintf(stderr, "there are more; --limit shows more of them\n");
  return kGood;
}

base::Result<int> list_labels(const Options& o) {
  std::string path = "/v1/labels?on=" + url_escape(o.kind) + "&name=" + url_escape(o.name);
  return print_pages(o, path, "labels", [](const JsonView& label) { print_label(label, true); });
}

base::Result<int> add_entry(const Options& o) {
  return post(o, "/v1/lists/" + url_escape(o.name),
              object_of({{"value", &o.value}, {"for", &o.lasts}, {"reason", &o.reason}}));
}

base::Result<int> remove_entry(const Options& o) {
  const std::string act = "list_remove";
  return post(o, "/v1/lists/" + url_escape(o.name),
              object_of({{"act", &act}, {"value", &o.value}, {"reason", &o.reason}}));
}

void print_entry(const JsonView& entry) {
  std::printf("%s  since %s  until %s  by %s%s%s\n", entry["value"].text().c_str(),
              short_time(entry["since"], "?").c_str(), short_time(entry["expires"], "removed").c_str(),
              entry["of"].text() == "policy" ? "policy" : entry["author"].text("?").c_str(),
              entry["reason"].text().empty() ? "" : ": ", entry["reason"].text().c_str());
}

base::Result<int> show_list(const Options& o) {
  Interrupt::install();
  const std::string path = "/v1/lists/" + url_escape(o.name) + "?of=";
  TAMIS_TRY(code, print_pages(o, path + "run_time", "entries", print_entry));
  if (code != kGood) return code;
  return print_pages(o, path + "policy", "entries", print_entry);
}

base::Result<int> list_lists(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/lists"));
  if (o.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(answer, JsonView::parse(text));
  for (event::Value v : answer["lists"].items()) {
    JsonView list = answer.item(v);
    std::printf("%-24s %-8s %8s of the policy, %8s of run time%s\n", list["name"].text().c_str(),
                list["kind"].text().c_str(), list["policy_entries"].text().c_str(),
                list["run_time_entries"].text().c_str(), list["managed"].truth() ? "" : " (takes none: not managed)");
  }
  return kGood;
}

base::Result<int> add_truth_of(const Options& o) {
  return post(o, "/v1/truth",
              object_of({{"on", &o.kind},
                         {"value", &o.value},
                         {"label", &o.name},
                         {"source", &o.source},
                         {"time", &o.time},
                         {"reason", &o.reason}}));
}

base::Result<int> show_truth(const Options& o) {
  TAMIS_TRY(session, DataSession::open(o.session));
  TAMIS_TRY(text, session->get("/v1/truth/" + url_escape(o.kind) + "/" + url_escape(o.value)));
  if (o.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(answer, JsonView::parse(text));
  if (!answer["label"].has()) {
    std::printf("nobody has said what %s %s is\n", o.kind.c_str(), o.value.c_str());
    return kNo;
  }
  for (event::Value v : answer["history"].items()) {
    JsonView truth = answer.item(v);
    std::printf("%s  since %s  by %s%s%s\n", truth["label"].text().c_str(), short_time(truth["time"], "?").c_str(),
                truth["source"].text().c_str(), truth["reason"].text().empty() ? "" : ": ",
                truth["reason"].text().c_str());
  }
  return kGood;
}

// The cells of a line of CSV (RFC 4180, without line breaks in cells).
std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

struct Sent {
  uint64_t done = 0, refused = 0;
};

base::Status send_truth(DataSession& session, std::string& lines, uint64_t first_line, Sent& sent) {
  if (lines.empty()) return {};
  TAMIS_TRY(text, session.post("/v1/truth", std::move(lines), "application/x-ndjson"));
  lines.clear();
  TAMIS_TRY(answer, JsonView::parse(text));
  sent.done += answer["done"].count();
  sent.refused += answer["refused"].count();
  for (event::Value v : answer["errors"].items()) {
    JsonView error = answer.item(v);
    std::fprintf(stderr, "tamis: line %llu: %s\n",
                 static_cast<unsigned long long>(first_line + error["line"].count() - 1),
                 error["message"].text().c_str());
  }
  return {};
}

base::Result<int> import_truth(const Options& o) {
  TAMIS_TRY(csv, base::read_file(o.file, kCsvBytesMax));
  TAMIS_TRY(session, DataSession::open(o.session));
  std::string_view rest = csv;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  std::string lines;
  uint64_t number = 0, first_line = 1;
  bool of_events = false;
  Sent sent;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    std::vector<std::string> cells = cells_of(line);
    if (number == 1) {
      of_events = cells == std::vector<std::string>{"type", "id", "label"};
      if (!of_events && cells != std::vector<std::string>{"entity", "value", "label"}) {
        return base::invalid(o.file + ":1: expected the head type,id,label or entity,value,label");
      }
      first_line = 2;
      continue;
    }
    if (line.empty()) {
      lines += '\n';  // keeps the numbers of the lines
      continue;
    }
    if (cells.size() != 3) {
      return base::invalid(o.file + ":" + std::to_string(number) + ": expected three cells, found " +
                           std::to_string(cells.size()));
    }
    std::string on = (of_events ? "event:" : "") + cells[0];
    lines +=
        object_of(
            {{"on", &on}, {"value", &cells[1]}, {"label", &cells[2]}, {"source", &o.source}, {"reason", &o.reason}}) +
        "\n";
    if (lines.size() < kPostBytesMax) continue;
    TAMIS_CHECK(send_truth(*session, lines, first_line, sent));
    first_line = number + 1;
  }
  TAMIS_CHECK(send_truth(*session, lines, first_line, sent));
  std::printf("%llu taken, %llu refused\n", static_cast<unsigned long long>(sent.done),
              static_cast<unsigned long long>(sent.refused));
  return sent.refused == 0 ? kGood : kNo;
}

// A command with verbs: `tamis list add ...`. The options of the command may stand before or behind the verb.
class Verbs {
 public:
  Verbs(CLI::App& app, std::shared_ptr<Options> options) : app_(app), options_(std::move(options)) {
    app.add_option("--data", options_->session.data, "The data folder")->required();
    app.add_flag("--json", options_->json, "As JSON");
    app.require_subcommand(1);
  }
  CLI::App& add(const char* name, const char* what, Run run) {
    CLI::App* verb = app_.add_subcommand(name, what);
    verb->fallthrough();
    runs_->emplace_back(verb, run);
    return *verb;
  }
  Command command() const {
    return [options = options_, runs = runs_] {
      for (auto [verb, run] : *runs) {
        if (!verb->parsed()) continue;
        base::Result<int> code = run(*options);
        return code ? *code : complain(code.error().message);
      }
      return kFailed;
    };
  }

 private:
  CLI::App& app_;
  std::shared_ptr<Options> options_;
  std::shared_ptr<std::vector<std::pair<CLI::App*, Run>>> runs_ =
      std::make_shared<std::vector<std::pair<CLI::App*, Run>>>();
};

void entity(CLI::App& verb, Options& o) {
  verb.add_option("KIND", o.kind, "Kind of entity: account, ip, ...; event:TYPE for an event")->required();
  verb.add_option("VALUE", o.value, "Which one; of an event its id")->required();
}

}  // namespace

Command add_label(CLI::App& app) {
  auto o = std::make_shared<Options>();
  Verbs verbs(app, o);
  CLI::App& set = verbs.add("set", "Set a label on an entity", set_label);
  entity(set, *o);
  set.add_option("NAME", o->name, "Of the label")->required();
  set.add_option("--for", o->lasts, "How long, like 7d; without it until it is cleared");
  set.add_option("--reason", o->reason, "Why");
  CLI::App& clear = verbs.add("clear", "Take a label back", clear_label);
  entity(clear, *o);
  clear.add_option("NAME", o->name, "Of the label")->required();
  clear.add_option("--reason", o->reason, "Why");
  entity(verbs.add("show", "The labels of an entity; exit code 1 if it has none", show_labels), *o);
  CLI::App& ls = verbs.add("ls", "All labels in force", list_labels);
  ls.add_option("--on", o->kind, "Only on this kind of entity");
  ls.add_option("--name", o->name, "Only of this name");
  ls.add_option("--limit", o->limit, "How many at most")->capture_default_str();
  return verbs.command();
}

Command add_list(CLI::App& app) {
  auto o = std::make_shared<Options>();
  Verbs verbs(app, o);
  CLI::App& add = verbs.add("add", "Add an entry at run time", add_entry);
  CLI::App& remove = verbs.add("remove", "Remove an entry of run time", remove_entry);
  for (CLI::App* verb : {&add, &remove}) {
    verb->add_option("LIST", o->name, "Of the policy")->required();
    verb->add_option("VALUE", o->value, "The entry")->required();
    verb->add_option("--reason", o->reason, "Why");
  }
  add.add_option("--for", o->lasts, "How long, like 90d; without it until it is removed");
  CLI::App& show = verbs.add("show", "The entries of a list, those of run time first", show_list);
  show.add_option("LIST", o->name, "Of the policy")->required();
  show.add_option("--limit", o->limit, "How many of each at most")->capture_default_str();
  verbs.add("ls", "The lists of the policy, and how long they are", list_lists);
  return verbs.command();
}

Command add_truth(CLI::App& app) {
  auto o = std::make_shared<Options>();
  o->session.mail = true;
  Verbs verbs(app, o);
  CLI::App& add = verbs.add("add", "Say what an entity or an event turned out to be", add_truth_of);
  entity(add, *o);
  add.add_option("LABEL", o->name, "good, bad, or a class of your own")->required();
  add.add_option("--time", o->time, "Since when it is known (RFC 3339); default now");
  entity(verbs.add("show", "What is known of one; exit code 1 if nothing", show_truth), *o);
  CLI::App& import = verbs.add("import", "Take truths from a CSV file", import_truth);
  import.add_option("FILE", o->file, "With the head type,id,label or entity,value,label")->required();
  for (CLI::App* verb : {&add, &import}) {
    verb->add_option("--source", o->source, "Who says so, like chargebacks; default your name");
    verb->add_option("--reason", o->reason, "Why");
  }
  return verbs.command();
}

}  // namespace tamis::app
