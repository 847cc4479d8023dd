#include "door/mail_service.h"

#include <algorithm>
#include <chrono>

#include "archive/archive.h"
#include "base/hash.h"
#include "door/mail_verdict.h"
#include "event/domain.h"
#include "mail/ascii.h"
#include "replay/stored.h"

#include <fmt/format.h>

namespace tamis::door {

namespace {
constexpr std::string_view kType = "mail";
constexpr std::string_view kRecipientBlocks = "recipient_blocks";  // list of the policy: "RECIPIENT SENDER"
constexpr std::string_view kOwnNetworks = "own_networks";          // list of the policy
constexpr int64_t kTidyMs = 60'000;
constexpr int64_t kGuardMs = 1'000;

learn::MailLabel label_of(MailCorrection::Label label) {
  switch (label) {
    case MailCorrection::Label::kHam:
      return learn::MailLabel::kHam;
    case MailCorrection::Label::kSpam:
      return learn::MailLabel::kSpam;
    case MailCorrection::Label::kForget:
      break;
  }
  return learn::MailLabel::kForget;
}

learn::MailEnvelope envelope_of(const MailRequest& request, const MailOrigin& origin) {
  learn::MailEnvelope envelope;
  envelope.outgoing = request.direction == MailDirection::kOut;
  envelope.client_ip = origin.client_ip;
  envelope.client_name = origin.client_name;
  envelope.helo = origin.helo;
  envelope.relay = origin.relay;
  envelope.sender = request.sender;
  envelope.has_sender = request.has_sender;
  envelope.recipients.assign(request.recipients.begin(), request.recipients.end());
  envelope.user = request.user;
  envelope.queue_id = request.queue_id;
  envelope.tls_version = request.tls_version;
  return envelope;
}

}  // namespace

MailService::MailService(Service& service, MailServiceOptions options)
    : service_(service), options_(std::move(options)), started_ms_(service.now_ms()) {}

base::Result<std::unique_ptr<MailService>> MailService::open(Service& service, MailServiceOptions options) {
  std::unique_ptr<MailService> mail(new MailService(service, std::move(options)));
  TAMIS_TRY(learner, learn::MailLearner::open(std::move(mail->options_.learner), service.now_ms()));
  mail->learner_ = std::move(learner);
  for (int i = 0; i < mail->options_.threads; ++i) mail->threads_.emplace_back([m = mail.get()] { m->run(); });
  if (mail->options_.threads > 0) mail->threads_.emplace_back([m = mail.get()] { m->run_tidy(); });
  return mail;
}

MailService::~MailService() { stop(); }

void MailService::stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  ready_.notify_all();
  tidy_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  if (learner_ != nullptr) (void)learner_->guard(service_.now_ms(), true);
  if (learner_ != nullptr) (void)learner_->checkpoint(service_.now_ms());  // else the next start learns again
}

// Ids are not to be guessed: who knows one can correct its message.
std::string MailService::new_id() { return fmt::format("m{:x}-{:016x}", service_.now_ms(), learn::unguessable64()); }

base::Result<MailVerdict> MailService::overloaded(std::string_view why) {
  ++overloaded_;
  const auto policy = service_.policy();
  const policy::EventType* type = policy == nullptr ? nullptr : policy->find_type(kType);
  if (type == nullptr || type->overload == policy::FailMode::kClosed) {
    return base::fail(base::Code::kUnavailable, std::string(why));
  }
  MailVerdict verdict;
  verdict.id = new_id();
  verdict.verdict = type->overload_verdict;
  verdict.action = mail_action(verdict.verdict, type->ladder);
  return verdict;
}

