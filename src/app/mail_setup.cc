#include "app/mail_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>

#include "app/command.h"
#include "base/clock.h"
#include "base/file.h"
#include "mail/mbox.h"

namespace tamis::app {
namespace {

constexpr size_t kMailboxBytesMax = size_t{2} << 30;
constexpr size_t kModelBytesMax = size_t{512} << 20;
constexpr std::string_view kModelFile = "spam.model";

bool is_folder(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

// A file with one message is that message, which keeps its separator.
bool for_each_in_mbox(const std::string& path, std::string_view text, const UseMessage& use) {
  mail::MboxReader reader(text);
  if (reader.has_one()) return use(path, text);
  size_t number = 0;
  for (std::string message; reader.next(message);) {
    if (!use(path + "#" + std::to_string(++number), message)) return false;
  }
  return true;
}

// Keeps the last error and prints those before it, so that each is told once.
void keep(base::Status& kept, base::Error error) {
  if (!kept) complain(kept.error().message);
  kept = tl::unexpected(std::move(error));
}

base::Result<bool> use_file(const std::string& path, const UseMessage& use) {
  TAMIS_TRY(text, base::read_file(path == "-" ? "/dev/stdin" : path, kMailboxBytesMax));
  if (mail::is_mbox(text)) return for_each_in_mbox(path, text, use);
  return use(path, text);
}

// A folder without a message is most likely the wrong one, which silence would hide.
base::Result<bool> use_folder(const std::string& path, const UseMessage& use, base::Status& kept) {
  const bool maildir = is_folder(path + "/cur") && is_folder(path + "/new");
  std::vector<std::string> roots = {path};
  if (maildir) roots = {path + "/cur", path + "/new"};
  base::ListOptions listing;
  listing.files_max = 10'000'000;
  size_t seen = 0;
  for (const std::string& root : roots) {
    TAMIS_TRY(files, base::list_files(root, listing));
    for (const base::FoundFile& file : files) {
      const auto more = use_file(file.path, use);
      if (!more) keep(kept, more.error());
      if (more && !*more) return false;
      ++seen;
    }
  }
  if (seen > 0) return true;
  return base::fail(base::Code::kNotFound,
                    path + (maildir ? ": a Maildir without a message in cur or new" : ": a folder without a message"));
}

// Beside the program as it is built, and as it is installed.
std::vector<std::string> model_places() {
  std::array<char, PATH_MAX> own{};
  const ssize_t bytes = ::readlink("/proc/self/exe", own.data(), own.size() - 1);
  std::vector<std::string> places;
  if (bytes > 0) {
    std::string folder(own.data(), static_cast<size_t>(bytes));
    folder.resize(folder.rfind('/'));
    for (const char* way : {"/../share/tamis/mail/", "/../../policies/mail/model/", "/policies/mail/model/"}) {
      places.push_back(folder + way + std::string(kModelFile));
    }
  }
  places.push_back("/usr/share/tamis/mail/" + std::string(kModelFile));
  return places;
}

// An error of the starter is told with the file's name.
base::Result<std::unique_ptr<door::MailService>> open_with_starter(door::Service& service,
                                                                   door::MailServiceOptions mail,
                                                                   const MailSetupOptions& setup) {
  const bool named = !mail.learner.starter.empty() && !setup.model.empty();
  auto opened = door::MailService::open(service, std::move(mail));
  if (opened || !named) return opened;
  return base::fail(opened.error().code, setup.model + ": " + opened.error().message);
}

}  // namespace

base::Status for_each_message(const std::vector<std::string>& paths, const UseMessage& use) {
  base::Status kept;
  for (const std::string& path : paths) {
    const auto more = path != "-" && is_folder(path) ? use_folder(path, use, kept) : use_file(path, use);
    if (!more) keep(kept, more.error());
    if (more && !*more) break;
  }
  return kept;
}

base::Result<std::string> starter_model(const MailSetupOptions& options, bool quiet) {
  if (options.fresh) return std::string();
  if (!options.model.empty()) return base::read_file(options.model, kModelBytesMax);
  std::vector<std::string> places = model_places();
  if (!options.policy.empty()) places.insert(places.begin(), options.policy + "/model/" + std::string(kModelFile));
  for (const std::string& place : places) {
    auto found = base::read_file(place, kModelBytesMax);
    if (found || found.error().code != base::Code::kNotFound) return found;
  }
  if (!quiet) std::fprintf(stderr, "tamis: no starter model is installed; the spam model begins with nothing\n");
  return std::string();
}

bool decides_mail(const door::Service& service) {
  const auto policy = service.policy();
  return policy != nullptr && policy->find_type("mail") != nullptr;
}

base::Result<std::unique_ptr<door::MailService>> open_mail(door::Service& service, const MailServerOptions& options,
                                                           const std::string& data, int threads) {
  door::MailServiceOptions mail;
  mail.threads = threads;
  mail.host = options.host;
  mail.authenticate = options.authenticate;
  if (mail.host.empty()) {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) == 0) mail.host = name.data();
  }
  if (!data.empty()) mail.learner.folder = data + "/mail";
  mail.learner.remember_days = options.remember_days;
  mail.learner.weigh_reports = options.weigh_reports;
  // A folder that has a model of its own needs the starter only if that cannot be opened any more.
  const bool has_own = !data.empty() && ::access((mail.learner.folder + "/model").c_str(), F_OK) == 0;
  TAMIS_TRY(starter, starter_model(options.setup, has_own));
  mail.learner.starter = std::move(starter);
  return open_with_starter(service, std::move(mail), options.setup);
}

base::Result<std::unique_ptr<MailSetup>> MailSetup::open(const MailSetupOptions& options) {
  std::unique_ptr<MailSetup> setup(new MailSetup);
  setup->now_ms_ = base::SystemClock().now_ms();
  door::ServiceOptions service;
  service.deadline_ms = 60'000;  // nobody waits but us
  setup->service_ = std::make_unique<door::Service>(
      service, [s = setup.get()] { return s->now_ms_; }, nullptr);
  policy::Loaded loaded = options.policy.empty() ? setup->service_->activate(ready_mail_policy())
                                                 : setup->service_->activate_folder(options.policy);
  print_diagnostics(loaded, options.policy.empty() ? "policies/mail" : options.policy);
  if (loaded.policy == nullptr) return base::invalid("the policy has errors");
  if (loaded.policy->find_type("mail") == nullptr) {
    return base::invalid("the policy has no event type `mail`; start from policies/mail");
  }
  door::MailServiceOptions mail;
  mail.threads = 0;
  TAMIS_TRY(starter, starter_model(options));
  mail.learner.starter = std::move(starter);
  TAMIS_TRY(opened, open_with_starter(*setup->service_, std::move(mail), options));
  setup->mail_ = std::move(opened);
  return setup;
}

}  // namespace tamis::app
