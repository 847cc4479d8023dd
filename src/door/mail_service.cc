#include "door/mail_service.h"

#include <chrono>
#include <random>

#include "base/hash.h"
#include "door/mail_verdict.h"

#include <fmt/format.h>

namespace tamis::door {

namespace {
constexpr std::string_view kType = "mail";
constexpr int64_t kTidyMs = 60'000;

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

learn::MailEnvelope envelope_of(const MailRequest& request) {
  learn::MailEnvelope envelope;
  envelope.outgoing = request.direction == MailDirection::kOut;
  envelope.client_ip = request.client_ip;
  envelope.client_name = request.client_name;
  envelope.helo = request.helo;
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
    : service_(service), options_(std::move(options)), started_ms_(service.now_ms()) {
  std::random_device random;
  id_seed_ = uint64_t{random()} << 32 | random();
}

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
  if (learner_ != nullptr) (void)learner_->checkpoint(service_.now_ms());  // else the next start learns again
}

// Ids are not to be guessed: who knows one can correct its message.
std::string MailService::new_id() {
  const uint64_t n = id_next_.fetch_add(1);
  return fmt::format("m{:x}-{:016x}", service_.now_ms(), base::mix64(id_seed_ ^ base::mix64(n)));
}

base::Result<MailVerdict> MailService::overloaded(std::string_view why) {
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

base::Result<MailVerdict> MailService::scan_now(Work& work, const MailRequest& request, bool explain,
                                                std::string_view id) {
  if (request.message.size() > options_.message_bytes_max) {
    return base::invalid(fmt::format("a message of {} bytes: at most {} are looked at", request.message.size(),
                                     options_.message_bytes_max));
  }
  const mail::Analysis& analysis = work.filter.read(request.message);
  work.authentication = options_.authenticate ? options_.authenticate(analysis, request) : learn::MailAuthentication{};
  learner_->score(work.filter.features(), work.scratch, work.scored);

  MailVerdict verdict;
  verdict.id = id.empty() ? new_id() : std::string(id);
  const learn::MailEnvelope envelope = envelope_of(request);
  learn::MailEvent event;
  event.id = verdict.id;
  event.envelope = &envelope;
  event.authentication = &work.authentication;
  event.score = &work.scored.score;
  event.threshold = work.scored.threshold;
  event.model_version = work.scored.version;
  event.learned_min = work.scored.learned_min;
  work.event_json.clear();
  work.filter.write_event(event, work.event_json);

  work.decision_json.clear();
  Service::Lease lease(service_);
  const auto depth = explain ? engine::Engine::Explain::kYes : engine::Engine::Explain::kNo;
  auto outcome = service_.decide(*lease, kType, work.event_json, work.decision_json, depth,
                                 [&](const engine::Decision& decision) { take_decision(decision, verdict); });
  if (!outcome) return tl::unexpected(outcome.error());
  if (*outcome == Service::Outcome::kOverload) return overloaded("the engine is busy");
  if (*outcome == Service::Outcome::kRepeated) {
    return base::invalid("a message with the id " + verdict.id + " was decided before; its decision stands");
  }
  verdict.probability = static_cast<double>(work.scored.score.probability);
  dress_verdict(request, options_.host, work.authentication, analysis.message, verdict);
  if (explain) {
    verdict.explanation_json = explain_json(work.decision_json, work.scored, work.authentication, verdict, work.filter);
  }
  count(verdict);
  return verdict;
}

void MailService::count(const MailVerdict& verdict) {
  ++scanned_;
  ++actions_[static_cast<size_t>(verdict.action)];
}

base::Status MailService::write_truth(const MailCorrection& correction) {
  if (service_.data() == nullptr || correction.label == MailCorrection::Label::kForget) return {};
  engine::Act act;
  act.kind = engine::Act::Kind::kTruth;
  act.entity_kind = "event:mail";
  act.value = correction.id;
  act.name = correction.label == MailCorrection::Label::kSpam ? "spam" : "ham";
  act.author = correction.reporter;
  act.since_ms = service_.now_ms();
  return service_.act(act);
}

base::Result<learn::MailLearner::Learned> MailService::learn_now(Work& work, const MailCorrection& correction) {
  const int64_t now_ms = service_.now_ms();
  if (!correction.id.empty()) {
    TAMIS_TRY(learned, learner_->learn_by_id(correction.id, label_of(correction.label), correction.reporter,
                                             correction.recipient, now_ms));
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
  TAMIS_TRY(learned, learner_->learn(work.filter.text_key(), work.filter.features(), label_of(correction.label),
                                     correction.reporter, correction.recipient, now_ms));
  ++learned_;
  return learned;
}

base::Status MailService::learn_truth(std::string_view id, std::string_view label, std::string_view source) {
  const bool good = label == "good" || label == "ham" || label == "legit";
  const auto told = good ? learn::MailLabel::kHam : learn::MailLabel::kSpam;
  auto learned = learner_->learn_by_id_soon(id, told, source, {}, service_.now_ms());
  if (!learned) return tl::unexpected(learned.error());
  ++learned_;
  return {};
}

bool MailService::submit(Task& task) {
  {
    std::lock_guard lock(mutex_);
    const bool full = queue_.size() >= options_.queue_max || queue_bytes_ + task.bytes() > options_.queue_bytes_max;
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
  if (service_.now_ms() > task.deadline_ms) return task.scan_done(overloaded("the message waited too long"));
  auto verdict = scan_now(work, task.request, task.explain);
  // Before the answer: a correction may come as soon as it is there. Without it the verdict still stands.
  if (verdict && !verdict->verdict.empty()) {
    (void)learner_->remember(verdict->id, work.filter.text_key(), work.filter.features(), service_.now_ms());
  }
  task.scan_done(std::move(verdict));
}

void MailService::run() {
  Work work;
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      queue_bytes_ -= task.bytes();
    }
    do_task(work, task);
  }
}

void MailService::run_tidy() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    tidy_ready_.wait_for(lock, std::chrono::milliseconds(kTidyMs), [this] { return stopping_; });
    if (stopping_) return;
    lock.unlock();
    (void)learner_->tidy(service_.now_ms());  // what does not work now is tried again
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
  stats.accepted = actions_[0];
  stats.greylisted = actions_[1];
  stats.tagged = actions_[2];
  stats.quarantined = actions_[3];
  stats.rejected = actions_[4];
  stats.started_ms = started_ms_;
  return stats;
}

}  // namespace tamis::door
