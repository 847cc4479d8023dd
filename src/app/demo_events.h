// DemoEvents: an endless stream of lifelike events for the policy in policies/accounts: a town of honest people who
// sign up, log in, write mail and pay, and now and then an attack in their midst: a burst of signups from one network,
// credential stuffing, a sender who was taken over, card testing. The same seed gives the same stream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tamis::app {

class DemoEvents {
 public:
  explicit DemoEvents(uint64_t seed);

  // Appends the next event, dated `time_ms`, as one line of JSON without its end.
  void next(int64_t time_ms, std::string& out);
  // What is going on besides honest life: "" or the name of the attack.
  std::string_view attack() const;

 private:
  enum class Attack : uint8_t { kNone, kSignups, kStuffing, kSender, kCards };
  struct Person {
    std::string account, ip, device, agent, cookie, country, language;
  };

  uint64_t random();
  uint64_t below(uint64_t bound) { return random() % bound; }
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }
  std::string hex(int digits);
  Person make_person();
  void honest(int64_t time_ms, std::string& out);
  void attacked(int64_t time_ms, std::string& out);
  void begin(std::string_view type, int64_t time_ms, const Person& person, std::string& out);
  void signup(int64_t time_ms, const Person& person, bool hurried, std::string& out);
  void login(int64_t time_ms, const Person& person, bool success, std::string& out);
  void send(int64_t time_ms, const Person& person, int recipients, std::string_view body, std::string& out);
  void payment(int64_t time_ms, const Person& person, std::string_view card, int bin, int cents, bool approved,
               std::string& out);
  void start_attack();

  uint64_t seed_;
  uint64_t drawn_ = 0;
  uint64_t number_ = 0;
  std::vector<Person> people_;
  Attack attack_ = Attack::kNone;
  int attack_events_ = 0;  // left
  Person attacker_;
  std::string attack_text_;
};

}  // namespace tamis::app