base::Status MailService::read(Work& work, const MailRequest& request, std::string_view message, bool explain,
                               std::string_view id, MailJudgement& out) {
  if (message.size() > options_.message_bytes_max) {
    return base::invalid(
        fmt::format("a message of {} bytes: at most {} are looked at", message.size(), options_.message_bytes_max));
  }
  const mail::Analysis& analysis = work.filter.read(message);
  const model::FeatureSpan features = work.filter.features();
  // One mailbox has a taste; what goes to several is judged as by all.
  const bool one_mailbox = request.direction == MailDirection::kIn && request.recipients.size() == 1;
  out.text_key = work.filter.text_key();
  learner_->score(features, work.scratch, out.scored, one_mailbox ? request.recipients[0] : std::string_view(),
                  out.text_key);
  out.verdict.id = id.empty() ? new_id() : std::string(id);
  out.verdict.remove_headers = forged_headers(analysis.message, own_name(request));
  out.authentication.dns_off = true;

  out.verdict.recipients_refused = recipients_who_refuse(request, analysis.facts);
  const auto own = [this](std::string_view ip) {
    bool found = false;
    service_.with_engine([&](engine::Engine& engine) { found = engine.on_list(kOwnNetworks, ip); });
    return found;
  };
  out.origin = find_origin(request, analysis.facts, own);
  learn::MailEnvelope envelope = envelope_of(request, out.origin);
  envelope.refusing_recipients = out.verdict.recipients_refused.size();
  learn::MailEvent event;
  event.id = out.verdict.id;
  event.envelope = &envelope;
  event.score = &out.scored.score;
  event.threshold = out.scored.threshold;
  event.model_version = out.scored.version;
  event.learned_min = out.scored.learned_min;
  event.corrections = out.scored.corrections;
  event.from_elsewhere = out.scored.from_elsewhere;
  event.forged_results = std::find(out.verdict.remove_headers.begin(), out.verdict.remove_headers.end(),
                                   "Authentication-Results") != out.verdict.remove_headers.end();
  work.filter.begin_event(event, out.event_json);
  if (explain) explain_score(work.filter, *learner_, work.scratch, out);
  return {};
}

std::vector<std::string> MailService::recipients_who_refuse(const MailRequest& request,
                                                            const mail::MessageFacts& facts) {
  std::vector<std::string> refusing;
  if (request.direction != MailDirection::kIn || request.recipients.empty()) return refusing;
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), mail::to_lower);
    return text;
  };
  std::vector<std::string> senders;
  const auto add = [&](std::string sender) {
    if (!sender.empty() && std::find(senders.begin(), senders.end(), sender) == senders.end())
      senders.push_back(std::move(sender));
  };
  add(lower(std::string(facts.from.email)));
  add(std::string(facts.from_domain));
  if (const std::string sender = lower(request.sender); !sender.empty()) {
    add(sender);
    base::Arena arena;
    const std::string_view written = std::string_view(sender).substr(sender.rfind('@') + 1);
    const std::string_view domain = event::normalise_domain(written, arena);
    const std::string_view registered = event::registered_domain(domain);
    add(std::string(registered.empty() ? domain : registered));
  }
  service_.with_engine([&](engine::Engine& engine) {
    for (const std::string& recipient : request.recipients) {
      const std::string front = lower(recipient) + ' ';
      if (std::any_of(senders.begin(), senders.end(),
                      [&](const std::string& sender) { return engine.on_list(kRecipientBlocks, front + sender); }))
        refusing.push_back(recipient);
    }
  });
  return refusing;
}

base::Result<MailVerdict> MailService::decide(const MailRequest& request, bool explain, MailJudgement& judgement) {
  learn::MailFilter::end_event(judgement.authentication, judgement.event_json);
  MailVerdict& verdict = judgement.verdict;
  std::string decision_json;
  Service::Lease lease(service_);
  const auto depth = explain ? engine::Engine::Explain::kYes : engine::Engine::Explain::kNo;
  auto outcome = service_.decide(*lease, kType, judgement.event_json, decision_json, depth,
                                 [&](const engine::Decision& decision) { take_decision(decision, verdict); });
  if (!outcome) return tl::unexpected(outcome.error());
  if (*outcome == Service::Outcome::kOverload) return overloaded("the engine is busy");
  if (*outcome == Service::Outcome::kRepeated) {
    return base::invalid("a message with the id " + verdict.id + " was decided before; its decision stands");
  }
  verdict.probability = static_cast<double>(judgement.scored.score.probability);
  dress_verdict(request, own_name(request), judgement);
  if (explain) verdict.explanation_json = explain_json(decision_json, judgement);
  count(verdict);
  return std::move(verdict);
}

