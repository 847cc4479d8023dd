// `tamis mail`: scan, explain, learn from and evaluate on messages in files.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"
#include "app/mail_eval.h"
#include "app/mail_explain.h"
#include "app/mail_learn.h"
#include "app/mail_setup.h"
#include "app/one_of.h"
#include "base/file.h"
#include "door/mail_text.h"
#include "event/ip.h"
#include "event/json_writer.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

using event::JsonWriter;

struct ScanOptions {
  MailSetupOptions setup;
  DataSessionOptions session;
  std::vector<std::string> files;
  bool json = false, outgoing = false;
  MailDepth depth = MailDepth::kAnalyst;
  door::MailRequest envelope;
};

void add_setup(CLI::App& app, MailSetupOptions& options) {
  app.add_option("--policy", options.policy, "Folder of the policy; without it the ready one for mail");
  auto* model = app.add_option("--model", options.model, "File of the spam model; without it the one that ships");
  app.add_flag("--fresh", options.fresh, "Begin with no model")->excludes(model);
}

void add_envelope(CLI::App& app, ScanOptions& options) {
  app.add_option("--ip", options.envelope.client_ip, "Address of the SMTP client");
  app.add_option("--helo", options.envelope.helo, "What it said in HELO");
  app.add_option("--hostname", options.envelope.client_name, "Its verified host name");
  app.add_option("--sender", options.envelope.sender, "MAIL FROM");
  app.add_option("--recipient", options.envelope.recipients, "RCPT TO; may be repeated");
  app.add_option("--user", options.envelope.user, "Who logged in to send it");
  app.add_flag("--out", options.outgoing, "Mail of one's own users on its way out");
}

void write_symbols(const door::MailVerdict& verdict, JsonWriter& json) {
  json.key("symbols").begin_array();
  for (const door::MailSymbol& symbol : verdict.symbols) {
    json.begin_object().key("name").string(symbol.name).key("points").real(symbol.score);
    json.key("reason").string(symbol.description).end_object();
  }
  json.end_array();
}

void print_json(const std::string& name, const door::MailVerdict& verdict) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("file").string(name).key("verdict").string(verdict.verdict);
  json.key("spam").boolean(door::is_spam(verdict));
  json.key("points").real(verdict.points).key("required").real(verdict.points_required);
  json.key("probability").real(verdict.probability);
  write_symbols(verdict, json);
  json.end_object();
  std::printf("%s\n", out.c_str());
}

door::MailRequest request_of(const ScanOptions& options, std::string_view message) {
  door::MailRequest request = options.envelope;
  request.message = message;
  request.has_sender = !request.sender.empty();
  request.sender = door::without_brackets(request.sender);  // "<>" is the null sender
  if (options.outgoing) request.direction = door::MailDirection::kOut;
  return request;
}

// What the envelope must be for an answer to mean anything; the doors know it from the SMTP client.
base::Status check_envelope(const door::MailRequest& envelope) {
  event::IpData ip;
  if (envelope.client_ip.empty() || event::parse_ip(envelope.client_ip, ip)) return {};
  return base::invalid("--ip '" + envelope.client_ip + "' is no address, expected IPv4 or IPv6");
}

// Asks the server or the data folder, whose model has learned from corrections there.
base::Result<int> scan_with_data(const ScanOptions& options) {
  DataSessionOptions session_options = options.session;
  session_options.mail = true;
  session_options.quiet = true;
  TAMIS_TRY(session, DataSession::open(session_options));
  std::string path = options.outgoing ? "/v1/mail?direction=out" : "/v1/mail?direction=in";
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) path += std::string("&") + name + "=" + url_escape(value);
  };
  add("ip", options.envelope.client_ip);
  add("helo", options.envelope.helo);
  add("hostname", options.envelope.client_name);
  add("sender", options.envelope.sender);
  add("user", options.envelope.user);
  std::string recipients;
  for (const std::string& one : options.envelope.recipients) recipients += (recipients.empty() ? "" : ",") + one;
  add("recipient", recipients);
  size_t refused = 0;
  auto use = [&](const std::string& name, std::string_view message) {
    auto answer = session->post(path, std::string(message), "message/rfc822");
    auto view = answer ? JsonView::parse(*answer) : tl::unexpected(answer.error());
    if (!view) {
      ++refused;
      complain(name + ": " + view.error().message);
    } else if (options.json) {
      std::printf("{\"file\":%s,%s", json_text(name).c_str(), answer->c_str() + 1);
    } else {
      std::printf("%s: %s %.2f/%.2f p=%.4f id=%s\n", name.c_str(), (*view)["verdict"].text().c_str(),
                  (*view)["points"].number(), (*view)["required"].number(), (*view)["probability"].number(),
                  (*view)["id"].text().c_str());
    }
    return !Interrupt::requested();
  };
  TAMIS_CHECK(for_each_message(options.files, use));
  return refused == 0 ? kGood : kNo;
}

base::Result<int> scan(const ScanOptions& options) {
  Interrupt::install();
  TAMIS_CHECK(check_envelope(options.envelope));
  if (!options.session.data.empty()) return scan_with_data(options);
  TAMIS_TRY(setup, MailSetup::open(options.setup));
  door::MailService::Work work;
  size_t refused = 0;
  auto use = [&](const std::string& name, std::string_view message) {
    auto verdict = setup->mail().scan_now(work, request_of(options, message), false);
    if (!verdict) {
      ++refused;
      complain(name + ": " + verdict.error().message);
      return !Interrupt::requested();
    }
    if (options.json) {
      print_json(name, *verdict);
    } else {
      std::string rules;
      for (const door::MailSymbol& symbol : verdict->symbols) {
        rules += fmt::format(" {}({:.2f})", symbol.name, symbol.score);
      }
      std::printf("%s: %s %.2f/%.2f p=%.4f%s\n", name.c_str(), verdict->verdict.c_str(), verdict->points,
                  verdict->points_required, verdict->probability, rules.c_str());
    }
    return !Interrupt::requested();
  };
  TAMIS_CHECK(for_each_message(options.files, use));
  if (Interrupt::requested()) return kInterrupted;
  return refused == 0 ? kGood : kNo;
}

