#include "app/demo_events.h"

#include "base/hash.h"
#include "event/json_writer.h"

namespace tamis::app {

using event::JsonWriter;

namespace {

constexpr size_t kPeople = 1500;
constexpr int kAttackEvery = 350;  // events, on average

constexpr std::string_view kAgents[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
};
constexpr std::string_view kCountries[] = {"DE", "FR", "CH", "US", "IN", "BR", "JP", "PL"};
constexpr std::string_view kLanguages[] = {"de-DE", "fr-FR", "de-CH", "en-US", "hi-IN", "pt-BR", "ja-JP", "pl-PL"};
constexpr std::string_view kNames[] = {"anna", "bruno", "chidi", "dora", "emil",  "fatima", "goran", "hana",
                                       "ivan", "jun",   "karin", "lena", "marco", "nadia",  "omar",  "petra"};

}  // namespace

DemoEvents::DemoEvents(uint64_t seed) : seed_(seed) {
  for (size_t i = 0; i < kPeople; ++i) people_.push_back(make_person());
}

uint64_t DemoEvents::random() { return base::mix64(seed_ * 0x9e3779b97f4a7c15u + ++drawn_); }

std::string DemoEvents::hex(int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (uint64_t bits = random(); digits-- > 0; bits >>= 4) text += kDigits[bits & 15];
  return text;
}

DemoEvents::Person DemoEvents::make_person() {
  size_t country = below(std::size(kCountries));
  Person person;
  person.account = hex(10);
  // The benchmark and documentation networks of RFC 2544 and RFC 5737, so that no real address is named.
  person.ip = "198.18." + std::to_string(below(256)) + "." + std::to_string(1 + below(254));
  person.device = hex(12);
  person.agent = kAgents[below(std::size(kAgents))];
  person.cookie = hex(12);
  person.country = kCountries[country];
  person.language = kLanguages[country];
  return person;
}

std::string_view DemoEvents::attack() const {
  switch (attack_) {
    case Attack::kSignups:
      return "a burst of signups from one network";
    case Attack::kStuffing:
      return "credential stuffing";
    case Attack::kSender:
      return "a sender who was taken over";
    case Attack::kCards:
      return "card testing";
    case Attack::kNone:
      break;
  }
  return {};
}

void DemoEvents::begin(std::string_view type, int64_t time_ms, const Person& person, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("id").uinteger(++number_).key("t").integer(time_ms).key("type").string(type);
  json.key("acct").string(person.account).key("ip").string(person.ip).key("cc").string(person.country);
  json.key("net").string("res").key("ua").string(person.agent).key("fp").string(person.device);
  json.key("lang").string(person.language).key("cookie").string(person.cookie);
}

// The rest of an event behind begin(): its writer cannot outlive the call, so the keys are appended by hand.
namespace {
void add(std::string& out, std::string_view key, std::string_view text) {
  out.append(",\"").append(key).append("\":");
  event::append_json_string(out, text);
}
void add(std::string& out, std::string_view key, int64_t number) {
  out.append(",\"").append(key).append("\":").append(std::to_string(number));
}
void add_bool(std::string& out, std::string_view key, bool value) {
  out.append(",\"").append(key).append("\":").append(value ? "true" : "false");
}
}  // namespace

void DemoEvents::signup(int64_t time_ms, const Person& person, bool hurried, std::string& out) {
  begin("signup", time_ms, person, out);
  std::string name(kNames[below(std::size(kNames))]);
  add(out, "local", hurried ? hex(10) : name + "." + std::string(kNames[below(std::size(kNames))]));
  add(out, "cap", hurried ? "pow" : "img");
  add(out, "cap_ms", hurried ? 400 + static_cast<int64_t>(below(50)) : 3000 + static_cast<int64_t>(below(9000)));
  add(out, "fill_ms", hurried ? 700 + static_cast<int64_t>(below(90)) : 9000 + static_cast<int64_t>(below(60000)));
  add_bool(out, "paste", hurried);
  out += '}';
}

void DemoEvents::login(int64_t time_ms, const Person& person, bool success, std::string& out) {
  begin("login", time_ms, person, out);
  add_bool(out, "ok", success);
  if (!success) add(out, "why", "bad_pw");
  out += '}';
}

void DemoEvents::send(int64_t time_ms, const Person& person, int recipients, std::string_view body, std::string& out) {
  begin("send", time_ms, person, out);
  add(out, "rcpts", recipients);
  add(out, "new", recipients > 5 ? recipients : static_cast<int64_t>(below(2)));
  add(out, "subj", hex(16));
  add(out, "body", body);
  add(out, "bytes", 800 + static_cast<int64_t>(below(40000)));
  out += '}';
}

void DemoEvents::payment(int64_t time_ms, const Person& person, std::string_view card, int bin, int cents,
                         bool approved, std::string& out) {
  begin("payment", time_ms, person, out);
  add(out, "purpose", "plan");
  add(out, "card", card);
  add(out, "bin", bin);
  add(out, "ccc", person.country);
  add(out, "cents", cents);
  add_bool(out, "ok", approved);
  out += '}';
}

void DemoEvents::honest(int64_t time_ms, std::string& out) {
  const Person& person = people_[below(people_.size())];
  uint64_t what = below(100);
  if (what < 45) {
    begin("session", time_ms, person, out);
    out += '}';
  } else if (what < 65) {
    login(time_ms, person, !chance(6), out);
  } else if (what < 92) {
    send(time_ms, person, 1 + static_cast<int>(below(3)), hex(16), out);
  } else if (what < 97) {
    Person& newcomer = people_[below(people_.size())];  // in the place of somebody who leaves
    newcomer = make_person();
    signup(time_ms, newcomer, false, out);
  } else {
    payment(time_ms, person, person.account, 400000 + static_cast<int>(below(60)), 499, !chance(4), out);
  }
}

void DemoEvents::start_attack() {
  attack_ = static_cast<Attack>(1 + below(4));
  attack_events_ = 60 + static_cast<int>(below(60));
  attacker_ = make_person();
  attacker_.ip = "203.0.113." + std::to_string(1 + below(254));
  attack_text_ = hex(16);
  if (attack_ == Attack::kSender) attacker_.account = people_[below(people_.size())].account;
}

void DemoEvents::attacked(int64_t time_ms, std::string& out) {
  Person actor = attacker_;
  switch (attack_) {
    case Attack::kSignups:
      actor.account = hex(10);
      actor.ip = attacker_.ip.substr(0, attacker_.ip.rfind('.') + 1) + std::to_string(1 + below(254));
      actor.cookie = hex(12);
      if (chance(50)) actor.device = hex(12);
      return signup(time_ms, actor, true, out);
    case Attack::kStuffing:
      actor.account = people_[below(people_.size())].account;
      return login(time_ms, actor, chance(3), out);
    case Attack::kSender:
      return send(time_ms, actor, 40 + static_cast<int>(below(40)), attack_text_, out);
    case Attack::kCards:
      return payment(time_ms, actor, hex(12), 411111, 100, chance(10), out);
    case Attack::kNone:
      break;
  }
}

void DemoEvents::next(int64_t time_ms, std::string& out) {
  if (attack_ == Attack::kNone && below(kAttackEvery) == 0) start_attack();
  if (attack_ == Attack::kNone || chance(50)) return honest(time_ms, out);
  attacked(time_ms, out);
  if (--attack_events_ <= 0) attack_ = Attack::kNone;
}

}  // namespace tamis::app