base::Result<MailVerdict> MailService::scan_now(Work& work, const MailRequest& request, bool explain,
                                                std::string_view id) {
  MailJudgement judgement;
  const auto begin = std::chrono::steady_clock::now();
  TAMIS_CHECK(read(work, request, request.message, explain, id, judgement));
  auto verdict = decide(request, explain, judgement);
  note_time(begin);
  return verdict;
}

const std::string& MailService::own_name(const MailRequest& request) const {
  return request.received_by.empty() ? options_.host : request.received_by;
}

void MailService::note_time(std::chrono::steady_clock::time_point begin) {
  if (base::Histogram* histogram = scan_ns_.load(std::memory_order_acquire); histogram != nullptr) {
    const auto took = std::chrono::steady_clock::now() - begin;
    histogram->record(static_cast<uint64_t>(
        std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::nanoseconds>(took).count())));
  }
}

void MailService::register_metrics(base::MetricRegistry& registry) {
  const auto number = [](const std::atomic<uint64_t>& of) { return [&of] { return static_cast<double>(of.load()); }; };
  constexpr std::array<const char*, kMailActions> kVerdicts = {"accept",     "greylist", "tag",
                                                               "quarantine", "defer",    "reject"};
  for (size_t i = 0; i < kVerdicts.size(); ++i) {
    registry.counter_from("tamis_mail_scans_total", "Messages judged, by what became of them.",
                          {{"verdict", kVerdicts[i]}}, number(actions_[i]));
  }
  registry.counter_from("tamis_mail_overloaded_total", "Messages answered as overload: declares.", {},
                        number(overloaded_));
  registry.counter_from("tamis_mail_dns_timeouts_total", "Messages whose budget of DNS ran out.", {},
                        number(dns_timeouts_));
  registry.counter_from("tamis_mail_dns_failures_total", "Questions of DNS without an answer.", {},
                        number(dns_failures_));
  scan_ns_ = &registry.histogram("tamis_mail_scan_seconds", "From the wait's end to the verdict, DNS included.", {},
                                 {1e-9,
                                  {50'000, 100'000, 200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000,
                                   50'000'000, 200'000'000, 1'000'000'000, 5'000'000'000}});
  using Stats = learn::MailLearner::Stats;
  const auto stat = [this](auto read) { return [this, read] { return static_cast<double>(read(learner_->stats())); }; };
  registry.counter_from("tamis_mail_corrections_total", "Corrections ever made.", {},
                        stat([](const Stats& s) { return s.corrections; }));
  registry.counter_from("tamis_mail_corrections_refused_total", "Corrections noted and not believed.", {},
                        stat([](const Stats& s) { return s.not_believed; }));
  registry.counter_from("tamis_mail_batches_judged_total", "Batches of corrections held against the golden set.", {},
                        stat([](const Stats& s) { return s.batches_judged; }));
  registry.counter_from("tamis_mail_batches_refused_total", "Those that made it worse.", {},
                        stat([](const Stats& s) { return s.batches_refused; }));
  registry.gauge_from("tamis_mail_golden_messages", "Messages of the golden set.", {{"label", "ham"}},
                      stat([](const Stats& s) { return s.golden.ham; }));
  registry.gauge_from("tamis_mail_golden_messages", "Messages of the golden set.", {{"label", "spam"}},
                      stat([](const Stats& s) { return s.golden.spam; }));
  registry.gauge_from("tamis_mail_golden_errors", "Those that the model had wrong when it was judged last.",
                      {{"label", "ham"}}, stat([](const Stats& s) { return s.golden.ham_as_spam; }));
  registry.gauge_from("tamis_mail_golden_errors", "Those that the model had wrong when it was judged last.",
                      {{"label", "spam"}}, stat([](const Stats& s) { return s.golden.spam_as_ham; }));
  registry.gauge_from("tamis_mail_model_messages", "Messages that the model learned.", {{"label", "ham"}},
                      stat([](const Stats& s) { return s.ham_learned; }));
  registry.gauge_from("tamis_mail_model_messages", "Messages that the model learned.", {{"label", "spam"}},
                      stat([](const Stats& s) { return s.spam_learned; }));
  registry.gauge_from("tamis_mail_model_bytes", "Memory of the model.", {},
                      stat([](const Stats& s) { return s.model_bytes; }));
  registry.gauge_from("tamis_mail_remembered_messages", "Scanned messages that a correction by id still reaches.", {},
                      stat([](const Stats& s) { return s.remembered; }));
  registry.gauge_from("tamis_mail_remembered_bytes", "What they take on disk.", {},
                      stat([](const Stats& s) { return s.remembered_bytes; }));
  registry.gauge_from("tamis_mail_model_age_seconds", "Since the model last learned, or since the start.", {}, [this] {
    const int64_t last = std::max(started_ms_, learner_->stats().learned_last_ms);
    return static_cast<double>(service_.now_ms() - last) * 1e-3;
  });
  registry.gauge_from("tamis_mail_waiting_messages", "Messages that wait to be looked at, or for DNS.", {}, [this] {
    std::lock_guard lock(mutex_);
    return static_cast<double>(queue_.size() + in_dns_);
  });
}