base::Result<int> explain(const ScanOptions& options) {
  TAMIS_CHECK(check_envelope(options.envelope));
  TAMIS_TRY(setup, MailSetup::open(options.setup));
  door::MailService::Work work;
  bool first = true;
  base::Status failed;
  auto use = [&](const std::string& name, std::string_view message) {
    auto verdict = setup->mail().scan_now(work, request_of(options, message), true);
    if (!verdict) {
      failed = base::fail(verdict.error().code, name + ": " + verdict.error().message);
      return false;
    }
    const auto policy = setup->service().policy();
    auto text = explain_mail(name, *verdict, *policy, options.depth, options.json);
    if (!text) failed = tl::unexpected(text.error());
    if (!failed) return false;
    std::printf("%s%s", first || options.json ? "" : "\n", text->c_str());
    first = false;
    return true;
  };
  TAMIS_CHECK(for_each_message(options.files, use));
  TAMIS_CHECK(std::move(failed));
  return kGood;
}

base::Result<int> eval(const MailEvalOptions& options) {
  Interrupt::install();
  TAMIS_TRY(summary, eval_mail(options));
  std::fprintf(stderr,
               "tamis: %llu messages tested: %llu ham taken for spam, %llu spam taken for ham; %.0f us to scan one, "
               "%.0f us to learn one\n",
               static_cast<unsigned long long>(summary.tested), static_cast<unsigned long long>(summary.ham_as_spam),
               static_cast<unsigned long long>(summary.spam_as_ham), summary.scan_us, summary.learn_us);
  return kGood;
}

template <class Options>
Command command_of(std::shared_ptr<Options> options, base::Result<int> (*run)(const Options&)) {
  return [options, run] {
    base::Result<int> code = run(*options);
    return code ? *code : complain(code.error().message);
  };
}

Command add_mail_scan(CLI::App& app) {
  auto options = std::make_shared<ScanOptions>();
  app.add_option("FILE", options->files, "Messages: files, mboxes, Maildirs, other folders; - is standard input")
      ->required();
  app.add_flag("--json", options->json, "A line of JSON for each message");
  app.add_option("--data", options->session.data,
                 "Data folder whose model judges, and which remembers the messages for corrections by their ids");
  add_setup(app, options->setup);
  add_envelope(app, *options);
  return command_of(options, scan);
}

Command add_mail_explain(CLI::App& app) {
  auto options = std::make_shared<ScanOptions>();
  app.add_option("FILE", options->files, "Messages: files, mboxes, Maildirs, other folders; - is standard input")
      ->required();
  app.add_flag("--json", options->json, "As JSON");
  const std::map<std::string, int> depths = {{"user", static_cast<int>(MailDepth::kUser)},
                                             {"support", static_cast<int>(MailDepth::kSupport)},
                                             {"analyst", static_cast<int>(MailDepth::kAnalyst)}};
  app.add_option("--for", options->depth,
                 "Who reads it: user, support or analyst (default); only the last may know what a sender must not")
      ->transform(one_of(depths));
  add_setup(app, options->setup);
  add_envelope(app, *options);
  return command_of(options, explain);
}

Command add_mail_eval(CLI::App& app) {
  auto options = std::make_shared<MailEvalOptions>();
  auto online = std::make_shared<bool>(false);
  app.add_flag("--online", *online, "Classify, then learn, message by message, in the order of the index (always so)");
  app.add_option("--index", options->index, "Lines of path, label (ham or spam) and order, parted by tabs")->required();
  app.add_option("--root", options->root, "Folder to which the paths are relative")->required();
  app.add_option("--out", options->out, "Where the scores go: path, label, score, verdict, CPU us")->required();
  auto* split = app.add_option("--split", options->split,
                               "Learn from the first so many alone (0: from none), then test the others without "
                               "feedback; the scores are of these");
  auto* delay = app.add_option("--delay", options->delay, "Tell labels so many messages late")->excludes(split);
  auto* limit = app.add_option("--limit", options->limit, "Read so many messages at most");
  const auto is_count = [](const std::string& text) {
    return text.starts_with('-') ? "'" + text + "' is no number of messages" : std::string();
  };
  for (CLI::Option* count : {split, delay, limit}) count->check(is_count);
  add_setup(app, options->setup);
  return command_of(options, eval);
}

}  // namespace

Command add_mail(CLI::App& app) {
  app.require_subcommand(1);
  auto runs = std::make_shared<std::vector<std::pair<CLI::App*, Command>>>();
  auto verb = [&](const char* name, const char* what, Command (*make)(CLI::App&)) {
    CLI::App* added = app.add_subcommand(name, what);
    runs->emplace_back(added, make(*added));
  };
  verb("scan", "Judge messages", add_mail_scan);
  verb("learn", "Learn from messages, or take that back", add_mail_learn);
  verb("golden", "Show or change the messages against which reports are measured", add_mail_golden);
  verb("explain", "Tell why a message is judged as it is", add_mail_explain);
  verb("eval", "Measure the filter on a labelled corpus, in its order", add_mail_eval);
  return [runs] {
    for (auto& [one, run] : *runs) {
      if (one->parsed()) return run();
    }
    return kFailed;
  };
}

}  // namespace tamis::app
