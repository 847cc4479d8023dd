#include "app/mail_learn.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include <unistd.h>

#include "app/data_session.h"
#include "app/json_view.h"
#include "app/mail_setup.h"
#include "base/file.h"
#include "learn/mail_filter.h"
#include "model/spam_model.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

struct LearnOptions {
  DataSessionOptions session;
  std::string model, id, reporter, recipient, ip;
  std::vector<std::string> files;
  bool spam = false, ham = false, forget = false;
  const char* label() const { return spam ? "spam" : ham ? "ham" : "forget"; }
};

std::string what_was_done(uint64_t messages, std::string_view label) {
  const std::string count = fmt::format("{} {}", messages, messages == 1 ? "message" : "messages");
  return label == "forget" ? "took back what was said of " + count : fmt::format("learned {} as {}", count, label);
}

// One message is learned at once, of several the server hears all before it learns any: a batch that does harm to the
// golden set is refused as a whole.
class BatchLearner {
 public:
  BatchLearner(DataSession& session, std::string path, std::string label)
      : session_(session), path_(std::move(path)), label_(std::move(label)), name_(fmt::format("cli-{}", ::getpid())) {}

  void add(const std::string& name, std::string_view message) {
    if (label_ == "forget") return post(name, message, "");
    if (waiting_ == 0 && first_.empty()) {
      first_name_ = name;
      first_ = message;
      return;
    }
    put_first();
    post(name, message, "&batch=" + name_);
    if (waiting_ >= kBatchMax) end_batch();
  }
  size_t waiting() const { return waiting_ + (first_.empty() ? 0 : 1); }
  bool has_met_any() const { return learned_ + waiting() > 0 || failed_; }
  // Learns what waits, and tells of all. False: something was not learned.
  bool finish() {
    if (!first_.empty()) {
      post(first_name_, first_, "");
    } else if (waiting_ > 0) {
      end_batch();
    }
    std::printf("%s%s\n", what_was_done(learned_, label_).c_str(), judged_ ? ", no worse on the golden set" : "");
    return !failed_;
  }

 private:
  static constexpr size_t kBatchMax = 2'000;

  void put_first() {
    if (first_.empty()) return;
    post(first_name_, first_, "&batch=" + name_);
    first_.clear();
  }
  void post(const std::string& name, std::string_view message, const std::string& more) {
    auto answer = session_.post(path_ + more, std::string(message), "message/rfc822");
    if (answer) {
      ++(more.empty() ? learned_ : waiting_);
      return;
    }
    failed_ = true;
    complain(name + ": " + answer.error().message);
  }
  void end_batch() {
    const size_t messages = waiting_;
    waiting_ = 0;
    auto answer = session_.post("/v1/mail/batch?name=" + name_, "");
    auto view = answer ? JsonView::parse(*answer) : tl::unexpected(answer.error());
    if (!view) {
      failed_ = true;
      complain(view.error().message);
    } else if ((*view)["ok"].truth()) {
      learned_ += messages;
      judged_ = judged_ || (*view)["judged"].truth();
    } else {
      failed_ = true;
      complain(fmt::format("a batch of {} messages was refused, and none of it was learned: {}", messages,
                           (*view)["why"].text()));
    }
  }

  DataSession& session_;
  std::string path_, label_, name_;
  std::string first_name_, first_;
  size_t waiting_ = 0;
  uint64_t learned_ = 0;
  bool judged_ = false, failed_ = false;
};

