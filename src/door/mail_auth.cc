#include "door/mail_auth.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

namespace tamis::door {

// One message's questions. Answers come on the resolver's thread or in the middle of ask(), so what is asked next is
// taken under the mutex and asked without it; whoever finishes tells.
struct MailAuthenticator::Conversation : std::enable_shared_from_this<Conversation> {
  Conversation(std::shared_ptr<const MailAuthSettings> settings_of, net::Resolver& asks, const base::Clock& time,
               const mail::Analysis& analysis, const mail::AuthEnvelope& envelope, Done tells)
      : settings(std::move(settings_of)),
        resolver(asks),
        clock(time),
        begin_ns(time.steady_ns()),
        check(settings->checks, analysis, envelope),
        done(std::move(tells)) {}

  const std::shared_ptr<const MailAuthSettings> settings;
  net::Resolver& resolver;
  const base::Clock& clock;
  const int64_t begin_ns;

  std::mutex mutex;  // guards what follows
  mail::Authentication check;
  Done done;  // null once told

  int64_t left_ms() const { return settings->budget_ms - (clock.steady_ns() - begin_ns) / 1'000'000; }

  // Asks what is to be asked now, or tells the results.
  void go_on() {
    std::vector<event::DnsQuestion> questions;
    Done told;
    const int64_t left = left_ms();
    {
      std::lock_guard lock(mutex);
      if (done == nullptr) return;
      if (!check.finished() && left <= 0) check.give_up();
      if (check.finished()) {
        told = std::exchange(done, nullptr);
      } else {
        questions = check.take_questions();
      }
    }
    if (told) {
      // Nobody changes the results of a check that is finished.
      mail::MailAuthResults results = check.results();
      // The last answer may itself have been the one that came too late.
      results.out_of_time |= left <= 0 && results.questions_failed > 0;
      results.took_ms = static_cast<double>(clock.steady_ns() - begin_ns) / 1e6;
      told(results);
      return;
    }
    for (const event::DnsQuestion& question : questions) {
      resolver.ask(question, left, [self = shared_from_this(), question](const auto& answer) {
        {
          std::lock_guard lock(self->mutex);
          self->check.answer(question, answer);
        }
        self->go_on();
      });
    }
  }
};

MailAuthenticator::MailAuthenticator(MailAuthSettings settings, net::Resolver& resolver, const base::Clock& clock)
    : settings_(std::make_shared<const MailAuthSettings>(std::move(settings))), resolver_(resolver), clock_(clock) {}

MailAuthenticator::~MailAuthenticator() = default;

void MailAuthenticator::authenticate(const mail::Analysis& analysis, const mail::AuthEnvelope& envelope,
                                     Done done) const {
  if (resolver_.is_off()) {
    mail::MailAuthResults results;
    results.dns_off = true;
    done(results);
    return;
  }
  std::make_shared<Conversation>(settings_, resolver_, clock_, analysis, envelope, std::move(done))->go_on();
}

mail::MailAuthResults MailAuthenticator::authenticate_now(const mail::Analysis& analysis,
                                                          const mail::AuthEnvelope& envelope) const {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<mail::MailAuthResults> told;
  authenticate(analysis, envelope, [&](const mail::MailAuthResults& results) {
    const std::lock_guard lock(mutex);
    told = results;
    changed.notify_one();  // under the mutex: who waits may be gone once it is free
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&told] { return told.has_value(); });
  return std::move(*told);
}

mail::AuthEnvelope auth_envelope_of(const MailRequest& request, int64_t now_s, uint64_t chance) {
  mail::AuthEnvelope envelope;
  envelope.client_ip = request.client_ip;
  envelope.helo = request.helo;
  envelope.sender = request.sender;
  envelope.has_sender = request.has_sender;
  envelope.receiver_name = request.received_by;
  envelope.now_s = now_s;
  envelope.chance = chance;
  return envelope;
}

}  // namespace tamis::door
