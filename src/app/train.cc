#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "app/train_accounts.h"
#include "base/file.h"
#include "learn/train_mail.h"

namespace tamis::app {
namespace {

struct Options {
  learn::TrainMailOptions mail;
  std::string out;
};

int train_mail(const Options& options) {
  const auto trained = learn::train_mail(options.mail, [](uint64_t done, uint64_t all) {
    std::fprintf(stderr, "\r%llu of %llu messages", static_cast<unsigned long long>(done),
                 static_cast<unsigned long long>(all));
  });
  std::fprintf(stderr, "\r%*s\r", 40, "");
  if (!trained) return complain(trained.error().message);
  if (const auto written = base::write_file_atomically(options.out, trained->bytes); !written) {
    return complain(written.error().message);
  }
  std::printf("%sham: %llu\nspam: %llu\nbytes: %zu\n", trained->card.c_str(),
              static_cast<unsigned long long>(trained->ham), static_cast<unsigned long long>(trained->spam),
              trained->bytes.size());
  return kGood;
}

}  // namespace

Command add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(1);
  CLI::App* mail = app.add_subcommand("mail", "Train a spam model from labelled messages");
  mail->add_option("--index", options->mail.indexes,
                   "Index of a corpus: path, ham or spam, order, with tabs; repeat for more, the order counts")
      ->required()
      ->check(CLI::ExistingFile);
  mail->add_option("--out", options->out, "File to write the model to")->required();
  mail->add_option("--slots-log2", options->mail.slots_log2, "Size of the table, as a power of two")
      ->check(CLI::Range(8, 22))
      ->capture_default_str();
  mail->add_option("--replays", options->mail.replays, "Past messages learned again with each new one")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  mail->add_option("--seen-min", options->mail.seen_min, "Leave out features of fewer messages than that")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  mail->add_option("--evidence-half", options->mail.evidence_half,
                   "Known header features at which a score is drawn half to the prior; 0: it is not")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  mail->add_option("--evidence-prior", options->mail.evidence_prior, "Log-odds that it is drawn to")
      ->check(CLI::Range(-100, 100))
      ->capture_default_str();
  app.footer(
      "The same files give the same bytes. The model that ships is made by:\n"
      "  tamis train mail --index spamassassin/index.tsv --index enron-spam/index.tsv \\\n"
      "    --index lingspam/index.tsv --out policies/mail/model/spam.model");
  Command accounts = add_train_accounts(app);
  return [options, mail, accounts] { return mail->parsed() ? train_mail(*options) : accounts(); };
}

}  // namespace tamis::app