base::Result<int> learn_with_data(const LearnOptions& options) {
  DataSessionOptions session_options = options.session;
  session_options.mail = true;
  session_options.quiet = true;
  TAMIS_TRY(session, DataSession::open(session_options));
  std::string path = std::string("/v1/mail/learn?label=") + options.label();
  if (!options.reporter.empty()) path += "&reporter=" + url_escape(options.reporter);
  if (!options.recipient.empty()) path += "&recipient=" + url_escape(options.recipient);
  if (!options.ip.empty()) path += "&ip=" + url_escape(options.ip);
  if (!options.id.empty()) {
    TAMIS_TRY(answer, session->post(path + "&id=" + url_escape(options.id), ""));
    std::printf("%s\n", what_was_done(1, options.label()).c_str());
    return kGood;
  }
  BatchLearner learner(*session, path, options.label());
  auto use = [&](const std::string& name, std::string_view message) {
    learner.add(name, message);
    return !Interrupt::requested();
  };
  base::Status read = for_each_message(options.files, use);
  if (Interrupt::requested()) {
    std::fprintf(stderr, "tamis: interrupted; the last %zu messages were not learned\n", learner.waiting());
    return kInterrupted;
  }
  // What could be read is learned all the same, and told.
  const bool good = (!read && !learner.has_met_any()) || learner.finish();
  TAMIS_CHECK(std::move(read));
  return good ? kGood : kNo;
}

base::Result<int> learn_into_file(const LearnOptions& options) {
  constexpr size_t kModelBytesMax = size_t{1} << 30;
  auto bytes = base::read_file(options.model, kModelBytesMax);
  if (!bytes && (options.forget || bytes.error().code != base::Code::kNotFound)) return tl::unexpected(bytes.error());
  model::SpamModel::Loaded loaded{model::SpamModel{}, ""};
  if (bytes) {
    auto read = model::SpamModel::load(*bytes);
    if (!read) return base::fail(read.error().code, options.model + ": " + read.error().message);
    loaded = std::move(*read);
  }
  learn::MailFilter filter;
  uint64_t learned = 0, refused = 0;
  auto use = [&](const std::string& name, std::string_view message) {
    filter.read(message);
    base::Status done = options.forget ? loaded.model.forget(filter.text_key())
                                       : loaded.model.learn(filter.text_key(), filter.features(), options.spam);
    ++(done ? learned : refused);
    if (!done) complain(name + ": " + done.error().message);
    return !Interrupt::requested();
  };
  base::Status read = for_each_message(options.files, use);
  if (!read && learned == 0) return tl::unexpected(read.error());
  TAMIS_CHECK(base::write_file_atomically(options.model, loaded.model.save(loaded.card, true)));
  std::printf("%s\n", what_was_done(learned, options.label()).c_str());
  TAMIS_CHECK(std::move(read));
  return Interrupt::requested() ? kInterrupted : refused == 0 ? kGood : kNo;
}

base::Result<int> learn(const LearnOptions& options) {
  Interrupt::install();
  if (options.spam + options.ham + options.forget != 1) {
    return base::invalid("mail learn: say one of --spam, --ham and --forget");
  }
  if (options.session.data.empty() && options.model.empty()) {
    return base::invalid("mail learn: say where to, --data DIR or --model FILE");
  }
  if (!options.session.data.empty() && !options.model.empty()) {
    return base::invalid("mail learn: --data DIR or --model FILE, not both");
  }
  if (options.files.empty() == options.id.empty()) {
    return base::invalid(options.id.empty() ? "mail learn: expected FILEs, or --id"
                                            : "mail learn: FILEs or --id, not both");
  }
  if (!options.id.empty() && options.session.data.empty()) return base::invalid("mail learn: --id needs --data");
  return options.model.empty() ? learn_with_data(options) : learn_into_file(options);
}

struct GoldenOptions {
  DataSessionOptions session;
  std::vector<std::string> files;
  std::string id;
  bool spam = false, ham = false, forget = false, json = false;
};

void print_golden(const JsonView& state) {
  const JsonView now = state["now"];
  const auto number = [&](const char* name) { return static_cast<unsigned long long>(now[name].number()); };
  std::printf("golden set: %llu wanted, %llu of them taken for spam; %llu spam, %llu of them not recognised\n",
              number("ham"), number("ham_as_spam"), number("spam"), number("spam_as_ham"));
  for (const event::Value item : state["refused"].items()) {
    const JsonView one = state.item(item);
    const std::string who = one["reporter"].text();
    std::printf("%s: %s; %s\n", one["time"].text().c_str(),
                who.empty() ? "nobody's reports explain it"
                            : fmt::format("{} of {}: {}", static_cast<uint64_t>(one["messages"].number()), who,
                                          one["was_learned"].truth() ? "taken out again" : "refused as a batch")
                                  .c_str(),
                one["why"].text().c_str());
  }
}