void MailService::count(const MailVerdict& verdict) {
  ++scanned_;
  ++actions_[static_cast<size_t>(verdict.action)];
}

base::Status MailService::write_truth(const MailCorrection& correction) {
  if (service_.data() == nullptr) return {};
  const bool forgets = correction.label == MailCorrection::Label::kForget;
  engine::Act act;
  act.kind = forgets ? engine::Act::Kind::kTruthClear : engine::Act::Kind::kTruth;
  act.entity_kind = "event:mail";
  act.value = correction.id;
  if (!forgets) act.name = correction.label == MailCorrection::Label::kSpam ? "spam" : "ham";
  act.author = correction.reporter;
  act.since_ms = service_.now_ms();
  return service_.act(act);
}

base::Result<learn::MailLearner::Learned> MailService::learn_now(Work& work, const MailCorrection& correction) {
  const int64_t now_ms = service_.now_ms();
  const uint64_t network = learn::network_hash(correction.network);
  if (!correction.id.empty()) {
    if (!correction.batch.empty()) return base::invalid("a batch takes messages by their text, not by id");
    TAMIS_TRY(learned, learner_->learn_by_id(correction.id, label_of(correction.label), correction.reporter,
                                             correction.recipient, now_ms, network));
    TAMIS_CHECK(write_truth(correction));
    ++learned_;
    return learned;
  }
  if (correction.message.empty()) return base::invalid("a correction names the id of a message or brings its text");
  if (correction.message.size() > options_.message_bytes_max) {
    return base::invalid(fmt::format("a message of {} bytes: at most {} are looked at", correction.message.size(),
                                     options_.message_bytes_max));
  }
  work.filter.read(correction.message);
  const model::FeatureSpan features = work.filter.features();
  if (!correction.batch.empty()) {
    const learn::MailLabel label = label_of(correction.label);
    if (label == learn::MailLabel::kForget) return base::invalid("a batch says ham or spam, and forgets nothing");
    TAMIS_TRY(waiting,
              batches_.add(correction.batch, correction.reporter, correction.network,
                           {work.filter.text_key(), {features.begin(), features.end()}, label, correction.recipient},
                           now_ms));
    (void)waiting;
    return learn::MailLearner::Learned{};
  }
  TAMIS_TRY(learned, learner_->learn(work.filter.text_key(), features, label_of(correction.label), correction.reporter,
                                     correction.recipient, now_ms, network));
  ++learned_;
  return learned;
}

