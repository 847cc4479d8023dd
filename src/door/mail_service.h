// MailService: the scanner behind all mail doors. Worker threads take a message apart, ask the spam model, let the
// Service decide the `mail` event, and turn the decision into a verdict that a mail server understands. Corrections go
// to the learner and, where they name an event, into the journal as its truth.
//
// Bounded: messages wait in a queue with a limit on their number and bytes, and none longer than `wait_ms`. What does
// not fit or waits too long is answered as `overload:` of the policy's `mail` event declares: with that verdict (fail
// open) or an error (fail closed).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "door/mail_batches.h"
#include "door/mail_scanner.h"
#include "door/service.h"
#include "learn/mail_filter.h"
#include "learn/mail_learner.h"

namespace tamis::door {

struct MailServiceOptions {
  learn::MailLearnerOptions learner;
  int threads = 2;
  size_t queue_max = 512;
  size_t queue_bytes_max = 256 << 20;
  size_t message_bytes_max = 64 << 20;
  int64_t wait_ms = 10'000;
  std::string host = "localhost";  // how Authentication-Results names us where a request does not say
  // Asks DNS who sent a message (door/mail_auth.h): calls `done` once, from any thread and within a time limit of its
  // own. The message itself is in the analysis alone; `chance` belongs to it. Null: nobody is asked, and the results
  // say so.
  using Authenticated = std::function<void(const mail::MailAuthResults&)>;
  std::function<void(const mail::Analysis&, const MailRequest&, uint64_t chance, Authenticated done)> authenticate;
};

struct MailJudgement;

class MailService final : public MailScanner {
 public:
  // `service` outlives it. Errors: a model or corrections that cannot be read.
  static base::Result<std::unique_ptr<MailService>> open(Service& service, MailServiceOptions options);
  ~MailService() override;

  // Answers what waits, takes nothing more, writes the model. Before anything is destroyed that callbacks use.
  void stop();

  void scan(MailRequest request, bool explain, ScanDone done) override;
  void learn(MailCorrection correction, LearnDone done) override;
  MailStats stats() const override;
  size_t message_bytes_max() const override { return options_.message_bytes_max; }

  // What one thread needs to scan, kept warm.
  struct Work {
    learn::MailFilter filter;
    model::SpamModel::Scratch scratch;
    bool in_hand = false;  // whether its message counts among those that threads are at
  };
  // The same as scan(), on the caller's thread and without asking DNS; the message is not remembered. Afterwards
  // `work.filter` has its features, as long as `request` is there. `id` empty: a new one is made.
  base::Result<MailVerdict> scan_now(Work& work, const MailRequest& request, bool explain, std::string_view id = {});
  base::Result<learn::MailLearner::Learned> learn_now(Work& work, const MailCorrection& correction);
  // A truth about a `mail` event that is in the journal already. Labels as in replay/truth.h: good, ham and legit are
  // ham, every other is spam; none takes back what the source said. Durable after learner().sync().
  base::Status learn_truth(std::string_view id, std::string_view label, std::string_view source);
  // All that a reporter taught, and what it said of events (at most the first kTakenBackMax). Takes a query.
  static constexpr uint64_t kTakenBackMax = 100'000;
  base::Result<learn::MailLearner::TakenBack> take_back(const std::string& reporter);

  // Learns the corrections that wait under this name if they do no harm (learn/mail_learner.h). kNotFound: none do.
  struct Finished {
    std::string reporter;
    size_t messages = 0;
    learn::MailLearner::BatchResult result;
  };
  base::Result<Finished> finish_batch(const std::string& name);
  // Puts a message into the golden set, or takes it out: `correction` by id or by text.
  base::Status put_golden(Work& work, const MailCorrection& correction);

  learn::MailLearner& learner() { return *learner_; }
  // Once, and the registry is read no more when this ends.
  void register_metrics(base::MetricRegistry& registry);

 private:
  struct Task {
    MailRequest request;
    bool explain = false;
    ScanDone scan_done;
    MailCorrection correction;
    LearnDone learn_done;
    int64_t deadline_ms = 0;
    std::chrono::steady_clock::time_point begin;  // of the look at it
    std::unique_ptr<MailJudgement> judgement;     // what came of its message, when only DNS was waited for
    size_t bytes() const { return request.message.size() + correction.message.size(); }
  };

  MailService(Service& service, MailServiceOptions options);
  bool submit(Task& task);
  // Everything that needs the message, and everything behind it.
  base::Status read(Work& work, const MailRequest& request, std::string_view message, bool explain, std::string_view id,
                    MailJudgement& out);
  base::Result<MailVerdict> decide(const MailRequest& request, bool explain, MailJudgement& judgement);
  const std::string& own_name(const MailRequest& request) const;
  // Those who have blocked the sender (kRecipientBlocks), by From or envelope, its address or its domain.
  std::vector<std::string> recipients_who_refuse(const MailRequest& request, const mail::MessageFacts& facts);
  void ask_dns(Work& work, Task& task);
  void answer(Task& task);
  void run();
  void run_tidy();
  void do_task(Work& work, Task& task);
  base::Result<MailVerdict> overloaded(std::string_view why);
  std::string new_id();
  base::Status write_truth(const MailCorrection& correction);
  void count(const MailVerdict& verdict);
  void note_time(std::chrono::steady_clock::time_point begin);

  Service& service_;
  MailServiceOptions options_;
  std::unique_ptr<learn::MailLearner> learner_;
  MailBatches batches_;
  int64_t started_ms_ = 0;
  std::atomic<uint64_t> scanned_{0}, learned_{0};
  std::array<std::atomic<uint64_t>, kMailActions> actions_{};
  std::atomic<uint64_t> overloaded_{0}, dns_timeouts_{0}, dns_failures_{0};
  std::atomic<base::Histogram*> scan_ns_{nullptr};

  std::mutex mutex_;
  std::condition_variable ready_, tidy_ready_;
  std::deque<Task> queue_;
  size_t queue_bytes_ = 0;
  size_t in_hand_ = 0;  // messages that threads are at
  size_t in_dns_ = 0;   // messages about which DNS was asked
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// The places where policies/mail may have put other verdicts: the nearest of ours, by its place on the ladder.
MailAction mail_action(std::string_view verdict, const std::vector<std::string>& ladder);

}  // namespace tamis::door