base::Result<int> golden(const GoldenOptions& options) {
  Interrupt::install();
  const bool shows = options.files.empty() && options.id.empty();
  if (options.session.data.empty()) return base::invalid("mail golden: expected --data DIR");
  if (options.spam + options.ham + options.forget != (shows ? 0 : 1)) {
    return base::invalid(
        "mail golden: FILEs or --id with one of --spam, --ham and --forget; without them it shows the set");
  }
  if (!options.files.empty() && !options.id.empty())
    return base::invalid("mail golden: expected FILEs or --id, not both");
  DataSessionOptions session_options = options.session;
  session_options.mail = true;
  session_options.quiet = true;
  TAMIS_TRY(session, DataSession::open(session_options));
  if (shows) {
    TAMIS_TRY(text, session->get("/v1/mail/golden"));
    if (options.json) {
      std::fputs(text.c_str(), stdout);
      return kGood;
    }
    TAMIS_TRY(state, JsonView::parse(text));
    print_golden(state);
    return kGood;
  }
  const std::string path = std::string("/v1/mail/golden?label=") + (options.spam  ? "spam"
                                                                    : options.ham ? "ham"
                                                                                  : "forget");
  if (!options.id.empty()) {
    TAMIS_TRY(answer, session->post(path + "&id=" + url_escape(options.id), ""));
    return kGood;
  }
  uint64_t put = 0, refused = 0;
  auto use = [&](const std::string& name, std::string_view message) {
    auto answer = session->post(path, std::string(message), "message/rfc822");
    ++(answer ? put : refused);
    if (!answer) complain(name + ": " + answer.error().message);
    return !Interrupt::requested();
  };
  base::Status read = for_each_message(options.files, use);
  std::printf("%s %llu messages\n", options.forget ? "took out" : "put in", static_cast<unsigned long long>(put));
  TAMIS_CHECK(std::move(read));
  return Interrupt::requested() ? kInterrupted : refused == 0 ? kGood : kNo;
}

template <class Options>
Command command_of(std::shared_ptr<Options> options, base::Result<int> (*run)(const Options&)) {
  return [options, run] {
    base::Result<int> code = run(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace

Command add_mail_learn(CLI::App& app) {
  auto options = std::make_shared<LearnOptions>();
  app.add_option("FILE", options->files, "Messages: files, mboxes, Maildirs, other folders; - is standard input");
  app.add_flag("--spam", options->spam, "They are spam");
  app.add_flag("--ham", options->ham, "They are wanted");
  app.add_flag("--forget", options->forget, "Take back what was said of them");
  app.add_option("--id", options->id, "Of a message that was scanned, instead of FILEs");
  app.add_option("--data", options->session.data, "Data folder whose model learns");
  app.add_option("--model", options->model, "File of a model that learns; made if it is not there");
  app.add_option("--reporter", options->reporter, "Who says so; default your name");
  app.add_option("--recipient", options->recipient, "Whose mailbox it was in");
  app.add_option("--ip", options->ip, "Address from which the reporter said so");
  return command_of(options, learn);
}

Command add_mail_golden(CLI::App& app) {
  auto options = std::make_shared<GoldenOptions>();
  app.add_option("FILE", options->files, "Messages: files, mboxes, Maildirs, other folders; - is standard input");
  app.add_flag("--spam", options->spam, "They are spam");
  app.add_flag("--ham", options->ham, "They are wanted");
  app.add_flag("--forget", options->forget, "Take them out");
  app.add_option("--id", options->id, "Of a message that was scanned, instead of FILEs");
  app.add_flag("--json", options->json, "As JSON");
  app.add_option("--data", options->session.data, "Data folder whose model is measured");
  return command_of(options, golden);
}

}  // namespace tamis::app