base::Result<MailService::Finished> MailService::finish_batch(const std::string& name) {
  TAMIS_TRY(batch, batches_.take(name, service_.now_ms()));
  TAMIS_TRY(result,
            learner_->learn_batch(batch.items, batch.reporter, service_.now_ms(), learn::network_hash(batch.network)));
  learned_ += result.learned;
  return Finished{batch.reporter, batch.items.size(), std::move(result)};
}

base::Status MailService::put_golden(Work& work, const MailCorrection& correction) {
  const int64_t now_ms = service_.now_ms();
  if (!correction.id.empty()) return learner_->put_golden_by_id(correction.id, label_of(correction.label), now_ms);
  work.filter.read(correction.message);
  return learner_->put_golden(work.filter.text_key(), work.filter.features(), label_of(correction.label), now_ms);
}

base::Result<learn::MailLearner::TakenBack> MailService::take_back(const std::string& reporter) {
  TAMIS_TRY(taken, learner_->take_back(reporter, service_.now_ms()));
  if (service_.data() == nullptr) return taken;
  // What was said of events by their ids is their truth, too.
  TAMIS_CHECK(service_.flush());
  archive::QueryLimits limits;
  limits.rows_max = kTakenBackMax;
  TAMIS_TRY(said,
            service_.data()->archive().query(
                "SELECT value FROM acts WHERE kind = 'event:mail' AND act IN ('truth', 'truth_clear') AND author "
                "= " +
                    replay::sql_text(reporter) + " GROUP BY value HAVING arg_max(act, n) = 'truth' ORDER BY max(n)",
                limits, [] { return true; }));
  MailCorrection forget;
  forget.reporter = reporter;
  forget.label = MailCorrection::Label::kForget;
  for (auto& row : said.rows) {
    forget.id = row[0];
    TAMIS_CHECK(write_truth(forget));
  }
  return taken;
}

base::Status MailService::learn_truth(std::string_view id, std::string_view label, std::string_view source) {
  const bool good = label == "good" || label == "ham" || label == "legit";
  const auto told = label.empty() ? learn::MailLabel::kForget : good ? learn::MailLabel::kHam : learn::MailLabel::kSpam;
  auto learned = learner_->learn_truth_soon(id, told, source, service_.now_ms());
  if (!learned) return tl::unexpected(learned.error());
  ++learned_;
  return {};
}

bool MailService::submit(Task& task) {
  {
    std::lock_guard lock(mutex_);
    const bool full = queue_.size() + in_hand_ + in_dns_ >= options_.queue_max ||
                      queue_bytes_ + task.bytes() > options_.queue_bytes_max;
    if (stopping_ || full || options_.threads == 0) return false;
    task.deadline_ms = service_.now_ms() + options_.wait_ms;
    queue_bytes_ += task.bytes();
    queue_.push_back(std::move(task));
  }
  ready_.notify_one();
  return true;
}

void MailService::scan(MailRequest request, bool explain, ScanDone done) {
  Task task;
  task.request = std::move(request);
  task.explain = explain;
  task.scan_done = std::move(done);
  if (!submit(task)) task.scan_done(overloaded("too many messages wait to be looked at"));
}

void MailService::learn(MailCorrection correction, LearnDone done) {
  Task task;
  task.correction = std::move(correction);
  task.learn_done = std::move(done);
  if (!submit(task)) {
    task.learn_done(base::fail(base::Code::kUnavailable, "too many messages wait to be looked at"));
  }
}

