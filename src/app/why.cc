// For support agents: why, release, erase.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"

namespace tamis::app {
namespace {

struct Options {
  DataSessionOptions session;
  std::string kind, value, reason, label, list;
  bool json = false, customer = false, support = false, yes = false;
};

// "2026-11-21T18:04:05.123Z" as "2026-11-21 18:04".
std::string minute(const JsonView& time, const char* otherwise) {
  std::string text = time.text();
  if (text.size() < 16) return otherwise;
  return text.substr(0, 10) + " " + text.substr(11, 5);
}

std::string by_whom(const std::string& by) {
  if (by.empty()) return "nobody knows whom";
  return by.rfind("rule:", 0) == 0 ? "rule " + by.substr(5) : by;
}

void print_mark(const JsonView& mark) {
  std::string what = mark["list"].has() ? "on list " + mark["list"].text() + " as " + mark["value"].text() +
                                              (mark["of"].text() == "policy" ? " (of the policy's files)" : "")
                                        : "label " + mark["name"].text();
  if (mark["on"].has() && !mark["list"].has()) what = mark["on"].text() + " " + mark["value"].text() + ": " + what;
  std::printf("  %s\n", what.c_str());
  std::printf("      since %s, until %s, by %s%s\n", minute(mark["since"], "unknown").c_str(),
              minute(mark["until"], "it is taken back").c_str(), by_whom(mark["by"].text()).c_str(),
              mark["reason"].has() ? (": " + mark["reason"].text()).c_str() : "");
  if (mark["over"].has()) std::printf("      over: people have found it good since\n");
  if (mark["say"].has()) std::printf("      say: %s\n", mark["say"].text().c_str());
}

void print_marks(const char* title, const JsonView& marks) {
  if (marks.items().empty()) return;
  std::printf("\n%s\n", title);
  for (event::Value v : marks.items()) print_mark(marks.item(v));
}

std::string joined(const JsonView& texts) {
  std::string out;
  for (event::Value v : texts.items()) out += (out.empty() ? "" : ", ") + texts.item(v).text();
  return out;
}

void print_decisions(const JsonView& why) {
  const JsonView decisions = why["decisions"];
  if (decisions.items().empty()) return;
  std::printf("\nRecent decisions against it\n");
  for (event::Value v : decisions.items()) {
    JsonView d = decisions.item(v);
    std::string rules = joined(d["rules"]);
    std::printf("  %s  %-10s %-12s %s%s%s\n", minute(d["time"], "?").c_str(), d["verdict"].text().c_str(),
                d["type"].text().c_str(), d["id"].text().c_str(), rules.empty() ? "" : "  by ", rules.c_str());
    if (d["revised"].has()) {
      std::printf("      now in force: %s\n", d["revised"].text().c_str());
    } else if (d["over"].has()) {
      std::printf("      over: what it began was taken back since\n");
    }
    for (const char* part : {"reasons", "say"}) {
      for (event::Value text : d[part].items()) std::printf("      %s\n", d[part].item(text).text().c_str());
    }
  }
}

void print_acts(const JsonView& acts) {
  if (acts.items().empty()) return;
  std::printf("\nWhat people did\n");
  for (event::Value v : acts.items()) {
    JsonView a = acts.item(v);
    std::string what = a["act"].text();
    for (char& c : what) c = c == '_' ? ' ' : c;
    std::printf("  %s  %s %s by %s%s%s\n", minute(a["time"], "?").c_str(), what.c_str(),
                a["list"].has() ? a["list"].text().c_str() : a["name"].text().c_str(), by_whom(a["by"].text()).c_str(),
                a["reason"].has() ? ": " : "", a["reason"].text().c_str());
  }
}

void print_words(const JsonView& words) {
  for (event::Value v : words.items()) std::printf("%s\n", words.item(v).text().c_str());
}

base::Result<int> why(const Options& options) {
  Interrupt::install();
  DataSessionOptions reading = options.session;
  reading.reads = true;
  TAMIS_TRY(session, DataSession::open(reading));
  std::string path = "/v1/why/" + url_escape(options.kind) + "/" + url_escape(options.value) + "?for=" +
                     (options.customer  ? "customer"
                      : options.support ? "support"
                                        : "analyst");
  if (!options.reason.empty()) path += "&reason=" + url_escape(options.reason);
  TAMIS_TRY(text, session->get(path));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(why, JsonView::parse(text));
  if (options.customer) {
    print_words(why["words"]);
    return kGood;
  }
  bool clear = why["labels"].items().empty() && why["entries"].items().empty() && why["around"].items().empty();
  std::printf("%s %s: %s\n", why["on"].text().c_str(), why["value"].text().c_str(),
              clear ? "nothing is in force" : "in force now");
  std::printf("%s events in %s days, %s of them with another verdict than the mildest%s\n",
              why["events"].text("0").c_str(), why["days"].text("0").c_str(), why["intervened"].text("0").c_str(),
              why["truth"].has() ? ("; known as " + why["truth"].text()).c_str() : "");
  const bool is_unseen = clear && why["events"].count() == 0 && why["acts"].items().empty();
  if (is_unseen && !options.kind.starts_with("event:")) {
    std::fprintf(stderr, "no event names it: is that how this %s is written?\n", options.kind.c_str());
  }
  print_marks("Labels", why["labels"]);
  print_marks("Entries of lists", why["entries"]);
  print_marks("On what it is part of", why["around"]);
  print_marks("Revised decisions", why["revisions"]);
  print_decisions(why);
  print_acts(why["acts"]);
  std::printf("\nTo say to the customer\n");
  for (event::Value v : why["words"].items()) std::printf("  %s\n", why["words"].item(v).text().c_str());
  return kGood;
}

void print_taken(const JsonView& marks, const char* lead) {
  for (event::Value v : marks.items()) {
    JsonView mark = marks.item(v);
    std::string what = mark["list"].has() ? "list " + mark["list"].text() + ": " + mark["value"].text()
                                          : "label " + mark["label"].text();
    std::printf("%s %s, by %s%s\n", lead, what.c_str(), by_whom(mark["by"].text()).c_str(),
                mark["why"].has() ? ("; " + mark["why"].text()).c_str() : "");
  }
}

base::Result<int> release(const Options& options) {
  Interrupt::install();
  TAMIS_TRY(session, DataSession::open(options.session));
  std::string body = "{\"on\":" + json_text(options.kind) + ",\"value\":" + json_text(options.value) +
                     ",\"label\":" + json_text(options.label) + ",\"list\":" + json_text(options.list) +
                     ",\"reason\":" + json_text(options.reason) + "}";
  TAMIS_TRY(text, session->post("/v1/release", std::move(body)));
  TAMIS_TRY(done, JsonView::parse(text));
  bool all = done["kept"].items().empty();
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return all ? kGood : kNo;
  }
  print_taken(done["released"], "released");
  print_taken(done["kept"], "kept    ");
  for (event::Value v : done["around"].items()) {
    JsonView mark = done["around"].item(v);
    std::printf("still in force on %s %s: %s; release that by itself if it is wrong\n", mark["on"].text().c_str(),
                mark["value"].text().c_str(), mark["label"].text(mark["list"].text()).c_str());
  }
  return all ? kGood : kNo;
}

base::Result<int> erase(const Options& options) {
  Interrupt::install();
  if (!options.yes) {
    return base::invalid("this cannot be undone: all that is kept of " + options.kind + " " + options.value +
                         " is removed; say --yes to do it");
  }
  DataSessionOptions with_mail = options.session;
  with_mail.mail = true;
  TAMIS_TRY(session, DataSession::open(with_mail));
  std::string body = "{\"on\":" + json_text(options.kind) + ",\"value\":" + json_text(options.value) +
                     ",\"reason\":" + json_text(options.reason) + "}";
  TAMIS_TRY(text, session->post("/v1/erase", std::move(body)));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(report, JsonView::parse(text));
  constexpr std::pair<const char*, const char*> kCounts[] = {{"journal_records", "records of the journal"},
                                                             {"archive_rows", "rows of the archive"},
                                                             {"labels", "labels"},
                                                             {"list_entries", "entries of lists"},
                                                             {"feature_keys", "keys of features"},
                                                             {"others_keys", "keys of others that held their values"},
                                                             {"batch_items", "items of action batches"},
                                                             {"mail", "parts of what mail taught"},
                                                             {"audit_lines", "lines of the audit trail emptied"},
                                                             {"snapshots", "snapshots, and a new one made"}};
  for (auto [key, what] : kCounts) std::printf("%8s %s\n", report[key].text("0").c_str(), what);
  if (report["others_keys"].count() > 0) {
    std::printf(
        "Those keys of others (an address, a device) were forgotten as a whole: what else was brought there by "
        "somebody\n"
        "else cannot be told apart. A value that only others brought to a key stays there.\n");
  }
  if (std::string versions = joined(report["policies"]); !versions.empty()) {
    std::printf("The files of these versions of the policy name it; take it out there: %s\n", versions.c_str());
    return kNo;
  }
  return kGood;
}

void add_entity(CLI::App& app, Options& options) {
  app.add_option("--data", options.session.data, "The data folder")->required();
  app.add_option("KIND", options.kind,
                 "Kind of entity: account, ip, network, domain, device, ...; event:TYPE for an "
                 "event")
      ->required();
  app.add_option("VALUE", options.value, "Which one; of an event its id")->required();
  app.add_flag("--json", options.json, "As JSON");
}

Command finish(std::shared_ptr<Options> options, base::Result<int> (*run)(const Options&)) {
  return [options, run] {
    base::Result<int> code = run(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace

Command add_why(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_entity(app, *options);
  auto* customer = app.add_flag("--customer", options->customer, "Only what may be said to a customer");
  app.add_flag("--support", options->support, "Without points, scores and the reasons that rules give")
      ->excludes(customer);
  app.add_option("--reason", options->reason, "Why you look, for the audit trail");
  app.footer("Example: tamis why --data DIR account anna-17 --reason \"ticket 4711\"");
  return finish(options, why);
}

Command add_release(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_entity(app, *options);
  app.add_option("--reason", options->reason, "Why it is taken back, for the audit trail")->required();
  auto* label = app.add_option("--label", options->label, "Only this label");
  app.add_option("--list", options->list, "Only the entry of this list")->excludes(label);
  app.footer(
      "Takes back labels and run-time list entries of exactly this entity. Entries of the policy's files and entries\n"
      "that cover others too are told and kept; then the exit code is 1.");
  return finish(options, release);
}

Command add_erase(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_entity(app, *options);
  app.add_option("--reason", options->reason, "For the audit trail; must not name the value")->required();
  app.add_flag("--yes", options->yes, "Do it: it cannot be undone");
  app.footer("Removes a person from journal, archive, state, snapshots, batches and the words of the audit trail.");
  return finish(options, erase);
}

}  // namespace tamis::app
