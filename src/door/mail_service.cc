#include "door/mail_service.h"

#include <chrono>

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
  if (learner_ != nullptr) (void)learner_->checkpoint(service_.now_ms());  // else the next start learns again
}

// Ids are not to be guessed: who knows one can correct its message.
std::string MailService::new_id() { return fmt::format("m{:x}-{:016x}", service_.now_ms(), learn::unguessable64()); }

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

base::Status MailService::read(Work& work, const MailRequest& request, std::string_view message, bool explain,
                               std::string_view id, MailJudgement& out) {
  if (message.size() > options_.message_bytes_max) {
    return base::invalid(
        fmt::format("a message of {} bytes: at most {} are looked at", message.size(), options_.message_bytes_max));
  }
  const mail::Analysis& analysis = work.filter.read(message);
  const model::FeatureSpan features = work.filter.features();
  learner_->score(features, work.scratch, out.scored);
  out.verdict.id = id.empty() ? new_id() : std::string(id);
  out.verdict.remove_headers = forged_headers(analysis.message, own_name(request));
  out.text_key = work.filter.text_key();
  out.authentication.dns_off = true;

  const learn::MailEnvelope envelope = envelope_of(request);
  learn::MailEvent event;
  event.id = out.verdict.id;
  event.envelope = &envelope;
  event.score = &out.scored.score;
  event.threshold = out.scored.threshold;
  event.model_version = out.scored.version;
  event.learned_min = out.scored.learned_min;
  work.filter.begin_event(event, out.event_json);
  if (explain) explain_score(work.filter, *learner_, work.scratch, out);
  return {};
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
  TAMIS_CHECK(read(work, request, request.message, explain, id, judgement));
  return decide(request, explain, judgement);
}

const std::string& MailService::own_name(const MailRequest& request) const {
  return request.received_by.empty() ? options_.host : request.received_by;
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
    const bool full =
        queue_.size() + in_dns_ >= options_.queue_max || queue_bytes_ + task.bytes() > options_.queue_bytes_max;
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
  }
  auto shared = std::make_shared<Task>(std::move(task));
  const uint64_t chance = base::hash64(shared->judgement->verdict.id);
  options_.authenticate(work.filter.analysis(), shared->request, chance,
                        [this, shared](const mail::MailAuthResults& found) {
                          shared->judgement->authentication = found;
                          std::lock_guard lock(mutex_);
                          --in_dns_;
                          queue_bytes_ += shared->bytes();
                          queue_.push_front(std::move(*shared));
                          ready_.notify_one();
                        });
}

void MailService::answer(Task& task) {
  auto verdict = decide(task.request, task.explain, *task.judgement);
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
    }
    do_task(work, task);
  }
  ready_.notify_all();  // the others may have waited for the last answer of DNS
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
