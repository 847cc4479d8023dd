// For auditors and analysts: who did what, and the versions of the policy.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "action/audit.h"
#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "event/json_writer.h"

namespace tamis::app {
namespace {

struct AuditOptions {
  DataSessionOptions session;
  std::string who, what, on, value, since, verb;
  uint64_t limit = 100;
  bool json = false;
};

struct PolicyOptions {
  DataSessionOptions session;
  std::string a, b = "current", reason;
  bool json = false;
};

std::string minute(const JsonView& time) {
  std::string text = time.text();
  return text.size() < 19 ? "-" : text.substr(0, 10) + " " + text.substr(11, 8);
}

void print_raw(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Reads the files themselves: a folder whose trail is broken is not served by anybody.
base::Result<int> verify(const AuditOptions& options) {
  TAMIS_TRY(verdict, action::verify_audit(options.session.data + "/audit"));
  if (options.json) {
    std::string text;
    event::JsonWriter json(text);
    json.begin_object().key("good").boolean(verdict.good).key("lines").uinteger(verdict.lines);
    json.key("erased").uinteger(verdict.erased).key("first").uinteger(verdict.first_n);
    json.key("last").uinteger(verdict.head.n).key("hash").string(verdict.head.hash);
    if (!verdict.good) json.key("where").string(verdict.where).key("what").string(verdict.what);
    json.end_object();
    std::printf("%s\n", text.c_str());
  } else if (verdict.good) {
    std::printf("the trail is whole: %llu lines, %llu of them with erased words; the last is %llu %s\n",
                static_cast<unsigned long long>(verdict.lines), static_cast<unsigned long long>(verdict.erased),
                static_cast<unsigned long long>(verdict.head.n), verdict.head.hash.c_str());
  } else {
    std::printf("the trail is broken at %s: %s\n", verdict.where.c_str(), verdict.what.c_str());
  }
  return verdict.good ? kGood : kNo;
}

void print_line(const JsonView& line) {
  std::string about = line["on"].text();
  if (line["value"].has()) about += " " + line["value"].text();
  std::printf("%s  %-12s %-18s %s%s%s%s\n", minute(line["time"]).c_str(), line["who"].text().c_str(),
              line["what"].text().c_str(), about.c_str(), line["why"].has() ? ": " : "", line["why"].text().c_str(),
              line["erased"].truth() ? " (erased)" : "");
  if (line["detail"].has()) std::printf("                      %s\n", line["detail"].text().c_str());
}

base::Result<int> audit(const AuditOptions& options) {
  Interrupt::install();
  if (options.verb == "verify") return verify(options);
  DataSessionOptions reading = options.session;
  reading.reads = true;
  TAMIS_TRY(session, DataSession::open(reading));
  std::string filter;
  auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) filter += "&" + std::string(key) + "=" + url_escape(text);
  };
  put("who", options.who);
  put("what", options.what);
  put("on", options.on);
  put("value", options.value);
  put("since", options.since);
  uint64_t shown = 0;
  std::string before;
  while (shown < options.limit && !Interrupt::requested()) {
    uint64_t page = std::min<uint64_t>(options.limit - shown, 1'000);
    TAMIS_TRY(text, session->get("/v1/audit?limit=" + std::to_string(page) + filter +
                                 (before.empty() ? "" : "&before=" + before)));
    TAMIS_TRY(answer, JsonView::parse(text));
    for (event::Value v : answer["lines"].items()) {
      ++shown;
      if (options.json) {
        std::string line;
        event::JsonWriter(line).value(v);
        std::printf("%s\n", line.c_str());
      } else {
        print_line(answer.item(v));
      }
    }
    before = answer["next"].text();
    if (before.empty()) break;
  }
  return kGood;
}

base::Result<int> list_policies(const PolicyOptions& options) {
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->get("/v1/policies"));
  if (options.json) return print_raw(text), kGood;
  TAMIS_TRY(answer, JsonView::parse(text));
  for (event::Value v : answer["policies"].items()) {
    JsonView policy = answer.item(v);
    std::printf("%s  %-9s  activated %s%s%s\n", policy["version"].text().c_str(),
                policy["current"].truth() ? "in force" : "",
                policy["activated"].has() ? minute(policy["activated"]).c_str() : "never",
                policy["by"].text().empty() ? "" : " by ", policy["by"].text().c_str());
  }
  return kGood;
}

base::Result<int> show_policy(const PolicyOptions& options) {
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->get("/v1/policies/" + url_escape(options.a)));
  if (options.json) return print_raw(text), kGood;
  TAMIS_TRY(answer, JsonView::parse(text));
  const event::Value files = answer["files"].value();
  for (uint32_t i = 0; files.is(event::Kind::kMap) && i < files.map->size; ++i) {
    const event::MapEntry& file = files.map->entries[i];
    std::printf("# ---- %s\n%s", std::string(file.key.str()).c_str(), std::string(file.value.str()).c_str());
  }
  return kGood;
}