void MailService::do_task(Work& work, Task& task) {
  if (task.learn_done) {
    auto learned = learn_now(work, task.correction);
    return task.learn_done(learned ? base::Status() : tl::unexpected(learned.error()));
  }
  if (task.judgement != nullptr) return answer(task);
  task.begin = std::chrono::steady_clock::now();
  if (service_.now_ms() > task.deadline_ms) return task.scan_done(overloaded("the message waited too long"));
  // The content ends with this call, whatever is waited for afterwards.
  const std::string message = std::move(task.request.message);
  task.request.message.clear();
  task.judgement = std::make_unique<MailJudgement>();
  if (auto done = read(work, task.request, message, task.explain, {}, *task.judgement); !done) {
    return task.scan_done(tl::unexpected(done.error()));
  }
  const model::FeatureSpan features = work.filter.features();
  task.judgement->features.assign(features.begin(), features.end());
  if (options_.authenticate) return ask_dns(work, task);
  answer(task);
}

// The thread goes on with other messages; what DNS says brings this one back to the head of the queue.
void MailService::ask_dns(Work& work, Task& task) {
  {
    std::lock_guard lock(mutex_);
    ++in_dns_;
    --in_hand_;
    work.in_hand = false;
  }
  auto shared = std::make_shared<Task>(std::move(task));
  shared->request.client_ip = shared->judgement->origin.client_ip;
  shared->request.helo = shared->judgement->origin.helo;
  const uint64_t chance = base::hash64(shared->judgement->verdict.id);
  options_.authenticate(work.filter.analysis(), shared->request, chance,
                        [this, shared](const mail::MailAuthResults& found) {
                          shared->judgement->authentication = found;
                          dns_timeouts_ += found.out_of_time;
                          dns_failures_ += found.questions_failed;
                          std::lock_guard lock(mutex_);
                          --in_dns_;
                          queue_bytes_ += shared->bytes();
                          queue_.push_front(std::move(*shared));
                          ready_.notify_one();
                        });
}

void MailService::answer(Task& task) {
  auto verdict = decide(task.request, task.explain, *task.judgement);
  note_time(task.begin);
  // Before the answer: a correction may come as soon as it is there. Without it the verdict still stands.
  if (verdict) {
    const MailJudgement& known = *task.judgement;
    (void)learner_->remember(verdict->id, known.text_key, known.features, service_.now_ms());
  }
  task.scan_done(std::move(verdict));
}

void MailService::run() {
  Work work;
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return (stopping_ && in_dns_ == 0) || !queue_.empty(); });
      if (queue_.empty()) break;
      task = std::move(queue_.front());
      queue_.pop_front();
      queue_bytes_ -= task.bytes();
      ++in_hand_;
      work.in_hand = true;
    }
    do_task(work, task);
    if (!work.in_hand) continue;
    std::lock_guard lock(mutex_);
    --in_hand_;
  }
  ready_.notify_all();  // the others may have waited for the last answer of DNS
}

void MailService::run_tidy() {
  std::unique_lock lock(mutex_);
  auto tidied = std::chrono::steady_clock::now();
  while (!stopping_) {
    tidy_ready_.wait_for(lock, std::chrono::milliseconds(kGuardMs), [this] { return stopping_; });
    if (stopping_) return;
    lock.unlock();
    // What does not work now is tried again.
    (void)learner_->guard(service_.now_ms());
    if (std::chrono::steady_clock::now() - tidied >= std::chrono::milliseconds(kTidyMs)) {
      (void)learner_->tidy(service_.now_ms());
      tidied = std::chrono::steady_clock::now();
    }
    lock.lock();
  }
}

MailStats MailService::stats() const {
  MailStats stats;
  const learn::MailLearner::Stats model = learner_->stats();
  stats.scanned = scanned_;
  stats.learned = model.ham_learned + model.spam_learned;
  stats.ham_learned = model.ham_learned;
  stats.spam_learned = model.spam_learned;
  const auto of = [this](MailAction action) { return actions_[static_cast<size_t>(action)].load(); };
  stats.accepted = of(MailAction::kAccept);
  stats.greylisted = of(MailAction::kGreylist);
  stats.tagged = of(MailAction::kTag);
  stats.quarantined = of(MailAction::kQuarantine);
  stats.deferred = of(MailAction::kDefer);
  stats.rejected = of(MailAction::kReject);
  stats.started_ms = started_ms_;
  return stats;
}

}  // namespace tamis::door