base::Result<int> diff_policies(const PolicyOptions& options) {
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->get("/v1/policies/" + url_escape(options.a) + "/diff/" + url_escape(options.b)));
  TAMIS_TRY(answer, JsonView::parse(text));
  bool equal = answer["files"].items().empty();
  if (options.json) return print_raw(text), equal ? kGood : kNo;
  for (event::Value v : answer["files"].items()) std::printf("%s", answer.item(v)["diff"].text().c_str());
  return equal ? kGood : kNo;
}

base::Result<int> activate_policy(const PolicyOptions& options) {
  TAMIS_TRY(session, DataSession::open(options.session));
  TAMIS_TRY(text, session->post("/v1/policies/" + url_escape(options.a) + "/activate",
                                "{\"reason\":" + json_text(options.reason) + "}"));
  TAMIS_CHECK(session->checkpoint());
  if (options.json) return print_raw(text), kGood;
  TAMIS_TRY(answer, JsonView::parse(text));
  if (answer["changed"].truth()) {
    std::printf("policy %s decides; before it %s\n", answer["policy"].text().c_str(), answer["before"].text().c_str());
    std::printf("a server reads its --policy folder again when it starts: change that, too\n");
  } else {
    std::printf("policy %s decides already\n", answer["policy"].text().c_str());
  }
  return kGood;
}

}  // namespace

Command add_audit(CLI::App& app) {
  auto options = std::make_shared<AuditOptions>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_option("--who", options->who, "Only what this person or token did");
  app.add_option("--what", options->what, "Only this, like label.set, or label.* for all of a kind");
  app.add_option("--on", options->on, "Only about this kind: account, list:NAME, policy, ...");
  app.add_option("--value", options->value, "Only about this one");
  app.add_option("--since", options->since, "Only since then: a time, or a span back like 7d");
  app.add_option("--limit", options->limit, "How many lines at most")->capture_default_str();
  app.add_flag("--json", options->json, "As JSON, one object a line");
  app.add_option("verify", options->verb, "Say verify to check the chain of hashes; exit code 1 if it is broken")
      ->check(CLI::IsMember({"verify"}));
  app.footer("Newest first. Changes and look-ups alike: who read whose data, and why.");
  return [options] {
    base::Result<int> code = audit(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_policy(CLI::App& app) {
  auto options = std::make_shared<PolicyOptions>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_flag("--json", options->json, "As JSON");
  app.require_subcommand(1);
  using Run = base::Result<int> (*)(const PolicyOptions&);
  auto runs = std::make_shared<std::vector<std::pair<CLI::App*, Run>>>();
  auto verb = [&](const char* name, const char* what, Run run) {
    CLI::App* added = app.add_subcommand(name, what);
    added->fallthrough();
    runs->emplace_back(added, run);
    return added;
  };
  verb("ls", "The versions that are kept, and when each was activated", list_policies);
  CLI::App* show = verb("show", "The files of a version", show_policy);
  CLI::App* diff = verb("diff", "What changed between two versions; exit code 1 if anything did", diff_policies);
  CLI::App* activate = verb("activate", "Make a version the one that decides: roll-back", activate_policy);
  for (CLI::App* one : {show, diff, activate}) {
    one->add_option("VERSION", options->a, "At least 4 of its digits, or current")->required();
  }
  diff->add_option("OTHER", options->b, "The later one")->capture_default_str();
  activate->add_option("--reason", options->reason, "Why, for the audit trail");
  return [options, runs] {
    for (auto [added, run] : *runs) {
      if (!added->parsed()) continue;
      base::Result<int> code = run(*options);
      return code ? *code : complain(code.error().message);
    }
    return kFailed;
  };
}

}  // namespace tamis::app
